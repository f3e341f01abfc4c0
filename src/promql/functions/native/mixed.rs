//! The way from a function to its kernels for series that have histograms.

use std::ops::Range;

use crate::model::Column;
use crate::model::histogram::float::{FloatHistogram, Overlays};
use crate::promql::eval::StepColumn;
use crate::promql::functions::changes::is_change;
use crate::promql::functions::extended;
use crate::promql::functions::window::{Befores, Window, each_window};
use crate::promql::functions::{RangeFunction, Request, Scratch, Windows};

use super::edges::{ExtendedSlope, Lines};
use super::findings::Findings;
use super::rate::{Slopes, last_two};
use super::rows::Split;
use super::sums::Sums;

impl RangeFunction {
    /// Computes all steps of a series with histograms among its samples `range`, which are those
    /// of the windows of `ask`.
    pub(crate) fn run_mixed(
        self,
        ask: &Request<'_>,
        (column, range): (&Column, Range<usize>),
        scratch: &mut Scratch,
        into: &mut StepColumn,
    ) -> Findings {
        let split = Split::new(column, range, !ask.starts.is_empty() && self.wants_starts());
        let mixed = Mixed { function: self, ask, split };
        match self {
            Self::Rate | Self::Increase | Self::Delta | Self::Sum | Self::Avg => {
                mixed.one_kind(scratch, into)
            }
            Self::Irate | Self::Idelta => mixed.last_two(scratch, into),
            Self::Count | Self::Present | Self::TimeOfFirst | Self::TimeOfLast => {
                self.run(ask, scratch, into);
                Findings::default()
            }
            Self::First | Self::Last => mixed.ends(into),
            Self::Changes | Self::Resets => mixed.pairs(scratch, into),
            _ => mixed.floats_only(scratch, into),
        }
    }
}

struct Mixed<'a> {
    function: RangeFunction,
    ask: &'a Request<'a>,
    split: Split<'a>,
}

