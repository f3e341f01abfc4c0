//! What a query over a directory is going to do, and what each part of it costs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use promlite::promql::QueryTimes;
use promlite::{Engine, EngineOptions, RunOptions};

use crate::Done;
use crate::out::{put, say};
use crate::query::{milliseconds, now};

#[derive(Args)]
pub(crate) struct Explain {
    /// The data directory; it is read only with `--analyze`
    dir: PathBuf,
    /// The query
    query: String,
    /// Answer the query and say what each operation took: time, series, chunks, samples
    #[arg(long)]
    analyze: bool,
    /// Print one JSON object instead of a tree
    #[arg(long)]
    json: bool,
    /// When, in seconds since the epoch; default now
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, conflicts_with = "start")]
    time: Option<f64>,
    /// The first of many times, in seconds since the epoch
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, requires = "end")]
    start: Option<f64>,
    /// No time behind this
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, requires = "start")]
    end: Option<f64>,
    /// Seconds from one time to the next
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    step: f64,
    /// Switch on a part of the language, by the name of Prometheus's flag
    #[arg(long, value_name = "NAME")]
    enable_feature: Vec<String>,
}

pub(crate) fn run(explain: &Explain) -> Done {
    let mut options = EngineOptions::default();
    for name in explain.enable_feature.iter().flat_map(|names| names.split(',')) {
        if !options.enable_feature(name) {
            return Err(format!("{name}: no feature of queries").into());
        }
    }
    let times = match (explain.start, explain.end) {
        (Some(start), Some(end)) => QueryTimes::Range {
            start_ms: milliseconds(start),
            end_ms: milliseconds(end),
            step_ms: milliseconds(explain.step),
        },
        _ => QueryTimes::Instant(milliseconds(explain.time.map_or_else(now, Ok)?)),
    };
    let (engine, run) = (Engine::new(options), RunOptions::default());
    let explanation = if explain.analyze {
        let source = crate::read_only(&explain.dir)?;
        let (answer, explanation) = engine.analyze(&source, &explain.query, times, &run)?;
        for note in answer.warnings.iter().chain(&answer.infos) {
            eprintln!("{note}");
        }
        explanation
    } else {
        engine.explain(&explain.query, times, &run)?
    };
    if explain.json {
        say!("{}", explanation.to_json());
    } else {
        put(format_args!("{explanation}"));
    }
    Ok(ExitCode::SUCCESS)
}
