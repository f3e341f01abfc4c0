//! What a compactor does when, and what it leaves alone.

use std::path::PathBuf;

use crate::series::Dedup;

use super::plan::RANGES_MS;
use super::resolution::Resolution;
use super::shard::Shard;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// How long data is kept, by resolution. Measured from the end of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Raw samples, in milliseconds; 0 keeps them for good.
    pub raw_ms: i64,
    /// Samples of five minutes.
    pub five_minutes_ms: i64,
    /// Samples of an hour.
    pub hour_ms: i64,
    /// Blocks go only when coarser ones have all of their data. Without it, when they are old.
    pub needs_cover: bool,
}

impl Default for Retention {
    fn default() -> Self {
        Self::days([0, 0, 0])
    }
}

impl Retention {
    /// Of so many days for raw samples, five minutes and an hour; 0 for good.
    #[must_use]
    pub const fn days(days: [i64; 3]) -> Self {
        let [raw, five_minutes, hour] = days;
        Self {
            raw_ms: raw * DAY_MS,
            five_minutes_ms: five_minutes * DAY_MS,
            hour_ms: hour * DAY_MS,
            needs_cover: true,
        }
    }

    /// How long data of a resolution is kept; 0 for good.
    #[must_use]
    pub const fn ms(&self, resolution: Resolution) -> i64 {
        match resolution {
            Resolution::Raw => self.raw_ms,
            Resolution::FiveMinutes => self.five_minutes_ms,
            Resolution::Hour => self.hour_ms,
        }
    }

    /// The last instant at which a block of a resolution that ends at `max_time_ms` is not too old.
    #[must_use]
    pub const fn end_ms(&self, resolution: Resolution, max_time_ms: i64) -> Option<i64> {
        match self.ms(resolution) {
            0 => None,
            ms => Some(max_time_ms.saturating_add(ms)),
        }
    }
}

/// How a compactor works. The defaults are upstream's where it has such an option.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CompactOptions {
    /// Where blocks are while they are worked on. Belongs to the compactor: it is emptied.
    pub work_dir: PathBuf,
    /// Lengths of blocks, ascending; the first is never aimed at.
    pub ranges_ms: Vec<i64>,
    /// Which blocks it works with. Others do not exist for it.
    pub shard: Shard,
    /// External labels that tell replicas apart. Blocks that differ in these only become one.
    pub replica_labels: Vec<String>,
    /// How samples of several replicas become one series. Blocks that share time though they are
    /// of one replica keep all samples.
    pub dedup: Dedup,
    /// How long a block that is marked for deletion stays.
    pub delete_delay_ms: i64,
    /// How old a block must be before it is looked at, unless a compactor wrote it.
    pub consistency_delay_ms: i64,
    /// How old a block without `meta.json` must be before it is taken for given up.
    pub partial_age_ms: i64,
    /// How long data is kept.
    pub retention: Retention,
    /// Whether coarser blocks are made.
    pub downsampling: bool,
    /// A raw block of this length gets one of five minutes.
    pub five_minutes_span_ms: i64,
    /// A block of five minutes of this length gets one of an hour.
    pub hour_span_ms: i64,
    /// A block that ended so long ago gets a coarser one though it is short. It gets one as well
    /// as soon as it is too old for its retention.
    pub downsample_age_ms: i64,
    /// An index may become so long.
    pub index_bytes_max: u64,
    /// What blocks that are worked on may take on disk together; 0 for no limit.
    pub disk_bytes_max: u64,
    /// How long the lease lasts without renewal; 0 works without one, for a store that cannot
    /// write under a condition.
    pub lease_ms: i64,
    /// What the compactor calls itself in the lease.
    pub holder: String,
}

impl CompactOptions {
    /// The defaults, with a folder to work in.
    #[must_use]
    pub fn new(work_dir: impl Into<PathBuf>) -> Self {
        Self {
            work_dir: work_dir.into(),
            ranges_ms: RANGES_MS.to_vec(),
            shard: Shard::default(),
            replica_labels: Vec::new(),
            dedup: Dedup::Identity,
            delete_delay_ms: 48 * HOUR_MS,
            consistency_delay_ms: 30 * MINUTE_MS,
            partial_age_ms: 48 * HOUR_MS,
            retention: Retention::default(),
            downsampling: true,
            five_minutes_span_ms: 40 * HOUR_MS,
            hour_span_ms: 10 * DAY_MS,
            downsample_age_ms: 30 * DAY_MS,
            index_bytes_max: 64 << 30,
            disk_bytes_max: 0,
            lease_ms: 5 * MINUTE_MS,
            holder: format!("promlite-{}", std::process::id()),
        }
    }

    /// How long a block must be to get a coarser one.
    pub(super) const fn span_ms(&self, to: Resolution) -> i64 {
        match to {
            Resolution::Raw => i64::MAX,
            Resolution::FiveMinutes => self.five_minutes_span_ms,
            Resolution::Hour => self.hour_span_ms,
        }
    }
}
