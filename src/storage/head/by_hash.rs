//! Series by the hash of their labels.
//!
//! The hash stands with the series, so of it only what finds a place is kept here: twelve bytes a
//! place, and at most every third place is free. Places are looked at one after the other from
//! that which the hash means, up to the first free one.

use crate::series::SeriesRef;

const PLACES_MIN: usize = 16;
/// What stands for a free place.
const FREE: u32 = 0;

/// A table that may have several series of one hash.
#[derive(Debug, Default)]
pub(super) struct ByHash {
    /// A part of each hash, or [`FREE`]: packed, as most places are looked at for that alone.
    parts: Vec<u32>,
    series: Vec<SeriesRef>,
    len: usize,
}

/// What is kept of a hash.
const fn part_of(hash: u64) -> u32 {
    hash as u32 | 1
}

impl ByHash {
    /// The place at which the search begins.
    #[inline]
    fn home(&self, part: u32) -> usize {
        // Any number of places will do, where a mask would want a power of two.
        ((u64::from(part) * self.parts.len() as u64) >> 32) as usize
    }

    #[inline]
    fn part(&self, place: usize) -> u32 {
        self.parts.get(place).copied().unwrap_or(FREE)
    }

    /// The places that may hold a part, with what they hold, up to the first free one.
    fn walk(&self, part: u32) -> impl Iterator<Item = (usize, u32)> {
        let home = self.home(part);
        let places = (home..self.parts.len()).chain(0..home);
        places.map(|place| (place, self.part(place))).take_while(|held| held.1 != FREE)
    }

    /// The series with this hash for which `is_it` is true.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(SeriesRef) -> bool) -> Option<SeriesRef> {
        self.place(hash, is_it).and_then(|place| self.series.get(place)).copied()
    }

    fn place(&self, hash: u64, is_it: impl Fn(SeriesRef) -> bool) -> Option<usize> {
        let part = part_of(hash);
        let mut equal = self.walk(part).filter(|held| held.1 == part).map(|held| held.0);
        equal.find(|place| self.series.get(*place).is_some_and(|series| is_it(*series)))
    }

    /// Adds a series that is not there.
    pub(super) fn insert(&mut self, hash: u64, series: SeriesRef) {
        if (self.len + 1) * 8 > self.parts.len() * 7 {
            self.resize((self.parts.len() * 3 / 2).max(PLACES_MIN));
        }
        self.put(part_of(hash), series);
        self.len += 1;
    }

    /// Fills the first free place.
    fn put(&mut self, part: u32, series: SeriesRef) {
        let home = self.home(part);
        let taken = self.walk(part).count();
        let place = (home + taken) % self.parts.len().max(1);
        if let Some((held, name)) = self.parts.get_mut(place).zip(self.series.get_mut(place)) {
            (*held, *name) = (part, series);
        }
    }

    fn resize(&mut self, places: usize) {
        let parts = std::mem::replace(&mut self.parts, vec![FREE; places]);
        let series = std::mem::replace(&mut self.series, vec![SeriesRef::UNKNOWN; places]);
        for (part, series) in parts.into_iter().zip(series) {
            if part != FREE {
                self.put(part, series);
            }
        }
    }

    /// Takes a series out, if it is there.
    pub(super) fn remove(&mut self, hash: u64, series: SeriesRef) {
        let Some(place) = self.place(hash, |known| known == series) else { return };
        self.len -= 1;
        self.close_gap(place);
        if self.parts.len() > PLACES_MIN && self.len * 4 < self.parts.len() {
            self.resize((self.len * 2).max(PLACES_MIN));
        }
    }

    /// Frees a place and moves up what would not be found behind a free one.
    fn close_gap(&mut self, mut gap: usize) {
        let places = self.parts.len().max(1);
        let mut next = gap;
        loop {
            next = (next + 1) % places;
            let part = self.part(next);
            if part == FREE || next == gap {
                break;
            }
            // How far it stands from its home, and how far from the gap.
            let from_home = (next + places - self.home(part)) % places;
            if from_home >= (next + places - gap) % places {
                self.parts.swap(gap, next);
                self.series.swap(gap, next);
                gap = next;
            }
        }
        if let Some(part) = self.parts.get_mut(gap) {
            *part = FREE;
        }
    }

    /// Bytes that the table takes in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.parts.capacity() * (size_of::<u32>() + size_of::<SeriesRef>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn find(table: &ByHash, hash: u64, number: u64) -> Option<u64> {
        table.find(hash, |series| series == SeriesRef(number)).map(|found| found.0)
    }

    #[test]
    fn label_sets_of_equal_hash_stay_apart() {
        let mut table = ByHash::default();
        for number in [1, 2, 3] {
            table.insert(7, SeriesRef(number));
        }
        assert_eq!([find(&table, 7, 1), find(&table, 7, 2)], [Some(1), Some(2)]);
        table.remove(7, SeriesRef(1));
        let all = [find(&table, 7, 1), find(&table, 7, 2), find(&table, 7, 3)];
        assert_eq!(all, [None, Some(2), Some(3)]);
        assert_eq!(table.find(8, |_| true), None);
    }

    #[test]
    fn few_places_are_free_and_none_is_left_behind() {
        let mut table = ByHash::default();
        let hash = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_right(32);
        for number in 0..5000 {
            table.insert(hash(number), SeriesRef(number));
            assert!(number < 32 || table.memory_bytes() <= 21 * (number as usize + 1));
        }
        for number in 0..4990 {
            table.remove(hash(number), SeriesRef(number));
        }
        assert_eq!(find(&table, hash(4995), 4995), Some(4995));
        assert!(table.memory_bytes() <= 12 * 40);
    }

    proptest! {
        #[test]
        fn a_table_is_a_set_of_hashes_and_series(steps in vec((0..40_u64, 0..4_u8), 0..400)) {
            let (mut table, mut model) = (ByHash::default(), BTreeSet::new());
            for (number, step) in steps {
                // Crowds at the first places, at the last, and many of one hash.
                let hash = match number % 4 {
                    0 => u64::from(u32::MAX) - number,
                    1 => number,
                    2 => 2,
                    _ => number << 26,
                };
                if step == 0 {
                    table.remove(hash, SeriesRef(number));
                    model.remove(&(hash, number));
                } else if model.insert((hash, number)) {
                    table.insert(hash, SeriesRef(number));
                }
                prop_assert_eq!(table.len, model.len());
                for other in 0..40 {
                    let known = model.iter().find(|known| known.1 == other);
                    let hash = known.map_or(hash, |known| known.0);
                    prop_assert_eq!(find(&table, hash, other), known.map(|known| known.1));
                }
            }
        }
    }
}
