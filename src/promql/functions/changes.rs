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
