//! Label sets of series, of which every label is in memory once.
//!
//! Series have most of their labels in common, so a set is a list of labels that others share: an
//! eighth to a half of what its text would take. A label is kept in the encoding that it has in a
//! [`Labels`]; so the text of a set is its labels behind one another, and a set is compared with a
//! text without being put together.
//!
//! A label is owned by the sets that have it. The table by which it is found again holds it too,
//! until [`Symbols::sweep`] is called. Its lock is the last that anybody takes.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::model::{Labels, LabelsRef};

/// Bytes of a text that has no memory of its own: with them a [`Pair`] and its counts take 56, and
/// so 64 of the allocator.
const SHORT_BYTES: usize = 38;

/// A label in its encoding. To look at a short one is to look at one place in memory.
#[derive(Debug)]
enum Pair {
    Short { length: u8, text: [u8; SHORT_BYTES] },
    Long(Box<[u8]>),
}

/// A label that sets share, in eight bytes: a pointer to the text itself would have its length
/// beside it.
#[derive(Debug, Clone)]
pub(super) struct Symbol(Arc<Pair>);

impl Symbol {
    fn new(encoded: &str) -> Self {
        let encoded = encoded.as_bytes();
        let mut text = [0; SHORT_BYTES];
        Self(Arc::new(match text.get_mut(..encoded.len()) {
            Some(place) => {
                place.copy_from_slice(encoded);
                Pair::Short { length: encoded.len() as u8, text }
            }
            None => Pair::Long(encoded.into()),
        }))
    }

    #[inline]
    fn encoded(&self) -> &[u8] {
        match &*self.0 {
            Pair::Short { length, text } => text.get(..usize::from(*length)).unwrap_or_default(),
            Pair::Long(text) => text,
        }
    }

    /// Where it is in memory: labels of one place are the same.
    #[inline]
    pub(super) fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Name and value.
    pub(super) fn pair(&self) -> (&str, &str) {
        let encoded = str::from_utf8(self.encoded()).unwrap_or_default();
        LabelsRef::from_encoded(encoded).iter().next().unwrap_or_default()
    }

    fn memory_bytes(&self) -> usize {
        let own = match &*self.0 {
            Pair::Short { .. } => 0,
            Pair::Long(text) => text.len(),
        };
        2 * size_of::<usize>() + size_of::<Pair>() + own
    }
}

impl PartialEq for Symbol {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.encoded() == other.encoded()
    }
}

impl Eq for Symbol {}

impl Hash for Symbol {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.encoded().hash(state);
    }
}

impl Borrow<[u8]> for Symbol {
    fn borrow(&self) -> &[u8] {
        self.encoded()
    }
}

/// The labels of a series; cloning is a reference count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage) struct SharedLabels(Arc<[Symbol]>);

impl SharedLabels {
    /// The labels, ascending by name.
    #[inline]
    pub(super) fn symbols(&self) -> &[Symbol] {
        &self.0
    }

    /// The pairs, ascending by name.
    pub(in crate::storage) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(Symbol::pair)
    }

    /// The value of `name`, if the set has it.
    pub(in crate::storage) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|pair| pair.0 == name).map(|pair| pair.1)
    }

    /// The set in one piece.
    pub(in crate::storage) fn to_labels(&self) -> Labels {
        self.put_together(&mut Vec::new()).to_labels()
    }

    /// The set in one piece, in memory that is reused.
    pub(in crate::storage) fn put_together<'t>(&self, text: &'t mut Vec<u8>) -> LabelsRef<'t> {
        text.clear();
        text.reserve(self.0.iter().map(|symbol| symbol.encoded().len()).sum());
        self.0.iter().for_each(|symbol| text.extend_from_slice(symbol.encoded()));
        LabelsRef::from_encoded(str::from_utf8(text).unwrap_or_default())
    }

    /// True if these are the labels.
    #[inline]
    pub(super) fn are(&self, labels: LabelsRef<'_>) -> bool {
        let mut rest = labels.encoded().as_bytes();
        let follows = |symbol: &Symbol| {
            let after = rest.strip_prefix(symbol.encoded());
            rest = after.unwrap_or(rest);
            after.is_some()
        };
        self.0.iter().all(follows) && rest.is_empty()
    }

    /// Whether both have the same label at this place. Neighbours share it mostly, which is seen
    /// without looking at it.
    pub(super) fn have_in_common(&self, other: &Self, place: usize) -> bool {
        self.0.get(place).is_some_and(|symbol| other.0.get(place) == Some(symbol))
    }

    /// Bytes that the set itself takes in memory, its labels aside.
    pub(super) fn memory_bytes(&self) -> usize {
        2 * size_of::<usize>() + size_of_val(&*self.0)
    }
}

impl PartialOrd for SharedLabels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The order of [`Labels`].
impl Ord for SharedLabels {
    fn cmp(&self, other: &Self) -> Ordering {
        let different = self.0.iter().zip(&*other.0).find(|(one, two)| one != two);
        let of_lengths = || self.0.len().cmp(&other.0.len());
        different.map_or_else(of_lengths, |(one, two)| one.pair().cmp(&two.pair()))
    }
}

impl fmt::Display for SharedLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_labels(), f)
    }
}

/// The labels of all series of a head.
#[derive(Debug, Default)]
pub(super) struct Symbols(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    all: HashSet<Symbol>,
    /// Those of the last set. Series that begin together have most labels in common, at the same
    /// places; so these are looked at first, which is less than to hash.
    last: Vec<Symbol>,
}

