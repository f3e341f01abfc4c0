//! Telling the log of late samples.

use std::path::Path;

use crate::disk::SharedDisk;
use crate::series::{SeriesRef, TimeRange};
use crate::storage::wal::{self, RecordError, RecordKind, Recovery, RowDecoder, WalError};

use super::super::mapped::ChunkRef;
use super::super::state::Head;
use super::loader::Aliases;
use super::stats::ReplayStats;

impl Head {
    /// Gathers the late samples that the log in `dir` has and no chunk.
    pub(super) fn replay_late(
        &self,
        disk: &SharedDisk,
        dir: &Path,
        aliases: &Aliases,
        stats: &mut ReplayStats,
    ) -> Result<Recovery, WalError> {
        if !disk.exists(dir) {
            return Ok(Recovery::default());
        }
        let mut rows = RowDecoder::new();
        let mut newest_ref = SeriesRef::UNKNOWN;
        let recovery = wal::recover(disk, dir, None, &mut |_, record| match wal::kind(record) {
            RecordKind::MmapMarkers => wal::decode_mmap_markers(record, |series, at| {
                self.forget_mapped(aliases.find(series), ChunkRef(at));
            }),
            kind if kind.is_samples() => {
                self.load_late(record, &mut rows, aliases, &mut newest_ref, stats)
            }
            _ => Ok(()),
        });
        self.skip_refs(newest_ref);
        recovery
    }

    fn load_late(
        &self,
        record: &[u8],
        rows: &mut RowDecoder,
        aliases: &Aliases,
        newest_ref: &mut SeriesRef,
        stats: &mut ReplayStats,
    ) -> Result<(), RecordError> {
        let mut span = TimeRange::new(i64::MAX, i64::MIN);
        let left_out = rows.decode(record, |row| {
            *newest_ref = (*newest_ref).max(row.series);
            let name = aliases.find(row.series);
            let start_ms = self.kept_start_ms(row.start_ms, &row.value);
            let is_new = self.series.with(name, |series| {
                let late = series.late_mut();
                // A full column waits for the marker that says that it is in a chunk.
                self.close_late_quietly(late, name);
                self.insert_late(late, (row.timestamp_ms, start_ms, row.value))
            });
            match is_new {
                Some(true) => {
                    stats.samples_late += 1;
                    span.start_ms = span.start_ms.min(row.timestamp_ms);
                    span.end_ms = span.end_ms.max(row.timestamp_ms);
                }
                Some(false) => {}
                None => {
                    stats.samples_unknown += 1;
                    self.metrics.replay.unknown_late.inc();
                }
            }
        });
        if span.start_ms <= span.end_ms {
            self.bounds.widen_late(span);
        }
        stats.samples_invalid += left_out?;
        Ok(())
    }

    /// What was gathered of a series is in the chunk `at`, if that is still there: a damaged file
    /// was set aside with its chunks.
    fn forget_mapped(&self, series: SeriesRef, at: ChunkRef) {
        self.series.with(series, |series| {
            let Some(late) = series.late_if_any() else { return };
            if late.chunks.iter().any(|chunk| chunk.place() == Some(at)) {
                let before = late.chunk_count();
                late.samples.clear();
                let gone = before - late.chunk_count();
                self.metrics.chunks_removed.add(gone as u64);
                self.metrics.chunks.add(-(gone as f64));
            }
        });
    }
}
