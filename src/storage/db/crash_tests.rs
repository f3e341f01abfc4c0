//! Crashes at every step of a life: no acknowledged sample may be missing, none may be invented.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::base::clock::ManualClock;
use crate::base::metrics::Registry;
use crate::disk::{Crash, FaultyDisk};
use crate::model::Labels;
use crate::series::{Append, Batch, Column, OnReject, Queryable, Select, SeriesRef, TimeRange};
use crate::storage::wal::{Compression, WalOptions};

const RANGE_MS: i64 = 1000;

/// Series number and time; the value follows from both.
type Key = (usize, i64);

fn value_of((series, time_ms): Key) -> f64 {
    (series as f64).mul_add(1e9, time_ms as f64)
}

fn labels(series: usize) -> Labels {
    // Long, so that a scrape fills a good part of a segment.
    let filler = "x".repeat(500);
    Labels::from_pairs([("n", series.to_string()), ("z", filler)]).unwrap()
}

fn open(disk: &FaultyDisk) -> Result<Tsdb, TsdbError> {
    let mut options = TsdbOptions { background: false, ..TsdbOptions::default() };
    options.block_range_ms = RANGE_MS;
    options.retention_ms = 3 * RANGE_MS;
    options.wal = WalOptions {
        segment_bytes: 32 << 10,
        compression: Compression::None,
        ..WalOptions::default()
    };
    let clock = Arc::new(ManualClock::at(1));
    Tsdb::open(disk.shared(), clock, Path::new("data"), options, &Registry::new())
}

/// What was done, and what of it is owed.
#[derive(Debug, Default)]
struct Ledger {
    tried: BTreeSet<Key>,
    acknowledged: BTreeSet<Key>,
    /// Acknowledged, and promised to survive a crash of the machine.
    synced: BTreeSet<Key>,
}

impl Ledger {
    fn append(&mut self, db: &Tsdb, keys: &[Key]) -> bool {
        let mut batch = Batch::new();
        for key in keys {
            batch.push_series(SeriesRef::UNKNOWN, labels(key.0).as_ref());
            batch.push_sample(key.1, value_of(*key));
        }
        self.tried.extend(keys);
        let outcome = db.append(&mut batch, OnReject::KeepRest);
        if let Ok(outcome) = &outcome {
            assert_eq!(outcome.rejected, 0, "{keys:?}: {:?}", batch.verdicts());
            self.acknowledged.extend(keys);
        }
        outcome.is_ok()
    }

    fn sync(&mut self) {
        self.synced = self.acknowledged.clone();
    }
}

/// What is there, and nothing with another value than it was given.
fn contents(db: &Tsdb) -> BTreeSet<Key> {
    let mut found = BTreeSet::new();
    let set = db.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap();
    for series in set.series {
        let number: usize = series.labels().get("n").unwrap().parse().unwrap();
        let mut column = Column::new();
        series.read(TimeRange::ALL, &mut column).unwrap();
        for (time_ms, value) in column.timestamps.into_iter().zip(column.floats) {
            assert_eq!(value.to_bits(), value_of((number, time_ms)).to_bits());
            found.insert((number, time_ms));
        }
    }
    found
}

/// A life with appends, cuts of memory and log, restarts. Goes on after a failure as a program
/// would that only logs it; ends when the machine has stopped.
fn live(disk: &FaultyDisk, ledger: &mut Ledger) {
    let mut time_ms = 0;
    for day in 0..3 {
        let Ok(db) = open(disk) else { return };
        for step in 0..12 {
            time_ms += 150;
            // Other series each day, so that some end and some begin.
            let keys: Vec<Key> = (day..day + 4).map(|series| (series, time_ms)).collect();
            ledger.append(&db, &keys);
            if step % 4 == 3 {
                // Its errors are the disk's; what matters is what is there afterwards.
                let _ = db.maintain();
            }
            if disk.is_frozen() {
                return;
            }
        }
        if day == 1 && db.flush().is_ok() {
            ledger.sync();
        }
        if db.close().is_ok() {
            ledger.sync();
        }
    }
}

/// Retention removes blocks that end so long before the newest one; older samples are not owed.
fn is_owed(key: &Key, present: &BTreeSet<Key>) -> bool {
    let newest_ms = present.iter().map(|key| key.1).max().unwrap_or(i64::MAX);
    key.1 > newest_ms - 3 * RANGE_MS
}

fn check(disk: &FaultyDisk, ledger: &Ledger, owed: &BTreeSet<Key>, story: &str) {
    let db = open(disk).unwrap_or_else(|error| panic!("{story}: {error}"));
    let present = contents(&db);
    let missing: Vec<&Key> =
        owed.iter().filter(|key| is_owed(key, &present) && !present.contains(key)).collect();
    assert_eq!(missing, Vec::<&Key>::new(), "{story}: missing");
    let invented: Vec<&Key> = present.difference(&ledger.tried).collect();
    assert_eq!(invented, Vec::<&Key>::new(), "{story}: invented");
    assert_eq!(db.stats().unreadable_blocks, BTreeMap::new(), "{story}");
    assert_eq!(db.stats().replay.samples_unknown, 0, "{story}");
    // It goes on from there.
    let mut later = Ledger::default();
    let next_ms = ledger.tried.iter().map(|key| key.1).max().unwrap_or(0) + 1;
    assert!(later.append(&db, &[(1, next_ms), (100, next_ms)]), "{story}");
    db.flush().unwrap();
    let kept = contents(&db);
    assert!(kept.is_superset(&later.tried), "{story}");
    let lost: Vec<&Key> =
        present.iter().filter(|key| is_owed(key, &kept) && !kept.contains(key)).collect();
    assert_eq!(lost, Vec::<&Key>::new(), "{story}: lost by the flush after it");
}

