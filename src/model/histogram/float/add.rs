//! Sums and differences of two histograms.

#![expect(clippy::indexing_slicing, reason = "hot loops; places are below the joined length")]

use std::sync::Arc;

use crate::model::histogram::ResetHint;

use super::overlay::{NOWHERE, Overlays, has_hidden};
use super::value::{Count, FloatHistogram, FloatRef, with_counts};
use super::zero::reconcile;

/// Exponential and listed bounds do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Incompatible;

/// What is to be said of a sum or difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Merged {
    /// One counter began anew and the other did not.
    pub(crate) collides: bool,
    /// Listed bounds that only one of them had were dropped.
    pub(crate) is_reconciled: bool,
}

/// The hint of a sum, and whether the hints contradict one another. Matches `adjustCounterReset`.
pub(super) fn join_hints(a: ResetHint, b: ResetHint) -> (ResetHint, bool) {
    use ResetHint::{Gauge, Unknown};
    match (a, b) {
        (a, b) if a == b => (a, false),
        (Gauge, _) | (_, Gauge) => (Gauge, false),
        (Unknown, _) | (_, Unknown) => (Unknown, false),
        _ => (Unknown, true),
    }
}

impl FloatHistogram {
    /// Adds another histogram: in place if both have one layout, else in the layout that holds
    /// both, at the lower of both resolutions. Matches `FloatHistogram.Add`.
    ///
    /// # Errors
    /// If only one of them has listed bounds. Nothing is changed then.
    pub(crate) fn add(
        &mut self,
        other: FloatRef<'_>,
        overlays: &mut Overlays,
    ) -> Result<Merged, Incompatible> {
        self.merge(other, overlays, |a, b| a + b)
    }

    /// Subtracts another histogram. Matches `FloatHistogram.Sub`.
    ///
    /// # Errors
    /// As [`FloatHistogram::add`].
    pub(crate) fn subtract(
        &mut self,
        other: FloatRef<'_>,
        overlays: &mut Overlays,
    ) -> Result<Merged, Incompatible> {
        self.merge(other, overlays, |a, b| a - b)
    }

    #[inline]
    fn merge(
        &mut self,
        other: FloatRef<'_>,
        overlays: &mut Overlays,
        op: impl Fn(f64, f64) -> f64 + Copy,
    ) -> Result<Merged, Incompatible> {
        if self.layout.is_custom() != other.is_custom() {
            return Err(Incompatible);
        }
        let (hint, collides) = join_hints(self.hint, other.hint);
        self.hint = hint;
        if !other.is_custom() {
            let zero = reconcile(self, None, &other);
            self.zero_count = op(self.zero_count, zero.sum);
        }
        self.count = op(self.count, other.count);
        self.sum = op(self.sum, other.sum);
        self.is_loose |= other.is_loose;
        if other.lies_in(&self.layout) && !has_hidden(&self.layout) {
            with_counts!(other.buckets, counts => {
                for (mine, count) in self.buckets.iter_mut().zip(counts) {
                    *mine = op(*mine, count.float());
                }
            });
            return Ok(Merged { collides, is_reconciled: false });
        }
        let is_reconciled = self.merge_over(other, overlays, op);
        Ok(Merged { collides, is_reconciled })
    }

    /// Merges buckets of another layout. True if listed bounds were dropped.
    fn merge_over(
        &mut self,
        other: FloatRef<'_>,
        overlays: &mut Overlays,
        op: impl Fn(f64, f64) -> f64,
    ) -> bool {
        let at = overlays.find(&self.layout, other.layout);
        let Overlays { known, spare, .. } = overlays;
        let overlay = &known[at];
        let joined_len = overlay.joined.bucket_len();
        if let Some(places) = &overlay.left_places {
            spare.clear();
            spare.resize(joined_len, 0.0);
            scatter(&self.buckets, places, |to, count| spare[to] += count);
            std::mem::swap(&mut self.buckets, spare);
            self.layout = Arc::clone(&overlay.joined);
        }
        let mine = &mut self.buckets;
        if overlay.right_folds {
            spare.clear();
            spare.resize(joined_len, 0.0);
            with_counts!(other.buckets, counts => {
                scatter(counts, &overlay.right_places, |to, count| spare[to] += count);
            });
            mine.iter_mut().zip(&*spare).for_each(|(mine, count)| *mine = op(*mine, *count));
        } else {
            with_counts!(other.buckets, counts => {
                scatter(counts, &overlay.right_places, |to, count| mine[to] = op(mine[to], count));
            });
        }
        self.is_loose |= overlay.is_reconciled;
        overlay.is_reconciled
    }

    /// Lowers the resolution; nothing to do if it is that low already. Not for listed bounds.
    pub(crate) fn reduce_to(&mut self, schema: i32, overlays: &mut Overlays) {
        if schema >= self.layout.schema {
            return;
        }
        let empty = crate::model::histogram::Layout {
            schema,
            zero_threshold: self.layout.zero_threshold,
            ..Default::default()
        };
        let empty = Arc::new(empty);
        let nothing = Self { layout: empty, hint: self.hint, ..Self::default() };
        self.merge_over(nothing.as_ref(), overlays, |a, _| a);
    }
}

