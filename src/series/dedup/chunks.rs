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

/// Appends the chunks of one series, of which every one of `replicas` holds those of a stream, in
/// order of time. Chunks that nothing is changed of are passed on as they are.
///
/// Streams that come earlier are preferred. So that a compacted block says what a query over its
/// sources said, give them in the order of the replicas' labels, those of one replica by time.
/// What [`Dedup::Identity`] knows of counters that do not continue one another finds no place in a
/// chunk; of replicas that scrape one target there is nothing of that kind.
///
/// # Errors
/// See [`ChunkError`]; `out` then holds a part of the chunks. Aggregate chunks that overlap are
/// not merged: their sources are to be merged and downsampled again.
pub fn merge_replica_chunks(
    kind: Dedup,
    replicas: &[Vec<Chunk>],
    options: &EncodeOptions,
    out: &mut Vec<Chunk>,
) -> Result<(), ChunkError> {
    match kind {
        Dedup::Identity => identity::merge_chunks(replicas, options, out),
        Dedup::Penalty => penalty::merge_chunks(replicas, options, out),
    }
}
