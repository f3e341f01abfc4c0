//! `/query`, `/query_range`, `/format_query`.

use std::sync::Arc;
use std::time::Duration;

use crate::base::quote::quoted;
use crate::hub::service::{Service, Store};
use crate::promql::{self, Answer, Engine, EngineError, RunOptions, StatsWanted, Value};
use crate::series::Queryable;

use super::answer::{ApiError, ErrorKind, Notes, success};
use super::form::Form;
use super::gate::Leave;
use super::json;
use super::params::{self, QueryOptions, Steps};
use super::replicas;

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
    let source = replicas::source(service, &store, form)?;
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
            stats: match options.stats.as_str() {
                "" => StatsWanted::None,
                "all" => StatsWanted::All,
                _ => StatsWanted::Totals,
            },
        };
        let mut answer = evaluate(&engine, &*source, &query, when, &run)?;
        if let Some(stats) = &mut answer.stats {
            let waited = leave.waited.as_secs_f64();
            stats.timings.exec_queue_seconds = waited;
            stats.timings.exec_total_seconds += waited;
        }
        Ok(body(answer, &options))
    };
    service.queries.run(patience, work).await
}

fn evaluate(
    engine: &Engine,
    source: &dyn Queryable,
    query: &str,
    when: When,
    run: &RunOptions,
) -> Result<Answer, EngineError> {
    match when {
        When::Instant(time_ms) => engine.instant(source, query, time_ms, run),
        When::Range(Steps { start_ms, end_ms, step_ms }) => {
            engine.range(source, query, start_ms, end_ms, step_ms, run)
        }
    }
}

fn body(mut answer: Answer, options: &QueryOptions) -> String {
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
        if let Some(stats) = &answer.stats {
            out.push_str(",\"stats\":");
            stats.write_json(out);
        }
        out.push('}');
    })
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
            json::html_safe_text(out, &promql::pretty::pretty(&expr));
        }))
    };
    service.lookups.run(Duration::from_millis(PATIENCE_MS.unsigned_abs()), work).await
}
