//! Looks into a data directory: what is there, what is large, what is damaged.

#![expect(clippy::print_stderr, reason = "a program's output")]

#[cfg(feature = "longterm")]
mod bucket;
mod explain;
mod import;
mod out;
mod query;

use std::error::Error;
use std::io::{BufWriter, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use promlite::Matcher;
use promlite::disk::RealDisk;
use promlite::promql::parse_selector;
use promlite::series::TimeRange;
use promlite::storage::db::{ReadOnlyTsdb, TsdbOptions};
use promlite::storage::inspect;

use out::{put, say};

type Done = Result<ExitCode, Box<dyn Error>>;

/// Look into a data directory, of this library or of Prometheus.
///
/// Only `import` and some commands of `bucket` write. All others read, take no lock, and may be
/// used beside a running server.
#[derive(Parser)]
#[command(name = "inspect", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the blocks: name, time, samples, chunks, series, size
    List {
        /// The data directory
        #[arg(default_value = "data")]
        dir: PathBuf,
        /// Write times and sizes out
        #[arg(short = 'r', long)]
        human_readable: bool,
    },
    /// Say what makes a block large: labels, values and metrics by number, and what comes and goes
    Analyze {
        /// The data directory
        #[arg(default_value = "data")]
        dir: PathBuf,
        /// The block; without a name the newest
        block: Option<String>,
        /// Lines of each list
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Only the series that this selector describes
        #[arg(long, value_name = "SELECTOR", value_parser = selector)]
        r#match: Option<Selector>,
    },
    /// Print all samples, one a line: labels, value, milliseconds
    Dump {
        /// The data directory
        #[arg(default_value = "data")]
        dir: PathBuf,
        /// Not samples before this, in milliseconds since the epoch
        #[arg(long, default_value_t = i64::MIN, allow_negative_numbers = true)]
        min_time: i64,
        /// Not samples behind this
        #[arg(long, default_value_t = i64::MAX, allow_negative_numbers = true)]
        max_time: i64,
        /// Only series that this selector describes, or another one that is given
        #[arg(long, value_name = "SELECTOR", value_parser = selector)]
        r#match: Vec<Selector>,
    },
    /// Check every file: checksums, order, index against chunks; the exit status is 1 on damage
    ///
    /// Nothing is changed, whatever is found: damage is named by file and offset.
    Verify {
        /// The data directory
        #[arg(default_value = "data")]
        dir: PathBuf,
        /// Print only damage
        #[arg(short, long)]
        quiet: bool,
    },
    /// Write samples from a file into blocks of a data directory
    #[command(subcommand)]
    Import(import::Import),
    /// Answer a PromQL query
    #[command(subcommand)]
    Query(query::Query),
    /// Look after the blocks of a bucket, of this library or of Thanos
    #[cfg(feature = "longterm")]
    #[command(subcommand)]
    Bucket(bucket::Command),
    /// Say what a PromQL query is going to do, and with `--analyze` what each part of it costs
    Explain(explain::Explain),
}

/// Matchers of one selector.
#[derive(Debug, Clone)]
struct Selector(Vec<Matcher>);

fn selector(text: &str) -> Result<Selector, String> {
    parse_selector(text).map(Selector).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::List { dir, human_readable } => list(&dir, human_readable),
        Command::Analyze { dir, block, limit, r#match } => {
            analyze(&dir, block.as_deref(), limit, r#match)
        }
        Command::Dump { dir, min_time, max_time, r#match } => {
            dump(&dir, TimeRange::new(min_time, max_time), r#match)
        }
        Command::Verify { dir, quiet } => verify(&dir, quiet),
        Command::Import(import) => import::run(import),
        Command::Query(query) => query::run(query),
        #[cfg(feature = "longterm")]
        Command::Bucket(command) => bucket::run(command),
        Command::Explain(explain) => explain::run(&explain),
    };
    done.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

fn list(dir: &Path, human_readable: bool) -> Done {
    let listing = inspect::list(&RealDisk::shared(), dir)?;
    put(format_args!("{}", listing.table(human_readable)));
    for (_, error) in &listing.unreadable {
        eprintln!("unreadable: {error}");
    }
    Ok(if listing.unreadable.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn analyze(dir: &Path, block: Option<&str>, limit: usize, only: Option<Selector>) -> Done {
    let block = inspect::list(&RealDisk::shared(), dir)?.block(block)?;
    let matchers = only.map_or_else(Vec::new, |selector| selector.0);
    put(format_args!("{}", inspect::analyze(&block, &matchers)?.report(limit)));
    Ok(ExitCode::SUCCESS)
}

fn dump(dir: &Path, range: TimeRange, any_of: Vec<Selector>) -> Done {
    let source = read_only(dir)?;
    let mut any_of: Vec<Vec<Matcher>> = any_of.into_iter().map(|selector| selector.0).collect();
    if any_of.is_empty() {
        any_of.push(Vec::new());
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    match inspect::dump(&source, &any_of, range, &mut out) {
        // Whoever reads has seen enough.
        Err(inspect::InspectError::Write(error))
            if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        done => {
            done?;
            out.flush()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(dir: &Path, quiet: bool) -> Done {
    let bar = bytes_bar();
    let done = inspect::verify(
        &RealDisk::shared(),
        dir,
        &mut |finding| bar.suspend(|| say!("{finding}")),
        &mut |progress| {
            bar.set_length(progress.all_bytes);
            bar.set_position(progress.done_bytes);
        },
    )?;
    bar.finish_and_clear();
    if !quiet {
        say!(
            "{} blocks, {} series, {} chunks, {} samples, {} log records: {} faults",
            done.blocks,
            done.series,
            done.chunks,
            done.samples,
            done.records,
            done.findings
        );
    }
    Ok(if done.findings == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// A bar over bytes; nothing where no person looks.
fn bytes_bar() -> ProgressBar {
    let template = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {msg}";
    let style = ProgressStyle::with_template(template);
    let bar = ProgressBar::new(0);
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// The directory as it is now, with nothing changed in it.
fn read_only(dir: &Path) -> Result<ReadOnlyTsdb, Box<dyn Error>> {
    let source = ReadOnlyTsdb::open_at(dir, &TsdbOptions::default())?;
    let stats = source.stats();
    for (block, problem) in &stats.unreadable_blocks {
        eprintln!("warning: block {block} is left out: {problem}");
    }
    for problem in &stats.replay.corruptions {
        eprintln!("warning: {problem}");
    }
    Ok(source)
}
