//! Windows that are completed at their edges, `anchored` or `smoothed`, with samples from outside.

#![expect(clippy::indexing_slicing, reason = "hot loops; a reach holds indexes below len()")]

use crate::promql::ast::Extended;
use crate::promql::engine::EngineError;
use crate::promql::eval::StepColumn;
use crate::promql::plan::{Shift, Steps};

use super::over_time::RangeFunction;
use super::window::{Befores, Loss, Windows};

/// The error for a function that does not know what to do with a completed window.
pub(crate) fn not_extended(how: Extended, function: &str) -> EngineError {
    let (modifier, known) = match how {
        Extended::Anchored => ("anchored", "changes, delta, increase, rate, resets"),
        Extended::Smoothed => ("smoothed", "delta, increase, rate"),
    };
    EngineError::Execution(format!(
        "{modifier} modifier can only be used with: {known} - not with {function}"
    ))
}

impl RangeFunction {
    /// An error unless the function can be asked about windows that are completed this way.
    pub(crate) fn check_extended(self, how: Extended, name: &str) -> Result<(), EngineError> {
        let knows = match self {
            Self::Rate | Self::Increase | Self::Delta => true,
            Self::Changes | Self::Resets => how == Extended::Anchored,
            _ => false,
        };
        if knows { Ok(()) } else { Err(not_extended(how, name)) }
    }
}

/// How windows are completed: with the sample before each of them or, if they are smoothed, on
/// the line to the samples around both edges.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edges {
    pub(crate) smoothed: bool,
    /// How far from an edge the sample beyond it may lie.
    pub(crate) lookback_ms: i64,
}

/// What counts of one completed window: the samples `first..=last`, the outer ones of which may
/// lie beyond its edges.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) first: usize,
    pub(super) last: usize,
}

impl Edges {
    /// Asks `value` for each window that something can be said of, in order.
    pub(super) fn each(
        self,
        windows: &Windows<'_>,
        into: &mut StepColumn,
        mut value: impl FnMut(Reach) -> Option<f64>,
    ) {
        let times = windows.times;
        let behind_ms = if self.smoothed { self.lookback_ms } else { 0 };
        let (mut lo, mut hi) = (0, 0);
        into.fill_with(windows.steps.count, |step| {
            let end_ms = windows.shift.of(windows.steps.at(step));
            let start_ms = end_ms.saturating_sub(windows.range_ms);
            let (open_ms, last_ms) =
                (start_ms.saturating_sub(self.lookback_ms), end_ms.saturating_add(behind_ms));
            while hi < times.len() && times[hi] <= last_ms {
                hi += 1;
            }
            while lo < hi && times[lo] <= open_ms {
                lo += 1;
            }
            self.reach(times, lo..hi, start_ms, end_ms).and_then(&mut value)
        });
    }

    /// Matches the beginnings of `extendedRate` and `extendFloats`.
    fn reach(
        self,
        times: &[i64],
        near: std::ops::Range<usize>,
        start_ms: i64,
        end_ms: i64,
    ) -> Option<Reach> {
        let (lo, inside) = (near.start, &times[near.clone()]);
        let first = inside.partition_point(|time_ms| *time_ms <= start_ms).saturating_sub(1);
        let mut last = inside.len().checked_sub(1)?;
        if self.smoothed {
            last = inside.partition_point(|time_ms| *time_ms < end_ms).min(last);
        }
        let says_nothing = inside[last] <= start_ms || self.smoothed && inside[first] > end_ms;
        (!says_nothing).then_some(Reach { start_ms, end_ms, first: lo + first, last: lo + last })
    }

