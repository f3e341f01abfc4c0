//! All series that are being written: labels, name, time of the newest sample.
//!
//! Series stand in one array; two tables of array indexes find them by labels and by name. A table
//! holds nothing but indexes and asks the array whether it met the right one, so that a series
//! costs 32 bytes, its label text and about 15 bytes of table.

use crate::model::LabelsRef;
use crate::series::SeriesRef;

/// One series.
#[derive(Debug)]
pub(super) struct Slot {
    /// Labels as [`LabelsRef::encoded`] gives them.
    text: Box<str>,
    pub(super) series: SeriesRef,
    /// `i64::MIN` before the first sample.
    pub(super) last_ms: i64,
}

impl Slot {
    pub(super) const fn labels(&self) -> LabelsRef<'_> {
        LabelsRef::from_encoded(&self.text)
    }
}

/// Indexes by hash: linear probing, 0 for an empty place, index + 1 else. Places of slots that are
/// gone stay until the table grows; they match nothing.
#[derive(Debug, Default)]
struct Table {
    places: Vec<u32>,
    used: usize,
}

impl Table {
    fn find(&self, hash: u64, mut matches: impl FnMut(usize) -> bool) -> Option<usize> {
        let mask = self.places.len().checked_sub(1)?;
        let mut at = spread(hash) & mask;
        for _ in 0..self.places.len() {
            let index = match self.places.get(at) {
                None | Some(0) => return None,
                Some(place) => *place as usize - 1,
            };
            if matches(index) {
                return Some(index);
            }
            at = (at + 1) & mask;
        }
        None
    }

    fn put(&mut self, hash: u64, index: usize) {
        let Some(mask) = self.places.len().checked_sub(1) else { return };
        let mut at = spread(hash) & mask;
        for _ in 0..self.places.len() {
            match self.places.get_mut(at) {
                Some(place) if *place == 0 => {
                    *place = index as u32 + 1;
                    self.used += 1;
                    return;
                }
                _ => at = (at + 1) & mask,
            }
        }
    }

    /// True if the next one would make it more than three quarters full.
    const fn is_full(&self) -> bool {
        (self.used + 1) * 4 > self.places.len() * 3
    }

    fn rebuild(&mut self, slots: &[Slot], hash: impl Fn(&Slot) -> u64) {
        let wanted = ((slots.len() + 1) * 4).div_ceil(3).next_power_of_two().max(16);
        self.places.clear();
        self.places.shrink_to(wanted);
        self.places.resize(wanted, 0);
        self.used = 0;
        for (index, slot) in slots.iter().enumerate() {
            self.put(hash(slot), index);
        }
    }
}

