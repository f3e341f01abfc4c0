//! Compensated sums and means of many histograms.

#![expect(clippy::indexing_slicing, reason = "hot loops; places are below the joined length")]

use std::sync::Arc;

use crate::base::kahan::Sum;

use super::add::{Incompatible, Merged, join_hints, scatter};
use super::overlay::{Overlays, has_hidden};
use super::value::{Count, FloatHistogram, FloatRef, with_counts};
use super::zero::{Lost, reconcile};

/// A sum of histograms that keeps what rounding takes away from each count. Matches `KahanAdd`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Total {
    value: FloatHistogram,
    lost: Lost,
}

impl Total {
    /// Starts anew with one histogram; keeps the memory.
    pub(crate) fn set(&mut self, first: FloatRef<'_>) {
        self.value.set(first);
        self.lost.buckets.clear();
        self.lost.buckets.resize(self.value.buckets.len(), 0.0);
        (self.lost.zero_count, self.lost.count, self.lost.sum) = (0.0, 0.0, 0.0);
    }

    /// Adds a histogram.
    ///
    /// # Errors
    /// If it does not go together with the others. Nothing is changed then.
    pub(crate) fn add(
        &mut self,
        other: FloatRef<'_>,
        overlays: &mut Overlays,
    ) -> Result<Merged, Incompatible> {
        let Self { value, lost } = self;
        if value.layout.is_custom() != other.is_custom() {
            return Err(Incompatible);
        }
        let (hint, collides) = join_hints(value.hint, other.hint);
        value.hint = hint;
        if !other.is_custom() {
            let zero = reconcile(value, Some(lost), &other);
            plus(&mut value.zero_count, &mut lost.zero_count, zero.sum);
            plus(&mut value.zero_count, &mut lost.zero_count, zero.error);
        }
        plus(&mut value.count, &mut lost.count, other.count);
        plus(&mut value.sum, &mut lost.sum, other.sum);
        value.is_loose |= other.is_loose;
        if other.lies_in(&value.layout) && !has_hidden(&value.layout) {
            with_counts!(other.buckets, counts => {
                let mine = value.buckets.iter_mut().zip(&mut lost.buckets);
                mine.zip(counts).for_each(|((sum, lost), count)| plus(sum, lost, count.float()));
            });
            return Ok(Merged { collides, is_reconciled: false });
        }
        let is_reconciled = self.add_over(other, overlays);
        Ok(Merged { collides, is_reconciled })
    }

    /// Adds buckets of another layout. True if listed bounds were dropped.
    fn add_over(&mut self, other: FloatRef<'_>, overlays: &mut Overlays) -> bool {
        let Self { value, lost } = self;
        let at = overlays.find(&value.layout, other.layout);
        let Overlays { known, spare, spare_lost, .. } = overlays;
        let overlay = &known[at];
        let joined_len = overlay.joined.bucket_len();
        if let Some(places) = &overlay.left_places {
            empty(spare, joined_len);
            empty(spare_lost, joined_len);
            // Those that meet at one place come one after the other.
            let mut last = usize::MAX;
            for ((count, lost), to) in value.buckets.iter().zip(&lost.buckets).zip(places) {
                let to = *to as usize;
                if to == last {
                    plus(&mut spare[to], &mut spare_lost[to], *count);
                    plus(&mut spare[to], &mut spare_lost[to], *lost);
                } else {
                    (spare[to], spare_lost[to]) = (*count, *lost);
                }
                last = to;
            }
            std::mem::swap(&mut value.buckets, spare);
            std::mem::swap(&mut lost.buckets, spare_lost);
            value.layout = Arc::clone(&overlay.joined);
        }
        let (sums, losts) = (&mut value.buckets, &mut lost.buckets);
        let places = &overlay.right_places;
        if overlay.right_folds {
            empty(spare, joined_len);
            empty(spare_lost, joined_len);
            with_counts!(other.buckets, counts => scatter(counts, places, |to, count| {
                plus(&mut spare[to], &mut spare_lost[to], count);
            }));
            let folded = spare.iter().zip(&*spare_lost);
            for ((sum, lost), (count, error)) in sums.iter_mut().zip(losts).zip(folded) {
                plus(sum, lost, *count);
                plus(sum, lost, *error);
            }
        } else {
            with_counts!(other.buckets, counts => scatter(counts, places, |to, count| {
                plus(&mut sums[to], &mut losts[to], count);
            }));
        }
        value.is_loose |= overlay.is_reconciled;
        overlay.is_reconciled
    }

    /// The sum with what was lost of it. Empty buckets stay.
    pub(crate) fn finish(&mut self) -> &FloatHistogram {
        let Self { value, lost } = self;
        value.zero_count += lost.zero_count;
        value.count += lost.count;
        value.sum += lost.sum;
        // What lies inside of the zero bucket is not added to it.
        if !has_hidden(&value.layout) {
            value.buckets.iter_mut().zip(&lost.buckets).for_each(|(sum, lost)| *sum += lost);
        }
        lost.buckets.fill(0.0);
        (lost.zero_count, lost.count, lost.sum) = (0.0, 0.0, 0.0);
        value
    }

    fn divide(&mut self, by: f64) {
        self.value.divide(by);
        self.lost.map(|lost| lost / by);
    }

