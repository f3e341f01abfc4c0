//! What a gateway may use.

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::clock::{SharedClock, SystemClock};
use crate::base::metrics::Registry;
use crate::disk::SharedDisk;
use crate::model::Labels;
use crate::model::relabel::Relabel;
use crate::series::TimeRange;

/// A store that has all that was written under some external labels from some time on.
#[derive(Clone)]
pub struct Beside {
    labels: Labels,
    since_ms: Arc<dyn Fn() -> Option<i64> + Send + Sync>,
}

impl Beside {
    /// A store that has all with `labels` from `since_ms` on, which is asked for each question.
    pub fn new(labels: Labels, since_ms: impl Fn() -> Option<i64> + Send + Sync + 'static) -> Self {
        Self { labels, since_ms: Arc::new(since_ms) }
    }

    /// The part of `range` that blocks with `labels` are asked for; none if there is no such part.
    pub(super) fn left_of(&self, range: TimeRange, labels: &Labels) -> Option<TimeRange> {
        if self.labels != *labels {
            return Some(range);
        }
        let Some(since_ms) = (self.since_ms)() else { return Some(range) };
        let end_ms = range.end_ms.min(since_ms.saturating_sub(1));
        (end_ms >= range.start_ms).then_some(TimeRange::new(range.start_ms, end_ms))
    }
}

impl std::fmt::Debug for Beside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Beside({})", self.labels)
    }
}

/// How a gateway is set up. The defaults fit a program with some hundred MiB to spare.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// Where index headers are kept from one run to the next: a folder of its own, in the layout of
    /// Thanos's store gateway (`<folder>/<ULID>/index-header`). Without it they are held in memory
    /// while in use, and fetched again after [`header_idle_ms`](Self::header_idle_ms).
    pub header_folder: Option<(SharedDisk, PathBuf)>,
    /// A header that nobody asked for so long is let go of.
    pub header_idle_ms: i64,
    /// Bytes for what was read before: postings, series entries, pages of chunks. 0 keeps nothing.
    pub cache_bytes: usize,
    /// Bytes that all questions together may hold at one time, beside the cache and the headers.
    /// A question that needs more ends with an error.
    pub memory_bytes: u64,
    /// Series that one question may select; 0 for no limit.
    pub series_max: u64,
    /// Samples that one question may select, counted as 120 for each chunk; 0 for no limit.
    pub samples_max: u64,
    /// Bytes that one question may fetch from the bucket; 0 for no limit.
    pub fetched_bytes_max: u64,
    /// Holes of up to so many bytes between wanted ranges are fetched with them.
    pub gap_bytes: u64,
    /// Chunks of neighbouring series are fetched together, about so many bytes at a time.
    pub group_bytes: u64,
    /// How many blocks or objects are read at a time by one question.
    pub concurrency: usize,
    /// Whether data that is coarser than asked for stands in where there is nothing finer. The
    /// answer then carries a warning. Thanos leaves a hole instead.
    pub coarser_fallback: bool,
    /// Blocks that do not touch this span are not served.
    pub range: TimeRange,
    /// A store that is asked too, so that blocks are not asked for what it has.
    pub beside: Option<Beside>,
    /// Blocks whose external labels, with `__block_id`, do not survive these rules are not served.
    pub shard: Vec<Relabel>,
    /// Labels that the rules do not see, so that the replicas of a block stay together.
    pub shard_without: Vec<Arc<str>>,
    /// A block is served so long after it was written, so that the store shows all of it.
    pub consistency_delay_ms: i64,
    /// A block that was marked for deletion is served so long, in which others find what took its
    /// place.
    pub deletion_delay_ms: i64,
    /// A gateway starts from the bucket's index, one object that a compactor writes, if that is
    /// not older; else it lists the bucket. 0 to list always.
    pub index_age_max_ms: i64,
    /// Counts what happens, under the names of Thanos's store gateway.
    pub metrics: Registry,
    /// Tells how long a header was idle.
    pub clock: SharedClock,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            header_folder: None,
            header_idle_ms: 5 * 60 * 1000,
            cache_bytes: 64 << 20,
            memory_bytes: 256 << 20,
            series_max: 0,
            samples_max: 0,
            fetched_bytes_max: 0,
            gap_bytes: 512 << 10,
            group_bytes: 4 << 20,
            concurrency: 8,
            coarser_fallback: true,
            range: TimeRange::ALL,
            beside: None,
            shard: Vec::new(),
            shard_without: Vec::new(),
            consistency_delay_ms: 0,
            deletion_delay_ms: 24 * 3_600_000,
            index_age_max_ms: 10 * 60 * 1000,
            metrics: Registry::new(),
            clock: SystemClock::shared(),
        }
    }
}
