//! The histograms of one series by step.

use std::sync::Arc;

use crate::model::histogram::{Layout, ResetHint};

use super::value::{Buckets, Count as _, FloatRef, with_counts};

/// Histograms by step, ascending. Counts of all of them lie in one array, and neighbours share
/// their layout.
#[derive(Debug, Clone, Default)]
pub(crate) struct FloatRows {
    rows: Vec<Row>,
    layouts: Vec<Arc<Layout>>,
    buckets: Vec<f64>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    step: u32,
    layout: u32,
    start: usize,
    len: u32,
    hint: ResetHint,
    is_loose: bool,
    sum: f64,
    count: f64,
    zero_count: f64,
}

impl FloatRows {
    /// Forgets them, keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.layouts.clear();
        self.buckets.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many buckets all of them have.
    pub(crate) fn bucket_len(&self) -> usize {
        self.rows.iter().map(|row| row.len as usize).sum()
    }

    /// Adds the histogram of a step behind all others.
    pub(crate) fn push(&mut self, step: usize, one: FloatRef<'_>) {
        let layout = self.enter(one.layout);
        let start = self.buckets.len();
        one.buckets.append_to(&mut self.buckets);
        let FloatRef { hint, is_loose, sum, count, zero_count, buckets, .. } = one;
        let (step, len) = (step as u32, buckets.len() as u32);
        self.rows.push(Row { step, layout, start, len, hint, is_loose, sum, count, zero_count });
    }

    /// Adds, behind all others, what a counter has grown by between two histograms of one layout,
    /// times `factor`. That is a gauge. Not for buckets inside of the zero bucket.
    pub(crate) fn push_growth(
        &mut self,
        step: usize,
        (first, last): (&FloatRef<'_>, &FloatRef<'_>),
        factor: f64,
    ) {
        let layout = self.enter(last.layout);
        let start = self.buckets.len();
        let len = last.buckets.len() as u32;
        let grown = |last: f64, first: f64| (last - first) * factor;
        with_counts!(last.buckets, lasts => with_counts!(first.buckets, firsts => {
            let pairs = lasts.iter().zip(firsts);
            self.buckets.extend(pairs.map(|(last, first)| grown(last.float(), first.float())));
        }));
        // Where bounds are listed there is no zero bucket to subtract.
        let first_zero = if last.is_custom() { 0.0 } else { first.zero_count };
        self.rows.push(Row {
            step: step as u32,
            layout,
            start,
            len,
            hint: ResetHint::Gauge,
            is_loose: true,
            sum: grown(last.sum, first.sum),
            count: grown(last.count, first.count),
            zero_count: grown(last.zero_count, first_zero),
        });
    }

    fn enter(&mut self, layout: &Arc<Layout>) -> u32 {
        if !self.layouts.last().is_some_and(|last| Arc::ptr_eq(last, layout)) {
            self.layouts.push(Arc::clone(layout));
        }
        self.layouts.len() as u32 - 1
    }

    fn view(&self, row: &Row) -> Option<FloatRef<'_>> {
        let buckets = self.buckets.get(row.start..row.start + row.len as usize)?;
        Some(FloatRef {
            layout: self.layouts.get(row.layout as usize)?,
            hint: row.hint,
            is_loose: row.is_loose,
            sum: row.sum,
            count: row.count,
            zero_count: row.zero_count,
            buckets: Buckets::Float(buckets),
        })
    }

    fn place(&self, step: usize) -> Option<usize> {
        // Series are mostly there at every step.
        if self.rows.get(step).is_some_and(|row| row.step as usize == step) {
            return Some(step);
        }
        self.rows.binary_search_by_key(&(step as u32), |row| row.step).ok()
    }

    /// The histogram of a step, if it has one.
    pub(crate) fn get(&self, step: usize) -> Option<FloatRef<'_>> {
        if self.rows.is_empty() {
            return None;
        }
        self.view(self.rows.get(self.place(step)?)?)
    }

    /// All of them with their steps.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, FloatRef<'_>)> {
        self.rows.iter().filter_map(|row| Some((row.step as usize, self.view(row)?)))
    }

    /// Their steps.
    pub(crate) fn steps(&self) -> impl Iterator<Item = usize> + '_ {
        self.rows.iter().map(|row| row.step as usize)
    }

    /// Keeps those of the steps for which `keep` holds.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        self.rows.retain(|row| keep(row.step as usize));
    }

    /// Multiplies counts and sums by the factor of their step, in place.
    pub(crate) fn scale(&mut self, factor: impl Fn(usize) -> f64) {
        for row in &mut self.rows {
            let factor = factor(row.step as usize);
            row.sum *= factor;
            row.count *= factor;
            row.zero_count *= factor;
            let counts = self.buckets.get_mut(row.start..row.start + row.len as usize);
            counts.unwrap_or_default().iter_mut().for_each(|count| *count *= factor);
            if factor < 0.0 {
                row.hint = ResetHint::Gauge;
            }
        }
    }

    /// Takes over the histograms of `other`, which has them at other steps.
    pub(crate) fn absorb(&mut self, other: &Self) {
        for (step, one) in other.iter() {
            self.push(step, one);
        }
        self.rows.sort_by_key(|row| row.step);
    }

    /// How many samples they count for where samples are limited.
    pub(crate) fn size(&self) -> usize {
        self.iter().map(|(_, one)| one.size()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Overlays;
    use super::super::value::tests::of;
    use super::*;

    fn rows(steps: &[usize]) -> FloatRows {
        let mut rows = FloatRows::default();
        for step in steps {
            rows.push(*step, of(0, (0.0, 0.0), &[(0, *step as f64)], &[]).as_ref());
        }
        rows
    }

    #[test]
    fn they_are_found_by_step() {
        let mut some = rows(&[0, 1, 4, 7]);
        assert_eq!(some.get(4).map(|one| one.count), Some(4.0));
        assert!(some.get(2).is_none() && rows(&[]).get(0).is_none());
        some.retain(|step| step != 1);
        assert_eq!(some.steps().collect::<Vec<_>>(), [0, 4, 7]);
        some.absorb(&rows(&[2, 9]));
        assert_eq!(some.steps().collect::<Vec<_>>(), [0, 2, 4, 7, 9]);
        assert_eq!(some.get(2).map(|one| one.count), Some(2.0));
        assert_eq!((some.len(), some.size()), (5, 5 * 12));
    }

    #[test]
    fn growth_is_the_difference_times_a_factor() {
        let (mut overlays, mut some) = (Overlays::default(), FloatRows::default());
        let first = of(1, (0.0, 2.0), &[(0, 1.0), (1, 5.0)], &[(3, 7.0)]);
        let mut last = of(1, (0.0, 5.0), &[(0, 4.0), (1, 5.0)], &[(3, 9.0)]);
        some.push_growth(3, (&first.as_ref(), &last.as_ref()), 0.3);
        last.subtract(first.as_ref(), &mut overlays).unwrap();
        last.scale(0.3);
        let grown = some.get(3).unwrap();
        assert!(grown.is_loose && grown.hint == ResetHint::Gauge);
        let parts = (grown.sum, grown.count, grown.zero_count);
        assert_eq!(parts, (last.sum, last.count, last.zero_count));
        assert_eq!(grown.owned().buckets, last.buckets);
    }

    #[test]
    fn they_are_scaled_in_place() {
        let mut some = rows(&[1, 2]);
        some.scale(|step| step as f64);
        assert_eq!(some.get(2).map(|one| one.count), Some(4.0));
        some.scale(|_| -1.0);
        assert_eq!(some.get(1).map(|one| one.hint), Some(ResetHint::Gauge));
    }
}
