//! Steps at which there is nothing.

use crate::model::Labels;
use crate::promql::engine::EngineError;
use crate::promql::plan::{Node, Steps, Window};

use super::operator::{Bound, Head, Held, Work};
use super::range::{Source, cut, inside};
use super::run::Run;
use super::{StepColumn, bind as bind_node};

/// Steps that no series has shown yet.
struct Missing {
    column: StepColumn,
    work: Work,
}

impl Missing {
    fn new(steps: Steps) -> Self {
        let mut column = StepColumn::new();
        column.fill(steps.count, 1.0);
        Self { column, work: Work::default() }
    }

    fn answer<'r>(self, labels: &Labels, drop_name: bool) -> Bound<'r> {
        let head = Head { labels: labels.clone(), drop_name };
        Ok(Box::new(Held { heads: vec![head], columns: vec![self.column] }))
    }
}

/// `absent(vector)`
pub(super) fn bind<'r>(
    run: &'r Run<'r>,
    vector: &'r Node,
    labels: &Labels,
    steps: Steps,
) -> Bound<'r> {
    let inner = bind_node(run, vector)?;
    let mut missing = Missing::new(steps);
    let (mut present, mut spare) = (StepColumn::new(), Vec::new());
    for index in 0..inner.heads().len() {
        if missing.column.is_empty() {
            break;
        }
        inner.column(index, &mut present, &mut missing.work)?;
        missing.column.drop_where(present.all_words(&mut spare));
    }
    missing.answer(labels, false)
}

/// `absent_over_time(window)`
pub(super) fn over_time<'r>(run: &'r Run<'r>, window: &'r Window, labels: &Labels) -> Bound<'r> {
    let source = Source::bind(run, window)?;
    let mut missing = Missing::new(window.steps);
    for index in 0..source.heads().len() {
        if missing.column.is_empty() {
            break;
        }
        source.mark(index, &mut missing)?;
    }
    missing.answer(labels, true)
}

impl Source<'_> {
    fn mark(&self, index: usize, missing: &mut Missing) -> Result<(), EngineError> {
        let samples = self.read(index, &mut missing.work)?;
        let column = samples.column();
        let range = self.widened();
        let (times, _) = cut(column, range);
        let first = inside(column, range).start;
        let window = self.window;
        for (step, end_ms) in (0..window.steps.count).map(|i| (i, window.steps.at(i))) {
            let end_ms = window.shift.of(end_ms);
            let newest = times.partition_point(|time_ms| *time_ms <= end_ms).checked_sub(1);
            let Some(newest) = newest else { continue };
            // A downsampled sample stands for a window before it.
            let reach_ms = window.range_ms.max(column.summary(first + newest).resolution_ms);
            let start_ms = end_ms.saturating_sub(reach_ms);
            if times.get(newest).is_some_and(|t| *t > start_ms) {
                missing.column.unset(step);
            }
        }
        samples.give_back(&mut missing.work);
        Ok(())
    }
}
