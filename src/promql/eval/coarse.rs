//! Windows and values of downsampled samples.
//!
//! Sums, counts, extremes, weighted means and the growth of counters are what they are of raw
//! samples. Everything else sees the average of each window, and a note says so. Where a window of
//! the query is shorter than those of the data, it is made longer, as nothing would be found in it.

use std::ops::Range;

use crate::base::duration::format_duration;
use crate::model::histogram::float::{FloatRef, FloatRows};
use crate::model::{Column, Value};
use crate::promql::ast::Span;
use crate::promql::functions::{Findings, RangeFunction, Request, Scratch};
use crate::promql::notes::Note;
use crate::promql::plan::Steps;

use super::StepColumn;
use super::range::run_both;
use super::run::Run;
use super::select::Selection;

/// A function over the samples of one series, some of which are downsampled.
pub(super) struct Coarse<'a> {
    pub(super) function: RangeFunction,
    /// What the function would be asked if the samples were raw.
    pub(super) request: Request<'a>,
    pub(super) column: &'a Column,
    /// The samples of the windows.
    pub(super) inside: Range<usize>,
}

/// What is to be said of the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Remarks {
    /// The length of the longest windows that were read.
    resolution_ms: i64,
    /// Averages were taken for samples.
    is_approximate: bool,
    /// The length of the longest window that was made longer.
    widened_ms: i64,
    /// Lowest and highest of histograms were asked for, which nobody keeps.
    lacks_extremes: bool,
}

/// Neighbouring steps whose windows are equally long.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stretch {
    steps: Range<usize>,
    range_ms: i64,
}

/// What a function makes of downsampled samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// The same as of raw ones.
    Exact,
    /// It needs the counts of its samples.
    Counted,
    /// It takes averages for samples.
    Approximate,
}

const fn manner(function: RangeFunction) -> Manner {
    match function {
        RangeFunction::Count | RangeFunction::Avg => Manner::Counted,
        RangeFunction::Sum
        | RangeFunction::Min
        | RangeFunction::Max
        | RangeFunction::Present
        | RangeFunction::Rate
        | RangeFunction::Increase => Manner::Exact,
        _ => Manner::Approximate,
    }
}

/// True if a result is of use only with two samples.
const fn needs_two(function: RangeFunction) -> bool {
    matches!(
        function,
        RangeFunction::Rate
            | RangeFunction::Increase
            | RangeFunction::Delta
            | RangeFunction::Irate
            | RangeFunction::Idelta
            | RangeFunction::Deriv
            | RangeFunction::PredictLinear
            | RangeFunction::DoubleExponentialSmoothing
    )
}

/// True if a longer window means a larger result.
const fn grows_with_range(function: RangeFunction) -> bool {
    matches!(
        function,
        RangeFunction::Increase | RangeFunction::Delta | RangeFunction::Sum | RangeFunction::Count
    )
}

