//! Quantiles of plain values.

use std::cmp::Ordering;

/// The order of values in which NaN is the smallest. It is total, so that no answer depends on how
/// values are sorted.
#[inline]
pub(crate) fn by_value(a: &f64, b: &f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => a.total_cmp(b),
        (a_is_nan, b_is_nan) => b_is_nan.cmp(&a_is_nan),
    }
}

/// The quantile `q` of `values`, which are sorted on the way.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    values.sort_by(by_value);
    quantile_of_sorted(q, values)
}

/// The quantile `q` of values in the order of [`by_value`]: between two values a weighted mean.
/// NaN of nothing; infinite if `q` lies outside of 0 to 1.
pub(crate) fn quantile_of_sorted(q: f64, sorted: &[f64]) -> f64 {
    if sorted.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let last = sorted.len() - 1;
    let rank = q * last as f64;
    let lower = (rank.floor() as usize).min(last);
    let weight = rank - rank.floor();
    let value = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    value(lower) * (1.0 - weight) + value((lower + 1).min(last)) * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_two_values_the_mean_is_weighted() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0]), 2.0);
        assert_eq!(quantile(0.25, &mut [4.0, 1.0, 2.0, 3.0, 5.0]), 2.0);
        assert_eq!(quantile(1.0, &mut [4.0, 1.0]), 4.0);
    }

    #[test]
    fn nan_is_the_smallest_value() {
        assert!(quantile(0.0, &mut [1.0, f64::NAN]).is_nan());
        assert_eq!(quantile(1.0, &mut [1.0, f64::NAN, 2.0]), 2.0);
    }

    #[test]
    fn a_quantile_outside_of_0_to_1_is_infinite() {
        assert_eq!(quantile(-0.1, &mut [1.0]), f64::NEG_INFINITY);
        assert_eq!(quantile(1.1, &mut [1.0]), f64::INFINITY);
        assert!(quantile(f64::NAN, &mut [1.0]).is_nan() && quantile(0.5, &mut []).is_nan());
    }
}
