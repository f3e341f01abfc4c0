//! `/query`, `/query_range`, `/format_query`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Stopwatch;
use crate::base::quote::quoted;
use crate::hub::service::{Service, Store};
use crate::promql::{self, Answer, Engine, EngineError, RunOptions, Value};

use super::answer::{ApiError, ErrorKind, Notes, success};
use super::form::Form;
use super::gate::Leave;
use super::json;
use super::params::{self, QueryOptions, Steps};

/// Longest that a query may wait and run together; the engine's own limit may be shorter.
const PATIENCE_MS: i64 = 120_000;

/// When an expression is to be evaluated.
#[derive(Debug, Clone, Copy)]
enum When {
    Instant(i64),
    Range(Steps),
}

/// Evaluates an expression at one instant.
pub(super) async fn instant(
    service: &Arc<Service>,
    store: Arc<Store>,
    form: &Form,
) -> Result<String, ApiError> {
    let limit = params::limit(form)?;
    let time_ms = params::optional_instant(form, "time", service.clock.now_ms())?;
    run(service, store, form, limit, When::Instant(time_ms)).await
}

/// Evaluates an expression at many instants.
pub(super) async fn range(
    service: &Arc<Service>,
    store: Arc<Store>,
    form: &Form,
) -> Result<String, ApiError> {
    let limit = params::limit(form)?;
    let steps = params::steps(form)?;
    run(service, store, form, limit, When::Range(steps)).await
}

async fn run(
    service: &Arc<Service>,
    store: Arc<Store>,
    form: &Form,
    limit: usize,
    when: When,
) -> Result<String, ApiError> {
    let options = params::query_options(form, limit)?;
    let query = form.get("query").to_owned();
    let patience_ms = options.timeout_ms.unwrap_or(PATIENCE_MS).min(PATIENCE_MS);
    if patience_ms <= 0 {
        let message = "query timed out in query execution".into();
        return Err(ApiError { kind: ErrorKind::Timeout, message });
    }
    let patience = Duration::from_millis(patience_ms.unsigned_abs());
    let engine = service.engine.clone();
    let work = move |leave: Leave| {
        let waited_ms = i64::try_from(leave.waited.as_millis()).unwrap_or(i64::MAX);
        let run = RunOptions {
            lookback_ms: options.lookback_ms,
            timeout_ms: Some((patience_ms - waited_ms).max(1)),
            cancel: Some(leave.cancel),
        };
        let watch = Stopwatch::start();
        let answer = evaluate(&engine, &store, &query, when, &run)?;
        let timing = Timing { waited: leave.waited.as_secs_f64(), ran: watch.seconds() };
        Ok(body(answer, &options, timing))
    };
    service.queries.run(patience, work).await
}

fn evaluate(
    engine: &Engine,
    store: &Store,
    query: &str,
    when: When,
    run: &RunOptions,
) -> Result<Answer, EngineError> {
    match when {
        When::Instant(time_ms) => engine.instant(&*store.query, query, time_ms, run),
        When::Range(Steps { start_ms, end_ms, step_ms }) => {
            engine.range(&*store.query, query, start_ms, end_ms, step_ms, run)
        }
    }
}

/// Seconds that a query waited for its turn, and that it ran.
#[derive(Clone, Copy)]
struct Timing {
    waited: f64,
    ran: f64,
}

fn body(mut answer: Answer, options: &QueryOptions, timing: Timing) -> String {
    let truncated = truncate(&mut answer.value, options.limit);
    let mut notes = Notes { warnings: answer.warnings, infos: answer.infos };
    if truncated {
        notes.truncated();
    }
    if !matches!(options.stats.as_str(), "" | "true" | "all") {
        let value = quoted(&options.stats);
        notes.warnings.push(format!(
            "value {value} for parameter \"stats\" is deprecated and will be rejected in the \
             next major release, use \"true\" or \"all\""
        ));
    }
    success(&notes, |out| {
        out.push('{');
        json::result(out, &answer.value);
        if !options.stats.is_empty() {
            put_stats(out, timing, answer.samples_read);
        }
        out.push('}');
    })
}

fn put_stats(out: &mut String, Timing { waited, ran }: Timing, samples_read: u64) {
    // Writing to a `String` cannot fail.
    let _ = write!(
        out,
        ",\"stats\":{{\"timings\":{{\"evalTotalTime\":{ran:.9},\"execQueueTime\":{waited:.9},\
         \"execTotalTime\":{:.9}}},\"samples\":{{\"samplesRead\":{samples_read}}}}}",
        waited + ran,
    );
}

/// Cuts the result to `limit` series, unless that is 0; true if something was cut off.
fn truncate(value: &mut Value, limit: usize) -> bool {
    let length = match value {
        Value::Vector(elements) => elements.len(),
        Value::Matrix(series) => series.len(),
        Value::Scalar(_) | Value::String { .. } => 0,
    };
    if limit == 0 || length <= limit {
        return false;
    }
    match value {
        Value::Vector(elements) => elements.truncate(limit),
        Value::Matrix(series) => series.truncate(limit),
        Value::Scalar(_) | Value::String { .. } => {}
    }
    true
}

/// Prints an expression in its canonical form.
pub(super) async fn format(service: &Arc<Service>, form: &Form) -> Result<String, ApiError> {
    let query = form.get("query").to_owned();
    let work = move |_| {
        let expr = promql::parse(&query).map_err(|error| params::invalid("query", error))?;
        Ok(success(&Notes::default(), |out| {
            json::html_safe_text(out, &promql::pretty::pretty(&expr))
        }))
    };
    service.lookups.run(Duration::from_millis(PATIENCE_MS.unsigned_abs()), work).await
}
