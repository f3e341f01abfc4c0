//! Several blocks as one, or one without what is deleted in it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::chunk::ChunkError;
use crate::disk::SharedDisk;
use crate::series::Chunk;
use crate::storage::block::{Block, BlockError, BlockMeta, BlockScan, BlockWriter};
use crate::storage::conveyor::convey;
use crate::storage::index::SymbolTable;

use super::MergeError;
use super::stretch::{Joiners, Source, Stretch};

/// The chunks of one series that come from one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Which of the blocks that are merged.
    pub block: usize,
    /// Where its chunks end; they begin where those of the part before end.
    pub end: usize,
}

/// Says what becomes of a series that several blocks have.
pub trait JoinChunks: Send {
    /// Replaces `chunks`, which lie behind one another block by block as `parts` say, by chunks in
    /// the order of time that do not share time. What comes out depends on nothing else: not on the
    /// series before.
    ///
    /// # Errors
    /// A chunk that is not what it should be.
    fn join(&mut self, chunks: &mut Vec<Chunk>, parts: &[Part]) -> Result<(), ChunkError>;
}

impl<J: JoinChunks + ?Sized> JoinChunks for Box<J> {
    fn join(&mut self, chunks: &mut Vec<Chunk>, parts: &[Part]) -> Result<(), ChunkError> {
        (**self).join(chunks, parts)
    }
}

/// Writes the block `meta` into `dir` with all that is not deleted in `blocks`; no block if that
/// is nothing. Series that several blocks have go through a join: each thread has one of
/// `new_join`, and the block is the same however many threads there are. `is_ending` is told now
/// and then how many series are written; the work is given up if it is true.
///
/// # Errors
/// A block that is not what it should be, the disk's answer, or that it was ended.
pub fn merge_blocks<J: JoinChunks>(
    disk: &SharedDisk,
    dir: &Path,
    blocks: &[Arc<Block>],
    meta: BlockMeta,
    new_join: &(dyn Fn() -> J + Sync),
    is_ending: &dyn Fn(u64) -> bool,
) -> Result<Option<BlockMeta>, MergeError> {
    let (symbols, numbers) = merge_symbols(blocks)?;
    let mut writer =
        BlockWriter::with_symbols(disk.clone(), dir, meta.ulid, symbols, &Default::default())?;
    let mut scans = Vec::with_capacity(blocks.len());
    for (place, (block, numbers)) in blocks.iter().zip(numbers).enumerate() {
        let mut scan = BlockScan::new(block, numbers)?.in_pieces();
        if scan.advance()? {
            scans.push((place, scan));
        }
    }
    let mut source = Source::new(scans);
    let (range, joiners) = (meta.range(), Joiners::new(new_join));
    let done = AtomicU64::new(0);
    convey(
        |stretch: &mut Stretch| Ok(source.read(stretch)?),
        |stretch| stretch.join(&joiners, range),
        |stretch| {
            done.fetch_add(stretch.write(&mut writer)?, Ordering::Relaxed);
            Ok(())
        },
        || if is_ending(done.load(Ordering::Relaxed)) { Err(MergeError::Ended) } else { Ok(()) },
    )?;
    Ok(writer.finish(meta)?)
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
