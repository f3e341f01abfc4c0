//! Functions over windows of samples, of series or of subqueries.

use std::sync::Arc;

use crate::base::quote::quoted;
use crate::model::histogram::ResetHint;
use crate::model::{Labels, is_stale};
use crate::promql::ast::Extended;
use crate::promql::ast::Span;
use crate::promql::engine::EngineError;
use crate::promql::functions::{
    Befores, Edges, Findings, RangeFunction, Request, Scratch, Windows,
};
use crate::promql::plan::{Node, Place, Steps, Window, WindowSource, seconds, window_range};
use crate::series::{Column, TimeRange};

use super::coarse::{Coarse, Remarks};
use super::newest::any_nan;
use super::operator::{Bound, Head, Nothing, Operator, Work};
use super::remarks::of_windows;
use super::run::Run;
use super::select::{Samples, Selection, size};
use super::stats::without_buckets;
use super::tally::{Counter, Looks, Reach, Tallies};
use super::{StepColumn, StepValue, bind as bind_node, scalar};

/// Where the samples of windows come from, once it is bound.
pub(super) struct Source<'r> {
    run: &'r Run<'r>,
    pub(super) window: &'r Window,
    kind: SourceKind<'r>,
    counter: Option<Arc<Counter>>,
}

enum SourceKind<'r> {
    Series { selection: &'r Selection, place: Place },
    Subquery { inner: Box<dyn Operator + 'r>, node: &'r Node },
    Nothing,
}

impl<'r> Source<'r> {
    pub(super) fn bind(run: &'r Run<'r>, window: &'r Window) -> Result<Self, EngineError> {
        let mut source = Self::bind_as(run, window, |tallies, steps| {
            // Where a subquery is pinned, its steps lie anywhere.
            let offset_ms = window.shift.offset_ms;
            tallies.enter_subquery(steps, offset_ms, window.range_ms);
        })?;
        let ask = match &window.source {
            WindowSource::Series(place) => Some(place.ask),
            _ => None,
        };
        let reach = source.reach();
        source.counter = run.counter(source.series_count(), ask, Looks::AtWindows(reach));
        Ok(source)
    }

    /// Binds a window that is the whole query.
    pub(super) fn bind_bare(run: &'r Run<'r>, window: &'r Window) -> Result<Self, EngineError> {
        Self::bind_as(run, window, Tallies::enter_bare)
    }

    fn bind_as(
        run: &'r Run<'r>,
        window: &'r Window,
        enter: impl Fn(&Tallies, Steps),
    ) -> Result<Self, EngineError> {
        let kind = match &window.source {
            WindowSource::Series(place) => {
                SourceKind::Series { selection: run.selection(place.ask)?, place: *place }
            }
            WindowSource::Subquery(node) => {
                run.tallies.as_ref().inspect(|tallies| enter(tallies, node.steps));
                let inner = bind_node(run, node)?;
                run.tallies.as_ref().inspect(|tallies| tallies.leave());
                SourceKind::Subquery { inner, node }
            }
            WindowSource::Nothing => SourceKind::Nothing,
        };
        Ok(Self { run, window, kind, counter: None })
    }

    fn series_count(&self) -> usize {
        match &self.kind {
            SourceKind::Series { selection, .. } => selection.series.len(),
            SourceKind::Subquery { inner, .. } => inner.heads().len(),
            SourceKind::Nothing => 0,
        }
    }

    /// True if the samples come from the source of the query.
    pub(super) const fn is_stored(&self) -> bool {
        matches!(self.kind, SourceKind::Series { .. })
    }

    fn reach(&self) -> Reach {
        let (before_ms, behind_ms) = self.beyond();
        let Window { steps, shift, range_ms, .. } = *self.window;
        let length_ms = range_ms.saturating_add(before_ms).saturating_add(behind_ms);
        Reach { steps, shift, length_ms, behind_ms }
    }

    /// How far samples count beyond both edges of a window.
    fn beyond(&self) -> (i64, i64) {
        match self.edges() {
            None => (0, 0),
            Some(Edges { smoothed, lookback_ms }) => {
                (lookback_ms, if smoothed { lookback_ms } else { 0 })
            }
        }
    }

    /// The series as they come in.
    pub(super) fn heads(&self) -> Vec<Head> {
        match &self.kind {
            SourceKind::Series { selection, .. } => {
                let labels = selection.series.iter().map(|series| series.labels().clone());
                labels.map(Head::new).collect()
            }
            SourceKind::Subquery { inner, .. } => inner.heads().to_vec(),
            SourceKind::Nothing => Vec::new(),
        }
    }

    /// The span of all windows, and of what completes them.
    pub(super) fn range(&self) -> TimeRange {
        let window = self.window;
        let (before_ms, behind_ms) = self.beyond();
        let span = window.shift.span(window.steps);
        window_range(span, window.range_ms.saturating_add(before_ms), behind_ms)
    }

