//! Samples a second when a block of two days is downsampled: raw to five minutes, and these to
//! hours. Disk is memory, so that only the work itself is measured.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up ends")]

use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use promlite::Labels;
use promlite::chunk::{EncodeOptions, encode_column};
use promlite::disk::{MemoryDisk, SharedDisk};
use promlite::series::{Chunk, Column};
use promlite::storage::block::{Block, BlockMeta, BlockWriter};
use promlite::storage::downsample::{
    DownsampleOptions, FIVE_MINUTES_MS, ONE_HOUR_MS, downsample_block,
};
use ulid::Ulid;

const SERIES: usize = 400;
const INTERVAL_MS: i64 = 15_000;
const SPAN_MS: i64 = 2 * 86_400_000;
const START_MS: i64 = 1_767_571_200_000;

/// Half counters, half gauges of two decimals, all a little late.
fn column(number: usize, random: &mut u64) -> Column {
    let mut column = Column::new();
    let mut value = 0.0;
    for step in 0..SPAN_MS / INTERVAL_MS {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        let late_ms = (*random >> 50) as i64 % 20;
        value = if number.is_multiple_of(2) {
            value + (*random % 100) as f64
        } else {
            (*random % 10_000) as f64 / 100.0
        };
        column.push(START_MS + step * INTERVAL_MS + late_ms, value);
    }
    column
}

fn raw_block(disk: &SharedDisk, dir: &Path) -> Arc<Block> {
    let names: Vec<String> = (0..SERIES).map(|number| format!("metric_{number:05}")).collect();
    let mut symbols: Vec<&str> = names.iter().map(String::as_str).collect();
    symbols.push("__name__");
    symbols.sort_unstable();
    let ulid = Ulid::from_parts(1, 1);
    let mut writer = BlockWriter::new(disk.clone(), dir, ulid, &mut symbols.into_iter()).unwrap();
    let mut random = 88_172_645_463_325_252;
    for (number, name) in names.iter().enumerate() {
        let column = column(number, &mut random);
        let mut chunks = Vec::new();
        encode_column(&column, 0..column.len(), &EncodeOptions::default(), &mut |chunk| {
            let (min_time_ms, max_time_ms) = (chunk.min_time_ms, chunk.max_time_ms);
            let (encoding, data) = (chunk.encoding, chunk.data);
            chunks.push(Chunk { min_time_ms, max_time_ms, encoding, data });
        })
        .unwrap();
        let labels = Labels::from_pairs([("__name__", name.as_str())]).unwrap();
        writer.add_series(&labels, &chunks).unwrap();
    }
    writer.finish(BlockMeta::new(ulid, START_MS, START_MS + SPAN_MS)).unwrap().unwrap();
    Block::open(disk, &dir.join(ulid.to_string())).unwrap()
}

fn downsampling(c: &mut Criterion) {
    let disk: SharedDisk = Arc::new(MemoryDisk::new());
    let dir = Path::new("/blocks");
    disk.create_dir_all(dir).unwrap();
    let raw = raw_block(&disk, dir);
    let run = |block: &Arc<Block>, resolution_ms: i64| {
        let options = DownsampleOptions::default();
        let ulid = Ulid::from_parts(resolution_ms as u64, 1);
        downsample_block(&disk, block, resolution_ms, dir, ulid, &options).unwrap().unwrap()
    };
    let ulid = run(&raw, FIVE_MINUTES_MS).ulid;
    let five = Block::open(&disk, &dir.join(ulid.to_string())).unwrap();
    let mut group = c.benchmark_group("downsample");
    group.sample_size(10);
    for (name, block, resolution_ms) in
        [("raw to 5m", &raw, FIVE_MINUTES_MS), ("5m to 1h", &five, ONE_HOUR_MS)]
    {
        for threads in [1, rayon::current_num_threads()] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            group.throughput(Throughput::Elements(block.meta().stats.num_samples));
            group.bench_function(format!("{name}, {threads} threads"), |bencher| {
                bencher.iter(|| pool.install(|| run(block, resolution_ms)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, downsampling);
criterion_main!(benches);
