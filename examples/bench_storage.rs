//! The work of a store beside taking samples in, each part by itself: start, cut, merge, decode.
//! `benches/storage.py` puts it beside what Prometheus does on the same directories.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program's output")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use promlite::base::clock::SystemClock;
use promlite::base::metrics::{Registry, Value};
use promlite::chunk::{XorAppender, decode_xor};
use promlite::disk::{RealDisk, resident_memory_bytes};
use promlite::{Tsdb, TsdbOptions};

/// Measures one part of a store's work.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Open a data directory, which replays its log
    Open {
        /// The data directory; it is changed as by any start
        dir: PathBuf,
    },
    /// Cut all blocks that are due from memory, then merge blocks until there is nothing to merge
    Compact {
        /// The data directory; it is changed
        dir: PathBuf,
    },
    /// Decode chunks of counters into columns
    Decode,
}

fn main() -> ExitCode {
    let done = match Args::parse().part {
        Part::Open { dir } => open(&dir, &Registry::new()).map(drop),
        Part::Compact { dir } => compact(&dir),
        Part::Decode => decode(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn open(dir: &Path, registry: &Registry) -> Result<Tsdb, Box<dyn Error>> {
    let mut options = TsdbOptions::default();
    options.background = false;
    let start = Instant::now();
    let db = Tsdb::open(RealDisk::shared(), Arc::new(SystemClock), dir, options, registry)?;
    println!("open seconds: {:.3}", start.elapsed().as_secs_f64());
    let stats = db.stats();
    println!("series: {}", stats.head_series);
    println!("samples: {}", stats.replay.samples);
    println!("head bytes: {}", stats.head_bytes);
    println!("resident bytes: {}", resident_memory_bytes(&RealDisk).unwrap_or(0.0));
    Ok(db)
}

/// Seconds that went into writing blocks so far, as the store itself counts them.
fn writing_seconds(registry: &Registry) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|f| f.name == "prometheus_tsdb_compaction_duration_seconds");
    match family.and_then(|family| family.members.first()) {
        Some((_, Value::Histogram { sum, .. })) => *sum,
        _ => f64::NAN,
    }
}

fn compact(dir: &Path) -> Result<(), Box<dyn Error>> {
    let registry = Registry::new();
    let db = open(dir, &registry)?;
    loop {
        let (start, before) = (Instant::now(), writing_seconds(&registry));
        if !db.cut_head()? {
            break;
        }
        let (all, seconds) = (start.elapsed().as_secs_f64(), writing_seconds(&registry) - before);
        let newest = db.stats().blocks.pop().ok_or("no block was cut")?;
        let samples = newest.stats.num_samples;
        println!("cut: {samples} samples in {seconds:.4} seconds, {all:.4} with truncation");
    }
    loop {
        let start = Instant::now();
        if !db.compact_once()? {
            break;
        }
        let seconds = start.elapsed().as_secs_f64();
        let blocks = db.stats().blocks;
        let merged = blocks.iter().max_by_key(|meta| meta.compaction.level);
        let merged = merged.ok_or("no block was merged")?;
        println!("merge: {} samples in {seconds:.4} seconds", merged.stats.num_samples);
    }
    println!("peak after: {}", resident_memory_bytes(&RealDisk).unwrap_or(0.0));
    Ok(db.close()?)
}

const CHUNKS: usize = 10_000;
const SAMPLES: i64 = 120;

/// Counters that are scraped each 15 seconds, a little late at times, and grow by some hundreds.
fn counters() -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let mut chunks = Vec::new();
    for _ in 0..CHUNKS {
        let mut appender = XorAppender::new();
        let mut value = next(1_000_000) as f64;
        for step in 0..SAMPLES {
            let late_ms = if next(4) == 0 { next(5) as i64 } else { 0 };
            value += next(500) as f64;
            appender.append(1_767_571_200_000 + step * 15_000 + late_ms, value)?;
        }
        chunks.push(appender.to_bytes().to_vec());
    }
    Ok(chunks)
}

fn decode() -> Result<(), Box<dyn Error>> {
    let chunks = counters()?;
    let (mut times, mut floats) = (Vec::new(), Vec::new());
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let start = Instant::now();
        for chunk in &chunks {
            times.clear();
            floats.clear();
            decode_xor(chunk, (i64::MIN, i64::MAX), &mut times, &mut floats)?;
            std::hint::black_box((&times, &floats));
        }
        best = best.min(start.elapsed());
    }
    let samples = CHUNKS as f64 * SAMPLES as f64;
    println!("xor decode: {:.2} ns a sample", best.as_nanos() as f64 / samples);
    Ok(())
}
