//! Label sets as the numbers of their texts, as an index has them.
//!
//! Sets share their labels, so a label is known by its place in memory: its texts are looked at
//! once, however many sets have it.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::storage::index::SymbolPair;

use super::symbols::{SharedLabels, Symbol};

/// A label, found by its place in memory.
#[derive(Debug, Clone, Copy)]
struct Place<'a>(&'a Symbol);

impl PartialEq for Place<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.address() == other.0.address()
    }
}

impl Eq for Place<'_> {}

impl Hash for Place<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.0.address());
    }
}

/// Spreads places in memory evenly, for a table that takes its slot from the low bits.
#[derive(Debug, Default, Clone, Copy)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_usize(&mut self, address: usize) {
        self.0 = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

/// The labels of many sets, and the numbers of their names and values.
#[derive(Debug, Default)]
pub(in crate::storage) struct NumberedLabels<'a> {
    numbers: HashMap<Place<'a>, SymbolPair, BuildHasherDefault<Spread>>,
    /// Those of the last set: neighbours in label order share most of theirs, at the same places.
    last: Vec<(usize, SymbolPair)>,
}

impl<'a> NumberedLabels<'a> {
    /// The labels of these sets, without numbers.
    pub(in crate::storage) fn gather(sets: impl Iterator<Item = &'a SharedLabels>) -> Self {
        let mut numbers: HashMap<_, _, _> = HashMap::default();
        let mut last: Vec<usize> = Vec::new();
        for set in sets {
            for (index, label) in set.symbols().iter().enumerate() {
                match last.get_mut(index) {
                    Some(last) if *last == label.address() => continue,
                    Some(last) => *last = label.address(),
                    None => last.push(label.address()),
                }
                numbers.entry(Place(label)).or_default();
            }
        }
        Self { numbers, last: Vec::new() }
    }

    /// All names and values, ascending.
    pub(in crate::storage) fn texts(&self) -> Vec<&'a str> {
        let pairs = || self.numbers.keys().map(|label| label.0.pair());
        // There are few names, and values seldom belong to two of them.
        let names: HashSet<&str> = pairs().map(|(name, _)| name).collect();
        let mut texts: Vec<&str> = names.into_iter().chain(pairs().map(|pair| pair.1)).collect();
        texts.sort_unstable();
        texts.dedup();
        texts
    }

    /// Takes the numbers of all texts; false if `number_of` does not know one.
    pub(in crate::storage) fn number(
        &mut self,
        mut number_of: impl FnMut(&str) -> Option<u32>,
    ) -> bool {
        self.numbers.iter_mut().all(|(label, numbers)| {
            let (name, value) = label.0.pair();
            let found = number_of(name).zip(number_of(value));
            found.inspect(|found| *numbers = *found).is_some()
        })
    }

    /// The numbers of a set that is one of those that were gathered.
    pub(in crate::storage) fn of(&mut self, set: &SharedLabels, into: &mut Vec<SymbolPair>) {
        into.clear();
        for (index, label) in set.symbols().iter().enumerate() {
            let address = label.address();
            let known = self.last.get(index).filter(|last| last.0 == address);
            if let Some((_, numbers)) = known {
                into.push(*numbers);
                continue;
            }
            let numbers = self.numbers.get(&Place(label)).copied().unwrap_or_default();
            into.push(numbers);
            match self.last.get_mut(index) {
                Some(last) => *last = (address, numbers),
                None => self.last.push((address, numbers)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;
    use crate::storage::head::symbols::Symbols;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_stand_for_the_labels(
            all in vec(btree_map("[a-d]{1,2}", "[a-d]{0,2}|\\PC{60}", 0..6), 0..20),
        ) {
            let texts: Vec<_> = all.iter().map(|set| Labels::from_pairs(set).unwrap()).collect();
            let symbols = Symbols::default();
            let mut sets: Vec<_> = texts.iter().map(|set| symbols.share(set.as_ref())).collect();
            // A label that is in memory twice.
            sets.extend(texts.iter().map(|set| Symbols::default().share(set.as_ref())));
            let mut labels = NumberedLabels::gather(sets.iter());
            let known = labels.texts();
            prop_assert!(known.is_sorted_by(|one, two| one < two));
            let number_of = |text: &str| known.binary_search(&text).ok().map(|found| found as u32);
            prop_assert!(labels.number(number_of));
            let mut numbers = Vec::new();
            for set in &sets {
                labels.of(set, &mut numbers);
                let text = |number: u32| known[number as usize];
                let found = numbers.iter().map(|(name, value)| (text(*name), text(*value)));
                prop_assert!(found.eq(set.iter()));
            }
            prop_assert!(known.is_empty() || !labels.number(|_| None));
        }
    }
}
