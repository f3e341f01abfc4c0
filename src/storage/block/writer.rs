//! Writes a block so that it is there as a whole or not at all.

use std::path::{Path, PathBuf};

use ulid::Ulid;

use crate::chunk::{AGGREGATE, AggregateChunk, Encoding, sample_count};
use crate::disk::SharedDisk;
use crate::model::Labels;
use crate::series::Chunk;
use crate::storage::index::{ChunkMeta, IndexError, IndexWriter, SymbolPair, SymbolTable};

use super::chunks::ChunkWriter;
use super::{BlockError, BlockMeta, BlockStats, Tombstones};

pub(super) const INDEX: &str = "index";

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
    disk: SharedDisk,
    data_dir: PathBuf,
    ulid: Ulid,
    unfinished: PathBuf,
    chunks: Option<ChunkWriter>,
    index: Option<IndexWriter>,
    stats: BlockStats,
    is_downsampled: bool,
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
        let unfinished = data_dir.join(format!("{ulid}.tmp-for-creation"));
        if disk.exists(&unfinished) {
            disk.remove_dir_all(&unfinished).map_err(BlockError::io(&unfinished))?;
        }
        let chunks = ChunkWriter::create(disk.clone(), &unfinished, options.segment_bytes)?;
        let mut writer = Self {
            disk,
            data_dir: data_dir.to_owned(),
            ulid,
            unfinished,
            chunks: Some(chunks),
            index: None,
            stats: BlockStats::default(),
            is_downsampled: false,
            metas: Vec::new(),
        };
        let path = writer.unfinished.join(INDEX);
        let index = IndexWriter::new(&writer.disk, &path, symbols);
        writer.index = Some(index.map_err(BlockError::index(&path))?);
        Ok(writer)
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
        let result = self.try_add(chunks, enter);
        if result.is_err() {
            (self.index, self.chunks) = (None, None);
        }
        result
    }

    fn try_add(
        &mut self,
        chunks: &[Chunk],
        enter: impl FnOnce(&mut IndexWriter, &[ChunkMeta]) -> Result<(), IndexError>,
    ) -> Result<(), BlockError> {
        let (Some(chunk_writer), Some(index)) = (&mut self.chunks, &mut self.index) else {
            return Err(BlockError::Refused("an earlier series was refused".into()));
        };
        for chunk in chunks {
            let is_downsampled = chunk.encoding == AGGREGATE;
            let encoding = Encoding::try_from(chunk.encoding);
            let count = if is_downsampled {
                AggregateChunk::parse(&chunk.data).and_then(|parts| parts.window_count())
            } else {
                encoding.and_then(|_| sample_count(chunk.encoding, &chunk.data))
            };
            let count = count
                .map(u64::from)
                .map_err(|error| BlockError::Refused(format!("a chunk cannot be kept: {error}")))?;
            match encoding {
                _ if is_downsampled => self.is_downsampled = true,
                Ok(Encoding::Xor | Encoding::Xor2) => self.stats.num_float_samples += count,
                _ => self.stats.num_histogram_samples += count,
            }
            self.stats.num_samples += count;
            self.stats.num_chunks += 1;
        }
        self.stats.num_series += 1;
        self.metas.clear();
        chunk_writer.write(chunks, &mut self.metas)?;
        let path = self.unfinished.join(INDEX);
        enter(index, &self.metas).map_err(BlockError::index(&path))
    }

    /// Makes the block appear under its name. `meta` says what it covers and where it comes from;
    /// name and numbers are filled in, but for those of floats and histograms if its chunks are
    /// downsampled. `None` if no series was added: there is no block then.
    ///
    /// # Errors
    /// The disk's answer; there is no block then, unless only the last sync was refused.
    pub fn finish(mut self, mut meta: BlockMeta) -> Result<Option<BlockMeta>, BlockError> {
        let (Some(chunks), Some(index)) = (self.chunks.take(), self.index.take()) else {
            return Err(BlockError::Refused("a series was refused".into()));
        };
        if self.stats.num_series == 0 {
            return Ok(None);
        }
        chunks.finish()?;
        let path = self.unfinished.join(INDEX);
        index.finish().map_err(BlockError::index(&path))?;
        meta.ulid = self.ulid;
        if self.is_downsampled {
            // Which kind of samples there were is known of the block that this one comes from.
            self.stats.num_float_samples = meta.stats.num_float_samples;
            self.stats.num_histogram_samples = meta.stats.num_histogram_samples;
        }
        meta.stats = self.stats;
        meta.write(&*self.disk, &self.unfinished)?;
        Tombstones::new().write(&*self.disk, &self.unfinished)?;
        self.disk.sync_dir(&self.unfinished).map_err(BlockError::io(&self.unfinished))?;
        let finished = self.data_dir.join(self.ulid.to_string());
        if self.disk.exists(&finished) {
            self.disk.remove_dir_all(&finished).map_err(BlockError::io(&finished))?;
        }
        self.disk.rename(&self.unfinished, &finished).map_err(BlockError::io(&finished))?;
        self.disk.sync_dir(&self.data_dir).map_err(BlockError::io(&self.data_dir))?;
        Ok(Some(meta))
    }
}

impl Drop for BlockWriter {
    fn drop(&mut self) {
        // After a finish the folder has another name.
        if self.disk.exists(&self.unfinished)
            && let Err(error) = self.disk.remove_dir_all(&self.unfinished)
        {
            tracing::warn!(%error, path = %self.unfinished.display(), "unfinished block is left");
        }
    }
}
