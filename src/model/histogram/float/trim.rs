//! Observations above or below a value, the others taken away.

use super::bucket::Bucket;
use super::value::FloatHistogram;

/// What is left of a bucket: how many observations, and where they lie at a guess.
type Rest = (f64, f64);

impl FloatHistogram {
    /// Keeps the observations below `at`, or those above it. Count and sum are guessed anew if
    /// anything was taken away. Matches `TrimBuckets`.
    pub(crate) fn trim(&mut self, at: f64, keeps_lower: bool) {
        let view = self.as_ref();
        let is_linear = view.is_custom();
        let (mut count, mut sum, mut is_trimmed) = (0.0, 0.0, false);
        let (mut has_positive, mut has_negative) = (false, false);
        let mut kept = self.buckets.clone();
        for is_positive in [true, false] {
            for (position, bucket) in view.side(is_positive).filter(|(_, b)| b.count != 0.0) {
                has_positive |= is_positive;
                has_negative |= !is_positive;
                let (rest, middle) = bucket.trimmed(at, keeps_lower, is_positive, is_linear);
                count += rest;
                sum += middle * rest;
                if rest != bucket.count {
                    is_trimmed = true;
                    if let Some(slot) = kept.get_mut(position) {
                        *slot = rest;
                    }
                }
            }
        }
        if view.zero_count > 0.0 {
            let mut zero = view.zero_bucket();
            match (has_positive, has_negative) {
                (true, false) => zero.lower = 0.0,
                (false, true) => zero.upper = 0.0,
                _ => {}
            }
            let (rest, middle) = zero.trimmed_zero(at, keeps_lower);
            is_trimmed |= rest != zero.count;
            count += rest;
            sum += middle * rest;
            self.zero_count = rest;
        }
        if is_trimmed {
            (self.count, self.sum, self.buckets) = (count, sum, kept);
            self.is_loose = true;
        }
    }
}

impl Bucket {
    fn trimmed(&self, at: f64, keeps_lower: bool, is_positive: bool, is_linear: bool) -> Rest {
        let (is_kept, is_cut) = if keeps_lower {
            (self.upper <= at, self.lower < at)
        } else {
            (self.lower >= at, self.upper > at)
        };
        if is_kept {
            return (self.count, middle(self.lower, self.upper, is_positive, is_linear));
        }
        if !is_cut {
            return (0.0, 0.0);
        }
        if self.lower == f64::NEG_INFINITY || self.upper == f64::INFINITY {
            return self.trimmed_endless(at, keeps_lower);
        }
        let below = self.count * self.share_below(at, is_linear);
        if keeps_lower {
            (below, middle(self.lower, at, is_positive, is_linear))
        } else {
            (self.count - below, middle(at, self.upper, is_positive, is_linear))
        }
    }

    /// A bucket without an end, inside of which `at` lies. Nobody knows where its observations
    /// are. Matches `handleInfinityBuckets`.
    fn trimmed_endless(&self, at: f64, keeps_lower: bool) -> Rest {
        let finite = |value: f64| if value.is_infinite() { 0.0 } else { value };
        let is_finite_above = !self.upper.is_infinite();
        if self.lower == f64::NEG_INFINITY {
            if keeps_lower {
                if at > 0.0 && self.upper > 0.0 && is_finite_above {
                    return (self.count * at / self.upper, at / 2.0);
                }
                if self.upper <= 0.0 {
                    return (self.count, at);
                }
            } else if at >= 0.0 && self.upper > at && is_finite_above {
                return (self.count * (1.0 - at / self.upper), f64::midpoint(at, self.upper));
            }
            return (0.0, finite(self.upper));
        }
        if !keeps_lower && at >= self.lower {
            return (self.count, at);
        }
        (0.0, finite(self.lower))
    }

    fn trimmed_zero(&self, at: f64, keeps_lower: bool) -> Rest {
        let Self { lower, upper, count, .. } = *self;
        let whole = (count, (lower + upper) / 2.0);
        let nothing = (0.0, 0.0);
        if at <= lower {
            return if keeps_lower { nothing } else { whole };
        }
        if at >= upper {
            return if keeps_lower { whole } else { nothing };
        }
        if keeps_lower {
            (count * ((at - lower) / (upper - lower)), (lower + at) / 2.0)
        } else {
            (count * ((upper - at) / (upper - lower)), (at + upper) / 2.0)
        }
    }
}

/// Where the observations of a bucket lie at a guess. Matches `computeMidpoint`.
fn middle(lower: f64, upper: f64, is_positive: bool, is_linear: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if is_linear => (lower + upper) / 2.0,
        (false, false) => {
            let middle = (lower * upper).abs().sqrt();
            if is_positive { middle } else { -middle }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::tests::{any_exponential, custom, of};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_parts_make_the_whole(some in any_exponential(), at in -100.0..100.0_f64) {
            let (mut below, mut above) = (some.clone(), some.clone());
            below.trim(at, true);
            above.trim(at, false);
            let missing = (below.count + above.count - some.count).abs();
            prop_assert!(missing < 1e-9 * some.count + 1e-12);
        }
    }

    #[test]
    fn a_bucket_is_cut_on_a_logarithmic_scale() {
        let mut some = of(-1, (0.0, 0.0), &[(1, 8.0), (2, 2.0)], &[]);
        some.trim(2.0, true);
        assert_eq!((some.count, &some.buckets[..]), (4.0, &[4.0, 0.0][..]));
        assert!((some.sum - 4.0 * 2_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn what_loses_nothing_keeps_its_sum() {
        let mut some = of(0, (0.0, 0.0), &[(1, 8.0)], &[]);
        let sum = some.sum;
        some.trim(2.0, true);
        assert_eq!((some.sum, some.count), (sum, 8.0));
    }

    #[test]
    fn endless_buckets_go_as_a_whole_or_stay() {
        let mut some = custom(&[4.0, 8.0], &[2.0, 2.0, 2.0]);
        some.trim(2.0, true);
        assert_eq!(some.buckets, [1.0, 0.0, 0.0]);
        let mut some = custom(&[4.0, 8.0], &[2.0, 2.0, 2.0]);
        some.trim(10.0, false);
        assert_eq!(some.buckets, [0.0, 0.0, 2.0]);
        assert_eq!(some.sum, 20.0);
    }
}