/// Brings the differences of neighbouring names into the low bits.
const fn spread(hash: u64) -> usize {
    (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
}

/// All series.
#[derive(Debug, Default)]
pub(super) struct Series {
    slots: Vec<Slot>,
    by_labels: Table,
    by_name: Table,
    /// The slot behind the one that was found last. A target's series come in the same order time
    /// after time, so it is mostly the next one that is asked for.
    guess: usize,
}

/// The index of a slot is a `u32`.
const SLOTS_MAX: usize = u32::MAX as usize - 1;

impl Series {
    pub(super) const fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Slot> {
        self.slots.get_mut(index)
    }

    pub(super) fn by_name(&mut self, series: SeriesRef) -> Option<usize> {
        let is_it = |index: usize| self.slots.get(index).is_some_and(|slot| slot.series == series);
        let found =
            if is_it(self.guess) { Some(self.guess) } else { self.by_name.find(series.0, is_it) };
        self.guess = found.map_or(self.guess, |index| index + 1);
        found
    }

    pub(super) fn by_labels(&self, labels: LabelsRef<'_>) -> Option<usize> {
        let is_it =
            |index: usize| self.slots.get(index).is_some_and(|slot| slot.labels() == labels);
        self.by_labels.find(labels.hash(), is_it)
    }

    /// Adds a series that is not there; nothing when there is no index left for it.
    pub(super) fn add(&mut self, labels: LabelsRef<'_>, series: SeriesRef) -> Option<usize> {
        let index = self.slots.len();
        if index >= SLOTS_MAX {
            return None;
        }
        let text = Box::from(labels.encoded());
        self.slots.push(Slot { text, series, last_ms: i64::MIN });
        if self.by_labels.is_full() {
            self.by_labels.rebuild(&self.slots, |slot| slot.labels().hash());
        } else {
            self.by_labels.put(labels.hash(), index);
        }
        self.index_name(series, index);
        Some(index)
    }

    fn index_name(&mut self, series: SeriesRef, index: usize) {
        if self.by_name.is_full() {
            self.by_name.rebuild(&self.slots, |slot| slot.series.0);
        } else {
            self.by_name.put(series.0, index);
        }
    }

    /// Gives a series another name; returns the old one.
    pub(super) fn rename(&mut self, index: usize, series: SeriesRef) -> Option<SeriesRef> {
        let slot = self.slots.get_mut(index)?;
        let old = std::mem::replace(&mut slot.series, series);
        self.index_name(series, index);
        Some(old)
    }

    /// Forgets what was added after there were `len`.
    pub(super) fn truncate(&mut self, len: usize) {
        self.slots.truncate(len);
    }

    /// Forgets those without a sample at or after `min_time_ms`.
    pub(super) fn remove_idle(&mut self, min_time_ms: i64, mut each: impl FnMut(SeriesRef)) {
        let before = self.slots.len();
        self.slots.retain(|slot| {
            let is_idle = slot.last_ms < min_time_ms;
            if is_idle {
                each(slot.series);
            }
            !is_idle
        });
        if self.slots.len() == before {
            return;
        }
        if self.slots.len() < self.slots.capacity() / 4 {
            self.slots.shrink_to(self.slots.len() * 2);
        }
        self.by_labels.rebuild(&self.slots, |slot| slot.labels().hash());
        self.by_name.rebuild(&self.slots, |slot| slot.series.0);
    }

    /// Bytes in memory, without what the allocator adds.
    pub(super) fn memory_bytes(&self) -> usize {
        let texts: usize = self.slots.iter().map(|slot| slot.text.len()).sum();
        let places = self.by_labels.places.capacity() + self.by_name.places.capacity();
        texts + self.slots.capacity() * size_of::<Slot>() + places * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn labels(number: u64) -> Labels {
        Labels::from_pairs([("n", number.to_string())]).unwrap()
    }

    proptest! {
        #[test]
        fn it_behaves_as_a_map(steps in vec((0_u8..6, 0_u64..40), 0..300)) {
            let mut series = Series::default();
            // By number of the labels: name and time.
            let mut model: BTreeMap<u64, (u64, i64)> = BTreeMap::new();
            let mut next = 0;
            for (action, number) in steps {
                let set = labels(number);
                match action {
                    0..=2 => {
                        next += 1;
                        match series.by_labels(set.as_ref()) {
                            Some(index) => {
                                prop_assert!(model.contains_key(&number));
                                series.get_mut(index).unwrap().last_ms = next as i64;
                                model.get_mut(&number).unwrap().1 = next as i64;
                            }
                            None => {
                                series.add(set.as_ref(), SeriesRef(next)).unwrap();
                                prop_assert!(model.insert(number, (next, i64::MIN)).is_none());
                            }
                        }
                    }
                    3 => {
                        next += 1;
                        if let Some(index) = series.by_labels(set.as_ref()) {
                            let old = series.rename(index, SeriesRef(next)).unwrap();
                            let known = model.get_mut(&number).unwrap();
                            prop_assert_eq!(old.0, std::mem::replace(&mut known.0, next));
                        }
                    }
                    4 => {
                        let before = series.len();
                        let fresh = labels(1_000 + number);
                        series.add(fresh.as_ref(), SeriesRef(1_000_000 + number)).unwrap();
                        series.truncate(before);
                        prop_assert!(series.by_labels(fresh.as_ref()).is_none());
                    }
                    _ => {
                        let limit = next as i64 - 20;
                        let mut gone = Vec::new();
                        series.remove_idle(limit, |name| gone.push(name.0));
                        model.retain(|_, known| known.1 >= limit || {
                            assert!(gone.contains(&known.0));
                            false
                        });
                    }
                }
                prop_assert_eq!(series.len(), model.len());
            }
            for (number, (name, last_ms)) in model {
                let index = series.by_labels(labels(number).as_ref()).unwrap();
                prop_assert_eq!(series.by_name(SeriesRef(name)), Some(index));
                prop_assert_eq!(series.slots()[index].last_ms, last_ms);
            }
        }
    }
}
