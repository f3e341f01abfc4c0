//! Series that several replicas have, as one.

use std::sync::Arc;

use crate::chunk::{ChunkError, EncodeOptions};
use crate::longterm::BucketBlock;

use crate::series::{Chunk, Dedup, ReplicaMerge};
use crate::storage::merge::{JoinChunks, Part, Union};

/// How chunks are written that are not passed on as they are: only what Thanos reads.
#[must_use]
pub(super) fn encoding() -> EncodeOptions {
    EncodeOptions { histogram_starts: false, ..EncodeOptions::default() }
}

/// Which blocks hold the samples of one scraper: for each block the number of its stream, streams
/// in the order of their replica labels, which is the order that a query prefers them in.
#[must_use]
pub(super) fn streams(blocks: &[Arc<BucketBlock>], replica_labels: &[String]) -> Vec<usize> {
    let replica = |block: &BucketBlock| -> Vec<Option<String>> {
        replica_labels.iter().map(|name| block.thanos.labels.get(name).cloned()).collect()
    };
    let replicas: Vec<Vec<Option<String>>> = blocks.iter().map(|block| replica(block)).collect();
    let mut known = replicas.clone();
    known.sort_unstable();
    known.dedup();
    replicas.iter().map(|replica| known.partition_point(|other| other < replica)).collect()
}

/// Joins chunks of replicas, with memory that is used again for the next series.
#[derive(Debug)]
pub(super) struct ReplicaJoin {
    kind: Dedup,
    merge: ReplicaMerge,
    /// By place of the block.
    stream_of: Vec<usize>,
    replicas: Vec<Vec<Chunk>>,
    union: Union,
}

impl ReplicaJoin {
    /// `stream_of` has the stream of each block that is merged.
    pub(super) fn new(kind: Dedup, stream_of: Vec<usize>) -> Self {
        let options = encoding();
        let (merge, union) = (ReplicaMerge::new(kind, options), Union::new(options));
        Self { kind, merge, stream_of, replicas: Vec::new(), union }
    }

    /// Where chunks of a block belong.
    fn place(&self, block: usize) -> usize {
        match self.kind {
            Dedup::Identity => self.stream_of.get(block).copied().unwrap_or(block),
            // Thanos folds blocks, whoever wrote them.
            Dedup::Penalty => block,
        }
    }
}

impl JoinChunks for ReplicaJoin {
    fn join(&mut self, chunks: &mut Vec<Chunk>, parts: &[Part]) -> Result<(), ChunkError> {
        let mut replicas = std::mem::take(&mut self.replicas);
        replicas.iter_mut().for_each(Vec::clear);
        let mut rest = chunks.drain(..);
        let mut done = 0;
        for part in parts {
            let place = self.place(part.block);
            if replicas.len() <= place {
                replicas.resize_with(place + 1, Vec::new);
            }
            let count = part.end.saturating_sub(done);
            if let Some(replica) = replicas.get_mut(place) {
                replica.extend(rest.by_ref().take(count));
            }
            done = part.end;
        }
        drop(rest);
        for replica in &mut replicas {
            // Blocks of one replica may share time as well.
            self.union.join(replica)?;
        }
        replicas.retain(|replica| !replica.is_empty());
        match replicas.as_mut_slice() {
            [only] => chunks.append(only),
            several => self.merge.merge(several, chunks)?,
        }
        self.replicas = replicas;
        Ok(())
    }
}
