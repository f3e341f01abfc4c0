//! Sums and means of histograms of a group.

use crate::model::histogram::float::{FloatRows, Mean, Overlays, Total};
use crate::model::{METRIC_NAME, histogram::float::FloatRef};
use crate::promql::ast::Span;
use crate::promql::functions::native::Hints;

use super::super::StepColumn;
use super::super::operator::Head;
use super::super::remarks::{
    Operation, collision, incompatible_schemas, mixed_aggregation, reconciled,
};
use super::super::run::Run;

/// The histograms of one group: what is known of each step so far.
///
/// Histograms of one layout are added count by count. Series of a metric have few layouts, and
/// each step of a group holds all that it has met, so that overlays are found again and again.
pub(super) struct HistogramFold {
    is_mean: bool,
    steps: Vec<Option<Box<Step>>>,
    overlays: Overlays,
}

struct Step {
    /// `None` if the first element of the step was a float: then there is no result anyway.
    state: Option<State>,
    hints: Hints,
    /// Exponential and listed bounds met; all that came later was not looked at.
    is_incompatible: bool,
    /// There was a float before that.
    has_float: bool,
}

enum State {
    Sum(Total),
    Mean(Mean),
}

impl State {
    fn new(is_mean: bool, first: FloatRef<'_>) -> Self {
        if is_mean {
            let mut mean = Mean::default();
            mean.set(first);
            return Self::Mean(mean);
        }
        let mut total = Total::default();
        total.set(first);
        Self::Sum(total)
    }
}

impl HistogramFold {
    pub(super) fn new(is_mean: bool, steps: usize) -> Self {
        let steps = std::iter::repeat_with(|| None).take(steps).collect();
        Self { is_mean, steps, overlays: Overlays::default() }
    }

    /// Adds the histograms of one series. `seen` tells the steps that had floats before.
    pub(super) fn add(
        &mut self,
        rows: &FloatRows,
        seen: &StepColumn,
        head: &Head,
        (run, span): (&Run<'_>, Span),
    ) {
        for (step, one) in rows.iter() {
            let Some(slot) = self.steps.get_mut(step) else { continue };
            let Some(known) = slot else {
                let has_float = seen.has(step);
                let state = (!has_float).then(|| State::new(self.is_mean, one));
                let mut hints = Hints::default();
                hints.add(one.hint);
                *slot = Some(Box::new(Step { state, hints, is_incompatible: false, has_float }));
                continue;
            };
            let Some(state) = known.state.as_mut().filter(|_| !known.is_incompatible) else {
                continue;
            };
            known.hints.add(one.hint);
            let merged = match state {
                State::Sum(total) => total.add(one, &mut self.overlays),
                State::Mean(mean) => mean.add(one, &mut self.overlays),
            };
            match merged {
                Ok(merged) if merged.is_reconciled => {
                    run.note(reconciled(span, Operation::Aggregation));
                }
                Ok(_) => {}
                Err(_) => {
                    let name = head.labels.get(METRIC_NAME).unwrap_or_default();
                    run.note(incompatible_schemas(span, name));
                    known.is_incompatible = true;
                    known.has_float |= seen.has(step);
                }
            }
        }
    }

    /// Puts the results into `column`, which holds those of the floats. A step with both kinds
    /// has none.
    pub(super) fn finish(mut self, column: &mut StepColumn, (run, span): (&Run<'_>, Span)) {
        let mut rows = FloatRows::default();
        for (step, slot) in self.steps.iter_mut().enumerate() {
            let Some(known) = slot else { continue };
            let has_float = if known.is_incompatible {
                known.has_float
            } else {
                known.has_float || column.has(step)
            };
            column.unset(step);
            if has_float {
                run.note(mixed_aggregation(span));
                continue;
            }
            let Some(state) = known.state.as_mut().filter(|_| !known.is_incompatible) else {
                continue;
            };
            if known.hints.collide() {
                run.note(collision(span, Operation::Aggregation));
            }
            let result = match state {
                State::Sum(total) => total.finish(),
                State::Mean(mean) => mean.finish(),
            };
            rows.push(step, FloatRef { is_loose: true, ..result.as_ref() });
            *slot = None;
        }
        column.put_rows(rows);
    }
}
