//! Is the index of a block what others rely on?
//!
//! Looks at what upstream's `GatherIndexHealthStats` looks at, so that what passes here does not
//! halt a Thanos compactor.

use std::fmt;

use crate::series::TimeRange;
use crate::storage::block::{Block, BlockError, BlockScan};
use crate::storage::index::{ChunkMeta, SymbolPair};

/// The index's series entries begin at multiples of this.
const SERIES_ALIGNMENT_BYTES: u64 = 16;

/// What was found. Counts of chunks are over all series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Series.
    pub series: u64,
    /// Chunks.
    pub chunks: u64,
    /// Series whose label names are not in order.
    pub unsorted_labels: u64,
    /// Chunks that begin before the block or end behind it, but for the next.
    pub outside: u64,
    /// Chunks that begin at the very end of the block, which old versions of Prometheus wrote.
    pub at_the_end: u64,
    /// Chunks that are there twice.
    pub duplicates: u64,
    /// Chunks that do not lie behind the chunk before them.
    pub out_of_order: u64,
    /// The longest series entry, but for the last one.
    pub series_bytes_max: u64,
    /// The longest chunk of those that another one of their series follows.
    pub chunk_bytes_max: u64,
}

/// Why a block must not be merged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sickness {
    /// Chunks outside of the block's time.
    Outside(u64),
    /// Chunks that do not lie behind the chunk before them.
    OutOfOrder(u64),
    /// Series whose label names are not in order.
    Labels(u64),
    /// Series that are not in order, have no labels or no chunks.
    Series(String),
}

impl fmt::Display for Sickness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outside(count) => write!(f, "{count} chunks outside of the block's time"),
            Self::OutOfOrder(count) => {
                write!(f, "{count} chunks that do not lie behind the one before them")
            }
            Self::Labels(count) => write!(f, "{count} series whose labels are not in order"),
            Self::Series(what) => f.write_str(what),
        }
    }
}

impl Health {
    /// What keeps the block from being merged.
    #[must_use]
    pub const fn sickness(&self) -> Option<Sickness> {
        if self.outside > 0 {
            Some(Sickness::Outside(self.outside))
        } else if self.out_of_order > 0 {
            Some(Sickness::OutOfOrder(self.out_of_order))
        } else if self.unsorted_labels > 0 {
            Some(Sickness::Labels(self.unsorted_labels))
        } else {
            None
        }
    }

    fn look_at(&mut self, chunks: &[ChunkMeta], block: TimeRange) {
        let mut before: Option<&ChunkMeta> = None;
        // `maxTime` of the meta, up to which upstream lets chunks reach.
        let end_ms = block.end_ms.saturating_add(1);
        for chunk in chunks {
            self.chunks += 1;
            if chunk.min_time_ms == end_ms {
                self.at_the_end += 1;
            } else if chunk.min_time_ms < block.start_ms || chunk.max_time_ms > end_ms {
                self.outside += 1;
            }
            if let Some(before) = before {
                let is_same = (before.min_time_ms, before.max_time_ms)
                    == (chunk.min_time_ms, chunk.max_time_ms);
                if is_same {
                    self.duplicates += 1;
                } else if chunk.min_time_ms <= before.max_time_ms {
                    self.out_of_order += 1;
                }
                let is_same_segment = before.reference >> 32 == chunk.reference >> 32;
                if let Some(bytes) = chunk.reference.checked_sub(before.reference)
                    && is_same_segment
                {
                    self.chunk_bytes_max = self.chunk_bytes_max.max(bytes);
                }
            }
            before = Some(chunk);
        }
    }
}

/// Looks at every series of the index. Calls `is_ending` before each; gives up with what was found
/// so far if it is true.
///
/// # Errors
/// The index cannot be read; what makes it one that must not be merged, though it can be read, is
/// in the answer.
pub fn examine(
    block: &Block,
    is_ending: &dyn Fn() -> bool,
) -> Result<Result<Health, Sickness>, BlockError> {
    let mut before_symbol: Option<&str> = None;
    for symbol in block.symbols() {
        let symbol = symbol?;
        if before_symbol.is_some_and(|before| before >= symbol) {
            return Ok(Err(Sickness::Series(format!("symbol {symbol:?} is not in order"))));
        }
        before_symbol = Some(symbol);
    }
    // With symbols in order, numbers compare as their texts do.
    let count = u32::try_from(block.symbol_count()).unwrap_or(u32::MAX);
    let mut scan = BlockScan::new(block, (0..count).collect())?;
    let (mut health, range) = (Health::default(), block.meta().range());
    let (mut before, mut before_id): (Vec<SymbolPair>, Option<u32>) = (Vec::new(), None);
    while scan.advance()? {
        if is_ending() {
            break;
        }
        health.series += 1;
        let (labels, id) = (scan.labels(), scan.id());
        let broken = |what: &str| Ok(Err(Sickness::Series(format!("series {id} {what}"))));
        if labels.is_empty() {
            return broken("has no labels");
        }
        if scan.spans().is_empty() {
            return broken("has no chunks");
        }
        if before_id.is_some() && *labels <= *before {
            return broken("is not in order");
        }
        if !labels.is_sorted_by(|a, b| a.0 < b.0) {
            health.unsorted_labels += 1;
        }
        if let Some(bytes) = before_id.and_then(|before| id.checked_sub(before)) {
            let bytes = u64::from(bytes) * SERIES_ALIGNMENT_BYTES;
            health.series_bytes_max = health.series_bytes_max.max(bytes);
        }
        health.look_at(scan.spans(), range);
        before.clear();
        before.extend_from_slice(labels);
        before_id = Some(id);
    }
    Ok(Ok(health))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(min_time_ms: i64, max_time_ms: i64, reference: u64) -> ChunkMeta {
        ChunkMeta { min_time_ms, max_time_ms, reference }
    }

    fn look(chunks: &[ChunkMeta]) -> Health {
        let mut health = Health::default();
        health.look_at(chunks, TimeRange::new(0, 99));
        health
    }

    #[test]
    fn chunks_in_order_within_the_block_are_well() {
        let health = look(&[chunk(0, 9, 8), chunk(10, 50, 108), chunk(60, 100, 1 << 32)]);
        assert_eq!(health.sickness(), None);
        assert_eq!((health.chunks, health.chunk_bytes_max), (3, 100));
    }

    #[test]
    fn what_lies_outside_or_out_of_order_is_counted() {
        assert_eq!(look(&[chunk(-1, 5, 8)]).sickness(), Some(Sickness::Outside(1)));
        assert_eq!(look(&[chunk(50, 101, 8)]).sickness(), Some(Sickness::Outside(1)));
        let order = [chunk(10, 20, 8), chunk(20, 30, 20), chunk(0, 5, 30)];
        assert_eq!(look(&order).sickness(), Some(Sickness::OutOfOrder(2)));
        let twice = look(&[chunk(10, 20, 8), chunk(10, 20, 30)]);
        assert_eq!((twice.duplicates, twice.sickness()), (1, None));
        let late = look(&[chunk(0, 50, 8), chunk(100, 100, 30)]);
        assert_eq!((late.at_the_end, late.sickness()), (1, None));
    }
}
