//! Reading series, each once, and what instant selectors answer of them.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::clock::Stopwatch;
use crate::model::histogram::float::{FloatRef, FloatRows};
use crate::model::{Labels, Value};
use crate::promql::ast::Span;
use crate::promql::engine::EngineError;
use crate::promql::functions::native::{Rows, smooth as smooth_rows};
use crate::promql::functions::smooth;
use crate::promql::limits::Limits;
use crate::promql::plan::{Ask, Reading, Steps, window_range};
use crate::series::{Aggregate, Column, Queryable, Series, SeriesSet, TimeRange};

use super::StepColumn;
use super::coarse::{note_average, with_totals};
use super::newest::{newest, newest_by};
use super::operator::{Bound, Head, Operator, Work, without_metadata};
use super::profile::{AskCost, AskProfile};
use super::range::without_markers;
use super::remarks::of_windows;
use super::run::Run;
use super::stats::without_buckets;
use super::tally::{Counter, Looks};

/// The answer of the source to one question.
pub(super) struct Selection {
    pub(super) series: Vec<Box<dyn Series>>,
    range: TimeRange,
    /// Samples that more than one operation wants, between the first and the last of them.
    shared: Vec<Mutex<Shared>>,
    readers: u32,
    warnings: Vec<String>,
    /// The length of the windows that samples stand for at most.
    resolution_ms: i64,
    /// It is coarser than anybody wanted.
    is_fallback: bool,
    /// The same series for each variant of the question, if these get different samples.
    apart: Vec<Vec<Option<Box<dyn Series>>>>,
    /// What it cost, if somebody asks.
    profile: Option<(AskProfile, Duration)>,
}

#[derive(Default)]
struct Shared {
    column: Option<Arc<Column>>,
    reads: u32,
}

/// Samples that wait for a second reader fill at most this part of what the query may hold.
const SHARED_PART: u64 = 4;

/// Samples of one series: a thread's own or shared ones.
#[expect(clippy::large_enum_variant, reason = "moved once a series; a box would be an allocation")]
pub(super) enum Samples {
    Own(Column),
    Shared(Arc<Column>),
}

impl Samples {
    pub(super) fn column(&self) -> &Column {
        match self {
            Self::Own(column) => column,
            Self::Shared(column) => column,
        }
    }

    pub(super) fn give_back(self, work: &mut Work) {
        if let Self::Own(column) = self {
            work.give_samples(column);
        }
    }
}

impl Selection {
    /// Asks the source.
    pub(super) fn ask(
        source: &dyn Queryable,
        ask: &Ask,
        profiled: bool,
    ) -> Result<Self, EngineError> {
        let watch = Stopwatch::start();
        let mut set = source.select(&ask.select)?;
        let mut range = ask.select.range;
        let resolution_ms = coarsest(&set);
        let mut apart = Vec::new();
        if resolution_ms > 0 {
            let mut select = ask.select.clone();
            if ask.reach_ms < 2 * resolution_ms {
                // A window of the data may be longer than one of the query: see `widened`.
                select.range.start_ms = range.start_ms.saturating_sub(2 * resolution_ms);
                range = select.range;
                set = source.select(&select)?;
            }
            if ask.variants.len() > 1 {
                for hints in &ask.variants {
                    select.hints = hints.clone();
                    apart.push(aligned(&set.series, source.select(&select)?.series));
                }
            }
        }
        let is_shared = ask.readers > 1 && apart.is_empty();
        let shared = if is_shared { set.series.len() } else { 0 };
        Ok(Self {
            shared: std::iter::repeat_with(Mutex::default).take(shared).collect(),
            series: set.series,
            range,
            readers: ask.readers,
            warnings: set.warnings,
            resolution_ms,
            is_fallback: resolution_ms > ask.select.hints.max_resolution_ms,
            apart,
            profile: profiled.then(|| (AskProfile::default(), watch.elapsed())),
        })
    }

    /// The span that was asked for.
    pub(super) const fn range(&self) -> TimeRange {
        self.range
    }

    /// The length of the windows that samples stand for at most; 0 if all of them are raw.
    pub(super) const fn resolution_ms(&self) -> i64 {
        self.resolution_ms
    }

