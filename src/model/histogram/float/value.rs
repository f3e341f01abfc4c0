//! One histogram, borrowed or owned.

use std::sync::Arc;

use crate::model::Column;
use crate::model::histogram::{Counts, CountsRef, Histogram, HistogramRef, Layout, ResetHint};

use super::indexes::{are_fewest, indexes, spans};
use super::overlay::has_hidden;

/// Counts by bucket, positive ones first.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Buckets<'a> {
    /// Whole counts, as storage gives them.
    Integer(&'a [i64]),
    /// Computed ones, or those of histograms that were floats to begin with.
    Float(&'a [f64]),
}

/// A count that is read as a float.
pub(super) trait Count: Copy {
    fn float(self) -> f64;
}

impl Count for i64 {
    #[inline]
    fn float(self) -> f64 {
        self as f64
    }
}

impl Count for f64 {
    #[inline]
    fn float(self) -> f64 {
        self
    }
}

/// Runs the same code for both kinds of counts, so that no loop asks for the kind.
macro_rules! with_counts {
    ($buckets:expr, $counts:ident => $body:expr) => {
        match $buckets {
            crate::model::histogram::float::Buckets::Integer($counts) => $body,
            crate::model::histogram::float::Buckets::Float($counts) => $body,
        }
    };
}
pub(super) use with_counts;

impl Buckets<'_> {
    pub(crate) fn len(&self) -> usize {
        with_counts!(self, counts => counts.len())
    }

    /// The count at `position`.
    pub(super) fn get(&self, position: usize) -> Option<f64> {
        with_counts!(self, counts => counts.get(position).map(|count| count.float()))
    }

    /// Appends the counts.
    pub(super) fn append_to(&self, into: &mut Vec<f64>) {
        with_counts!(self, counts => into.extend(counts.iter().map(|count| count.float())));
    }
}

/// A histogram that lies somewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FloatRef<'a> {
    pub(crate) layout: &'a Arc<Layout>,
    pub(crate) hint: ResetHint,
    /// Empty buckets count as not there.
    pub(crate) is_loose: bool,
    pub(crate) sum: f64,
    pub(crate) count: f64,
    pub(crate) zero_count: f64,
    pub(crate) buckets: Buckets<'a>,
}

impl<'a> From<HistogramRef<'a>> for FloatRef<'a> {
    fn from(one: HistogramRef<'a>) -> Self {
        let (count, zero_count, buckets) = match one.counts {
            CountsRef::Integer { count, zero_count, buckets } => {
                (count as f64, zero_count as f64, Buckets::Integer(buckets))
            }
            CountsRef::Float { count, zero_count, buckets } => {
                (count, zero_count, Buckets::Float(buckets))
            }
        };
        let HistogramRef { layout, hint, sum, .. } = one;
        Self { layout, hint, is_loose: false, sum, count, zero_count, buckets }
    }
}

