//! What the head keeps over restarts, on the machine's own disk.

use std::path::Path;

use tempfile::TempDir;

use super::closed::Closed;
use super::state::{Head, HeadOptions};
use super::*;
use crate::base::metrics::Registry;
use crate::disk::{Disk, FaultyDisk, RealDisk};
use crate::model::{Labels, Sample};
use crate::series::{
    Append, AppendError, Batch, Column, OnReject, Queryable, Select, SeriesRef, TimeRange,
};
use crate::storage::wal::{self, Compression, Unreadable, Wal, WalMetrics, WalOptions};

const HOUR_MS: i64 = 3_600_000;

fn log(dir: &Path) -> LogPlace {
    let options = WalOptions {
        segment_bytes: 64 << 10,
        compression: Compression::Snappy,
        ..WalOptions::default()
    };
    LogPlace {
        disk: RealDisk::shared(),
        root: dir.to_owned(),
        dir: dir.join("wal"),
        options,
        metrics: WalMetrics::new(&Registry::new()),
    }
}

fn open_from(dir: &Path, min_valid_ms: i64) -> (Head, ReplayStats) {
    let options = HeadOptions::new(2 * HOUR_MS);
    Head::open(log(dir), options, min_valid_ms, &Registry::new()).unwrap()
}

fn open(dir: &Path) -> Head {
    let (head, stats) = open_from(dir, i64::MIN);
    assert_eq!(stats.corruptions, Vec::<String>::new());
    head
}

fn labels(number: usize) -> Labels {
    Labels::from_pairs([("__name__", "m".to_owned()), ("n", number.to_string())]).unwrap()
}

/// Appends one sample to each of the first `series_count` series.
fn scrape(head: &Head, series_count: usize, timestamp_ms: i64) -> Batch {
    let mut batch = Batch::new();
    for number in 0..series_count {
        batch.push_series(SeriesRef::UNKNOWN, labels(number).as_ref());
        batch.push_sample(timestamp_ms, timestamp_ms as f64 + number as f64);
    }
    let outcome = head.append(&mut batch, OnReject::KeepRest).unwrap();
    assert_eq!(outcome.accepted, series_count);
    batch
}

fn dump(head: &Head) -> Vec<(String, Column)> {
    let set = head.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap();
    let read = |series: &dyn crate::series::Series| {
        let mut column = Column::new();
        series.read(TimeRange::ALL, &mut column).unwrap();
        (series.labels().to_string(), column)
    };
    set.series.iter().map(|series| read(&**series)).collect()
}

#[test]
fn a_restart_brings_back_every_sample_and_goes_on_counting_references() {
    let dir = TempDir::new().unwrap();
    let head = open(dir.path());
    for step in 0..50 {
        scrape(&head, 20, step * 15_000);
    }
    let before = dump(&head);
    assert_eq!((before.len(), before[0].1.len()), (20, 50));
    head.close().unwrap();
    drop(head);
    let head = open(dir.path());
    assert_eq!(dump(&head), before);
    assert_eq!(head.span(), Some(TimeRange::new(0, 49 * 15_000)));
    let batch = scrape(&head, 21, 50 * 15_000);
    assert_eq!(batch.series_ref(0), SeriesRef(1));
    assert_eq!(batch.series_ref(20), SeriesRef(21));
}

#[test]
fn a_long_log_is_replayed_by_several_threads_to_the_same_end() {
    let dir = TempDir::new().unwrap();
    let head = open(dir.path());
    for step in 0..250 {
        scrape(&head, 2000, step * 15_000);
    }
    let before = dump(&head);
    head.close().unwrap();
    let (again, stats) = open_from(dir.path(), i64::MIN);
    // What is in a chunk file is not put together again.
    assert_eq!((stats.samples + stats.samples_out_of_order, stats.series), (500_000, 2000));
    assert!(stats.chunks_mapped > 0 && stats.samples < 100_000);
    assert_eq!(stats.samples_unknown, 0);
    assert_eq!(dump(&again), before);
    assert_eq!(again.chunk_count(), head.chunk_count());
}

