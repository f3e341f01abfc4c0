//! How often did a value change, how often did a counter start again?

#![expect(clippy::indexing_slicing, reason = "hot loops; windows hold indexes below len()")]

use crate::promql::eval::StepColumn;

use super::window::Windows;

/// Counts neighbours in each window for which `counts(before, after)` holds. `positions` is
/// scratch.
#[inline]
pub(super) fn count_pairs(
    windows: &Windows<'_>,
    positions: &mut Vec<usize>,
    into: &mut StepColumn,
    counts: impl Fn(f64, f64) -> bool,
) {
    positions.clear();
    let pairs = windows.values.windows(2).enumerate();
    positions.extend(pairs.filter(|(_, pair)| counts(pair[0], pair[1])).map(|(i, _)| i + 1));
    count(windows, positions, into);
}

/// Counts how often a counter fell. `positions` is scratch.
pub(super) fn count_resets(
    windows: &Windows<'_>,
    positions: &mut Vec<usize>,
    into: &mut StepColumn,
) {
    if windows.befores.is_empty() {
        return count_pairs(windows, positions, into, |before, after| after < before);
    }
    positions.clear();
    let all = 1..windows.values.len();
    positions.extend(all.filter(|index| windows.values[*index] < windows.before(*index)));
    count(windows, positions, into);
}

/// Counts the positions behind the first and up to the last sample of each window.
fn count(windows: &Windows<'_>, positions: &[usize], into: &mut StepColumn) {
    let (mut from, mut to) = (0, 0);
    windows.each(into, |window| {
        while to < positions.len() && positions[to] < window.hi {
            to += 1;
        }
        while from < to && positions[from] <= window.lo {
            from += 1;
        }
        Some((to - from) as f64)
    });
}

/// One NaN after another is no change.
#[inline]
pub(super) fn is_change(before: f64, after: f64) -> bool {
    before != after && !(before.is_nan() && after.is_nan())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::functions::tests::{any_windows, assert_same, naive};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counting_while_sliding_equals_counting_each_window(data in any_windows()) {
            let windows = data.windows();
            let (mut got, mut scratch) = (StepColumn::new(), Vec::new());
            let count = |values: &[f64], counts: fn(f64, f64) -> bool| {
                values.windows(2).filter(|pair| counts(pair[0], pair[1])).count() as f64
            };
            count_pairs(&windows, &mut scratch, &mut got, is_change);
            assert_same(&got, &naive(&windows, |values| count(values, is_change)))?;
            let resets = |before, after| after < before;
            count_pairs(&windows, &mut scratch, &mut got, resets);
            assert_same(&got, &naive(&windows, |values| count(values, resets)))?;
        }
    }

    #[test]
    fn nan_after_nan_is_no_change() {
        assert!(!is_change(f64::NAN, f64::NAN) && is_change(f64::NAN, 1.0) && is_change(1.0, 2.0));
        assert!(!is_change(0.0, -0.0));
    }
}
