//! Samples of one series that came late: behind a newer one of their series.
//!
//! They are kept apart from those that came in order: the newest in a sorted column of at most
//! 255, the others in chunks that may overlap one another and the chunks of samples in order. The
//! chunks are merged when they are read ([`read_merged`]) and when a block is made of them.

use crate::chunk::ChunkError;
use crate::model::{Column, Value};
use crate::series::{Chunk, TimeRange};

use super::mapped::ChunkRef;

/// So many samples are gathered before they become chunks, unless the user says otherwise.
pub(in crate::storage) const OOO_SAMPLES_MAX: u8 = 32;

/// Late samples that are not in a chunk yet.
#[derive(Debug, Clone, Default)]
pub(in crate::storage) struct OooSamples {
    column: Column,
}

impl OooSamples {
    /// Takes a sample, with the time since when it counts or 0. Returns false, and leaves it out,
    /// if there is one of the same time.
    pub(in crate::storage) fn insert(
        &mut self,
        timestamp_ms: i64,
        start_ms: i64,
        value: Value<'_>,
    ) -> bool {
        let _ = (timestamp_ms, start_ms, value);
        unimplemented!()
    }

    /// How many there are.
    pub(in crate::storage) fn len(&self) -> usize {
        self.column.len()
    }

    /// True if there is no room for another, `samples_max` being the user's choice.
    pub(in crate::storage) fn is_full(&self, samples_max: u8) -> bool {
        self.len() >= usize::from(samples_max.max(1))
    }

    /// Time of the first and of the last.
    pub(in crate::storage) fn span(&self) -> Option<TimeRange> {
        let (first, last) = self.column.timestamps.first().zip(self.column.timestamps.last())?;
        Some(TimeRange::new(*first, *last))
    }

    /// The samples in time order.
    pub(in crate::storage) const fn column(&self) -> &Column {
        &self.column
    }

    /// The samples as chunks, in time order. They are still here: see [`clear`](Self::clear).
    pub(in crate::storage) fn to_chunks(&self) -> Result<Vec<Chunk>, ChunkError> {
        unimplemented!()
    }

    /// Forgets them.
    pub(in crate::storage) fn clear(&mut self) {
        self.column.clear();
    }
}

/// A chunk of late samples.
#[derive(Debug, Clone)]
pub(in crate::storage) enum OooChunk {
    /// It could not be written, or there are no files.
    Memory(Chunk),
    /// It lies in a chunk file.
    Mapped { range: TimeRange, encoding: u8, at: ChunkRef },
}

/// All late samples of a series. The head keeps one boxed for each series that has some.
#[derive(Debug, Clone, Default)]
pub(in crate::storage) struct OooSeries {
    pub(in crate::storage) samples: OooSamples,
    /// In the order of writing.
    pub(in crate::storage) chunks: Vec<OooChunk>,
}

/// Appends the samples in `range` of chunks that may overlap to `into`, in time order. Of several
/// samples of one time one is taken.
pub(in crate::storage) fn read_merged(
    chunks: &[Chunk],
    range: TimeRange,
    into: &mut Column,
) -> Result<(), ChunkError> {
    let _ = (chunks, range, into);
    unimplemented!()
}
