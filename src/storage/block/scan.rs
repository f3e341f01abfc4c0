//! All series of a block, one after the other, without looking at a label's text.

use std::sync::Arc;

use crate::model::Matcher;
use crate::series::{Chunk, TimeRange};
use crate::storage::index::{ChunkMeta, SymbolPair, select_postings};

use super::pieces::Pieces;
use super::reader::Parts;
use super::series::range_of;
use super::{Block, BlockError};

/// Walks over the series of a block in label order. Labels are numbers of symbols of another
/// table, which orders them as their texts would, so that many blocks are merged without reading
/// a text.
#[derive(Debug)]
pub struct BlockScan {
    block: Arc<Parts>,
    /// By number of the block's symbol: its number in the other table.
    numbers: Vec<u32>,
    ids: std::vec::IntoIter<u32>,
    id: u32,
    labels: Vec<SymbolPair>,
    chunks: Vec<ChunkMeta>,
    /// Without it chunks are read where the block has them mapped.
    pieces: Option<Pieces>,
}

impl BlockScan {
    /// Before the first series of `block`. `numbers` has a number for each of its symbols.
    ///
    /// # Errors
    /// An index that is not what it should be.
    pub fn new(block: &Block, numbers: Vec<u32>) -> Result<Self, BlockError> {
        let block = Arc::clone(&block.0);
        let ids = block.ids_of(&[])?;
        let ids = ids.into_iter();
        let (labels, chunks) = (Vec::new(), Vec::new());
        Ok(Self { block, numbers, ids, id: 0, labels, chunks, pieces: None })
    }

    /// Reads chunks a piece at a time. Of a mapped file, what was read once counts as memory of the
    /// process for as long as the block is open.
    #[must_use]
    pub fn in_pieces(mut self) -> Self {
        self.pieces = Some(Pieces::new(self.block.disk.clone()));
        self
    }

    /// Steps to the next series; false behind the last.
    ///
    /// # Errors
    /// An index that is not what it should be.
    pub fn advance(&mut self) -> Result<bool, BlockError> {
        let Some(id) = self.ids.next() else { return Ok(false) };
        self.id = id;
        let read = self.block.index.series_numbers(id, &mut self.labels, &mut self.chunks);
        read.map_err(|error| self.block.of_index(error))?;
        for (name, value) in &mut self.labels {
            let number = |symbol: u32| self.numbers.get(symbol as usize).copied();
            let (Some(new_name), Some(new_value)) = (number(*name), number(*value)) else {
                return Err(self.block.broken_series(id, "label that is no symbol"));
            };
            (*name, *value) = (new_name, new_value);
        }
        Ok(true)
    }

    /// The labels of the series, by name.
    #[must_use]
    pub fn labels(&self) -> &[SymbolPair] {
        &self.labels
    }

    /// Where the series lies in the index: ascending, and worth looking at for its distances.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// What the index says of the chunks of the series, in its order.
    #[must_use]
    pub fn spans(&self) -> &[ChunkMeta] {
        &self.chunks
    }

    /// Appends the chunks of the series, without deleted samples, by time.
    ///
    /// # Errors
    /// A chunk that is not what it should be.
    pub fn chunks(&mut self, into: &mut Vec<Chunk>) -> Result<(), BlockError> {
        let (block, id) = (&self.block, self.id);
        let Some(pieces) = &mut self.pieces else {
            return self.chunks.iter().try_for_each(|chunk| block.chunk(id, chunk, into));
        };
        self.chunks.iter().try_for_each(|chunk| {
            let stored = pieces.chunk(&block.chunks, chunk.reference)?;
            block.keep(id, chunk, stored, into)
        })
    }
}

impl Block {
    /// How many symbols the index has, used or not.
    #[must_use]
    pub fn symbol_count(&self) -> usize {
        self.0.index.symbol_count()
    }

    /// The deletions that take the samples in `range` out of all series that match: for each
    /// series that has chunks there, the span of them.
    ///
    /// # Errors
    /// An index that is not what it should be.
    pub fn deletions(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<(u32, TimeRange)>, BlockError> {
        let parts = &self.0;
        let (mut labels, mut chunks) = (Vec::new(), Vec::new());
        let mut deletions = Vec::new();
        for id in parts.ids_of(matchers)? {
            let read = parts.index.series_numbers(id, &mut labels, &mut chunks);
            read.map_err(|error| parts.of_index(error))?;
            let spans = chunks.iter().map(range_of);
            let whole = spans.reduce(|all, span| {
                TimeRange::new(all.start_ms.min(span.start_ms), all.end_ms.max(span.end_ms))
            });
            if let Some(whole) = whole.filter(|whole| whole.overlaps(range)) {
                let start_ms = whole.start_ms.max(range.start_ms);
                deletions.push((id, TimeRange::new(start_ms, whole.end_ms.min(range.end_ms))));
            }
        }
        Ok(deletions)
    }
}

impl Parts {
    pub(super) fn ids_of(&self, matchers: &[Matcher]) -> Result<Vec<u32>, BlockError> {
        select_postings(&self.index, matchers).map_err(|error| self.of_index(error))
    }
}
