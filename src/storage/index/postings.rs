//! Ascending lists of series ids, and the set algebra over them.

/// Walks over an ascending list of ids, each of them once.
pub trait PostingsCursor {
    /// What names a series.
    type Id: Copy + Ord;

    /// How many ids are left.
    fn remaining(&self) -> usize;

    /// Takes the next id.
    fn next_id(&mut self) -> Option<Self::Id>;

    /// Steps over ids below `at_least` and takes the one behind them.
    fn seek(&mut self, at_least: Self::Id) -> Option<Self::Id>;
}

/// The first index from `start` on where `is_below` is false; asks near `start` first, so that
/// short steps in long lists are cheap.
#[inline]
fn gallop(start: usize, length: usize, mut is_below: impl FnMut(usize) -> bool) -> usize {
    let (mut low, mut step) = (start, 1);
    while low < length && is_below((low + step - 1).min(length - 1)) {
        low = (low + step).min(length);
        step *= 2;
    }
    // Everything before `low` is below; what lies `step - 1` behind it is not.
    let mut high = (low + step - 1).min(length);
    while low < high {
        let middle = low.midpoint(high);
        if is_below(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// A cursor over ids in memory: a slice, a vector, an `Arc` of either.
#[derive(Debug, Clone)]
pub struct SliceCursor<L> {
    ids: L,
    at: usize,
}

impl<L> SliceCursor<L> {
    /// Starts at the first of `ids`, which ascend.
    pub const fn new(ids: L) -> Self {
        Self { ids, at: 0 }
    }
}

impl<L, Id: Copy + Ord> PostingsCursor for SliceCursor<L>
where
    L: std::ops::Deref<Target = [Id]>,
{
    type Id = Id;

    fn remaining(&self) -> usize {
        self.ids.len() - self.at
    }

    #[inline]
    fn next_id(&mut self) -> Option<Id> {
        let id = self.ids.get(self.at).copied()?;
        self.at += 1;
        Some(id)
    }

    #[inline]
    fn seek(&mut self, at_least: Id) -> Option<Id> {
        let ids = &*self.ids;
        let is_below = |index: usize| ids.get(index).is_some_and(|id| *id < at_least);
        self.at = gallop(self.at, ids.len(), is_below);
        self.next_id()
    }
}

/// A list of `u32` as an index holds it, decoded id by id.
#[derive(Debug, Clone, Copy)]
pub struct BigEndianList<'a> {
    ids: &'a [[u8; 4]],
}

impl<'a> BigEndianList<'a> {
    /// The list in `bytes`; what is left behind a multiple of four is ignored.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { ids: bytes.as_chunks().0 }
    }

    /// A list without ids.
    #[must_use]
    pub const fn empty() -> Self {
        Self { ids: &[] }
    }
}

impl PostingsCursor for BigEndianList<'_> {
    type Id = u32;

    fn remaining(&self) -> usize {
        self.ids.len()
    }

    #[inline]
    fn next_id(&mut self) -> Option<u32> {
        let (id, rest) = self.ids.split_first()?;
        self.ids = rest;
        Some(u32::from_be_bytes(*id))
    }

    #[inline]
    fn seek(&mut self, at_least: u32) -> Option<u32> {
        let ids = self.ids;
        let is_below =
            |index: usize| ids.get(index).is_some_and(|id| u32::from_be_bytes(*id) < at_least);
        let at = gallop(0, ids.len(), is_below);
        self.ids = ids.get(at..).unwrap_or_default();
        self.next_id()
    }
}

/// Calls `each` for every id that is in both; stops when it returns false.
pub(super) fn for_each_common<Id: Copy + Ord>(
    ids: &[Id],
    mut cursor: impl PostingsCursor<Id = Id>,
    mut each: impl FnMut(Id) -> bool,
) {
    let mut rest = SliceCursor::new(ids);
    let mut theirs = cursor.next_id();
    while let Some(id) = theirs {
        match rest.seek(id) {
            Some(ours) if ours == id => {
                if !each(id) {
                    return;
                }
                theirs = cursor.next_id();
            }
            Some(ours) => {
                theirs = cursor.seek(ours);
                // The id may be common; it must be found once more.
                rest.at -= 1;
            }
            None => return,
        }
    }
}

