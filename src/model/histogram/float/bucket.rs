//! Buckets with their bounds.

use crate::model::histogram::{Layout, Span};

use super::indexes::{index_at, indexes};
use super::value::FloatRef;

/// A bucket and what it holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    pub(crate) is_lower_inclusive: bool,
    pub(crate) is_upper_inclusive: bool,
    pub(crate) count: f64,
}

/// Which bucket; positions are those of counts on its side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Negative(usize),
    Zero,
    Positive(usize),
}

fn bucket(layout: &Layout, index: i32, is_positive: bool, count: f64) -> Bucket {
    let (near, far) = (layout.bound(index.wrapping_sub(1)), layout.bound(index));
    let (lower, upper) = if is_positive { (near, far) } else { (-far, -near) };
    let is_custom = layout.is_custom();
    Bucket {
        lower,
        upper,
        is_lower_inclusive: if is_custom { index == 0 } else { lower < 0.0 },
        is_upper_inclusive: is_custom || upper > 0.0,
        count,
    }
}

impl Bucket {
    /// The share of its width that lies below `value`, which is inside of it: linear, or linear
    /// between logarithms. Matches `Bucket.FractionBelow`.
    pub(super) fn share_below(&self, value: f64, is_linear: bool) -> f64 {
        if is_linear {
            return (value - self.lower) / (self.upper - self.lower);
        }
        let (lower, upper) = (self.lower.abs().log2(), self.upper.abs().log2());
        let at = value.abs().log2();
        if value > 0.0 {
            (at - lower) / (upper - lower)
        } else {
            1.0 - (at - upper) / (lower - upper)
        }
    }

    /// Keeps out of the zero bucket.
    fn clipped(mut self, threshold: f64) -> Self {
        if self.upper < 0.0 && self.upper > -threshold {
            self.upper = -threshold;
        } else if self.lower > 0.0 && self.lower < threshold {
            self.lower = threshold;
        }
        self
    }
}

impl FloatRef<'_> {
    /// The bucket around zero.
    pub(super) fn zero_bucket(&self) -> Bucket {
        let width = self.layout.zero_threshold;
        Bucket {
            lower: -width,
            upper: width,
            is_lower_inclusive: true,
            is_upper_inclusive: true,
            count: self.zero_count,
        }
    }

    /// One bucket, kept out of the zero bucket.
    pub(super) fn bucket_at(&self, slot: Slot, count: f64) -> Bucket {
        let threshold = self.layout.zero_threshold;
        match slot {
            Slot::Zero => self.zero_bucket(),
            Slot::Positive(position) => {
                let index = index_at(&self.layout.positive, position);
                bucket(self.layout, index, true, count).clipped(threshold)
            }
            Slot::Negative(position) => {
                let index = index_at(&self.layout.negative, position);
                bucket(self.layout, index, false, count).clipped(threshold)
            }
        }
    }

    /// The buckets of one side, away from zero, with the positions of their counts.
    pub(super) fn side(&self, is_positive: bool) -> impl Iterator<Item = (usize, Bucket)> + '_ {
        let split = self.positive_len();
        let (spans, positions): (&[Span], _) = match is_positive {
            true => (&self.layout.positive, 0..split),
            false => (&self.layout.negative, split..self.buckets.len()),
        };
        indexes(spans).zip(positions).map(move |(index, position)| {
            let count = self.buckets.get(position).unwrap_or_default();
            (position, bucket(self.layout, index, is_positive, count))
        })
    }

    /// All buckets from the lowest to the highest, kept out of the zero bucket, which is there
    /// only if it is populated. Matches `AllBucketIterator`.
    pub(crate) fn ascending(&self) -> impl Iterator<Item = Bucket> + '_ {
        let threshold = self.layout.zero_threshold;
        let mut below: Vec<Bucket> = self.side(false).map(|(_, bucket)| bucket).collect();
        below.reverse();
        let zero = (self.zero_count > 0.0).then(|| self.zero_bucket());
        let above = self.side(true).map(move |(_, bucket)| bucket.clipped(threshold));
        let below = below.into_iter().map(move |bucket| bucket.clipped(threshold));
        below.chain(zero).chain(above)
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::tests::{custom, of};
    use super::*;

    #[test]
    fn buckets_ascend_and_keep_out_of_the_zero_bucket() {
        let some = of(0, (0.75, 5.0), &[(0, 1.0), (1, 2.0)], &[(0, 3.0), (1, 4.0)]);
        let some = some.as_ref();
        let all: Vec<_> = some.ascending().map(|b| (b.lower, b.upper, b.count)).collect();
        let expected = [
            (-2.0, -1.0, 4.0),
            (-1.0, -0.75, 3.0),
            (-0.75, 0.75, 5.0),
            (0.75, 1.0, 1.0),
            (1.0, 2.0, 2.0),
        ];
        assert_eq!(all, expected);
        let first = some.ascending().next().unwrap();
        assert!(first.is_lower_inclusive && !first.is_upper_inclusive);
        assert_eq!(some.bucket_at(Slot::Negative(1), 4.0), first);
    }

    #[test]
    fn the_first_listed_bucket_is_closed() {
        let some = custom(&[1.0, 2.0], &[1.0, 2.0, 3.0]);
        let some = some.as_ref();
        let closed: Vec<bool> = some.ascending().map(|b| b.is_lower_inclusive).collect();
        assert_eq!(closed, [true, false, false]);
        assert!(some.ascending().all(|b| b.is_upper_inclusive));
        assert_eq!(some.ascending().next().unwrap().lower, f64::NEG_INFINITY);
    }
}