fn operations_of_a_life() -> u64 {
    let disk = FaultyDisk::new();
    let mut ledger = Ledger::default();
    live(&disk, &mut ledger);
    assert_eq!(ledger.acknowledged, ledger.tried);
    assert_eq!(ledger.acknowledged.len(), 3 * 12 * 4);
    let db = open(&disk).unwrap();
    assert!(db.stats().blocks.len() >= 3);
    drop(db);
    disk.counts().operations
}

fn crash_everywhere(crash: impl Fn(u64) -> Crash, promised: impl Fn(&Ledger) -> &BTreeSet<Key>) {
    let operations = operations_of_a_life();
    assert!(operations > 200, "{operations}");
    for operation in 1..=operations {
        let disk = FaultyDisk::new();
        disk.freeze_at(operation);
        let mut ledger = Ledger::default();
        live(&disk, &mut ledger);
        let crash = crash(operation);
        let story = format!("{crash:?} at operation {operation}");
        check(&disk.crash(crash), &ledger, promised(&ledger), &story);
    }
}

#[test]
fn a_crash_of_the_process_loses_nothing_acknowledged() {
    crash_everywhere(|_| Crash::Process, |ledger| &ledger.acknowledged);
}

#[test]
fn a_crash_of_the_machine_loses_nothing_synced() {
    crash_everywhere(|_| Crash::Power, |ledger| &ledger.synced);
}

#[test]
fn a_crash_of_the_machine_that_wrote_back_a_part_loses_nothing_synced() {
    crash_everywhere(Crash::PowerMixed, |ledger| &ledger.synced);
}

#[test]
fn a_write_that_fails_for_want_of_room_loses_and_invents_nothing() {
    let disk = FaultyDisk::new();
    live(&disk, &mut Ledger::default());
    let writes = disk.counts().writes;
    for write in 1..=writes {
        let disk = FaultyDisk::new();
        disk.fail_write(write);
        let mut ledger = Ledger::default();
        live(&disk, &mut ledger);
        // What was refused is not there, now or later.
        ledger.tried = ledger.acknowledged.clone();
        let story = format!("write {write} failed");
        check(&disk.crash(Crash::Process), &ledger, &ledger.acknowledged, &story);
    }
}

#[test]
fn a_full_disk_refuses_samples_and_takes_them_again_when_there_is_room() {
    let disk = FaultyDisk::new();
    let db = open(&disk).unwrap();
    let mut ledger = Ledger::default();
    assert!(ledger.append(&db, &[(1, 1)]));
    disk.set_full(true);
    assert!(!ledger.append(&db, &[(1, 2), (2, 2)]));
    assert!(db.flush().is_err());
    // A failed flush has closed the time up to the newest sample, but lost nothing.
    assert_eq!(contents(&db), ledger.acknowledged);
    disk.set_full(false);
    assert!(ledger.append(&db, &[(1, 2), (2, 2)]));
    assert_eq!(db.flush().unwrap().blocks_written, 1);
    assert_eq!(contents(&db), ledger.acknowledged);
}

#[test]
fn a_log_that_cannot_be_truncated_is_truncated_later() {
    let disk = FaultyDisk::new();
    let clock = Arc::new(ManualClock::at(0));
    let mut options = TsdbOptions { background: false, ..TsdbOptions::default() };
    options.wal =
        WalOptions { segment_bytes: 32 << 10, compression: Compression::None, ..options.wal };
    let registry = Registry::new();
    let db =
        Tsdb::open(disk.shared(), clock.clone(), Path::new("/data"), options, &registry).unwrap();
    let labels = Labels::from_pairs([("__name__", "m")]).unwrap();
    let mut batch = Batch::new();
    // Four hours of samples, in segments of an hour or so.
    for second in 0..4 * 3600 {
        batch.clear();
        batch.push_series(SeriesRef::UNKNOWN, labels.as_ref());
        batch.push_sample(second * 1000, 1.0);
        db.append(&mut batch, OnReject::RejectAll).unwrap();
    }
    disk.set_unreadable(Path::new("/data/wal/00000001"), 100..200).unwrap();
    let first = db.maintain().unwrap();
    assert!(first.blocks_written == 1 && first.log_error.is_some(), "{first:?}");
    let before_bytes = db.stats().log_bytes;
    assert_eq!(db.maintain().unwrap().log_error, None, "not at once");
    let mut tries = 0;
    while db.stats().log_bytes >= before_bytes {
        tries += 1;
        clock.set(tries * 16 * 60_000);
        db.maintain().unwrap();
        assert!(tries < 10, "{} bytes", db.stats().log_bytes);
    }
    // What the disk does not give counts as lost only after some tries.
    assert!(tries > 1);
    let mut column = Column::new();
    let set = db.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap();
    set.series[0].read(TimeRange::ALL, &mut column).unwrap();
    assert_eq!(column.len(), 4 * 3600);
}
