//! Blocks on the local disk while they are worked on, and what is wrong with them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ulid::Ulid;

use crate::chunk::{self, AGGREGATE, AggregateChunk, ChunkError, Part};
use crate::longterm::{
    BucketBlock, IndexStats, LongTermError, Source, ThanosMeta, UploadOptions, upload_block,
};
use crate::series::{Chunk, Column};
use crate::storage::block::{Block, BlockError, BlockMeta, BlockScan};

use super::CompactError;
use super::group::GroupKey;
use super::health::{Health, Sickness, examine};
use super::quarantine::Reason;
use super::round::Round;
use super::watch::Progress;

/// The key of ours among the extensions of a meta.
const EXTENSION: &str = "promlite";

/// Why work on some blocks did not go well.
#[derive(Debug)]
pub(super) enum Trouble {
    /// One of the blocks is not what it should be.
    Sick { block: Ulid, reason: Reason, details: String },
    /// Something else.
    Failed(CompactError),
}

impl<E: Into<CompactError>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl From<LongTermError> for CompactError {
    fn from(error: LongTermError) -> Self {
        match error {
            LongTermError::Bucket(error) => Self::Bucket(error),
            LongTermError::Block(error) => Self::Block(error),
            LongTermError::Ended => Self::Ended,
            other => Self::Refused(other.to_string()),
        }
    }
}

pub(super) fn sick(block: Ulid, reason: Reason, details: impl ToString) -> Trouble {
    Trouble::Sick { block, reason, details: details.to_string() }
}

/// What an error about the local copy of one of `blocks` means.
pub(super) fn trouble_with(blocks: &[Ulid], error: BlockError) -> Trouble {
    let path = match &error {
        BlockError::Corrupt { path, .. } | BlockError::Unsupported { path, .. } => path,
        BlockError::Io { path, error: io } if io.kind() == std::io::ErrorKind::NotFound => path,
        _ => return error.into(),
    };
    let is_in = |block: &&Ulid| {
        let name = block.to_string();
        path.iter().any(|part| part.to_str() == Some(name.as_str()))
    };
    match blocks.iter().find(is_in) {
        Some(block) => sick(*block, Reason::Damaged, without_folder(*block, path, &error)),
        None => error.into(),
    }
}

/// The text of an error, with the object's key in place of the path on the local disk.
fn without_folder(block: Ulid, path: &Path, error: &BlockError) -> String {
    let text = error.to_string();
    let shown = path.display().to_string();
    let block = block.to_string();
    let key = shown.find(&block).and_then(|place| shown.get(place..)).unwrap_or_default();
    if key.is_empty() { text } else { text.replace(&shown, key) }
}

/// Which kind of trouble a sickness is.
pub(super) fn reason_of(sickness: &Sickness) -> Reason {
    match sickness {
        Sickness::Outside(_) => Reason::ChunksOutside,
        Sickness::OutOfOrder(_) => Reason::ChunksOutOfOrder,
        Sickness::Labels(_) | Sickness::Series(_) => Reason::SeriesOutOfOrder,
    }
}

/// The first chunk of a block that cannot be understood.
pub(super) fn first_unreadable(block: &Block) -> Result<Option<String>, BlockError> {
    let count = u32::try_from(block.symbol_count()).unwrap_or(u32::MAX);
    let mut scan = BlockScan::new(block, (0..count).collect())?;
    let (mut chunks, mut column) = (Vec::new(), Column::new());
    while scan.advance()? {
        chunks.clear();
        scan.chunks(&mut chunks)?;
        for chunk in &chunks {
            column.clear();
            if let Err(error) = read_whole(chunk, &mut column) {
                let start_ms = chunk.min_time_ms;
                return Ok(Some(format!("series {}, chunk from {start_ms}: {error}", scan.id())));
            }
        }
    }
    Ok(None)
}

/// Decodes all that is in a chunk, of aggregates each.
fn read_whole(whole: &Chunk, into: &mut Column) -> Result<(), ChunkError> {
    let all = (i64::MIN, i64::MAX);
    if whole.encoding != AGGREGATE {
        return chunk::decode(whole.encoding, &whole.data, all, into);
    }
    let aggregates = AggregateChunk::parse(&whole.data)?;
    let parts = [Part::Count, Part::Sum, Part::Min, Part::Max, Part::Counter, Part::LastRaw];
    for part in parts {
        into.clear();
        if let Some((encoding, data)) = aggregates.get(part) {
            chunk::decode(encoding, data, all, into)?;
        }
    }
    Ok(())
}

/// What the new block says of extensions: those that all sources with any have, as the first has
/// them, and who wrote it.
pub(super) fn extensions(sources: &[Arc<BucketBlock>], token: u64) -> Option<serde_json::Value> {
    let mut with_any =
        sources.iter().filter_map(|block| block.thanos.extensions.as_ref()?.as_object());
    let mut kept = with_any.next().cloned().unwrap_or_default();
    for other in with_any {
        kept.retain(|key, _| other.contains_key(key));
    }
    kept.remove(EXTENSION);
    if token != 0 {
        kept.insert(EXTENSION.to_owned(), serde_json::json!({ "compactor_token": token }));
    }
    (!kept.is_empty()).then_some(serde_json::Value::Object(kept))
}

/// The size of a block's files, as far as its meta tells.
pub(super) fn size_bytes(block: &BucketBlock) -> u64 {
    block.thanos.files.iter().map(|file| file.size_bytes).sum()
}

