//! What the times since when counters count say of their resets.

#![expect(clippy::indexing_slicing, reason = "hot loops; windows hold indexes below len()")]

use crate::promql::eval::StepColumn;

use super::rate::Slope;
use super::window::{Loss, Window, Windows};

/// When a sample was taken and since when it counts, 0 if that is not known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) start_ms: i64,
    pub(crate) time_ms: i64,
}

/// True if the counter started again between two samples. Matches `isStartTimestampReset`.
pub(crate) const fn is_reset(before: Times, after: Times) -> bool {
    let start_ms = after.start_ms;
    if start_ms == 0 || start_ms >= after.time_ms || start_ms < before.time_ms {
        return false;
    }
    if start_ms > before.time_ms {
        return true;
    }
    // A start at the sample before is a delta, or a counter whose start nobody knows; of the
    // latter, the sample before has no start that makes sense.
    before.start_ms != 0 && before.start_ms < before.time_ms
}

/// True if the later sample counts what the earlier one has counted already. Matches
/// `checkStartTimeOverlap`.
pub(crate) const fn overlaps(before: Times, after: Times) -> bool {
    let start_ms = after.start_ms;
    start_ms != 0 && start_ms < before.time_ms && start_ms != before.start_ms
}

/// Starts of the samples of windows, as many as there are samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct Starts<'a> {
    pub(super) windows: &'a Windows<'a>,
    pub(super) starts: &'a [i64],
}

