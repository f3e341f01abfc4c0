//! The same queries over raw, five-minute and one-hour blocks of the same series.

use std::path::Path;
use std::sync::Arc;

use ulid::Ulid;

use super::*;
use crate::chunk::{EncodeOptions, encode_column};
use crate::disk::{MemoryDisk, SharedDisk};
use crate::model::histogram::{Counts, Histogram, Layout, ResetHint, Span};
use crate::model::{Labels, Value as SampleValue};
use crate::series::{Chunk, Column, Queryable};
use crate::storage::block::{Block, BlockMeta, BlockWriter};
use crate::storage::downsample::{
    DownsampleOptions, FIVE_MINUTES_MS, ONE_HOUR_MS, downsample_block,
};

const HOUR_MS: i64 = 3_600_000;
const STEP_MS: i64 = 30_000;
const START_MS: i64 = 1000 * HOUR_MS;
const HOURS: i64 = 48;
/// The end of a window of one hour.
const END_MS: i64 = START_MS + HOURS * HOUR_MS - 1;

/// A gauge, a counter that is restarted now and then, and a counter of histograms likewise.
fn series() -> Vec<(Labels, Column)> {
    let labels = |name: &str| Labels::from_pairs([("__name__", name), ("job", "test")]).unwrap();
    let (mut gauge, mut counter, mut histograms) = (Column::new(), Column::new(), Column::new());
    let (mut total, mut observed, mut noise) = (0.0, 0.0, 12345_u64);
    let layout = Arc::new(Layout { positive: vec![Span::new(0, 2)], ..Layout::default() });
    for index in 0..HOURS * HOUR_MS / STEP_MS {
        // The last sample of each window lies on its last millisecond.
        let time_ms = START_MS + (index + 1) * STEP_MS - 1;
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let random = (noise >> 40) % 100;
        gauge.push(time_ms, random as f64 - 40.0);
        total += (random % 7) as f64;
        if index % 777 == 776 {
            total = 1.0;
        }
        counter.push(time_ms, total);
        observed += (random % 5) as f64;
        if index % 901 == 900 {
            observed = 0.0;
        }
        let (count, buckets) = (observed * 2.0, vec![observed, observed]);
        let counts = Counts::Float { count, zero_count: 0.0, buckets };
        let hint = ResetHint::Unknown;
        let one = Histogram { layout: Arc::clone(&layout), hint, sum: observed, counts };
        histograms.push_value(time_ms, 0, SampleValue::Histogram(one.as_ref()));
    }
    vec![
        (labels("gauge"), gauge),
        (labels("latency_seconds"), histograms),
        (labels("requests_total"), counter),
    ]
}

struct Blocks {
    raw: Arc<Block>,
    five: Arc<Block>,
    hour: Arc<Block>,
}

fn blocks() -> Blocks {
    let disk: SharedDisk = Arc::new(MemoryDisk::new());
    let dir = Path::new("/blocks");
    disk.create_dir_all(dir).unwrap();
    let ulid = |number: u64| Ulid::from_parts(number, 1);
    let mut symbols =
        ["__name__", "gauge", "job", "latency_seconds", "requests_total", "test"].into_iter();
    let mut writer = BlockWriter::new(disk.clone(), dir, ulid(1), &mut symbols).unwrap();
    for (labels, column) in series() {
        let mut chunks = Vec::new();
        encode_column(&column, 0..column.len(), &EncodeOptions::default(), &mut |chunk| {
            let (min_time_ms, max_time_ms) = (chunk.min_time_ms, chunk.max_time_ms);
            let (encoding, data) = (chunk.encoding, chunk.data);
            chunks.push(Chunk { min_time_ms, max_time_ms, encoding, data });
        })
        .unwrap();
        writer.add_series(&labels, &chunks).unwrap();
    }
    writer.finish(BlockMeta::new(ulid(1), START_MS, END_MS + 1)).unwrap().unwrap();
    let open = |number: u64| Block::open(&disk, &dir.join(ulid(number).to_string())).unwrap();
    let options = DownsampleOptions::default();
    let raw = open(1);
    downsample_block(&disk, &raw, FIVE_MINUTES_MS, dir, ulid(2), &options).unwrap();
    let five = open(2);
    downsample_block(&disk, &five, ONE_HOUR_MS, dir, ulid(3), &options).unwrap();
    Blocks { raw, five, hour: open(3) }
}

