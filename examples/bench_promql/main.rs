//! Queries over the data of upstream's engine benchmarks, as `benches/promql.py` asks for them.
//!
//! `write` makes a data directory that Prometheus reads too, `serve` answers queries over it and
//! compares answers with Prometheus's, `memory` tells what one query takes.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program's output")]

mod compare;
mod data;

use std::error::Error;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use promlite::promql::StatsWanted;
use promlite::storage::db::ReadOnlyTsdb;
use promlite::{Answer, Engine, EngineOptions, RunOptions, TsdbOptions};
use serde::Deserialize;
use serde_json::json;

/// As the hub's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Makes data of upstream's engine benchmarks and answers queries over them.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Write the data directory; prints the span of each part as JSON
    Write {
        /// The data directory
        dir: PathBuf,
        /// Series of the largest metric
        #[arg(long, default_value_t = 100_000)]
        many: usize,
    },
    /// Answer questions: a JSON object a line, from standard input, until it ends
    Serve {
        /// The data directory
        dir: PathBuf,
    },
    /// Answer one question and say what memory it took
    Memory {
        /// The data directory
        dir: PathBuf,
        /// The question, as for `serve`
        question: String,
    },
}

/// A question; times in milliseconds, without a step at the end alone.
#[derive(Deserialize)]
struct Question {
    query: String,
    start_ms: i64,
    end_ms: i64,
    step_ms: i64,
    /// A file with Prometheus's answer.
    compare: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = match Args::parse().part {
        Part::Write { dir, many } => data::write(&dir, many),
        Part::Serve { dir } => serve(&dir),
        Part::Memory { dir, question } => memory(&dir, &question),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// An engine that has what upstream's benchmarks switch on.
fn engine() -> Engine {
    let mut options = EngineOptions::default();
    for name in ["promql-experimental-functions", "promql-extended-range-selectors"] {
        options.enable_feature(name);
    }
    options.max_samples = 500_000_000;
    Engine::new(options)
}

fn open(dir: &Path) -> Result<ReadOnlyTsdb, Box<dyn Error>> {
    let source = ReadOnlyTsdb::open_at(dir, &TsdbOptions::default())?;
    match source.stats().unreadable_blocks.first_key_value() {
        Some((block, problem)) => Err(format!("block {block}: {problem}").into()),
        None => Ok(source),
    }
}

fn ask(
    engine: &Engine,
    source: &ReadOnlyTsdb,
    question: &Question,
) -> Result<Answer, Box<dyn Error>> {
    let run = RunOptions { stats: StatsWanted::All, ..RunOptions::default() };
    let Question { query, start_ms, end_ms, step_ms, .. } = question;
    Ok(match step_ms {
        0 => engine.instant(source, query, *end_ms, &run)?,
        _ => engine.range(source, query, *start_ms, *end_ms, *step_ms, &run)?,
    })
}

fn stats(answer: &Answer) -> Result<serde_json::Value, Box<dyn Error>> {
    let mut text = String::new();
    answer.stats.as_ref().ok_or("no statistics")?.write_json(&mut text);
    Ok(serde_json::from_str(&text)?)
}

fn serve(dir: &Path) -> Result<(), Box<dyn Error>> {
    let (source, engine) = (open(dir)?, engine());
    for line in std::io::stdin().lock().lines() {
        let question: Question = serde_json::from_str(&line?)?;
        let answer = ask(&engine, &source, &question)?;
        let difference = match &question.compare {
            Some(path) => compare::difference(&answer.value, &std::fs::read(path)?)?,
            None => None,
        };
        println!("{}", json!({ "stats": stats(&answer)?, "difference": difference }));
    }
    Ok(())
}

/// Memory of this process that is not a file's, in bytes.
fn own_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}

fn memory(dir: &Path, question: &str) -> Result<(), Box<dyn Error>> {
    let (source, engine) = (open(dir)?, engine());
    let question: Question = serde_json::from_str(question)?;
    let before = own_bytes().ok_or("the system does not tell what memory a process has")?;
    let done = AtomicBool::new(false);
    let (answer, peak) = std::thread::scope(|threads| {
        let watch = threads.spawn(|| {
            let mut peak = 0;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(own_bytes().unwrap_or_default());
                std::thread::sleep(Duration::from_millis(1));
            }
            peak
        });
        let answer = ask(&engine, &source, &question);
        done.store(true, Ordering::Relaxed);
        (answer, watch.join().unwrap_or_default())
    });
    let stats = stats(&answer?)?;
    println!("{}", json!({ "before": before, "peak": peak.max(before), "stats": stats }));
    Ok(())
}