    /// True if the data is coarser than the query wanted.
    pub(super) const fn is_fallback(&self) -> bool {
        self.is_fallback
    }

    /// A span with all that may count in it: the windows that downsampled samples stand for begin
    /// before them, and two of them must be found.
    pub(super) const fn widened(&self, range: TimeRange) -> TimeRange {
        if self.resolution_ms == 0 {
            return range;
        }
        let start_ms = range.start_ms.saturating_sub(2 * self.resolution_ms);
        let least_ms = self.range.start_ms;
        TimeRange::new(if start_ms < least_ms { least_ms } else { start_ms }, range.end_ms)
    }

    /// What the question and its answers cost.
    pub(super) fn cost(&self) -> AskCost {
        let Some((profile, select)) = &self.profile else { return AskCost::default() };
        let mut chunks = Vec::new();
        let all = self.series.iter().try_for_each(|series| series.chunks(self.range, &mut chunks));
        AskCost {
            series: self.series.len() as u64,
            chunks: all.is_ok().then_some(chunks.len() as u64),
            select: *select,
            ..profile.cost()
        }
    }

    fn decode(
        &self,
        series: &dyn Series,
        range: TimeRange,
        into: &mut Column,
    ) -> Result<(), EngineError> {
        match &self.profile {
            None => Ok(series.read(range, into)?),
            Some((profile, _)) => {
                let watch = Stopwatch::start();
                series.read(range, into)?;
                profile.add_read(watch, into.len());
                Ok(())
            }
        }
    }

    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// How much there is to do, at a guess: samples to be read, or steps to be computed.
    pub(super) fn work(&self, steps: usize) -> usize {
        let samples = self.range.end_ms.saturating_sub(self.range.start_ms) / 15_000;
        let least = usize::try_from(samples).unwrap_or_default().max(steps);
        let each = self.series.iter().map(|series| series.sample_guess().max(least));
        each.fold(0, usize::saturating_add)
    }

    /// Reads a series as a variant of the question wants it: at least its samples in `range`.
    pub(super) fn read(
        &self,
        limits: &Limits,
        (variant, index): (usize, usize),
        range: TimeRange,
        work: &mut Work,
    ) -> Result<Samples, EngineError> {
        limits.check()?;
        let series = match self.apart.get(variant) {
            Some(apart) => apart.get(index).and_then(Option::as_ref),
            None => self.series.get(index),
        };
        let Some(series) = series else {
            return Ok(Samples::Own(work.take_samples()));
        };
        if let Some(slot) = self.shared.get(index) {
            return self.read_shared(limits, series.as_ref(), slot);
        }
        let mut column = work.take_samples();
        self.decode(&**series, range, &mut column)?;
        limits.pass(size(&column))?;
        Ok(Samples::Own(column))
    }

    /// The first reader leaves the samples for the others, the last takes them away.
    fn read_shared(
        &self,
        limits: &Limits,
        series: &dyn Series,
        slot: &Mutex<Shared>,
    ) -> Result<Samples, EngineError> {
        let mut shared = slot.lock();
        shared.reads += 1;
        if let Some(column) = &shared.column {
            let column = Arc::clone(column);
            if shared.reads >= self.readers {
                shared.column = None;
                limits.release(size(&column));
            }
            return Ok(Samples::Shared(column));
        }
        let mut column = Column::new();
        self.decode(series, self.range, &mut column)?;
        let size = size(&column);
        limits.pass(size)?;
        let column = Arc::new(column);
        let room = limits.max_samples() / SHARED_PART;
        let is_last = shared.reads >= self.readers;
        if !is_last && limits.samples_held() + size as u64 <= room {
            limits.hold(size)?;
            shared.column = Some(Arc::clone(&column));
        }
        Ok(Samples::Shared(column))
    }
}

fn coarsest(set: &SeriesSet) -> i64 {
    set.series.iter().map(|series| series.resolution_ms()).max().unwrap_or(0)
}

/// For each of `all` the same of `some`, both in label order, if it is there.
fn aligned(all: &[Box<dyn Series>], some: Vec<Box<dyn Series>>) -> Vec<Option<Box<dyn Series>>> {
    let mut some = some.into_iter().peekable();
    let mut find = |wanted: &Labels| {
        while some.next_if(|next| next.labels() < wanted).is_some() {}
        some.next_if(|next| next.labels() == wanted)
    };
    all.iter().map(|series| find(series.labels())).collect()
}