#[test]
fn what_is_in_a_block_is_not_replayed() {
    let dir = TempDir::new().unwrap();
    let head = open(dir.path());
    scrape(&head, 3, HOUR_MS);
    scrape(&head, 2, 2 * HOUR_MS);
    head.close().unwrap();
    let (head, stats) = open_from(dir.path(), 2 * HOUR_MS);
    assert_eq!((stats.samples, stats.samples_in_blocks), (2, 3));
    assert_eq!((head.series_count(), head.span().unwrap().start_ms), (2, 2 * HOUR_MS));
    // The third series comes back under a new reference; the old one is not used again.
    let batch = scrape(&head, 3, 2 * HOUR_MS + 1);
    assert_eq!(batch.series_ref(2), SeriesRef(4));
}

#[test]
fn a_series_that_the_log_names_twice_is_one_series() {
    let dir = TempDir::new().unwrap();
    let log = log(dir.path());
    let mut wal = Wal::open(log.disk.clone(), &log.dir, log.options, &log.metrics).unwrap();
    let mut write = |series: u64, timestamp_ms: i64| {
        let (mut names, mut samples) = (Vec::new(), Vec::new());
        let labels = labels(0);
        wal::encode_series(&mut names, [(SeriesRef(series), labels.as_ref())].into_iter());
        let sample = Sample { timestamp_ms, value: 1.0 };
        wal::encode_samples(&mut samples, [(SeriesRef(series), sample)].into_iter());
        wal.log(&[&names, &samples]).unwrap();
    };
    write(5, 10);
    write(9, 20);
    write(5, 30);
    drop(wal);
    let head = open(dir.path());
    assert_eq!(dump(&head)[0].1.timestamps, [10, 20, 30]);
    assert_eq!(scrape(&head, 2, 40).series_ref(1), SeriesRef(10));
    // A checkpoint has to keep the second name as long as the log has samples under it.
    assert_eq!(head.expiries.lock().get(&SeriesRef(9)), Some(&20));
}

#[test]
fn samples_behind_a_reference_that_was_given_twice_go_to_neither_series() {
    let dir = TempDir::new().unwrap();
    let log = log(dir.path());
    let mut wal = Wal::open(log.disk.clone(), &log.dir, log.options, &log.metrics).unwrap();
    for number in [0, 1] {
        let (mut names, mut samples) = (Vec::new(), Vec::new());
        let labels = labels(number);
        wal::encode_series(&mut names, [(SeriesRef(5), labels.as_ref())].into_iter());
        let sample = Sample { timestamp_ms: 10 * (number as i64 + 1), value: 1.0 };
        wal::encode_samples(&mut samples, [(SeriesRef(5), sample)].into_iter());
        wal.log(&[&names, &samples]).unwrap();
    }
    drop(wal);
    let (head, stats) = open_from(dir.path(), i64::MIN);
    assert_eq!((stats.corruptions.len(), stats.samples_unknown), (1, 1));
    let found = dump(&head);
    assert_eq!((found.len(), &found[0].0), (1, &labels(0).to_string()));
    assert_eq!(found[0].1.timestamps, [10]);
}

#[test]
fn damage_costs_only_the_damaged_record() {
    let dir = TempDir::new().unwrap();
    let head = open(dir.path());
    scrape(&head, 1, 1);
    let hurt = head.log.lock().as_ref().unwrap().current();
    scrape(&head, 1, 2);
    scrape(&head, 1, 3);
    head.close().unwrap();
    let path = dir.path().join(format!("wal/{:08}", hurt.segment));
    let mut bytes = RealDisk.read(&path).unwrap();
    bytes[hurt.offset_bytes as usize + 9] ^= 0xff;
    RealDisk.create(&path).unwrap().write_all(&bytes).unwrap();
    let (head, stats) = open_from(dir.path(), i64::MIN);
    assert_eq!(dump(&head)[0].1.timestamps, [1, 3]);
    assert_eq!(stats.corruptions.len(), 1, "{:?}", stats.corruptions);
    head.close().unwrap();
    assert_eq!(dump(&open(dir.path()))[0].1.timestamps, [1, 3]);
}

