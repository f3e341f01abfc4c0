//! Writes a block so that it is there as a whole or not at all.

use std::path::Path;

use ulid::Ulid;

use crate::disk::SharedDisk;
use crate::model::Labels;
use crate::series::Chunk;
use crate::storage::index::{ChunkMeta, IndexError, IndexWriter, SymbolPair, SymbolTable};

use super::unfinished::{SampleWriter, UnfinishedBlock};
use super::{BlockError, BlockMeta};

/// How a block is written.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WriterOptions {
    /// A chunk segment that would grow beyond this is ended; at most 4 GiB.
    pub segment_bytes: u64,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { segment_bytes: 512 << 20 }
    }
}

/// Writes one block: symbols when it is made, then series in label order.
///
/// All of it happens in `<ulid>.tmp-for-creation`, which [`finish`](Self::finish) syncs and
/// renames. A writer that is dropped before removes that folder.
#[derive(Debug)]
pub struct BlockWriter {
    /// Neither is there any more once a series was refused.
    halves: Option<(SampleWriter, IndexWriter)>,
    unfinished: UnfinishedBlock,
    metas: Vec<ChunkMeta>,
}
impl BlockWriter {
    /// Starts the block `ulid` in `data_dir` with all names and values that its labels will have;
    /// `symbols` ascend strictly.
    ///
    /// # Errors
    /// The disk's answer, or symbols that do not ascend.
    pub fn new(
        disk: SharedDisk,
        data_dir: &Path,
        ulid: Ulid,
        symbols: &mut dyn Iterator<Item = &str>,
    ) -> Result<Self, BlockError> {
        Self::with_options(disk, data_dir, ulid, symbols, &WriterOptions::default())
    }

    /// As [`new`](Self::new), with options.
    ///
    /// # Errors
    /// The disk's answer, or symbols that do not ascend.
    pub fn with_options(
        disk: SharedDisk,
        data_dir: &Path,
        ulid: Ulid,
        symbols: &mut dyn Iterator<Item = &str>,
        options: &WriterOptions,
    ) -> Result<Self, BlockError> {
        let symbols = SymbolTable::from_sorted(symbols);
        let symbols = symbols.map_err(|error| BlockError::Refused(error.to_string()))?;
        Self::with_symbols(disk, data_dir, ulid, symbols, options)
    }

    /// As [`with_options`](Self::with_options), for a table that is made already.
    ///
    /// # Errors
    /// The disk's answer.
    pub fn with_symbols(
        disk: SharedDisk,
        data_dir: &Path,
        ulid: Ulid,
        symbols: SymbolTable,
        options: &WriterOptions,
    ) -> Result<Self, BlockError> {
        let unfinished = UnfinishedBlock::new(disk, data_dir, ulid)?;
        let samples = unfinished.samples(options)?;
        let index = unfinished.index(symbols)?;
        Ok(Self { halves: Some((samples, index)), unfinished, metas: Vec::new() })
    }

    /// Adds a series behind those before it, in label order. Its chunks ascend by time and do not
    /// overlap; a series without chunks is left out.
    ///
    /// # Errors
    /// The disk's answer, or a series or chunk that breaks the order; the block cannot be finished
    /// then.
    pub fn add_series(&mut self, labels: &Labels, chunks: &[Chunk]) -> Result<(), BlockError> {
        self.add(chunks, |index, metas| index.add_series(labels, metas))
    }

    /// As [`add_series`](Self::add_series), with labels given as the numbers of their symbols.
    ///
    /// # Errors
    /// As there.
    pub fn add_numbered(
        &mut self,
        labels: &[SymbolPair],
        chunks: &[Chunk],
    ) -> Result<(), BlockError> {
        self.add(chunks, |index, metas| index.add_numbered(labels, metas))
    }

    fn add(
        &mut self,
        chunks: &[Chunk],
        enter: impl FnOnce(&mut IndexWriter, &[ChunkMeta]) -> Result<(), IndexError>,
    ) -> Result<(), BlockError> {
        if chunks.is_empty() {
            return Ok(());
        }
        let (samples, index) = self.halves.as_mut().ok_or_else(refused_before)?;
        self.metas.clear();
        let index_error = self.unfinished.index_error();
        let added = samples
            .write(chunks, &mut self.metas)
            .and_then(|()| enter(index, &self.metas).map_err(index_error));
        if added.is_err() {
            self.halves = None;
        }
        added
    }

    /// Makes the block appear under its name. `meta` says what it covers and where it comes from;
    /// name and numbers are filled in, but for those of floats and histograms if its chunks are
    /// downsampled. `None` if no series was added: there is no block then.
    ///
    /// # Errors
    /// The disk's answer; there is no block then, unless only the last sync was refused.
    pub fn finish(self, meta: BlockMeta) -> Result<Option<BlockMeta>, BlockError> {
        let (samples, index) = self.halves.ok_or_else(refused_before)?;
        let Some(meta) = samples.finish(meta)? else { return Ok(None) };
        index.finish().map_err(self.unfinished.index_error())?;
        self.unfinished.publish(meta).map(Some)
    }
}

fn refused_before() -> BlockError {
    BlockError::Refused("an earlier series was refused".into())
}
