//! Quantiles, and shares between two values.

use std::ops::ControlFlow;

use super::bucket::{Bucket, Slot};
use super::value::{Count, FloatRef, with_counts};

/// What observations of NaN do to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NanInfluence {
    /// It is NaN.
    Result,
    /// It is higher than without them.
    Skew,
    /// They are left out.
    Excluded,
}

/// How far the search for a rank came.
struct Found {
    /// The last bucket that was looked at.
    last: Option<(Slot, f64)>,
    /// What all buckets up to it hold.
    count: f64,
    /// What all buckets hold, where that was asked for.
    all: f64,
}

/// Looks for the first bucket with which the counts reach `rank`.
fn find(mut buckets: impl Iterator<Item = (Slot, f64)>, rank: f64, counts_all: bool) -> Found {
    let mut last = None;
    let search = buckets.try_fold(0.0, |sum, (slot, count)| {
        last = Some((slot, count));
        if count == 0.0 {
            return ControlFlow::Continue(sum);
        }
        let sum = sum + count;
        if sum >= rank { ControlFlow::Break(sum) } else { ControlFlow::Continue(sum) }
    });
    let (ControlFlow::Break(count) | ControlFlow::Continue(count)) = search;
    let all = if counts_all { buckets.fold(count, |sum, (_, count)| sum + count) } else { count };
    Found { last, count, all }
}

impl FloatRef<'_> {
    fn find_rank(&self, rank: f64, forward: bool, counts_all: bool) -> Found {
        let split = self.positive_len();
        let zero = (self.zero_count > 0.0).then_some((Slot::Zero, self.zero_count));
        with_counts!(self.buckets, counts => {
            let (positive, negative) = counts.split_at(split);
            let positive =
                positive.iter().enumerate().map(|(at, count)| (Slot::Positive(at), count.float()));
            let negative =
                negative.iter().enumerate().map(|(at, count)| (Slot::Negative(at), count.float()));
            if forward {
                find(negative.rev().chain(zero).chain(positive), rank, counts_all)
            } else {
                find(positive.rev().chain(zero).chain(negative), rank, counts_all)
            }
        })
    }

    /// The value below which the share `q` of observations lies. Within a bucket observations are
    /// taken to lie evenly: on a logarithmic scale, or linearly between listed bounds and around
    /// zero. Matches `HistogramQuantile`.
    pub(crate) fn quantile(&self, q: f64) -> (f64, Option<NanInfluence>) {
        if q < 0.0 {
            return (f64::NEG_INFINITY, None);
        }
        if q > 1.0 {
            return (f64::INFINITY, None);
        }
        if self.count == 0.0 || q.is_nan() {
            return (f64::NAN, None);
        }
        let has_nan = self.sum.is_nan();
        // NaN observations are in no bucket: the count is right only from below.
        let forward = has_nan || q < 0.5;
        let rank = if forward { q * self.count } else { (1.0 - q) * self.count };
        let found = self.find_rank(rank, forward, has_nan);
        let nothing = Bucket {
            lower: 0.0,
            upper: 0.0,
            is_lower_inclusive: false,
            is_upper_inclusive: false,
            count: 0.0,
        };
        let bucket = found.last.map_or(nothing, |(slot, count)| self.bucket_at(slot, count));
        let bucket = match self.narrowed(bucket) {
            ControlFlow::Continue(bucket) => bucket,
            ControlFlow::Break(value) => return (value, None),
        };
        let count = if found.count > self.count { self.count } else { found.count };
        if count < rank {
            return match has_nan {
                true => (f64::NAN, Some(NanInfluence::Result)),
                false => (bucket.upper, None),
            };
        }
        let rank = if forward { rank - (count - bucket.count) } else { count - rank };
        let all =
            if found.count > self.count { count + (found.all - found.count) } else { found.all };
        let is_skewed = has_nan && all < self.count;
        let value = bucket.value_at(rank / bucket.count, self.is_custom());
        (value, is_skewed.then_some(NanInfluence::Skew))
    }

    /// Gives the bucket around zero and the first of listed ones their natural ends. `Break` if
    /// the bucket has none and so decides the answer.
    fn narrowed(&self, mut bucket: Bucket) -> ControlFlow<f64, Bucket> {
        if self.is_custom() {
            if bucket.lower == f64::NEG_INFINITY {
                if bucket.upper <= 0.0 {
                    return ControlFlow::Break(bucket.upper);
                }
                bucket.lower = 0.0;
            } else if bucket.upper == f64::INFINITY {
                return ControlFlow::Break(bucket.lower);
            }
        } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
            self.halve(&mut bucket);
        }
        ControlFlow::Continue(bucket)
    }

    /// Cuts the zero bucket in half if observations lie on one side only.
    fn halve(&self, zero: &mut Bucket) {
        match self.sides() {
            (true, false) => zero.lower = 0.0,
            (false, true) => zero.upper = 0.0,
            _ => {}
        }
    }

    /// The share of observations between two values. Matches `HistogramFraction`.
    pub(crate) fn fraction(&self, lower: f64, upper: f64) -> (f64, Option<NanInfluence>) {
        if self.count == 0.0 || lower.is_nan() || upper.is_nan() {
            return (f64::NAN, None);
        }
        if lower >= upper {
            return (0.0, None);
        }
        let (mut below_lower, mut below_upper) = (None, None);
        let (mut rank, mut count) = (0.0, 0.0);
        let mut buckets = self.ascending();
        for mut bucket in buckets.by_ref() {
            count += bucket.count;
            let is_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
            if is_zero {
                self.halve(&mut bucket);
            }
            let is_linear = self.is_custom() || is_zero;
            for (value, below) in [(lower, &mut below_lower), (upper, &mut below_upper)] {
                if below.is_none() {
                    *below = bucket.rank_of(value, rank, is_linear);
                }
            }
            if below_lower.is_some() && below_upper.is_some() {
                break;
            }
            rank += bucket.count;
        }
        let mut influence = None;
        if self.sum.is_nan() {
            count = buckets.fold(count, |sum, bucket| sum + bucket.count);
            influence = (count < self.count).then_some(NanInfluence::Excluded);
        } else {
            count = self.count;
        }
        let within = |below: Option<f64>| below.filter(|rank| *rank <= count).unwrap_or(count);
        ((within(below_upper) - within(below_lower)) / self.count, influence)
    }
}

