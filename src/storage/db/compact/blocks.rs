//! Several blocks as one, or one without what is deleted in it.

use std::path::Path;
use std::sync::Arc;

use crate::chunk::EncodeOptions;
use crate::disk::SharedDisk;
use crate::series::Chunk;
use crate::storage::block::{Block, BlockError, BlockMeta, BlockScan, BlockWriter, clip_chunks};
use crate::storage::db::TsdbError;
use crate::storage::index::{SymbolPair, SymbolTable};

use super::join::Joiner;

/// Writes the block `meta` with all that is not deleted in `blocks`; no block if that is nothing.
/// Where several have a sample for the same time, the first of them wins. Looks at `is_ending`
/// now and then, and gives up if it is true.
pub(in crate::storage::db) fn merge_blocks(
    disk: &SharedDisk,
    dir: &Path,
    blocks: &[Arc<Block>],
    meta: BlockMeta,
    options: EncodeOptions,
    is_ending: &dyn Fn() -> bool,
) -> Result<Option<BlockMeta>, TsdbError> {
    let (symbols, numbers) = merge_symbols(blocks)?;
    let mut writer =
        BlockWriter::with_symbols(disk.clone(), dir, meta.ulid, symbols, &Default::default())?;
    let mut scans = Vec::with_capacity(blocks.len());
    for (block, numbers) in blocks.iter().zip(numbers) {
        let mut scan = BlockScan::new(block, numbers)?;
        if scan.advance()? {
            scans.push(scan);
        }
    }
    let joiner = Joiner::new(options);
    let mut series = Merge { scans, labels: Vec::new(), chunks: Vec::new(), joiner };
    let range = meta.range();
    while let Some(first) = series.first() {
        if is_ending() {
            return Err(TsdbError::Closed);
        }
        series.gather(first)?;
        clip_chunks(&mut series.chunks, range).map_err(in_chunk)?;
        writer.add_numbered(&series.labels, &series.chunks)?;
        series.step()?;
    }
    Ok(writer.finish(meta)?)
}

fn in_chunk(error: crate::chunk::ChunkError) -> BlockError {
    BlockError::Refused(format!("chunks that share time: {error}"))
}

/// The series of several blocks in label order.
struct Merge {
    /// Those that are not at their end, in the order of the blocks.
    scans: Vec<BlockScan>,
    /// Of the series at hand.
    labels: Vec<SymbolPair>,
    chunks: Vec<Chunk>,
    joiner: Joiner,
}

impl Merge {
    /// The first scan at the lowest labels. There are few, so that they are simply looked through.
    fn first(&self) -> Option<usize> {
        let places = self.scans.iter().enumerate();
        places.min_by(|(_, a), (_, b)| a.labels().cmp(b.labels())).map(|(place, _)| place)
    }

    /// Puts the series that the scan `first` is at into `labels` and `chunks`.
    fn gather(&mut self, first: usize) -> Result<(), BlockError> {
        self.chunks.clear();
        self.labels.clear();
        self.labels.extend(self.scans.iter().skip(first).take(1).flat_map(BlockScan::labels));
        let mut sources = 0;
        let same = |scan: &&BlockScan| *scan.labels() == *self.labels;
        for scan in self.scans.iter().skip(first).filter(same) {
            scan.chunks(&mut self.chunks)?;
            sources += 1;
        }
        if sources > 1 {
            self.joiner.join(&mut self.chunks).map_err(in_chunk)?;
        }
        Ok(())
    }

    /// Steps over the series at hand.
    fn step(&mut self) -> Result<(), BlockError> {
        let mut error = None;
        self.scans.retain_mut(|scan| {
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
fn merge_symbols(blocks: &[Arc<Block>]) -> Result<(SymbolTable, Vec<Vec<u32>>), TsdbError> {
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
