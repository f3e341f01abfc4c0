//! What the parameters of a request mean, and Prometheus's words for what is wrong with them.

use crate::base::quote::quoted;
use crate::base::{duration, gonum};

use super::answer::ApiError;
use super::form::Form;
use super::instant;

const NANOS_PER_MS: i64 = 1_000_000;
/// Points a series that a range query may ask for: a week at 60 s, a year at 1 h.
const POINTS_MAX: i128 = 11_000;

/// `invalid parameter "step": …`
pub(super) fn invalid(name: &str, what: impl std::fmt::Display) -> ApiError {
    ApiError::bad_data(format!("invalid parameter {}: {what}", quoted(name)))
}

/// An instant that need not be given.
pub(super) fn optional_instant(form: &Form, name: &str, otherwise: i64) -> Result<i64, ApiError> {
    let text = form.get(name);
    if text.is_empty() {
        return Ok(otherwise);
    }
    let refused = || {
        let what = not_an_instant(text);
        invalid(name, format_args!("invalid time value for '{name}': {what}"))
    };
    instant::parse(text).ok_or_else(refused)
}

fn instant(form: &Form, name: &str) -> Result<i64, ApiError> {
    let text = form.get(name);
    instant::parse(text).ok_or_else(|| invalid(name, not_an_instant(text)))
}

fn not_an_instant(text: &str) -> String {
    format!("cannot parse {} to a valid timestamp", quoted(text))
}

/// Nanoseconds of a duration, given in seconds or in Prometheus's writing.
fn duration_nanos(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = gonum::parse_float(text) {
        let nanos = seconds * 1e9;
        if nanos > i64::MAX as f64 || nanos < i64::MIN as f64 {
            let text = quoted(text);
            return Err(format!("cannot parse {text} to a valid duration. It overflows int64"));
        }
        return Ok(nanos as i64);
    }
    let nanos = duration::parse_duration_ms(text).ok().and_then(|ms| ms.checked_mul(NANOS_PER_MS));
    nanos.ok_or_else(|| format!("cannot parse {} to a valid duration", quoted(text)))
}

/// How many results are wanted; 0 for all.
pub(super) fn limit(form: &Form) -> Result<usize, ApiError> {
    let text = form.get("limit");
    if text.is_empty() {
        return Ok(0);
    }
    let limit = integer(text).map_err(|what| invalid("limit", what))?;
    usize::try_from(limit).map_err(|_| invalid("limit", "limit must be non-negative"))
}

/// A decimal number in the words of Go's `strconv.Atoi`.
pub(super) fn integer(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let well_formed = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let what = if well_formed { "value out of range" } else { "invalid syntax" };
    let parsed = if well_formed { text.parse().ok() } else { None };
    parsed.ok_or_else(|| format!("strconv.Atoi: parsing {}: {what}", quoted(text)))
}

/// The options that both kinds of query take.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct QueryOptions {
    pub(super) limit: usize,
    pub(super) timeout_ms: Option<i64>,
    pub(super) lookback_ms: Option<i64>,
    /// The coarsest downsampled data that is wanted.
    pub(super) max_source_resolution_ms: i64,
    pub(super) stats: String,
}

/// The times of a range query, each in bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) step_ms: i64,
}

/// Reads `start`, `end` and `step`.
pub(super) fn steps(form: &Form) -> Result<Steps, ApiError> {
    let (start_ms, end_ms) = (instant(form, "start")?, instant(form, "end")?);
    if end_ms < start_ms {
        return Err(invalid("end", "end timestamp must not be before start time"));
    }
    let step_nanos = duration_nanos(form.get("step")).map_err(|what| invalid("step", what))?;
    if step_nanos <= 0 {
        return Err(no_step());
    }
    let nanos = (i128::from(end_ms) - i128::from(start_ms)) * i128::from(NANOS_PER_MS);
    if nanos / i128::from(step_nanos) > POINTS_MAX {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. \
             Try decreasing the query resolution (?step=XX)"
                .into(),
        ));
    }
    // Below a millisecond there is no distance between steps.
    let step_ms = step_nanos / NANOS_PER_MS;
    if step_ms == 0 { Err(no_step()) } else { Ok(Steps { start_ms, end_ms, step_ms }) }
}

fn no_step() -> ApiError {
    let what = "zero or negative query resolution step widths are not accepted. \
                Try a positive integer";
    invalid("step", what)
}

/// Reads `timeout`, `lookback_delta`, `max_source_resolution` and `stats`; `limit` and the step
/// have been read before.
pub(super) fn query_options(
    form: &Form,
    limit: usize,
    step_ms: i64,
) -> Result<QueryOptions, ApiError> {
    let nanos = |name| match form.get(name) {
        "" => Ok(None),
        text => duration_nanos(text).map(|nanos| Some(nanos.div_euclid(NANOS_PER_MS))),
    };
    let timeout_ms = nanos("timeout").map_err(|what| invalid("timeout", what))?;
    let lookback_ms = nanos("lookback_delta").map_err(|what| {
        ApiError::bad_data(format!("error parsing lookback delta duration: {what}"))
    })?;
    // As with Prometheus, one that is not positive leaves the server's own in place.
    let lookback_ms = lookback_ms.filter(|lookback_ms| *lookback_ms > 0);
    let max_source_resolution_ms = match form.get("max_source_resolution") {
        // As with Thanos: some points of the data for each step of the query.
        "auto" => step_ms / 5,
        _ => nanos("max_source_resolution")
            .map_err(|what| invalid("max_source_resolution", what))?
            .unwrap_or(0),
    };
    if max_source_resolution_ms < 0 {
        let what = "negative resolutions are not accepted. Try a positive integer";
        return Err(invalid("max_source_resolution", what));
    }
    let stats = form.get("stats").into();
    Ok(QueryOptions { limit, timeout_ms, lookback_ms, max_source_resolution_ms, stats })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolution_is_a_duration_or_follows_from_the_step() {
        let read = |text: &str| {
            let form = Form::read(&format!("max_source_resolution={text}"), "");
            query_options(&form, 0, 3_600_000).map(|options| options.max_source_resolution_ms)
        };
        for (text, wanted) in [("", 0), ("5m", 300_000), ("3600", 3_600_000), ("auto", 720_000)] {
            assert_eq!(read(text).unwrap(), wanted, "{text}");
        }
        assert!(read("-5").is_err() && read("often").is_err());
    }

    #[test]
    fn a_step_below_a_millisecond_is_no_step() {
        let steps_of = |step: &str| steps(&Form::read(&format!("start=5&end=6&step={step}"), ""));
        assert_eq!(steps_of("0.0015").unwrap().step_ms, 1);
        assert_eq!(steps_of("1m30s").unwrap().step_ms, 90_000);
        assert!(steps_of("0.0005").is_err());
    }
}
