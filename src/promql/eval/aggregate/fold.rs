//! Aggregations that need only a few numbers a group and step.

use crate::model::histogram::float::FloatRows;
use crate::promql::ast::AggregateOp;
use crate::promql::engine::EngineError;
use crate::promql::functions::{Mean, Sum};

use super::super::StepColumn;
use super::super::operator::{Bound, Head, Held};
use super::super::remarks::ignored_in;
use super::Task;
use super::groups::{Grouping, Groups};
use super::histograms::HistogramFold;

/// Folds all series into their groups.
pub(super) fn bind<'r>(task: &Task<'_, 'r>) -> Bound<'r> {
    let heads = task.inner.heads();
    let grouping = Grouping { names: &task.node.grouping, without: task.node.without };
    let groups = Groups::find(heads, grouping);
    let mut folds: Vec<Option<Fold>> = Vec::new();
    folds.resize_with(groups.len(), || None);
    // Groups appear in the order of their first sample.
    let mut order: Vec<usize> = Vec::new();
    task.each(|index, column| {
        if column.is_empty() {
            return Ok(());
        }
        let group = groups.of(index);
        let Some(slot) = folds.get_mut(group) else { return Ok(()) };
        if slot.is_none() {
            order.push(group);
            task.run.limits.hold(task.steps())?;
        }
        let fold = slot.get_or_insert_with(|| Fold::new(task.node.op, task.steps()));
        let head = heads.get(index);
        fold.drop_name |= head.is_some_and(|head| head.drop_name);
        if let (Some(rows), Some(head)) = (column.rows(), head) {
            fold.add_histograms(rows, head, task)?;
        }
        fold.add(column);
        Ok(())
    })?;
    let (mut heads, mut columns) = (Vec::new(), Vec::new());
    for group in order {
        let fold = folds.get_mut(group).and_then(Option::take);
        if let (Some(fold), Some(labels)) = (fold, groups.labels.get(group)) {
            heads.push(Head { labels: labels.clone(), drop_name: fold.drop_name });
            columns.push(fold.finish(task));
        }
    }
    Ok(Box::new(Held { heads, columns }))
}

/// One group: what is known of each step so far.
struct Fold {
    state: State,
    /// Of sums and means; made when the first histogram comes.
    histograms: Option<HistogramFold>,
    /// Presence, and the values in the end.
    seen: StepColumn,
    drop_name: bool,
}

enum State {
    Sum(Vec<Sum>),
    Avg(Vec<Option<Mean>>),
    /// `everywhere` counts series that are there at every step.
    Count {
        counts: Vec<u64>,
        everywhere: u64,
    },
    Min(Vec<f64>),
    Max(Vec<f64>),
    Group,
    /// Population variance, the plain way, or its root.
    Spread {
        root: bool,
        steps: Vec<Spread>,
    },
}

#[derive(Clone, Copy)]
struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Fold {
    fn new(op: AggregateOp, steps: usize) -> Self {
        let mut seen = StepColumn::new();
        seen.reset(steps);
        let spread = |root| State::Spread {
            root,
            steps: vec![Spread { count: 0.0, mean: 0.0, squares: 0.0 }; steps],
        };
        let state = match op {
            AggregateOp::Sum => State::Sum(vec![Sum::NOTHING; steps]),
            AggregateOp::Avg => State::Avg(vec![None; steps]),
            AggregateOp::Count => State::Count { counts: vec![0; steps], everywhere: 0 },
            AggregateOp::Min => State::Min(vec![f64::NAN; steps]),
            AggregateOp::Max => State::Max(vec![f64::NAN; steps]),
            AggregateOp::Stddev => spread(true),
            AggregateOp::Stdvar => spread(false),
            _ => State::Group,
        };
        Self { state, histograms: None, seen, drop_name: false }
    }

    fn add(&mut self, column: &StepColumn) {
        self.seen.mark(column.words());
        match &mut self.state {
            State::Sum(sums) => each(sums, column, |sum, value| *sum = sum.plus(value)),
            State::Avg(means) => each(means, column, |mean, value| match mean {
                Some(mean) => mean.add(value),
                None => *mean = Some(Mean::first(value)),
            }),
            State::Count { everywhere, .. } if column.is_full() => *everywhere += 1,
            State::Count { counts, .. } => each(counts, column, |count, _| *count += 1),
            // A NaN stays only until the next value.
            State::Min(least) => each(least, column, |least, value| {
                if *least > value || least.is_nan() {
                    *least = value;
                }
            }),
            State::Max(most) => each(most, column, |most, value| {
                if *most < value || most.is_nan() {
                    *most = value;
                }
            }),
            State::Group => {}
            State::Spread { steps, .. } => each(steps, column, Spread::add),
        }
    }

    /// Adds the histograms of a series; to be asked before its floats are added.
    fn add_histograms(
        &mut self,
        rows: &FloatRows,
        head: &Head,
        task: &Task<'_, '_>,
    ) -> Result<(), EngineError> {
        let span = task.node.vector.span;
        match &mut self.state {
            State::Sum(_) | State::Avg(_) => {
                let is_mean = matches!(self.state, State::Avg(_));
                let fold = &mut self.histograms;
                if fold.is_none() {
                    task.run.limits.hold(rows.size())?;
                }
                let fold = fold.get_or_insert_with(|| HistogramFold::new(is_mean, task.steps()));
                fold.add(rows, &self.seen, head, (task.run, span));
            }
            State::Count { counts, .. } => {
                for step in rows.steps() {
                    if let Some(count) = counts.get_mut(step) {
                        *count += 1;
                    }
                    self.seen.set(step, 0.0);
                }
            }
            State::Group => rows.steps().for_each(|step| self.seen.set(step, 0.0)),
            _ => task.run.note(ignored_in(span, task.node.op.text())),
        }
        Ok(())
    }

    fn finish(mut self, task: &Task<'_, '_>) -> StepColumn {
        let (values, _) = self.seen.parts_mut();
        match &self.state {
            State::Sum(sums) => put(values, sums, |sum| sum.total()),
            State::Avg(means) => put(values, means, |mean| mean.map_or(f64::NAN, Mean::value)),
            State::Count { counts, everywhere } => {
                put(values, counts, |count| (count + everywhere) as f64);
            }
            State::Min(extremes) | State::Max(extremes) => put(values, extremes, |value| value),
            State::Group => values.fill(1.0),
            State::Spread { root, steps } => put(values, steps, |spread| {
                let variance = spread.squares / spread.count;
                if *root { variance.sqrt() } else { variance }
            }),
        }
        if let Some(histograms) = self.histograms {
            histograms.finish(&mut self.seen, (task.run, task.node.vector.span));
        }
        self.seen
    }
}

impl Spread {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.mean = value;
            self.squares = if value.is_finite() { 0.0 } else { f64::NAN };
            return;
        }
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }
}

#[inline]
fn each<T>(states: &mut [T], column: &StepColumn, mut add: impl FnMut(&mut T, f64)) {
    if column.is_full() {
        for (state, value) in states.iter_mut().zip(column.values()) {
            add(state, *value);
        }
    } else {
        for (step, value) in column.iter() {
            if let Some(state) = states.get_mut(step) {
                add(state, value);
            }
        }
    }
}

fn put<T: Copy>(values: &mut [f64], states: &[T], value: impl Fn(T) -> f64) {
    for (slot, state) in values.iter_mut().zip(states) {
        *slot = value(*state);
    }
}
