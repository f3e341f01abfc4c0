//! The data of upstream's engine benchmarks, a block for each of them.
//!
//! | part | upstream | holds |
//! |---|---|---|
//! | `range` | `BenchmarkRangeQuery` | `{a,b,h}_{one,ten,hundred}` and `sparse`, a day and 10 000 steps of 10 s |
//! | `join` | `BenchmarkJoinQuery` | two metrics of 1 000 instances with long labels |
//! | `native` | `BenchmarkNativeHistograms` and its `CustomBuckets` | 3 000 series each, 2 000 samples 15 s apart |
//! | `info` | `BenchmarkInfoFunction` | 100 `target_info` and three counters |
//! | `wide` | | `n_hundred`: 100 native histograms of 40 buckets |
//! | `many` | | `y` and `y_tenth`: counters of many series, a minute apart |

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use promlite::Labels;
use promlite::chunk::{EncodeOptions, encode_column};
use promlite::disk::RealDisk;
use promlite::model::histogram::{CUSTOM_SCHEMA, CountsRef, HistogramRef, Layout, ResetHint, Span};
use promlite::series::{Chunk, Column};
use promlite::storage::block::{BlockMeta, BlockWriter};
use serde_json::{Map, json};
use ulid::Ulid;

const HOUR_MS: i64 = 3_600_000;

/// The parts follow one another, so that each question finds one block.
const RANGE_MS: i64 = 0;
const JOIN_MS: i64 = 60 * HOUR_MS;
const NATIVE_MS: i64 = 110 * HOUR_MS;
const INFO_MS: i64 = 130 * HOUR_MS;
const WIDE_MS: i64 = 140 * HOUR_MS;
const MANY_MS: i64 = 150 * HOUR_MS;

type Fill = Box<dyn Fn(&mut Column)>;
type Part = Vec<(Labels, Fill)>;

/// Makes the directory and prints when each part begins and ends, in milliseconds.
pub(crate) fn write(dir: &Path, many: usize) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(dir)?;
    let mut spans = Map::new();
    let parts: [(&str, i64, Part); 6] = [
        ("range", RANGE_MS, range()?),
        ("join", JOIN_MS, join()?),
        ("native", NATIVE_MS, native()?),
        ("info", INFO_MS, info()?),
        ("wide", WIDE_MS, wide()?),
        ("many", MANY_MS, large(many)?),
    ];
    for (name, start_ms, part) in parts {
        let end_ms = write_block(dir, start_ms, part)?;
        spans.insert(name.into(), json!([start_ms, end_ms]));
    }
    println!("{}", serde_json::Value::Object(spans));
    Ok(())
}

/// Writes a block and returns the time of its last sample.
fn write_block(dir: &Path, start_ms: i64, mut part: Part) -> Result<i64, Box<dyn Error>> {
    part.sort_by(|(a, _), (b, _)| a.cmp(b));
    let texts = part.iter().flat_map(|(labels, _)| labels.iter());
    let symbols: BTreeSet<&str> = texts.flat_map(|(name, value)| [name, value]).collect();
    let ulid = Ulid::from_parts(start_ms.unsigned_abs(), 1);
    let mut symbols = symbols.into_iter();
    let mut writer = BlockWriter::new(RealDisk::shared(), dir, ulid, &mut symbols)?;
    let (mut column, mut chunks, mut end_ms) = (Column::new(), Vec::new(), start_ms);
    for (labels, fill) in &part {
        column.clear();
        chunks.clear();
        fill(&mut column);
        end_ms = column.timestamps.last().map_or(end_ms, |last| end_ms.max(*last));
        encode_column(&column, 0..column.len(), &EncodeOptions::default(), &mut |chunk| {
            chunks.push(Chunk {
                min_time_ms: chunk.min_time_ms,
                max_time_ms: chunk.max_time_ms,
                encoding: chunk.encoding,
                data: chunk.data,
            });
        })?;
        writer.add_series(labels, &chunks)?;
    }
    writer.finish(BlockMeta::new(ulid, start_ms, end_ms + 1))?.ok_or("an empty block")?;
    Ok(end_ms)
}

