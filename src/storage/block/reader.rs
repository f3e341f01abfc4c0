//! An opened block: nothing of it is read before it is asked for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, SharedDisk};
use crate::series::{QueryError, Queryable, Select, Series, SeriesSet};
use crate::storage::index::{IndexError, IndexReader, SeriesScratch, intersects};

use super::chunks::ChunkReader;
use super::series::BlockSeries;
use super::unfinished::INDEX;
use super::{BlockError, BlockMeta, Tombstones};

/// A block that can be asked. The answers keep it open; its files may be removed meanwhile.
#[derive(Debug)]
pub struct Block(pub(super) Arc<Parts>);

/// What the series of a block share.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) disk: SharedDisk,
    dir: PathBuf,
    pub(super) meta: BlockMeta,
    pub(super) index: IndexReader,
    pub(super) chunks: ChunkReader,
    pub(super) tombstones: Tombstones,
    /// The length of the windows that its samples stand for; 0 of raw ones.
    pub(super) resolution_ms: i64,
    size_bytes: u64,
}

impl Block {
    /// Opens the block in `dir`.
    ///
    /// # Errors
    /// The disk's answer, or a file whose header or tables are not what they should be.
    pub fn open(disk: &SharedDisk, dir: &Path) -> Result<Arc<Self>, BlockError> {
        let meta = BlockMeta::read(&**disk, dir)?;
        let path = dir.join(INDEX);
        let bytes = disk.map(&path).map_err(BlockError::io(&path))?;
        let index = IndexReader::open(bytes).map_err(BlockError::index(&path))?;
        let chunks = ChunkReader::open(&**disk, dir)?;
        let (tombstones, tombstones_bytes) = Tombstones::read(&**disk, dir)?;
        let size_bytes =
            index.size_bytes() + chunks.size_bytes() + tombstones_bytes + meta_bytes(&**disk, dir)?;
        let (disk, dir) = (disk.clone(), dir.to_owned());
        let resolution_ms = meta.resolution_ms().max(0);
        let parts = Parts { disk, dir, meta, index, chunks, tombstones, resolution_ms, size_bytes };
        Ok(Arc::new(Self(Arc::new(parts))))
    }

    /// What the block says of itself.
    #[must_use]
    pub fn meta(&self) -> &BlockMeta {
        &self.0.meta
    }

    /// The block's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// What the block's files take on disk.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.0.size_bytes
    }

    /// Which samples are deleted.
    #[must_use]
    pub fn tombstones(&self) -> &Tombstones {
        &self.0.tombstones
    }

    /// All names and values of labels, ascending: what a block that is merged from this one needs.
    pub fn symbols(&self) -> impl Iterator<Item = Result<&str, BlockError>> {
        self.0.index.symbols().map(|symbol| symbol.map_err(|error| self.0.of_index(error)))
    }
}

/// For those who look at the parts one by one.
impl Block {
    pub(in crate::storage) fn index(&self) -> &IndexReader {
        &self.0.index
    }

    pub(in crate::storage) fn index_error(&self, error: IndexError) -> BlockError {
        self.0.of_index(error)
    }

    /// Encoding and bytes of a chunk, its checksum verified.
    pub(in crate::storage) fn chunk(&self, reference: u64) -> Result<(u8, &[u8]), BlockError> {
        self.0.chunks.chunk(reference)
    }

    /// The file that a reference points into.
    pub(in crate::storage) fn chunk_path(&self, reference: u64) -> &Path {
        self.0.chunks.path(reference)
    }
}

/// The disk has no call for the size of one file, but its listing tells.
fn meta_bytes(disk: &dyn Disk, dir: &Path) -> Result<u64, BlockError> {
    let entries = disk.list(dir).map_err(BlockError::io(dir))?;
    let meta = entries.iter().find(|entry| entry.name == super::meta::META);
    Ok(meta.map_or(0, |entry| entry.len_bytes))
}

impl Parts {
    pub(super) fn of_index(&self, error: IndexError) -> BlockError {
        BlockError::index(&self.dir.join(INDEX))(error)
    }

    pub(super) fn broken_series(&self, id: u32, what: &'static str) -> BlockError {
        self.of_index(IndexError::of_series(what, id))
    }

    /// Ids of the series that match.
    fn ids(&self, ask: &Select) -> Result<Vec<u32>, QueryError> {
        Ok(self.ids_of(&ask.matchers)?)
    }

    fn names(&self, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        if ask.matchers.is_empty() {
            return Ok(self.index.label_names().map(Arc::from).collect());
        }
        let mut names = BTreeSet::new();
        let mut scratch = SeriesScratch::default();
        for id in self.ids(ask)? {
            let added = self.index.names_of_series(id, &mut names, &mut scratch);
            added.map_err(|error| self.of_index(error))?;
        }
        Ok(names.into_iter().map(Arc::from).collect())
    }

    fn values(&self, name: &str, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        let mut values: Vec<Arc<str>> = Vec::new();
        let limit = limit(ask);
        let walked = if name.is_empty() {
            Ok(())
        } else if ask.matchers.is_empty() {
            self.index.label_values(name, &mut |value| {
                values.push(value.into());
                values.len() < limit
            })
        } else {
            let ids = self.ids(ask)?;
            self.index.label_values_with_series(name, &mut |value, list| {
                if intersects(&ids, list) {
                    values.push(value.into());
                }
                values.len() < limit
            })
        };
        walked.map_err(|error| self.of_index(error))?;
        Ok(values)
    }
}

fn limit(ask: &Select) -> usize {
    if ask.hints.limit == 0 { usize::MAX } else { ask.hints.limit }
}

impl Queryable for Block {
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
        let mut set = SeriesSet::default();
        let parts = &self.0;
        if !parts.meta.range().overlaps(ask.range) {
            return Ok(set);
        }
        let (limit, ids) = (limit(ask), parts.ids(ask)?);
        let mut scratch = SeriesScratch::for_series(ids.len());
        let (range, wanted) = (parts.reach(ask.range), ask.hints.aggregate());
        set.series.reserve_exact(ids.len().min(limit));
        for id in ids {
            let labels = parts.index.series_in(id, range, &mut scratch);
            let Some(labels) = labels.map_err(|error| parts.of_index(error))? else { continue };
            let labels = labels.to_labels();
            if let Some(series) = BlockSeries::new(parts, id, labels, &scratch.chunks, wanted) {
                set.series.push(Box::new(series) as Box<dyn Series>);
            }
            if set.series.len() == limit {
                break;
            }
        }
        Ok(set)
    }

    fn label_names(&self, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        if !self.0.meta.range().overlaps(ask.range) {
            return Ok(Vec::new());
        }
        let mut names = self.0.names(ask)?;
        names.truncate(limit(ask));
        Ok(names)
    }

    fn label_values(&self, name: &str, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        if !self.0.meta.range().overlaps(ask.range) {
            return Ok(Vec::new());
        }
        self.0.values(name, ask)
    }
}
