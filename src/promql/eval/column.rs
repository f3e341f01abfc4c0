//! The values of one series at all steps: floats are dense, with presence beside them; histograms
//! stand apart, as most series have none.

#![expect(clippy::indexing_slicing, reason = "hot loops over arrays whose lengths reset() ties")]

use crate::model::histogram::float::{FloatRef, FloatRows};

const BITS: usize = 64;

/// One value a step, and a bit that tells whether the step has one. NaN is a value. A step that
/// has a histogram has no such bit.
#[derive(Debug, Clone, Default)]
pub(crate) struct StepColumn {
    values: Vec<f64>,
    present: Vec<u64>,
    /// Kept when it becomes empty, for its memory.
    histograms: Option<Box<FloatRows>>,
}

/// The value of one step.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StepValue<'a> {
    Float(f64),
    Histogram(FloatRef<'a>),
}

impl StepColumn {
    pub(crate) const fn new() -> Self {
        Self { values: Vec::new(), present: Vec::new(), histograms: None }
    }

    /// Makes it equal to `other`.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.values.clone_from(&other.values);
        self.present.clone_from(&other.present);
        match (&mut self.histograms, other.rows()) {
            (None, None) => {}
            (Some(mine), Some(rows)) => mine.as_mut().clone_from(rows),
            (mine, rows) => *mine = rows.cloned().map(Box::new),
        }
    }

    /// The histograms, if there are any.
    pub(crate) fn rows(&self) -> Option<&FloatRows> {
        self.histograms.as_deref().filter(|rows| !rows.is_empty())
    }

    /// The histograms, to be changed.
    pub(crate) fn rows_mut(&mut self) -> &mut FloatRows {
        self.histograms.get_or_insert_default()
    }

    /// Takes the histograms out; they come back by [`StepColumn::put_rows`].
    pub(crate) fn take_rows(&mut self) -> FloatRows {
        self.histograms.as_mut().map(|rows| std::mem::take(rows.as_mut())).unwrap_or_default()
    }

    /// Forgets the histograms and lends their memory, for others to be put in.
    pub(crate) fn empty_rows(&mut self) -> FloatRows {
        let mut rows = self.take_rows();
        rows.clear();
        rows
    }

    /// Sets the histograms, at steps that have no float.
    pub(crate) fn put_rows(&mut self, rows: FloatRows) {
        if self.histograms.is_some() || !rows.is_empty() {
            *self.rows_mut() = rows;
        }
    }

    /// Forgets the histograms, keeps their memory.
    pub(crate) fn drop_histograms(&mut self) {
        if let Some(rows) = &mut self.histograms {
            rows.clear();
        }
    }

    /// Makes it `len` steps long, all of them without a value.
    pub(crate) fn reset(&mut self, len: usize) {
        self.values.resize(len, 0.0);
        self.present.clear();
        self.present.resize(len.div_ceil(BITS), 0);
        self.drop_histograms();
    }

    /// Makes it `len` steps long, all of them with `value`.
    pub(crate) fn fill(&mut self, len: usize, value: f64) {
        self.values.clear();
        self.values.resize(len, value);
        self.present.clear();
        self.present.resize(len.div_ceil(BITS), u64::MAX);
        self.drop_histograms();
        self.trim();
    }

    /// Asks `value` for each step, in order.
    #[inline]
    pub(crate) fn fill_with(&mut self, len: usize, mut value: impl FnMut(usize) -> Option<f64>) {
        self.fill_words(len, |first, slots| {
            let mut bits = 0;
            for (bit, slot) in slots.iter_mut().enumerate() {
                if let Some(value) = value(first + bit) {
                    *slot = value;
                    bits |= 1 << bit;
                }
            }
            bits
        });
    }

    /// Asks `fill` for the values of up to 64 steps at once, in order. It gets the first of them
    /// and returns a bit for each that has a value, the first one lowest.
    #[inline]
    pub(crate) fn fill_words(
        &mut self,
        len: usize,
        mut fill: impl FnMut(usize, &mut [f64]) -> u64,
    ) {
        self.values.resize(len, 0.0);
        self.present.clear();
        self.drop_histograms();
        let slots = self.values.chunks_mut(BITS).enumerate();
        self.present.extend(slots.map(|(word, slots)| fill(word * BITS, slots)));
    }

    /// Drops the bits behind the last step.
    fn trim(&mut self) {
        let rest = self.values.len() % BITS;
        if let (Some(last), true) = (self.present.last_mut(), rest > 0) {
            *last &= (1 << rest) - 1;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// How many steps have a float.
    pub(crate) fn float_count(&self) -> usize {
        self.present.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// How many steps have a value.
    pub(crate) fn count(&self) -> usize {
        self.float_count() + self.rows().map_or(0, FloatRows::len)
    }

    /// How many samples it counts for where samples are limited.
    pub(crate) fn size(&self) -> usize {
        self.float_count() + self.rows().map_or(0, FloatRows::size)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.present.iter().all(|word| *word == 0) && self.rows().is_none()
    }

    /// True if every step has a float.
    pub(crate) fn is_full(&self) -> bool {
        self.float_count() == self.values.len()
    }

    /// True if the step has a value.
    #[inline]
    pub(crate) fn has(&self, step: usize) -> bool {
        self.has_float(step) || self.rows().is_some_and(|rows| rows.get(step).is_some())
    }

    #[inline]
    fn has_float(&self, step: usize) -> bool {
        self.present[step / BITS] >> (step % BITS) & 1 == 1
    }

    /// The float of a step.
    #[inline]
    pub(crate) fn get(&self, step: usize) -> Option<f64> {
        self.has_float(step).then(|| self.values[step])
    }

    /// The value of a step.
    pub(crate) fn value(&self, step: usize) -> Option<StepValue<'_>> {
        let histogram = || Some(StepValue::Histogram(self.rows()?.get(step)?));
        self.get(step).map(StepValue::Float).or_else(histogram)
    }

    #[inline]
    pub(crate) fn set(&mut self, step: usize, value: f64) {
        self.values[step] = value;
        self.present[step / BITS] |= 1 << (step % BITS);
    }

    #[inline]
    pub(crate) fn unset(&mut self, step: usize) {
        self.present[step / BITS] &= !(1 << (step % BITS));
    }

    /// Values by step; what stands where no bit is set means nothing.
    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    /// Takes the values out, in no more memory than they need.
    pub(crate) fn take_values(&mut self) -> Vec<f64> {
        let mut values = std::mem::take(&mut self.values);
        values.shrink_to_fit();
        values
    }

    /// Presence of floats, 64 steps a word, lowest bit first.
    pub(crate) fn words(&self) -> &[u64] {
        &self.present
    }

    /// Presence of values of both kinds, in `spare` if there are histograms.
    pub(crate) fn all_words<'a>(&'a self, spare: &'a mut Vec<u64>) -> &'a [u64] {
        let Some(rows) = self.rows() else { return &self.present };
        spare.clone_from(&self.present);
        for step in rows.steps() {
            if let Some(word) = spare.get_mut(step / BITS) {
                *word |= 1 << (step % BITS);
            }
        }
        spare
    }

    /// Floats and their presence, to be changed together.
    pub(crate) fn parts_mut(&mut self) -> (&mut [f64], &mut [u64]) {
        (&mut self.values, &mut self.present)
    }

    /// Steps that have a float, with it, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        ones(&self.present).map(|step| (step, self.values[step]))
    }

    /// All values with their steps, in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, StepValue<'_>)> {
        let mut floats = self.iter().peekable();
        let mut rows = self.rows().into_iter().flat_map(FloatRows::iter).peekable();
        std::iter::from_fn(move || {
            let float_first = match (floats.peek(), rows.peek()) {
                (Some((float, _)), Some((row, _))) => float < row,
                (float, _) => float.is_some(),
            };
            if float_first {
                return floats.next().map(|(step, value)| (step, StepValue::Float(value)));
            }
            rows.next().map(|(step, one)| (step, StepValue::Histogram(one)))
        })
    }

    /// Replaces each float, present or not.
    #[inline]
    pub(crate) fn map(&mut self, change: impl Fn(f64) -> f64) {
        for value in &mut self.values {
            *value = change(*value);
        }
    }

    /// Adds the bits that `other` has. What stands there means nothing yet.
    pub(crate) fn mark(&mut self, other: &[u64]) {
        for (mine, other) in self.present.iter_mut().zip(other) {
            *mine |= other;
        }
    }

    /// Keeps the values where `other` has a bit too.
    pub(crate) fn keep_where(&mut self, other: &[u64]) {
        for (mine, other) in self.present.iter_mut().zip(other) {
            *mine &= other;
        }
        self.retain_rows(|step| is_set(other, step));
    }

    /// Drops the values where `other` has a bit.
    pub(crate) fn drop_where(&mut self, other: &[u64]) {
        for (mine, other) in self.present.iter_mut().zip(other) {
            *mine &= !other;
        }
        self.retain_rows(|step| !is_set(other, step));
    }

    fn retain_rows(&mut self, keep: impl FnMut(usize) -> bool) {
        if let Some(rows) = self.histograms.as_mut().filter(|rows| !rows.is_empty()) {
            rows.retain(keep);
        }
    }

    /// Takes over the values that `other` has. False if a step has one in both.
    #[must_use]
    pub(crate) fn absorb(&mut self, other: &Self) -> bool {
        if self.rows().is_some() || other.rows().is_some() {
            return self.absorb_all(other);
        }
        let apart = self.present.iter().zip(&other.present).all(|(mine, other)| mine & other == 0);
        if apart {
            for (step, value) in other.iter() {
                self.set(step, value);
            }
        }
        apart
    }

    fn absorb_all(&mut self, other: &Self) -> bool {
        let apart = other.all().all(|(step, _)| !self.has(step));
        if apart {
            for (step, value) in other.iter() {
                self.set(step, value);
            }
            if let Some(rows) = other.rows() {
                self.rows_mut().absorb(rows);
            }
        }
        apart
    }

    /// Makes `len` steps out of one.
    pub(crate) fn repeat(&mut self, len: usize) {
        if let Some(one) = self.rows().and_then(|rows| rows.get(0)) {
            let mut rows = FloatRows::default();
            (0..len).for_each(|step| rows.push(step, one));
            self.reset(len);
            self.put_rows(rows);
            return;
        }
        match self.values.first().copied().filter(|_| self.has_float(0)) {
            Some(value) => self.fill(len, value),
            None => self.reset(len),
        }
    }
}

