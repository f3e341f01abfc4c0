//! Queries over a directory, printed as `promtool query` prints them.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, SystemTimeError, UNIX_EPOCH};

use clap::Subcommand;
use promlite::base::gonum::{format_float, format_float_g};
use promlite::model::{METRIC_NAME, Value as SampleValue};
use promlite::{Engine, Labels, RunOptions, Value};

use crate::Done;
use crate::out::say;

#[derive(Subcommand)]
pub(crate) enum Query {
    /// The value of a query at one time
    Instant {
        /// The data directory
        dir: PathBuf,
        /// The query
        query: String,
        /// When, in seconds since the epoch; default now
        #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
        time: Option<f64>,
    },
    /// The values of a query at many times
    Range {
        /// The data directory
        dir: PathBuf,
        /// The query
        query: String,
        /// The first time, in seconds since the epoch
        #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
        start: f64,
        /// No time behind this
        #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
        end: f64,
        /// Seconds from one time to the next
        #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
        step: f64,
    },
}

pub(crate) fn run(query: Query) -> Done {
    let (engine, options) = (Engine::default(), RunOptions::default());
    let answer = match query {
        Query::Instant { dir, query, time } => {
            let time = time.map_or_else(now, Ok)?;
            engine.instant(&crate::read_only(&dir)?, &query, milliseconds(time), &options)?
        }
        Query::Range { dir, query, start, end, step } => {
            let [start, end, step] = [start, end, step].map(milliseconds);
            engine.range(&crate::read_only(&dir)?, &query, start, end, step, &options)?
        }
    };
    for note in answer.warnings.iter().chain(&answer.infos) {
        eprintln!("{note}");
    }
    print(&answer.value);
    Ok(ExitCode::SUCCESS)
}

/// Seconds since the epoch.
pub(crate) fn now() -> Result<f64, SystemTimeError> {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs_f64())
}

pub(crate) fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

fn at(time_ms: i64) -> String {
    let mut text = String::new();
    format_float(&mut text, time_ms as f64 / 1000.0);
    text
}

fn number(value: f64) -> String {
    let mut text = String::new();
    format_float_g(&mut text, value);
    text
}

/// A series as queries write it: the metric's name before the braces.
fn metric(labels: &Labels) -> String {
    let name = labels.metric_name().unwrap_or_default();
    let rest = labels.filter(|label| label != METRIC_NAME);
    if rest.is_empty() && !name.is_empty() { name.to_owned() } else { format!("{name}{rest}") }
}

fn print(value: &Value) {
    match value {
        Value::Scalar(sample) => {
            say!("scalar: {} @[{}]", number(sample.value), at(sample.timestamp_ms));
        }
        Value::String { text, .. } => say!("{text}"),
        Value::Vector(elements) => {
            for element in elements {
                let value = number(element.sample.value);
                let (metric, time) = (metric(&element.labels), at(element.sample.timestamp_ms));
                say!("{metric} => {value} @[{time}]");
            }
        }
        Value::Matrix(series) => {
            for one in series {
                say!("{} =>", metric(&one.labels));
                for (time_ms, _, value) in one.column.samples() {
                    match value {
                        SampleValue::Float(value) => {
                            say!("{} @[{}]", number(value), at(time_ms));
                        }
                        SampleValue::Histogram(one) => say!("{one} @[{}]", at(time_ms)),
                    }
                }
            }
        }
    }
}