fn labels(pairs: &[(&str, &str)]) -> Result<Labels, Box<dyn Error>> {
    Ok(Labels::from_pairs(pairs.iter().copied())?)
}

/// Samples whose value is their number and a fraction.
fn line(start_ms: i64, step_ms: i64, numbers: std::ops::Range<i64>, fraction: f64) -> Fill {
    Box::new(move |column| {
        for number in numbers.clone() {
            column.push(start_ms + number * step_ms, number as f64 + fraction);
        }
    })
}

fn range() -> Result<Part, Box<dyn Error>> {
    const SAMPLES: i64 = 8640 + 10_000;
    const SPARSE: i64 = SAMPLES / 50;
    let mut sets = Vec::new();
    for (size, count) in [("one", 1), ("ten", 10), ("hundred", 100)] {
        for index in 0..count {
            let index = index.to_string();
            let label = |set: &mut Vec<(&str, &str)>| {
                if count == 1 {
                    set.retain(|(name, _)| *name != "l");
                }
                labels(set)
            };
            for name in [format!("a_{size}"), format!("b_{size}")] {
                sets.push(label(&mut vec![("__name__", &name), ("l", &index)])?);
            }
            let name = format!("h_{size}");
            for bound in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "+Inf"] {
                sets.push(label(&mut vec![("__name__", &name), ("l", &index), ("le", bound)])?);
            }
        }
    }
    let total = sets.len() as f64;
    let fill = |index: usize| line(RANGE_MS, 10_000, 0..SAMPLES, index as f64 / total);
    let mut part: Part =
        sets.into_iter().enumerate().map(|(index, set)| (set, fill(index))).collect();
    for index in 0..=SAMPLES / SPARSE {
        let from = index * SPARSE;
        let fill = line(RANGE_MS, 10_000, from..SAMPLES.min(from + SPARSE), 0.0);
        if from < SAMPLES {
            part.push((labels(&[("__name__", "sparse"), ("l", &index.to_string())])?, fill));
        }
    }
    Ok(part)
}

fn join() -> Result<Part, Box<dyn Error>> {
    const SAMPLES: i64 = 8640 + 5000;
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut part = Part::new();
    for index in 0..1000 {
        let text = format!("{:016x}{:016x}", next(), next());
        let pieces = [0..8, 8..12, 12..16, 16..20, 20..32];
        let pieces = pieces.map(|piece| text.get(piece).unwrap_or_default());
        let instance = pieces.join("-");
        for (place, name) in
            ["rpc_request_success_total", "rpc_request_error_total"].iter().enumerate()
        {
            let set = labels(&[
                ("__name__", name),
                ("cluster", "test-kubernetes-cluster"),
                ("domain", "test-domain"),
                ("environment", "staging"),
                ("instance", &instance),
                ("job", "worker"),
                ("namespace", "test-kubernetes-namespace"),
                ("rpc_method", "fetch-my-data-from-this-service"),
            ])?;
            let fraction = (2 * index + place) as f64 / 2000.0;
            part.push((set, line(JOIN_MS, 10_000, 0..SAMPLES, fraction)));
        }
    }
    Ok(part)
}

/// Samples of a growing histogram, the first as `first` says.
fn push_native(
    column: &mut Column,
    time_ms: i64,
    layout: &Arc<Layout>,
    (zero_count, sum): (u64, f64),
    buckets: &[i64],
) {
    let count = zero_count + buckets.iter().sum::<i64>().unsigned_abs();
    let counts = CountsRef::Integer { count, zero_count, buckets };
    let hint = ResetHint::Unknown;
    column.push_histogram(time_ms, HistogramRef { layout, hint, sum, counts });
}

