//! The newest sample of a series at each step.

use crate::model::is_stale;
use crate::promql::plan::{Shift, Steps};
use crate::series::Column;

use super::StepColumn;

/// For each step the newest sample that is not later and not older than the lookback; nothing
/// if it is the staleness marker. `answer` gets its index and its value.
#[inline]
pub(super) fn newest(
    samples: &Column,
    steps: Steps,
    shift: Shift,
    lookback_ms: i64,
    into: &mut StepColumn,
    answer: impl Fn(usize, f64) -> f64,
) {
    let mut walk = Walk::new(samples, steps, shift, lookback_ms);
    let reach_ms = walk.reach_ms();
    into.fill_words(steps.count, |first, slots| {
        if let Some(run) = walk.run(first, slots.len(), reach_ms) {
            for (place, (slot, value)) in slots.iter_mut().zip(run.values).enumerate() {
                *slot = answer(run.index + place, *value);
            }
            let mut bits = u64::MAX >> (64 - slots.len());
            if any_nan(run.values) {
                for (bit, value) in run.values.iter().enumerate() {
                    bits &= !(u64::from(is_stale(*value)) << bit);
                }
            }
            return bits;
        }
        let mut bits = 0;
        for (bit, slot) in slots.iter_mut().enumerate() {
            if let Some((index, value)) = walk.step(first + bit) {
                *slot = answer(index, value);
                bits |= 1 << bit;
            }
        }
        bits
    });
}

/// [`newest`], whose `answer` gets the step too and may have none.
#[inline]
pub(super) fn newest_by(
    samples: &Column,
    steps: Steps,
    shift: Shift,
    lookback_ms: i64,
    into: &mut StepColumn,
    mut answer: impl FnMut(usize, usize, f64) -> Option<f64>,
) {
    let mut walk = Walk::new(samples, steps, shift, lookback_ms);
    into.fill_with(steps.count, |step| {
        let (index, value) = walk.step(step)?;
        answer(step, index, value)
    });
}

/// True if one of them is no number, as the staleness marker. All are looked at, so that several
/// are at once.
#[inline(always)]
pub(super) fn any_nan(values: &[f64]) -> bool {
    values.iter().fold(false, |any, value| any | value.is_nan())
}

/// The way along samples and steps.
struct Walk<'a> {
    samples: &'a Column,
    times: &'a [i64],
    values: &'a [f64],
    steps: Steps,
    shift: Shift,
    lookback_ms: i64,
    is_raw: bool,
    /// The first sample that is too late.
    next: usize,
    /// How many samples the last step has gone over: the next one mostly goes over as many.
    pace: usize,
    /// The one before it, kept at hand: where steps are close together it does not change.
    last: Option<(i64, f64)>,
}

/// Samples each of which is the newest at one step, of steps in a row.
struct RunOfSamples<'a> {
    index: usize,
    values: &'a [f64],
}

impl<'a> Walk<'a> {
    fn new(samples: &'a Column, steps: Steps, shift: Shift, lookback_ms: i64) -> Self {
        let len = samples.timestamps.len().min(samples.floats.len());
        Self {
            samples,
            times: samples.timestamps.get(..len).unwrap_or_default(),
            values: samples.floats.get(..len).unwrap_or_default(),
            steps,
            shift,
            lookback_ms,
            is_raw: samples.summaries.is_empty(),
            next: 0,
            pace: 0,
            last: None,
        }
    }

    /// Goes on to the instant, which is not before the last one.
    #[inline(always)]
    fn go_to(&mut self, now_ms: i64) {
        let before = self.next;
        let is_reached = |at: usize| self.times.get(at).is_some_and(|time_ms| *time_ms <= now_ms);
        if self.pace > 1 && is_reached(before + self.pace - 1) {
            self.next = before + self.pace;
        }
        while is_reached(self.next) {
            self.next += 1;
        }
        if self.next != before {
            self.pace = self.next - before;
            let at = self.next - 1;
            self.last = self.times.get(at).copied().zip(self.values.get(at).copied());
        }
    }

    /// Index and value of the newest sample at a step.
    #[inline(always)]
    fn step(&mut self, step: usize) -> Option<(usize, f64)> {
        let now_ms = self.shift.of(self.steps.at(step));
        self.go_to(now_ms);
        let (time_ms, value) = self.last?;
        // A downsampled sample is as old as its window is long until the next one comes.
        let lookback_ms = if self.is_raw {
            self.lookback_ms
        } else {
            self.lookback_ms.max(self.samples.summary(self.next - 1).resolution_ms)
        };
        let is_fresh = time_ms > now_ms.saturating_sub(lookback_ms) && !is_stale(value);
        is_fresh.then_some((self.next - 1, value))
    }

