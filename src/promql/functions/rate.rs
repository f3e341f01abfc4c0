//! How fast does a counter grow, how far did a gauge move?

#![expect(clippy::indexing_slicing, reason = "hot loops; windows hold indexes below len()")]

use crate::promql::eval::StepColumn;

use super::window::{Loss, Slide, Window, Windows};

/// Which of `rate`, `increase` and `delta`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slope {
    /// A drop is a counter that started again at zero.
    pub(super) counter: bool,
    /// Divide by the window's length in seconds.
    pub(super) per_seconds: Option<f64>,
}

/// What the extrapolation of a window depends on beside the values.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Key {
    to_start_ms: i64,
    to_end_ms: i64,
    sampled_ms: i64,
    /// 0 in no window that is extrapolated.
    gaps: usize,
}

/// How a window is extrapolated if its line does not meet zero.
#[derive(Clone, Copy, Default)]
struct Shape {
    key: Key,
    sampled: f64,
    to_start: f64,
    factor: f64,
}

impl Shape {
    fn of(slope: Slope, key: Key) -> Self {
        let sampled = key.sampled_ms as f64 / 1000.0;
        let gap = sampled / key.gaps as f64;
        let near = |edge_ms: i64| {
            let edge = edge_ms as f64 / 1000.0;
            if edge >= gap * 1.1 { gap / 2.0 } else { edge }
        };
        let (to_start, to_end) = (near(key.to_start_ms), near(key.to_end_ms));
        let factor = slope.factor(sampled, to_start, to_end);
        Self { key, sampled, to_start, factor }
    }

    /// False if the line of a counter, from its `first` value on, certainly does not meet zero
    /// before the window begins: most counters are far from zero.
    #[inline(always)]
    fn may_meet_zero(&self, first: f64, raw: f64) -> bool {
        let (line, reach) = (self.sampled * first, 2.0 * self.to_start * raw);
        // Both products are normal, so that rounding cannot bridge the factor of two. Without
        // branches, so that several are computed at once.
        (raw > 0.0) & (first >= 0.0) & !((line > reach) & (reach >= f64::MIN_POSITIVE))
    }
}

impl Slope {
    /// The slope over each window, extended to its edges where samples come close to them.
    /// `losses` is scratch.
    pub(super) fn run(self, windows: &Windows<'_>, losses: &mut Vec<Loss>, into: &mut StepColumn) {
        losses.clear();
        if self.counter {
            windows.losses(losses);
        }
        let mut walk = Walk {
            slope: self,
            windows,
            slide: Slide::new(windows),
            losses,
            from: 0,
            to: 0,
            shape: Shape::default(),
        };
        into.fill_words(windows.steps.count, |first, slots| {
            if walk.fill_evenly(first, slots).is_some() {
                return u64::MAX >> (64 - slots.len());
            }
            let mut bits = 0;
            for (bit, slot) in slots.iter_mut().enumerate() {
                if let Some(value) = walk.value(first + bit) {
                    *slot = value;
                    bits |= 1 << bit;
                }
            }
            bits
        });
    }

    /// As [`Slope::extrapolate`], which `shape` remembers of the window before: where samples come
    /// at a regular pace, windows are alike and nothing has to be divided again.
    #[inline]
    fn extended(
        self,
        shape: &mut Shape,
        windows: &Windows<'_>,
        window: Window,
        raw: f64,
    ) -> Option<f64> {
        if window.hi - window.lo < 2 {
            return None;
        }
        let shape = self.shape(shape, windows, window);
        if self.counter && shape.may_meet_zero(windows.values[window.lo], raw) {
            return self.extrapolate(windows, window, raw);
        }
        Some(raw * shape.factor)
    }