impl FloatRef<'_> {
    /// True if its bounds are listed.
    pub(crate) fn is_custom(&self) -> bool {
        self.layout.is_custom()
    }

    /// How many of the counts are those of positive buckets.
    pub(super) fn positive_len(&self) -> usize {
        self.layout.positive_len().min(self.buckets.len())
    }

    /// True if its buckets are those of `layout`.
    #[inline]
    pub(super) fn lies_in(&self, layout: &Arc<Layout>) -> bool {
        Arc::ptr_eq(self.layout, layout) || **self.layout == **layout
    }

    /// True if its counts and those of `other` belong to the same buckets one by one, none of them
    /// inside of the zero bucket.
    pub(crate) fn is_alike(&self, other: &Self) -> bool {
        self.lies_in(other.layout)
            && self.buckets.len() == other.buckets.len()
            && !has_hidden(self.layout)
    }

    /// True if there are positive, and if there are negative buckets.
    pub(super) fn sides(&self) -> (bool, bool) {
        let split = self.positive_len();
        if !self.is_loose {
            return (split > 0, self.buckets.len() > split);
        }
        let populated = |from: usize, to: usize| {
            let counts = (from..to).filter_map(|position| self.buckets.get(position));
            { counts }.any(|count| count != 0.0)
        };
        (populated(0, split), populated(split, self.buckets.len()))
    }

    /// How many samples it counts for where samples are limited. Matches `HPoint.size`.
    pub(crate) fn size(&self) -> usize {
        let Layout { positive, negative, custom_bounds, .. } = &**self.layout;
        let parts = positive.len() + negative.len() + self.buckets.len() + custom_bounds.len();
        (168 + 8 * parts + 8) / 16
    }

    /// A copy to compute with.
    pub(crate) fn owned(self) -> FloatHistogram {
        let mut owned = FloatHistogram::default();
        owned.set(self);
        owned
    }

    /// A copy for those who asked, without empty buckets if it is loose. `before` is the answer's
    /// histogram before this one: its layout is shared if it is the same.
    pub(crate) fn to_histogram(self, before: Option<&Arc<Layout>>) -> Histogram {
        let mut owned = self.owned();
        if owned.is_loose {
            owned.compact();
        }
        let layout = match before {
            Some(before) if **before == *owned.layout => Arc::clone(before),
            _ => owned.layout,
        };
        let FloatHistogram { hint, sum, count, zero_count, buckets, .. } = owned;
        Histogram { layout, hint, sum, counts: Counts::Float { count, zero_count, buckets } }
    }
}

/// Writes histograms for those who asked, as [`FloatRef::to_histogram`] does, into one column.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    before: Option<Arc<Layout>>,
    compacted: FloatHistogram,
}

impl Answers {
    pub(crate) fn push(&mut self, time_ms: i64, one: FloatRef<'_>, into: &mut Column) {
        let mut one = one;
        if one.is_loose || matches!(one.buckets, Buckets::Integer(_)) {
            self.compacted.set(one);
            if one.is_loose {
                self.compacted.compact();
            }
            one = self.compacted.as_ref();
        }
        let is_alike =
            |before: &&Arc<Layout>| Arc::ptr_eq(before, one.layout) || **before == *one.layout;
        let layout = Arc::clone(self.before.as_ref().filter(is_alike).unwrap_or(one.layout));
        let FloatRef { hint, sum, count, zero_count, buckets, .. } = one;
        if let Buckets::Float(buckets) = buckets {
            let counts = CountsRef::Float { count, zero_count, buckets };
            into.push_histogram(time_ms, HistogramRef { layout: &layout, hint, sum, counts });
        }
        self.before = Some(layout);
    }
}

/// A histogram to compute with. It keeps its memory from one to the next.
#[derive(Debug, Clone, Default)]
pub(crate) struct FloatHistogram {
    pub(crate) layout: Arc<Layout>,
    pub(crate) hint: ResetHint,
    /// Empty buckets count as not there.
    pub(crate) is_loose: bool,
    pub(crate) sum: f64,
    pub(crate) count: f64,
    pub(crate) zero_count: f64,
    /// Counts by bucket, positive ones first.
    pub(crate) buckets: Vec<f64>,
}

impl FloatHistogram {
    /// Makes it equal to `other`.
    pub(crate) fn set(&mut self, other: FloatRef<'_>) {
        if !Arc::ptr_eq(&self.layout, other.layout) {
            self.layout = Arc::clone(other.layout);
        }
        let FloatRef { hint, is_loose, sum, count, zero_count, .. } = other;
        (self.hint, self.is_loose) = (hint, is_loose);
        (self.sum, self.count, self.zero_count) = (sum, count, zero_count);
        self.buckets.clear();
        other.buckets.append_to(&mut self.buckets);
    }