/// How many samples a column counts for where samples are limited.
pub(super) fn size(column: &Column) -> usize {
    if column.histograms.is_empty() {
        return column.len();
    }
    let sizes = column.histograms.iter().map(|(_, one)| FloatRef::from(one).size());
    sizes.sum::<usize>() + column.len() - column.histograms.len()
}

/// What is answered of the newest sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Value,
    /// When it was taken, in seconds.
    Time,
    /// Since when it counts, in seconds; 0 if that is not known.
    Start,
    /// Not of the newest alone: the line between the samples around the step.
    Smoothed,
}

/// An instant selector.
struct Newest<'r> {
    run: &'r Run<'r>,
    selection: &'r Selection,
    heads: Vec<Head>,
    reading: Reading,
    steps: Steps,
    answer: Answer,
    counter: Option<Arc<Counter>>,
    span: Span,
}

/// Binds an instant selector.
pub(super) fn bind<'r>(
    run: &'r Run<'r>,
    reading: Reading,
    steps: Steps,
    answer: Answer,
    span: Span,
) -> Bound<'r> {
    let selection = run.selection(reading.place.ask)?;
    let labels = selection.series.iter().map(|series| series.labels());
    let is_metric = matches!(answer, Answer::Value | Answer::Smoothed);
    let heads = if is_metric {
        labels.map(|labels| Head::new(labels.clone())).collect()
    } else {
        labels.map(|labels| run.nameless(&Head::new(labels.clone()))).collect()
    };
    let shift = reading.shift;
    // Upstream does not count what is interpolated.
    let counter = match answer {
        Answer::Smoothed => None,
        _ => run.counter(
            selection.series.len(),
            Some(reading.place.ask),
            Looks::AtNewest { steps, shift },
        ),
    };
    if is_metric && reading.place.wanted == Aggregate::Average {
        note_average(run, selection, span);
    }
    let newest = Newest { run, selection, heads, reading, steps, answer, counter, span };
    if is_metric { Ok(Box::new(newest)) } else { run.unique(Box::new(newest), steps) }
}

impl Run<'_> {
    pub(super) fn selection(&self, ask: usize) -> Result<&Selection, EngineError> {
        let missing = || EngineError::Execution("a selector was not asked for".into());
        self.selections.get(ask).ok_or_else(missing)
    }

    /// The head after an operation whose result is no longer the metric.
    pub(super) fn nameless(&self, head: &Head) -> Head {
        if self.delayed_name_removal {
            Head { labels: head.labels.clone(), drop_name: true }
        } else {
            Head { labels: without_metadata(&head.labels), drop_name: true }
        }
    }
}

impl Operator for Newest<'_> {
    fn heads(&self) -> &[Head] {
        &self.heads
    }

    fn column(
        &self,
        index: usize,
        into: &mut StepColumn,
        work: &mut Work,
    ) -> Result<(), EngineError> {
        let lookback_ms = self.run.lookback_ms;
        let behind_ms = if self.answer == Answer::Smoothed { lookback_ms } else { 0 };
        let (steps, shift) = (self.steps, self.reading.shift);
        let range = window_range(shift.span(steps), lookback_ms, behind_ms);
        let range = self.selection.widened(range);
        let place = (self.reading.place.variant, index);
        let mut samples = self.selection.read(self.run.limits, place, range, work)?;
        if self.reading.place.wanted == Aggregate::Counter && !samples.column().joins.is_empty() {
            let joined = with_totals(samples.column());
            samples.give_back(work);
            samples = Samples::Own(joined);
        }
        if !samples.column().histograms.is_empty() {
            let is_raw = samples.column().summaries.is_empty();
            if self.reading.stats_only && self.answer == Answer::Value && is_raw {
                let column = samples.column();
                let bare = without_buckets(column, range, (steps, shift), lookback_ms);
                samples.give_back(work);
                samples = Samples::Own(bare);
            }
            self.newest_of_both(index, samples, into, work);
            return Ok(());
        }
        if self.answer == Answer::Smoothed {
            let samples = without_markers(samples, work);
            let column = samples.column();
            let points = (column.timestamps.as_slice(), column.floats.as_slice());
            smooth(points, steps, shift, lookback_ms, into);
            samples.give_back(work);
            return Ok(());
        }
        let column = samples.column();
        match self.answer {
            Answer::Time => newest(column, steps, shift, lookback_ms, into, |index, _| {
                column.timestamps.get(index).map_or(0.0, |time_ms| *time_ms as f64 / 1000.0)
            }),
            Answer::Start => newest(column, steps, shift, lookback_ms, into, |index, _| {
                column.start_ms(index) as f64 / 1000.0
            }),
            _ => newest(column, steps, shift, lookback_ms, into, |_, value| value),
        }
        if let Some(counter) = &self.counter {
            counter.count_present(index, into);
        }
        samples.give_back(work);
        Ok(())
    }
}

