//! The largest or smallest elements of each group, `topk` and `bottomk`.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::promql::ast::AggregateOp;
use crate::promql::engine::EngineError;
use crate::promql::plan::{go_max, go_min};
use crate::promql::print::number::general;

use super::super::StepColumn;
use super::super::operator::{Bound, Head, Held, Nothing};
use super::super::remarks::ignored_in;
use super::Task;
use super::groups::{Grouping, Groups};

/// Keeps the best `k` elements of each group and step.
pub(super) fn bind<'r>(task: &Task<'_, 'r>) -> Bound<'r> {
    let Some(counts) = counts(&task.parameter)? else { return Ok(Box::new(Nothing)) };
    let grouping = Grouping { names: &task.node.grouping, without: task.node.without };
    let groups = Groups::find(task.inner.heads(), grouping);
    let largest = task.node.op == AggregateOp::Topk;
    let mut order: Vec<usize> = Vec::new();
    let mut best: Vec<Vec<Best>> = vec![Vec::new(); groups.len()];
    task.each(|index, column| {
        let group = groups.of(index);
        let Some(steps) = best.get_mut(group) else { return Ok(()) };
        let wants = |step: usize| counts.get(step).is_some_and(|count| *count > 0);
        if column.rows().is_some_and(|rows| rows.steps().any(wants)) {
            task.run.note(ignored_in(task.whole.span, task.node.op.text()));
        }
        for (step, value) in column.iter() {
            if steps.is_empty() {
                order.push(group);
                task.run.limits.hold(task.steps())?;
                steps.resize_with(task.steps(), Best::default);
            }
            let count = counts.get(step).copied().unwrap_or_default();
            if let Some(best) = steps.get_mut(step)
                && best.offer(largest, count, (value, index))
            {
                task.run.limits.hold(1)?;
            }
        }
        Ok(())
    })?;
    Ok(Box::new(if task.whole.steps.instant {
        at_an_instant(task, &order, best, largest)
    } else {
        by_series(task, best)
    }))
}

/// How many elements are kept at each step; `None` if there are never any. Matches the checks of
/// `rangeEvalAgg`.
pub(super) fn counts(parameter: &[f64]) -> Result<Option<Vec<usize>>, EngineError> {
    let most = parameter.iter().copied().reduce(go_max).unwrap_or_default();
    let least = parameter.iter().copied().reduce(go_min).unwrap_or_default();
    if most < 1.0 {
        return Ok(None);
    }
    if parameter.iter().any(|value| value.is_nan()) {
        return Err(EngineError::Execution("Parameter value is NaN".into()));
    }
    let bound = i64::MAX as f64;
    if least <= -bound {
        let text = format!("Scalar value {} underflows int64", general(least));
        return Err(EngineError::Execution(text));
    }
    if most >= bound {
        let text = format!("Scalar value {} overflows int64", general(most));
        return Err(EngineError::Execution(text));
    }
    // Negative numbers become 0.
    Ok(Some(parameter.iter().map(|value| *value as usize).collect()))
}

/// An element: its value and the index of its series.
type Element = (f64, usize);

/// The best elements of a group at a step: a binary heap with the worst of them on top, sifted as
/// Go's `container/heap` does, since that decides which of equal elements go.
#[derive(Debug, Clone, Default)]
struct Best(Vec<Element>);

impl Best {
    /// Offers an element. True if there is one more now.
    fn offer(&mut self, largest: bool, count: usize, element: Element) -> bool {
        if count == 0 {
            return false;
        }
        if self.0.len() < count {
            self.0.push(element);
            self.sift_up(largest);
            return true;
        }
        if let Some(worst) = self.0.first_mut() {
            let beats = if largest { worst.0 < element.0 } else { worst.0 > element.0 };
            if beats || worst.0.is_nan() && !element.0.is_nan() {
                *worst = element;
                self.sift_down(largest);
            }
        }
        false
    }

    fn is_worse(&self, largest: bool, a: usize, b: usize) -> bool {
        match (self.0.get(a), self.0.get(b)) {
            (Some(a), _) if a.0.is_nan() => true,
            (Some(a), Some(b)) => {
                if largest {
                    a.0 < b.0
                } else {
                    a.0 > b.0
                }
            }
            _ => false,
        }
    }

