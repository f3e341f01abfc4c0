//! Zero buckets of different width.

use std::sync::Arc;

use crate::base::kahan::Sum;
use crate::model::histogram::Layout;

use super::bounds::bound;
use super::indexes::indexes;
use super::value::{FloatHistogram, FloatRef};

/// What a compensated sum lost of each count; a sum of zero counts and one by bucket.
#[derive(Debug, Clone, Default)]
pub(super) struct Lost {
    pub(super) zero_count: f64,
    pub(super) count: f64,
    pub(super) sum: f64,
    pub(super) buckets: Vec<f64>,
}

/// What the zero count would be with a wider zero bucket. A populated bucket is not cut: the zero
/// bucket is widened to its end. Returns the count and the width. Matches
/// `zeroCountForLargerThreshold`.
pub(super) fn widened(one: &FloatRef<'_>, lost: Option<&Lost>, threshold: f64) -> (Sum, f64) {
    let start = Sum::of(one.zero_count, lost.map_or(0.0, |lost| lost.zero_count));
    let Layout { schema, zero_threshold, positive, negative, .. } = &**one.layout;
    if threshold == *zero_threshold {
        return (start, threshold);
    }
    let split = one.positive_len();
    let lost = lost.map(|lost| lost.buckets.as_slice());
    let mut threshold = threshold;
    // Every round but the last widens the zero bucket by a bucket of the negative side.
    for _ in 0..=one.buckets.len() {
        let mut zero = start;
        let swallow = |sum: Sum, position: usize, count: f64| {
            let sum = sum.plus(count);
            lost.map_or(sum, |lost| sum.plus(lost.get(position).copied().unwrap_or_default()))
        };
        for (position, index) in (0..split).zip(indexes(positive)) {
            if bound(index.wrapping_sub(1), *schema) >= threshold {
                break;
            }
            let count = one.buckets.get(position).unwrap_or_default();
            zero = swallow(zero, position, count);
            let upper = bound(index, *schema);
            if upper > threshold {
                if count != 0.0 {
                    threshold = upper;
                }
                break;
            }
        }
        let mut is_wider = false;
        for (position, index) in (split..one.buckets.len()).zip(indexes(negative)) {
            if bound(index.wrapping_sub(1), *schema) >= threshold {
                break;
            }
            let count = one.buckets.get(position).unwrap_or_default();
            zero = swallow(zero, position, count);
            let upper = bound(index, *schema);
            if upper > threshold {
                if count != 0.0 {
                    threshold = upper;
                    is_wider = true;
                }
                break;
            }
        }
        if !is_wider {
            return (zero, threshold);
        }
    }
    (start, threshold)
}

/// Widens the zero bucket of `mine` as far as both histograms need. Returns the zero count that
/// `other` would have. Matches `reconcileZeroBuckets`.
pub(super) fn reconcile(
    mine: &mut FloatHistogram,
    mut lost: Option<&mut Lost>,
    other: &FloatRef<'_>,
) -> Sum {
    let mut zero = Sum::of(other.zero_count, 0.0);
    let mut threshold = other.layout.zero_threshold;
    // Every round widens one of the two, by a bucket at least.
    for _ in 0..=mine.buckets.len() + other.buckets.len() + 1 {
        if threshold == mine.layout.zero_threshold {
            break;
        }
        if mine.layout.zero_threshold > threshold {
            (zero, threshold) = widened(other, None, mine.layout.zero_threshold);
        }
        if threshold > mine.layout.zero_threshold {
            widen(mine, lost.as_deref_mut(), threshold);
        }
    }
    zero
}

fn widen(mine: &mut FloatHistogram, lost: Option<&mut Lost>, threshold: f64) {
    let (zero, threshold) = widened(&mine.as_ref(), lost.as_deref(), threshold);
    mine.zero_count = zero.sum;
    let layout = Arc::make_mut(&mut mine.layout);
    layout.zero_threshold = threshold;
    let schema = layout.schema;
    let inside = |spans: &[_]| {
        let starts = indexes(spans).map(|index| bound(index.wrapping_sub(1), schema));
        starts.take_while(|start| *start < threshold).take(mine.buckets.len()).count()
    };
    let (positive, negative) = (inside(&layout.positive), inside(&layout.negative));
    let split = layout.positive_len();
    let is_inside = |at: usize| at < positive.min(split) || split <= at && at - split < negative;
    match lost {
        None => {
            mine.compact_where(|at, count| count != 0.0 && !is_inside(at));
        }
        Some(lost) => {
            lost.zero_count = zero.error;
            let known = |at: usize| lost.buckets.get(at).copied().unwrap_or_default();
            let is_kept = |at: usize, count| (count != 0.0 || known(at) != 0.0) && !is_inside(at);
            if let Some(kept) = mine.compact_where(is_kept) {
                lost.buckets = kept.into_iter().map(known).collect();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Overlays;
    use super::super::value::tests::{any_exponential, of};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_wider_zero_bucket_takes_what_lies_in_it() {
        let some = of(0, (0.25, 1.0), &[(-1, 2.0), (0, 3.0), (1, 4.0)], &[(0, 5.0)]);
        let (zero, threshold) = widened(&some.as_ref(), None, 0.5);
        assert_eq!((zero.total(), threshold), (3.0, 0.5));
        // The bucket up to 1 would be cut, on both sides.
        let (zero, threshold) = widened(&some.as_ref(), None, 0.6);
        assert_eq!((zero.total(), threshold), (11.0, 1.0));
        // Not so if it is empty.
        let empty = of(0, (0.25, 1.0), &[(-1, 2.0), (0, 0.0), (1, 4.0)], &[]);
        let (zero, threshold) = widened(&empty.as_ref(), None, 0.6);
        assert_eq!((zero.total(), threshold), (3.0, 0.6));
    }

    #[test]
    fn the_wider_zero_bucket_wins_in_a_sum() {
        let wide = of(0, (1.0, 1.0), &[(1, 1.0)], &[]);
        let narrow = of(0, (0.5, 2.0), &[(0, 3.0), (1, 4.0)], &[]);
        let mut overlays = Overlays::default();
        for (mut a, b) in [(wide.clone(), narrow.clone()), (narrow, wide)] {
            a.add(b.as_ref(), &mut overlays).unwrap();
            assert_eq!((a.layout.zero_threshold, a.zero_count), (1.0, 6.0));
            assert_eq!(a.buckets, [5.0]);
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_between_zero_buckets(a in any_exponential(), b in any_exponential()) {
            // Buckets that lie in their own zero bucket are dropped, and a lower resolution may
            // put others there; that is upstream's way and tested elsewhere.
            let mut b = b;
            Arc::make_mut(&mut b.layout).schema = a.layout.schema;
            let tidy = |one: &FloatHistogram| {
                let mut one = one.clone();
                let threshold = one.layout.zero_threshold;
                widen(&mut one, None, threshold);
                one
            };
            let (mut a, b) = (tidy(&a), tidy(&b));
            let total = |one: &FloatHistogram| one.zero_count + one.buckets.iter().sum::<f64>();
            let expected = total(&a) + total(&b);
            a.add(b.as_ref(), &mut Overlays::default()).unwrap();
            prop_assert!(a.layout.zero_threshold >= b.layout.zero_threshold);
            prop_assert_eq!(total(&a), expected);
        }
    }
}
