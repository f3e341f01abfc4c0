//! Filling a directory from a file.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use indicatif::ProgressBar;
use promlite::base::clock::SystemClock;
use promlite::base::duration::parse_duration_ms;
use promlite::disk::{Disk as _, RealDisk};
use promlite::model::LabelsBuf;
use promlite::storage::db::{ImportOptions, Importer, import};
use promlite::wire::exposition::openmetrics::{Entry, OpenMetricsError, Parser};
use promlite::wire::exposition::text::each_label;

use crate::Done;
use crate::out::say;

#[derive(Subcommand)]
pub(crate) enum Import {
    /// A page in OpenMetrics text, each sample with its time, `# EOF` at the end
    Openmetrics {
        /// The page
        file: PathBuf,
        /// The data directory; a running server finds the blocks at its next round of upkeep
        #[arg(default_value = "data")]
        dir: PathBuf,
        /// Blocks may be as long as this, in steps of 2h, 6h, 18h, ...
        #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = duration)]
        max_block_duration: i64,
        /// A label that all series get, in place of one of that name
        #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
        labels: Vec<(String, String)>,
        /// Do not list the blocks
        #[arg(short, long)]
        quiet: bool,
    },
}

fn duration(text: &str) -> Result<i64, String> {
    parse_duration_ms(text).map_err(|error| error.to_string())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or("not NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(crate) fn run(import: Import) -> Done {
    let Import::Openmetrics { file, dir, max_block_duration, labels, quiet } = import;
    let page = RealDisk.map(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let bar = crate::bytes_bar();
    bar.set_length(page.len() as u64);
    let mut options = ImportOptions::default();
    options.max_block_range_ms = max_block_duration;
    let mut passes = 0;
    let source = |each: &mut Importer<'_>| {
        passes += 1;
        bar.set_message(format!("pass {passes}"));
        tell(&file, &page, &labels, &bar, each)
    };
    let report = promlite_import(&dir, &options, source).inspect_err(|_| bar.finish_and_clear())?;
    bar.finish_and_clear();
    if !quiet {
        for meta in &report.blocks {
            let (name, samples, series) =
                (meta.ulid, meta.stats.num_samples, meta.stats.num_series);
            say!("{name}: {samples} samples of {series} series");
        }
        say!("{} blocks, {} passes", report.blocks.len(), report.passes);
    }
    if report.duplicates > 0 {
        eprintln!("{} samples were there more than once", report.duplicates);
    }
    Ok(ExitCode::SUCCESS)
}

fn promlite_import(
    dir: &Path,
    options: &ImportOptions,
    source: impl FnMut(&mut Importer<'_>) -> Result<(), Box<dyn Error + Send + Sync>>,
) -> Result<promlite::storage::db::ImportReport, promlite::storage::db::ImportError> {
    import(&RealDisk::shared(), &*SystemClock::shared(), dir, options, source)
}

/// So many samples come between two steps of the bar.
const STEP: u64 = 10_000;

/// Hands the samples of the page to `each`.
fn tell(
    file: &Path,
    page: &[u8],
    added: &[(String, String)],
    bar: &ProgressBar,
    each: &mut Importer<'_>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut parser = Parser::new(page);
    let mut labels = LabelsBuf::new();
    let mut told = 0_u64;
    let name = file.display();
    while let Some(entry) = parser.next() {
        let at = |error: OpenMetricsError| format!("{name}: {error}");
        let Entry::Sample(sample, _) = entry.map_err(at)? else { continue };
        let series = sample.series;
        let Some(time_ms) = sample.timestamp_ms else {
            return Err(format!("{name}: expected timestamp for series {series}, got none").into());
        };
        labels.clear();
        each_label(series, sample.kind, |name, value| {
            if added.iter().all(|(given, _)| given != name) {
                labels.push(name, value);
            }
        });
        added.iter().for_each(|(name, value)| labels.push(name, value));
        let found = labels.finish().map_err(|error| format!("{name}: {series}: {error}"))?;
        each(found, time_ms, sample.value);
        told += 1;
        if told.is_multiple_of(STEP) {
            bar.set_position(parser.position_bytes() as u64);
        }
    }
    bar.set_position(page.len() as u64);
    Ok(())
}
