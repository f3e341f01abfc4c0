//! Blocks that Prometheus wrote, blocks that we write, and blocks that somebody damaged.

mod damaged;
mod golden;
mod own;

use std::path::{Path, PathBuf};

use crate::disk::{Disk, RealDisk, SharedDisk};
use crate::model::Labels;
use crate::series::{Chunk, Column, Queryable, Select, TimeRange};
use crate::storage::index::{
    ChunkMeta, IndexReader, PostingsCursor, PostingsSource, SeriesScratch, select_postings,
};

use super::chunks::ChunkReader;

/// The folders of the blocks that Prometheus wrote.
fn golden_blocks() -> Vec<PathBuf> {
    let blocks = crate::testkit::golden::blocks("blocks");
    assert_eq!(blocks.len(), 6);
    blocks
}

fn disk() -> SharedDisk {
    RealDisk::shared()
}

type RawSeries = (u32, Labels, Vec<Chunk>);

/// Everything in the block, its symbols first, without regard to tombstones.
fn contents(block: &Path) -> (Vec<String>, Vec<RawSeries>) {
    let index = IndexReader::open(RealDisk.map(&block.join("index")).unwrap()).unwrap();
    let chunks = ChunkReader::open(&RealDisk, block).unwrap();
    let symbols = index.symbols().map(|symbol| symbol.unwrap().to_owned()).collect();
    let mut scratch = SeriesScratch::default();
    let mut series = Vec::new();
    for id in select_postings(&index, &[]).unwrap() {
        let labels = index.series(id, &mut scratch).unwrap().to_labels();
        let read = |meta: &ChunkMeta| {
            let (encoding, data) = chunks.chunk(meta.reference).unwrap();
            let data = chunks.owned(meta.reference, data);
            let (min_time_ms, max_time_ms) = (meta.min_time_ms, meta.max_time_ms);
            Chunk { min_time_ms, max_time_ms, encoding, data }
        };
        series.push((id, labels, scratch.chunks.iter().map(read).collect()));
    }
    assert_eq!(index.all().unwrap().remaining(), series.len());
    (symbols, series)
}

/// All float samples of all series that have nothing else.
fn read_all(source: &dyn Queryable) -> Vec<(Labels, Vec<(i64, u64)>)> {
    let set = source.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap();
    let mut all = Vec::new();
    for series in set.series {
        let mut column = Column::new();
        series.read(TimeRange::ALL, &mut column).unwrap();
        all.push((series.labels().clone(), bits(&column)));
    }
    all
}

fn bits(column: &Column) -> Vec<(i64, u64)> {
    let floats = column.floats.iter().map(|value| value.to_bits());
    column.timestamps.iter().copied().zip(floats).collect()
}
