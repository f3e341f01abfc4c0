use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use rayon::ThreadPoolBuilder;
use ulid::Ulid;

use super::*;
use crate::chunk::EncodeOptions;
use crate::disk::{MemoryDisk, SharedDisk};
use crate::model::Labels;
use crate::series::{Chunk, Column};
use crate::storage::block::{Block, BlockMeta, BlockWriter, encode_chunks};

type Rows = Vec<(u32, Vec<Chunk>)>;

fn chunks(from_ms: i64, count: i64, value: f64) -> Vec<Chunk> {
    let (mut column, mut chunks) = (Column::new(), Vec::new());
    (0..count).for_each(|at| column.push(from_ms + at * 10, value + at as f64));
    let options = EncodeOptions { samples_max: 30, ..EncodeOptions::default() };
    encode_chunks(&column, &options, &mut chunks).unwrap();
    chunks
}

/// Blocks of which each has some of a thousand series, at times that cross those of others.
fn rows(block: u32) -> Rows {
    let has = |series: &u32| series * 7 % 5 != block;
    let row = |series: u32| {
        let from_ms = i64::from(block * 130 + series % 3 * 40);
        (series, chunks(from_ms, 20 + i64::from(series % 50), f64::from(block * 1000)))
    };
    (0..1000).filter(has).map(row).collect()
}

fn labels(series: u32) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("n", format!("{series:05}").as_str())]).unwrap()
}

fn write(disk: &SharedDisk, number: u128, rows: &Rows) -> Arc<Block> {
    let names: Vec<String> = rows.iter().map(|(series, _)| format!("{series:05}")).collect();
    let symbols: BTreeSet<&str> =
        names.iter().map(String::as_str).chain(["__name__", "m", "n"]).collect();
    let (dir, ulid) = (Path::new("made"), Ulid(number));
    let mut writer = BlockWriter::new(disk.clone(), dir, ulid, &mut symbols.into_iter()).unwrap();
    rows.iter().for_each(|(series, chunks)| writer.add_series(&labels(*series), chunks).unwrap());
    writer.finish(BlockMeta::new(ulid, 0, 10_000)).unwrap().unwrap();
    Block::open(disk, &dir.join(ulid.to_string())).unwrap()
}

/// All files but the meta.
fn files(disk: &SharedDisk, number: u128) -> [Vec<u8>; 2] {
    let dir = Path::new("made").join(Ulid(number).to_string());
    ["index", "chunks/000001"].map(|name| disk.read(&dir.join(name)).unwrap())
}

fn merge(disk: &SharedDisk, blocks: &[Arc<Block>], number: u128) -> Result<(), MergeError> {
    let union = || Union::new(EncodeOptions::default());
    let meta = BlockMeta::new(Ulid(number), 0, 10_000);
    let merged = merge_blocks(disk, Path::new("made"), blocks, meta, &union, &|_| false)?;
    assert!(merged.is_some());
    Ok(())
}

#[test]
fn the_merged_block_is_that_of_one_thread_and_one_series_after_the_other() {
    let disk = MemoryDisk::shared();
    let all: Vec<Rows> = (0..3).map(rows).collect();
    let blocks: Vec<_> = (1..).zip(&all).map(|(number, rows)| write(&disk, number, rows)).collect();
    let mut wanted = Rows::new();
    for series in 0..1000 {
        let of = |rows: &Rows| rows.iter().find(|row| row.0 == series).map(|row| row.1.clone());
        let mut chunks: Vec<Chunk> = all.iter().filter_map(of).flatten().collect();
        Union::new(EncodeOptions::default()).join(&mut chunks).unwrap();
        wanted.push((series, chunks));
    }
    write(&disk, 10, &wanted);
    for threads in [1, 2, 8] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| merge(&disk, &blocks, 20)).unwrap();
        assert!(files(&disk, 20) == files(&disk, 10), "{threads} threads");
    }
}

/// A chunk that says it has more samples than it has.
fn torn(chunk: &mut Chunk) {
    chunk.data = chunk.data.slice(..chunk.data.len() - 3);
}

#[test]
fn the_first_series_that_cannot_be_joined_is_the_error_and_nothing_is_left() {
    let disk = MemoryDisk::shared();
    let mut all: Vec<Rows> = (0..2).map(rows).collect();
    all[1].iter_mut().skip(500).for_each(|row| torn(&mut row.1[0]));
    let blocks: Vec<_> = (1..).zip(&all).map(|(number, rows)| write(&disk, number, rows)).collect();
    for threads in [1, 2, 8] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let error = pool.install(|| merge(&disk, &blocks, 20)).unwrap_err().to_string();
        assert!(error.contains("chunks that share time: chunk ends"), "{error}");
        assert_eq!(disk.list(Path::new("made")).unwrap().len(), 2);
    }
}

#[test]
fn it_ends_when_it_is_told_to_and_tells_how_far_it_is() {
    let disk = MemoryDisk::shared();
    let blocks = [write(&disk, 1, &rows(0)), write(&disk, 2, &rows(1))];
    let meta = BlockMeta::new(Ulid(3), 0, 10_000);
    let told = std::cell::RefCell::new(Vec::new());
    let is_ending = |done| {
        told.borrow_mut().push(done);
        done >= 500
    };
    let union = || Union::new(EncodeOptions::default());
    let ended = merge_blocks(&disk, Path::new("made"), &blocks, meta, &union, &is_ending);
    assert!(matches!(ended, Err(MergeError::Ended)));
    let told = told.into_inner();
    assert!(told.is_sorted() && told.len() > 3, "{told:?}");
    assert_eq!(disk.list(Path::new("made")).unwrap().len(), 2);
}
