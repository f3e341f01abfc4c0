//! The orders that a vector can be put in.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::model::Labels;

/// How `sort` and its like order elements.
#[derive(Debug, Clone)]
pub(crate) enum SortOrder {
    /// By value, NaN last in both directions.
    Value { descending: bool },
    /// By these labels in natural order, then by the whole label set.
    Labels { names: Vec<Arc<str>>, descending: bool },
}

impl SortOrder {
    /// Compares two elements.
    pub(crate) fn compare(&self, a: (&Labels, f64), b: (&Labels, f64)) -> Ordering {
        match self {
            Self::Value { descending } => match (a.1.is_nan(), b.1.is_nan()) {
                (false, false) => {
                    let order = a.1.partial_cmp(&b.1).unwrap_or(Ordering::Equal);
                    if *descending { order.reverse() } else { order }
                }
                (a_is_nan, b_is_nan) => a_is_nan.cmp(&b_is_nan),
            },
            Self::Labels { names, descending } => {
                let by_name = |name: &Arc<str>| {
                    let value = |labels: &Labels| labels.get(name).unwrap_or_default().to_owned();
                    natural(&value(a.0), &value(b.0))
                };
                let named = names.iter().map(by_name).find(|order| order.is_ne());
                let order = named.unwrap_or_else(|| a.0.cmp(b.0));
                if *descending { order.reverse() } else { order }
            }
        }
    }
}

/// Compares texts with the numbers in them as numbers. Matches natsort: texts fall into runs of
/// digits and runs of others, and two runs of digits compare by value.
fn natural(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    let (runs_a, runs_b) = (runs(a), runs(b));
    for (index, run_a) in runs_a.iter().enumerate() {
        let Some(run_b) = runs_b.get(index) else {
            return Ordering::Greater;
        };
        let order = match (number(run_a), number(run_b)) {
            (Some(a), Some(b)) if a == b => {
                // Numbers that are equal and end both texts: the longer way to write it is larger.
                let last = index + 1;
                if last == runs_a.len() || last == runs_b.len() {
                    runs_a.len().cmp(&runs_b.len()).then(run_a.len().cmp(&run_b.len()))
                } else {
                    Ordering::Equal
                }
            }
            (Some(a), Some(b)) => a.cmp(&b),
            _ => run_a.cmp(run_b),
        };
        if order.is_ne() {
            return order;
        }
    }
    runs_a.len().cmp(&runs_b.len())
}

fn number(run: &str) -> Option<u64> {
    run.parse().ok()
}

/// Splits a text where digits begin and where they end.
fn runs(text: &str) -> Vec<&str> {
    let mut runs = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(end);
        runs.push(run);
        rest = behind;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_texts_compare_as_numbers() {
        assert_eq!(natural("cpu2", "cpu10"), Ordering::Less);
        assert_eq!(natural("10", "9"), Ordering::Greater);
        assert_eq!(natural("a", "a1"), Ordering::Less);
        assert_eq!(natural("", "a"), Ordering::Less);
        assert_eq!(natural("node-2a", "node-2b"), Ordering::Less);
    }

    #[test]
    fn nan_is_last_in_both_directions() {
        let none = Labels::empty();
        for descending in [false, true] {
            let order = SortOrder::Value { descending };
            assert_eq!(order.compare((&none, f64::NAN), (&none, 1.0)), Ordering::Greater);
        }
        let order = SortOrder::Value { descending: true };
        assert_eq!(order.compare((&none, 2.0), (&none, 1.0)), Ordering::Less);
    }
}
