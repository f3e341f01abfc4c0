//! What differs, in words that fit a screen.

use std::collections::BTreeMap;

use super::ExpectedSeries;
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
