//! `count_values`: a series for each value of a group.

use std::collections::HashMap;

use crate::base::gonum::format_float;
use crate::base::quote::quoted;
use crate::model::METRIC_NAME;
use crate::promql::engine::EngineError;
use crate::promql::plan::Parameter;

use super::super::operator::{Bound, Head, Operator, Work};
use super::super::{StepColumn, StepValue};
use super::Task;
use super::groups::{Grouping, Groups};

/// `count_values("label", vector)`
pub(super) fn bind<'r>(task: &Task<'_, 'r>) -> Bound<'r> {
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
    let mut values = Values {
        task,
        groups: &groups,
        label: Some(&**label).filter(|_| !is_dropped),
        floats: HashMap::new(),
        texts: HashMap::new(),
        text: String::new(),
        counts: Counts { steps: task.steps(), ..Counts::default() },
    };
    task.each(|index, column| {
        let group = groups.of(index);
        if column.rows().is_none() {
            return column.iter().try_for_each(|(step, value)| values.add(group, step, value));
        }
        for (step, value) in column.all() {
            match value {
                StepValue::Float(value) => values.add(group, step, value)?,
                StepValue::Histogram(one) => values.add_text(group, step, one.to_string())?,
            }
        }
        Ok(())
    })?;
    // Every group writes a float in its own way, so that there can be many series, none of them
    // twice.
    let are_apart = values.texts.is_empty() && values.label.is_some();
    let counts = Box::new(values.counts);
    if are_apart { Ok(counts) } else { task.run.unique(counts, task.whole.steps) }
}

/// The values that were met in each group.
struct Values<'c, 't, 'r> {
    task: &'c Task<'t, 'r>,
    groups: &'c Groups,
    /// The label that tells the value; `None` if it is dropped.
    label: Option<&'c str>,
    floats: HashMap<(usize, u64), usize>,
    /// Histograms by their text.
    texts: HashMap<(usize, String), usize>,
    text: String,
    counts: Counts,
}

impl Values<'_, '_, '_> {
    fn add(&mut self, group: usize, step: usize, value: f64) -> Result<(), EngineError> {
        let next = self.counts.heads.len();
        // Without the label all values of a group are one.
        let key = if self.label.is_some() { key(value) } else { 0 };
        let place = *self.floats.entry((group, key)).or_insert(next);
        if place == next {
            self.text.clear();
            format_float(&mut self.text, value);
            self.begin(group);
        }
        self.count(place, step)
    }

    fn add_text(&mut self, group: usize, step: usize, text: String) -> Result<(), EngineError> {
        if self.label.is_none() {
            return self.add(group, step, 0.0);
        }
        let next = self.counts.heads.len();
        self.text.clone_from(&text);
        let place = *self.texts.entry((group, text)).or_insert(next);
        if place == next {
            self.begin(group);
        }
        self.count(place, step)
    }

    /// Begins the series of a value of which `self.text` is the text.
    fn begin(&mut self, group: usize) {
        let labels = self.groups.labels.get(group).cloned().unwrap_or_default();
        let labels = self.label.map_or_else(|| labels.clone(), |l| labels.with(l, &self.text));
        self.counts.heads.push(Head::new(labels));
        self.counts.met.push(Met::default());
    }

    fn count(&mut self, place: usize, step: usize) -> Result<(), EngineError> {
        let grown = self.counts.add(place, step);
        if grown > 0 { self.task.run.limits.hold(grown) } else { Ok(()) }
    }
}

/// Values that are written alike have the same key.
fn key(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

/// A value that is met at more steps than this gets a number for every step.
const FEW: u32 = 8;

/// How often a value was met. What grows has most of its values at a single step: a number for
/// every step would be memory that nobody looks at.
#[derive(Debug, Default)]
struct Met {
    /// Number of the point that was added last, among those of all values; 0 for none.
    newest: u32,
    /// How many points there are.
    len: u32,
    /// All steps, instead of points.
    everywhere: Option<Box<StepColumn>>,
}

/// How often a value was met at one step.
#[derive(Debug)]
struct Point {
    step: u32,
    count: u32,
    /// Number of the point that was added to the same value before; 0 for none.
    before: u32,
}

/// How often each value was met.
#[derive(Debug, Default)]
struct Counts {
    heads: Vec<Head>,
    met: Vec<Met>,
    /// Their numbers begin with 1.
    points: Vec<Point>,
    steps: usize,
}

impl Counts {
    /// Counts a value once more; returns how many more samples are held for it.
    fn add(&mut self, place: usize, step: usize) -> usize {
        let Self { met, points, steps, .. } = self;
        let Some(met) = met.get_mut(place) else { return 0 };
        if let Some(everywhere) = &mut met.everywhere {
            everywhere.set(step, everywhere.get(step).unwrap_or_default() + 1.0);
            return 0;
        }
        let mut number = met.newest;
        while let Some(point) = point_mut(points, number) {
            if point.step as usize == step {
                point.count += 1;
                return 0;
            }
            number = point.before;
        }
        let added = u32::try_from(points.len() + 1).ok().zip(u32::try_from(step).ok());
        if let Some((number, step)) = added.filter(|_| met.len < FEW) {
            points.push(Point { step, count: 1, before: met.newest });
            (met.newest, met.len) = (number, met.len + 1);
            return 1;
        }
        let mut everywhere = StepColumn::new();
        fill(&mut everywhere, *steps, points, met.newest);
        everywhere.set(step, 1.0);
        met.everywhere = Some(Box::new(everywhere));
        *steps
    }
}

fn point_mut(points: &mut [Point], number: u32) -> Option<&mut Point> {
    points.get_mut((number as usize).checked_sub(1)?)
}

/// The points from the number `newest` on.
fn fill(into: &mut StepColumn, steps: usize, points: &[Point], newest: u32) {
    into.reset(steps);
    let at = |number: u32| points.get((number as usize).checked_sub(1)?);
    let mut point = at(newest);
    while let Some(Point { step, count, before }) = point {
        into.set(*step as usize, f64::from(*count));
        point = at(*before);
    }
}

impl Operator for Counts {
    fn heads(&self) -> &[Head] {
        &self.heads
    }

    fn column(&self, index: usize, into: &mut StepColumn, _: &mut Work) -> Result<(), EngineError> {
        match self.met.get(index) {
            Some(Met { everywhere: Some(column), .. }) => into.copy_from(column),
            Some(met) => fill(into, self.steps, &self.points, met.newest),
            None => into.reset(0),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_are_counted_step_by_step(
            met in prop::collection::vec((0_usize..4, 0_usize..40), 0..300),
        ) {
            let mut counts = Counts { steps: 40, ..Counts::default() };
            counts.met.resize_with(4, Met::default);
            let mut wanted = [[0_u32; 40]; 4];
            for (place, step) in met {
                counts.add(place, step);
                wanted[place][step] += 1;
            }
            let (mut column, mut work) = (StepColumn::new(), Work::default());
            for (place, wanted) in wanted.iter().enumerate() {
                counts.column(place, &mut column, &mut work).unwrap();
                for (step, count) in wanted.iter().enumerate() {
                    prop_assert_eq!(column.get(step), (*count > 0).then_some(f64::from(*count)));
                }
            }
        }
    }
}
