//! What all operations have in common, and the simplest of them.

use crate::model::Labels;
use crate::promql::engine::EngineError;
use crate::promql::functions::Scratch;
use crate::promql::plan::Steps;
use crate::series::Column;

use super::column::StepColumn;

/// An operation that knows its output series.
pub(super) trait Operator: Send + Sync {
    /// The output series. Some of them may turn out to have no value at any step.
    fn heads(&self) -> &[Head];

    /// Computes the output series with this index. The column is overwritten. May be called for
    /// any index, more than once and from several threads.
    fn column(
        &self,
        index: usize,
        into: &mut StepColumn,
        work: &mut Work,
    ) -> Result<(), EngineError>;
}

/// What binding gives.
pub(super) type Bound<'r> = Result<Box<dyn Operator + 'r>, EngineError>;

/// What is known of a series before its values.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) labels: Labels,
    /// The metric's name is to be dropped at the end; only if that is delayed.
    pub(super) drop_name: bool,
}

impl Head {
    pub(super) const fn new(labels: Labels) -> Self {
        Self { labels, drop_name: false }
    }

    /// The series without labels.
    pub(super) fn unlabelled() -> Self {
        Self::new(Labels::empty())
    }
}

/// Labels that say of which metric a sample is, not whose.
const METADATA: [&str; 3] = ["__name__", "__type__", "__unit__"];

/// The label set without the name, type and unit of the metric.
pub(super) fn without_metadata(labels: &Labels) -> Labels {
    labels.filter(|name| !METADATA.contains(&name))
}

/// Memory that one thread reuses from series to series.
#[derive(Debug, Default)]
pub(super) struct Work {
    columns: Vec<StepColumn>,
    samples: Vec<Column>,
    pub(super) scratch: Scratch,
}

impl Work {
    pub(super) fn take_column(&mut self) -> StepColumn {
        self.columns.pop().unwrap_or_default()
    }

    pub(super) fn give_column(&mut self, column: StepColumn) {
        self.columns.push(column);
    }

    /// An empty column.
    pub(super) fn take_samples(&mut self) -> Column {
        let mut column = self.samples.pop().unwrap_or_default();
        column.clear();
        column
    }

    pub(super) fn give_samples(&mut self, column: Column) {
        self.samples.push(column);
    }
}

/// A vector without elements.
pub(super) struct Nothing;

impl Operator for Nothing {
    fn heads(&self) -> &[Head] {
        &[]
    }

    fn column(&self, _: usize, into: &mut StepColumn, _: &mut Work) -> Result<(), EngineError> {
        into.reset(0);
        Ok(())
    }
}

/// One series without labels whose value is known at every step: a scalar, mostly.
pub(super) struct Steady {
    head: [Head; 1],
    values: Vec<f64>,
    /// The value at all steps, instead of `values`.
    number: Option<(f64, usize)>,
}

impl Steady {
    pub(super) fn number<'r>(value: f64, steps: Steps) -> Box<dyn Operator + 'r> {
        let number = Some((value, steps.count));
        Box::new(Self { head: [Head::unlabelled()], values: Vec::new(), number })
    }

    pub(super) fn values<'r>(values: Vec<f64>) -> Box<dyn Operator + 'r> {
        Box::new(Self { head: [Head::unlabelled()], values, number: None })
    }
}

impl Operator for Steady {
    fn heads(&self) -> &[Head] {
        &self.head
    }

    fn column(&self, _: usize, into: &mut StepColumn, _: &mut Work) -> Result<(), EngineError> {
        match self.number {
            Some((value, count)) => into.fill(count, value),
            None => into.fill_with(self.values.len(), |step| self.values.get(step).copied()),
        }
        Ok(())
    }
}

/// Series whose columns were computed while binding.
pub(super) struct Held {
    pub(super) heads: Vec<Head>,
    pub(super) columns: Vec<StepColumn>,
}

impl Operator for Held {
    fn heads(&self) -> &[Head] {
        &self.heads
    }

    fn column(&self, index: usize, into: &mut StepColumn, _: &mut Work) -> Result<(), EngineError> {
        match self.columns.get(index) {
            Some(column) => into.copy_from(column),
            None => into.reset(0),
        }
        Ok(())
    }
}

/// An operation at the first step, repeated at all others.
pub(super) struct Once<'r> {
    inner: Box<dyn Operator + 'r>,
    steps: Steps,
}

impl<'r> Once<'r> {
    pub(super) const fn new(inner: Box<dyn Operator + 'r>, steps: Steps) -> Self {
        Self { inner, steps }
    }
}

impl Operator for Once<'_> {
    fn heads(&self) -> &[Head] {
        self.inner.heads()
    }

    fn column(
        &self,
        index: usize,
        into: &mut StepColumn,
        work: &mut Work,
    ) -> Result<(), EngineError> {
        self.inner.column(index, into, work)?;
        into.repeat(self.steps.count);
        Ok(())
    }
}
