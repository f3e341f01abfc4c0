//! The samples behind each step, found with two pointers that only move forward.

#![expect(clippy::indexing_slicing, reason = "hot loops; every index is compared with len() first")]

use std::ops::Range;

use crate::promql::eval::StepColumn;
use crate::promql::plan::{Shift, Steps};

/// The samples of one series and the windows that are wanted of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows<'a> {
    /// Milliseconds, ascending.
    pub(crate) times: &'a [i64],
    /// As many as `times`, none of them the staleness marker.
    pub(crate) values: &'a [f64],
    /// Where a counter does not continue the value before it.
    pub(crate) befores: Befores<'a>,
    pub(crate) steps: Steps,
    pub(crate) shift: Shift,
    pub(crate) range_ms: i64,
}

/// Values that samples continue instead of those before them; see [`crate::model::Joins`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Befores<'a> {
    joins: &'a [(usize, f64)],
    /// The index, among those of `joins`, of the first sample.
    first: usize,
}

impl<'a> Befores<'a> {
    /// Those of samples that begin at the sample `first` of the joins.
    pub(crate) fn new(joins: &'a [(usize, f64)], first: usize) -> Self {
        let skipped = joins.partition_point(|(index, _)| *index <= first);
        Self { joins: &joins[skipped..], first }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.joins.is_empty()
    }

    /// What the sample `index` continues, if not the one before it.
    pub(super) fn get(&self, index: usize) -> Option<f64> {
        if self.joins.is_empty() {
            return None;
        }
        let place = self.joins.binary_search_by_key(&(index + self.first), |(at, _)| *at);
        place.ok().map(|place| self.joins[place].1)
    }

    fn iter(&self) -> impl Iterator<Item = (usize, f64)> {
        self.joins.iter().map(|(index, before)| (index - self.first, *before))
    }
}

/// What a counter had reached before a sample that does not count it: because it started again at
/// zero, or because the sample continues another value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Loss {
    pub(super) index: usize,
    pub(super) lost: f64,
}

/// One window that holds at least one sample: `values[lo..hi]`, later than `start_ms`, not later
/// than `end_ms`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) step: usize,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    pub(crate) lo: usize,
    pub(crate) hi: usize,
}

/// How many windows are walked side by side.
pub(super) const LANES: usize = 4;

/// What a walk along one window keeps.
pub(super) trait Alone: Copy {
    /// The same of windows side by side: arrays, so that the compiler computes several at once.
    type Together: Copy;

    fn together(alone: [Self; LANES]) -> Self::Together;

    fn apart(together: Self::Together) -> [Self; LANES];
}

impl<'a> Windows<'a> {
    /// Walks each window from its first sample to its last, for what cannot slide: `start` makes
    /// the state of a window, `add` takes in the sample with an index, `add_to_all` takes it into
    /// the windows side by side.
    ///
    /// What neighbouring windows share is walked once for all of them. Each has its own state, so
    /// that nothing rounds otherwise, but the additions of several overlap in time.
    #[inline]
    pub(super) fn fold<S: Alone>(
        &self,
        into: &mut StepColumn,
        start: impl Fn(&Window) -> S,
        add: impl Fn(S, usize) -> S,
        add_to_all: impl Fn(S::Together, usize) -> S::Together,
        finish: impl Fn(&Window, S) -> Option<f64>,
    ) {
        let mut all: Vec<Window> = Vec::with_capacity(self.steps.count);
        self.each(into, |window| {
            all.push(window);
            Some(0.0)
        });
        let mut put = |window: &Window, state| match finish(window, state) {
            Some(value) => into.set(window.step, value),
            None => into.unset(window.step),
        };
        let walk = |state: S, span: Range<usize>| span.fold(state, &add);
        let mut groups = all.chunks_exact(LANES);
        for group in &mut groups {
            // Windows that share nothing are walked one after the other.
            let shared = group[LANES - 1].lo..group[0].hi.max(group[LANES - 1].lo);
            let states = std::array::from_fn(|lane| {
                let window = &group[lane];
                walk(start(window), window.lo..shared.start.min(window.hi))
            });
            let states = shared.clone().fold(S::together(states), &add_to_all);
            for (state, window) in S::apart(states).into_iter().zip(group) {
                put(window, walk(state, shared.end.min(window.hi)..window.hi));
            }
        }
        let rest = groups.remainder();
        rest.iter().for_each(|window| put(window, walk(start(window), window.lo..window.hi)));
    }

    /// Asks `value` for each window with samples, in order; steps without samples stay empty.
    #[inline]
    pub(crate) fn each(&self, into: &mut StepColumn, mut value: impl FnMut(Window) -> Option<f64>) {
        let mut slide = Slide::new(self);
        into.fill_with(self.steps.count, |step| value(slide.to(step)?));
    }

    /// What the sample `index`, which is not the first, continues.
    #[inline]
    pub(super) fn before(&self, index: usize) -> f64 {
        self.befores.get(index).unwrap_or(self.values[index - 1])
    }