    /// How old a sample must not be to be fresh, and older than all samples of the step before.
    fn reach_ms(&self) -> u64 {
        let is_moving = self.is_raw && self.shift.at_ms.is_none();
        let reach_ms = if is_moving { self.steps.step_ms.min(self.lookback_ms) } else { 0 };
        u64::try_from(reach_ms).unwrap_or(0)
    }

    /// Goes over `count` steps from `first` at once if each has a sample of its own that is fresh,
    /// as where a series is asked for at the pace of its scrapes.
    #[inline(always)]
    fn run(&mut self, first: usize, count: usize, reach_ms: u64) -> Option<RunOfSamples<'a>> {
        if reach_ms == 0 {
            return None;
        }
        let now_ms = self.shift.of(self.steps.at(first));
        self.go_to(now_ms);
        let index = self.next.checked_sub(1)?;
        let times = self.times.get(index..)?.get(..count)?;
        let values = self.values.get(index..)?.get(..count)?;
        let last_ms = self.shift.of(self.steps.at(first + count - 1));
        if self.times.get(index + count).is_some_and(|time_ms| *time_ms <= last_ms) {
            return None;
        }
        // An age below the distance of steps says that the sample lies behind the step before, so
        // that it is not the newest there. If all ages together have no bit too high, none has:
        // that may miss a run, but needs no comparison a step.
        let (mut ages, mut at_ms) = (0, now_ms);
        for time_ms in times {
            ages |= at_ms.wrapping_sub(*time_ms) as u64;
            at_ms = at_ms.wrapping_add(self.steps.step_ms);
        }
        // Instants that cannot be told exactly are not taken for others.
        if ages >= reach_ms || at_ms.wrapping_sub(self.steps.step_ms) != last_ms {
            return None;
        }
        self.next = index + count;
        self.last = times.last().copied().zip(values.last().copied());
        Some(RunOfSamples { index, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stale_nan;
    use proptest::prelude::*;

    fn newest_found(samples: &Column, at_ms: i64, lookback_ms: i64) -> Option<f64> {
        let found = samples.timestamps.iter().rposition(|t| *t <= at_ms);
        found
            .filter(|i| samples.timestamps[*i] > at_ms - lookback_ms)
            .map(|i| samples.floats[i])
            .filter(|value| !is_stale(*value))
    }

    proptest! {
        #[test]
        fn the_newest_sample_is_the_one_a_search_finds(
            gaps in prop::collection::vec((1_i64..90, any::<bool>()), 0..60),
            start_ms in -50_i64..400,
            step_ms in 1_i64..120,
            count in 1_usize..80,
            lookback_ms in 1_i64..200,
            offset_ms in -60_i64..60,
        ) {
            let mut samples = Column::new();
            let mut now_ms = 0;
            for (gap, stale) in gaps {
                now_ms += gap;
                samples.push(now_ms, if stale { stale_nan() } else { now_ms as f64 });
            }
            let steps = Steps { start_ms, step_ms, count, instant: false };
            let shift = Shift { at_ms: None, offset_ms };
            let mut got = StepColumn::new();
            newest(&samples, steps, shift, lookback_ms, &mut got, |_, value| value);
            for step in 0..count {
                let expected = newest_found(&samples, steps.at(step) - offset_ms, lookback_ms);
                prop_assert_eq!(got.get(step), expected);
            }
        }

        #[test]
        fn samples_at_the_pace_of_the_steps_are_found_too(
            samples in prop::collection::vec((0_i64..12, 0_u8..20), 0..400),
            late_ms in 0_i64..2,
            start in -70_i64..300,
            phase_ms in 0_i64..10,
            count in 1_usize..300,
            lookback_ms in prop_oneof![Just(300_i64), 1_i64..30],
        ) {
            let mut column = Column::new();
            for (index, (late, kind)) in samples.into_iter().enumerate() {
                let time_ms = index as i64 * 10 + late * late_ms;
                match kind {
                    _ if column.timestamps.last().is_some_and(|last| *last >= time_ms) => {}
                    0 if index % 3 == 0 => column.push(time_ms, stale_nan()),
                    1 if index % 5 == 0 => {}
                    _ => column.push(time_ms, index as f64),
                }
            }
            let start_ms = start * 10 + phase_ms;
            let steps = Steps { start_ms, step_ms: 10, count, instant: false };
            let mut got = StepColumn::new();
            let by_index = |index: usize, value: f64| value + index as f64 * 1e-6;
            newest(&column, steps, Shift::default(), lookback_ms, &mut got, by_index);
            for step in 0..count {
                let expected = newest_found(&column, steps.at(step), lookback_ms);
                let expected = expected.map(|value| {
                    let index = column.floats.iter().position(|one| *one == value).unwrap();
                    by_index(index, value)
                });
                prop_assert_eq!(got.get(step), expected);
            }
        }
    }
}
