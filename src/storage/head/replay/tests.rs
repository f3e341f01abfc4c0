//! Directories that Prometheus wrote, opened.

use std::path::Path;
use std::sync::Arc;

use super::super::state::{Head, HeadOptions, LogPlace};
use super::ReplayStats;
use crate::base::metrics::Registry;
use crate::disk::{Disk, RealDisk, SharedDisk};
use crate::model::histogram::CountsRef;
use crate::model::{Column, Labels, Matcher, Value};
use crate::series::{Exemplars, Merged, Queryable, Select, TimeRange};
use crate::storage::block::Block;
use crate::storage::wal::{WalMetrics, WalOptions};
use crate::testkit::golden;

const HOUR_MS: i64 = 3_600_000;

fn options() -> HeadOptions {
    HeadOptions { exemplars_max: 100_000, metadata_records: true, ..HeadOptions::new(2 * HOUR_MS) }
}

fn open(root: &Path, options: HeadOptions, min_valid_ms: i64) -> (Head, ReplayStats) {
    let place = LogPlace {
        disk: RealDisk::shared(),
        root: root.to_owned(),
        dir: root.join("wal"),
        options: WalOptions::default(),
        metrics: WalMetrics::new(&Registry::new()),
    };
    Head::open(place, options, min_valid_ms, &Registry::new()).unwrap()
}

fn blocks(name: &str) -> Vec<Arc<Block>> {
    let disk: SharedDisk = RealDisk::shared();
    golden::blocks(name).iter().map(|dir| Block::open(&disk, dir).unwrap()).collect()
}

fn check(name: &str, head: &Arc<Head>) {
    let blocks = blocks(name).into_iter().map(|block| block as Arc<dyn Queryable>);
    let sources = blocks.chain([head.clone() as Arc<dyn Queryable>]).collect();
    let found = Merged::new(sources);
    let expected = golden::expected(name);
    let mut problems = golden::differences(&expected, &found);
    if name == "blocks" {
        // Its late samples are in a block and in chunk files too. Which of the two Prometheus takes
        // depends on the order of its heap, and their empty buckets differ.
        let is_it = |labels: &Labels| labels.get("kind") == Some("both");
        let wanted = expected.iter().find(|series| is_it(&series.labels)).unwrap();
        let kind = Matcher::equal("kind", "both");
        let set = found.select(&Select::new(vec![kind], TimeRange::ALL)).unwrap();
        let mut column = Column::new();
        set.series[0].read(TimeRange::ALL, &mut column).unwrap();
        assert_eq!(filled(&column), filled(&wanted.column));
        problems.retain(|problem| !problem.starts_with(&wanted.labels.to_string()));
    }
    assert!(problems.is_empty(), "{name}: {} differ\n{}", problems.len(), problems.join("\n"));
}

/// Time, bits of the sum, and numbers and counts of the buckets that are not empty.
type Filled = (i64, u64, Vec<(i32, i64)>);

fn filled(column: &Column) -> Vec<Filled> {
    let samples = column.samples().map(|(time_ms, _, value)| {
        let Value::Histogram(histogram) = value else { panic!("a float at {time_ms}") };
        let CountsRef::Integer { buckets, .. } = histogram.counts else { panic!("not integer") };
        let layout = histogram.layout;
        let (mut counts, mut found) = (buckets.iter(), Vec::new());
        for (spans, sign) in [(&layout.positive, 1_000), (&layout.negative, -1_000)] {
            let mut bucket = 0;
            for span in spans {
                bucket += span.offset;
                for _ in 0..span.length {
                    found.push((sign + bucket, *counts.next().unwrap()));
                    bucket += 1;
                }
            }
        }
        found.retain(|(_, count)| *count != 0);
        (time_ms, histogram.sum.to_bits(), found)
    });
    samples.collect()
}

/// Opens a copy, twice: what a start and a close change must not matter.
fn check_folder(name: &str, options: &HeadOptions, min_valid_ms: i64) -> ReplayStats {
    let dir = golden::copy_of(name);
    let (head, stats) = open(dir.path(), options.clone(), min_valid_ms);
    assert_eq!(stats.corruptions, Vec::<String>::new(), "{name}");
    assert_eq!((stats.samples_unknown, stats.samples_invalid), (0, 0), "{name}");
    assert!(stats.skipped_records.is_empty(), "{name}");
    let head = Arc::new(head);
    check(name, &head);
    let exemplars = head.exemplars(&[vec![]], TimeRange::ALL).unwrap();
    assert_eq!(exemplars, golden::exemplars(name), "{name}");
    head.close().unwrap();
    drop(head);
    let (head, again) = open(dir.path(), options.clone(), min_valid_ms);
    assert_eq!(again.corruptions, Vec::<String>::new(), "{name}");
    check(name, &Arc::new(head));
    stats
}

#[test]
fn logs_of_all_compressions_are_told() {
    for name in ["wal-none", "wal-snappy", "wal-zstd"] {
        check_folder(name, &options(), i64::MIN);
    }
}

#[test]
fn late_samples_are_found_in_their_log_and_their_chunks() {
    let options = HeadOptions { late_window_ms: 3 * HOUR_MS, late_samples_max: 30, ..options() };
    let stats = check_folder("out-of-order", &options, i64::MIN);
    assert!(stats.samples_late > 0 && stats.chunks_mapped > 0);
    // Also where none are taken any more.
    check_folder("out-of-order", &self::options(), i64::MIN);
}

#[test]
fn a_snapshot_spares_the_log_before_it() {
    let with = HeadOptions { snapshot: true, ..options() };
    assert!(check_folder("snapshot", &with, i64::MIN).from_snapshot);
    assert!(!check_folder("snapshot", &options(), i64::MIN).from_snapshot);
}

#[test]
fn starts_are_kept_if_the_options_say_so() {
    let name = "start-timestamps";
    let options = HeadOptions { float_starts: true, histogram_starts: true, ..options() };
    let blocks = blocks(name);
    let min_valid_ms = blocks.iter().map(|block| block.meta().max_time_ms).max();
    check_folder(name, &options, min_valid_ms.unwrap_or(i64::MIN));
}

#[test]
fn a_checkpoint_and_blocks_make_one_whole() {
    for name in ["checkpoint", "blocks"] {
        let is_late = |block: &Arc<Block>| {
            block.meta().compaction.hints.iter().any(|hint| hint == "from-out-of-order")
        };
        let blocks = blocks(name);
        let ends = blocks.iter().filter(|block| !is_late(block));
        let min_valid_ms = ends.map(|block| block.meta().max_time_ms).max();
        check_folder(name, &options(), min_valid_ms.unwrap_or(i64::MIN));
    }
}

#[test]
fn opening_leaves_the_original_files_as_they_were() {
    let dir = golden::copy_of("out-of-order");
    let files = || {
        let mut found = Vec::new();
        for folder in ["wal", "wbl", "chunks_head"] {
            for entry in RealDisk.list(&dir.path().join(folder)).unwrap() {
                let path = dir.path().join(folder).join(entry.name);
                found.push((path.clone(), RealDisk.read(&path).unwrap()));
            }
        }
        found
    };
    let before = files();
    drop(open(dir.path(), options(), i64::MIN));
    let after = files();
    assert!(before.iter().all(|file| after.contains(file)));
}
