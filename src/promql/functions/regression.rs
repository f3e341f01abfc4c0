//! Straight lines and smoothed lines through the samples of a window.

#![expect(clippy::indexing_slicing, reason = "hot loops; windows hold indexes below len()")]

use crate::promql::eval::StepColumn;

use super::kahan::{Sums, are_tame};
use super::window::{Alone, LANES, Window, Windows};

/// The slope of the line through each window, a second.
pub(super) fn slope(windows: &Windows<'_>, into: &mut StepColumn) {
    // Times are taken from the first sample to keep their squares small.
    let origin_ms = |window: &Window| windows.times[window.lo];
    lines(windows, into, origin_ms, |_, slope, _| slope);
}

/// Where the line through each window will be after `seconds(step)`.
pub(super) fn predict(
    windows: &Windows<'_>,
    into: &mut StepColumn,
    seconds: impl Fn(usize) -> f64,
) {
    let origin_ms = |window: &Window| windows.steps.at(window.step);
    lines(windows, into, origin_ms, |step, slope, now| slope * seconds(step) + now);
}

/// What the line through some samples needs, for windows side by side.
#[derive(Clone, Copy)]
struct Line<const N: usize> {
    origins_ms: [i64; N],
    x: Sums<N>,
    y: Sums<N>,
    xy: Sums<N>,
    xx: Sums<N>,
}

impl<const N: usize> Line<N> {
    /// `TAME` promises that [`are_tame`] holds for all `y`.
    #[inline(always)]
    fn plus<const TAME: bool>(self, time_ms: i64, y: f64) -> Self {
        let plus = if TAME { Sums::plus_tame } else { Sums::plus };
        let x = self.origins_ms.map(|origin_ms| (time_ms - origin_ms) as f64 / 1e3);
        Self {
            origins_ms: self.origins_ms,
            x: plus(self.x, x),
            y: plus(self.y, [y; N]),
            xy: plus(self.xy, x.map(|x| x * y)),
            xx: plus(self.xx, x.map(|x| x * x)),
        }
    }
}

impl Line<1> {
    const fn from(origin_ms: i64) -> Self {
        let nothing = Sums::NOTHING;
        Self { origins_ms: [origin_ms], x: nothing, y: nothing, xy: nothing, xx: nothing }
    }

    /// Slope and value at the origin of the line through `n` samples.
    fn found(self, n: f64) -> (f64, f64) {
        let [x, y, xy, xx] = [self.x, self.y, self.xy, self.xx].map(|sum| sum.lane(0).total());
        let covariance = xy - x * y / n;
        let variance = xx - x * x / n;
        let slope = covariance / variance;
        (slope, y / n - slope * x / n)
    }
}

impl Alone for Line<1> {
    type Together = Line<LANES>;

    fn together(alone: [Self; LANES]) -> Line<LANES> {
        Line {
            origins_ms: alone.map(|one| one.origins_ms[0]),
            x: Sums::together(|lane| alone[lane].x),
            y: Sums::together(|lane| alone[lane].y),
            xy: Sums::together(|lane| alone[lane].xy),
            xx: Sums::together(|lane| alone[lane].xx),
        }
    }

    fn apart(all: Line<LANES>) -> [Self; LANES] {
        std::array::from_fn(|lane| Self {
            origins_ms: [all.origins_ms[lane]],
            x: all.x.apart(lane),
            y: all.y.apart(lane),
            xy: all.xy.apart(lane),
            xx: all.xx.apart(lane),
        })
    }
}

/// Hands step, slope and value at `origin_ms` of the least-squares line of each window with two
/// samples or more to `answer`. Matches `linearRegression`.
fn lines(
    windows: &Windows<'_>,
    into: &mut StepColumn,
    origin_ms: impl Fn(&Window) -> i64,
    answer: impl Fn(usize, f64, f64) -> f64,
) {
    if are_tame(windows.values) {
        walk::<true>(windows, into, origin_ms, answer);
    } else {
        walk::<false>(windows, into, origin_ms, answer);
    }
}

