//! Directories that Prometheus wrote, read as Prometheus read them; and the same samples, appended
//! here, in the same chunks. See `testdata/db/README.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::base::clock::ManualClock;
use crate::base::metrics::Registry;
use crate::disk::{Disk, MemoryDisk, RealDisk, SharedDisk};
use crate::model::{Labels, MatchOp, Matcher, ORDINARY_NAN_BITS, stale_nan};
use crate::series::{
    Append, Batch, Chunk, Column, OnReject, Queryable, Select, SeriesRef, TimeRange,
};
use crate::storage::block::Block;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/db").join(name)
}

fn copy(from: &Path, to: &Path) {
    RealDisk.create_dir_all(to).unwrap();
    for entry in RealDisk.list(from).unwrap() {
        let (from, to) = (from.join(&entry.name), to.join(&entry.name));
        if entry.is_dir {
            copy(&from, &to);
        } else {
            let bytes = RealDisk.read(&from).unwrap();
            RealDisk.create(&to).unwrap().write_all(&bytes).unwrap();
        }
    }
}

fn open(disk: SharedDisk, dir: &Path) -> Tsdb {
    let options = TsdbOptions { background: false, ..TsdbOptions::default() };
    let clock = Arc::new(ManualClock::at(1_767_600_000_000));
    Tsdb::open(disk, clock, dir, options, &Registry::new()).unwrap()
}

fn value(text: &str) -> f64 {
    match text {
        "NaN" => f64::from_bits(ORDINARY_NAN_BITS),
        "StaleNaN" => stale_nan(),
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().unwrap(),
    }
}

fn expected(name: &str) -> Vec<(Labels, Vec<(i64, f64)>)> {
    let text = RealDisk.read(&golden(name).join("expected-floats.jsonl")).unwrap();
    let series = str::from_utf8(&text).unwrap().lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let pairs = line["labels"].as_object().unwrap().iter();
        let labels = pairs.map(|(name, value)| (name.as_str(), value.as_str().unwrap()));
        let samples = line["samples"].as_array().unwrap().iter();
        let samples =
            samples.map(|row| (row[0].as_i64().unwrap(), value(row[1].as_str().unwrap())));
        (Labels::from_pairs(labels).unwrap(), samples.collect())
    });
    series.collect()
}

fn select(source: &dyn Queryable, labels: &Labels) -> Option<Box<dyn crate::series::Series>> {
    let matcher = |(name, value)| Matcher::new(name, MatchOp::Equal, value).unwrap();
    let ask = Select::new(labels.iter().map(matcher).collect(), TimeRange::ALL);
    let mut found = source.select(&ask).unwrap().series;
    found.retain(|series| series.labels() == labels);
    assert!(found.len() <= 1);
    found.pop()
}

fn bits(samples: impl IntoIterator<Item = (i64, f64)>) -> Vec<(i64, u64)> {
    samples.into_iter().map(|(time_ms, value)| (time_ms, value.to_bits())).collect()
}

fn check_floats(db: &Tsdb, name: &str) {
    let expected = expected(name);
    assert_eq!(expected.len(), 16);
    for (labels, samples) in expected {
        let series = select(db, &labels).unwrap_or_else(|| panic!("{name}: no {labels}"));
        let mut column = Column::new();
        series.read(TimeRange::ALL, &mut column).unwrap();
        let found = column.timestamps.into_iter().zip(column.floats);
        assert_eq!(bits(found), bits(samples), "{name}: {labels}");
    }
}

#[test]
fn a_log_of_prometheus_is_replayed() {
    let dir = TempDir::new().unwrap();
    copy(&golden("wal-zstd/data"), dir.path());
    let db = open(RealDisk::shared(), dir.path());
    check_floats(&db, "wal-zstd");
    let replay = db.stats().replay;
    assert_eq!((replay.series, replay.samples_unknown), (23, 0));
    assert_eq!(replay.corruptions, Vec::<String>::new());
    // What is not kept yet is counted, by its kind.
    let skipped: Vec<_> = replay.skipped_records.keys().map(String::as_str).collect();
    let kinds = [
        "CustomBucketsFloatHistogramSamples",
        "CustomBucketsHistogramSamples",
        "Exemplars",
        "FloatHistogramSamples",
        "HistogramSamples",
        "Metadata",
    ];
    assert_eq!(skipped, kinds);
    // A block without them would hide them from every later reader.
    let refused = db.flush().unwrap_err();
    assert!(matches!(refused, TsdbError::UnreadSamples(_)), "{refused}");
    check_floats(&db, "wal-zstd");
    db.close().unwrap();
    check_floats(&open(RealDisk::shared(), dir.path()), "wal-zstd");
}

#[test]
fn blocks_and_checkpoint_of_prometheus_are_read_together() {
    let dir = TempDir::new().unwrap();
    copy(&golden("checkpoint/data"), dir.path());
    let db = open(RealDisk::shared(), dir.path());
    let stats = db.stats();
    assert_eq!((stats.blocks.len(), stats.unreadable_blocks.len()), (4, 0));
    assert_eq!((stats.replay.series, stats.replay.samples), (17, 2231));
    check_floats(&db, "checkpoint");
    // A block is due, but the log holds histograms too.
    let refused = db.maintain().unwrap_err();
    assert!(matches!(refused, TsdbError::UnreadSamples(_)), "{refused}");
    check_floats(&db, "checkpoint");
}

/// Chunks of a span by series: with their bytes.
fn chunks(source: &dyn Queryable, labels: &Labels) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    if let Some(series) = select(source, labels) {
        series.chunks(TimeRange::ALL, &mut chunks).unwrap();
    }
    chunks
}

#[test]
fn the_same_samples_make_the_same_chunks_as_in_prometheus() {
    let expected = expected("checkpoint");
    let mut by_time: BTreeMap<i64, Batch> = BTreeMap::new();
    for (labels, samples) in &expected {
        for (time_ms, value) in samples {
            let batch = by_time.entry(*time_ms).or_default();
            batch.push_series(SeriesRef::UNKNOWN, labels.as_ref());
            batch.push_sample(*time_ms, *value);
        }
    }
    let db = open(MemoryDisk::shared(), Path::new("data"));
    for batch in by_time.values_mut() {
        assert_eq!(db.append(batch, OnReject::KeepRest).unwrap().rejected, 0);
    }
    let disk = RealDisk::shared();
    let mut compared = 0;
    for entry in RealDisk.list(&golden("checkpoint/data")).unwrap() {
        let path = golden("checkpoint/data").join(entry.name);
        if !path.join("meta.json").exists() {
            continue;
        }
        let block = Block::open(&disk, &path).unwrap();
        for (labels, _) in &expected {
            let mut ours = chunks(&db, labels);
            ours.retain(|chunk| chunk.range().overlaps(block.meta().range()));
            let theirs = chunks(&*block, labels);
            compared += theirs.len();
            assert_eq!(ours, theirs, "{labels} in {}", path.display());
        }
    }
    assert!(compared > 50, "{compared}");
}
