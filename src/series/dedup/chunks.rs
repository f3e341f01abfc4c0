//! The chunks of replicas as the chunks of one series, for compaction.

use crate::chunk::{ChunkError, EncodeOptions, EncodedChunk};
use crate::series::chunk::Chunk;

use super::{Dedup, identity, penalty};

impl From<EncodedChunk> for Chunk {
    fn from(chunk: EncodedChunk) -> Self {
        let EncodedChunk { min_time_ms, max_time_ms, encoding, data } = chunk;
        Self { min_time_ms, max_time_ms, encoding, data }
    }
}

/// Merges the chunks of one series after the other, with memory that is used again.
#[derive(Debug)]
pub struct ReplicaMerge {
    kind: Dedup,
    options: EncodeOptions,
    penalty: penalty::ChunkFold,
}

impl ReplicaMerge {
    /// `options` say how samples become chunks that are not passed on as they are.
    #[must_use]
    pub fn new(kind: Dedup, options: EncodeOptions) -> Self {
        Self { kind, options, penalty: penalty::ChunkFold::default() }
    }

    /// Appends the chunks of one series, of which every one of `replicas` holds those of a stream,
    /// in order of time. Chunks that nothing is changed of are passed on as they are.
    ///
    /// Streams that come earlier are preferred. So that a compacted block says what a query over
    /// its sources said, give them in the order of the replicas' labels, those of one replica by
    /// time. What [`Dedup::Identity`] knows of counters that do not continue one another finds no
    /// place in a chunk; of replicas that scrape one target there is nothing of that kind.
    ///
    /// # Errors
    /// See [`ChunkError`]; `out` then holds a part of the chunks. Aggregate chunks that overlap
    /// are not merged: their sources are to be merged and downsampled again.
    pub fn merge(
        &mut self,
        replicas: &[Vec<Chunk>],
        out: &mut Vec<Chunk>,
    ) -> Result<(), ChunkError> {
        match self.kind {
            Dedup::Identity => identity::merge_chunks(replicas, &self.options, out),
            Dedup::Penalty => self.penalty.merge(replicas, &self.options, out),
        }
    }
}

/// Merges the chunks of one series; see [`ReplicaMerge::merge`].
///
/// # Errors
/// As there.
pub fn merge_replica_chunks(
    kind: Dedup,
    replicas: &[Vec<Chunk>],
    options: &EncodeOptions,
    out: &mut Vec<Chunk>,
) -> Result<(), ChunkError> {
    ReplicaMerge::new(kind, *options).merge(replicas, out)
}
