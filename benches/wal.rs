//! How fast is the log? Records of 1000 samples, in and out, on the machine's own disk.
//!
//! `cargo bench --bench wal`. `encode` is what a commit does before it takes the log's lock, `log`
//! is what it does under it, `read` is a restart without the head, `read_ahead` the same with
//! frames checked by a thread of their own.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use promlite::base::metrics::Registry;
use promlite::disk::RealDisk;
use promlite::model::Sample;
use promlite::series::SeriesRef;
use promlite::storage::wal::{
    BatchReader, Compression, Records, Refused, Wal, WalMetrics, WalOptions, decode_samples,
    encode_samples, recover_batches, replay,
};
use tempfile::tempdir;

const ROWS: u64 = 1000;
const RECORDS: u64 = 5000;

fn rows(number: u64) -> impl Iterator<Item = (SeriesRef, Sample)> {
    let timestamp_ms = 1_767_571_200_000 + number as i64 * 15_000;
    (0..ROWS).map(move |row| {
        let value = (number * 1000 + row) as f64;
        (SeriesRef(1_000_000 + row), Sample { timestamp_ms, value })
    })
}

fn open(dir: &Path, compression: Compression) -> Wal {
    let options = WalOptions { compression, ..WalOptions::default() };
    let metrics = WalMetrics::new(&Registry::new());
    Wal::open(RealDisk::shared(), dir, options, &metrics).unwrap()
}

fn write(criterion: &mut Criterion) {
    for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
        let mut group = criterion.benchmark_group(format!("wal_{}", compression.name()));
        group.throughput(Throughput::Elements(ROWS));
        let mut records = Records::new(compression);
        group.bench_function("encode", |bencher| {
            bencher.iter(|| {
                records.clear();
                records.add(|out| encode_samples(out, rows(7)));
                black_box(records.size_bytes())
            });
        });
        let dir = tempdir().unwrap();
        let mut wal = open(dir.path(), compression);
        group.bench_function("log", |bencher| {
            bencher.iter(|| {
                let end = wal.log_packed(&mut records).unwrap();
                // The disk must not fill up.
                if end.segment % 8 == 7 {
                    wal.remove_before(end.segment).unwrap();
                }
            });
        });
        group.finish();
    }
}

fn read(criterion: &mut Criterion) {
    for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
        let dir = tempdir().unwrap();
        let mut wal = open(dir.path(), compression);
        let mut records = Records::new(compression);
        for number in 0..RECORDS {
            records.clear();
            records.add(|out| encode_samples(out, rows(number)));
            wal.log_packed(&mut records).unwrap();
        }
        wal.close().unwrap();
        let disk = RealDisk::shared();
        let mut group = criterion.benchmark_group(format!("wal_{}", compression.name()));
        group.throughput(Throughput::Elements(ROWS * RECORDS));
        group.sample_size(10);
        group.bench_function("read", |bencher| {
            bencher.iter(|| {
                let mut sum = 0.0;
                let told = replay(&disk, dir.path(), None, &mut |_, record| {
                    decode_samples(record, |_, sample| sum += sample.value)
                });
                assert_eq!(told.unwrap().records, RECORDS);
                black_box(sum)
            });
        });
        let mut reader = BatchReader::new();
        group.bench_function("read_ahead", |bencher| {
            bencher.iter(|| {
                let mut sum = 0.0;
                let told = recover_batches(&disk, dir.path(), None, &mut |batch| {
                    for index in 0..batch.len() {
                        let record = reader.record(batch, index).unwrap();
                        decode_samples(record, |_, sample| sum += sample.value).unwrap();
                    }
                    Refused::new()
                });
                assert!(told.unwrap().is_clean());
                black_box(sum)
            });
        });
        group.finish();
    }
}

criterion_group!(benches, write, read);
criterion_main!(benches);