impl Starts<'_> {
    fn times(self, index: usize) -> Times {
        Times { start_ms: self.starts[index], time_ms: self.windows.times[index] }
    }

    /// True if the counter started again before the sample `index`, which is not the first.
    pub(super) fn resets(self, index: usize) -> bool {
        let windows = self.windows;
        windows.values[index] < windows.before(index)
            || is_reset(self.times(index - 1), self.times(index))
    }

    fn overlaps(self, index: usize) -> bool {
        overlaps(self.times(index - 1), self.times(index))
    }

    /// `rate` and `increase`. Gives the number of windows with samples that overlap. Both lists
    /// are scratch.
    pub(super) fn slope(
        self,
        slope: Slope,
        losses: &mut Vec<Loss>,
        overlaps: &mut Vec<usize>,
        into: &mut StepColumn,
    ) -> u64 {
        let windows = self.windows;
        losses.clear();
        let all = 1..windows.times.len();
        losses.extend(all.filter_map(|index| windows.loss(index, self.resets(index))));
        overlaps.clear();
        overlaps.extend((1..windows.times.len()).filter(|index| self.overlaps(*index)));
        let mut overlapping = 0;
        windows.each(into, |window| {
            let inside = |list: &[usize]| {
                let lo = list.partition_point(|index| *index <= window.lo);
                lo..list.partition_point(|index| *index < window.hi).max(lo)
            };
            let mut raw = windows.values[window.hi - 1] - windows.values[window.lo];
            let lo = losses.partition_point(|loss| loss.index <= window.lo);
            for loss in losses[lo..].iter().take_while(|loss| loss.index < window.hi) {
                raw += loss.lost;
            }
            overlapping += u64::from(!inside(overlaps).is_empty());
            match self.grown_from_zero(slope, window, raw) {
                None => slope.extrapolate(windows, window, raw),
                known => known,
            }
        });
        overlapping
    }

    /// A counter that starts inside of the window was zero then; nothing has to be guessed of
    /// what was before.
    fn grown_from_zero(self, slope: Slope, window: Window, raw: f64) -> Option<f64> {
        let first = self.times(window.lo);
        if first.start_ms == 0
            || first.start_ms <= window.start_ms
            || first.start_ms >= first.time_ms
        {
            return None;
        }
        let last_ms = self.windows.times[window.hi - 1];
        let gaps = window.hi - window.lo - 1;
        let between = (last_ms - first.time_ms) as f64 / 1000.0;
        let gap = if gaps > 0 { between / gaps as f64 } else { 0.0 };
        let mut to_end = (window.end_ms - last_ms) as f64 / 1000.0;
        if to_end >= gap * 1.1 {
            to_end = gap / 2.0;
        }
        let counted = (last_ms - first.start_ms) as f64 / 1000.0;
        let mut factor = (counted + to_end) / counted;
        if let Some(seconds) = slope.per_seconds {
            factor /= seconds;
        }
        Some((raw + self.windows.values[window.lo]) * factor)
    }

    pub(super) fn count_resets(self, resets: &mut Vec<usize>, into: &mut StepColumn) {
        resets.clear();
        resets.extend((1..self.windows.times.len()).filter(|index| self.resets(*index)));
        self.windows.each(into, |window| {
            let lo = resets.partition_point(|index| *index <= window.lo);
            let hi = resets.partition_point(|index| *index < window.hi);
            Some(hi.saturating_sub(lo) as f64)
        });
    }

    /// `irate`: the last two samples alone.
    pub(super) fn last_two(self, into: &mut StepColumn) {
        let windows = self.windows;
        windows.each(into, |window| {
            let last = window.hi - 1;
            if last == window.lo {
                return None;
            }
            let elapsed_ms = windows.times[last] - windows.times[last - 1];
            if elapsed_ms == 0 {
                return None;
            }
            let (before, after) = (windows.before(last), windows.values[last]);
            let moved = if self.resets(last) { after } else { after - before };
            Some(moved / (elapsed_ms as f64 / 1000.0))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::functions::tests::{any_windows, assert_same};
    use proptest::prelude::*;

    const fn times(start_ms: i64, time_ms: i64) -> Times {
        Times { start_ms, time_ms }
    }

    #[test]
    fn a_start_tells_of_a_reset_only_if_it_makes_sense() {
        let cases = [
            (times(1, 10), times(0, 20), false),
            (times(1, 10), times(20, 20), false),
            (times(1, 10), times(25, 20), false),
            (times(1, 10), times(5, 20), false),
            (times(1, 10), times(15, 20), true),
            (times(0, 10), times(15, 20), true),
            (times(1, 10), times(10, 20), true),
            (times(0, 10), times(10, 20), false),
            (times(10, 10), times(10, 20), false),
            (times(11, 10), times(10, 20), false),
        ];
        for (before, after, want) in cases {
            assert_eq!(is_reset(before, after), want, "{before:?} {after:?}");
        }
    }

    #[test]
    fn samples_overlap_if_the_later_one_starts_before_the_earlier_one_ends() {
        assert!(overlaps(times(1, 10), times(5, 20)));
        assert!(!overlaps(times(1, 10), times(1, 20)) && !overlaps(times(1, 10), times(10, 20)));
        assert!(!overlaps(times(1, 10), times(0, 20)));
    }

    proptest! {
        #[test]
        fn without_starts_nothing_changes(data in any_windows(), per_second in any::<bool>()) {
            let windows = data.windows();
            let starts = vec![0; data.times.len()];
            let with = Starts { windows: &windows, starts: &starts };
            let slope = Slope { counter: true, per_seconds: per_second.then_some(7.0) };
            let (mut got, mut want) = (StepColumn::new(), StepColumn::new());
            let mut scratch = (Vec::new(), Vec::new());
            prop_assert_eq!(with.slope(slope, &mut scratch.0, &mut scratch.1, &mut got), 0);
            slope.run(&windows, &mut scratch.0, &mut want);
            let cells = |column: &StepColumn| {
                (0..column.len()).map(|step| column.get(step)).collect::<Vec<_>>()
            };
            assert_same(&got, &cells(&want))?;
            with.last_two(&mut got);
            super::super::rate::last_two(true, &windows, &mut want);
            assert_same(&got, &cells(&want))?;
        }
    }
}