impl Symbols {
    /// A set whose labels are shared with all others from here.
    pub(super) fn share(&self, labels: LabelsRef<'_>) -> SharedLabels {
        let mut table = self.0.lock();
        let Table { all, last } = &mut *table;
        let mut count = 0;
        for encoded in labels.encoded_pairs() {
            let known = last.get_mut(count);
            count += 1;
            if known.as_ref().is_some_and(|known| known.encoded() == encoded.as_bytes()) {
                continue;
            }
            let symbol = all.get(encoded.as_bytes()).cloned().unwrap_or_else(|| {
                let new = Symbol::new(encoded);
                all.insert(new.clone());
                new
            });
            match known {
                Some(known) => *known = symbol,
                None => last.push(symbol),
            }
        }
        last.truncate(count);
        SharedLabels(Arc::from(last.as_slice()))
    }

    /// Forgets the labels that no set has any more. New series wait meanwhile.
    pub(super) fn sweep(&self) {
        let mut table = self.0.lock();
        let Table { all, last } = &mut *table;
        last.clear();
        // Nobody gets at one that only the table holds: that takes the lock.
        all.retain(|symbol| Arc::strong_count(&symbol.0) > 1);
        all.shrink_to(all.len() * 2);
    }

    /// How many labels there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().all.len()
    }

    /// Bytes that the labels take in memory, about.
    pub(super) fn memory_bytes(&self) -> usize {
        let table = self.0.lock();
        let places = table.all.capacity() * (size_of::<Symbol>() + 1) * 8 / 7;
        places + table.all.iter().map(Symbol::memory_bytes).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn a_label_of_many_sets_is_in_memory_once() {
        let symbols = Symbols::default();
        let sets: Vec<_> = (0..1000_u32)
            .map(|n| {
                let (pod, code) = ((n / 50).to_string(), (n % 3).to_string());
                symbols.share(labels(&[("job", "a"), ("pod", &pod), ("code", &code)]).as_ref())
            })
            .collect();
        assert_eq!(symbols.len(), 1 + 20 + 3);
        assert!(Arc::ptr_eq(&sets[0].0[1].0, &sets[999].0[1].0));
        assert_eq!(sets[0].memory_bytes(), 16 + 3 * 8);
    }

    #[test]
    fn a_short_label_lies_in_one_place() {
        assert_eq!((size_of::<Pair>(), size_of::<Symbol>()), (40, 8));
        let long = Symbol::new(&"x".repeat(SHORT_BYTES + 1));
        let short = Symbol::new(&"x".repeat(SHORT_BYTES));
        assert_eq!((short.memory_bytes(), long.memory_bytes()), (56, 95));
    }

    #[test]
    fn labels_that_no_set_has_are_forgotten() {
        let symbols = Symbols::default();
        let kept = symbols.share(labels(&[("a", "1"), ("b", "1")]).as_ref());
        let held = {
            let gone = symbols.share(labels(&[("a", "1"), ("b", "2"), ("c", "1")]).as_ref());
            symbols.share(labels(&[("a", "1"), ("d", "1")]).as_ref());
            symbols.sweep();
            assert_eq!(symbols.len(), 4);
            gone.clone()
        };
        assert_eq!(held.to_labels(), labels(&[("a", "1"), ("b", "2"), ("c", "1")]));
        drop(held);
        symbols.sweep();
        assert_eq!(symbols.len(), 2);
        // What comes again is shared with what stayed.
        let again = symbols.share(labels(&[("a", "1"), ("b", "2")]).as_ref());
        assert!(Arc::ptr_eq(&again.0[0].0, &kept.0[0].0));
    }

    #[test]
    fn many_labels_that_went_leave_no_room_behind() {
        let symbols = Symbols::default();
        for number in 0..10_000 {
            symbols.share(labels(&[("id", &number.to_string())]).as_ref());
        }
        assert!(symbols.memory_bytes() > 10_000 * 32);
        symbols.sweep();
        assert_eq!((symbols.len(), symbols.memory_bytes()), (0, 0));
    }

    proptest! {
        #[test]
        fn a_shared_set_is_what_its_text_is(
            all in vec(btree_map("[a-d]{1,2}|\\PC{130}", "[a-c]{1,2}|\\PC{1,140}", 0..6), 1..12),
        ) {
            let symbols = Symbols::default();
            let texts: Vec<_> = all.iter().map(|set| Labels::from_pairs(set).unwrap()).collect();
            let shared: Vec<_> = texts.iter().map(|set| symbols.share(set.as_ref())).collect();
            let mut reused = b"before".to_vec();
            for (one, text) in shared.iter().zip(&texts) {
                prop_assert_eq!(&one.to_labels(), text);
                prop_assert_eq!(one.put_together(&mut reused), text.as_ref());
                prop_assert_eq!(one.to_string(), text.to_string());
                prop_assert!(one.iter().eq(text.iter()));
                for name in ["a", "bb", "c"] {
                    prop_assert_eq!(one.get(name), text.get(name));
                }
                for (other, other_text) in shared.iter().zip(&texts) {
                    prop_assert_eq!(one.cmp(other), text.cmp(other_text));
                    prop_assert_eq!(one == other, text == other_text);
                    prop_assert_eq!(one.are(other_text.as_ref()), text == other_text);
                    let second = text.iter().nth(1);
                    let is_same = second.is_some() && second == other_text.iter().nth(1);
                    prop_assert_eq!(one.have_in_common(other, 1), is_same);
                }
            }
        }
    }
}
