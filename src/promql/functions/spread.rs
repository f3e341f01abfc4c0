//! How far apart are the values of a window: variance, quantiles, deviation from the median.

#![expect(clippy::indexing_slicing, reason = "hot loops; windows hold indexes below len()")]

use crate::promql::eval::StepColumn;
use crate::promql::quantile::{by_value, quantile, quantile_of_sorted};

use super::kahan::{Sums, are_tame};
use super::window::{Alone, LANES, Window, Windows};

/// What the variance of some values needs, for windows side by side.
#[derive(Clone, Copy)]
struct Variance<const N: usize> {
    counts: [f64; N],
    means: Sums<N>,
    squares: Sums<N>,
}

impl<const N: usize> Variance<N> {
    const NOTHING: Self = Self { counts: [0.0; N], means: Sums::NOTHING, squares: Sums::NOTHING };

    /// `TAME` promises that [`are_tame`] holds for all values.
    #[inline(always)]
    fn plus<const TAME: bool>(self, value: f64) -> Self {
        let plus = if TAME { Sums::plus_tame } else { Sums::plus };
        let counts = self.counts.map(|count| count + 1.0);
        let deltas = self.means.totals().map(|mean| value - mean);
        let means = plus(self.means, std::array::from_fn(|lane| deltas[lane] / counts[lane]));
        let rests = means.totals().map(|mean| value - mean);
        let squares = plus(self.squares, std::array::from_fn(|lane| deltas[lane] * rests[lane]));
        Self { counts, means, squares }
    }
}

impl Variance<1> {
    fn found(&self) -> f64 {
        self.squares.lane(0).total() / self.counts[0]
    }
}

impl Alone for Variance<1> {
    type Together = Variance<LANES>;

    fn together(alone: [Self; LANES]) -> Variance<LANES> {
        Variance {
            counts: alone.map(|one| one.counts[0]),
            means: Sums::together(|lane| alone[lane].means),
            squares: Sums::together(|lane| alone[lane].squares),
        }
    }

    fn apart(all: Variance<LANES>) -> [Self; LANES] {
        std::array::from_fn(|lane| Self {
            counts: [all.counts[lane]],
            means: all.means.apart(lane),
            squares: all.squares.apart(lane),
        })
    }
}

/// The population variance of each window, or its root. It cannot slide without other rounding.
pub(super) fn variance(windows: &Windows<'_>, root: bool, into: &mut StepColumn) {
    if are_tame(windows.values) {
        walk::<true>(windows, root, into);
    } else {
        walk::<false>(windows, root, into);
    }
}

fn walk<const TAME: bool>(windows: &Windows<'_>, root: bool, into: &mut StepColumn) {
    let values = windows.values;
    let nothing = |_: &Window| Variance::<1>::NOTHING;
    let plus = |one: Variance<1>, index: usize| one.plus::<TAME>(values[index]);
    let plus_all = |all: Variance<LANES>, index: usize| all.plus::<TAME>(values[index]);
    windows.fold(into, nothing, plus, plus_all, |_, one| {
        let variance = one.found();
        Some(if root { variance.sqrt() } else { variance })
    });
}

/// The quantile of each window; `at(step)` says which. The window is kept sorted while it slides.
/// `sorted` is scratch.
pub(super) fn quantiles(
    windows: &Windows<'_>,
    sorted: &mut Vec<f64>,
    into: &mut StepColumn,
    at: impl Fn(usize) -> f64,
) {
    sorted.clear();
    let (mut from, mut to) = (0, 0);
    windows.each(into, |window| {
        if window.lo >= to {
            sorted.clear();
            (from, to) = (window.lo, window.lo);
        }
        for value in windows.values.get(from..window.lo).unwrap_or_default() {
            if let Ok(index) = sorted.binary_search_by(|known| by_value(known, value)) {
                sorted.remove(index);
            }
        }
        let added = windows.values.get(to..window.hi).unwrap_or_default();
        if added.len() > sorted.len() {
            sorted.extend_from_slice(added);
            sorted.sort_by(by_value);
        } else {
            for value in added {
                let index = sorted.partition_point(|known| by_value(known, value).is_lt());
                sorted.insert(index, *value);
            }
        }
        (from, to) = (window.lo, window.hi);
        Some(quantile_of_sorted(at(window.step), sorted))
    });
}

/// The median distance from the median of each window; NaN if it holds one. `values` is scratch.
pub(super) fn deviation(windows: &Windows<'_>, values: &mut Vec<f64>, into: &mut StepColumn) {
    windows.each(into, |window| {
        values.clear();
        values.extend_from_slice(windows.slice(window));
        if values.iter().any(|value| value.is_nan()) {
            return Some(f64::NAN);
        }
        let median = quantile(0.5, values);
        values.iter_mut().for_each(|value| *value = (*value - median).abs());
        Some(quantile(0.5, values))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::functions::kahan::Sum;
    use crate::promql::functions::tests::{any_windows, assert_same, naive};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sliding_quantile_equals_sorting_each_window(
            data in any_windows(),
            q in prop_oneof![0.0..=1.0, Just(f64::NAN), Just(-1.0), Just(2.0), Just(0.5)],
        ) {
            let windows = data.windows();
            let (mut got, mut scratch) = (StepColumn::new(), Vec::new());
            quantiles(&windows, &mut scratch, &mut got, |_| q);
            let expected = naive(&windows, |values| quantile(q, &mut values.to_vec()));
            assert_same(&got, &expected)?;
        }
    }

    proptest! {
        #[test]
        fn a_variance_is_that_of_its_window_alone(data in any_windows()) {
            let mut got = StepColumn::new();
            variance(&data.windows(), true, &mut got);
            let expected = naive(&data.windows(), |values| {
                let (mut count, mut mean, mut squares) = (0.0, Sum::NOTHING, Sum::NOTHING);
                for value in values {
                    count += 1.0;
                    let delta = value - mean.total();
                    mean = mean.plus(delta / count);
                    squares = squares.plus(delta * (value - mean.total()));
                }
                (squares.total() / count).sqrt()
            });
            assert_same(&got, &expected)?;
        }
    }

    #[test]
    fn variance_of_large_values_that_are_close_is_exact() {
        let values = [1e15 + 1.0, 1e15 + 2.0, 1e15 + 3.0];
        let data = crate::promql::functions::tests::Data::one_window(&values);
        let mut got = StepColumn::new();
        variance(&data.windows(), false, &mut got);
        assert_eq!(got.get(0), Some(2.0 / 3.0));
    }
}