impl Round<'_> {
    /// An empty folder for the work on a group.
    pub(super) fn work_dir(&self, key: &GroupKey) -> Result<PathBuf, CompactError> {
        let dir = self.compactor.options.work_dir.join("compact").join(key.id());
        self.clear(&dir)?;
        let made = self.compactor.disk.create_dir_all(&dir);
        made.map_err(|error| BlockError::Io { path: dir.clone(), error })?;
        Ok(dir)
    }

    pub(super) fn clear(&self, dir: &Path) -> Result<(), CompactError> {
        let disk = &self.compactor.disk;
        if !disk.exists(dir) {
            return Ok(());
        }
        let removed = disk.remove_dir_all(dir);
        Ok(removed.map_err(|error| BlockError::Io { path: dir.to_owned(), error })?)
    }

    /// Refuses blocks that, with what is made of them, need more room than there may be.
    pub(super) fn check_room(&self, blocks: &[Arc<BucketBlock>]) -> Result<(), CompactError> {
        let limit_bytes = self.compactor.options.disk_bytes_max;
        let wanted_bytes = blocks.iter().map(|block| size_bytes(block).saturating_mul(2)).sum();
        if limit_bytes != 0 && wanted_bytes > limit_bytes {
            return Err(CompactError::Room { wanted_bytes, limit_bytes });
        }
        Ok(())
    }

    /// Uploads the block in `dir` as one of the group, after a look at it.
    pub(super) fn publish(
        &self,
        dir: &Path,
        key: &GroupKey,
        sources: &[Arc<BucketBlock>],
    ) -> Result<Arc<BucketBlock>, CompactError> {
        self.outgrow(dir, key, sources)?;
        let local = Block::open(&self.compactor.disk, dir)?;
        let health = examine(&local, &|| false)?;
        let health = health.and_then(|health| health.sickness().map_or(Ok(health), Err));
        let health = health.map_err(|sickness| {
            CompactError::Refused(format!("{}: not uploaded: {sickness}", dir.display()))
        })?;
        let thanos = self.section(key, &health, sources);
        let (ulid, all_bytes) = (local.meta().ulid, local.size_bytes());
        drop(local);
        self.guard.check()?;
        let done = std::cell::Cell::new(0_u64);
        let progress = |bytes: u64| {
            done.set(done.get().saturating_add(bytes));
            self.guard.is_ending();
            let done_bytes = done.get();
            self.guard.progress(Progress::Upload { block: ulid, done_bytes, all_bytes });
        };
        let (bucket, disk) = (&self.compactor.bucket, &self.compactor.disk);
        let is_ending = || self.guard.is_ending();
        let clock = self.compactor.clock.clone();
        let (progress, is_ending): (&dyn Fn(u64), &dyn Fn() -> bool) = (&progress, &is_ending);
        let options = UploadOptions { clock, progress, is_ending, ..UploadOptions::default() };
        let uploaded = upload_block(bucket, disk, dir, &thanos, &options);
        let uploaded = uploaded.map_err(|error| match error {
            LongTermError::Ended => self.guard.end(),
            error => error.into(),
        })?;
        Ok(Arc::new(uploaded))
    }

    fn section(&self, key: &GroupKey, health: &Health, sources: &[Arc<BucketBlock>]) -> ThanosMeta {
        let mut thanos = ThanosMeta::default();
        thanos.labels.clone_from(&key.labels);
        thanos.source = Source::Compactor;
        thanos.set_resolution_ms(key.resolution_ms);
        let size = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        thanos.index_stats = IndexStats {
            series_max_size: size(health.series_bytes_max),
            chunk_max_size: size(health.chunk_bytes_max),
        };
        thanos.extensions = extensions(sources, self.guard.token());
        thanos
    }

    /// A name that no block has had.
    pub(super) fn new_ulid(&self) -> Ulid {
        let now_ms = u64::try_from(self.compactor.clock.now_ms()).unwrap_or_default();
        Ulid::from_parts(now_ms, Ulid::r#gen().random())
    }

    /// Makes sure that no other block of the group has all sources of the new one in `dir`. Whoever
    /// looks for superfluous blocks, Thanos too, might take the new one for superfluous: beside one
    /// that it replaces without having more sources, or beside one that was set aside.
    fn outgrow(
        &self,
        dir: &Path,
        key: &GroupKey,
        sources: &[Arc<BucketBlock>],
    ) -> Result<(), CompactError> {
        let disk = &*self.compactor.disk;
        let mut meta = BlockMeta::read(disk, dir)?;
        let before = meta.compaction.sources.clone();
        let own = &mut meta.compaction.sources;
        let nameless = sources.iter().filter(|block| block.sources().is_empty());
        own.extend(nameless.map(|block| block.ulid()));
        own.sort_unstable();
        own.dedup();
        let replica_labels = &self.compactor.options.replica_labels;
        let has_all = |other: &&Arc<BucketBlock>| {
            own.iter().all(|source| other.sources().contains(source))
                && GroupKey::of(other, replica_labels) == *key
        };
        if self.picture.view.blocks.iter().any(|other| has_all(&other)) {
            own.push(meta.ulid);
            own.sort_unstable();
        }
        if *own != before {
            meta.write(disk, dir)?;
        }
        Ok(())
    }
}