impl Coarse<'_> {
    /// Computes all steps.
    pub(super) fn run(&self, scratch: &mut Scratch, into: &mut StepColumn) -> (Findings, Remarks) {
        let resolution_ms = self.resolution_ms();
        let mut remarks = Remarks {
            resolution_ms,
            is_approximate: resolution_ms > 0 && manner(self.function) == Manner::Approximate,
            widened_ms: 0,
            lacks_extremes: self.lacks_extremes(),
        };
        let asked_ms = self.request.windows.range_ms;
        let stretches = self.stretches();
        if let [Stretch { range_ms, .. }] = stretches.as_slice()
            && *range_ms == asked_ms
        {
            return (self.stretch(&self.request, scratch, into), remarks);
        }
        let mut findings = Findings::default();
        let count = self.request.windows.steps.count;
        let (mut floats, mut rows) = (vec![None; count], FloatRows::default());
        let mut part = StepColumn::new();
        for stretch in stretches {
            let Stretch { steps, range_ms } = stretch;
            if range_ms > asked_ms {
                remarks.widened_ms = remarks.widened_ms.max(range_ms);
            }
            findings.merge(self.part(steps.clone(), range_ms, scratch, &mut part));
            let slots = floats.get_mut(steps.clone()).unwrap_or_default();
            for (step, slot) in slots.iter_mut().enumerate() {
                *slot = part.get(step);
            }
            for (step, one) in part.rows().into_iter().flat_map(FloatRows::iter) {
                rows.push(step + steps.start, one);
            }
        }
        into.fill_with(count, |step| floats.get(step).copied().flatten());
        if !rows.is_empty() {
            into.put_rows(rows);
        }
        (findings, remarks)
    }

    /// The length of the longest windows among the data.
    fn resolution_ms(&self) -> i64 {
        let summaries = self.column.summaries.get(self.inside.clone()).unwrap_or_default();
        summaries.iter().map(|one| one.resolution_ms).max().unwrap_or(0)
    }

    fn lacks_extremes(&self) -> bool {
        let is_asked = matches!(self.function, RangeFunction::Min | RangeFunction::Max);
        is_asked && self.column.histograms.range(self.inside.clone()).next().is_some()
    }

    /// Computes some steps with windows of this length.
    fn part(
        &self,
        steps: Range<usize>,
        range_ms: i64,
        scratch: &mut Scratch,
        into: &mut StepColumn,
    ) -> Findings {
        let mut request = self.request;
        let whole = request.windows.steps;
        let start_ms = whole.at(steps.start);
        request.windows.steps = Steps { start_ms, count: steps.len(), ..whole };
        let asked_ms = request.windows.range_ms;
        request.windows.range_ms = range_ms;
        request.seconds *= range_ms as f64 / asked_ms.max(1) as f64;
        let of_part = |by_step: &Vec<f64>| by_step.get(steps.clone()).unwrap_or_default().to_vec();
        let parameters: Vec<Vec<f64>> = request.parameters.iter().map(of_part).collect();
        request.parameters = &parameters;
        let findings = self.stretch(&request, scratch, into);
        if range_ms != asked_ms && grows_with_range(self.function) {
            let share = asked_ms as f64 / range_ms as f64;
            into.map(|value| value * share);
            if into.rows().is_some() {
                into.rows_mut().scale(|_| share);
            }
        }
        findings
    }

    fn stretch(
        &self,
        request: &Request<'_>,
        scratch: &mut Scratch,
        into: &mut StepColumn,
    ) -> Findings {
        let both = (self.column, self.inside.clone());
        let mut request = *request;
        if let Some(edges) = &mut request.edges {
            edges.lookback_ms = edges.lookback_ms.max(self.resolution_ms());
        }
        let request = &request;
        match self.function {
            RangeFunction::Count => {
                self.counts(request, scratch, into);
                Findings::default()
            }
            RangeFunction::Avg => self.mean(request, scratch, into),
            function => run_both(function, request, both, scratch, into),
        }
    }

    /// How many samples there were in each window.
    fn counts(&self, request: &Request<'_>, scratch: &mut Scratch, into: &mut StepColumn) {
        let summaries = self.column.summaries.get(self.inside.clone()).unwrap_or_default();
        let counts: Vec<f64> = summaries.iter().map(|one| one.count).collect();
        let mut request = *request;
        request.windows.values = &counts;
        RangeFunction::Sum.run(&request, scratch, into);
    }

    /// The mean of averages, each as heavy as the samples that it stands for are many.
    fn mean(
        &self,
        request: &Request<'_>,
        scratch: &mut Scratch,
        into: &mut StepColumn,
    ) -> Findings {
        let mut weighted = Column::new();
        for (index, (time_ms, _, value)) in self.column.samples().enumerate() {
            let count = self.column.summary(index).count;
            match value {
                Value::Float(value) => weighted.push(time_ms, value * count),
                Value::Histogram(one) => {
                    let mut one = FloatRef::from(one).owned();
                    one.scale(count);
                    weighted.push_histogram(time_ms, one.view());
                }
            }
        }
        let mut counts = StepColumn::new();
        self.counts(request, scratch, &mut counts);
        let mut request = *request;
        request.windows.values = weighted.floats.get(self.inside.clone()).unwrap_or_default();
        let both = (&weighted, self.inside.clone());
        let findings = run_both(RangeFunction::Sum, &request, both, scratch, into);
        let share = |step: usize| 1.0 / counts.get(step).unwrap_or(1.0);
        if into.rows().is_some() {
            into.rows_mut().scale(share);
        }
        let (values, _) = into.parts_mut();
        for (step, value) in values.iter_mut().enumerate() {
            *value /= counts.get(step).unwrap_or(1.0);
        }
        findings
    }

    /// The steps by the length that their windows must have, so that something is found in them:
    /// what was sampled last before the end of each says how coarse the data is there.
    fn stretches(&self) -> Vec<Stretch> {
        let windows = &self.request.windows;
        let asked_ms = windows.range_ms;
        let factor = if needs_two(self.function) { 2 } else { 1 };
        let mut stretches: Vec<Stretch> = Vec::new();
        for step in 0..windows.steps.count {
            let end_ms = windows.shift.of(windows.steps.at(step));
            let newest = windows.times.partition_point(|time_ms| *time_ms <= end_ms);
            let newest = newest.checked_sub(1).map(|newest| newest + self.inside.start);
            let resolution_ms = newest.map_or(0, |at| self.column.summary(at).resolution_ms);
            let range_ms = asked_ms.max(resolution_ms.saturating_mul(factor));
            match stretches.last_mut().filter(|last| last.range_ms == range_ms) {
                Some(last) => last.steps.end = step + 1,
                None => stretches.push(Stretch { steps: step..step + 1, range_ms }),
            }
        }
        stretches
    }
}

