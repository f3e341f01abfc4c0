//! Moving closed chunks from memory to files, and letting go of the files.

use std::sync::atomic::Ordering;

use crate::chunk;
use crate::model::{Column, Value};

use super::closed::Closed;
use super::mapped::{ChunkFiles, MappedError};
use super::series::Series;
use super::state::Head;

/// When so many chunks were begun, as many have most likely ended, and are moved.
const BEGUN_MAX: u64 = 1 << 15;

impl Head {
    /// Notes that chunks were begun, and moves the closed ones to files now and then.
    pub(super) fn note_begun(&self, begun: u64) {
        let before = self.begun.fetch_add(begun, Ordering::Relaxed);
        if before + begun >= BEGUN_MAX {
            self.map_closed_chunks();
        }
    }

    /// Moves all closed chunks to files; returns how many. What cannot be moved stays in memory.
    pub(in crate::storage) fn map_closed_chunks(&self) -> usize {
        let Some(files) = &self.files else { return 0 };
        // Somebody else is at it.
        let Some(_turn) = self.mapping.try_lock() else { return 0 };
        self.begun.store(0, Ordering::Relaxed);
        let mut moved = 0;
        let mapped = self.map_pages(files, &mut moved).and_then(|()| files.flush());
        if let Err(error) = mapped {
            tracing::warn!(%error, "closed chunks stay in memory");
        }
        moved
    }

    fn map_pages(&self, files: &ChunkFiles, moved: &mut usize) -> Result<(), MappedError> {
        for (number, page) in self.series.pages() {
            for (name, series) in page.lock().iter_mut(number) {
                *moved += series.map_closed(name, files)?;
            }
        }
        Ok(())
    }

    /// Removes files that hold no chunk of a series any more.
    pub(super) fn truncate_files(&self) {
        let Some(files) = &self.files else { return };
        // What is written from here on lies in this file or in a later one.
        let mut oldest = files.newest_number();
        self.series.for_each(|_, series| {
            let late = series.late().into_iter().flat_map(|late| &late.chunks);
            let places = series.closed.iter().chain(late).filter_map(Closed::place);
            oldest = places.map(|at| at.file()).fold(oldest, u32::min);
        });
        if let Err(error) = files.remove_before(oldest) {
            tracing::warn!(%error, "old head chunk files stay");
        }
    }

    /// Moves what is closed to the files and ends them. They spare a start work, so a failure is
    /// none of the head.
    pub(super) fn close_files(&self) {
        self.map_closed_chunks();
        if let Some(Err(error)) = self.files.as_ref().map(|files| files.close()) {
            tracing::warn!(%error, "head chunk files are not whole");
        }
    }

    /// True if the last sample of the last closed chunk has this value. A chunk that cannot be
    /// read has no value.
    pub(super) fn ends_with(&self, series: &Series, value: Value<'_>) -> bool {
        let files = self.files.as_ref().map(|files| files.view());
        let Some(Ok(last)) = series.closed.last().map(|last| last.clone().load(files.as_ref()))
        else {
            return false;
        };
        let mut column = Column::new();
        let last_ms = (last.max_time_ms, last.max_time_ms);
        let decoded = chunk::decode(last.encoding, &last.data, last_ms, &mut column);
        let found = column.len().checked_sub(1).and_then(|index| column.value(index));
        decoded.is_ok()
            && match (found, value) {
                (Some(Value::Float(found)), Value::Float(value)) => {
                    found.to_bits() == value.to_bits()
                }
                (Some(Value::Histogram(found)), Value::Histogram(value)) => {
                    found.layout == value.layout
                        && found.counts == value.counts
                        && found.sum.to_bits() == value.sum.to_bits()
                }
                _ => false,
            }
    }
}
