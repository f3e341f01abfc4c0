//! Aggregations that look at all values of a group and step: `quantile` and `count_values`.

use std::collections::HashMap;

use crate::base::quote::quoted;
use crate::model::METRIC_NAME;
use crate::promql::engine::EngineError;
use crate::promql::plan::{Parameter, go_max, go_min};
use crate::promql::print::number::plain;
use crate::promql::quantile::quantile as quantile_of;

use super::super::call::bad_quantile;
use super::super::operator::{Bound, Head, Held};
use super::super::remarks::ignored_in;
use super::super::{StepColumn, StepValue};
use super::Task;
use super::groups::{Grouping, Groups};

/// `quantile(q, vector)`
pub(super) fn quantile<'r>(task: &Task<'_, 'r>) -> Bound<'r> {
    note_bad(task);
    let heads = task.inner.heads();
    let grouping = Grouping { names: &task.node.grouping, without: task.node.without };
    let groups = Groups::find(heads, grouping);
    let mut order: Vec<usize> = Vec::new();
    let mut values: Vec<Vec<Vec<f64>>> = vec![Vec::new(); groups.len()];
    let mut drop_name = vec![false; groups.len()];
    task.each(|index, column| {
        let group = groups.of(index);
        let Some(steps) = values.get_mut(group) else { return Ok(()) };
        if column.rows().is_some() {
            task.run.note(ignored_in(task.node.vector.span, task.node.op.text()));
        }
        if column.float_count() == 0 {
            return Ok(());
        }
        if steps.is_empty() {
            order.push(group);
            task.run.limits.hold(task.steps())?;
            steps.resize_with(task.steps(), Vec::new);
        }
        task.run.limits.hold(column.float_count())?;
        for (step, value) in column.iter() {
            if let Some(at_step) = steps.get_mut(step) {
                at_step.push(value);
            }
        }
        if let (Some(flag), Some(head)) = (drop_name.get_mut(group), heads.get(index)) {
            *flag |= head.drop_name;
        }
        Ok(())
    })?;
    let mut held = Held { heads: Vec::new(), columns: Vec::new() };
    for group in order {
        let Some(steps) = values.get_mut(group) else { continue };
        let q = |step: usize| task.parameter.get(step).copied().unwrap_or(f64::NAN);
        let mut column = StepColumn::new();
        column.fill_with(task.steps(), |step| {
            let at_step = steps.get_mut(step).filter(|values| !values.is_empty())?;
            Some(quantile_of(q(step), at_step))
        });
        let labels = groups.labels.get(group).cloned().unwrap_or_default();
        let drop_name = drop_name.get(group).copied().unwrap_or_default();
        held.heads.push(Head { labels, drop_name });
        held.columns.push(column);
    }
    Ok(Box::new(held))
}

/// Warns of quantiles outside of 0 to 1: of the worst, and of NaN.
fn note_bad(task: &Task<'_, '_>) {
    let parameter = || task.parameter.iter().copied();
    let worst = [
        parameter().find(|q| q.is_nan()),
        parameter().reduce(go_max).filter(|q| *q > 1.0),
        parameter().reduce(go_min).filter(|q| *q < 0.0),
    ];
    for q in worst.into_iter().flatten() {
        task.run.note(bad_quantile(q, task.parameter_span()));
    }
}

/// `count_values("label", vector)`
pub(super) fn count<'r>(task: &Task<'_, 'r>) -> Bound<'r> {
    let Some(Parameter::Text(label)) = &task.node.parameter else {
        return Err(EngineError::Invalid("count_values lacks its label".into()));
    };
    if label.is_empty() {
        return Err(EngineError::Execution(format!("invalid label name {}", quoted(&**label))));
    }
    let grouping = Grouping { names: &task.node.grouping, without: task.node.without };
    let heads: Vec<Head> =
        task.inner.heads().iter().map(|head| Head::new(head.labels.with(label, ""))).collect();
    let groups = Groups::find(&heads, grouping);
    // With `without` the new label is one like the others.
    let is_dropped = grouping.without && (!grouping.keeps(label) || &**label == METRIC_NAME);
    let mut counts = Counts {
        task,
        groups: &groups,
        label: Some(&**label).filter(|_| !is_dropped),
        floats: HashMap::new(),
        texts: HashMap::new(),
        held: Held { heads: Vec::new(), columns: Vec::new() },
    };
    task.each(|index, column| {
        let group = groups.of(index);
        for (step, value) in column.all() {
            counts.add(group, step, value)?;
        }
        Ok(())
    })?;
    // Every group writes a float in its own way, so that there can be many series, none of them
    // twice.
    if counts.texts.is_empty() && counts.label.is_some() {
        return Ok(Box::new(counts.held));
    }
    task.run.unique(Box::new(counts.held), task.whole.steps)
}

/// How often each value was met in each group.
struct Counts<'c, 't, 'r> {
    task: &'c Task<'t, 'r>,
    groups: &'c Groups,
    /// The label that tells the value; `None` if it is dropped.
    label: Option<&'c str>,
    floats: HashMap<(usize, u64), usize>,
    /// Histograms by their text.
    texts: HashMap<(usize, String), usize>,
    held: Held,
}

impl Counts<'_, '_, '_> {
    fn add(&mut self, group: usize, step: usize, value: StepValue<'_>) -> Result<(), EngineError> {
        let next = self.held.columns.len();
        let (place, text): (usize, &dyn Fn() -> String) = match &value {
            _ if self.label.is_none() => {
                (*self.floats.entry((group, 0)).or_insert(next), &String::new)
            }
            StepValue::Float(value) => {
                let place = *self.floats.entry((group, key(*value))).or_insert(next);
                (place, &|| plain(*value))
            }
            StepValue::Histogram(one) => {
                let place = *self.texts.entry((group, one.to_string())).or_insert(next);
                (place, &|| one.to_string())
            }
        };
        if place == next {
            self.task.run.limits.hold(self.task.steps())?;
            let labels = self.groups.labels.get(group).cloned().unwrap_or_default();
            let labels = self.label.map_or_else(|| labels.clone(), |l| labels.with(l, &text()));
            self.held.heads.push(Head::new(labels));
            let mut counts = StepColumn::new();
            counts.reset(self.task.steps());
            self.held.columns.push(counts);
        }
        if let Some(counts) = self.held.columns.get_mut(place) {
            counts.set(step, counts.get(step).unwrap_or_default() + 1.0);
        }
        Ok(())
    }
}

/// Values that are written alike have the same key.
fn key(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}
