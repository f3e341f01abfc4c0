//! The head itself: what its parts share.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::disk::SharedDisk;
use crate::model::{Labels, LabelsRef};
use crate::series::{AppendError, SeriesRef, TimeRange};
use crate::storage::wal::{Wal, WalError, WalMetrics, WalOptions};

use super::append::Work;
use super::bounds::Bounds;
use super::metrics::HeadMetrics;
use super::postings::Postings;
use super::series::HeadSeries;
use super::stripes::Stripes;

/// What the user of a head decides.
#[derive(Debug, Clone, Copy)]
pub(in crate::storage) struct HeadOptions {
    /// Length of the blocks that are cut from the head; chunks end at its multiples.
    pub(in crate::storage) range_ms: i64,
    /// At most so many series at a time; 0 for no limit.
    pub(in crate::storage) max_series: usize,
}

/// Where the log lies.
#[derive(Debug, Clone)]
pub(in crate::storage) struct LogPlace {
    pub(in crate::storage) disk: SharedDisk,
    pub(in crate::storage) dir: PathBuf,
    pub(in crate::storage) options: WalOptions,
    pub(in crate::storage) metrics: WalMetrics,
}

/// What the commit lock protects, besides the fields that say so.
#[derive(Debug, Default)]
pub(super) struct Commit {
    /// Without a log, samples live as long as the process.
    pub(super) wal: Option<Wal>,
    pub(super) is_closed: bool,
}

/// The newest samples of a data directory.
///
/// Locks are taken in this order: commit, stripe of labels, stripe of references, postings. The
/// lock of a series is taken last and alone. Readers take only the last three.
#[derive(Debug)]
pub(in crate::storage) struct Head {
    pub(super) options: HeadOptions,
    pub(super) series: Stripes,
    pub(super) postings: Postings,
    next_ref: AtomicU64,
    pub(super) bounds: Bounds,
    pub(super) commit: Mutex<Commit>,
    pub(super) log_place: Option<LogPlace>,
    /// Series that are gone from memory, and the newest time for which the log may still hold
    /// samples of them: until it is truncated beyond, a checkpoint keeps their names.
    pub(super) expiries: Mutex<HashMap<SeriesRef, i64>>,
    pub(super) spare_work: Mutex<Vec<Work>>,
    pub(super) metrics: HeadMetrics,
}

impl Head {
    /// A head without samples that takes none before `min_valid_ms`.
    pub(super) fn empty(
        options: HeadOptions,
        log_place: Option<LogPlace>,
        min_valid_ms: i64,
        metrics: HeadMetrics,
    ) -> Self {
        Self {
            options,
            series: Stripes::new(),
            postings: Postings::new(),
            next_ref: AtomicU64::new(1),
            bounds: Bounds::new(min_valid_ms),
            commit: Mutex::default(),
            log_place,
            expiries: Mutex::default(),
            spare_work: Mutex::default(),
            metrics,
        }
    }

    /// First and last time of what is stored.
    pub(in crate::storage) fn span(&self) -> Option<TimeRange> {
        self.bounds.span()
    }

    /// How many series there are.
    pub(in crate::storage) fn series_count(&self) -> usize {
        self.series.len()
    }

    /// How many chunks there are. Looks at every series.
    pub(in crate::storage) fn chunk_count(&self) -> usize {
        let mut count = 0;
        self.series.for_each(|series| count += series.lock().chunk_count());
        count
    }

    /// Bytes that series, chunks and postings take in memory, about. Looks at every series.
    pub(in crate::storage) fn memory_bytes(&self) -> usize {
        let mut bytes = self.postings.memory_bytes() + self.series.memory_bytes();
        self.series.for_each(|series| bytes += series.memory_bytes());
        bytes
    }

    /// Finds or creates a series; says whether it is new.
    pub(super) fn find_or_create(
        &self,
        hash: u64,
        labels: LabelsRef<'_>,
    ) -> (Arc<HeadSeries>, bool) {
        let make = || {
            let series = SeriesRef(self.next_ref.fetch_add(1, Ordering::Relaxed));
            HeadSeries::new(series, labels.to_labels())
        };
        self.enter(hash, labels, make)
    }

    /// Finds or creates a series that the log calls `series`.
    pub(super) fn find_or_restore(
        &self,
        series: SeriesRef,
        labels: LabelsRef<'_>,
    ) -> (Arc<HeadSeries>, bool) {
        self.enter(labels.hash(), labels, || HeadSeries::new(series, labels.to_labels()))
    }

    fn enter(
        &self,
        hash: u64,
        labels: LabelsRef<'_>,
        make: impl FnOnce() -> HeadSeries,
    ) -> (Arc<HeadSeries>, bool) {
        let into_postings = |new: &HeadSeries| self.postings.add(new.series, &new.labels);
        let (series, is_new) = self.series.find_or_enter(hash, labels, make, into_postings);
        if is_new {
            self.metrics.series_created.inc();
            self.metrics.series.add(1.0);
        }
        (series, is_new)
    }

    /// Later series get references above `used`.
    pub(super) fn skip_refs(&self, used: SeriesRef) {
        self.next_ref.fetch_max(used.0.saturating_add(1), Ordering::Relaxed);
    }

    /// From now on no sample before `time_ms` is taken; when the call returns, none is on its way.
    pub(in crate::storage) fn refuse_before(&self, time_ms: i64) {
        let _commit = self.commit.lock();
        self.bounds.refuse_before(time_ms);
    }

    /// From now on only samples that are newer than all stored ones are taken; returns the first
    /// such time.
    pub(in crate::storage) fn refuse_before_newest(&self) -> i64 {
        let _commit = self.commit.lock();
        let end_ms = self.bounds.max_time_ms().map_or(i64::MIN, |max| max.saturating_add(1));
        self.bounds.refuse_before(end_ms);
        end_ms
    }

    /// Every series with samples in `range`, in label order, with its chunks of that time. The
    /// chunks are copied when the series' turn comes.
    pub(in crate::storage) fn series_in(&self, range: TimeRange) -> Vec<SeriesChunks> {
        let mut found = Vec::new();
        self.series.for_each(|series| {
            if series.lock().overlaps(range) {
                found.push(SeriesChunks(Arc::clone(series)));
            }
        });
        found.sort_unstable_by(|a, b| a.labels().cmp(b.labels()));
        found
    }

    /// Bytes of the log on disk.
    pub(in crate::storage) fn log_bytes(&self) -> Result<u64, WalError> {
        self.commit.lock().wal.as_ref().map_or(Ok(0), Wal::size_bytes)
    }

    /// Takes no more samples and makes the log survive a crash of the machine.
    pub(in crate::storage) fn close(&self) -> Result<(), WalError> {
        let mut commit = self.commit.lock();
        commit.is_closed = true;
        commit.wal.take().map_or(Ok(()), Wal::close)
    }

    pub(super) fn closed_error() -> AppendError {
        AppendError::Unavailable("the data directory is closed".into())
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        self.metrics.leave(self.series_count(), self.chunk_count());
    }
}

/// A series whose chunks are wanted.
#[derive(Debug)]
pub(in crate::storage) struct SeriesChunks(Arc<HeadSeries>);

impl SeriesChunks {
    pub(in crate::storage) fn labels(&self) -> &Labels {
        &self.0.labels
    }

    /// Appends the chunks that overlap `range`.
    pub(in crate::storage) fn copy_into(
        &self,
        range: TimeRange,
        into: &mut Vec<crate::series::Chunk>,
    ) {
        self.0.lock().copy_chunks(range, into);
    }
}
