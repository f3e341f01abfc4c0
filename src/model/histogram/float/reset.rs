//! Did a counter begin anew between two histograms?

use crate::model::histogram::{Layout, ResetHint, Span};

use super::bounds::{bound, coarser};
use super::indexes::indexes;
use super::overlay::{common_bounds, custom_places, has_equal_bounds, has_hidden};
use super::value::{Count, FloatRef, with_counts};
use super::zero::widened;

impl FloatRef<'_> {
    /// True if the counter began anew between `before` and this one. Matches `DetectReset`.
    pub(crate) fn is_reset_after(&self, before: &FloatRef<'_>) -> bool {
        match self.hint {
            ResetHint::Reset => return true,
            ResetHint::NotReset => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if self.count < before.count {
            return true;
        }
        if self.is_custom() {
            if !before.is_custom() {
                return true;
            }
            if !has_equal_bounds(self.layout, before.layout) {
                return self.common_bucket_falls(before);
            }
        }
        let threshold = self.layout.zero_threshold;
        if self.layout.schema > before.layout.schema || threshold < before.layout.zero_threshold {
            return true;
        }
        let (zero, reached) = widened(before, None, threshold);
        if reached != threshold || self.zero_count < zero.sum {
            return true;
        }
        if before.lies_in(self.layout) && !has_hidden(self.layout) {
            return any_falls(self, before);
        }
        let sides = [
            (&self.layout.positive, &before.layout.positive, 0, 0),
            (
                &self.layout.negative,
                &before.layout.negative,
                self.positive_len(),
                before.positive_len(),
            ),
        ];
        sides.into_iter().any(|(spans, spans_before, from, from_before)| {
            let schema = self.layout.schema;
            let now = reduced(self, spans, from, schema, threshold);
            let then = reduced(before, spans_before, from_before, schema, threshold);
            side_falls(&now, &then)
        })
    }

    /// Compares at the bounds that both have.
    fn common_bucket_falls(&self, before: &FloatRef<'_>) -> bool {
        let (now, then) = (&self.layout.custom_bounds, &before.layout.custom_bounds);
        let common = common_bounds(now, then);
        let fold = |one: &FloatRef<'_>| {
            let mut counts = vec![0.0; common.len() + 1];
            for (position, place) in custom_places(one.layout, &common).into_iter().enumerate() {
                if let Some(slot) = counts.get_mut(place as usize) {
                    *slot += one.buckets.get(position).unwrap_or_default();
                }
            }
            counts
        };
        fold(self).iter().zip(fold(before)).any(|(now, then)| *now < then)
    }

    /// True if both count the same: their layouts may differ in empty buckets. Matches `Equals`
    /// of histograms without empty buckets.
    pub(crate) fn is_same_as(&self, other: &FloatRef<'_>) -> bool {
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
        let (a, b): (&Layout, &Layout) = (self.layout, other.layout);
        if a.schema != b.schema
            || !same(self.count, other.count)
            || !same(self.sum, other.sum)
            || !same(self.zero_count, other.zero_count)
            || a.zero_threshold != b.zero_threshold
            || a.is_custom() && !has_equal_bounds(a, b)
        {
            return false;
        }
        let sides = [
            (&a.positive, &b.positive, 0, 0),
            (&a.negative, &b.negative, self.positive_len(), other.positive_len()),
        ];
        sides.into_iter().all(|(spans, other_spans, from, other_from)| {
            let mine = populated(self, spans, from);
            let mut others = populated(other, other_spans, other_from);
            let mut is_same = true;
            for (index, count) in mine {
                let fits = |(i, c): (i32, f64)| i == index && same(c, count);
                is_same &= others.next().is_some_and(fits);
            }
            is_same && others.next().is_none()
        })
    }
}

fn any_falls(now: &FloatRef<'_>, then: &FloatRef<'_>) -> bool {
    // No early end within a block: that would keep the loop from being vectorised.
    const BLOCK: usize = 32;
    with_counts!(now.buckets, now => with_counts!(then.buckets, then => {
        let blocks = now.chunks(BLOCK).zip(then.chunks(BLOCK));
        { blocks }.any(|(now, then)| {
            let pairs = now.iter().zip(then);
            pairs.fold(false, |any, (now, then)| any | (now.float() < then.float()))
        })
    }))
}

/// Counts by index at a lower resolution, without those inside of the zero bucket.
fn reduced(
    one: &FloatRef<'_>,
    spans: &[Span],
    from: usize,
    schema: i32,
    threshold: f64,
) -> Vec<(i32, f64)> {
    let mut counts: Vec<(i32, f64)> = Vec::new();
    let is_custom = one.is_custom();
    for (index, position) in indexes(spans).zip(from..one.buckets.len()) {
        let own = one.layout.schema;
        let index = if is_custom || own <= schema { index } else { coarser(index, own, schema) };
        let count = one.buckets.get(position).unwrap_or_default();
        match counts.last_mut() {
            Some(last) if last.0 == index => last.1 += count,
            _ => counts.push((index, count)),
        }
    }
    if !is_custom && threshold != 0.0 {
        let hidden = counts.iter().take_while(|(index, _)| bound(*index, schema) <= threshold);
        let hidden = hidden.count();
        counts.drain(..hidden);
    }
    counts
}

