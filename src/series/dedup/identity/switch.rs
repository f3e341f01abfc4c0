//! From one replica to another without a jump.

use crate::model::histogram::{Histogram, HistogramRef, ResetHint};
use crate::model::{Column, Value, is_stale};
use crate::series::chunk::TimeRange;

use super::grown::{grown, is_grown};
use super::runs::Run;

/// Writes runs of several replicas as one series.
pub(super) struct Writer<'a> {
    columns: &'a [Column],
    into: &'a mut Column,
    /// The last sample that was no marker: replica and index.
    last: Option<(usize, usize)>,
}

impl<'a> Writer<'a> {
    pub(super) const fn new(columns: &'a [Column], into: &'a mut Column) -> Self {
        Self { columns, into, last: None }
    }

    /// Goes on behind a sample that was written elsewhere: replica and index.
    pub(super) const fn behind(
        columns: &'a [Column],
        into: &'a mut Column,
        last: Option<(usize, usize)>,
    ) -> Self {
        Self { columns, into, last }
    }

    /// Appends those samples of the run, which follows all others in time, that lie in `range`.
    pub(super) fn write(&mut self, run: &Run, range: TimeRange) {
        let Some(column) = self.columns.get(run.replica) else { return };
        let all = &run.samples;
        let times = column.timestamps.get(all.clone()).unwrap_or_default();
        let start = all.start + times.partition_point(|time_ms| *time_ms < range.start_ms);
        let end = all.start + times.partition_point(|time_ms| *time_ms <= range.end_ms);
        let is_live = |index: &usize| is_live(column, *index);
        let first = all.clone().find(is_live);
        let follows = self.last.is_none_or(|last| {
            Some(last) == first.and_then(|first| first.checked_sub(1)).map(|at| (run.replica, at))
        });
        match first.filter(|first| !follows && (start..end).contains(first)) {
            None => self.into.extend_from(column, start..end),
            Some(first) => {
                self.into.extend_from(column, start..first);
                self.write_first(run.replica, column, first);
                self.into.extend_from(column, first + 1..end);
            }
        }
        if let Some(last) = all.clone().rev().find(is_live) {
            self.last = Some((run.replica, last));
        }
    }

    /// Appends the first sample of a run that follows another replica.
    fn write_first(&mut self, replica: usize, column: &Column, first: usize) {
        let Some(time_ms) = column.timestamps.get(first).copied() else { return };
        let index = self.into.len();
        let other = self.last.filter(|(other, _)| *other != replica);
        let before = other.and_then(|(other, at)| {
            let other = self.columns.get(other)?;
            Some((*other.timestamps.get(at)?, other.value(at)?))
        });
        match column.value(first) {
            Some(Value::Histogram(mut one)) => {
                if one.hint != ResetHint::Gauge {
                    // What it says is about another sample than the one before it now.
                    one.hint = ResetHint::Unknown;
                }
                self.into.push_value(time_ms, column.start_ms(first), Value::Histogram(one));
                if let Some((before_ms, Value::Histogram(before))) = before
                    && let Some(own) = own_histogram(column, first, before_ms, before)
                {
                    self.into.joins.push_histogram(index, own.as_ref());
                } else if other.is_none()
                    && let Some(own) = column.joins.before_histogram(first)
                {
                    self.into.joins.push_histogram(index, own);
                }
            }
            Some(Value::Float(value)) => {
                let start_ms = column.start_ms(first);
                self.into.push_value(time_ms, start_ms, Value::Float(value));
                if let Some((before_ms, Value::Float(before))) = before
                    && let Some(own) = own_float(column, first, before_ms, before)
                {
                    self.into.joins.push(index, own);
                } else if other.is_none()
                    && let Some(own) = column.joins.before(first)
                {
                    self.into.joins.push(index, own);
                }
            }
            None => {}
        }
        self.into.set_last_summary(column.summary(first));
    }
}

fn is_live(column: &Column, index: usize) -> bool {
    column.floats.get(index).is_some_and(|value| !is_stale(*value))
}

/// The samples of a stream around an instant, up to `first`: the last one before or at it and the
/// first one at or behind it. `is_wanted` says which samples count.
fn around(
    column: &Column,
    first: usize,
    time_ms: i64,
    is_wanted: impl Fn(usize) -> bool,
) -> Option<(usize, usize)> {
    let times = column.timestamps.get(..=first)?;
    let behind = times.partition_point(|time| *time < time_ms);
    let next = (behind..=first).find(|index| is_wanted(*index))?;
    if times.get(next) == Some(&time_ms) {
        return Some((next, next));
    }
    let before = (0..behind).rev().find(|index| is_wanted(*index))?;
    Some((before, next))
}

/// How far along the way from one sample to another an instant lies.
fn fraction(column: &Column, (before, next): (usize, usize), time_ms: i64) -> f64 {
    let time = |index: usize| column.timestamps.get(index).copied().unwrap_or_default();
    let way = time(next).saturating_sub(time(before));
    if way <= 0 { 1.0 } else { time_ms.saturating_sub(time(before)) as f64 / way as f64 }
}

/// What the stream of the float `first` had at `time_ms`, if another replica that had `other` then
/// did not count the same. Nothing if the values go on as they are.
fn own_float(column: &Column, first: usize, time_ms: i64, other: f64) -> Option<f64> {
    let has_histograms = !column.histograms.is_empty();
    let is_float = |index: usize| {
        is_live(column, index) && !(has_histograms && column.histograms.get(index).is_some())
    };
    let (before, next) = around(column, first, time_ms, is_float)?;
    let value = |index: usize| column.floats.get(index).copied().unwrap_or_default();
    let part = fraction(column, (before, next), time_ms);
    if !column.joins.is_empty() {
        // Values of different counts, so that what was counted is added up instead.
        let mut grown = 0.0;
        for index in before + 1..=first {
            let from = column.joins.before(index).unwrap_or_else(|| value(index - 1));
            let step = if value(index) < from { value(index) } else { value(index) - from };
            grown += if index <= next { step * (1.0 - part) } else { step };
        }
        let own = value(first) - grown;
        return (own != other && !own.is_nan()).then_some(own);
    }
    let (from, to) = (value(before), value(next));
    if from.is_nan() || to.is_nan() || other.is_nan() {
        return None;
    }
    if to < from {
        // Began anew in between, so that the other one saw its end or its beginning.
        return (other < from && other > to).then_some(from);
    }
    let is_same = from <= other && other <= to;
    (!is_same).then(|| (from + (to - from) * part).clamp(from, to))
}

/// As [`own_float`], of a histogram.
fn own_histogram(
    column: &Column,
    first: usize,
    time_ms: i64,
    other: HistogramRef<'_>,
) -> Option<Histogram> {
    let is_wanted = |index: usize| is_live(column, index) && column.histograms.get(index).is_some();
    let (before, next) = around(column, first, time_ms, is_wanted)?;
    let (from, to) = (column.histograms.get(before)?, column.histograms.get(next)?);
    let (went_on, goes_on) = (is_grown(from, other), is_grown(other, to));
    let own = if before != next && !is_grown(from, to) {
        if went_on || goes_on {
            return None;
        }
        from.to_owned()
    } else {
        if went_on && goes_on {
            return None;
        }
        let part = fraction(column, (before, next), time_ms);
        grown(from, to, part).unwrap_or_else(|| if part < 0.5 { from } else { to }.to_owned())
    };
    // A join lies within a stream and is no sample: nothing is known of one before it.
    let hint = if own.hint == ResetHint::Gauge { ResetHint::Gauge } else { ResetHint::Unknown };
    Some(Histogram { hint, ..own })
}
