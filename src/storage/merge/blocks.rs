//! Several blocks as one, or one without what is deleted in it.

use std::path::Path;
use std::sync::Arc;

use crate::chunk::ChunkError;
use crate::disk::SharedDisk;
use crate::series::Chunk;
use crate::storage::block::{Block, BlockError, BlockMeta, BlockScan, BlockWriter, clip_chunks};
use crate::storage::index::{SymbolPair, SymbolTable};

use super::MergeError;

/// The chunks of one series that come from one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Which of the blocks that are merged.
    pub block: usize,
    /// Where its chunks end; they begin where those of the part before end.
    pub end: usize,
}

/// Says what becomes of a series that several blocks have.
pub trait JoinChunks {
    /// Replaces `chunks`, which lie behind one another block by block as `parts` say, by chunks in
    /// the order of time that do not share time.
    ///
    /// # Errors
    /// A chunk that is not what it should be.
    fn join(&mut self, chunks: &mut Vec<Chunk>, parts: &[Part]) -> Result<(), ChunkError>;
}

/// Writes the block `meta` into `dir` with all that is not deleted in `blocks`; no block if that
/// is nothing. Series that several blocks have go through `join`. Looks at `is_ending` before each
/// series, and gives up if it is true.
///
/// # Errors
/// A block that is not what it should be, the disk's answer, or that it was ended.
pub fn merge_blocks(
    disk: &SharedDisk,
    dir: &Path,
    blocks: &[Arc<Block>],
    meta: BlockMeta,
    join: &mut dyn JoinChunks,
    is_ending: &dyn Fn() -> bool,
) -> Result<Option<BlockMeta>, MergeError> {
    let (symbols, numbers) = merge_symbols(blocks)?;
    let mut writer =
        BlockWriter::with_symbols(disk.clone(), dir, meta.ulid, symbols, &Default::default())?;
    let mut scans = Vec::with_capacity(blocks.len());
    for (place, (block, numbers)) in blocks.iter().zip(numbers).enumerate() {
        let mut scan = BlockScan::new(block, numbers)?;
        if scan.advance()? {
            scans.push((place, scan));
        }
    }
    let (labels, chunks, parts) = (Vec::new(), Vec::new(), Vec::new());
    let mut series = Merge { scans, labels, chunks, parts, join };
    let range = meta.range();
    while let Some(first) = series.first() {
        if is_ending() {
            return Err(MergeError::Ended);
        }
        series.gather(first)?;
        clip_chunks(&mut series.chunks, range).map_err(in_chunk)?;
        writer.add_numbered(&series.labels, &series.chunks)?;
        series.step()?;
    }
    Ok(writer.finish(meta)?)
}

fn in_chunk(error: ChunkError) -> BlockError {
    BlockError::Refused(format!("chunks that share time: {error}"))
}

/// The series of several blocks in label order.
struct Merge<'a> {
    /// Those that are not at their end, each with its block's place, in the order of the blocks.
    scans: Vec<(usize, BlockScan)>,
    /// Of the series at hand.
    labels: Vec<SymbolPair>,
    chunks: Vec<Chunk>,
    parts: Vec<Part>,
    join: &'a mut dyn JoinChunks,
}

impl Merge<'_> {
    /// The first scan at the lowest labels. There are few, so that they are simply looked through.
    fn first(&self) -> Option<usize> {
        let places = self.scans.iter().enumerate();
        places.min_by(|(_, (_, a)), (_, (_, b))| a.labels().cmp(b.labels())).map(|(place, _)| place)
    }

    /// Puts the series that the scan `first` is at into `labels` and `chunks`.
    fn gather(&mut self, first: usize) -> Result<(), BlockError> {
        self.chunks.clear();
        self.labels.clear();
        self.parts.clear();
        let lowest = self.scans.get(first).map_or(&[][..], |(_, scan)| scan.labels());
        self.labels.extend(lowest);
        let same = |(_, scan): &&(usize, BlockScan)| *scan.labels() == *self.labels;
        for (block, scan) in self.scans.iter().skip(first).filter(same) {
            scan.chunks(&mut self.chunks)?;
            self.parts.push(Part { block: *block, end: self.chunks.len() });
        }
        if self.parts.len() > 1 {
            self.join.join(&mut self.chunks, &self.parts).map_err(in_chunk)?;
        }
        Ok(())
    }

    /// Steps over the series at hand.
    fn step(&mut self) -> Result<(), BlockError> {
        let mut error = None;
        self.scans.retain_mut(|(_, scan)| {
            *scan.labels() != *self.labels
                || scan.advance().unwrap_or_else(|refused| {
                    error.get_or_insert(refused);
                    false
                })
        });
        error.map_or(Ok(()), Err)
    }
}

/// All symbols, and for each block which number each of its own has among them.
fn merge_symbols(blocks: &[Arc<Block>]) -> Result<(SymbolTable, Vec<Vec<u32>>), BlockError> {
    let mut symbols = SymbolTable::new();
    let mut numbers: Vec<Vec<u32>> =
        blocks.iter().map(|block| Vec::with_capacity(block.symbol_count())).collect();
    let mut sources = Vec::with_capacity(blocks.len());
    for block in blocks {
        let mut source = block.symbols();
        sources.push((source.next().transpose()?, source));
    }
    loop {
        let lowest = sources.iter().filter_map(|(next, _)| *next).min();
        let Some(lowest) = lowest else { break };
        let number = symbols
            .push(lowest)
            .map_err(|error| BlockError::Refused(format!("symbols of the blocks: {error}")))?;
        for ((next, source), numbers) in sources.iter_mut().zip(&mut numbers) {
            if *next == Some(lowest) {
                numbers.push(number);
                *next = source.next().transpose()?;
            }
        }
    }
    Ok((symbols, numbers))
}
