//! Blocks that are merged, rewritten, damaged on the way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use ulid::Ulid;

use super::*;
use crate::base::clock::ManualClock;
use crate::base::metrics::Registry;
use crate::chunk::{Encoding, XorAppender};
use crate::disk::{Crash, FaultyDisk, MemoryDisk, SharedDisk};
use crate::model::histogram::{CountsRef, ResetHint};
use crate::model::{Labels, Matcher, Value};
use crate::series::{Chunk, Column, Queryable, Select, TimeRange};
use crate::storage::block::{BlockMeta, BlockWriter};
use crate::testkit::golden;

const RANGE_MS: i64 = 100;

/// Samples by series and time.
type Samples = BTreeMap<u8, BTreeMap<i64, u8>>;

fn labels(series: u8) -> Labels {
    Labels::from_pairs([("__name__", "m".to_owned()), ("n", format!("{series:03}"))]).unwrap()
}

fn chunk(samples: &[(i64, u8)]) -> Chunk {
    let mut appender = XorAppender::new();
    for (time_ms, value) in samples {
        appender.append(*time_ms, f64::from(*value)).unwrap();
    }
    Chunk {
        min_time_ms: appender.min_time_ms(),
        max_time_ms: appender.max_time_ms(),
        encoding: Encoding::Xor as u8,
        data: appender.finish(),
    }
}

/// Writes a block as a foreign program would, in chunks of seven samples.
fn write(disk: &SharedDisk, ulid: u128, span: (i64, i64), samples: &Samples) {
    let numbers: Vec<String> = samples.keys().map(|series| format!("{series:03}")).collect();
    let mut symbols: Vec<&str> = numbers.iter().map(String::as_str).collect();
    symbols.extend(["__name__", "m", "n"]);
    let mut symbols = symbols.into_iter();
    let dir = Path::new("data");
    let mut writer = BlockWriter::new(disk.clone(), dir, Ulid(ulid), &mut symbols).unwrap();
    for (series, samples) in samples {
        let samples: Vec<(i64, u8)> = samples.iter().map(|(t, v)| (*t, *v)).collect();
        let chunks: Vec<Chunk> = samples.chunks(7).map(chunk).collect();
        writer.add_series(&labels(*series), &chunks).unwrap();
    }
    writer.finish(BlockMeta::new(Ulid(ulid), span.0, span.1)).unwrap();
}

fn open(disk: &SharedDisk) -> Tsdb {
    let mut options = TsdbOptions { background: false, ..TsdbOptions::default() };
    options.block_range_ms = RANGE_MS;
    options.max_block_range_ms = 9 * RANGE_MS;
    options.retention_ms = 0;
    let clock = Arc::new(ManualClock::at(1_767_571_200_000));
    Tsdb::open(disk.clone(), clock, Path::new("data"), options, &Registry::new()).unwrap()
}

fn contents(db: &dyn Queryable) -> Samples {
    let mut found = Samples::new();
    for series in db.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap().series {
        let number = series.labels().get("n").unwrap().parse().unwrap();
        let mut column = Column::new();
        series.read(TimeRange::ALL, &mut column).unwrap();
        let values = column.floats.iter().map(|value| *value as u8);
        let samples: BTreeMap<i64, u8> = column.timestamps.iter().copied().zip(values).collect();
        if !samples.is_empty() {
            found.insert(number, samples);
        }
    }
    found
}

fn spans(db: &Tsdb) -> Vec<(i64, i64)> {
    let blocks = db.stats().blocks.into_iter();
    blocks.map(|meta| (meta.min_time_ms, meta.max_time_ms)).collect()
}

/// Series `0..3`, a sample each ten milliseconds.
fn steady(span: (i64, i64)) -> Samples {
    let times = || (span.0..span.1).step_by(10).map(|time_ms| (time_ms, (time_ms % 251) as u8));
    (0..3).map(|series| (series, times().collect())).collect()
}

