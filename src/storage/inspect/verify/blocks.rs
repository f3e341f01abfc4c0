//! Blocks: each file by itself, and each against the others.

use std::path::Path;

use ulid::Ulid;

use crate::chunk::{self, AGGREGATE, AggregateChunk, ChunkError, Part};
use crate::model::{Column, Labels};
use crate::series::TimeRange;
use crate::storage::block::{Block, BlockError, BlockStats};
use crate::storage::index::{ChunkMeta, PostingsCursor, PostingsSource as _, SeriesScratch};

use super::super::InspectError;
use super::Check;

pub(super) fn check_all(check: &mut Check<'_>, dir: &Path) -> Result<(), InspectError> {
    for entry in check.list(dir)? {
        if entry.is_dir && Ulid::from_string(&entry.name).is_ok() {
            check.begin_part();
            let path = dir.join(&entry.name);
            let before = check.progress.done_bytes;
            check_block(check, &path)?;
            check.verified.blocks += 1;
            // What the samples did not account for: index, tombstones, meta.json.
            let bytes = super::size_of(check.disk, &path, 1)?;
            check.advance(bytes.saturating_sub(check.progress.done_bytes - before));
        }
    }
    Ok(())
}

fn tell(check: &mut Check<'_>, dir: &Path, error: BlockError) -> Result<(), InspectError> {
    match error {
        BlockError::Corrupt { path, offset, what } => check.found(&path, Some(offset), what),
        BlockError::Unsupported { path, what } => check.found(&path, None, what),
        BlockError::Io { path, error } if error.kind() == std::io::ErrorKind::NotFound => {
            check.found(&path, None, error.to_string());
        }
        BlockError::Io { path, error } => return Err(InspectError::Io { path, error }),
        other => check.found(dir, None, other.to_string()),
    }
    Ok(())
}

fn check_block(check: &mut Check<'_>, dir: &Path) -> Result<(), InspectError> {
    let block = match Block::open(check.disk, dir) {
        Ok(block) => block,
        Err(error) => return tell(check, dir, error),
    };
    if dir.file_name().is_none_or(|name| name != block.meta().ulid.to_string().as_str()) {
        let what = format!("the folder's name is not the block's, {}", block.meta().ulid);
        check.found(&dir.join("meta.json"), None, what);
    }
    check_symbols(check, &block)?;
    let pairs = check_series(check, &block)?;
    check_postings(check, &block, pairs)
}

fn check_symbols(check: &mut Check<'_>, block: &Block) -> Result<(), InspectError> {
    let index_path = block.dir().join("index");
    let mut last: Option<&str> = None;
    for symbol in block.symbols() {
        let symbol = match symbol {
            Ok(symbol) => symbol,
            Err(error) => return tell(check, block.dir(), error),
        };
        if last.is_some_and(|last| last >= symbol) {
            check.found(&index_path, None, format!("symbol {symbol:?} is out of order"));
        }
        last = Some(symbol);
    }
    Ok(())
}

/// Checks every series and its chunks; returns how many labels all series have together.
fn check_series(check: &mut Check<'_>, block: &Block) -> Result<u64, InspectError> {
    let index_path = block.dir().join("index");
    let mut list = match block.index().all() {
        Ok(list) => list,
        Err(error) => return tell(check, block.dir(), block.index_error(error)).map(|()| 0),
    };
    let mut walk = SeriesWalk::default();
    let mut last_id = None;
    while let Some(id) = list.next_id() {
        let offset = Some(u64::from(id) * 16);
        if last_id.is_some_and(|last| last >= id) {
            check.found(&index_path, offset, "series out of order in the list of all series");
        }
        last_id = Some(id);
        let labels = match block.index().series(id, &mut walk.scratch) {
            Ok(labels) => labels.to_labels(),
            Err(error) => {
                tell(check, block.dir(), block.index_error(error))?;
                continue;
            }
        };
        if walk.last.as_ref().is_some_and(|last| *last >= labels) {
            check.found(&index_path, offset, format!("series {labels} is out of order"));
        }
        walk.pairs += labels.len() as u64;
        walk.stats.num_series += 1;
        walk.check_chunks(check, block, &labels)?;
        walk.last = Some(labels);
    }
    check.verified.series += walk.stats.num_series;
    let (found, said) = (walk.stats, block.meta().stats);
    for (what, found, said) in [
        ("series", found.num_series, said.num_series),
        ("chunks", found.num_chunks, said.num_chunks),
        ("samples", found.num_samples, said.num_samples),
    ] {
        if found != said {
            let what = format!("says {said} {what}, the block holds {found}");
            check.found(&block.dir().join("meta.json"), None, what);
        }
    }
    Ok(walk.pairs)
}

