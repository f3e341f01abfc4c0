//! `quantile`, which looks at all values of a group and step.

use crate::promql::plan::{go_max, go_min};
use crate::promql::quantile::quantile as quantile_of;

use super::super::StepColumn;
use super::super::call::bad_quantile;
use super::super::operator::{Bound, Head, Held};
use super::super::remarks::ignored_in;
use super::Task;
use super::groups::{Grouping, Groups};

/// `quantile(q, vector)`
pub(super) fn bind<'r>(task: &Task<'_, 'r>) -> Bound<'r> {
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
