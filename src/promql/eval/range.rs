//! Functions over windows of samples, of series or of subqueries.

use crate::base::quote::quoted;
use crate::model::{Labels, is_stale};
use crate::promql::ast::Span;
use crate::promql::engine::EngineError;
use crate::promql::functions::{RangeFunction, Request, Windows};
use crate::promql::notes::Note;
use crate::promql::plan::{Node, Window, WindowSource, seconds};
use crate::series::{Column, TimeRange};

use super::operator::{Bound, Head, Nothing, Operator, Work};
use super::run::Run;
use super::select::{Samples, Selection};
use super::{StepColumn, bind as bind_node, scalar};

/// Where the samples of windows come from, once it is bound.
pub(super) struct Source<'r> {
    run: &'r Run<'r>,
    pub(super) window: &'r Window,
    kind: SourceKind<'r>,
}

enum SourceKind<'r> {
    Series(&'r Selection),
    Subquery { inner: Box<dyn Operator + 'r>, node: &'r Node },
    Nothing,
}

impl<'r> Source<'r> {
    pub(super) fn bind(run: &'r Run<'r>, window: &'r Window) -> Result<Self, EngineError> {
        let kind = match &window.source {
            WindowSource::Series(ask) => SourceKind::Series(run.selection(*ask)?),
            WindowSource::Subquery(node) => {
                SourceKind::Subquery { inner: bind_node(run, node)?, node }
            }
            WindowSource::Nothing => SourceKind::Nothing,
        };
        Ok(Self { run, window, kind })
    }

    /// The series as they come in.
    pub(super) fn heads(&self) -> Vec<Head> {
        match &self.kind {
            SourceKind::Series(selection) => {
                let labels = selection.series.iter().map(|series| series.labels().clone());
                labels.map(Head::new).collect()
            }
            SourceKind::Subquery { inner, .. } => inner.heads().to_vec(),
            SourceKind::Nothing => Vec::new(),
        }
    }

    /// The span of all windows.
    pub(super) fn range(&self) -> TimeRange {
        let (first_ms, last_ms) = self.window.shift.span(self.window.steps);
        let start_ms = first_ms.saturating_sub(self.window.range_ms).saturating_add(1);
        TimeRange::new(start_ms, last_ms)
    }

    /// Samples of one series, at least all in [`Source::range`], without staleness markers.
    pub(super) fn read(&self, index: usize, work: &mut Work) -> Result<Samples, EngineError> {
        match &self.kind {
            SourceKind::Series(selection) => {
                let samples = selection.read(self.run.limits, index, self.range(), work)?;
                Ok(without_markers(samples, work))
            }
            SourceKind::Subquery { inner, node } => {
                self.run.limits.check()?;
                let mut column = work.take_column();
                inner.column(index, &mut column, work)?;
                let mut samples = work.take_samples();
                for (step, value) in column.iter() {
                    if !is_stale(value) {
                        samples.push(node.steps.at(step), value);
                    }
                }
                work.give_column(column);
                self.run.limits.pass_computed(samples.len())?;
                Ok(Samples::Own(samples))
            }
            SourceKind::Nothing => Ok(Samples::Own(work.take_samples())),
        }
    }
}

fn without_markers(samples: Samples, work: &mut Work) -> Samples {
    if !samples.column().floats.iter().any(|value| is_stale(*value)) {
        return samples;
    }
    let mut kept = work.take_samples();
    let Column { timestamps, floats, .. } = samples.column();
    for (time_ms, value) in timestamps.iter().zip(floats) {
        if !is_stale(*value) {
            kept.push(*time_ms, *value);
        }
    }
    samples.give_back(work);
    Samples::Own(kept)
}

/// The part of `samples` in `range`.
pub(super) fn cut(samples: &Column, range: TimeRange) -> (&[i64], &[f64]) {
    let lo = samples.timestamps.partition_point(|time_ms| *time_ms < range.start_ms);
    let hi = samples.timestamps.partition_point(|time_ms| *time_ms <= range.end_ms);
    let times = samples.timestamps.get(lo..hi).unwrap_or_default();
    (times, samples.floats.get(lo..hi).unwrap_or_default())
}

