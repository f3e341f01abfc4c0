//! The folder that a block is written in, and the half of it that holds the samples.
//!
//! Samples and index are files of their own: who has two threads writes both at once.

use std::path::{Path, PathBuf};

use ulid::Ulid;

use crate::chunk::{AGGREGATE, AggregateChunk, Encoding, sample_count};
use crate::disk::SharedDisk;
use crate::series::Chunk;
use crate::storage::index::{ChunkMeta, IndexError, IndexWriter, SymbolTable};

use super::chunks::ChunkWriter;
use super::{BlockError, BlockMeta, BlockStats, Tombstones, WriterOptions};

pub(super) const INDEX: &str = "index";

/// The folder `<ulid>.tmp-for-creation`, which becomes the block as a whole, or goes.
#[derive(Debug)]
pub(in crate::storage) struct UnfinishedBlock {
    disk: SharedDisk,
    data_dir: PathBuf,
    ulid: Ulid,
    dir: PathBuf,
    index: PathBuf,
}

impl UnfinishedBlock {
    /// A name for the block `ulid` of `data_dir`; what an earlier writer left under it is removed.
    pub(in crate::storage) fn new(
        disk: SharedDisk,
        data_dir: &Path,
        ulid: Ulid,
    ) -> Result<Self, BlockError> {
        let dir = data_dir.join(format!("{ulid}.tmp-for-creation"));
        if disk.exists(&dir) {
            disk.remove_dir_all(&dir).map_err(BlockError::io(&dir))?;
        }
        let index = dir.join(INDEX);
        Ok(Self { disk, data_dir: data_dir.to_owned(), ulid, dir, index })
    }

    /// Makes the folder; what is written to it holds the samples. To be called before
    /// [`index`](Self::index).
    pub(in crate::storage) fn samples(
        &self,
        options: &WriterOptions,
    ) -> Result<SampleWriter, BlockError> {
        let chunks = ChunkWriter::create(self.disk.clone(), &self.dir, options.segment_bytes)?;
        Ok(SampleWriter { chunks, stats: BlockStats::default(), is_downsampled: false })
    }

    /// Starts the index.
    pub(in crate::storage) fn index(
        &self,
        symbols: SymbolTable,
    ) -> Result<IndexWriter, BlockError> {
        IndexWriter::new(&self.disk, &self.index, symbols).map_err(self.index_error())
    }

    /// What an error of the index is as one of the block.
    pub(in crate::storage) fn index_error(&self) -> impl Fn(IndexError) -> BlockError + Copy {
        BlockError::index(&self.index)
    }

    /// Makes the block appear under its name, when samples and index are finished.
    pub(in crate::storage) fn publish(self, mut meta: BlockMeta) -> Result<BlockMeta, BlockError> {
        meta.ulid = self.ulid;
        meta.write_new(&*self.disk, &self.dir)?;
        Tombstones::new().write_new(&*self.disk, &self.dir)?;
        self.disk.sync_dir(&self.dir).map_err(BlockError::io(&self.dir))?;
        let finished = self.data_dir.join(self.ulid.to_string());
        if self.disk.exists(&finished) {
            self.disk.remove_dir_all(&finished).map_err(BlockError::io(&finished))?;
        }
        self.disk.rename(&self.dir, &finished).map_err(BlockError::io(&finished))?;
        self.disk.sync_dir(&self.data_dir).map_err(BlockError::io(&self.data_dir))?;
        Ok(meta)
    }
}

impl Drop for UnfinishedBlock {
    fn drop(&mut self) {
        // After it was published the folder has another name.
        if self.disk.exists(&self.dir)
            && let Err(error) = self.disk.remove_dir_all(&self.dir)
        {
            tracing::warn!(%error, path = %self.dir.display(), "unfinished block is left");
        }
    }
}

/// Writes and counts the samples of a block.
#[derive(Debug)]
pub(in crate::storage) struct SampleWriter {
    chunks: ChunkWriter,
    stats: BlockStats,
    is_downsampled: bool,
}

impl SampleWriter {
    /// Adds the chunks of a series behind those of the series before it, and appends what the index
    /// must know of them to `metas`. A series without chunks does not count.
    pub(in crate::storage) fn write(
        &mut self,
        chunks: &[Chunk],
        metas: &mut Vec<ChunkMeta>,
    ) -> Result<(), BlockError> {
        if chunks.is_empty() {
            return Ok(());
        }
        for chunk in chunks {
            self.count(chunk)?;
        }
        self.stats.num_series += 1;
        self.chunks.write(chunks, metas)
    }

    fn count(&mut self, chunk: &Chunk) -> Result<(), BlockError> {
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
        Ok(())
    }

    /// Syncs the samples, and fills their numbers into `meta`, but for those of floats and
    /// histograms if the chunks are downsampled. `None` if there are none.
    pub(in crate::storage) fn finish(
        mut self,
        mut meta: BlockMeta,
    ) -> Result<Option<BlockMeta>, BlockError> {
        if self.stats.num_series == 0 {
            return Ok(None);
        }
        self.chunks.finish()?;
        if self.is_downsampled {
            // Which kind of samples there were is known of the block that this one comes from.
            self.stats.num_float_samples = meta.stats.num_float_samples;
            self.stats.num_histogram_samples = meta.stats.num_histogram_samples;
        }
        meta.stats = self.stats;
        Ok(Some(meta))
    }
}