    /// The values at both edges of a window. `counter`: a drop is a counter that started again at
    /// zero.
    fn edges(self, windows: &Windows<'_>, reach: Reach, counter: bool) -> (f64, f64) {
        let Reach { start_ms, end_ms, first, last } = reach;
        let line = |from: usize, at_ms: i64| {
            let times = (windows.times[from], windows.times[from + 1]);
            let before = if counter { windows.before(from + 1) } else { windows.values[from] };
            interpolate(times, (before, windows.values[from + 1]), at_ms, counter)
        };
        let left = if self.smoothed && windows.times[first] < start_ms {
            line(first, start_ms)
        } else {
            windows.values[first]
        };
        let right = if self.smoothed && last > first && windows.times[last] > end_ms {
            line(last - 1, end_ms)
        } else {
            windows.values[last]
        };
        (left, right)
    }
}

/// The value at `at_ms` on the line between two samples.
fn interpolate(times: (i64, i64), values: (f64, f64), at_ms: i64, counter: bool) -> f64 {
    let from = if counter && values.1 < values.0 { 0.0 } else { values.0 };
    from + (values.1 - from) * (at_ms - times.0) as f64 / (times.1 - times.0) as f64
}

/// `rate` with `per_seconds`, `increase` or, if it is no counter, `delta`: from edge to edge.
/// `losses` is scratch. Matches `extendedRate`.
pub(super) fn slope(
    edges: Edges,
    (counter, per_seconds): (bool, Option<f64>),
    windows: &Windows<'_>,
    losses: &mut Vec<Loss>,
    into: &mut StepColumn,
) {
    losses.clear();
    if counter {
        windows.losses(losses);
    }
    edges.each(windows, into, |reach| {
        let (left, right) = edges.edges(windows, reach, counter);
        let mut moved = right - left;
        if counter {
            moved += lost(windows, losses, (left, right), (reach, edges.smoothed));
        }
        Some(per_seconds.map_or(moved, |seconds| moved / seconds))
    });
}

/// What a counter had reached whenever it started again or went on from another value, from the
/// left edge over the samples inside to the right edge. Matches `correctForCounterResets`.
fn lost(
    windows: &Windows<'_>,
    losses: &[Loss],
    (left, right): (f64, f64),
    (reach, smoothed): (Reach, bool),
) -> f64 {
    let Reach { first, last, .. } = reach;
    // Where an edge lies between two samples, a reset between them is in its value.
    let from = first + usize::from(windows.times[first] <= reach.start_ms);
    let behind = last + usize::from(windows.times[last] < reach.end_ms);
    let is_cut = smoothed && windows.times[first] < reach.start_ms;
    let fallen = |before: f64, value: f64| if value < before { before } else { 0.0 };
    let step = |index: usize, before: f64, value: f64| match windows.befores.get(index) {
        // An edge on the line to the sample continues what the sample does.
        Some(_) if index == first || is_cut && index == first + 1 => fallen(before, value),
        Some(continued) if windows.values[index] < continued => before,
        Some(continued) => before - continued,
        None => fallen(before, value),
    };
    if from >= behind {
        return step(behind, left, right);
    }
    let mut lost = step(from, left, windows.values[from]);
    let lo = losses.partition_point(|loss| loss.index <= from);
    for loss in losses[lo..].iter().take_while(|loss| loss.index < behind) {
        lost += loss.lost;
    }
    if behind == last {
        lost += step(last, windows.values[last - 1], right);
    }
    lost
}

/// Counts the pairs of each anchored window for which `counts(index of the later one)` holds.
/// `positions` is scratch.
pub(super) fn count_pairs(
    edges: Edges,
    windows: &Windows<'_>,
    positions: &mut Vec<usize>,
    into: &mut StepColumn,
    counts: impl Fn(usize) -> bool,
) {
    positions.clear();
    positions.extend((1..windows.values.len()).filter(|index| counts(*index)));
    edges.each(windows, into, |reach| {
        let lo = positions.partition_point(|position| *position <= reach.first);
        let hi = positions.partition_point(|position| *position <= reach.last);
        Some((hi - lo) as f64)
    });
}

