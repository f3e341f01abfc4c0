//! How the buckets of one layout lie over those of another.

use std::sync::Arc;

use crate::model::histogram::{Layout, Span};

use super::bounds::{bound, coarser};
use super::indexes::{indexes, spans};

/// The place of a bucket that is not counted.
pub(super) const NOWHERE: u32 = u32::MAX;

/// A layout that holds the buckets of two others. The zero threshold is that of the left one,
/// which must not be below that of the right one.
#[derive(Debug)]
pub(super) struct Overlay {
    left: Arc<Layout>,
    right: Arc<Layout>,
    pub(super) joined: Arc<Layout>,
    /// Places of the left buckets; `None` if they stay where they are.
    pub(super) left_places: Option<Vec<u32>>,
    pub(super) right_places: Vec<u32>,
    /// Several right buckets go to one place.
    pub(super) right_folds: bool,
    /// The bounds were listed and are not the same: only those that both have are left.
    pub(super) is_reconciled: bool,
}

/// The overlays that were used last. Layouts change rarely along a series and are few among the
/// series of a metric, so that almost every histogram finds its overlay here.
#[derive(Debug, Default)]
pub(crate) struct Overlays {
    pub(super) known: Vec<Overlay>,
    oldest: usize,
    /// Memory for counts on their way from one layout to another.
    pub(super) spare: Vec<f64>,
    pub(super) spare_lost: Vec<f64>,
}

/// How many overlays are kept.
const KNOWN_MAX: usize = 16;

impl Overlays {
    /// The overlay of two layouts, both with exponential or both with listed bounds, by its
    /// position in `known`.
    pub(super) fn find(&mut self, left: &Arc<Layout>, right: &Arc<Layout>) -> usize {
        let is_it =
            |known: &Overlay| Arc::ptr_eq(&known.left, left) && Arc::ptr_eq(&known.right, right);
        if let Some(known) = self.known.iter().position(is_it) {
            return known;
        }
        let new = Overlay::new(left, right);
        if self.known.len() < KNOWN_MAX {
            self.known.push(new);
            return self.known.len() - 1;
        }
        let place = self.oldest % KNOWN_MAX;
        self.oldest = place + 1;
        if let Some(slot) = self.known.get_mut(place) {
            *slot = new;
        }
        place
    }
}

impl Overlay {
    fn new(left: &Arc<Layout>, right: &Arc<Layout>) -> Self {
        if left.is_custom() && !has_equal_bounds(left, right) {
            return Self::reconciled(left, right);
        }
        let schema = left.schema.min(right.schema);
        let threshold = (!left.is_custom()).then_some(left.zero_threshold);
        let positive = Side::new((left, &left.positive), (right, &right.positive), threshold);
        let negative = Side::new((left, &left.negative), (right, &right.negative), threshold);
        let joined = Layout {
            schema,
            zero_threshold: left.zero_threshold,
            positive: spans(positive.joined.iter().copied()),
            negative: spans(negative.joined.iter().copied()),
            custom_bounds: left.custom_bounds.clone(),
        };
        let joined = shared(joined, left, right);
        let split = positive.joined.len() as u32;
        let both = |first: Vec<u32>, second: Vec<u32>| {
            let moved = second.into_iter().map(|to| if to == NOWHERE { to } else { to + split });
            first.into_iter().chain(moved).collect::<Vec<u32>>()
        };
        let left_places = both(positive.left, negative.left);
        let right_places = both(positive.right, negative.right);
        let stays = Arc::ptr_eq(&joined, left);
        let right_folds = right.schema > schema;
        Self {
            left: Arc::clone(left),
            right: Arc::clone(right),
            joined,
            left_places: (!stays).then_some(left_places),
            right_places,
            right_folds,
            is_reconciled: false,
        }
    }

    /// Of listed bounds only those that both layouts have are kept.
    fn reconciled(left: &Arc<Layout>, right: &Arc<Layout>) -> Self {
        let common = common_bounds(&left.custom_bounds, &right.custom_bounds);
        let positive = vec![Span::new(0, common.len() as u32 + 1)];
        let left_places = custom_places(left, &common);
        let right_places = custom_places(right, &common);
        let joined =
            Layout { schema: left.schema, positive, custom_bounds: common, ..Layout::default() };
        Self {
            left: Arc::clone(left),
            right: Arc::clone(right),
            joined: Arc::new(joined),
            left_places: Some(left_places),
            right_places,
            right_folds: false,
            is_reconciled: true,
        }
    }
}

/// `joined` itself, or the one of the two others that is equal to it.
fn shared(joined: Layout, left: &Arc<Layout>, right: &Arc<Layout>) -> Arc<Layout> {
    if joined == **left {
        Arc::clone(left)
    } else if joined == **right {
        Arc::clone(right)
    } else {
        Arc::new(joined)
    }
}

/// As numbers, where `-0` is `0`.
pub(super) fn has_equal_bounds(a: &Layout, b: &Layout) -> bool {
    a.custom_bounds == b.custom_bounds
}

/// The bounds that are in both lists.
pub(super) fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut rest = b.iter().peekable();
    let is_common = |bound: &&f64| {
        while rest.next_if(|other| **other < **bound).is_some() {}
        rest.peek().is_some_and(|other| **other == **bound)
    };
    a.iter().filter(is_common).copied().collect()
}

/// Where the buckets go if only the bounds `common` are left.
pub(super) fn custom_places(layout: &Layout, common: &[f64]) -> Vec<u32> {
    let place = |index: i32| {
        let upper = layout.bound(index);
        common.partition_point(|bound| *bound < upper) as u32
    };
    indexes(&layout.positive).take(named(&layout.positive)).map(place).collect()
}