#[test]
fn truncation_lets_go_of_old_chunks_and_series_and_of_old_segments() {
    let dir = TempDir::new().unwrap();
    let head = open(dir.path());
    for step in 0..400 {
        // Half of the series end before the first block does.
        scrape(&head, if step < 200 { 400 } else { 200 }, step * 30_000);
    }
    assert_eq!(head.symbols.len(), 401);
    let bytes_before = head.log_bytes().unwrap();
    let (end_ms, now_ms) = (2 * HOUR_MS, 399 * 30_000);
    head.truncate_memory(end_ms);
    assert!(head.truncate_log(end_ms, Unreadable::Fail).unwrap());
    assert!(head.log_bytes().unwrap() < bytes_before * 2 / 3);
    assert_eq!(head.series_count(), 200);
    // Nor is a label kept that only those had which are gone.
    assert_eq!(head.symbols.len(), 201);
    assert_eq!(head.span(), Some(TimeRange::new(end_ms, now_ms)));
    let kept = dump(&head);
    assert_eq!((kept.len(), kept[0].1.timestamps[0]), (200, end_ms));
    head.close().unwrap();
    let (head, stats) = open_from(dir.path(), end_ms);
    assert_eq!(dump(&head), kept);
    assert_eq!(stats.samples_unknown, 0);
    // One that had ended begins anew under a reference that was never used.
    let batch = scrape(&head, 400, now_ms + 1);
    assert_eq!(batch.series_ref(0), SeriesRef(1));
    assert_eq!(batch.series_ref(399), SeriesRef(600));
}

#[test]
fn a_batch_that_was_looked_up_before_a_truncation_finds_its_series_again() {
    let dir = TempDir::new().unwrap();
    let head = open(dir.path());
    std::thread::scope(|scope| {
        let appender = scope.spawn(|| {
            for step in 0..2000 {
                // Each step is beyond the last truncation, so that the series is always empty.
                scrape(&head, 2, step * 10);
            }
        });
        while !appender.is_finished() {
            let newest_ms = head.span().map_or(0, |span| span.end_ms);
            head.truncate_memory(newest_ms);
        }
    });
    let last = dump(&head);
    assert_eq!((last.len(), last[0].1.timestamps.last()), (2, Some(&19_990)));
    head.close().unwrap();
    // Nothing was logged under a reference that the log does not name. A chunk file would hide
    // what the log has from before it, and what was truncated here is in no block.
    let chunks = dir.path().join("chunks_head");
    if RealDisk.exists(&chunks) {
        RealDisk.remove_dir_all(&chunks).unwrap();
    }
    let (head, stats) = open_from(dir.path(), i64::MIN);
    assert_eq!((stats.samples, stats.samples_unknown), (4000, 0));
    assert_eq!(dump(&head)[1].1.len(), 2000);
}

/// The chunks of every series, in the order of their names.
fn chunks(head: &Head) -> Vec<(SeriesRef, Vec<bytes::Bytes>)> {
    let mut all = Vec::new();
    head.series.for_each(|name, series| {
        let mut chunks = Vec::new();
        series.copy_chunks(TimeRange::ALL, &mut chunks);
        let load = |chunk: Closed| chunk.load(None).unwrap().data;
        all.push((name, chunks.into_iter().map(load).collect()));
    });
    all
}

/// Two samples of each of three series, 100 and 200 ms behind `start_ms`.
fn pairs(start_ms: i64) -> Batch {
    let mut batch = Batch::new();
    for number in 0..3 {
        batch.push_series(SeriesRef::UNKNOWN, labels(number).as_ref());
        for time_ms in [start_ms + 100, start_ms + 200] {
            batch.push_sample(time_ms, (time_ms * time_ms % 1009) as f64 + number as f64);
        }
    }
    batch
}

#[test]
fn a_batch_that_cannot_be_logged_leaves_every_chunk_as_it_was() {
    let disk = FaultyDisk::new();
    let place = LogPlace { disk: disk.shared(), ..log("data".as_ref()) };
    let options = || HeadOptions::new(2 * HOUR_MS);
    let (head, _) = Head::open(place, options(), i64::MIN, &Registry::new()).unwrap();
    let unharmed = Head::empty(options(), None, i64::MIN, &Registry::new());
    // Through the estimate of a chunk's end and through some ends.
    for step in 0..200 {
        let before = chunks(&head);
        disk.set_full(true);
        let refused = head.append(&mut pairs(step * 1000 + 500), OnReject::KeepRest);
        assert!(matches!(refused, Err(AppendError::Log(_))), "{refused:?}");
        disk.set_full(false);
        let after = chunks(&head);
        assert!(step == 0 || after == before, "step {step}");
        for head in [&head, &unharmed] {
            let outcome = head.append(&mut pairs(step * 1000), OnReject::KeepRest).unwrap();
            assert_eq!(outcome.accepted, 6);
        }
        assert_eq!(chunks(&head), chunks(&unharmed), "step {step}");
    }
    assert!(chunks(&head)[0].1.len() > 2);
    assert_eq!(dump(&head), dump(&unharmed));
}
