//! What Thanos made of a block, and what we make of it.

mod golden;
mod histogram_tables;
mod read;
mod reader_tables;
mod tables;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;

use crate::disk::{Disk, MemoryDisk, RealDisk, SharedDisk};
use crate::model::histogram::{
    Counts, CountsRef, Histogram, HistogramRef, Layout, ResetHint, Span,
};
use crate::model::{Labels, stale_nan};
use crate::series::Chunk;
use crate::storage::block::{Block, BlockScan};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden/thanos/downsample")
}

/// The block of Thanos of this resolution: `raw`, `5m` or `1h`.
fn golden(resolution: &str) -> Arc<Block> {
    let dir = folder().join(resolution);
    let [entry] = <[_; 1]>::try_from(RealDisk.list(&dir).unwrap()).unwrap();
    Block::open(&RealDisk::shared(), &dir.join(entry.name)).unwrap()
}

fn lines(name: &str) -> Vec<Json> {
    let packed = RealDisk.read(&folder().join(format!("{name}.jsonl.zst"))).unwrap();
    let text = String::from_utf8(zstd::decode_all(packed.as_slice()).unwrap()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Labels and chunks of all series of a block.
fn contents(block: &Block) -> Vec<(Labels, Vec<Chunk>)> {
    let symbols: Vec<&str> = block.symbols().map(Result::unwrap).collect();
    let mut scan = BlockScan::new(block, (0..symbols.len() as u32).collect()).unwrap();
    let mut all = Vec::new();
    while scan.advance().unwrap() {
        let text = |number: u32| symbols[number as usize];
        let pairs = scan.labels().iter().map(|(name, value)| (text(*name), text(*value)));
        let labels = Labels::from_pairs(pairs).unwrap();
        let mut chunks = Vec::new();
        scan.chunks(&mut chunks).unwrap();
        all.push((labels, chunks));
    }
    all
}

fn memory() -> SharedDisk {
    Arc::new(MemoryDisk::new())
}

fn labels(pairs: &Json) -> Labels {
    let pairs = pairs.as_object().unwrap().iter();
    Labels::from_pairs(pairs.map(|(name, value)| (name, value.as_str().unwrap()))).unwrap()
}

fn float(json: &Json) -> f64 {
    match json.as_str() {
        None => json.as_f64().unwrap(),
        Some("NaN") => f64::NAN,
        Some("StaleNaN") => stale_nan(),
        Some("+Inf") => f64::INFINITY,
        Some("-Inf") => f64::NEG_INFINITY,
        Some(text) => text.parse().unwrap(),
    }
}

fn times(json: &Json) -> Vec<i64> {
    json.as_array().unwrap().iter().map(|time| time.as_i64().unwrap()).collect()
}

/// A histogram of the expectations, always of float counts.
fn histogram(json: &Json) -> Histogram {
    let floats = |name: &str| -> Vec<f64> {
        json[name].as_array().map(|all| all.iter().map(float).collect()).unwrap_or_default()
    };
    let spans = |name: &str| -> Vec<Span> {
        let span = |pair: &Json| {
            Span::new(pair[0].as_i64().unwrap() as i32, pair[1].as_u64().unwrap() as u32)
        };
        json[name].as_array().map(|all| all.iter().map(span).collect()).unwrap_or_default()
    };
    let mut buckets = floats("positive_buckets");
    buckets.extend(floats("negative_buckets"));
    let layout = Layout {
        schema: json["schema"].as_i64().unwrap() as i32,
        zero_threshold: float(&json["zero_threshold"]),
        positive: spans("positive_spans"),
        negative: spans("negative_spans"),
        custom_bounds: floats("custom_values"),
    };
    let hint = match json["counter_reset_hint"].as_str().unwrap() {
        "reset" => ResetHint::Reset,
        "not_reset" => ResetHint::NotReset,
        "gauge" => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    };
    let (count, zero_count) = (float(&json["count"]), float(&json["zero_count"]));
    let counts = Counts::Float { count, zero_count, buckets };
    Histogram { layout: Arc::new(layout), hint, sum: float(&json["sum"]), counts }
}

/// The same with float counts.
fn with_floats(one: HistogramRef<'_>) -> Histogram {
    let mut owned = one.to_owned();
    if let CountsRef::Integer { count, zero_count, buckets } = one.counts {
        let buckets = buckets.iter().map(|bucket| *bucket as f64).collect();
        owned.counts =
            Counts::Float { count: count as f64, zero_count: zero_count as f64, buckets };
    }
    owned
}

/// Equal bits, all NaN alike.
fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}
