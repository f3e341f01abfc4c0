//! Spans of time, and undecoded chunks.

use bytes::Bytes;

/// A span of time with both ends in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First millisecond that counts.
    pub start_ms: i64,
    /// Last millisecond that counts.
    pub end_ms: i64,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { start_ms: i64::MIN, end_ms: i64::MAX };

    /// The span `start_ms..=end_ms`.
    #[must_use]
    pub const fn new(start_ms: i64, end_ms: i64) -> Self {
        Self { start_ms, end_ms }
    }

    /// True if the instant lies in the span.
    #[must_use]
    pub const fn contains(self, timestamp_ms: i64) -> bool {
        self.start_ms <= timestamp_ms && timestamp_ms <= self.end_ms
    }

    /// True if the two spans share an instant.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.start_ms <= other.end_ms && other.start_ms <= self.end_ms
    }
}

/// A chunk passed on as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Time of its first sample.
    pub min_time_ms: i64,
    /// Time of its last sample.
    pub max_time_ms: i64,
    /// The encoding byte of `chunk/FORMAT.md`.
    pub encoding: u8,
    /// The chunk's bytes, sample count first, without length, encoding and checksum.
    pub data: Bytes,
}

impl Chunk {
    /// The span from its first to its last sample.
    #[must_use]
    pub const fn range(&self) -> TimeRange {
        TimeRange::new(self.min_time_ms, self.max_time_ms)
    }
}
