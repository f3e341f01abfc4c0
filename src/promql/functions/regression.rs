//! Straight lines and smoothed lines through the samples of a window.

#![expect(clippy::indexing_slicing, reason = "hot loops; windows hold indexes below len()")]

use crate::promql::eval::StepColumn;

use super::kahan::Sum;
use super::window::{Window, Windows};

/// The slope of the line through each window, a second.
pub(super) fn slope(windows: &Windows<'_>, into: &mut StepColumn) {
    windows.each(into, |window| {
        // Times are taken from the first sample to keep their squares small.
        line(windows, window, windows.times[window.lo]).map(|(slope, _)| slope)
    });
}

/// Where the line through each window will be after `seconds(step)`.
pub(super) fn predict(
    windows: &Windows<'_>,
    into: &mut StepColumn,
    seconds: impl Fn(usize) -> f64,
) {
    windows.each(into, |window| {
        let (slope, now) = line(windows, window, windows.steps.at(window.step))?;
        Some(slope * seconds(window.step) + now)
    });
}

/// Slope and value at `origin_ms` of the least-squares line, of two samples or more. Matches
/// `linearRegression`.
fn line(windows: &Windows<'_>, window: Window, origin_ms: i64) -> Option<(f64, f64)> {
    let values = windows.slice(window);
    if values.len() < 2 {
        return None;
    }
    let first = values[0];
    if values.iter().all(|value| *value == first) {
        let level = if first.is_infinite() { f64::NAN } else { first };
        return Some((if first.is_infinite() { f64::NAN } else { 0.0 }, level));
    }
    let none = Sum::of(0.0, 0.0);
    let (mut x_sum, mut y_sum, mut xy_sum, mut xx_sum) = (none, none, none, none);
    for (time, y) in windows.times[window.lo..window.hi].iter().zip(values) {
        let x = (time - origin_ms) as f64 / 1e3;
        x_sum = x_sum.plus(x);
        y_sum = y_sum.plus(*y);
        xy_sum = xy_sum.plus(x * y);
        xx_sum = xx_sum.plus(x * x);
    }
    let n = values.len() as f64;
    let (x, y) = (x_sum.total(), y_sum.total());
    let covariance = xy_sum.total() - x * y / n;
    let variance = xx_sum.total() - x * x / n;
    let slope = covariance / variance;
    Some((slope, y / n - slope * x / n))
}

/// Double exponential smoothing with factors that may differ from step to step.
pub(super) fn smooth(
    windows: &Windows<'_>,
    into: &mut StepColumn,
    factors: impl Fn(usize) -> (f64, f64),
) {
    windows.each(into, |window| {
        let values = windows.slice(window);
        if values.len() < 2 {
            return None;
        }
        let (smoothing, trending) = factors(window.step);
        let (mut before, mut level) = (0.0, values[0]);
        let mut trend = values[1] - values[0];
        for (index, value) in values.iter().enumerate().skip(1) {
            let scaled = smoothing * value;
            if index > 1 {
                trend = trending * (level - before) + (1.0 - trending) * trend;
            }
            (before, level) = (level, scaled + (1.0 - smoothing) * (level + trend));
        }
        Some(level)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::functions::tests::Data;

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

    #[test]
    fn smoothing_with_factors_of_a_half_weighs_by_halves() {
        let mut got = StepColumn::new();
        let data = Data::one_window(&[1.0, 2.0, 4.0]);
        smooth(&data.windows(), &mut got, |_| (0.5, 0.5));
        // Level 1, trend 1; then 0.5*2 + 0.5*(1+1) = 2; trend 0.5*1 + 0.5*1 = 1; 0.5*4 + 0.5*3.
        assert_eq!(got.get(0), Some(3.5));
    }
}
