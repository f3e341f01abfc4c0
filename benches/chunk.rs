//! Nanoseconds a sample, to write and to read chunks of 120 samples.

use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use promlite::chunk::{
    EncodeOptions, EncodedChunk, XorAppender, decode, decode_xor, encode_column,
};
use promlite::model::histogram::{Counts, Histogram, Layout, ResetHint, Span};
use promlite::series::Column;

const CHUNKS: usize = 200;
const SAMPLES: usize = 120;

/// xorshift: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> f64 {
        (self.next() % bound) as f64
    }
}

/// A name, the most that a scrape is late, and the next value from the one before.
type Case = (&'static str, u64, fn(&mut Random, f64) -> f64);

const CASES: [Case; 6] = [
    ("constant, regular", 0, |_, _| 42.0),
    ("changing at times, regular", 0, |random, value| {
        if random.next().is_multiple_of(5) { random.below(1000) } else { value }
    }),
    ("integer counter, regular", 0, |random, value| value + random.below(100)),
    ("integer counter, jitter", 20, |random, value| value + random.below(100)),
    ("two-decimal gauge, jitter", 20, |random, _| random.below(10_000) / 100.0),
    ("random, regular", 0, |random, _| random.below(1 << 53) / (1_u64 << 53) as f64),
];

type Samples = Vec<(i64, f64)>;

fn samples((_, jitter_ms, next): Case) -> Vec<Samples> {
    let mut random = Random(88_172_645_463_325_252);
    let (mut time, mut value) = (1_767_571_200_000, 0.0);
    let mut sample = || {
        time += 15_000;
        value = next(&mut random, value);
        (time + (random.next() % (jitter_ms + 1)) as i64, value)
    };
    (0..CHUNKS).map(|_| (0..SAMPLES).map(|_| sample()).collect()).collect()
}

fn encode(samples: &Samples) -> Bytes {
    let mut appender = XorAppender::new();
    for (time, value) in samples {
        // 120 samples always fit.
        let _ = appender.append(*time, *value);
    }
    appender.finish()
}

fn chunks(criterion: &mut Criterion) {
    for case in CASES {
        let samples = samples(case);
        let chunks: Vec<Bytes> = samples.iter().map(encode).collect();
        let mut group = criterion.benchmark_group(case.0);
        group.throughput(Throughput::Elements((CHUNKS * SAMPLES) as u64));
        group.bench_function("encode", |bencher| {
            bencher.iter(|| samples.iter().map(encode).map(|chunk| chunk.len()).sum::<usize>());
        });
        group.bench_function("decode", |bencher| {
            let columns = || (Vec::with_capacity(SAMPLES), Vec::with_capacity(SAMPLES));
            let decode_all = |(times, floats): &mut (Vec<i64>, Vec<f64>)| {
                for chunk in &chunks {
                    times.clear();
                    floats.clear();
                    let all = (i64::MIN, i64::MAX);
                    assert_eq!(decode_xor(chunk, all, times, floats), Ok(()));
                }
                times.len()
            };
            bencher.iter_batched_ref(columns, decode_all, BatchSize::LargeInput);
        });
        group.finish();
    }
}

/// Samples of one series of a histogram with 20 buckets, some of which grow.
fn histograms(is_float: bool) -> Column {
    let mut random = Random(88_172_645_463_325_252);
    let positive = vec![Span::new(-5, 12), Span::new(3, 8)];
    let layout = Layout { schema: 3, zero_threshold: 0.001, positive, ..Layout::default() };
    let layout = Arc::new(layout);
    let mut buckets = [0_i64; 20];
    let mut column = Column::new();
    for index in 0..(CHUNKS * SAMPLES) as i64 {
        for _ in 0..4 {
            let bucket = random.next() as usize % buckets.len();
            if let Some(bucket) = buckets.get_mut(bucket) {
                *bucket += (random.next() % 50) as i64;
            }
        }
        let count: i64 = buckets.iter().sum();
        let counts = if is_float {
            let buckets = buckets.iter().map(|bucket| *bucket as f64).collect();
            Counts::Float { count: count as f64, zero_count: 0.0, buckets }
        } else {
            Counts::Integer { count: count as u64, zero_count: 0, buckets: buckets.to_vec() }
        };
        let (layout, hint, sum) = (Arc::clone(&layout), ResetHint::Unknown, count as f64 / 8.0);
        let histogram = Histogram { layout, hint, sum, counts };
        column.push_histogram(1_767_571_200_000 + index * 15_000, histogram.as_ref());
    }
    column
}

fn encoded(column: &Column, options: &EncodeOptions) -> Vec<EncodedChunk> {
    let mut chunks = Vec::new();
    let result = encode_column(column, 0..column.len(), options, &mut |chunk| chunks.push(chunk));
    assert_eq!(result, Ok(()));
    chunks
}

fn columns(criterion: &mut Criterion) {
    let counters = || {
        let mut column = Column::new();
        for (time, value) in CASES.get(3).map(|case| samples(*case)).into_iter().flatten().flatten()
        {
            column.push(time, value);
        }
        column
    };
    let xor2 = EncodeOptions { float_starts: true, ..EncodeOptions::default() };
    let cases = [
        ("XOR2, integer counter, jitter", counters(), xor2),
        ("histogram of 20 buckets", histograms(false), EncodeOptions::default()),
        ("float histogram of 20 buckets", histograms(true), EncodeOptions::default()),
    ];
    for (name, column, options) in cases {
        let chunks = encoded(&column, &options);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(column.len() as u64));
        group.bench_function("encode", |bencher| bencher.iter(|| encoded(&column, &options)));
        group.bench_function("decode", |bencher| {
            let decode_all = |column: &mut Column| {
                for chunk in &chunks {
                    column.clear();
                    let all = (i64::MIN, i64::MAX);
                    assert_eq!(decode(chunk.encoding, &chunk.data, all, column), Ok(()));
                }
            };
            bencher.iter_batched_ref(Column::new, decode_all, BatchSize::LargeInput);
        });
        group.finish();
    }
}

criterion_group!(benches, chunks, columns);
criterion_main!(benches);
