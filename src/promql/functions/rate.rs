//! How fast does a counter grow, how far did a gauge move?

#![expect(clippy::indexing_slicing, reason = "hot loops; windows hold indexes below len()")]

use crate::promql::eval::StepColumn;

use super::window::{Window, Windows};

/// Which of `rate`, `increase` and `delta`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slope {
    /// A drop is a counter that started again at zero.
    pub(super) counter: bool,
    /// Divide by the window's length in seconds.
    pub(super) per_seconds: Option<f64>,
}

impl Slope {
    /// The slope over each window, extended to its edges where samples come close to them.
    /// `resets` is scratch.
    pub(super) fn run(self, windows: &Windows<'_>, resets: &mut Vec<usize>, into: &mut StepColumn) {
        resets.clear();
        if self.counter {
            let pairs = windows.values.windows(2).enumerate();
            resets.extend(pairs.filter(|(_, pair)| pair[1] < pair[0]).map(|(i, _)| i + 1));
        }
        let (mut from, mut to) = (0, 0);
        windows.each(into, |window| {
            while to < resets.len() && resets[to] < window.hi {
                to += 1;
            }
            while from < to && resets[from] <= window.lo {
                from += 1;
            }
            let mut raw = windows.values[window.hi - 1] - windows.values[window.lo];
            for reset in &resets[from..to] {
                raw += windows.values[reset - 1];
            }
            self.extrapolate(windows, window, raw)
        });
    }

    /// Matches `extrapolatedRate`.
    #[inline]
    fn extrapolate(self, windows: &Windows<'_>, window: Window, raw: f64) -> Option<f64> {
        let gaps = window.hi - window.lo - 1;
        if gaps == 0 {
            return None;
        }
        let (first_ms, last_ms) = (windows.times[window.lo], windows.times[window.hi - 1]);
        let mut to_start = (first_ms - window.start_ms) as f64 / 1000.0;
        let mut to_end = (window.end_ms - last_ms) as f64 / 1000.0;
        let sampled = (last_ms - first_ms) as f64 / 1000.0;
        let gap = sampled / gaps as f64;
        let threshold = gap * 1.1;
        if to_start >= threshold {
            to_start = gap / 2.0;
        }
        let first = windows.values[window.lo];
        if self.counter && raw > 0.0 && first >= 0.0 {
            // A counter was never below zero: the line is not extended beyond where it meets it.
            let to_zero = sampled * (first / raw);
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
        if to_end >= threshold {
            to_end = gap / 2.0;
        }
        let mut factor = 1.0;
        if sampled != 0.0 {
            factor = (sampled + to_start + to_end) / sampled;
        }
        if let Some(seconds) = self.per_seconds {
            factor /= seconds;
        }
        Some(raw * factor)
    }
}

/// `irate` if `counter`, else `idelta`: the last two samples alone.
pub(super) fn last_two(counter: bool, windows: &Windows<'_>, into: &mut StepColumn) {
    windows.each(into, |window| {
        let last = window.hi - 1;
        if last == window.lo {
            return None;
        }
        let (before, after) = (windows.values[last - 1], windows.values[last]);
        let elapsed_ms = windows.times[last] - windows.times[last - 1];
        if elapsed_ms == 0 {
            return None;
        }
        let moved = if counter && after < before { after } else { after - before };
        Some(if counter { moved / (elapsed_ms as f64 / 1000.0) } else { moved })
    });
}