fn native() -> Result<Part, Box<dyn Error>> {
    let spans = || vec![Span::new(0, 2), Span::new(1, 2)];
    let (zero_threshold, positive) = (0.001, spans());
    let usual =
        Layout { schema: 1, zero_threshold, positive, negative: spans(), ..Layout::default() };
    let fine = vec![Span::new(-5, 2), Span::new(2, 3), Span::new(2, 2)];
    let fine = Layout { schema: 3, positive: fine, ..Layout::default() };
    let custom_bounds = vec![0.0, 1.0, 2.0, 3.0, 4.0];
    let custom =
        Layout { schema: CUSTOM_SCHEMA, positive: spans(), custom_bounds, ..Layout::default() };
    let (usual, fine, custom) = (Arc::new(usual), Arc::new(fine), Arc::new(custom));
    let at = |number: i64| NATIVE_MS + number * 15_000;
    let mut part = Part::new();
    for index in 0..3000 {
        let index = index.to_string();
        let named = |name| labels(&[("__name__", name), ("foo", "bar"), ("h", &index)]);
        let (usual, fine, custom) = (usual.clone(), fine.clone(), custom.clone());
        let fill: Fill = Box::new(move |column| {
            push_native(column, at(0), &fine, (0, 0.0), &[1, 3, 1, 2, 1, 1, 4]);
            for n in 1..2000_i64 {
                let buckets = [n + 1, n + 2, n + 1, n + 1, n + 1, n + 2, n + 1, n + 1];
                let rest = (2 + n.unsigned_abs(), 18.4 * (n + 1) as f64);
                push_native(column, at(n), &usual, rest, &buckets);
            }
        });
        part.push((named("native_histogram_series")?, fill));
        let fill: Fill = Box::new(move |column| {
            for n in 0..2000_i64 {
                let buckets = [n + 1, n + 2, n + 1, n + 1];
                push_native(column, at(n), &custom, (0, 18.4 * (n + 1) as f64), &buckets);
            }
        });
        part.push((named("native_histogram_custom_bucket_series")?, fill));
    }
    Ok(part)
}

fn info() -> Result<Part, Box<dyn Error>> {
    const SAMPLES: i64 = 3600;
    let mut part = Part::new();
    for index in 0..100 {
        let cluster = if index < 50 { "us-east" } else { "eu-south" };
        let set = labels(&[
            ("__name__", "target_info"),
            ("instance", &format!("instance{index}")),
            ("job", &format!("job{index}")),
            ("k8s_cluster_name", cluster),
        ])?;
        let fill: Fill = Box::new(|column| {
            (0..SAMPLES).for_each(|number| column.push(INFO_MS + number * 2000, 1.0));
        });
        part.push((set, fill));
    }
    for code in ["200", "400", "500"] {
        let set = labels(&[
            ("__name__", "http_server_request_duration_seconds_count"),
            ("http_status_code", code),
            ("instance", "instance0"),
            ("job", "job0"),
        ])?;
        part.push((set, line(INFO_MS, 2000, 0..SAMPLES, 0.0)));
    }
    Ok(part)
}

/// Half of the series have one bucket more.
fn wide() -> Result<Part, Box<dyn Error>> {
    let mut part = Part::new();
    for index in 0..100_i64 {
        let width = 40 + index % 2;
        let positive = vec![Span::new(-10, width.unsigned_abs() as u32)];
        let layout = Arc::new(Layout { schema: 3, positive, ..Layout::default() });
        let fill: Fill = Box::new(move |column| {
            for number in 0..2400 {
                let buckets: Vec<i64> =
                    (0..width).map(|bucket| number * (1 + (bucket + index) % 7)).collect();
                let sum = number as f64 * 3.5;
                push_native(column, WIDE_MS + number * 10_000, &layout, (0, sum), &buckets);
            }
        });
        part.push((labels(&[("__name__", "n_hundred"), ("l", &index.to_string())])?, fill));
    }
    Ok(part)
}

fn large(many: usize) -> Result<Part, Box<dyn Error>> {
    let mut part = Part::new();
    for (name, count) in [("y", many), ("y_tenth", many / 10)] {
        for index in 0..count {
            let set = labels(&[
                ("__name__", name),
                ("instance", &format!("10.0.{}.{}:9100", index / 250, index % 250)),
                ("job", "node"),
                ("pod", &format!("pod-{index:06}")),
                ("x", &(index % 100).to_string()),
            ])?;
            part.push((set, line(MANY_MS, 60_000, 0..260, index as f64 / count as f64)));
        }
    }
    Ok(part)
}
