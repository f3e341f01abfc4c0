//! The values of one series at all steps: dense, with presence beside them.

#![expect(clippy::indexing_slicing, reason = "hot loops over arrays whose lengths reset() ties")]

const BITS: usize = 64;

/// One value a step, and a bit that tells whether the step has one. NaN is a value.
#[derive(Debug, Clone, Default)]
pub(crate) struct StepColumn {
    values: Vec<f64>,
    present: Vec<u64>,
}

impl StepColumn {
    pub(crate) const fn new() -> Self {
        Self { values: Vec::new(), present: Vec::new() }
    }

    /// Makes it equal to `other`.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.values.clone_from(&other.values);
        self.present.clone_from(&other.present);
    }

    /// Makes it `len` steps long, all of them without a value.
    pub(crate) fn reset(&mut self, len: usize) {
        self.values.resize(len, 0.0);
        self.present.clear();
        self.present.resize(len.div_ceil(BITS), 0);
    }

    /// Makes it `len` steps long, all of them with `value`.
    pub(crate) fn fill(&mut self, len: usize, value: f64) {
        self.values.clear();
        self.values.resize(len, value);
        self.present.clear();
        self.present.resize(len.div_ceil(BITS), u64::MAX);
        self.trim();
    }

    /// Asks `value` for each step, in order.
    #[inline]
    pub(crate) fn fill_with(&mut self, len: usize, mut value: impl FnMut(usize) -> Option<f64>) {
        self.values.resize(len, 0.0);
        self.present.clear();
        for (word, chunk) in self.values.chunks_mut(BITS).enumerate() {
            let mut bits = 0;
            for (bit, slot) in chunk.iter_mut().enumerate() {
                if let Some(value) = value(word * BITS + bit) {
                    *slot = value;
                    bits |= 1 << bit;
                }
            }
            self.present.push(bits);
        }
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

    /// How many steps have a value.
    pub(crate) fn count(&self) -> usize {
        self.present.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.present.iter().all(|word| *word == 0)
    }

    /// True if every step has a value.
    pub(crate) fn is_full(&self) -> bool {
        self.count() == self.values.len()
    }

    #[inline]
    pub(crate) fn has(&self, step: usize) -> bool {
        self.present[step / BITS] >> (step % BITS) & 1 == 1
    }

    #[inline]
    pub(crate) fn get(&self, step: usize) -> Option<f64> {
        self.has(step).then(|| self.values[step])
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

    /// Presence, 64 steps a word, lowest bit first.
    pub(crate) fn words(&self) -> &[u64] {
        &self.present
    }

    /// Values and presence, to be changed together.
    pub(crate) fn parts_mut(&mut self) -> (&mut [f64], &mut [u64]) {
        (&mut self.values, &mut self.present)
    }

    /// Steps that have a value, with it, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        ones(&self.present).map(|step| (step, self.values[step]))
    }

    /// Replaces each value, present or not.
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

    /// Keeps the bits that `other` has too.
    pub(crate) fn keep_where(&mut self, other: &[u64]) {
        for (mine, other) in self.present.iter_mut().zip(other) {
            *mine &= other;
        }
    }

    /// Drops the bits that `other` has.
    pub(crate) fn drop_where(&mut self, other: &[u64]) {
        for (mine, other) in self.present.iter_mut().zip(other) {
            *mine &= !other;
        }
    }

    /// Takes over the values that `other` has. False if a step has one in both.
    #[must_use]
    pub(crate) fn absorb(&mut self, other: &Self) -> bool {
        let apart = self.present.iter().zip(&other.present).all(|(mine, other)| mine & other == 0);
        if apart {
            for (step, value) in other.iter() {
                self.set(step, value);
            }
        }
        apart
    }

    /// Makes `len` steps out of one.
    pub(crate) fn repeat(&mut self, len: usize) {
        match self.values.first().copied().filter(|_| self.has(0)) {
            Some(value) => self.fill(len, value),
            None => self.reset(len),
        }
    }
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

    #[test]
    fn columns_that_overlap_are_not_absorbed() {
        let (mut a, mut b) = (StepColumn::new(), StepColumn::new());
        a.fill_with(3, |step| (step < 2).then_some(1.0));
        b.fill_with(3, |step| (step == 2).then_some(2.0));
        assert!(a.absorb(&b) && a.is_full());
        assert!(!a.absorb(&b));
    }
}