fn ask(source: &dyn Queryable, query: &str, time_ms: i64, max_ms: i64) -> (Vec<f64>, Vec<String>) {
    let run = RunOptions { max_source_resolution_ms: max_ms, ..RunOptions::default() };
    let answer = Engine::default().instant(source, query, time_ms, &run).unwrap();
    let values = match answer.value {
        Value::Vector(elements) => elements.iter().map(|one| one.sample.value).collect(),
        Value::Scalar(sample) => vec![sample.value],
        other => panic!("{other:?}"),
    };
    (values, answer.infos)
}

fn assert_near(got: &[f64], want: &[f64], bound: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: {got:?} {want:?}");
    assert!(!want.is_empty(), "{what}");
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= bound * want.abs(), "{what}: {got}, not {want}");
    }
}

#[test]
fn what_downsampling_keeps_is_answered_as_of_raw_samples() {
    let Blocks { raw, five, hour } = blocks();
    let queries = [
        "count_over_time(gauge[12h])",
        "sum_over_time(gauge[12h])",
        "avg_over_time(gauge[12h])",
        "min_over_time(gauge[12h])",
        "max_over_time(gauge[12h])",
        "present_over_time(gauge[12h])",
        "count_over_time(latency_seconds[12h])",
        "histogram_count(sum_over_time(latency_seconds[12h]))",
        "histogram_sum(avg_over_time(latency_seconds[12h]))",
        // Each gets samples of its own, though all ask for the same series.
        "max_over_time(gauge[6h]) - min_over_time(gauge[6h]) + count_over_time(gauge[6h])",
        "sum_over_time(gauge[6h]) / count_over_time(gauge[6h])",
    ];
    for query in queries {
        let (want, infos) = ask(&*raw, query, END_MS, 0);
        assert_eq!(infos, Vec::<String>::new(), "{query}");
        for (block, max_ms) in [(&five, FIVE_MINUTES_MS), (&hour, ONE_HOUR_MS)] {
            let (got, infos) = ask(&**block, query, END_MS, max_ms);
            assert_near(&got, &want, 1e-12, &format!("{query} at {max_ms}"));
            assert_eq!(infos, Vec::<String>::new(), "{query} at {max_ms}");
        }
    }
    assert_eq!(ask(&*hour, "count_over_time(gauge[12h])", END_MS, ONE_HOUR_MS).0, [1440.0]);
}

#[test]
fn counters_grow_as_far_as_they_did() {
    let Blocks { raw, five, hour } = blocks();
    for (range, hours) in [("12h", 12.0), ("24h", 24.0), ("47h", 47.0)] {
        for query in [
            format!("increase(requests_total[{range}])"),
            format!("rate(requests_total[{range}])"),
            format!("histogram_count(increase(latency_seconds[{range}]))"),
        ] {
            let (want, _) = ask(&*raw, &query, END_MS, 0);
            for (block, max_ms) in [(&five, FIVE_MINUTES_MS), (&hour, ONE_HOUR_MS)] {
                let (got, infos) = ask(&**block, &query, END_MS, max_ms);
                // What lies before the first window of the range is guessed.
                let bound = max_ms as f64 / (hours * HOUR_MS as f64);
                assert_near(&got, &want, bound, &format!("{query} at {max_ms}"));
                assert_eq!(infos, Vec::<String>::new(), "{query} at {max_ms}");
            }
        }
    }
}

#[test]
fn all_of_a_block_grows_to_the_last_unit() {
    let Blocks { raw, five, hour } = blocks();
    // The line to the edges takes its length from both; a subquery has none of that.
    let query = "sum_over_time(delta(requests_total[1h])[1h:1h])";
    assert!(!ask(&*raw, query, END_MS, 0).0.is_empty());
    let counter = |block: &Arc<Block>, max_ms| {
        let query = "increase(requests_total[48h] anchored)";
        let mut options = EngineOptions::default();
        options.parse.extended_range_selectors = true;
        let run = RunOptions { max_source_resolution_ms: max_ms, ..RunOptions::default() };
        let answer = Engine::new(options).instant(&**block, query, END_MS, &run).unwrap();
        let Value::Vector(elements) = answer.value else { panic!() };
        elements[0].sample.value
    };
    let want = counter(&raw, 0);
    assert_eq!(counter(&five, FIVE_MINUTES_MS), want);
    assert_eq!(counter(&hour, ONE_HOUR_MS), want);
}

