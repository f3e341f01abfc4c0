//! What there is in a data directory, in numbers.

use std::collections::BTreeMap;

use ulid::Ulid;

use crate::series::TimeRange;
use crate::storage::block::BlockMeta;
use crate::storage::head::ReplayStats;

/// A data directory in numbers.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct TsdbStats {
    /// Series in memory.
    pub head_series: usize,
    /// Chunks in memory.
    pub head_chunks: usize,
    /// Bytes that series, chunks and label index take in memory, about.
    pub head_bytes: usize,
    /// First and last time of the samples in memory.
    pub head_span: Option<TimeRange>,
    /// Bytes of the log on disk.
    pub log_bytes: u64,
    /// The blocks, by start time.
    pub blocks: Vec<BlockMeta>,
    /// Bytes of all blocks.
    pub blocks_bytes: u64,
    /// Blocks that cannot be read and are left out, and why.
    pub unreadable_blocks: BTreeMap<Ulid, String>,
    /// What the replay of the log found when the directory was opened.
    pub replay: ReplayStats,
}

/// What one round of [`Tsdb::maintain`](super::Tsdb::maintain) did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MaintainReport {
    /// Blocks that were cut from memory.
    pub blocks_written: usize,
    /// Blocks that were merged from others, or rewritten without what was deleted in them.
    pub blocks_merged: usize,
    /// Blocks that were removed because they are too old, too many or replaced.
    pub blocks_removed: usize,
    /// Why blocks could not be merged. They are left as they are from then on.
    pub merge_errors: Vec<String>,
    /// Why the log could not be truncated. It is longer than need be then; a later round tries
    /// again.
    pub log_error: Option<String>,
}