fn side_falls(now: &[(i32, f64)], then: &[(i32, f64)]) -> bool {
    let mut rest = now.iter().peekable();
    then.iter().any(|(index, then)| {
        while rest.next_if(|(now, _)| now < index).is_some() {}
        match rest.peek() {
            Some((now, count)) if now == index => count < then,
            _ => *then != 0.0,
        }
    })
}

fn populated<'a>(
    one: &'a FloatRef<'_>,
    spans: &'a [Span],
    from: usize,
) -> impl Iterator<Item = (i32, f64)> + 'a {
    let places = indexes(spans).zip(from..one.buckets.len());
    let counts = places.map(|(index, at)| (index, one.buckets.get(at).unwrap_or_default()));
    counts.filter(|(_, count)| *count != 0.0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::value::tests::{any_exponential, custom, of};
    use super::super::{FloatHistogram, Overlays};
    use super::*;
    use proptest::prelude::*;

    fn resets(before: &FloatHistogram, now: &FloatHistogram) -> bool {
        now.as_ref().is_reset_after(&before.as_ref())
    }

    proptest! {
        #[test]
        fn what_only_grows_is_no_reset(a in any_exponential(), more in any_exponential()) {
            // Widening the zero bucket may hide buckets; that is tested elsewhere.
            let flat = |mut one: FloatHistogram| {
                Arc::make_mut(&mut one.layout).zero_threshold = 0.0;
                one
            };
            let (a, more) = (flat(a), flat(more));
            let mut now = a.clone();
            now.add(more.as_ref(), &mut Overlays::default()).unwrap();
            prop_assert!(!resets(&a, &now));
            prop_assert!(resets(&now, &a) || now.count == a.count);
        }
    }

    #[test]
    fn a_bucket_that_falls_or_vanishes_is_a_reset() {
        let before = of(0, (0.0, 0.0), &[(0, 1.0), (2, 2.0)], &[(1, 3.0)]);
        let now = |positive: &[_], negative: &[_]| of(0, (0.0, 50.0), positive, negative);
        assert!(!resets(&before, &now(&[(0, 1.0), (1, 9.0), (2, 2.0)], &[(1, 3.0)])));
        assert!(resets(&before, &now(&[(0, 1.0), (2, 1.0)], &[(1, 3.0)])));
        assert!(resets(&before, &now(&[(0, 1.0)], &[(1, 3.0)])));
        assert!(resets(&before, &now(&[(0, 1.0), (2, 2.0)], &[])));
        let mut hinted = now(&[], &[]);
        hinted.hint = ResetHint::NotReset;
        assert!(!resets(&before, &hinted));
        hinted.hint = ResetHint::Reset;
        assert!(resets(&hinted, &hinted));
    }

    #[test]
    fn a_finer_layout_is_a_reset_and_a_coarser_one_is_compared() {
        let fine = of(1, (0.0, 0.0), &[(1, 1.0), (2, 1.0)], &[]);
        let coarse = of(0, (0.0, 0.0), &[(1, 2.0)], &[]);
        assert!(!resets(&fine, &coarse));
        assert!(resets(&coarse, &fine));
        let narrow = of(0, (0.5, 1.0), &[(0, 1.0)], &[]);
        let wide = of(0, (1.0, 2.0), &[], &[]);
        assert!(!resets(&narrow, &wide));
        assert!(resets(&wide, &narrow));
        // 0.75 would cut the populated bucket up to 1.
        assert!(resets(&narrow, &of(0, (0.75, 9.0), &[], &[])));
    }

    #[test]
    fn listed_bounds_are_compared_where_both_have_one() {
        let before = custom(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]);
        assert!(!resets(&before, &custom(&[1.0, 3.0], &[1.0, 5.0, 4.0])));
        assert!(resets(&before, &custom(&[1.0, 3.0], &[1.0, 4.0, 9.0])));
        assert!(resets(&of(0, (0.0, 0.0), &[], &[]), &before));
    }

    #[test]
    fn empty_buckets_make_no_difference() {
        let a = of(0, (0.0, 0.0), &[(0, 1.0), (1, 0.0), (2, 2.0)], &[]);
        let mut b = of(0, (0.0, 0.0), &[(0, 1.0), (2, 2.0)], &[(4, 0.0)]);
        assert!(a.as_ref().is_same_as(&b.as_ref()));
        Arc::make_mut(&mut b.layout).zero_threshold = 1.0;
        assert!(!a.as_ref().is_same_as(&b.as_ref()));
        let c = of(0, (0.0, 0.0), &[(0, 1.0), (1, 2.0)], &[]);
        assert!(!a.as_ref().is_same_as(&c.as_ref()));
    }
}