impl Remarks {
    /// The notes to a part of the query. `is_fallback`: nobody wanted data that coarse.
    pub(super) fn notes(self, is_fallback: bool, span: Span) -> Vec<Note> {
        let mut notes = Vec::new();
        if self.resolution_ms == 0 {
            return notes;
        }
        if is_fallback {
            notes.push(fallback(self.resolution_ms, span));
        }
        if self.is_approximate {
            notes.push(average(self.resolution_ms, span));
        }
        if self.lacks_extremes {
            let text = "downsampled histograms have neither a lowest nor a highest value and are \
                        left out";
            notes.push(Note::info(span, text));
        }
        if self.widened_ms > 0 {
            let text = format!(
                "the range is too short for downsampled data and was widened to {}",
                format_duration(self.widened_ms)
            );
            notes.push(Note::info(span, text));
        }
        notes
    }
}

fn fallback(resolution_ms: i64, span: Span) -> Note {
    let resolution = format_duration(resolution_ms);
    Note::info(span, format!("only downsampled data is left, of a resolution of {resolution}"))
}

fn average(resolution_ms: i64, span: Span) -> Note {
    let resolution = format_duration(resolution_ms);
    let text = "the result is approximate: downsampled data gives averages, of up to";
    Note::info(span, format!("{text} {resolution}"))
}

/// Says that an instant selector gives averages, if it does.
pub(super) fn note_average(run: &Run<'_>, selection: &Selection, span: Span) {
    let resolution_ms = selection.resolution_ms();
    let remarks = Remarks { resolution_ms, is_approximate: true, ..Remarks::default() };
    for note in remarks.notes(selection.is_fallback(), span) {
        run.note(note);
    }
}

/// A counter whose joins are gone: its totals since the first sample. Who picks single samples of
/// it could not tell otherwise what lies between them.
pub(super) fn with_totals(column: &Column) -> Column {
    let mut totals = Column::new();
    totals.extend_from(column, 0..column.len());
    totals.joins.clear();
    let mut before: Option<(f64, f64)> = None;
    for (index, value) in totals.floats.iter_mut().enumerate() {
        if column.histograms.get(index).is_some() {
            continue;
        }
        let total = match before {
            None => *value,
            Some((last, total)) => {
                let base = column.joins.before(index).unwrap_or(last);
                total + if *value < base { *value } else { *value - base }
            }
        };
        before = Some((*value, total));
        *value = total;
    }
    totals
}