struct OverTime<'r> {
    source: Source<'r>,
    function: RangeFunction,
    parameters: Vec<Vec<f64>>,
    heads: Vec<Head>,
    /// Names of metrics that are no counters by their names; empty if that does not matter.
    doubtful: Vec<Option<Box<str>>>,
    seconds: f64,
    /// Of the first scalar, if there is one.
    parameter_span: Span,
}

/// Binds a function over windows.
pub(super) fn bind<'r>(
    run: &'r Run<'r>,
    function: RangeFunction,
    window: &'r Window,
    parameters: &'r [Node],
) -> Bound<'r> {
    let source = Source::bind(run, window)?;
    let parameter_span = parameters.first().map_or(window.span, |node| node.span);
    let parameters: Vec<Vec<f64>> =
        parameters.iter().map(|node| scalar(run, node)).collect::<Result<_, _>>()?;
    let incoming = source.heads();
    if incoming.is_empty() {
        return Ok(Box::new(Nothing));
    }
    check_factors(function, &parameters)?;
    let keeps = |head: &Head| function.keeps_name() && !head.drop_name;
    let heads: Vec<Head> =
        incoming.iter().map(|h| if keeps(h) { h.clone() } else { run.nameless(h) }).collect();
    let doubtful = if function.wants_counter() {
        incoming.iter().map(|head| doubtful_counter(&head.labels)).collect()
    } else {
        Vec::new()
    };
    let operator = OverTime {
        source,
        function,
        parameters,
        heads,
        doubtful,
        seconds: seconds(window.range_ms),
        parameter_span,
    };
    run.unique_even_apart(Box::new(operator), window.steps)
}

/// Smoothing factors have to lie between 0 and 1.
fn check_factors(function: RangeFunction, parameters: &[Vec<f64>]) -> Result<(), EngineError> {
    if function != RangeFunction::DoubleExponentialSmoothing {
        return Ok(());
    }
    for (values, (name, short)) in parameters.iter().zip([("smoothing", "sf"), ("trend", "tf")]) {
        if let Some(bad) = values.iter().find(|value| **value <= 0.0 || **value >= 1.0) {
            return Err(EngineError::Execution(format!(
                "invalid {name} factor. Expected: 0 < {short} < 1, got: {bad:.6}"
            )));
        }
    }
    Ok(())
}

fn doubtful_counter(labels: &Labels) -> Option<Box<str>> {
    let name = labels.metric_name().filter(|name| !name.is_empty())?;
    let is_counter = ["_total", "_sum", "_count", "_bucket"].iter().any(|end| name.ends_with(end));
    (!is_counter).then(|| name.into())
}

impl Operator for OverTime<'_> {
    fn heads(&self) -> &[Head] {
        &self.heads
    }

    fn column(
        &self,
        index: usize,
        into: &mut StepColumn,
        work: &mut Work,
    ) -> Result<(), EngineError> {
        let samples = self.source.read(index, work)?;
        let (times, values) = cut(samples.column(), self.source.range());
        let window = self.source.window;
        let (steps, shift, range_ms) = (window.steps, window.shift, window.range_ms);
        let windows = Windows { times, values, steps, shift, range_ms };
        let request = Request { windows, seconds: self.seconds, parameters: &self.parameters };
        self.function.run(&request, &mut work.scratch, into);
        samples.give_back(work);
        if let (Some(Some(name)), false) = (self.doubtful.get(index), into.is_empty()) {
            self.source.run.note(Note::info(
                self.source.window.span,
                format!(
                    "metric might not be a counter, name does not end in \
                     _total/_sum/_count/_bucket: {}",
                    quoted(&**name)
                ),
            ));
        }
        if self.function == RangeFunction::Quantile && !into.is_empty() {
            self.note_bad_quantiles(into);
        }
        Ok(())
    }
}

impl OverTime<'_> {
    fn note_bad_quantiles(&self, column: &StepColumn) {
        let Some(quantiles) = self.parameters.first() else { return };
        for (step, q) in quantiles.iter().enumerate() {
            if !(0.0..=1.0).contains(q) && column.has(step) {
                self.source.run.note(super::call::bad_quantile(*q, self.parameter_span));
            }
        }
    }
}