/// At each step the value on the line between the samples around it, or the one before it if
/// none follows in time. Matches `smoothSeries`.
pub(crate) fn smooth(
    (times, values): (&[i64], &[f64]),
    steps: Steps,
    shift: Shift,
    lookback_ms: i64,
    into: &mut StepColumn,
) {
    let mut at = 0;
    into.fill_with(steps.count, |step| {
        let now_ms = shift.of(steps.at(step));
        while at < times.len() && times[at] < now_ms {
            at += 1;
        }
        let is_near = |index: &usize| {
            times.get(*index).is_some_and(|time_ms| {
                now_ms.saturating_sub(lookback_ms) < *time_ms
                    && *time_ms <= now_ms.saturating_add(lookback_ms)
            })
        };
        let next = Some(at).filter(is_near);
        match (at.checked_sub(1).filter(is_near), next) {
            (_, Some(next)) if times[next] == now_ms => Some(values[next]),
            (Some(before), Some(next)) => {
                let ends = ((times[before], times[next]), (values[before], values[next]));
                Some(interpolate(ends.0, ends.1, now_ms, false))
            }
            (Some(before), None) => Some(values[before]),
            (None, _) => None,
        }
    });
}

/// The samples of one anchored or smoothed window, with one at each edge. Matches `extendFloats`.
pub(crate) fn complete(
    edges: Edges,
    (times, values): (&[i64], &[f64]),
    range_ms: i64,
    end_ms: i64,
) -> (Vec<i64>, Vec<f64>) {
    let (steps, shift) = (Steps::once(end_ms), Shift::default());
    let befores = Befores::default();
    let windows = Windows { times, values, befores, steps, shift, range_ms };
    let start_ms = end_ms.saturating_sub(range_ms);
    let (open_ms, last_ms) = (
        start_ms.saturating_sub(edges.lookback_ms),
        end_ms.saturating_add(if edges.smoothed { edges.lookback_ms } else { 0 }),
    );
    let lo = times.partition_point(|time_ms| *time_ms <= open_ms);
    let hi = times.partition_point(|time_ms| *time_ms <= last_ms).max(lo);
    let Some(reach) = edges.reach(times, lo..hi, start_ms, end_ms) else {
        return (Vec::new(), Vec::new());
    };
    let (left, right) = edges.edges(&windows, reach, false);
    let from = reach.first + usize::from(times[reach.first] <= start_ms);
    let behind = (reach.last + usize::from(times[reach.last] < end_ms)).max(from);
    let mut completed = (vec![start_ms], vec![left]);
    completed.0.extend_from_slice(&times[from..behind]);
    completed.1.extend_from_slice(&values[from..behind]);
    completed.0.push(end_ms);
    completed.1.push(right);
    completed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::functions::tests::{Data, any_windows, assert_same};
    use proptest::prelude::*;

    /// The samples that a window may look at, in full.
    fn near(data: &Data, edges: Edges, step: usize) -> (Vec<(i64, f64)>, i64, i64) {
        let end_ms = data.shift.of(data.steps.at(step));
        let start_ms = end_ms - data.range_ms;
        let behind_ms = if edges.smoothed { edges.lookback_ms } else { 0 };
        let samples = data.times.iter().copied().zip(data.values.iter().copied());
        let is_near = |t: i64| start_ms - edges.lookback_ms < t && t <= end_ms + behind_ms;
        (samples.filter(|(t, _)| is_near(*t)).collect(), start_ms, end_ms)
    }

    /// The definition: the values at the edges and, in between, the samples inside.
    fn defined(data: &Data, edges: Edges, step: usize, counter: bool) -> Option<f64> {
        let (samples, start_ms, end_ms) = near(data, edges, step);
        let before = samples.iter().rposition(|(t, _)| *t <= start_ms);
        let first = samples[before.unwrap_or(0).min(samples.len().checked_sub(1)?)];
        let behind = samples.iter().position(|(t, _)| *t >= end_ms);
        let last = match behind {
            Some(behind) if edges.smoothed => behind,
            _ => samples.len() - 1,
        };
        if samples[last].0 <= start_ms || edges.smoothed && first.0 > end_ms {
            return None;
        }
        let line = |a: (i64, f64), b: (i64, f64), at: i64| {
            let from = if counter && b.1 < a.1 { 0.0 } else { a.1 };
            from + (b.1 - from) * (at - a.0) as f64 / (b.0 - a.0) as f64
        };
        let left = match before {
            Some(before) if edges.smoothed && first.0 < start_ms => {
                line(first, samples[before + 1], start_ms)
            }
            _ => first.1,
        };
        let right = match last.checked_sub(1) {
            Some(before) if edges.smoothed && samples[last].0 > end_ms => {
                line(samples[before], samples[last], end_ms)
            }
            _ => samples[last].1,
        };
        let mut moved = right - left;
        if counter {
            let inside = samples.iter().filter(|(t, _)| start_ms < *t && *t < end_ms);
            let (mut lost, mut prev) = (0.0, left);
            for value in inside.map(|(_, value)| *value).chain([right]) {
                lost += if value < prev { prev } else { 0.0 };
                prev = value;
            }
            moved += lost;
        }
        Some(moved)
    }

    proptest! {
        #[test]
        fn sliding_edges_equal_the_definition(
            data in any_windows(),
            lookback_ms in 1_i64..200,
            smoothed in any::<bool>(),
            counter in any::<bool>(),
        ) {
            let edges = Edges { smoothed, lookback_ms };
            let (mut got, mut scratch) = (StepColumn::new(), Vec::new());
            slope(edges, (counter, None), &data.windows(), &mut scratch, &mut got);
            let expected: Vec<_> =
                (0..data.steps.count).map(|step| defined(&data, edges, step, counter)).collect();
            assert_same(&got, &expected)?;
        }

        #[test]
        fn anchored_pairs_are_counted_from_the_sample_before(
            data in any_windows(),
            lookback_ms in 1_i64..200,
        ) {
            let edges = Edges { smoothed: false, lookback_ms };
            let (mut got, mut scratch) = (StepColumn::new(), Vec::new());
            let falls = |index: usize| data.values[index] < data.values[index - 1];
            count_pairs(edges, &data.windows(), &mut scratch, &mut got, falls);
            let expected: Vec<_> = (0..data.steps.count).map(|step| {
                let (samples, start_ms, _) = near(&data, edges, step);
                samples.last().filter(|last| last.0 > start_ms)?;
                let from = samples.iter().rposition(|(t, _)| *t <= start_ms).unwrap_or(0);
                let falls = samples[from..].windows(2).filter(|pair| pair[1].1 < pair[0].1);
                Some(falls.count() as f64)
            }).collect();
            assert_same(&got, &expected)?;
        }
    }

    #[test]
    fn a_step_between_two_samples_lies_on_their_line() {
        let samples = (&[0, 10_000, 20_000][..], &[1.0, 3.0, 2.0][..]);
        let steps = Steps { start_ms: -5000, step_ms: 5000, count: 9, instant: false };
        let mut got = StepColumn::new();
        smooth(samples, steps, Shift::default(), 15_000, &mut got);
        let values: Vec<_> = (0..9).map(|step| got.get(step)).collect();
        let want = [None, Some(1.0), Some(2.0), Some(3.0), Some(2.5), Some(2.0), Some(2.0)];
        assert_eq!(values[..7], want);
        assert_eq!(values[7..], [Some(2.0), None]);
    }

    #[test]
    fn a_completed_window_has_a_sample_at_each_edge() {
        let samples = (&[5_i64, 15, 25, 35][..], &[1.0, 2.0, 4.0, 8.0][..]);
        let smoothed = Edges { smoothed: true, lookback_ms: 20 };
        let want = (vec![10, 15, 25, 30], vec![1.5, 2.0, 4.0, 6.0]);
        assert_eq!(complete(smoothed, samples, 20, 30), want);
        let anchored = Edges { smoothed: false, lookback_ms: 20 };
        let want = (vec![10, 15, 25, 30], vec![1.0, 2.0, 4.0, 4.0]);
        assert_eq!(complete(anchored, samples, 20, 30), want);
        assert_eq!(complete(anchored, samples, 20, 300), (vec![], vec![]));
    }
}
