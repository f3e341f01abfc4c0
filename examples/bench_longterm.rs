//! A bucket to measure the long term on, and questions to it. `benches/longterm.py` puts the
//! upkeep of such a bucket beside that of a Thanos compactor.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program's output")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::{Parser, Subcommand};
use promlite::chunk::{EncodeOptions, encode_column};
use promlite::disk::{Disk, RealDisk, SharedDisk};
use promlite::longterm::bucket::Bucket;
use promlite::longterm::gateway::{Gateway, GatewayOptions};
use promlite::longterm::{Source, ThanosMeta, UploadOptions, upload_block};
use promlite::series::{Chunk, Column, Dedup, Deduplicated, Queryable};
use promlite::storage::block::{Block, BlockMeta, BlockWriter};
use promlite::storage::downsample::{
    DownsampleOptions, FIVE_MINUTES_MS, ONE_HOUR_MS, downsample_block,
};
use promlite::{Engine, EngineOptions, Labels, RunOptions, Value};
use ulid::Ulid;

const HOUR_MS: i64 = 3_600_000;
/// Where a block of 14 days begins: they are counted from the epoch.
const START_MS: i64 = 1_756_339_200_000;

/// Measures the long term.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Fill a bucket in a folder with blocks of counters
    Make {
        /// The bucket's folder
        bucket: PathBuf,
        /// How many days
        #[arg(long, default_value_t = 90)]
        days: i64,
        /// Hours of a block
        #[arg(long, default_value_t = 336)]
        block_hours: i64,
        /// Series of each replica
        #[arg(long, default_value_t = 10_000)]
        series: usize,
        /// Seconds from sample to sample
        #[arg(long, default_value_t = 60)]
        interval: i64,
        /// How many replicas; each is seven seconds behind the one before
        #[arg(long, default_value_t = 1)]
        replicas: i64,
        /// Make windows of five minutes and of an hour, too
        #[arg(long)]
        downsample: bool,
    },
    /// Answer a range query from a bucket in a folder, and tell what was read
    Query {
        /// The bucket's folder
        bucket: PathBuf,
        /// The query
        query: String,
        /// Days from the start of the data
        #[arg(long, default_value_t = 90)]
        days: i64,
        /// Seconds from step to step
        #[arg(long, default_value_t = 3600)]
        step: i64,
        /// The coarsest windows that may be read, in seconds; 0 for raw samples
        #[arg(long, default_value_t = 0)]
        max_resolution: i64,
    },
}

