//! What differs, in words that fit a screen.

use std::collections::BTreeMap;

use super::ExpectedSeries;
use crate::model::histogram::{CountsRef, HistogramRef, ResetHint};
use crate::model::{Column, Labels, Value};
use crate::series::{Queryable, Select, TimeRange};

/// The first sample in which the two differ, floats by their bits, hints and starts too.
pub fn difference(expected: &Column, found: &Column) -> Option<String> {
    let (mut theirs, mut ours) = (expected.samples(), found.samples());
    let shown = |sample| format!("{sample:?}");
    for index in 0.. {
        let (wanted, got) = match (theirs.next(), ours.next()) {
            (None, None) => return None,
            (Some(wanted), Some(got)) if is_same(&wanted, &got) => continue,
            (wanted, got) => (wanted.map(shown), got.map(shown)),
        };
        let (many, count) = (expected.len(), found.len());
        let none = || "nothing".to_owned();
        let (wanted, got) = (wanted.unwrap_or_else(none), got.unwrap_or_else(none));
        return Some(format!(
            "sample {index} of {many} (found {count})\n  expected {wanted}\n  found    {got}"
        ));
    }
    None
}

fn is_same(a: &(i64, i64, Value<'_>), b: &(i64, i64, Value<'_>)) -> bool {
    let same_value = match (a.2, b.2) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (Value::Histogram(a), Value::Histogram(b)) => a == b,
        _ => false,
    };
    (a.0, a.1) == (b.0, b.1) && same_value
}

/// Everything in `found` that differs from `expected`, a text a series. The series of `found`
/// must be in label order.
pub fn differences(expected: &[ExpectedSeries], found: &dyn Queryable) -> Vec<String> {
    let set = found.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap();
    let mut problems = Vec::new();
    if !set.series.is_sorted_by(|a, b| a.labels() < b.labels()) {
        problems.push("series are not in label order".to_owned());
    }
    let mut missing: BTreeMap<Labels, &Column> =
        expected.iter().map(|series| (series.labels.clone(), &series.column)).collect();
    let mut column = Column::new();
    for series in &set.series {
        let labels = series.labels();
        column.clear();
        if let Err(error) = series.read(TimeRange::ALL, &mut column) {
            problems.push(format!("{labels}: {error}"));
        } else {
            let problem = match missing.get(labels) {
                Some(wanted) => difference(wanted, &column),
                // A series whose samples were all deleted.
                None if column.is_empty() => None,
                None => Some(format!("is not expected, {} samples", column.len())),
            };
            problems.extend(problem.map(|problem| format!("{labels}: {problem}")));
        }
        missing.remove(labels);
    }
    problems.extend(missing.keys().map(|labels| format!("{labels}: is missing")));
    problems
}

/// True if two histograms say the same of the world: equal but for empty buckets, which are added
/// where chunks are written, and for hints about resets, which are found out there.
pub fn same_meaning(a: HistogramRef<'_>, b: HistogramRef<'_>) -> bool {
    let gauge = |one: HistogramRef<'_>| one.hint == ResetHint::Gauge;
    let bounds = a.layout.has_bounds_of(b.layout);
    let plain = |one: HistogramRef<'_>| {
        let (count, zero_count) = match one.counts {
            CountsRef::Integer { count, zero_count, .. } => (count, zero_count),
            CountsRef::Float { count, zero_count, .. } => (count.to_bits(), zero_count.to_bits()),
        };
        let threshold = one.layout.zero_threshold.to_bits();
        (one.layout.schema, threshold, one.sum.to_bits(), one.counts.is_float(), count, zero_count)
    };
    bounds && gauge(a) == gauge(b) && plain(a) == plain(b) && buckets(a) == buckets(b)
}

/// The buckets that hold something, by side and index.
fn buckets(one: HistogramRef<'_>) -> BTreeMap<(bool, i64), u64> {
    let value = |place: usize| match one.counts {
        CountsRef::Integer { buckets, .. } => buckets[place] as u64,
        CountsRef::Float { buckets, .. } => buckets[place].to_bits(),
    };
    let mut found = BTreeMap::new();
    let mut place = 0;
    for (is_positive, spans) in [(true, &one.layout.positive), (false, &one.layout.negative)] {
        let mut index = 0_i64;
        for span in spans {
            index += i64::from(span.offset);
            for _ in 0..span.length {
                found.insert((is_positive, index), value(place));
                index += 1;
                place += 1;
            }
        }
    }
    found.retain(|_, count| *count != 0);
    found
}