fn walk<const TAME: bool>(
    windows: &Windows<'_>,
    into: &mut StepColumn,
    origin_ms: impl Fn(&Window) -> i64,
    answer: impl Fn(usize, f64, f64) -> f64,
) {
    let (times, values) = (windows.times, windows.values);
    let nothing = |window: &Window| Line::from(origin_ms(window));
    let plus = |line: Line<1>, index: usize| line.plus::<TAME>(times[index], values[index]);
    let plus_all =
        |lines: Line<LANES>, index: usize| lines.plus::<TAME>(times[index], values[index]);
    windows.fold(into, nothing, plus, plus_all, |window, line| {
        let values = windows.slice(*window);
        if values.len() < 2 {
            return None;
        }
        let first = values[0];
        let (slope, level) = if values.iter().any(|value| *value != first) {
            line.found(values.len() as f64)
        } else if first.is_infinite() {
            (f64::NAN, f64::NAN)
        } else {
            (0.0, first)
        };
        Some(answer(window.step, slope, level))
    });
}

/// Memory for smoothing.
#[derive(Debug, Default)]
pub(super) struct Smoothed {
    /// Level and trend behind each sample that was smoothed, by its index.
    states: Vec<(f64, f64)>,
}

/// Double exponential smoothing with factors that may differ from step to step.
///
/// A window cannot slide, as its first two samples count in a way of their own. But they are
/// forgotten: after some samples the state is the one that the window before had at this place, to
/// the last bit, and the rest of the way is known.
pub(super) fn smooth(
    windows: &Windows<'_>,
    Smoothed { states }: &mut Smoothed,
    into: &mut StepColumn,
    factors: impl Fn(usize) -> (f64, f64),
) {
    states.clear();
    states.resize(windows.values.len(), (0.0, 0.0));
    // Which states are known, all of one way, and with which factors.
    let (mut known, mut known_factors) = (0..0, (f64::NAN, f64::NAN));
    windows.each(into, |Window { step, lo, hi, .. }| {
        if hi - lo < 2 {
            return None;
        }
        let factors = factors(step);
        if !is_same(factors, known_factors) || lo >= known.end {
            (known, known_factors) = (lo..lo, factors);
        }
        let first = windows.values[lo];
        let mut old = std::mem::replace(&mut states[lo], (first, windows.values[lo + 1] - first));
        let mut at = lo + 1;
        while at < hi {
            let (level, mut trend) = states[at - 1];
            if at > lo + 1 {
                let before = states[at - 2].0;
                trend = factors.1 * (level - before) + (1.0 - factors.1) * trend;
            }
            let next = factors.0 * windows.values[at] + (1.0 - factors.0) * (level + trend);
            let old_before = std::mem::replace(&mut old, states[at]);
            states[at] = (next, trend);
            at += 1;
            // The next trend depends on the two levels before it.
            let is_known = at < known.end && at > known.start + 2;
            let joins = old_before.0.to_bits() == level.to_bits();
            if is_known && joins && is_same(states[at - 1], old) {
                at = known.end;
            }
        }
        known = lo..at.max(hi);
        Some(states[hi - 1].0)
    });
}

