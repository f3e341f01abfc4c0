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
    pub(crate) steps: Steps,
    pub(crate) shift: Shift,
    pub(crate) range_ms: i64,
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
const LANES: usize = 8;

impl<'a> Windows<'a> {
    /// Walks each window from its first sample to its last, for what cannot slide: `start` makes
    /// the state of a window, `add` takes in the sample with an index.
    ///
    /// What neighbouring windows share is walked once for all of them. Each has its own state, so
    /// that nothing rounds otherwise, but the additions of several overlap in time.
    #[inline]
    pub(crate) fn fold<S: Copy>(
        &self,
        into: &mut StepColumn,
        start: impl Fn(&Window) -> S,
        add: impl Fn(S, usize) -> S,
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
            let mut states: [S; LANES] = std::array::from_fn(|lane| start(&group[lane]));
            // Windows that share nothing are walked one after the other.
            let shared = group[LANES - 1].lo..group[0].hi.max(group[LANES - 1].lo);
            for (state, window) in states.iter_mut().zip(group) {
                *state = walk(*state, window.lo..shared.start.min(window.hi));
            }
            for index in shared.clone() {
                states = states.map(|state| add(state, index));
            }
            for (state, window) in states.into_iter().zip(group) {
                put(window, walk(state, shared.end.min(window.hi)..window.hi));
            }
        }
        let rest = groups.remainder();
        rest.iter().for_each(|window| put(window, walk(start(window), window.lo..window.hi)));
    }

    /// Asks `value` for each window with samples, in order; steps without samples stay empty.
    #[inline]
    pub(crate) fn each(&self, into: &mut StepColumn, mut value: impl FnMut(Window) -> Option<f64>) {
        let (times, len) = (self.times, self.times.len().min(self.values.len()));
        let (mut lo, mut hi) = (0, 0);
        into.fill_with(self.steps.count, |step| {
            let end_ms = self.shift.of(self.steps.at(step));
            let start_ms = end_ms.saturating_sub(self.range_ms);
            while hi < len && times[hi] <= end_ms {
                hi += 1;
            }
            while lo < hi && times[lo] <= start_ms {
                lo += 1;
            }
            if lo == hi { None } else { value(Window { step, start_ms, end_ms, lo, hi }) }
        });
    }

    /// The values of a window.
    #[inline]
    pub(crate) fn slice(&self, window: Window) -> &'a [f64] {
        &self.values[window.lo..window.hi]
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