fn is_set(words: &[u64], step: usize) -> bool {
    words.get(step / BITS).is_some_and(|word| word >> (step % BITS) & 1 == 1)
}

/// Indexes of the set bits, ascending.
pub(crate) fn ones(words: &[u64]) -> impl Iterator<Item = usize> + '_ {
    words.iter().enumerate().flat_map(|(index, word)| {
        let mut rest = *word;
        std::iter::from_fn(move || {
            let bit = rest.trailing_zeros() as usize;
            (rest != 0).then(|| {
                rest &= rest - 1;
                index * BITS + bit
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::histogram::float::FloatHistogram;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_filled_in_is_read_back(
            cells in proptest::collection::vec(proptest::option::of(any::<i16>()), 0..200)
        ) {
            let cells: Vec<_> = cells.into_iter().map(|cell| cell.map(f64::from)).collect();
            let mut column = StepColumn::new();
            column.fill(300, 7.0);
            column.fill_with(cells.len(), |step| cells[step]);
            let back: Vec<_> = (0..cells.len()).map(|step| column.get(step)).collect();
            prop_assert_eq!(&back, &cells);
            let listed: Vec<_> = column.iter().collect();
            let expected: Vec<_> =
                cells.iter().enumerate().filter_map(|(i, cell)| cell.map(|v| (i, v))).collect();
            prop_assert_eq!(column.count(), expected.len());
            prop_assert_eq!(listed, expected);
            prop_assert_eq!(column.is_full(), cells.iter().all(Option::is_some));
        }
    }

    /// Floats at even steps, histograms at every third other one.
    fn mixed(len: usize) -> StepColumn {
        let mut column = StepColumn::new();
        column.fill_with(len, |step| (step % 2 == 0).then_some(step as f64));
        let mut one = FloatHistogram::default();
        for step in (0..len).filter(|step| step % 2 == 1 && step % 3 == 0) {
            one.count = step as f64;
            column.rows_mut().push(step, one.as_ref());
        }
        column
    }

    #[test]
    fn histograms_stand_between_floats() {
        let mut column = mixed(100);
        let steps: Vec<usize> = column.all().map(|(step, _)| step).collect();
        let expected: Vec<usize> = (0..100).filter(|step| step % 2 == 0 || step % 3 == 0).collect();
        assert_eq!((&steps, column.count()), (&expected, expected.len()));
        let mut spare = Vec::new();
        assert_eq!(ones(column.all_words(&mut spare)).collect::<Vec<_>>(), expected);
        assert!(matches!(column.value(9), Some(StepValue::Histogram(one)) if one.count == 9.0));
        assert!(column.has(9) && !column.has(1) && column.get(9).is_none());
        let mut copy = StepColumn::new();
        copy.copy_from(&column);
        let mut rest = StepColumn::new();
        rest.fill_with(100, |step| (!copy.has(step)).then_some(0.5));
        assert!(copy.absorb(&rest) && copy.count() == 100 && !copy.absorb(&column));
        column.keep_where(&[1 << 9 | 1 << 4, 0]);
        assert_eq!(column.all().map(|(step, _)| step).collect::<Vec<_>>(), [4, 9]);
        column.drop_where(&[1 << 4, 0]);
        assert_eq!(column.all().map(|(step, _)| step).collect::<Vec<_>>(), [9]);
        column.reset(10);
        assert!(column.is_empty() && column.rows().is_none());
    }

    #[test]
    fn a_histogram_is_repeated() {
        let mut column = StepColumn::new();
        column.reset(1);
        column.rows_mut().push(0, FloatHistogram::default().as_ref());
        column.repeat(70);
        assert_eq!((column.len(), column.count(), column.float_count()), (70, 70, 0));
        assert_eq!(column.size(), 70 * 11);
    }

    #[test]
    fn columns_that_overlap_are_not_absorbed() {
        let (mut a, mut b) = (StepColumn::new(), StepColumn::new());
        a.fill_with(3, |step| (step < 2).then_some(1.0));
        b.fill_with(3, |step| (step == 2).then_some(2.0));
        assert!(a.absorb(&b) && a.is_full());
        assert!(!a.absorb(&b));
    }
}
