//! The work of `promtool tsdb bench write`, to be compared with it on the same file.
//!
//! `cargo run --release --features testkit --example bench_ingest -- --series FILE --metrics 10000
//! --scrapes 1000 --out DIR`. The file has a label set a line, as `{"__name__":"up","job":"x"}`.

#![expect(clippy::print_stdout, reason = "a program's output")]

use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use clap::Parser;
use promlite::testkit::bench_write;

/// Appends samples to many series and says how fast that went.
#[derive(Debug, Parser)]
struct Arguments {
    /// File of label sets, one a line.
    #[arg(long)]
    series: PathBuf,
    /// At most so many of them.
    #[arg(long, default_value_t = 10_000)]
    metrics: usize,
    /// Samples for each, rounded up to hundreds.
    #[arg(long, default_value_t = 3000)]
    scrapes: u32,
    /// Directory to write to; must not exist.
    #[arg(long)]
    out: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    if arguments.out.exists() {
        return Err(format!("{} exists", arguments.out.display()).into());
    }
    let file = BufReader::new(File::open(&arguments.series)?);
    let labels = bench_write::read_labels(file, arguments.metrics)?;
    let written = bench_write::write(&arguments.out, &labels, arguments.scrapes.into())?;
    println!("series: {}", written.series);
    println!("total samples: {}", written.samples);
    println!("samples/sec: {:.0}", written.samples as f64 / written.seconds);
    println!("ingest seconds: {:.3}", written.seconds);
    println!("close seconds: {:.3}", written.close_seconds);
    println!("head bytes a series: {}", written.head_bytes / written.series.max(1));
    Ok(())
}