fn main() -> ExitCode {
    let done = match Args::parse().part {
        Part::Make { bucket, days, block_hours, series, interval, replicas, downsample } => {
            let shape = Shape { days, block_hours, series, interval_ms: interval * 1000 };
            make(&bucket, &shape, replicas, downsample)
        }
        Part::Query { bucket, query, days, step, max_resolution } => {
            ask(&bucket, &query, days, step * 1000, max_resolution * 1000)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

struct Shape {
    days: i64,
    block_hours: i64,
    series: usize,
    interval_ms: i64,
}

fn make(
    folder: &Path,
    shape: &Shape,
    replicas: i64,
    downsample: bool,
) -> Result<(), Box<dyn Error>> {
    let disk = RealDisk::shared();
    disk.create_dir_all(folder)?;
    let work = folder.with_extension("work");
    disk.create_dir_all(&work)?;
    let bucket = Bucket::folder(folder)?;
    let block_ms = shape.block_hours * HOUR_MS;
    let end_ms = START_MS + shape.days * 24 * HOUR_MS;
    let mut number = 0;
    for start_ms in (START_MS..end_ms).step_by(usize::try_from(block_ms)?) {
        for replica in 0..replicas {
            number += 1;
            let ulid = Ulid::from_parts(u64::try_from(start_ms + block_ms + replica)?, number);
            let span = (start_ms, (start_ms + block_ms).min(end_ms));
            write_block(&disk, &work, ulid, span, replica * 7000, shape)?;
            let name = format!("r{replica}");
            let labels = Labels::from_pairs([("cluster", "bench"), ("replica", &*name)])?;
            ship(&bucket, &disk, &work, ulid, &labels)?;
            if downsample {
                coarsen(&bucket, &disk, &work, ulid, &labels, &mut number)?;
            }
            disk.remove_dir_all(&work.join(ulid.to_string()))?;
        }
        println!(
            "{} of {} days",
            (start_ms + block_ms).min(end_ms).saturating_sub(START_MS) / (24 * HOUR_MS),
            shape.days
        );
    }
    disk.remove_dir_all(&work)?;
    let objects = bucket.list("")?;
    let bytes: u64 = objects.iter().map(|object| object.size_bytes).sum();
    println!("objects: {}\nbytes: {bytes}", objects.len());
    Ok(())
}

fn coarsen(
    bucket: &Bucket,
    disk: &SharedDisk,
    work: &Path,
    raw: Ulid,
    labels: &Labels,
    number: &mut u128,
) -> Result<(), Box<dyn Error>> {
    let mut source = raw;
    for resolution_ms in [FIVE_MINUTES_MS, ONE_HOUR_MS] {
        *number += 1;
        let ulid = Ulid::from_parts(raw.timestamp_ms() + 1, *number);
        let block = Block::open(disk, &work.join(source.to_string()))?;
        let options = DownsampleOptions::default();
        let start = Instant::now();
        let made = downsample_block(disk, &block, resolution_ms, work, ulid, &options)?;
        let made = made.ok_or("a block of nothing")?;
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "to {resolution_ms} ms: {} samples in {seconds:.3} s, {} windows",
            block.meta().stats.num_samples,
            made.stats.num_samples
        );
        ship(bucket, disk, work, ulid, labels)?;
        if source != raw {
            disk.remove_dir_all(&work.join(source.to_string()))?;
        }
        source = ulid;
    }
    Ok(disk.remove_dir_all(&work.join(source.to_string()))?)
}

fn ship(
    bucket: &Bucket,
    disk: &SharedDisk,
    work: &Path,
    ulid: Ulid,
    labels: &Labels,
) -> Result<(), Box<dyn Error>> {
    let dir = work.join(ulid.to_string());
    let meta = BlockMeta::read(&**disk, &dir)?;
    let mut thanos =
        ThanosMeta::of(&meta)?.unwrap_or_else(|| ThanosMeta::new(labels, Source::Receive));
    thanos.labels = labels.iter().map(|(name, value)| (name.into(), value.into())).collect();
    upload_block(bucket, disk, &dir, &thanos, &UploadOptions::default())?;
    Ok(())
}

/// Counters that restart now and then, in groups of a hundred.
fn write_block(
    disk: &SharedDisk,
    dir: &Path,
    ulid: Ulid,
    (start_ms, end_ms): (i64, i64),
    late_ms: i64,
    shape: &Shape,
) -> Result<(), Box<dyn Error>> {
    let texts: Vec<(String, String)> = (0..shape.series)
        .map(|number| (format!("group{:03}", number / 100), format!("pod-{number:06}")))
        .collect();
    let mut symbols = vec!["", "__name__", "group", "pod", "requests_total"];
    symbols.extend(texts.iter().flat_map(|(group, pod)| [group.as_str(), pod.as_str()]));
    symbols.sort_unstable();
    symbols.dedup();
    let mut writer = BlockWriter::new(disk.clone(), dir, ulid, &mut symbols.into_iter())?;
    let (mut column, mut chunks) = (Column::new(), Vec::new());
    for (number, (group, pod)) in texts.iter().enumerate() {
        fill(&mut column, number, (start_ms + late_ms, end_ms), shape.interval_ms);
        chunks.clear();
        encode_column(&column, 0..column.len(), &EncodeOptions::default(), &mut |chunk| {
            chunks.push(Chunk::from(chunk));
        })?;
        let labels =
            Labels::from_pairs([("__name__", "requests_total"), ("group", group), ("pod", pod)])?;
        writer.add_series(&labels, &chunks)?;
    }
    writer.finish(BlockMeta::new(ulid, start_ms, end_ms))?;
    Ok(())
}

fn fill(column: &mut Column, number: usize, (start_ms, end_ms): (i64, i64), interval_ms: i64) {
    column.clear();
    // The same in each replica: what differs is when it is scraped.
    let mut random =
        (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (start_ms / HOUR_MS) as u64;
    let mut value = 0.0;
    let mut time_ms = start_ms;
    while time_ms < end_ms {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        value = if random.is_multiple_of(5000) { 0.0 } else { value + (random % 64) as f64 };
        column.push(time_ms + (random >> 60) as i64 % 3, value);
        time_ms += interval_ms;
    }
}

fn ask(
    folder: &Path,
    query: &str,
    days: i64,
    step_ms: i64,
    max_resolution_ms: i64,
) -> Result<(), Box<dyn Error>> {
    let bucket = Bucket::folder(folder)?;
    let start = Instant::now();
    let gateway = Gateway::open(bucket.clone(), GatewayOptions::default())?;
    println!("open seconds: {:.3}", start.elapsed().as_secs_f64());
    tell(&bucket, "open");
    let replica: Arc<[Arc<str>]> = Arc::from([Arc::from("replica")]);
    let source = Deduplicated::new(Arc::new(gateway.clone()), replica, Dedup::Identity);
    let run = RunOptions { max_source_resolution_ms: max_resolution_ms, ..RunOptions::default() };
    let (from_ms, to_ms) = (START_MS + step_ms, START_MS + days * 24 * HOUR_MS - step_ms);
    let mut options = EngineOptions::default();
    // What takes long is told, too.
    options.timeout_ms = HOUR_MS;
    let engine = Engine::new(options);
    for round in ["cold", "warm"] {
        let start = Instant::now();
        let source: &dyn Queryable = &source;
        let answer = engine.range(source, query, from_ms, to_ms, step_ms, &run)?;
        let Value::Matrix(series) = answer.value else { return Err("not a matrix".into()) };
        let points: usize = series.iter().map(|one| one.column.len()).sum();
        println!("{round} seconds: {:.3}", start.elapsed().as_secs_f64());
        println!("{round} answer: {} series, {points} points", series.len());
        for note in answer.warnings.iter().chain(&answer.infos).take(3) {
            println!("{round} note: {note}");
        }
        tell(&bucket, round);
    }
    println!("peak bytes: {}", peak_bytes()?);
    Ok(())
}

/// What was asked of the bucket since the start.
fn tell(bucket: &Bucket, when: &str) {
    let stats = bucket.stats();
    println!("{when} requests: {}\n{when} bytes: {}", stats.requests, stats.read_bytes);
}

fn peak_bytes() -> Result<u64, Box<dyn Error>> {
    let status = String::from_utf8(RealDisk.read(Path::new("/proc/self/status"))?)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kilobytes.ok_or("no VmHWM")?.trim().parse::<u64>()? * 1024)
}