    /// The same with all that may count of downsampled samples.
    pub(super) fn widened(&self) -> TimeRange {
        match &self.kind {
            SourceKind::Series { selection, .. } => selection.widened(self.range()),
            _ => self.range(),
        }
    }

    /// The answer of the source, if it is not a subquery.
    pub(super) const fn selection(&self) -> Option<&Selection> {
        match &self.kind {
            SourceKind::Series { selection, .. } => Some(selection),
            _ => None,
        }
    }

    /// How windows are completed.
    pub(super) fn edges(&self) -> Option<Edges> {
        let smoothed = self.window.extended? == Extended::Smoothed;
        Some(Edges { smoothed, lookback_ms: self.run.lookback_ms })
    }

    /// Samples of one series, at least all in [`Source::widened`], without staleness markers.
    pub(super) fn read(&self, index: usize, work: &mut Work) -> Result<Samples, EngineError> {
        match &self.kind {
            SourceKind::Series { selection, place } => {
                let place = (place.variant, index);
                let mut samples = selection.read(self.run.limits, place, self.widened(), work)?;
                let column = samples.column();
                let is_raw = column.summaries.is_empty() && column.joins.is_empty();
                if self.window.stats_only && !column.histograms.is_empty() && is_raw {
                    let window = self.window;
                    let when = (window.steps, window.shift);
                    let length_ms = window.range_ms;
                    let bare = without_buckets(samples.column(), self.range(), when, length_ms);
                    samples.give_back(work);
                    samples = Samples::Own(bare);
                }
                let samples = without_markers(samples, work);
                self.count(index, samples.column());
                Ok(samples)
            }
            SourceKind::Subquery { inner, node } => {
                self.run.limits.check()?;
                let mut column = work.take_column();
                inner.column(index, &mut column, work)?;
                let mut samples = work.take_samples();
                if column.rows().is_some() {
                    push_both(&column, node.steps, &mut samples);
                } else {
                    for (step, value) in column.iter() {
                        if !is_stale(value) {
                            samples.push(node.steps.at(step), value);
                        }
                    }
                }
                work.give_column(column);
                self.run.limits.pass_computed(size(&samples))?;
                self.count(index, &samples);
                Ok(Samples::Own(samples))
            }
            SourceKind::Nothing => Ok(Samples::Own(work.take_samples())),
        }
    }
}

impl Source<'_> {
    fn count(&self, index: usize, samples: &Column) {
        if let Some(counter) = &self.counter {
            counter.count_windows(index, samples);
        }
    }
}

/// The values of a subquery as samples. Nobody knows what happened between them, so that no hint
/// says that a counter began anew, or did not. Matches `evalSubquery`.
fn push_both(column: &StepColumn, steps: Steps, samples: &mut Column) {
    let mut before = None;
    for (step, value) in column.all() {
        match value {
            StepValue::Float(value) if is_stale(value) => {}
            StepValue::Float(value) => samples.push(steps.at(step), value),
            StepValue::Histogram(one) => {
                let mut one = one.to_histogram(before.as_ref());
                if one.hint != ResetHint::Gauge {
                    one.hint = ResetHint::Unknown;
                }
                samples.push_histogram(steps.at(step), one.as_ref());
                before = Some(one.layout);
            }
        }
    }
}

/// The samples without staleness markers.
pub(super) fn without_markers(samples: Samples, work: &mut Work) -> Samples {
    let has_marker = |part: &[f64]| any_nan(part) && part.iter().any(|value| is_stale(*value));
    if !samples.column().floats.chunks(64).any(has_marker) {
        return samples;
    }
    let mut kept = work.take_samples();
    let column = samples.column();
    let runs = column.floats.split(|value| is_stale(*value));
    let mut from = 0;
    for run in runs {
        kept.extend_from(column, from..from + run.len());
        from += run.len() + 1;
    }
    samples.give_back(work);
    Samples::Own(kept)
}

/// The samples in `range`, by index.
pub(super) fn inside(samples: &Column, range: TimeRange) -> std::ops::Range<usize> {
    let lo = samples.timestamps.partition_point(|time_ms| *time_ms < range.start_ms);
    let hi = samples.timestamps.partition_point(|time_ms| *time_ms <= range.end_ms);
    lo..hi.max(lo)
}

/// The part of `samples` in `range`.
pub(super) fn cut(samples: &Column, range: TimeRange) -> (&[i64], &[f64]) {
    let inside = inside(samples, range);
    let times = samples.timestamps.get(inside.clone()).unwrap_or_default();
    (times, samples.floats.get(inside).unwrap_or_default())
}

struct OverTime<'r> {
    source: Source<'r>,
    function: RangeFunction,
    parameters: Vec<Vec<f64>>,
    heads: Vec<Head>,
    /// What is to be said of metrics that may be no counters; empty if that does not matter.
    doubtful: Vec<Option<Arc<str>>>,
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
    let doubtful =
        if function.wants_counter() { doubtful_counters(run, &incoming) } else { Vec::new() };
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

