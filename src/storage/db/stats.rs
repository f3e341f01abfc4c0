//! What there is in a data directory, in numbers.

use crate::series::TimeRange;

/// A data directory in numbers.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct DbStats {
    /// Series in memory.
    pub head_series: usize,
    /// Chunks in memory.
    pub head_chunks: usize,
    /// Bytes that series, chunks and label index take in memory, about.
    pub head_bytes: usize,
    /// First and last time of the samples in memory.
    pub head_span: Option<TimeRange>,
}

/// What one round of [`Db::maintain`](super::Db::maintain) did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MaintainReport {
    /// Blocks that were cut from memory.
    pub blocks_written: usize,
    /// Blocks that were removed because they are too old or too many.
    pub blocks_removed: usize,
}