fn is_same(a: (f64, f64), b: (f64, f64)) -> bool {
    (a.0.to_bits(), a.1.to_bits()) == (b.0.to_bits(), b.1.to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::functions::tests::{Data, any_windows, assert_same, naive_samples};
    use proptest::prelude::*;

    #[test]
    fn a_straight_line_is_found_and_continued() {
        let data = Data::one_window(&[1.0, 3.0, 5.0, 7.0]);
        let mut got = StepColumn::new();
        slope(&data.windows(), &mut got);
        assert!((got.get(0).unwrap() - 2000.0).abs() < 1e-9);
        predict(&data.windows(), &mut got, |_| 0.01);
        assert!((got.get(0).unwrap() - 27.0).abs() < 1e-9);
    }

    #[test]
    fn a_level_line_has_no_slope_and_one_sample_no_line() {
        let mut got = StepColumn::new();
        slope(&Data::one_window(&[4.0, 4.0]).windows(), &mut got);
        assert_eq!(got.get(0), Some(0.0));
        slope(&Data::one_window(&[4.0]).windows(), &mut got);
        assert_eq!(got.get(0), None);
        slope(&Data::one_window(&[f64::INFINITY; 2]).windows(), &mut got);
        assert!(got.get(0).is_some_and(f64::is_nan));
    }

    fn smoothed(values: &[f64], (smoothing, trending): (f64, f64)) -> Option<f64> {
        let (mut before, mut level) = (0.0, values[0]);
        let mut trend = values.get(1)? - values[0];
        for (index, value) in values.iter().enumerate().skip(1) {
            if index > 1 {
                trend = trending * (level - before) + (1.0 - trending) * trend;
            }
            (before, level) = (level, smoothing * value + (1.0 - smoothing) * (level + trend));
        }
        Some(level)
    }

    fn lined(samples: &[(i64, f64)], origin_ms: i64) -> Option<(f64, f64)> {
        let (_, first) = *samples.first().filter(|_| samples.len() > 1)?;
        if samples.iter().all(|(_, value)| *value == first) {
            let is_finite = first.is_finite();
            return Some(if is_finite { (0.0, first) } else { (f64::NAN, f64::NAN) });
        }
        let line = Line::from(origin_ms);
        let line = samples.iter().fold(line, |line, (time_ms, y)| line.plus::<false>(*time_ms, *y));
        Some(line.found(samples.len() as f64))
    }

    proptest! {
        #[test]
        fn what_neighbouring_windows_share_does_not_change_them(
            data in any_windows(),
            factors in prop_oneof![
                Just((0.3, 0.3)), Just((0.9, 0.9)), (0.05..1.0, 0.05..1.0)
            ],
            change_at in 0_usize..100,
        ) {
            let windows = data.windows();
            let mut got = StepColumn::new();
            let of = |step| if step == change_at { (0.5, 0.4) } else { factors };
            let mut step_of_end = std::collections::HashMap::new();
            windows.each(&mut got, |window| {
                step_of_end.insert(window.end_ms, window.step);
                None
            });
            smooth(&windows, &mut Smoothed::default(), &mut got, of);
            // Where the time is pinned all windows are one, and no test of other factors.
            if data.shift.at_ms.is_none() {
                let expected = naive_samples(&windows, |samples, _, end_ms| {
                    let values: Vec<f64> = samples.iter().map(|(_, value)| *value).collect();
                    smoothed(&values, of(step_of_end[&end_ms]))
                });
                assert_same(&got, &expected)?;
            }
            slope(&windows, &mut got);
            let expected = naive_samples(&windows, |samples, _, _| {
                lined(samples, samples[0].0).map(|(slope, _)| slope)
            });
            assert_same(&got, &expected)?;
        }

        #[test]
        fn long_windows_are_smoothed_as_if_each_was_alone(
            values in prop::collection::vec(-10.0..10.0_f64, 500),
            is_tame in any::<bool>(),
        ) {
            let tame: Vec<f64> = (0..500).map(f64::from).collect();
            let data = Data {
                times: (1..=500).collect(),
                values: if is_tame { tame } else { values },
                steps: crate::promql::plan::Steps {
                    start_ms: 3, step_ms: 7, count: 80, instant: false
                },
                range_ms: 400,
                ..Data::one_window(&[])
            };
            let mut got = StepColumn::new();
            smooth(&data.windows(), &mut Smoothed::default(), &mut got, |_| (0.3, 0.2));
            let expected = naive_samples(&data.windows(), |samples, _, _| {
                let values: Vec<f64> = samples.iter().map(|(_, value)| *value).collect();
                smoothed(&values, (0.3, 0.2))
            });
            assert_same(&got, &expected)?;
        }
    }

    #[test]
    fn smoothing_with_factors_of_a_half_weighs_by_halves() {
        let mut got = StepColumn::new();
        let data = Data::one_window(&[1.0, 2.0, 4.0]);
        smooth(&data.windows(), &mut Smoothed::default(), &mut got, |_| (0.5, 0.5));
        // Level 1, trend 1; then 0.5*2 + 0.5*(1+1) = 2; trend 0.5*1 + 0.5*1 = 1; 0.5*4 + 0.5*3.
        assert_eq!(got.get(0), Some(3.5));
    }
}
