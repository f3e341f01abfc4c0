//! Directories that Prometheus wrote, read as Prometheus read them; and the same samples, appended
//! here, in the same chunks. See `testdata/golden/README.md`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::base::clock::ManualClock;
use crate::base::metrics::Registry;
use crate::disk::{Disk, MemoryDisk, RealDisk, SharedDisk};
use crate::model::{Labels, MatchOp, Matcher};
use crate::series::{
    Append, Batch, Chunk, Column, OnReject, Queryable, Select, SeriesRef, TimeRange,
};
use crate::storage::block::Block;
use crate::testkit::golden::{self, ExpectedSeries};

/// A copy without head chunk files: everything in them is in the log too.
fn head_chunks_removed(name: &str) -> TempDir {
    let dir = golden::copy_of(name);
    RealDisk.remove_dir_all(&dir.path().join("chunks_head")).unwrap();
    dir
}

fn open(disk: SharedDisk, dir: &Path) -> Db {
    let options = DbOptions { background: false, ..DbOptions::default() };
    let clock = Arc::new(ManualClock::at(1_767_600_000_000));
    Db::open(disk, clock, dir, options, &Registry::new()).unwrap()
}

/// The series that have only floats.
fn expected(name: &str) -> Vec<(Labels, Vec<(i64, f64)>)> {
    let series = golden::expected(name).into_iter();
    let floats = series.filter(|series| series.column.histograms.is_empty());
    let pairs = floats.map(|ExpectedSeries { labels, column }| {
        (labels, column.timestamps.into_iter().zip(column.floats).collect())
    });
    pairs.collect()
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

fn check_floats(db: &Db, name: &str) {
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
    let dir = head_chunks_removed("wal-zstd");
    let db = open(RealDisk::shared(), dir.path());
    check_floats(&db, "wal-zstd");
    let replay = db.stats().replay;
    assert_eq!((replay.series, replay.samples_unknown), (23, 0));
    assert_eq!(replay.corruptions, Vec::<String>::new());
    assert!(replay.skipped_records.is_empty());
    db.flush().unwrap();
    check_floats(&db, "wal-zstd");
    db.close().unwrap();
    check_floats(&open(RealDisk::shared(), dir.path()), "wal-zstd");
}

#[test]
fn blocks_and_checkpoint_of_prometheus_are_read_together() {
    let dir = head_chunks_removed("checkpoint");
    let db = open(RealDisk::shared(), dir.path());
    let stats = db.stats();
    assert_eq!((stats.blocks.len(), stats.unreadable_blocks.len()), (4, 0));
    assert_eq!((stats.replay.series, stats.replay.samples), (17, 3641));
    check_floats(&db, "checkpoint");
    db.maintain().unwrap();
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
    for path in golden::blocks("checkpoint") {
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