    /// The shape of a window with two samples or more; that of the window before if it is the same.
    #[inline]
    fn shape(self, known: &mut Shape, windows: &Windows<'_>, window: Window) -> Shape {
        let (first_ms, last_ms) = (windows.times[window.lo], windows.times[window.hi - 1]);
        let key = Key {
            to_start_ms: first_ms - window.start_ms,
            to_end_ms: window.end_ms - last_ms,
            sampled_ms: last_ms - first_ms,
            gaps: window.hi - window.lo - 1,
        };
        if key != known.key {
            *known = Shape::of(self, key);
        }
        *known
    }

    /// Matches `extrapolatedRate`.
    #[inline]
    pub(super) fn extrapolate(
        self,
        windows: &Windows<'_>,
        window: Window,
        raw: f64,
    ) -> Option<f64> {
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
        Some(raw * self.factor(sampled, to_start, to_end))
    }

    /// By how much the whole window is longer than what was sampled.
    #[inline]
    fn factor(self, sampled: f64, to_start: f64, to_end: f64) -> f64 {
        let mut factor = 1.0;
        if sampled != 0.0 {
            factor = (sampled + to_start + to_end) / sampled;
        }
        if let Some(seconds) = self.per_seconds {
            factor /= seconds;
        }
        factor
    }
}

/// The way along the windows of one series.
struct Walk<'a, 'l> {
    slope: Slope,
    windows: &'a Windows<'a>,
    slide: Slide<'a>,
    losses: &'l [Loss],
    /// Those of the losses that lie in the window.
    from: usize,
    to: usize,
    shape: Shape,
}

impl Walk<'_, '_> {
    #[inline(always)]
    fn slide_losses(&mut self, window: &Window) {
        while self.to < self.losses.len() && self.losses[self.to].index < window.hi {
            self.to += 1;
        }
        while self.from < self.to && self.losses[self.from].index <= window.lo {
            self.from += 1;
        }
    }

    /// The slope of one window.
    #[inline(always)]
    fn value(&mut self, step: usize) -> Option<f64> {
        let window = self.slide.to(step)?;
        self.slide_losses(&window);
        let mut raw = self.windows.values[window.hi - 1] - self.windows.values[window.lo];
        for loss in &self.losses[self.from..self.to] {
            raw += loss.lost;
        }
        self.slope.extended(&mut self.shape, self.windows, window, raw)
    }

    /// The slopes of windows that are alike but for their values and in which nothing is lost:
    /// several at once, as there is nothing to decide. `None` if they are not.
    #[inline]
    fn fill_evenly(&mut self, first: usize, slots: &mut [f64]) -> Option<()> {
        let mut slide = self.slide;
        let window = slide.evenly_to(first, slots.len())?;
        self.slide_losses(&window);
        let is_lossy = self.losses.get(self.to).is_some_and(|loss| loss.index < slide.hi());
        if self.from < self.to || is_lossy || window.hi - window.lo < 2 {
            return None;
        }
        let shape = self.slope.shape(&mut self.shape, self.windows, window);
        let firsts = &self.windows.values[window.lo..][..slots.len()];
        let lasts = &self.windows.values[window.hi - 1..][..slots.len()];
        let is_counter = self.slope.counter;
        let mut near_zero = false;
        for ((slot, first), last) in slots.iter_mut().zip(firsts).zip(lasts) {
            let raw = last - first;
            near_zero |= is_counter & shape.may_meet_zero(*first, raw);
            *slot = raw * shape.factor;
        }
        if near_zero {
            return None;
        }
        self.slide = slide;
        Some(())
    }
}