    fn sift_up(&mut self, largest: bool) {
        let mut child = self.0.len().saturating_sub(1);
        while child > 0 {
            let parent = (child - 1) / 2;
            if !self.is_worse(largest, child, parent) {
                break;
            }
            self.0.swap(parent, child);
            child = parent;
        }
    }

    fn sift_down(&mut self, largest: bool) {
        let mut parent = 0;
        loop {
            let left = 2 * parent + 1;
            if left >= self.0.len() {
                break;
            }
            let right = left + 1;
            let right_is_worse = right < self.0.len() && self.is_worse(largest, right, left);
            let child = if right_is_worse { right } else { left };
            if !self.is_worse(largest, child, parent) {
                break;
            }
            self.0.swap(parent, child);
            parent = child;
        }
    }

    /// The best first, NaN last.
    fn into_sorted(self, largest: bool) -> Vec<Element> {
        let mut elements = self.0;
        elements.sort_by(|a, b| match (a.0.is_nan(), b.0.is_nan()) {
            (false, false) => {
                let order = a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal);
                if largest { order.reverse() } else { order }
            }
            (a, b) => a.cmp(&b),
        });
        elements
    }
}

/// Group by group, the best first.
fn at_an_instant(
    task: &Task<'_, '_>,
    order: &[usize],
    mut best: Vec<Vec<Best>>,
    largest: bool,
) -> Held {
    let (mut heads, mut columns) = (Vec::new(), Vec::new());
    for group in order {
        let steps = best.get_mut(*group).map(std::mem::take).unwrap_or_default();
        for (value, series) in steps.into_iter().flat_map(|best| best.into_sorted(largest)) {
            if let Some(head) = task.inner.heads().get(series) {
                let mut column = StepColumn::new();
                column.fill(1, value);
                heads.push(head.clone());
                columns.push(column);
            }
        }
    }
    Held { heads, columns }
}

/// The series of the input, with gaps where they were not among the best.
fn by_series(task: &Task<'_, '_>, best: Vec<Vec<Best>>) -> Held {
    let mut kept: BTreeMap<usize, StepColumn> = BTreeMap::new();
    for steps in best {
        for (step, best) in steps.into_iter().enumerate() {
            for (value, series) in best.0 {
                let column = kept.entry(series).or_insert_with(|| {
                    let mut column = StepColumn::new();
                    column.reset(task.steps());
                    column
                });
                column.set(step, value);
            }
        }
    }
    let (mut heads, mut columns): (Vec<Head>, Vec<_>) = (Vec::new(), Vec::new());
    for (series, column) in kept {
        if let Some(head) = task.inner.heads().get(series) {
            heads.push(head.clone());
            columns.push(column);
        }
    }
    Held { heads, columns }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(largest: bool, count: usize, values: &[f64]) -> Vec<Element> {
        let mut best = Best::default();
        for (index, value) in values.iter().enumerate() {
            best.offer(largest, count, (*value, index));
        }
        best.into_sorted(largest)
    }

    #[test]
    fn the_best_are_kept_and_nan_is_worst() {
        let values = [3.0, f64::NAN, 1.0, 2.0];
        assert_eq!(best(true, 2, &values), [(3.0, 0), (2.0, 3)]);
        assert_eq!(best(false, 2, &values), [(1.0, 2), (2.0, 3)]);
        assert!(best(true, 4, &values)[3].0.is_nan());
    }

    #[test]
    fn an_equal_element_does_not_take_a_place() {
        assert_eq!(best(true, 1, &[1.0, 1.0, 1.0]), [(1.0, 0)]);
        assert_eq!(best(true, 2, &[1.0, 1.0, 2.0]), [(2.0, 2), (1.0, 1)]);
    }

    #[test]
    fn parameters_are_checked_as_upstream_does() {
        assert_eq!(counts(&[0.5, -3.0]).unwrap(), None);
        assert_eq!(counts(&[2.9, -3.0]).unwrap(), Some(vec![2, 0]));
        let error = |parameter: &[f64]| counts(parameter).unwrap_err().to_string();
        assert_eq!(error(&[2.0, f64::NAN]), "Parameter value is NaN");
        assert_eq!(error(&[1e20]), "Scalar value 1e+20 overflows int64");
        assert_eq!(error(&[2.0, f64::NEG_INFINITY]), "Scalar value -Inf underflows int64");
    }
}