/// How many buckets spans name, within what any histogram can have.
fn named(spans: &[Span]) -> usize {
    let count = spans.iter().fold(0, |sum: usize, span| sum.saturating_add(span.length as usize));
    count.min(BUCKETS_MAX)
}

/// No histogram has more buckets; a layout that names more is a broken one.
const BUCKETS_MAX: usize = 1 << 20;

/// The buckets of one sign.
struct Side {
    joined: Vec<i32>,
    left: Vec<u32>,
    right: Vec<u32>,
}

impl Side {
    /// Right buckets whose end does not reach beyond `threshold` are not counted, up to the first
    /// that does. Matches `addBuckets`.
    fn new(left: (&Layout, &[Span]), right: (&Layout, &[Span]), threshold: Option<f64>) -> Self {
        let schema = left.0.schema.min(right.0.schema);
        let reduced = |of: (&Layout, &[Span])| -> Vec<i32> {
            let all = indexes(of.1).take(named(of.1));
            let from = of.0.schema;
            all.map(|index| if from > schema { coarser(index, from, schema) } else { index })
                .collect()
        };
        let (a, b) = (reduced(left), reduced(right));
        let is_hidden = |index: &&i32| threshold.is_some_and(|t| bound(**index, schema) <= t);
        let hidden = b.iter().take_while(is_hidden).count();
        let seen = b.get(hidden..).unwrap_or_default();
        let mut joined: Vec<i32> = a.iter().chain(seen).copied().collect();
        joined.sort_unstable();
        joined.dedup();
        let place = |index: &i32| joined.binary_search(index).map_or(NOWHERE, |at| at as u32);
        let left = a.iter().map(place).collect();
        let behind = seen.iter().map(place);
        let right = std::iter::repeat_n(NOWHERE, hidden).chain(behind).collect();
        Self { joined, left, right }
    }
}

/// True if buckets of this layout lie inside of its own zero bucket: of such a histogram they are
/// not added to another.
pub(super) fn has_hidden(layout: &Layout) -> bool {
    if layout.is_custom() || layout.zero_threshold == 0.0 {
        return false;
    }
    let first = |spans: &[Span]| indexes(spans).next();
    let is_hidden = |index: i32| bound(index, layout.schema) <= layout.zero_threshold;
    first(&layout.positive).is_some_and(is_hidden) || first(&layout.negative).is_some_and(is_hidden)
}

#[cfg(test)]
mod tests {
    use super::super::value::tests::{custom, of};
    use super::*;

    #[test]
    fn a_layout_that_holds_the_other_is_kept() {
        let wide = of(0, (0.0, 0.0), &[(0, 1.0), (1, 1.0), (3, 1.0)], &[(2, 1.0)]).layout;
        let narrow = of(0, (0.0, 0.0), &[(1, 1.0)], &[(2, 1.0)]).layout;
        let mut overlays = Overlays::default();
        let at = overlays.find(&wide, &narrow);
        let overlay = &overlays.known[at];
        assert!(Arc::ptr_eq(&overlay.joined, &wide) && overlay.left_places.is_none());
        assert_eq!(overlay.right_places, [1, 3]);
        assert_eq!(overlays.find(&wide, &narrow), at);
        let at = overlays.find(&narrow, &wide);
        let overlay = &overlays.known[at];
        assert!(Arc::ptr_eq(&overlay.joined, &wide));
        assert_eq!(overlay.left_places.as_deref(), Some(&[1, 3][..]));
    }

    #[test]
    fn finer_buckets_fold_and_hidden_ones_go_nowhere() {
        let coarse = of(0, (1.0, 0.0), &[(1, 1.0)], &[]).layout;
        let fine = of(1, (0.0, 0.0), &[(-1, 1.0), (1, 1.0), (2, 1.0), (3, 1.0)], &[]).layout;
        let mut overlays = Overlays::default();
        let at = overlays.find(&coarse, &fine);
        let overlay = &overlays.known[at];
        assert!(overlay.right_folds);
        assert_eq!(overlay.right_places, [NOWHERE, 0, 0, 1]);
        assert!(!has_hidden(&coarse));
        assert!(has_hidden(&of(0, (1.0, 0.0), &[(0, 1.0)], &[]).layout));
    }

    #[test]
    fn bounds_that_only_one_has_are_dropped() {
        let a = custom(&[1.0, 2.0, 3.0], &[0.0; 4]).layout;
        let b = custom(&[0.5, 1.0, 3.0], &[0.0; 4]).layout;
        let mut overlays = Overlays::default();
        let at = overlays.find(&a, &b);
        let overlay = &overlays.known[at];
        assert!(overlay.is_reconciled);
        assert_eq!(overlay.joined.custom_bounds, [1.0, 3.0]);
        assert_eq!(overlay.left_places.as_deref(), Some(&[0, 1, 1, 2][..]));
        assert_eq!(overlay.right_places, [0, 0, 1, 2]);
        assert!(common_bounds(&[], &[1.0]).is_empty());
    }

    #[test]
    fn only_so_many_overlays_are_kept() {
        let mut overlays = Overlays::default();
        let right = of(0, (0.0, 0.0), &[(1, 1.0)], &[]).layout;
        for index in 0..50 {
            let left = of(0, (0.0, 0.0), &[(index, 1.0)], &[]).layout;
            let at = overlays.find(&left, &right);
            assert!(Arc::ptr_eq(&overlays.known[at].left, &left));
        }
        assert_eq!(overlays.known.len(), KNOWN_MAX);
    }
}