impl Bucket {
    /// The value that the share `share` of the bucket lies below.
    fn value_at(&self, share: f64, is_linear: bool) -> f64 {
        let (lower, upper) = (self.lower, self.upper);
        if is_linear || lower <= 0.0 && upper >= 0.0 {
            return lower + (upper - lower) * share;
        }
        let (log_lower, log_upper) = (lower.abs().log2(), upper.abs().log2());
        if lower > 0.0 {
            return (log_lower + (log_upper - log_lower) * share).exp2();
        }
        -(log_upper + (log_lower - log_upper) * (1.0 - share)).exp2()
    }

    /// How many observations lie below `value`, if the bucket reaches that far; `rank` lie below
    /// the bucket.
    fn rank_of(&self, value: f64, rank: f64, is_linear: bool) -> Option<f64> {
        if self.lower >= value {
            return Some(rank);
        }
        if !(self.lower < value && self.upper > value) {
            return None;
        }
        // A bucket without lower end cannot be divided: all of it counts.
        if is_linear && self.lower == f64::NEG_INFINITY {
            return Some(self.count);
        }
        Some(rank + self.count * self.share_below(value, is_linear))
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::tests::{any_exponential, custom, of};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_share_below_a_quantile_is_that_quantile(
            some in any_exponential(),
            q in 0.01..0.99_f64,
        ) {
            let mut some = some;
            some.compact();
            prop_assume!(some.count > 0.0);
            // Where zero bucket and buckets overlap, there is no single answer.
            prop_assume!(!super::super::overlay::has_hidden(&some.layout));
            let one = some.as_ref();
            let (value, note) = one.quantile(q);
            prop_assert_eq!(note, None);
            let (share, _) = one.fraction(f64::NEG_INFINITY, value);
            let ends = |b: Bucket| b.count > 0.0 && (b.upper == value || b.lower == value);
            let gap = one.ascending().any(ends);
            prop_assert!((share - q).abs() < 1e-6 || gap, "{} {} {}", value, share, q);
        }
    }

    #[test]
    fn exponential_buckets_are_divided_on_a_logarithmic_scale() {
        let some = of(0, (0.0, 0.0), &[(1, 4.0), (2, 4.0)], &[]);
        let some = some.as_ref();
        assert_eq!(some.quantile(0.25).0, 2_f64.sqrt());
        assert_eq!(some.quantile(0.75).0, 8_f64.sqrt());
        assert_eq!((some.quantile(0.0).0, some.quantile(1.0).0), (1.0, 4.0));
        assert_eq!(some.quantile(-0.1).0, f64::NEG_INFINITY);
        assert_eq!(some.quantile(1.1).0, f64::INFINITY);
        assert!(some.quantile(f64::NAN).0.is_nan());
        let below = of(0, (0.0, 0.0), &[], &[(1, 4.0)]);
        assert_eq!(below.as_ref().quantile(0.5).0, -(2_f64.sqrt()));
    }

    #[test]
    fn the_zero_bucket_is_one_sided_if_the_others_are() {
        let some = of(0, (0.5, 4.0), &[(1, 4.0)], &[]);
        assert_eq!(some.as_ref().quantile(0.25).0, 0.25);
        let both = of(0, (0.5, 4.0), &[(1, 2.0)], &[(1, 2.0)]);
        assert_eq!(both.as_ref().quantile(0.5).0, 0.0);
        assert_eq!(some.as_ref().fraction(0.0, 0.25).0, 0.25);
    }

    #[test]
    fn listed_bounds_are_divided_linearly_and_end_somewhere() {
        let some = custom(&[1.0, 2.0], &[4.0, 4.0, 2.0]);
        let some = some.as_ref();
        assert_eq!((some.quantile(0.2).0, some.quantile(0.6).0), (0.5, 1.5));
        assert_eq!(some.quantile(0.95).0, 2.0);
        assert_eq!(custom(&[-1.0, 2.0], &[4.0, 4.0, 2.0]).as_ref().quantile(0.1).0, -1.0);
        assert_eq!(some.fraction(1.0, 2.0).0, 0.4);
        assert_eq!(some.fraction(2.0, 1.0).0, 0.0);
    }

    #[test]
    fn observations_of_nan_are_told() {
        let mut some = of(0, (0.0, 0.0), &[(1, 4.0), (2, 4.0)], &[]);
        (some.count, some.sum) = (10.0, f64::NAN);
        let some = some.as_ref();
        assert_eq!(some.quantile(0.4), (2.0, Some(NanInfluence::Skew)));
        let (value, note) = some.quantile(0.9);
        assert!(value.is_nan());
        assert_eq!(note, Some(NanInfluence::Result));
        assert_eq!(some.fraction(0.0, 2.0), (0.4, Some(NanInfluence::Excluded)));
    }
}
