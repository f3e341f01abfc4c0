//! Sums and means over windows.

#![expect(clippy::indexing_slicing, reason = "hot loops; windows hold indexes below len()")]

use crate::promql::eval::StepColumn;

use super::kahan::{Mean, Sum, Sums, are_tame};
use super::window::{Alone, LANES, Window, Windows};

/// A compensated sum cannot slide: what it answers depends on where it started. But where no
/// addition rounds, every order gives the same bits and prefix sums do; see [`exact_prefixes`].
pub(super) fn sum(windows: &Windows<'_>, prefixes: &mut Vec<f64>, into: &mut StepColumn) {
    if exact_prefixes(windows.values, prefixes) {
        windows.each(into, |window| Some(between(prefixes, window)));
        return;
    }
    let total = |sum: Sum| if sum.sum.is_infinite() { sum.sum } else { sum.total() };
    fold(windows, into, |_, sum| Some(total(sum)));
}

/// The mean of each window.
pub(super) fn mean(windows: &Windows<'_>, prefixes: &mut Vec<f64>, into: &mut StepColumn) {
    if exact_prefixes(windows.values, prefixes) {
        windows
            .each(into, |window| Some(between(prefixes, window) / (window.hi - window.lo) as f64));
        return;
    }
    fold(windows, into, |window, sum| {
        let values = windows.slice(*window);
        if sum.sum.is_finite() {
            return Some(sum.sum / values.len() as f64 + sum.error / values.len() as f64);
        }
        // A sum that was infinite once ends infinite or as NaN, so that none is missed here.
        let mut mean = Mean::first(values[0]);
        values.iter().skip(1).for_each(|value| mean.add(*value));
        Some(mean.value())
    });
}

/// Hands the sum of each window to `finish`.
fn fold(
    windows: &Windows<'_>,
    into: &mut StepColumn,
    finish: impl Fn(&Window, Sum) -> Option<f64>,
) {
    let values = windows.values;
    let nothing = |_: &Window| Sums::<1>::NOTHING;
    let plus = |sum: Sums<1>, index: usize| sum.plus([values[index]]);
    let finish = |window: &Window, sum: Sums<1>| finish(window, sum.lane(0));
    if are_tame(values) {
        let plus_all = |all: Sums<LANES>, index: usize| all.plus_tame([values[index]; LANES]);
        windows.fold(into, nothing, plus, plus_all, finish);
    } else {
        let plus_all = |all: Sums<LANES>, index: usize| all.plus([values[index]; LANES]);
        windows.fold(into, nothing, plus, plus_all, finish);
    }
}

impl Alone for Sums<1> {
    type Together = Sums<LANES>;

    fn together(alone: [Self; LANES]) -> Sums<LANES> {
        Sums::together(|lane| alone[lane])
    }

    fn apart(all: Sums<LANES>) -> [Self; LANES] {
        std::array::from_fn(|lane| all.apart(lane))
    }
}

fn between(prefixes: &[f64], window: Window) -> f64 {
    prefixes[window.hi] - prefixes[window.lo]
}

/// Sums of the first 0, 1, 2, … values, if all sums of neighbours are exact.
///
/// That is so if every value is a multiple of one power of two and the sum of all magnitudes is
/// below 2^53 times that power: then no partial sum needs more than 53 bits. Counters and whole
/// numbers are like that.
fn exact_prefixes(values: &[f64], prefixes: &mut Vec<f64>) -> bool {
    let mut unit = i32::MAX;
    let mut magnitudes = 0.0;
    for value in values {
        if !value.is_finite() {
            return false;
        }
        if *value != 0.0 {
            unit = unit.min(lowest_bit(*value));
        }
        magnitudes += value.abs();
    }
    // Half of the room is left for the rounding of `magnitudes` itself.
    if unit != i32::MAX && (unit < -900 || magnitudes >= power_of_two(unit + 52)) {
        return false;
    }
    prefixes.clear();
    prefixes.reserve(values.len() + 1);
    // Adding to positive zero gives what the rescan gives for windows of negative zeros.
    let mut sum = 0.0;
    prefixes.push(sum);
    for value in values {
        sum += value;
        prefixes.push(sum);
    }
    true
}

/// The power of the lowest bit that is set in a finite value other than zero.
#[inline]
fn lowest_bit(value: f64) -> i32 {
    let bits = value.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i32;
    let fraction = bits & ((1 << 52) - 1);
    let significand = if exponent == 0 { fraction } else { fraction | 1 << 52 };
    significand.trailing_zeros() as i32 + exponent.max(1) - 1075
}

/// 2^power, infinite where that is too large.
fn power_of_two(power: i32) -> f64 {
    if power > 1023 {
        f64::INFINITY
    } else {
        f64::from_bits(((power.max(-1022) + 1023) as u64) << 52)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::functions::tests::{any_windows, assert_same, naive};
    use proptest::prelude::*;

    #[test]
    fn the_lowest_bit_is_found() {
        let cases =
            [(1.0, 0), (6.0, 1), (0.75, -2), (-3.0, 0), (f64::from_bits(1), -1074), (1e22, 22)];
        for (value, bit) in cases {
            assert_eq!(lowest_bit(value), bit, "{value}");
        }
        assert_eq!((power_of_two(-2), power_of_two(1024)), (0.25, f64::INFINITY));
    }

    #[test]
    fn decimals_do_not_count_as_exact() {
        let mut prefixes = Vec::new();
        assert!(exact_prefixes(&[1.0, 2.5, -0.25], &mut prefixes));
        assert_eq!(prefixes, [0.0, 1.0, 3.5, 3.25]);
        assert!(!exact_prefixes(&[0.1, 0.7, 1e6], &mut prefixes));
        assert!(!exact_prefixes(&[1.0, f64::NAN], &mut prefixes));
        assert!(!exact_prefixes(&[9e15, 1.0], &mut prefixes));
    }

    proptest! {
        #[test]
        fn sums_and_means_equal_a_rescan(data in any_windows()) {
            let windows = data.windows();
            let (mut got, mut scratch) = (StepColumn::new(), Vec::new());
            sum(&windows, &mut scratch, &mut got);
            let expected = naive(&windows, |values| {
                let sum = values.iter().fold(Sum::of(0.0, 0.0), |sum, v| sum.plus(*v));
                if sum.sum.is_infinite() { sum.sum } else { sum.total() }
            });
            assert_same(&got, &expected)?;
            mean(&windows, &mut scratch, &mut got);
            let expected = naive(&windows, |values| {
                let mut mean = Mean::first(values[0]);
                values[1..].iter().for_each(|value| mean.add(*value));
                mean.value()
            });
            assert_same(&got, &expected)?;
        }
    }
}