    /// What was lost before the sample `index`, at which the counter began anew if `resets`.
    #[inline]
    pub(super) fn loss(&self, index: usize, resets: bool) -> Option<Loss> {
        let before = self.values[index - 1];
        let lost = match self.befores.get(index) {
            _ if resets => before,
            None => return None,
            Some(continued) => before - continued,
        };
        Some(Loss { index, lost })
    }

    /// All losses of a counter that starts again whenever it falls.
    pub(super) fn losses(&self, into: &mut Vec<Loss>) {
        into.clear();
        let pairs = self.values.windows(2).enumerate().filter(|(_, pair)| pair[1] < pair[0]);
        into.extend(pairs.map(|(i, pair)| Loss { index: i + 1, lost: pair[0] }));
        if self.befores.is_empty() {
            return;
        }
        into.retain(|loss| self.befores.get(loss.index).is_none());
        for (index, before) in self.befores.iter().filter(|(at, _)| *at < self.values.len()) {
            into.extend(self.loss(index, self.values[index] < before));
        }
        into.sort_unstable_by_key(|loss| loss.index);
    }

    /// The values of a window.
    #[inline]
    pub(crate) fn slice(&self, window: Window) -> &'a [f64] {
        &self.values[window.lo..window.hi]
    }
}

/// A window that slides forward.
#[derive(Clone, Copy)]
pub(super) struct Slide<'a> {
    times: &'a [i64],
    steps: Steps,
    shift: Shift,
    range_ms: i64,
    lo: usize,
    hi: usize,
}

impl<'a> Slide<'a> {
    pub(super) fn new(windows: &Windows<'a>) -> Self {
        let times = &windows.times[..windows.times.len().min(windows.values.len())];
        let Windows { steps, shift, range_ms, .. } = *windows;
        Self { times, steps, shift, range_ms, lo: 0, hi: 0 }
    }

    /// The sample behind the window.
    pub(super) const fn hi(&self) -> usize {
        self.hi
    }

    /// The window of a step, which is not before the last one, if it holds samples.
    #[inline(always)]
    pub(super) fn to(&mut self, step: usize) -> Option<Window> {
        let end_ms = self.shift.of(self.steps.at(step));
        let start_ms = end_ms.saturating_sub(self.range_ms);
        while self.hi < self.times.len() && self.times[self.hi] <= end_ms {
            self.hi += 1;
        }
        while self.lo < self.hi && self.times[self.lo] <= start_ms {
            self.lo += 1;
        }
        let (lo, hi) = (self.lo, self.hi);
        (lo < hi).then_some(Window { step, start_ms, end_ms, lo, hi })
    }

    /// The window of the first of `count` steps if those of the others are the same, each one
    /// sample further: as where samples come at the pace of the steps. Leaves the others behind.
    #[inline]
    pub(super) fn evenly_to(&mut self, first: usize, count: usize) -> Option<Window> {
        if self.shift.at_ms.is_some() {
            return None;
        }
        let (window, step_ms) = (self.to(first)?, self.steps.step_ms);
        let (lo, last) = (window.lo, window.hi - 1);
        let oldest = self.times.get(lo..lo + count)?;
        let newest = self.times.get(last..last + count)?;
        let mut uneven = 0;
        let mut passed_ms = 0_i64;
        for (old_ms, new_ms) in oldest.iter().zip(newest) {
            uneven |= old_ms.wrapping_sub(passed_ms) ^ oldest[0];
            uneven |= new_ms.wrapping_sub(passed_ms) ^ newest[0];
            passed_ms = passed_ms.wrapping_add(step_ms);
        }
        // The samples just outside come at that pace too, but for the one behind all windows.
        let is_alone = oldest[0].saturating_sub(step_ms) <= window.start_ms
            && newest[0].saturating_add(step_ms) > window.end_ms;
        let end_ms = self.shift.of(self.steps.at(first + count - 1));
        let ends = self.times.get(last + count).is_none_or(|next_ms| *next_ms > end_ms);
        if uneven != 0 || !is_alone || !ends {
            return None;
        }
        (self.lo, self.hi) = (lo + count - 1, last + count);
        Some(window)
    }
}

/// Hands over each window that holds samples, in order: those later than its start less
/// `before_ms`, not later than its end plus `behind_ms`.
pub(crate) fn each_window(
    times: &[i64],
    (steps, shift): (Steps, Shift),
    range_ms: i64,
    (before_ms, behind_ms): (i64, i64),
    mut each: impl FnMut(Window),
) {
    let (mut lo, mut hi) = (0, 0);
    for step in 0..steps.count {
        let end_ms = shift.of(steps.at(step));
        let start_ms = end_ms.saturating_sub(range_ms);
        let (open_ms, last_ms) =
            (start_ms.saturating_sub(before_ms), end_ms.saturating_add(behind_ms));
        while hi < times.len() && times[hi] <= last_ms {
            hi += 1;
        }
        while lo < hi && times[lo] <= open_ms {
            lo += 1;
        }
        if lo < hi {
            each(Window { step, start_ms, end_ms, lo, hi });
        }
    }
}