impl Newest<'_> {
    /// The answer for a series with histograms.
    fn newest_of_both(
        &self,
        index: usize,
        samples: Samples,
        into: &mut StepColumn,
        work: &mut Work,
    ) {
        if self.answer == Answer::Smoothed {
            return self.smooth_both(index, without_markers(samples, work), into, work);
        }
        let found = self.found_of_both(samples.column(), into);
        into.put_rows(found);
        if let Some(counter) = &self.counter {
            counter.count_present(index, into);
        }
        samples.give_back(work);
    }

    fn found_of_both(&self, column: &Column, into: &mut StepColumn) -> FloatRows {
        let (steps, shift) = (self.steps, self.reading.shift);
        let lookback_ms = self.run.lookback_ms;
        let rows = Rows::of(column, 0..column.len(), false);
        let mut places = column.histograms.iter().map(|(index, _)| index).enumerate().peekable();
        // The last histogram that is not behind the sample in question.
        let (mut place, mut found) = (None, into.empty_rows());
        newest_by(column, steps, shift, lookback_ms, into, |step, index, value| {
            while let Some(next) = places.next_if(|(_, at)| *at <= index) {
                place = Some(next);
            }
            let row = place.filter(|(_, at)| *at == index);
            match (self.answer, row.and_then(|(row, _)| rows.rows.get(row))) {
                (Answer::Time, _) => {
                    column.timestamps.get(index).map(|time_ms| *time_ms as f64 / 1000.0)
                }
                (Answer::Start, _) => Some(column.start_ms(index) as f64 / 1000.0),
                (_, Some(one)) => {
                    found.push(step, *one);
                    None
                }
                (_, None) => Some(value),
            }
        });
        found
    }

    fn smooth_both(&self, index: usize, samples: Samples, into: &mut StepColumn, work: &mut Work) {
        let (steps, shift) = (self.steps, self.reading.shift);
        let lookback_ms = self.run.lookback_ms;
        let column = samples.column();
        let rows = Rows::of(column, 0..column.len(), false);
        let (mut times, mut values) = (Vec::new(), Vec::new());
        for (time_ms, _, value) in column.samples() {
            if let Value::Float(value) = value {
                times.push(time_ms);
                values.push(value);
            }
        }
        smooth((&times, &values), steps, shift, lookback_ms, into);
        let near = |times: &[i64], step: usize| {
            let now_ms = shift.of(steps.at(step));
            let open_ms = now_ms.saturating_sub(lookback_ms);
            let at = times.partition_point(|time_ms| *time_ms <= open_ms);
            times.get(at).is_some_and(|t| *t <= now_ms.saturating_add(lookback_ms))
        };
        for step in 0..steps.count {
            if near(&rows.times, step) {
                into.unset(step);
            }
        }
        let mut found = FloatRows::default();
        let is_mixed = |step: usize| near(&times, step);
        let findings = smooth_rows(&rows, (steps, shift), lookback_ms, is_mixed, &mut found);
        into.put_rows(found);
        samples.give_back(work);
        let name = self.heads.get(index).and_then(|head| head.labels.metric_name());
        let spans = (self.span, self.span);
        for note in of_windows(findings, spans, name.unwrap_or_default()) {
            self.run.note(note);
        }
    }
}