    /// The histogram as those that are stored; one that is loose should be compacted before.
    pub(crate) fn view(&self) -> HistogramRef<'_> {
        let Self { layout, hint, sum, count, zero_count, buckets, .. } = self;
        let counts = CountsRef::Float { count: *count, zero_count: *zero_count, buckets };
        HistogramRef { layout, hint: *hint, sum: *sum, counts }
    }

    /// The histogram as a view.
    pub(crate) fn as_ref(&self) -> FloatRef<'_> {
        let Self { layout, hint, is_loose, sum, count, zero_count, buckets } = self;
        FloatRef {
            layout,
            hint: *hint,
            is_loose: *is_loose,
            sum: *sum,
            count: *count,
            zero_count: *zero_count,
            buckets: Buckets::Float(buckets),
        }
    }

    /// Changes all counts and the sum.
    pub(super) fn map(&mut self, change: impl Fn(f64) -> f64) {
        self.zero_count = change(self.zero_count);
        self.count = change(self.count);
        self.sum = change(self.sum);
        self.buckets.iter_mut().for_each(|count| *count = change(*count));
    }

    /// Multiplies all counts and the sum. A negative factor makes a gauge of it.
    pub(crate) fn scale(&mut self, factor: f64) {
        self.map(|count| count * factor);
        if factor < 0.0 {
            self.hint = ResetHint::Gauge;
        }
    }

    /// Divides all counts and the sum. Division by zero leaves no buckets.
    pub(crate) fn divide(&mut self, by: f64) {
        self.map(|count| count / by);
        if by == 0.0 {
            let Layout { schema, zero_threshold, custom_bounds, .. } = &*self.layout;
            let custom_bounds = custom_bounds.clone();
            let (schema, zero_threshold) = (*schema, *zero_threshold);
            let layout = Layout { schema, zero_threshold, custom_bounds, ..Layout::default() };
            self.layout = Arc::new(layout);
            self.buckets.clear();
        } else if by < 0.0 {
            self.hint = ResetHint::Gauge;
        }
    }

    /// True if a count or the sum is infinite. Matches `HasOverflow`.
    pub(crate) fn is_infinite(&self) -> bool {
        let parts = [self.zero_count, self.count, self.sum];
        let bounds = &self.layout.custom_bounds;
        parts.iter().chain(&self.buckets).chain(bounds).any(|value| value.is_infinite())
    }

    /// Drops empty buckets.
    pub(crate) fn compact(&mut self) {
        self.is_loose = false;
        self.compact_where(|_, count| count != 0.0);
    }

    /// Keeps the buckets for which `keep(position, count)` holds, in the fewest spans. Returns the
    /// positions that were kept if not all of them were.
    pub(super) fn compact_where(
        &mut self,
        keep: impl Fn(usize, f64) -> bool,
    ) -> Option<Vec<usize>> {
        let Layout { positive, negative, .. } = &*self.layout;
        let is_kept = |(position, count): (usize, &f64)| keep(position, *count);
        let keeps_all = self.buckets.iter().enumerate().all(is_kept);
        if keeps_all && are_fewest(positive) && are_fewest(negative) {
            return None;
        }
        let split = self.as_ref().positive_len();
        let mut kept = Vec::with_capacity(self.buckets.len());
        let mut side = |named: &[crate::model::histogram::Span], from: usize, to: usize| {
            let counts = self.buckets.get(from..to).unwrap_or_default();
            let places = indexes(named).zip(counts.iter().zip(from..));
            let left = places.filter(|(_, (count, position))| keep(*position, **count));
            spans(left.map(|(index, (_, position))| {
                kept.push(position);
                index
            }))
        };
        let positive = side(positive, 0, split);
        let negative = side(negative, split, self.buckets.len());
        let custom_bounds = self.layout.custom_bounds.clone();
        let Layout { schema, zero_threshold, .. } = *self.layout;
        self.layout =
            Arc::new(Layout { schema, zero_threshold, positive, negative, custom_bounds });
        self.buckets = kept.iter().filter_map(|at| self.buckets.get(*at).copied()).collect();
        Some(kept)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::histogram::{CUSTOM_SCHEMA, Span};

    /// A histogram of these buckets, by index.
    pub(crate) fn of(
        schema: i32,
        zero: (f64, f64),
        positive: &[(i32, f64)],
        negative: &[(i32, f64)],
    ) -> FloatHistogram {
        let side = |side: &[(i32, f64)]| spans(side.iter().map(|(index, _)| *index));
        let buckets: Vec<f64> = positive.iter().chain(negative).map(|(_, count)| *count).collect();
        let count = zero.1 + buckets.iter().sum::<f64>();
        let (positive, negative) = (side(positive), side(negative));
        let zero_threshold = zero.0;
        let layout =
            Layout { schema, zero_threshold, positive, negative, custom_bounds: Vec::new() };
        let (layout, sum, zero_count) = (Arc::new(layout), count * 1.5, zero.1);
        FloatHistogram { layout, sum, count, zero_count, buckets, ..FloatHistogram::default() }
    }

    /// A histogram of listed bounds; the last count is that above all of them.
    pub(crate) fn custom(bounds: &[f64], counts: &[f64]) -> FloatHistogram {
        let positive = vec![Span::new(0, counts.len() as u32)];
        let custom_bounds = bounds.to_vec();
        let schema = CUSTOM_SCHEMA;
        let layout = Arc::new(Layout { schema, positive, custom_bounds, ..Layout::default() });
        let count: f64 = counts.iter().sum();
        let buckets = counts.to_vec();
        FloatHistogram { layout, sum: count, count, buckets, ..FloatHistogram::default() }
    }

    prop_compose! {
        /// Any histogram of an exponential schema, with whole counts.
        pub(crate) fn any_exponential()(
            schema in -4_i32..=8,
            threshold in prop_oneof![Just(0.0), Just(1e-9), Just(0.01), Just(1.0)],
            zero in 0_u8..5,
            positive in prop::collection::btree_map(-9_i32..12, 0_u8..9, 0..9),
            negative in prop::collection::btree_map(-9_i32..12, 0_u8..9, 0..4),
        ) -> FloatHistogram {
            let side = |map: &std::collections::BTreeMap<i32, u8>| {
                map.iter().map(|(index, count)| (*index, f64::from(*count))).collect::<Vec<_>>()
            };
            of(schema, (threshold, f64::from(zero)), &side(&positive), &side(&negative))
        }
    }

    #[test]
    fn empty_buckets_are_dropped_and_spans_joined() {
        let mut some = of(0, (0.0, 0.0), &[(-1, 1.0), (0, 0.0), (1, 2.0), (2, 3.0)], &[(4, 0.0)]);
        assert_eq!(some.as_ref().sides(), (true, true));
        some.is_loose = true;
        assert_eq!(some.as_ref().sides(), (true, false));
        some.compact();
        assert_eq!(some.layout.positive, [Span::new(-1, 1), Span::new(1, 2)]);
        assert_eq!((some.layout.negative.len(), &some.buckets[..]), (0, &[1.0, 2.0, 3.0][..]));
        let layout = Arc::clone(&some.layout);
        some.compact();
        assert!(Arc::ptr_eq(&layout, &some.layout), "nothing to do keeps the layout");
    }

    #[test]
    fn nothing_is_left_of_a_division_by_zero_but_infinity() {
        let mut some = of(0, (0.1, 0.0), &[(0, 1.0)], &[]);
        some.divide(0.0);
        assert!(some.zero_count.is_nan() && some.count == f64::INFINITY && some.is_infinite());
        assert_eq!((some.buckets.len(), some.layout.zero_threshold), (0, 0.1));
    }

    #[test]
    fn a_size_is_at_least_eleven_samples() {
        assert_eq!(FloatHistogram::default().as_ref().size(), 11);
    }
}