/// True if an id is in both.
pub fn intersects<Id: Copy + Ord>(ids: &[Id], cursor: impl PostingsCursor<Id = Id>) -> bool {
    let mut found = false;
    for_each_common(ids, cursor, |_| {
        found = true;
        false
    });
    found
}

/// Appends the ids that are in both.
pub fn intersect_into<Id: Copy + Ord>(
    ids: &[Id],
    cursor: impl PostingsCursor<Id = Id>,
    into: &mut Vec<Id>,
) {
    for_each_common(ids, cursor, |id| {
        into.push(id);
        true
    });
}

/// Appends all ids of a list.
pub fn collect_into<C: PostingsCursor>(mut cursor: C, into: &mut Vec<C::Id>) {
    into.reserve(cursor.remaining());
    while let Some(id) = cursor.next_id() {
        into.push(id);
    }
}

/// Turns several ascending lists behind one another into one; runs make the sort cheap.
pub fn unite<Id: Copy + Ord>(ids: &mut Vec<Id>) {
    ids.sort();
    ids.dedup();
}

/// Removes from `ids` what is in `unwanted`; both ascend.
pub fn subtract<Id: Copy + Ord>(ids: &mut Vec<Id>, unwanted: &[Id]) {
    if unwanted.is_empty() {
        return;
    }
    let mut unwanted = SliceCursor::new(unwanted);
    let mut next = unwanted.next_id();
    ids.retain(|id| {
        if next.is_some_and(|unwanted| unwanted < *id) {
            next = unwanted.seek(*id);
        }
        next != Some(*id)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn encode(ids: &BTreeSet<u32>) -> Vec<u8> {
        ids.iter().flat_map(|id| id.to_be_bytes()).collect()
    }

    proptest! {
        #[test]
        fn algebra_is_that_of_sets(
            a in btree_set(0_u32..200, 0..60), b in btree_set(0_u32..200, 0..150),
        ) {
            let ours: Vec<u32> = a.iter().copied().collect();
            let bytes = encode(&b);
            let mut common = Vec::new();
            intersect_into(&ours, BigEndianList::new(&bytes), &mut common);
            prop_assert_eq!(&common, &a.intersection(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!(intersects(&ours, BigEndianList::new(&bytes)), !common.is_empty());

            let theirs: Vec<u32> = b.iter().copied().collect();
            let mut left = ours.clone();
            subtract(&mut left, &theirs);
            prop_assert_eq!(left, a.difference(&b).copied().collect::<Vec<_>>());

            let mut all = ours.clone();
            collect_into(BigEndianList::new(&bytes), &mut all);
            unite(&mut all);
            prop_assert_eq!(all, a.union(&b).copied().collect::<Vec<_>>());
        }

        #[test]
        fn a_seek_takes_the_first_id_that_is_not_below(
            ids in btree_set(0_u32..500, 0..200), targets in vec(0_u32..520, 0..20),
        ) {
            let bytes = encode(&ids);
            let list: Vec<u32> = ids.iter().copied().collect();
            let mut in_bytes = BigEndianList::new(&bytes);
            let mut in_memory = SliceCursor::new(&*list);
            let mut start = 0;
            for target in targets {
                let wanted = ids.range(start.max(target)..).next().copied();
                prop_assert_eq!(in_bytes.seek(target), wanted);
                prop_assert_eq!(in_memory.seek(target), wanted);
                start = wanted.map_or(u32::MAX, |id| id + 1);
                prop_assert_eq!(in_bytes.remaining(), ids.range(start..).count());
                prop_assert_eq!(in_memory.remaining(), in_bytes.remaining());
            }
        }
    }
}
