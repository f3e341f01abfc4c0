//! Is an answer what was expected?

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::model::histogram::HistogramRef;
use crate::model::histogram::float::FloatRef;
use crate::model::{Labels, Sample, Value, is_stale};
use crate::promql::{MatrixSeries, Value as Answered, VectorElement};

use super::script::{Eval, Expectation, Expected, Notes};
use super::series::SeriesValue;

const TOLERANCE: f64 = 1e-6;

type Compared = Result<(), String>;

type ExpectedSeries = BTreeMap<Labels, (usize, Vec<SeriesValue>)>;

/// Equal up to a small part of their sum; a NaN equals a NaN, a staleness marker only itself.
fn almost_equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}

/// Compares the value of an answer.
pub(super) fn value(eval: &Eval, value: &Answered) -> Compared {
    match (value, &eval.value) {
        (Answered::String { text, .. }, _) => match eval.text.as_deref().unwrap_or_default() {
            wanted if *wanted == **text => Ok(()),
            wanted => Err(format!("expected string {wanted:?} but got {text:?}")),
        },
        (Answered::Scalar(sample), Expected::Scalar(wanted)) => {
            if almost_equal(*wanted, sample.value) {
                return Ok(());
            }
            Err(format!("expected scalar {wanted} but got {}", sample.value))
        }
        (Answered::Scalar(sample), Expected::Series(_)) => {
            Err(format!("expected vector or matrix result, but got scalar {}", sample.value))
        }
        (Answered::Vector(elements), Expected::Series(expected)) => {
            vector(eval, elements, expected)
        }
        (Answered::Matrix(series), Expected::Series(expected)) => matrix(eval, series, expected),
        (Answered::Vector(_) | Answered::Matrix(_), Expected::Scalar(wanted)) => {
            Err(format!("expected scalar {wanted}, but got series"))
        }
    }
}

fn vector(eval: &Eval, elements: &[VectorElement], expected: &ExpectedSeries) -> Compared {
    for (index, element) in elements.iter().enumerate() {
        let VectorElement { labels, sample: Sample { value, .. }, histogram } = element;
        let got = match histogram {
            Some(one) => Value::Histogram(one.as_ref().as_ref()),
            None => Value::Float(*value),
        };
        let got_text = text(&got);
        let Some((place, wanted)) = expected.get(labels) else {
            return Err(format!("unexpected metric {labels} in result, has value {got_text}"));
        };
        if eval.ordered && *place != index + 1 {
            let found = index + 1;
            return Err(format!("expected {labels} at position {place} but was at {found}"));
        }
        if !wanted.first().is_some_and(|wanted| is_as_wanted(wanted, &got)) {
            let wanted = shown(wanted.first());
            return Err(format!("expected {wanted} for {labels} but got {got_text}"));
        }
    }
    let found = |labels: &Labels| elements.iter().any(|element| element.labels == *labels);
    all_found(expected, found)
}

fn all_found(expected: &ExpectedSeries, found: impl Fn(&Labels) -> bool) -> Compared {
    match expected.iter().find(|(labels, _)| !found(labels)) {
        Some((labels, (_, values))) => {
            Err(format!("expected metric {labels} with {} not found", shown(values.first())))
        }
        None => Ok(()),
    }
}

fn shown(value: Option<&SeriesValue>) -> String {
    match value {
        Some(SeriesValue::Float(value)) => value.to_string(),
        Some(SeriesValue::Histogram { one, .. }) => text(&Value::Histogram(one.as_ref().as_ref())),
        Some(SeriesValue::Gap) | None => "nothing".into(),
    }
}

fn text(value: &Value<'_>) -> String {
    match value {
        Value::Float(value) => value.to_string(),
        Value::Histogram(one) => {
            let (schema, hint) = (one.layout.schema, one.hint);
            format!("{} (schema {schema}, {hint:?})", FloatRef::from(*one))
        }
    }
}

fn is_as_wanted(wanted: &SeriesValue, got: &Value<'_>) -> bool {
    match (wanted, got) {
        (SeriesValue::Float(wanted), Value::Float(got)) => almost_equal(*wanted, *got),
        (SeriesValue::Histogram { one, has_hint }, Value::Histogram(got)) => {
            let wanted = one.as_ref().as_ref();
            (!has_hint || wanted.hint == got.hint) && same_histogram(wanted, *got)
        }
        _ => false,
    }
}