/// Hands each count to its place.
#[inline]
pub(super) fn scatter<T: Count>(counts: &[T], places: &[u32], mut put: impl FnMut(usize, f64)) {
    for (count, to) in counts.iter().zip(places) {
        if *to != NOWHERE {
            put(*to as usize, count.float());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::bounds::coarser;
    use super::super::indexes::indexes;
    use super::super::value::tests::{any_exponential, custom, of};
    use super::*;

    type Sides = [BTreeMap<i32, f64>; 2];

    /// Counts by index at a lower resolution, empty ones left out.
    fn sides(one: &FloatHistogram, schema: i32) -> Sides {
        let split = one.layout.positive_len();
        let side = |spans: &[_], counts: &[f64]| {
            let mut side = BTreeMap::new();
            for (index, count) in indexes(spans).zip(counts) {
                *side.entry(coarser(index, one.layout.schema, schema)).or_insert(0.0) += count;
            }
            side.retain(|_, count| *count != 0.0);
            side
        };
        let (positive, negative) = one.buckets.split_at(split);
        [side(&one.layout.positive, positive), side(&one.layout.negative, negative)]
    }

    proptest! {
        #[test]
        fn buckets_add_up_by_index_at_the_lower_resolution(
            a in any_exponential(),
            b in any_exponential(),
            subtract in any::<bool>(),
        ) {
            // Reconciled zero buckets are tested where they are made.
            let flat = |mut one: FloatHistogram| {
                let layout = Arc::make_mut(&mut one.layout);
                layout.zero_threshold = 0.0;
                one
            };
            let (a, b) = (flat(a), flat(b));
            let schema = a.layout.schema.min(b.layout.schema);
            let mut overlays = Overlays::default();
            for _ in 0..2 {
                let mut got = a.clone();
                let merged = if subtract {
                    got.subtract(b.as_ref(), &mut overlays)
                } else {
                    got.add(b.as_ref(), &mut overlays)
                };
                prop_assert_eq!(merged, Ok(Merged::default()));
                let sign = if subtract { -1.0 } else { 1.0 };
                let mut expected = sides(&a, schema);
                for (mine, other) in expected.iter_mut().zip(sides(&b, schema)) {
                    for (index, count) in other {
                        *mine.entry(index).or_insert(0.0) += sign * count;
                    }
                    mine.retain(|_, count| *count != 0.0);
                }
                prop_assert_eq!(got.layout.schema, schema);
                prop_assert_eq!(got.layout.bucket_len(), got.buckets.len());
                prop_assert_eq!(sides(&got, schema), expected);
                prop_assert_eq!(got.count, a.count + sign * b.count);
            }
        }

        #[test]
        fn a_lower_resolution_keeps_all_counts(a in any_exponential(), by in 0_i32..4) {
            let schema = (a.layout.schema - by).max(-4);
            let mut got = a.clone();
            got.reduce_to(schema, &mut Overlays::default());
            prop_assert_eq!(got.layout.schema, schema);
            prop_assert_eq!(sides(&got, schema), sides(&a, schema));
            prop_assert_eq!(got.layout.zero_threshold, a.layout.zero_threshold);
        }
    }

    #[test]
    fn listed_bounds_are_reconciled() {
        let mut a = custom(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]);
        let b = custom(&[1.0, 3.0], &[10.0, 20.0, 30.0]);
        let mut overlays = Overlays::default();
        assert!(a.add(b.as_ref(), &mut overlays).unwrap().is_reconciled);
        assert_eq!(a.layout.custom_bounds, [1.0, 3.0]);
        assert_eq!(a.buckets, [11.0, 25.0, 34.0]);
        assert!(!a.add(b.as_ref(), &mut overlays).unwrap().is_reconciled);
    }

    #[test]
    fn exponential_and_listed_bounds_do_not_mix() {
        let mut a = custom(&[1.0], &[1.0, 2.0]);
        let b = of(0, (0.0, 0.0), &[(0, 1.0)], &[]);
        assert_eq!(a.add(b.as_ref(), &mut Overlays::default()), Err(Incompatible));
        assert_eq!(a.buckets, [1.0, 2.0]);
    }

    #[test]
    fn a_gauge_wins_and_resets_collide() {
        use ResetHint::{Gauge, NotReset, Reset, Unknown};
        assert_eq!(join_hints(Reset, Gauge), (Gauge, false));
        assert_eq!(join_hints(NotReset, Unknown), (Unknown, false));
        assert_eq!(join_hints(NotReset, NotReset), (NotReset, false));
        assert_eq!(join_hints(NotReset, Reset), (Unknown, true));
    }

    #[test]
    fn buckets_inside_of_the_zero_bucket_are_not_added() {
        let mut a = of(0, (1.0, 1.0), &[(0, 1.0), (1, 1.0)], &[]);
        let b = a.clone();
        a.add(b.as_ref(), &mut Overlays::default()).unwrap();
        assert_eq!(a.buckets, [1.0, 2.0]);
    }
}