#[test]
fn neighbours_are_merged_level_by_level_without_touching_their_chunks() {
    let disk = MemoryDisk::shared();
    disk.create_dir_all(Path::new("data")).unwrap();
    for number in 0..12 {
        let span = (number * RANGE_MS, (number + 1) * RANGE_MS);
        write(&disk, number as u128 + 1, span, &steady(span));
    }
    let db = open(&disk);
    let chunks = |db: &Tsdb| {
        let mut chunks = Vec::new();
        let set = db.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap();
        set.series[1].chunks(TimeRange::ALL, &mut chunks).unwrap();
        chunks
    };
    let before = (contents(&db), chunks(&db));
    assert!(db.compact_once().unwrap());
    assert_eq!(spans(&db)[..2], [(0, 300), (300, 400)]);
    let meta = &db.stats().blocks[0];
    assert_eq!((meta.compaction.level, meta.stats.num_samples), (2, 3 * 30));
    assert_eq!(meta.compaction.sources, [Ulid(1), Ulid(2), Ulid(3)]);
    let report = db.maintain().unwrap();
    assert_eq!((report.blocks_merged, report.blocks_removed), (3, 9));
    assert_eq!(spans(&db), [(0, 900), (900, 1000), (1000, 1100), (1100, 1200)]);
    assert_eq!(db.stats().blocks[0].compaction.level, 3);
    assert!(!db.compact_once().unwrap());
    assert_eq!((contents(&db), chunks(&db)), before);
    assert_eq!(
        disk.list(Path::new("data")).unwrap().iter().filter(|e| e.name.len() > 20).count(),
        4
    );
    db.close().unwrap();
    assert_eq!(contents(&open(&disk)), before.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn blocks_that_share_time_become_one_with_the_same_answers(
        parts in vec(
            (0_i64..6, btree_map(0_u8..6, btree_map(0_i64..100, any::<u8>(), 1..40), 1..5)), 2..6,
        ),
        deleted in vec((0_u8..6, 0_i64..600, 0_i64..200), 0..3),
    ) {
        let disk = MemoryDisk::shared();
        disk.create_dir_all(Path::new("data")).unwrap();
        for (number, (start, samples)) in (1..).zip(parts) {
            let start_ms = start * 50;
            let moved = |(series, samples): (u8, BTreeMap<i64, u8>)| {
                (series, samples.into_iter().map(|(t, v)| (t + start_ms, v)).collect())
            };
            let samples: Samples = samples.into_iter().map(moved).collect();
            write(&disk, number, (start_ms, start_ms + 100), &samples);
        }
        let db = open(&disk);
        for (series, from_ms, length_ms) in deleted {
            let matcher = Matcher::equal("n", &format!("{series:03}"));
            db.delete(&[vec![matcher]], TimeRange::new(from_ms, from_ms + length_ms)).unwrap();
        }
        let before = contents(&db);
        let report = db.maintain().unwrap();
        prop_assert_eq!(report.merge_errors, Vec::<String>::new());
        let spans = spans(&db);
        prop_assert!(spans.is_sorted_by(|a, b| a.1 <= b.0), "{:?}", spans);
        prop_assert_eq!(&contents(&db), &before);
        db.clean_tombstones().unwrap();
        prop_assert_eq!(contents(&db), before);
        prop_assert!(db.stats().blocks.iter().all(|meta| meta.stats.num_tombstones == 0));
    }
}

#[test]
fn deleted_samples_are_gone_from_answers_at_once_and_from_disk_when_cleaned() {
    let disk = MemoryDisk::shared();
    disk.create_dir_all(Path::new("data")).unwrap();
    write(&disk, 1, (0, 100), &steady((0, 100)));
    write(&disk, 2, (100, 200), &steady((100, 200)));
    let db = open(&disk);
    let one = vec![Matcher::equal("n", "001")];
    let all = vec![Matcher::equal("n", "002")];
    db.delete(&[one, all.clone()], TimeRange::new(45, 120)).unwrap();
    db.delete(&[all], TimeRange::ALL).unwrap();
    let mut wanted = steady((0, 200));
    wanted.remove(&2);
    wanted.get_mut(&1).unwrap().retain(|time_ms, _| !(45..=120).contains(time_ms));
    assert_eq!(contents(&db), wanted);
    let counts = |db: &Tsdb| -> Vec<(u64, u64)> {
        let blocks = db.stats().blocks.into_iter();
        blocks.map(|meta| (meta.stats.num_samples, meta.stats.num_tombstones)).collect()
    };
    assert_eq!(counts(&db), [(30, 2), (30, 2)]);
    // It lasts.
    db.close().unwrap();
    let db = open(&disk);
    assert_eq!(contents(&db), wanted);
    assert_eq!(counts(&db), [(30, 2), (30, 2)]);
    assert_eq!(db.clean_tombstones().unwrap(), 2);
    assert_eq!(contents(&db), wanted);
    assert_eq!(counts(&db), [(15, 0), (17, 0)]);
    assert_eq!(db.clean_tombstones().unwrap(), 0);
}

#[test]
fn a_block_of_which_nothing_is_left_goes() {
    let disk = MemoryDisk::shared();
    disk.create_dir_all(Path::new("data")).unwrap();
    write(&disk, 1, (0, 100), &steady((0, 100)));
    write(&disk, 2, (100, 200), &steady((100, 200)));
    let db = open(&disk);
    db.delete(&[Vec::new()], TimeRange::new(0, 99)).unwrap();
    assert_eq!(spans(&db).len(), 2);
    assert!(db.compact_once().unwrap());
    assert_eq!(spans(&db), [(100, 200)]);
    assert!(!db.compact_once().unwrap());
}

fn rewrite(disk: &SharedDisk, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk.read(path).unwrap();
    change(&mut bytes);
    disk.create(path).unwrap().write_all(&bytes).unwrap();
}

#[test]
fn damaged_blocks_are_named_and_left_alone_while_others_are_merged() {
    let disk = MemoryDisk::shared();
    disk.create_dir_all(Path::new("data")).unwrap();
    for number in 0..8 {
        let span = (number * RANGE_MS, (number + 1) * RANGE_MS);
        write(&disk, number as u128 + 1, span, &steady(span));
    }
    let hurt: PathBuf = Path::new("data").join(Ulid(2).to_string()).join("chunks/000001");
    rewrite(&disk, &hurt, |bytes| bytes[40] ^= 1);
    let db = open(&disk);
    let report = db.maintain().unwrap();
    assert_eq!((report.blocks_merged, report.merge_errors.len()), (1, 1));
    let place = format!("{}/chunks/000001: at offset ", Ulid(2));
    assert!(report.merge_errors[0].contains(&place), "{}", report.merge_errors[0]);
    let wanted = [(0, 100), (100, 200), (200, 300), (300, 600), (600, 700), (700, 800)];
    assert_eq!(spans(&db), wanted);
    let failed = db.stats().blocks.iter().map(|meta| meta.compaction.failed).collect::<Vec<_>>();
    assert_eq!(failed, [true, true, true, false, false, false]);
    assert_eq!(db.maintain().unwrap(), MaintainReport::default());
    db.close().unwrap();
    assert_eq!(open(&disk).maintain().unwrap(), MaintainReport::default());
}

#[test]
fn merging_waits_for_room_and_goes_on_then() {
    let disk = FaultyDisk::new();
    let shared = disk.shared();
    shared.create_dir_all(Path::new("data")).unwrap();
    for number in 0..5 {
        let span = (number * RANGE_MS, (number + 1) * RANGE_MS);
        write(&shared, number as u128 + 1, span, &steady(span));
    }
    let db = open(&shared);
    let before = contents(&db);
    disk.set_full(true);
    assert!(db.compact_once().is_err());
    assert_eq!((contents(&db), spans(&db).len()), (before.clone(), 5));
    let left = shared.list(Path::new("data")).unwrap();
    assert!(!left.iter().any(|entry| entry.name.contains("tmp")));
    disk.set_full(false);
    assert!(db.compact_once().unwrap());
    assert_eq!((contents(&db), spans(&db).len()), (before, 3));
}

/// Blocks that are neighbours, blocks that share time, deletions: everything that is rewritten.
fn prepared() -> (FaultyDisk, Samples) {
    let disk = FaultyDisk::new();
    let shared = disk.shared();
    shared.create_dir_all(Path::new("data")).unwrap();
    for number in 0..5 {
        let span = (number * RANGE_MS, (number + 1) * RANGE_MS);
        write(&shared, number as u128 + 1, span, &steady(span));
    }
    write(&shared, 9, (350, 420), &steady((355, 420)));
    shared.sync_dir(Path::new("")).unwrap();
    let db = open(&shared);
    let matcher = Matcher::equal("n", "001");
    db.delete(&[vec![matcher]], TimeRange::new(50, 250)).unwrap();
    let before = contents(&db);
    db.close().unwrap();
    (disk, before)
}

#[test]
fn a_crash_at_any_step_of_merging_loses_and_invents_nothing() {
    let (disk, before) = prepared();
    let prepared_operations = disk.counts().operations;
    let live = |disk: &FaultyDisk| -> Result<(), TsdbError> {
        let mut options = TsdbOptions { background: false, ..TsdbOptions::default() };
        (options.block_range_ms, options.max_block_range_ms) = (RANGE_MS, 9 * RANGE_MS);
        options.retention_ms = 0;
        let clock = Arc::new(ManualClock::at(1_767_571_200_000));
        let dir = Path::new("data");
        let db = Tsdb::open(disk.shared(), clock, dir, options, &Registry::new())?;
        db.maintain()?;
        db.clean_tombstones()?;
        db.close()
    };
    live(&disk).unwrap();
    let operations = disk.counts().operations;
    assert!(operations > prepared_operations + 50);
    for operation in prepared_operations + 1..=operations {
        let (disk, _) = prepared();
        assert_eq!(disk.counts().operations, prepared_operations);
        disk.freeze_at(operation);
        assert!(live(&disk).is_err(), "operation {operation}");
        for crash in [Crash::Process, Crash::Power, Crash::PowerMixed(operation)] {
            let after = disk.crash(crash);
            let db = open(&after.shared());
            let story = format!("{crash:?} at operation {operation}");
            assert_eq!(contents(&db), before, "{story}");
            assert_eq!(db.stats().unreadable_blocks, BTreeMap::new(), "{story}");
            db.maintain().unwrap();
            assert_eq!(contents(&db), before, "{story}, after upkeep");
            assert!(spans(&db).is_sorted_by(|a, b| a.1 <= b.0), "{story}");
        }
    }
}

/// Everything, without what histograms say about the one before: that depends on where chunks end.
fn all_samples(db: &dyn Queryable) -> Vec<(Labels, Vec<String>)> {
    let mut found = Vec::new();
    for series in db.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap().series {
        let mut column = Column::new();
        series.read(TimeRange::ALL, &mut column).unwrap();
        for index in 0..column.len() {
            column.histograms.set_hint(index, ResetHint::Unknown);
        }
        let shown = column.samples().map(|(time_ms, start_ms, value)| match value {
            Value::Float(value) => format!("{time_ms} {start_ms} {:x}", value.to_bits()),
            Value::Histogram(value) => {
                let filled: Vec<String> = match value.counts {
                    CountsRef::Integer { buckets, .. } => {
                        buckets.iter().filter(|count| **count != 0).map(i64::to_string).collect()
                    }
                    CountsRef::Float { buckets, .. } => {
                        buckets.iter().filter(|count| **count != 0.0).map(f64::to_string).collect()
                    }
                };
                format!("{time_ms} {start_ms} {:x} {filled:?}", value.sum.to_bits())
            }
        });
        let shown: Vec<String> = shown.collect();
        if !shown.is_empty() {
            found.push((series.labels().clone(), shown));
        }
    }
    found
}

#[test]
fn blocks_of_prometheus_hold_the_same_after_they_are_merged_and_cleaned() {
    let dir = golden::copy_of("blocks");
    let mut options = TsdbOptions { background: false, ..TsdbOptions::default() };
    options.retention_ms = 0;
    let db = Tsdb::open_at(dir.path(), options).unwrap();
    let before = all_samples(&db);
    assert!(before.len() > 20);
    let report = db.maintain().unwrap();
    assert!(report.blocks_merged >= 1, "{report:?}");
    assert_eq!(report.merge_errors, Vec::<String>::new());
    db.clean_tombstones().unwrap();
    assert!(db.stats().blocks.iter().all(|meta| meta.stats.num_tombstones == 0));
    assert!(spans(&db).is_sorted_by(|a, b| a.1 <= b.0));
    assert!(all_samples(&db) == before);
    db.close().unwrap();
}