#[derive(Default)]
struct SeriesWalk {
    scratch: SeriesScratch,
    column: Column,
    last: Option<Labels>,
    stats: BlockStats,
    pairs: u64,
}

impl SeriesWalk {
    fn check_chunks(
        &mut self,
        check: &mut Check<'_>,
        block: &Block,
        labels: &Labels,
    ) -> Result<(), InspectError> {
        let index_path = block.dir().join("index");
        let mut behind = None;
        let mut bytes = 0;
        for meta in &self.scratch.chunks {
            self.stats.num_chunks += 1;
            check.verified.chunks += 1;
            if behind.is_some_and(|behind| meta.min_time_ms <= behind) {
                check.found(&index_path, None, format!("chunks of {labels} overlap"));
            }
            behind = Some(meta.max_time_ms);
            if !block.meta().range().overlaps(TimeRange::new(meta.min_time_ms, meta.max_time_ms)) {
                check.found(
                    &index_path,
                    None,
                    format!("a chunk of {labels} is not in the block's time"),
                );
            }
            let (encoding, data) = match block.chunk(meta.reference) {
                Ok(chunk) => chunk,
                Err(error) => {
                    tell(check, block.dir(), error)?;
                    continue;
                }
            };
            bytes += data.len() as u64;
            let path = block.chunk_path(meta.reference);
            let offset = Some(meta.reference & u64::from(u32::MAX));
            self.column.clear();
            if let Err(error) = decode(encoding, data, &mut self.column) {
                check.found(path, offset, error.to_string());
                continue;
            }
            self.stats.num_samples += self.column.len() as u64;
            check.verified.samples += self.column.len() as u64;
            if let Some(what) = disagreement(&self.column, meta) {
                check.found(path, offset, format!("chunk of {labels}: {what}"));
            }
        }
        check.advance(bytes);
        Ok(())
    }
}

/// Reads a chunk; of one of aggregates all parts, of which the counts remain.
fn decode(encoding: u8, data: &[u8], into: &mut Column) -> Result<(), ChunkError> {
    let all = (i64::MIN, i64::MAX);
    if encoding != AGGREGATE {
        return chunk::decode(encoding, data, all, into);
    }
    let parts = AggregateChunk::parse(data)?;
    for part in [Part::LastRaw, Part::Counter, Part::Max, Part::Min, Part::Sum, Part::Count] {
        into.clear();
        if let Some((encoding, data)) = parts.get(part) {
            chunk::decode(encoding, data, all, into)?;
        }
    }
    Ok(())
}

/// What the samples of a chunk and the index say differently.
fn disagreement(column: &Column, meta: &ChunkMeta) -> Option<String> {
    let times = &column.timestamps;
    if !times.is_sorted_by(|a, b| a < b) {
        return Some("times do not ascend".to_owned());
    }
    let (first, last) = (*times.first()?, *times.last()?);
    let is_same = (first, last) == (meta.min_time_ms, meta.max_time_ms);
    let said = (meta.min_time_ms, meta.max_time_ms);
    (!is_same).then(|| format!("samples from {first} to {last}, the index says {said:?}"))
}

/// Checks every list against the series: what it names has the label, and since lists ascend and
/// there are as many entries as labels, none is missing.
fn check_postings(check: &mut Check<'_>, block: &Block, pairs: u64) -> Result<(), InspectError> {
    let index_path = block.dir().join("index");
    let index = block.index();
    let mut entries = 0;
    let names: Vec<&str> = index.label_names().collect();
    for name in names {
        let mut broken = None;
        let walked = index.label_values_with_series(name, &mut |value, mut list| {
            let mut last_id = None;
            while let Some(id) = list.next_id() {
                entries += 1;
                if last_id.is_some_and(|last| last >= id) {
                    check.found(
                        &index_path,
                        None,
                        format!("list of {name}={value:?} is out of order"),
                    );
                }
                last_id = Some(id);
                match index.check_label(id, name, &mut |found| found == value) {
                    Ok(true) => {}
                    Ok(false) => {
                        let what = format!("list of {name}={value:?} names a series without it");
                        check.found(&index_path, Some(u64::from(id) * 16), what);
                    }
                    Err(error) => broken = Some(error),
                }
            }
            broken.is_none()
        });
        if let Err(error) = walked.and(broken.map_or(Ok(()), Err)) {
            tell(check, block.dir(), block.index_error(error))?;
        }
    }
    if entries != pairs {
        let what = format!("the lists have {entries} entries, the series {pairs} labels");
        check.found(&index_path, None, what);
    }
    Ok(())
}