/// Compares what is left without empty buckets: layouts exactly, counts almost.
fn same_histogram(wanted: HistogramRef<'_>, got: HistogramRef<'_>) -> bool {
    let compact = |one: HistogramRef<'_>| {
        let mut one = FloatRef::from(one).owned();
        one.compact();
        one
    };
    let (wanted, got) = (compact(wanted), compact(got));
    let pairs =
        [(wanted.count, got.count), (wanted.sum, got.sum), (wanted.zero_count, got.zero_count)];
    let mut all =
        pairs.into_iter().chain(wanted.buckets.iter().copied().zip(got.buckets.iter().copied()));
    let (a, b) = (&wanted.layout, &got.layout);
    a.schema == b.schema
        && a.zero_threshold == b.zero_threshold
        && (!a.is_custom() || a.custom_bounds == b.custom_bounds)
        && a.positive == b.positive
        && a.negative == b.negative
        && all.all(|(wanted, got)| almost_equal(wanted, got))
}

fn matrix(eval: &Eval, series: &[MatrixSeries], expected: &ExpectedSeries) -> Compared {
    if eval.ordered {
        return Err("expected ordered result, but query returned a matrix".into());
    }
    sorted(series)?;
    for found in series {
        let Some((_, wanted)) = expected.get(&found.labels) else {
            let (labels, points) = (&found.labels, points(found));
            return Err(format!("unexpected metric {labels} in result, has {points}"));
        };
        one_series(eval, found, wanted)?;
    }
    all_found(expected, |labels| series.iter().any(|found| found.labels == *labels))
}

fn one_series(eval: &Eval, found: &MatrixSeries, wanted: &[SeriesValue]) -> Compared {
    let labels = &found.labels;
    let mut samples = found.column.samples();
    let mut timestamp_ms = eval.start_ms;
    let failed = |what: String| Err(format!("{what} for {labels} (result has {})", points(found)));
    for value in wanted {
        if timestamp_ms > eval.end_ms {
            return failed(format!("expected {} points, more than steps,", wanted.len()));
        }
        if *value != SeriesValue::Gap {
            let wanted = || format!("expected {} at {timestamp_ms}", shown(Some(value)));
            match samples.next() {
                Some((at_ms, _, got)) if at_ms == timestamp_ms && is_as_wanted(value, &got) => {}
                Some((at_ms, _, got)) => {
                    return failed(format!("{} but got {} at {at_ms}", wanted(), text(&got)));
                }
                None => return failed(wanted()),
            }
        }
        timestamp_ms = timestamp_ms.saturating_add(eval.step_ms);
    }
    match samples.next() {
        Some((at_ms, _, got)) => failed(format!("unexpected {} at {at_ms}", text(&got))),
        None => Ok(()),
    }
}

/// A matrix always comes in the order of its label sets.
pub(super) fn sorted(series: &[MatrixSeries]) -> Compared {
    match series.array_windows().find(|[first, second]| first.labels > second.labels) {
        Some([first, second]) => {
            let (first, second) = (&first.labels, &second.labels);
            Err(format!("matrix is not sorted by labels: {first} before {second}"))
        }
        None => Ok(()),
    }
}

fn points(series: &MatrixSeries) -> String {
    let mut out = String::new();
    for (at_ms, _, value) in series.column.samples().take(50) {
        let _ = write!(out, "{} @[{at_ms}] ", text(&value));
    }
    out
}

/// Compares the warnings or the infos of an answer.
pub(super) fn notes(kind: &str, wanted: &Notes, found: &[String]) -> Compared {
    if wanted.none && !found.is_empty() {
        return Err(format!("unexpected {kind} annotations: {found:?}"));
    }
    if wanted.some && found.is_empty() {
        return Err(format!("expected {kind} annotations but got none"));
    }
    if wanted.expected.is_empty() {
        return Ok(());
    }
    let unmet = |expected: &&Expectation| !found.iter().any(|text| expected.matches(text));
    if wanted.expected.iter().any(|expected| unmet(&expected)) {
        return Err(format!("expected {kind} annotations are missing, found: {found:?}"));
    }
    let unknown = found.iter().find(|text| !wanted.expected.iter().any(|e| e.matches(text)));
    unknown.map_or(Ok(()), |text| Err(format!("unexpected {kind} annotation {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stale_nan;

    #[test]
    fn values_may_differ_in_the_seventh_digit() {
        let cases = [
            (1.0, 1.000_001_9, true),
            (1.0, 1.000_002_1, false),
            (f64::NAN, f64::NAN, true),
            (f64::NAN, stale_nan(), false),
            (stale_nan(), stale_nan(), true),
            (f64::INFINITY, f64::INFINITY, true),
            (f64::INFINITY, f64::NEG_INFINITY, false),
            (0.0, 1e-300, false),
            (0.0, -0.0, true),
            (f64::MAX, f64::MAX / 2.0, false),
        ];
        for (a, b, want) in cases {
            assert_eq!(almost_equal(a, b), want, "{a} {b}");
        }
    }
}