impl Mixed<'_> {
    fn float_request(&self) -> Request<'_> {
        let (times, values) = (self.split.float_times.as_slice(), self.split.floats.as_slice());
        let befores = Befores::new(&self.split.float_joins, 0);
        let windows = Windows { times, values, befores, ..self.ask.windows };
        Request { windows, starts: &self.split.float_starts, ..*self.ask }
    }

    /// The windows of some of the samples; longer ones where they are completed.
    fn windows(&self, times: &[i64], each: impl FnMut(Window)) {
        let Windows { steps, shift, range_ms, .. } = self.ask.windows;
        let (before_ms, behind_ms) = match self.ask.edges {
            None => (0, 0),
            Some(edges) if edges.smoothed => (edges.lookback_ms, edges.lookback_ms),
            Some(edges) => (edges.lookback_ms, 0),
        };
        each_window(times, (steps, shift), range_ms, (before_ms, behind_ms), each);
    }

    /// True for each step whose window has floats.
    fn has_floats(&self) -> Vec<bool> {
        let mut has = vec![false; self.ask.windows.steps.count];
        self.windows(&self.split.float_times, |window| {
            if let Some(has) = has.get_mut(window.step) {
                *has = true;
            }
        });
        has
    }

    /// Windows have a result only if all their samples are of one kind.
    fn one_kind(&self, scratch: &mut Scratch, into: &mut StepColumn) -> Findings {
        let overlapping = self.function.run(&self.float_request(), scratch, into);
        let mut findings = Findings { overlapping, ..Findings::default() };
        let (has_floats, mut rows) = (self.has_floats(), into.empty_rows());
        let mut mixed: Vec<usize> = Vec::new();
        let ask = self.ask;
        let per_seconds = Some(ask.seconds).filter(|_| self.function == RangeFunction::Rate);
        let counter = self.function != RangeFunction::Delta;
        let all = &self.split.rows;
        let is_sum = matches!(self.function, RangeFunction::Sum | RangeFunction::Avg);
        let mut sums = is_sum.then(|| Sums::new(self.function == RangeFunction::Avg, all));
        let mut slopes =
            (!is_sum && ask.edges.is_none()).then(|| Slopes::new(counter, per_seconds, all));
        let mut extended = ask.edges.map(|edges| ExtendedSlope {
            edges,
            counter,
            per_seconds,
            lines: Lines::default(),
        });
        self.windows(&all.times, |window| {
            if has_floats.get(window.step).copied().unwrap_or(false) {
                mixed.push(window.step);
            } else if let Some(extended) = &mut extended {
                let _ = extended.window(all, window, &mut rows, &mut findings);
            } else if let Some(slopes) = &mut slopes {
                slopes.window(window, &mut rows, &mut findings);
            } else if let Some(sums) = &mut sums {
                sums.window(all, window, &mut rows, &mut findings);
            }
        });
        findings.mixed = !mixed.is_empty();
        mixed.into_iter().for_each(|step| into.unset(step));
        into.put_rows(rows);
        findings
    }

    /// `irate` and `idelta` look at the last two samples, whatever they are.
    fn last_two(&self, scratch: &mut Scratch, into: &mut StepColumn) -> Findings {
        self.function.run(&self.float_request(), scratch, into);
        let mut findings = Findings::default();
        let (mut result, mut overlays) = (FloatHistogram::default(), Overlays::default());
        let (mut rows, mut dropped) = (into.empty_rows(), Vec::new());
        let counter = self.function == RangeFunction::Irate;
        self.windows(self.ask.windows.times, |window| {
            let (last, before) = (window.hi - 1, window.hi.wrapping_sub(2));
            if last == window.lo {
                return dropped.push(window.step);
            }
            match (self.split.row_at(before), self.split.row_at(last)) {
                (None, None) => {}
                (Some(_), Some(last)) => {
                    dropped.push(window.step);
                    let scratch = (&mut result, &mut overlays);
                    if last_two(counter, &self.split.rows, last, scratch, &mut findings).is_some() {
                        rows.push(window.step, result.as_ref());
                    }
                }
                _ => {
                    findings.mixed = true;
                    dropped.push(window.step);
                }
            }
        });
        dropped.into_iter().for_each(|step| into.unset(step));
        into.put_rows(rows);
        findings
    }

    /// `first_over_time` and `last_over_time`.
    fn ends(&self, into: &mut StepColumn) -> Findings {
        let mut rows = into.empty_rows();
        let windows = &self.ask.windows;
        windows.each(into, |window| {
            let is_first = self.function == RangeFunction::First;
            let index = if is_first { window.lo } else { window.hi - 1 };
            match self.split.row_at(index) {
                Some(row) => {
                    let one = self.split.rows.rows.get(row);
                    one.into_iter().for_each(|one| rows.push(window.step, *one));
                    None
                }
                None => windows.values.get(index).copied(),
            }
        });
        into.put_rows(rows);
        Findings::default()
    }

    /// `changes` and `resets`: neighbours of different kinds count as well.
    fn pairs(&self, scratch: &mut Scratch, into: &mut StepColumn) -> Findings {
        let windows = &self.ask.windows;
        let is_resets = self.function == RangeFunction::Resets;
        let starts = if self.function.wants_starts() { self.ask.starts } else { &[] };
        let counts = |index: usize| {
            let Some(before) = index.checked_sub(1) else { return false };
            match (self.split.row_at(before), self.split.row_at(index)) {
                (None, None) => {
                    let pair = windows.values.get(before).zip(windows.values.get(index));
                    let Some((a, b)) = pair else { return false };
                    match is_resets {
                        true => {
                            let before = windows.befores.get(index).unwrap_or(*a);
                            *b < before || started_anew(windows.times, starts, index)
                        }
                        false => is_change(*a, *b),
                    }
                }
                (Some(a), Some(b)) => {
                    let rows = &self.split.rows;
                    match rows.rows.get(a).zip(rows.rows.get(b)) {
                        Some(_) if is_resets => rows.resets(b),
                        Some((a, b)) => !a.is_same_as(b),
                        None => false,
                    }
                }
                _ => true,
            }
        };
        let positions = scratch.indexes();
        if let Some(edges) = self.ask.edges {
            extended::count_pairs(edges, windows, positions, into, counts);
            return Findings::default();
        }
        positions.clear();
        positions.extend((1..windows.times.len()).filter(|index| counts(*index)));
        windows.each(into, |window| {
            let lo = positions.partition_point(|index| *index <= window.lo);
            let hi = positions.partition_point(|index| *index < window.hi);
            Some(hi.saturating_sub(lo) as f64)
        });
        Findings::default()
    }

    /// All others look at floats only.
    fn floats_only(&self, scratch: &mut Scratch, into: &mut StepColumn) -> Findings {
        self.function.run(&self.float_request(), scratch, into);
        let (has_floats, mut ignored) = (self.has_floats(), false);
        self.windows(&self.split.rows.times, |window| {
            ignored |= has_floats.get(window.step).copied().unwrap_or(false);
        });
        Findings { ignored, ..Findings::default() }
    }
}

fn started_anew(times: &[i64], starts: &[i64], index: usize) -> bool {
    use crate::promql::functions::starts::{Times, is_reset};
    let of = |index: usize| {
        let (start_ms, time_ms) = (*starts.get(index)?, *times.get(index)?);
        Some(Times { start_ms, time_ms })
    };
    let pair = index.checked_sub(1).and_then(of).zip(of(index));
    pair.is_some_and(|(before, after)| is_reset(before, after))
}