/// What is to be said of each series; once for those of one metric that follow one another.
fn doubtful_counters(run: &Run<'_>, heads: &[Head]) -> Vec<Option<Arc<str>>> {
    let mut last: Option<(Option<&str>, Option<Arc<str>>)> = None;
    let doubt = |head: &Head| -> Option<Arc<str>> { doubtful_counter(run, &head.labels) };
    if run.type_and_unit_labels {
        return heads.iter().map(doubt).collect();
    }
    let each = heads.iter().map(|head| {
        let name = head.labels.metric_name();
        match &last {
            Some((known, doubt)) if *known == name => doubt.clone(),
            _ => last.insert((name, doubt(head))).1.clone(),
        }
    });
    each.collect()
}

fn doubtful_counter(run: &Run<'_>, labels: &Labels) -> Option<Arc<str>> {
    let name = labels.metric_name().filter(|name| !name.is_empty())?;
    let shown = quoted(name);
    if run.type_and_unit_labels {
        let kind = labels.get("__type__").unwrap_or_default();
        let is_counter = ["counter", "histogram"].contains(&kind);
        let text = || {
            let kind = quoted(kind);
            format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \
                 \"histogram\", got {kind}: {shown}"
            )
        };
        return (!is_counter).then(|| text().into());
    }
    let is_counter = ["_total", "_sum", "_count", "_bucket"].iter().any(|end| name.ends_with(end));
    let text = || {
        format!(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \
             {shown}"
        )
    };
    (!is_counter).then(|| text().into())
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
        let column = samples.column();
        let range = self.source.widened();
        let inside = inside(column, range);
        let (times, values) = cut(column, range);
        let window = self.source.window;
        let (steps, shift, range_ms) = (window.steps, window.shift, window.range_ms);
        let befores = Befores::new(column.joins.floats(), inside.start);
        let request = Request {
            windows: Windows { times, values, befores, steps, shift, range_ms },
            seconds: self.seconds,
            parameters: &self.parameters,
            starts: self.starts(column, range),
            edges: self.source.edges(),
        };
        let findings = if column.summaries.is_empty() {
            run_both(self.function, &request, (column, inside), &mut work.scratch, into)
        } else {
            let coarse = Coarse { function: self.function, request, column, inside };
            let (findings, remarks) = coarse.run(&mut work.scratch, into);
            self.note_coarse(remarks);
            findings
        };
        samples.give_back(work);
        if findings != Findings::default() {
            self.note_findings(index, findings);
        }
        if let (Some(Some(doubt)), true) = (self.doubtful.get(index), into.float_count() > 0) {
            self.source.run.note_info(self.source.window.span, doubt);
        }
        if self.function == RangeFunction::Quantile && !into.is_empty() {
            self.note_bad_quantiles(into);
        }
        Ok(())
    }
}

/// Computes all steps of one series whose samples `inside` are those of the windows.
pub(super) fn run_both(
    function: RangeFunction,
    request: &Request<'_>,
    (column, inside): (&Column, std::ops::Range<usize>),
    scratch: &mut Scratch,
    into: &mut StepColumn,
) -> Findings {
    if column.histograms.range(inside.clone()).next().is_some() {
        return function.run_mixed(request, (column, inside), scratch, into);
    }
    let overlapping = function.run(request, scratch, into);
    Findings { overlapping, ..Findings::default() }
}

impl OverTime<'_> {
    /// Says what became of downsampled data.
    fn note_coarse(&self, remarks: Remarks) {
        let is_fallback = self.source.selection().is_some_and(Selection::is_fallback);
        for note in remarks.notes(is_fallback, self.source.window.span) {
            self.source.run.note(note);
        }
    }

    /// The starts of the samples in `range`, if they matter.
    fn starts<'c>(&self, column: &'c Column, range: TimeRange) -> &'c [i64] {
        if !self.source.run.start_timestamps || column.starts_ms.is_empty() {
            return &[];
        }
        column.starts_ms.get(inside(column, range)).unwrap_or_default()
    }

    fn note_findings(&self, index: usize, findings: Findings) {
        let labels = match &self.source.kind {
            SourceKind::Series { selection, .. } => {
                selection.series.get(index).map(|series| series.labels())
            }
            SourceKind::Subquery { inner, .. } => inner.heads().get(index).map(|head| &head.labels),
            SourceKind::Nothing => None,
        };
        let name = labels.and_then(|labels| labels.metric_name()).unwrap_or_default();
        let span = self.source.window.span;
        let is_quantile = self.function == RangeFunction::Quantile;
        let first = if is_quantile { self.parameter_span } else { span };
        for note in of_windows(findings, (span, first), name) {
            self.source.run.note(note);
        }
    }

    fn note_bad_quantiles(&self, column: &StepColumn) {
        let Some(quantiles) = self.parameters.first() else { return };
        for (step, q) in quantiles.iter().enumerate() {
            if !(0.0..=1.0).contains(q) && column.has(step) {
                self.source.run.note(super::call::bad_quantile(*q, self.parameter_span));
            }
        }
    }
}