/// `irate` if `counter`, else `idelta`: the last two samples alone.
pub(super) fn last_two(counter: bool, windows: &Windows<'_>, into: &mut StepColumn) {
    windows.each(into, |window| {
        let last = window.hi - 1;
        if last == window.lo {
            return None;
        }
        let after = windows.values[last];
        let before = if counter { windows.before(last) } else { windows.values[last - 1] };
        let elapsed_ms = windows.times[last] - windows.times[last - 1];
        if elapsed_ms == 0 {
            return None;
        }
        let moved = if counter && after < before { after } else { after - before };
        Some(if counter { moved / (elapsed_ms as f64 / 1000.0) } else { moved })
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::functions::tests::{Data, any_windows, assert_same, naive_samples};
    use crate::promql::plan::{Shift, Steps};
    use proptest::prelude::*;

    /// The definition, sample by sample.
    fn defined(slope: Slope, samples: &[(i64, f64)], start_ms: i64, end_ms: i64) -> Option<f64> {
        let (first, last) = (samples[0], samples[samples.len() - 1]);
        if samples.len() < 2 {
            return None;
        }
        let mut raw = last.1 - first.1;
        for pair in samples.windows(2) {
            if slope.counter && pair[1].1 < pair[0].1 {
                raw += pair[0].1;
            }
        }
        let seconds = |from: i64, to: i64| (to - from) as f64 / 1000.0;
        let span = seconds(first.0, last.0);
        let gap = span / (samples.len() - 1) as f64;
        let near = |edge: f64| if edge < gap * 1.1 { edge } else { gap / 2.0 };
        let mut before = near(seconds(start_ms, first.0));
        if slope.counter && raw > 0.0 && first.1 >= 0.0 {
            let zero = span * (first.1 / raw);
            before = if zero < before { zero } else { before };
        }
        let mut factor = (span + before + near(seconds(last.0, end_ms))) / span;
        if let Some(seconds) = slope.per_seconds {
            factor /= seconds;
        }
        Some(raw * factor)
    }

    proptest! {
        #[test]
        fn sliding_equals_the_definition(data in any_windows(), counter in any::<bool>()) {
            let per_seconds = counter.then_some(data.range_ms as f64 / 1000.0);
            let slope = Slope { counter, per_seconds };
            let (mut got, mut scratch) = (StepColumn::new(), Vec::new());
            slope.run(&data.windows(), &mut scratch, &mut got);
            let expected = naive_samples(&data.windows(), |samples, start_ms, end_ms| {
                defined(slope, samples, start_ms, end_ms)
            });
            assert_same(&got, &expected)?;
        }

        #[test]
        fn windows_at_the_pace_of_samples_are_no_others(
            samples in prop::collection::vec((0_u16..400, 0_i64..4, 0_u8..9), 0..300),
            start_ms in -200_i64..600,
            count in 1_usize..250,
            range_ms in 1_i64..150,
            from in prop_oneof![Just(0.0), Just(1e4)],
            counter in any::<bool>(),
        ) {
            let (mut times, mut values, mut now) = (Vec::new(), Vec::new(), from);
            for (index, (kind, late_ms, growth)) in samples.into_iter().enumerate() {
                now = if kind == 0 { 0.0 } else { now + f64::from(growth) / 10.0 };
                if kind != 1 {
                    times.push(index as i64 * 10 + if kind == 2 { late_ms } else { 0 });
                    values.push(if kind == 3 { f64::NAN } else { now });
                }
            }
            let steps = Steps { start_ms, step_ms: 10, count, instant: false };
            let data = Data { times, values, steps, shift: Shift::default(), range_ms };
            let slope = Slope { counter, per_seconds: None };
            let (mut got, mut scratch) = (StepColumn::new(), Vec::new());
            slope.run(&data.windows(), &mut scratch, &mut got);
            let expected = naive_samples(&data.windows(), |samples, start_ms, end_ms| {
                defined(slope, samples, start_ms, end_ms)
            });
            assert_same(&got, &expected)?;
        }

        #[test]
        fn the_last_two_samples_alone_count(data in any_windows(), counter in any::<bool>()) {
            let mut got = StepColumn::new();
            last_two(counter, &data.windows(), &mut got);
            let expected = naive_samples(&data.windows(), |samples, _, _| {
                let [.., (t0, v0), (t1, v1)] = samples else { return None };
                let moved = if counter && v1 < v0 { *v1 } else { v1 - v0 };
                Some(if counter { moved / ((t1 - t0) as f64 / 1000.0) } else { moved })
            });
            assert_same(&got, &expected)?;
        }
    }
}