    fn scale(&mut self, factor: f64) {
        self.value.scale(factor);
        self.lost.map(|lost| lost * factor);
    }
}

impl Lost {
    fn map(&mut self, change: impl Fn(f64) -> f64) {
        self.zero_count = change(self.zero_count);
        self.count = change(self.count);
        self.sum = change(self.sum);
        self.buckets.iter_mut().for_each(|lost| *lost = change(*lost));
    }
}

fn empty(spare: &mut Vec<f64>, len: usize) {
    spare.clear();
    spare.resize(len, 0.0);
}

#[inline]
fn plus(sum: &mut f64, lost: &mut f64, value: f64) {
    let next = Sum::of(*sum, *lost).plus(value);
    (*sum, *lost) = (next.sum, next.error);
}

/// A mean of histograms that stays right where their sum would overflow. Matches the `avg`
/// aggregation and `avg_over_time`: the plain mean while the sum is finite, from then on an
/// incremental one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mean {
    total: Total,
    count: f64,
    is_incremental: bool,
}

impl Mean {
    /// Starts anew with one histogram; keeps the memory.
    pub(crate) fn set(&mut self, first: FloatRef<'_>) {
        self.total.set(first);
        self.count = 1.0;
        self.is_incremental = false;
    }

    /// Adds a histogram.
    ///
    /// # Errors
    /// If it does not go together with the others.
    pub(crate) fn add(
        &mut self,
        other: FloatRef<'_>,
        overlays: &mut Overlays,
    ) -> Result<Merged, Incompatible> {
        self.count += 1.0;
        if !self.is_incremental {
            // Only what may overflow is worth a copy.
            let is_near = |value: f64| value.abs() > f64::MAX / 4.0 || value.is_nan();
            let value = &self.total.value;
            let parts = [value.zero_count, value.count, value.sum];
            let mut all = parts.iter().chain(&value.buckets);
            let others = [other.zero_count, other.count, other.sum];
            let is_risky = all.any(|value| is_near(*value))
                || others.into_iter().any(is_near)
                || with_counts!(other.buckets, c => c.iter().any(|count| is_near(count.float())));
            if !is_risky {
                return self.total.add(other, overlays);
            }
            let before = self.total.clone();
            let merged = self.total.add(other, overlays)?;
            if !self.total.value.is_infinite() {
                return Ok(merged);
            }
            self.total = before;
            self.is_incremental = true;
            self.total.divide(self.count - 1.0);
        }
        self.total.scale((self.count - 1.0) / self.count);
        let mut part = other.owned();
        part.divide(self.count);
        self.total.add(part.as_ref(), overlays)
    }

    /// The mean. Empty buckets stay.
    pub(crate) fn finish(&mut self) -> &FloatHistogram {
        if !self.is_incremental {
            self.total.divide(self.count);
        }
        self.total.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::tests::{any_exponential, of};
    use super::*;
    use proptest::prelude::*;

    fn mean_of(all: &[FloatHistogram]) -> FloatHistogram {
        let (mut mean, mut overlays) = (Mean::default(), Overlays::default());
        mean.set(all[0].as_ref());
        for one in &all[1..] {
            mean.add(one.as_ref(), &mut overlays).unwrap();
        }
        mean.finish().clone()
    }

    proptest! {
        #[test]
        fn whole_counts_add_up_as_without_compensation(
            all in prop::collection::vec(any_exponential(), 1..6)
        ) {
            let mut overlays = Overlays::default();
            let mut total = Total::default();
            total.set(all[0].as_ref());
            let mut plain = all[0].clone();
            for one in &all[1..] {
                total.add(one.as_ref(), &mut overlays).unwrap();
                plain.add(one.as_ref(), &mut overlays).unwrap();
            }
            let mut got = total.finish().clone();
            got.compact();
            plain.compact();
            prop_assert_eq!(&got.layout, &plain.layout);
            prop_assert_eq!(got.buckets, plain.buckets);
            prop_assert_eq!((got.count, got.zero_count), (plain.count, plain.zero_count));
        }
    }

    #[test]
    fn what_cancels_out_leaves_the_small_count() {
        let mut overlays = Overlays::default();
        let mut total = Total::default();
        total.set(of(0, (0.0, 0.0), &[(0, 1.0)], &[]).as_ref());
        for count in [1e100, 1.0, -1e100] {
            let other = of(0, (0.0, 0.0), &[(0, count), (1, 1.0)], &[]);
            total.add(other.as_ref(), &mut overlays).unwrap();
        }
        assert_eq!(total.finish().buckets, [2.0, 3.0]);
    }

    #[test]
    fn a_mean_survives_a_sum_that_does_not_fit() {
        let large = of(0, (0.0, 0.0), &[(0, f64::MAX / 2.0)], &[]);
        let mean = mean_of(&[large.clone(), large.clone(), large]);
        assert!((mean.buckets[0] / (f64::MAX / 2.0) - 1.0).abs() < 1e-15);
        let small = [1.0, 2.0, 6.0].map(|count| of(0, (0.0, 0.0), &[(0, count)], &[]));
        assert_eq!(mean_of(&small).buckets, [3.0]);
    }
}
