//! Chunks against those of Prometheus, and against a model that reads bit by bit.

mod columns;
mod golden;
mod model;
mod upstream;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::disk::{Disk, RealDisk};
use crate::model::histogram::{Counts, Histogram, HistogramRef, Layout, ResetHint, Span};
use crate::model::{Column, Value, stale_nan};

const ALL: (i64, i64) = (i64::MIN, i64::MAX);

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

/// The lines of a file packed with zstd.
fn packed_lines(path: &Path) -> Vec<String> {
    const BYTES_MAX: usize = 1 << 25;
    let packed = RealDisk.read(path).unwrap();
    let text = zstd::bulk::decompress(&packed, BYTES_MAX).unwrap();
    String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
}

fn decoded(encoding: u8, data: &[u8]) -> Column {
    let mut column = Column::new();
    decode(encoding, data, ALL, &mut column).unwrap();
    assert_eq!(column.len(), usize::from(sample_count(encoding, data).unwrap()));
    column
}

/// Writes a column as one chunk; `previous` is the chunk of histograms before it.
fn encode(encoding: Encoding, column: &Column, previous: Option<&HistogramAppender>) -> OpenChunk {
    let starts = matches!(encoding, Encoding::HistogramSt | Encoding::FloatHistogramSt);
    let mut open = match encoding {
        Encoding::Xor2 => OpenChunk::Xor2(Box::default()),
        _ => OpenChunk::Xor(XorAppender::new()),
    };
    for (time, start, value) in column.samples() {
        match (&mut open, value) {
            (OpenChunk::Xor(open), Value::Float(value)) => open.append(time, value).unwrap(),
            (OpenChunk::Xor2(open), Value::Float(value)) => {
                open.append(time, start, value).unwrap();
            }
            (OpenChunk::Histogram(open), Value::Histogram(histogram)) => {
                assert!(open.append(time, start, histogram).unwrap().is_none());
            }
            (_, Value::Histogram(histogram)) => {
                let begun = HistogramAppender::begin(time, start, histogram, previous, starts);
                open = OpenChunk::Histogram(Box::new(begun.unwrap()));
            }
            (OpenChunk::Histogram(_), Value::Float(_)) => unreachable!(),
        }
    }
    assert_eq!(open.encoding(), encoding);
    assert_eq!(open.min_time_ms(), *column.timestamps.first().unwrap());
    assert_eq!(open.max_time_ms(), *column.timestamps.last().unwrap());
    assert_eq!(usize::from(open.sample_count()), column.len());
    open
}

/// A histogram of a few shapes, so that some follow from others and some do not.
fn histogram(is_float: bool) -> impl Strategy<Value = Histogram> {
    let shape = prop_oneof![
        6 => Just((3, 0.001, vec![Span::new(-1, 2), Span::new(1, 1)], Vec::new())),
        3 => Just((3, 0.001, vec![Span::new(-1, 2), Span::new(0, 2)], Vec::new())),
        2 => Just((3, 0.001, vec![Span::new(-2, 6)], vec![Span::new(0, 2)])),
        1 => Just((4, 0.0, vec![Span::new(0, 1)], vec![Span::new(5, 2)])),
        1 => Just((-53, 0.0, vec![Span::new(0, 3)], Vec::new())),
    ];
    let hint = prop_oneof![
        8 => Just(ResetHint::Unknown),
        1 => Just(ResetHint::Reset),
        2 => Just(ResetHint::Gauge),
    ];
    (shape, hint, vec(0_i64..1_000_000, 8), any::<f64>(), 0_u8..10).prop_map(
        move |((schema, zero_threshold, positive, negative), hint, buckets, sum, kind)| {
            if kind == 0 {
                return Histogram { hint, ..Histogram::stale(is_float) };
            }
            let is_custom = schema == -53;
            let custom_bounds = if is_custom { vec![0.25, 1.0, 1e9] } else { Vec::new() };
            let layout = Layout { schema, zero_threshold, positive, negative, custom_bounds };
            let small = |bucket: &i64| if kind < 5 { bucket % 3 } else { *bucket };
            let buckets = buckets[..layout.bucket_len()].iter().map(small);
            let zero_count = if is_custom { 0 } else { 2 };
            let counts = if is_float {
                let buckets: Vec<f64> = buckets.map(|bucket| bucket as f64 / 4.0).collect();
                let count = buckets.iter().sum::<f64>() + f64::from(zero_count);
                Counts::Float { count, zero_count: zero_count.into(), buckets }
            } else {
                let buckets: Vec<i64> = buckets.collect();
                let count = buckets.iter().sum::<i64>() as u64 + zero_count as u64;
                Counts::Integer { count, zero_count: zero_count as u64, buckets }
            };
            Histogram { layout: Arc::new(layout), hint, sum, counts }
        },
    )
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (-1000_i32..1000).prop_map(f64::from),
        (-100_000_i32..100_000).prop_map(|cents| f64::from(cents) / 100.0),
        Just(1.0),
        Just(stale_nan()),
    ]
}

#[derive(Debug, Clone)]
enum Owned {
    Float(f64),
    Histogram(Histogram),
}

/// One sample of a kind: 0 floats, 1 integer and 2 float histograms.
fn value(kind: u8) -> BoxedStrategy<Owned> {
    match kind {
        0 => float().prop_map(Owned::Float).boxed(),
        1 => histogram(false).prop_map(Owned::Histogram).boxed(),
        _ => histogram(true).prop_map(Owned::Histogram).boxed(),
    }
}

/// Samples of one kind in time order, with starts or without.
fn column(kind: u8) -> impl Strategy<Value = Column> {
    let step = prop_oneof![
        3 => Just(15_000_i64),
        2 => 14_990_i64..15_010,
        1 => 1_i64..3_000_000,
        1 => 1_i64..=i64::MAX / 400,
    ];
    let start = prop_oneof![3 => Just(0_i64), 3 => Just(77_i64), 1 => any::<i64>()];
    let begin = prop_oneof![Just(1_767_571_200_000_i64), -1000_i64..1000, Just(i64::MIN)];
    (begin, any::<bool>(), vec((step, start, value(kind)), 1..160)).prop_map(
        |(mut time, has_starts, rows)| {
            let mut column = Column::new();
            for (step, start, value) in rows {
                let start = if has_starts { start } else { 0 };
                match &value {
                    Owned::Float(value) => column.push_value(time, start, Value::Float(*value)),
                    Owned::Histogram(histogram) => {
                        column.push_value(time, start, Value::Histogram(histogram.as_ref()));
                    }
                }
                time += step;
            }
            column
        },
    )
}

/// The chunks of a column, each with its encoding.
fn chunks(column: &Column, options: &EncodeOptions) -> Vec<EncodedChunk> {
    let mut chunks = Vec::new();
    encode_column(column, 0..column.len(), options, &mut |chunk| chunks.push(chunk)).unwrap();
    chunks
}
