//! `/series`, `/labels`, `/label/…/values`: what there is, without its samples.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::hub::service::{Service, Store};
use crate::model::{Labels, Matcher};
use crate::promql;
use crate::series::{Hints, QueryError, Select, SeriesSet, TimeRange};

use super::answer::{ApiError, ErrorKind, Notes, success};
use super::form::Form;
use super::{instant, json, params, replicas};

const PATIENCE: Duration = Duration::from_secs(120);
/// Series between two looks at whether somebody still waits.
const SERIES_PER_LOOK: usize = 128;

/// What is asked for, once for each `match[]`; at least once.
struct Question {
    asks: Vec<Select>,
    limit: usize,
}

fn question(form: &Form, func: Option<&str>) -> Result<Question, ApiError> {
    let limit = params::limit(form)?;
    let start_ms = params::optional_instant(form, "start", instant::MIN_MS)?;
    let end_ms = params::optional_instant(form, "end", instant::MAX_MS)?;
    // `/series` names the parameter in its complaint, the others do not.
    let complaint = |what: String| match func {
        Some(_) => params::invalid("match[]", what),
        None => ApiError::bad_data(what),
    };
    let mut sets: Vec<_> =
        form.all("match[]").map(matchers).collect::<Result<_, _>>().map_err(complaint)?;
    if sets.iter().any(|set| set.iter().all(Matcher::matches_empty)) {
        return Err(complaint("match[] must contain at least one non-empty matcher".into()));
    }
    if sets.is_empty() {
        sets.push(Vec::new());
    }
    // One more than wanted, so that a cut is noticed.
    let hint = if limit == 0 { 0 } else { limit.saturating_add(1) };
    let hints = Hints { limit: hint, func: func.map(Arc::from), ..Hints::default() };
    let range = TimeRange::new(start_ms, end_ms);
    let ask = |matchers| Select { matchers, range, hints: hints.clone() };
    Ok(Question { asks: sets.into_iter().map(ask).collect(), limit })
}

fn matchers(text: &str) -> Result<Vec<Matcher>, String> {
    promql::parse_selector(text).map_err(|error| error.to_string())
}

/// Names of labels.
pub(super) async fn names(
    service: &Arc<Service>,
    store: Arc<Store>,
    form: &Form,
) -> Result<String, ApiError> {
    let question = question(form, None)?;
    let source = replicas::source(service, &store, form)?;
    texts(service, question, move |ask| source.label_names(ask)).await
}

/// Values of a label.
pub(super) async fn values(
    service: &Arc<Service>,
    store: Arc<Store>,
    form: &Form,
    name: &str,
) -> Result<String, ApiError> {
    let name = unescape_name(name).unwrap_or_else(|| name.to_owned());
    if name.is_empty() {
        return Err(ApiError::bad_data("invalid label name: \"\"".into()));
    }
    let question = question(form, None)?;
    let source = replicas::source(service, &store, form)?;
    texts(service, question, move |ask| source.label_values(&name, ask)).await
}

async fn texts(
    service: &Arc<Service>,
    question: Question,
    ask_store: impl Fn(&Select) -> Result<Vec<Arc<str>>, QueryError> + Send + 'static,
) -> Result<String, ApiError> {
    let work = move |_| {
        let mut found = match question.asks.as_slice() {
            [only] => ask_store(only)?,
            many => {
                let mut all = BTreeSet::new();
                for ask in many {
                    all.extend(ask_store(ask)?);
                }
                all.into_iter().collect()
            }
        };
        let notes = truncate(&mut found, question.limit);
        Ok(success(&notes, |out| json::texts(out, &found)))
    };
    service.lookups.run(PATIENCE, work).await
}

fn truncate<T>(found: &mut Vec<T>, limit: usize) -> Notes {
    let mut notes = Notes::default();
    if limit > 0 && found.len() > limit {
        found.truncate(limit);
        notes.truncated();
    }
    notes
}

/// Label sets.
pub(super) async fn series(
    service: &Arc<Service>,
    store: Arc<Store>,
    form: &Form,
) -> Result<String, ApiError> {
    if form.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided".into()));
    }
    let question = question(form, Some("series"))?;
    let source = replicas::source(service, &store, form)?;
    let work = move |leave: super::gate::Leave| {
        let mut found = BTreeSet::new();
        let mut warnings = Vec::new();
        for ask in &question.asks {
            let set = source.select(ask)?;
            collect(set, &leave.cancel, &mut found, &mut warnings)?;
        }
        let mut found: Vec<_> = found.into_iter().collect();
        let mut notes = truncate(&mut found, question.limit);
        warnings.append(&mut notes.warnings);
        let notes = Notes { warnings, infos: Vec::new() };
        Ok(success(&notes, |out| {
            json::list(out, &found, |out, labels| json::labels(out, labels.as_ref()));
        }))
    };
    service.lookups.run(PATIENCE, work).await
}

fn collect(
    set: SeriesSet,
    cancel: &AtomicBool,
    found: &mut BTreeSet<Labels>,
    warnings: &mut Vec<String>,
) -> Result<(), ApiError> {
    warnings.extend(set.warnings);
    for (index, series) in set.series.into_iter().enumerate() {
        if index % SERIES_PER_LOOK == 0 && cancel.load(Ordering::Relaxed) {
            let message = "context canceled".into();
            return Err(ApiError { kind: ErrorKind::Canceled, message });
        }
        found.insert(series.labels().clone());
    }
    Ok(())
}

/// Undoes the escaping of a name as `U__…`: `__` is an underscore, `_2e_` the character of that
/// code. Nothing if the name is not escaped or not well formed.
fn unescape_name(name: &str) -> Option<String> {
    const CODE_DIGITS_MAX: usize = 6;
    let mut rest = name.strip_prefix("U__")?;
    let mut unescaped = String::with_capacity(rest.len());
    while let Some((before, after)) = rest.split_once('_') {
        unescaped.push_str(before);
        let (code, after) = after.split_once('_')?;
        if code.is_empty() {
            unescaped.push('_');
        } else {
            let is_code = code.bytes().all(|byte| byte.is_ascii_hexdigit());
            let code = (is_code && code.len() <= CODE_DIGITS_MAX).then_some(code)?;
            unescaped.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
        }
        rest = after;
    }
    unescaped.push_str(rest);
    Some(unescaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_are_read() {
        let rows = [
            ("U__label_20_with_2e_dots", Some("label with.dots")),
            ("U____under", Some("_under")),
            ("U__a__b", Some("a_b")),
            ("U___1F600_", Some("😀")),
            ("U__", Some("")),
            ("U__a_b", None),
            ("U__a_zz_b", None),
            ("U__a_d800_b", None),
            ("U__a_1234567_b", None),
            ("plain", None),
        ];
        for (name, want) in rows {
            assert_eq!(unescape_name(name).as_deref(), want, "{name}");
        }
    }
}
