//! Floats as XOR2 chunks: like XOR, with start times and cheap staleness markers.

use bytes::Bytes;

use super::{ChunkError, Encoding};

/// Writes one chunk, sample by sample. Its bytes are a readable chunk at any time.
#[derive(Debug, Clone, Default)]
pub struct Xor2Appender {
    bytes: Vec<u8>,
}

impl Xor2Appender {
    /// A chunk without samples.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a sample that is newer than those before. `start_ms` is 0 if it is not known.
    ///
    /// # Errors
    /// [`ChunkError::Full`] if there are 65 535 samples.
    pub fn append(
        &mut self,
        timestamp_ms: i64,
        start_ms: i64,
        value: f64,
    ) -> Result<(), ChunkError> {
        let _ = (timestamp_ms, start_ms, value);
        Err(ChunkError::Unsupported(Encoding::Xor2))
    }

    /// The chunk so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many samples there are.
    #[must_use]
    pub const fn sample_count(&self) -> u16 {
        0
    }

    /// Time of the first sample; `i64::MAX` without one.
    #[must_use]
    pub const fn min_time_ms(&self) -> i64 {
        i64::MAX
    }

    /// Time of the last sample; `i64::MIN` without one.
    #[must_use]
    pub const fn max_time_ms(&self) -> i64 {
        i64::MIN
    }

    /// The last sample's value, or 0.
    #[must_use]
    pub const fn last_value(&self) -> f64 {
        0.0
    }

    /// Bytes that the appender takes in memory, itself included.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity()
    }

    /// The finished chunk, in no more memory than it needs.
    #[must_use]
    pub fn finish(self) -> Bytes {
        Bytes::from(self.bytes.into_boxed_slice())
    }
}