#[test]
fn averages_that_stand_for_samples_are_told() {
    let Blocks { five, hour, .. } = blocks();
    let queries = [
        "gauge",
        "quantile_over_time(0.5, gauge[12h])",
        "stddev_over_time(gauge[12h])",
        "last_over_time(gauge[12h])",
        "changes(gauge[12h])",
        "deriv(gauge[12h])",
        "irate(requests_total[12h])",
        "resets(requests_total[12h])",
    ];
    for query in queries {
        for (block, max_ms, name) in [(&five, FIVE_MINUTES_MS, "5m"), (&hour, ONE_HOUR_MS, "1h")] {
            let (got, infos) = ask(&**block, query, END_MS, max_ms);
            assert_eq!(got.len(), 1, "{query}");
            let [info] = infos.as_slice() else { panic!("{query}: {infos:?}") };
            assert!(info.contains("approximate") && info.contains(name), "{query}: {info}");
        }
    }
    for query in ["min(gauge)", "max(gauge)", "count(gauge)"] {
        assert_eq!(ask(&*hour, query, END_MS, ONE_HOUR_MS).1, Vec::<String>::new(), "{query}");
    }
}

#[test]
fn a_sample_is_found_until_its_next_one_is_due() {
    let Blocks { five, hour, .. } = blocks();
    // 59 minutes behind the end of a window of an hour; without a wish for coarse data too.
    let late_ms = END_MS - 60_000;
    for max_ms in [0, ONE_HOUR_MS] {
        let (got, infos) = ask(&*hour, "gauge", late_ms, max_ms);
        assert_eq!(got.len(), 1, "{max_ms}");
        let told = infos.iter().filter(|info| info.contains("only downsampled data is left"));
        assert_eq!(told.count(), usize::from(max_ms == 0), "{infos:?}");
    }
    // Nothing has come since, and the window that the last sample stands for is its own age.
    assert_eq!(ask(&*hour, "gauge", END_MS + 50 * 60_000, ONE_HOUR_MS).0.len(), 1);
    assert_eq!(ask(&*hour, "gauge", END_MS + 70 * 60_000, ONE_HOUR_MS).0.len(), 0);
    assert_eq!(ask(&*five, "absent_over_time(gauge[1m])", late_ms, 0).0, Vec::<f64>::new());
    let (_, infos) = ask(&*hour, "absent(gauge)", late_ms, 0);
    assert!(infos.iter().all(|info| !info.contains("widened")), "{infos:?}");
}

#[test]
fn a_range_shorter_than_the_data_is_widened_and_told() {
    let Blocks { raw, hour, .. } = blocks();
    let time_ms = END_MS - 20 * 60_000;
    for (query, bound) in [
        ("rate(requests_total[5m])", 0.5),
        ("increase(requests_total[5m])", 0.5),
        ("count_over_time(gauge[10m])", 0.0),
        ("histogram_count(rate(latency_seconds[5m]))", 0.7),
    ] {
        let (want, _) = ask(&*raw, query, time_ms, 0);
        let (got, infos) = ask(&*hour, query, time_ms, 0);
        assert_near(&got, &want, bound, query);
        assert!(infos.iter().any(|info| info.contains("widened to")), "{query}: {infos:?}");
        assert!(infos.iter().any(|info| info.contains("is left")), "{query}: {infos:?}");
    }
    let (got, infos) = ask(&*hour, "rate(requests_total[2h])", time_ms, ONE_HOUR_MS);
    assert_eq!((got.len(), infos), (1, Vec::new()));
}

#[test]
fn the_lowest_of_histograms_is_not_there_and_that_is_no_error() {
    let Blocks { raw, hour, .. } = blocks();
    for query in ["min_over_time(latency_seconds[12h])", "max_over_time(latency_seconds[12h])"] {
        let want = ask(&*raw, query, END_MS, 0).0;
        let (got, infos) = ask(&*hour, query, END_MS, ONE_HOUR_MS);
        assert_eq!(got, want, "{query}");
        let [info] = infos.as_slice() else { panic!("{query}: {infos:?}") };
        assert!(info.contains("neither a lowest nor a highest"), "{info}");
    }
}

#[test]
fn a_subquery_sees_a_counter_that_only_grows() {
    let Blocks { raw, hour, .. } = blocks();
    let query = "increase(requests_total[24h:1h])";
    let (want, _) = ask(&*raw, query, END_MS, 0);
    let (got, _) = ask(&*hour, query, END_MS, ONE_HOUR_MS);
    // Of the raw samples a restart between two steps hides what was counted before it.
    assert!(got[0] >= want[0] && got[0] < want[0] * 1.6, "{got:?} {want:?}");
}
