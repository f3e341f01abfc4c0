//! The registry: series by label set and by reference, in stripes with a lock each.
//!
//! A series is found by the hash and the encoded text of its labels, so that no label object is
//! built for one that is known. Locks are taken in the order: stripe of label sets, stripe of
//! references; never two of one kind.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use crate::model::LabelsRef;
use crate::series::SeriesRef;

use super::series::HeadSeries;

const STRIPES: usize = 256;

/// Passes on a key that is a good hash already.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// A table whose keys are hashes.
type Table<T> = HashMap<u64, T, BuildHasherDefault<Hashed>>;

/// The stripe of a label set. Tables use the lowest and the highest bits of a hash; so these are
/// others.
const fn stripe_of(hash: u64) -> usize {
    (hash >> 40) as usize % STRIPES
}

/// Series with neighbouring references stand in one page: they began together, so they are
/// scraped together.
const PAGE_SERIES: u64 = 256;

/// Turns a page's number into an evenly spread key; no two become equal.
const fn page_key(series: SeriesRef) -> u64 {
    (series.0 / PAGE_SERIES).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[derive(Debug)]
struct Page {
    slots: Vec<Option<Arc<HeadSeries>>>,
    used: usize,
}

/// The pages of a stripe that have series.
#[derive(Debug, Default)]
struct ByRef(Table<Page>);

impl ByRef {
    fn find(&self, series: SeriesRef) -> Option<&Arc<HeadSeries>> {
        let page = self.0.get(&page_key(series))?;
        page.slots.get((series.0 % PAGE_SERIES) as usize)?.as_ref()
    }

    fn insert(&mut self, series: Arc<HeadSeries>) {
        let number = series.series;
        let empty = || Page { slots: vec![None; PAGE_SERIES as usize], used: 0 };
        let page = self.0.entry(page_key(number)).or_insert_with(empty);
        if let Some(slot) = page.slots.get_mut((number.0 % PAGE_SERIES) as usize) {
            page.used += usize::from(slot.replace(series).is_none());
        }
    }

    /// Returns whether it was there.
    fn remove(&mut self, series: SeriesRef) -> bool {
        let key = page_key(series);
        let Some(page) = self.0.get_mut(&key) else { return false };
        let slot = page.slots.get_mut((series.0 % PAGE_SERIES) as usize);
        let was_there = slot.is_some_and(|slot| slot.take().is_some());
        page.used -= usize::from(was_there);
        if page.used == 0 {
            self.0.remove(&key);
        }
        was_there
    }

    fn all(&self) -> impl Iterator<Item = &Arc<HeadSeries>> {
        self.0.values().flat_map(|page| page.slots.iter().flatten())
    }
}

#[derive(Debug, Default)]
struct ByLabels {
    /// The first series with a hash.
    unique: Table<Arc<HeadSeries>>,
    /// Further series with the same hash: hardly ever one.
    others: Vec<(u64, Arc<HeadSeries>)>,
}

impl ByLabels {
    fn find(&self, hash: u64, labels: LabelsRef<'_>) -> Option<&Arc<HeadSeries>> {
        let first = self.unique.get(&hash)?;
        if first.labels.as_ref() == labels {
            return Some(first);
        }
        let mut others = self.others.iter().filter(|other| other.0 == hash);
        others.find(|other| other.1.labels.as_ref() == labels).map(|other| &other.1)
    }

    fn insert(&mut self, hash: u64, series: Arc<HeadSeries>) {
        match self.unique.entry(hash) {
            Entry::Occupied(_) => self.others.push((hash, series)),
            Entry::Vacant(free) => {
                free.insert(series);
            }
        }
    }

    fn remove(&mut self, hash: u64, series: SeriesRef) {
        if self.unique.get(&hash).is_some_and(|first| first.series == series) {
            self.unique.remove(&hash);
            let heir = self.others.iter().position(|other| other.0 == hash);
            if let Some(position) = heir {
                let (_, heir) = self.others.swap_remove(position);
                self.unique.insert(hash, heir);
            }
        } else {
            self.others.retain(|other| other.1.series != series);
        }
    }
}

/// All series of a head.
#[derive(Debug)]
pub(super) struct Stripes {
    by_labels: [RwLock<ByLabels>; STRIPES],
    by_ref: [RwLock<ByRef>; STRIPES],
    count: AtomicUsize,
}

impl Stripes {
    pub(super) fn new() -> Self {
        Self {
            by_labels: std::array::from_fn(|_| RwLock::default()),
            by_ref: std::array::from_fn(|_| RwLock::default()),
            count: AtomicUsize::new(0),
        }
    }

    #[expect(clippy::indexing_slicing, reason = "a stripe's number is below their count")]
    fn of_labels(&self, hash: u64) -> &RwLock<ByLabels> {
        &self.by_labels[stripe_of(hash)]
    }

    #[expect(clippy::indexing_slicing, reason = "a stripe's number is below their count")]
    fn of_ref(&self, series: SeriesRef) -> &RwLock<ByRef> {
        &self.by_ref[(series.0 / PAGE_SERIES) as usize % STRIPES]
    }

    /// How many series there are.
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Bytes that the tables take in memory, about, without the series.
    pub(super) fn memory_bytes(&self) -> usize {
        // A hash and a pointer a series, and an eighth of the places is empty.
        let by_labels = self.len() * 16 * 8 / 7;
        let pages: usize = self.by_ref.iter().map(|stripe| stripe.read().0.len()).sum();
        by_labels + pages * PAGE_SERIES as usize * size_of::<usize>()
    }

    pub(super) fn get(&self, series: SeriesRef) -> Option<Arc<HeadSeries>> {
        self.of_ref(series).read().find(series).cloned()
    }

    pub(super) fn contains(&self, series: SeriesRef) -> bool {
        self.of_ref(series).read().find(series).is_some()
    }

    /// Finds a series by its labels, whose hash the caller knows.
    pub(super) fn find(&self, hash: u64, labels: LabelsRef<'_>) -> Option<Arc<HeadSeries>> {
        self.of_labels(hash).read().find(hash, labels).cloned()
    }

    /// Finds a series, or enters the one that `make` gives. `enter` is called for a new one after
    /// it can be found by its reference and before it can be found by its labels.
    pub(super) fn find_or_enter(
        &self,
        hash: u64,
        labels: LabelsRef<'_>,
        make: impl FnOnce() -> HeadSeries,
        enter: impl FnOnce(&HeadSeries),
    ) -> (Arc<HeadSeries>, bool) {
        let mut stripe = self.of_labels(hash).write();
        if let Some(known) = stripe.find(hash, labels) {
            return (Arc::clone(known), false);
        }
        let series = Arc::new(make());
        self.of_ref(series.series).write().insert(Arc::clone(&series));
        enter(&series);
        stripe.insert(hash, Arc::clone(&series));
        self.count.fetch_add(1, Ordering::Relaxed);
        (series, true)
    }

    /// Forgets a series.
    pub(super) fn remove(&self, series: &HeadSeries) {
        self.of_labels(series.hash).write().remove(series.hash, series.series);
        if self.of_ref(series.series).write().remove(series.series) {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Calls `each` for every series, in no order, without holding a lock. A series that is
    /// entered meanwhile may be left out.
    pub(super) fn for_each(&self, mut each: impl FnMut(&Arc<HeadSeries>)) {
        let mut held = Vec::new();
        for stripe in &self.by_ref {
            held.extend(stripe.read().all().cloned());
            held.drain(..).for_each(|series| each(&series));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;

    fn series(number: u64, name: &str) -> HeadSeries {
        HeadSeries::new(SeriesRef(number), Labels::from_pairs([("__name__", name)]).unwrap())
    }

    fn enter(stripes: &Stripes, hash: u64, new: HeadSeries) -> (Arc<HeadSeries>, bool) {
        let labels = new.labels.clone();
        stripes.find_or_enter(hash, labels.as_ref(), || new, |_| {})
    }

    #[test]
    fn a_known_label_set_is_not_entered_twice() {
        let stripes = Stripes::new();
        let labels = series(1, "a").labels;
        let hash = labels.as_ref().hash();
        assert!(enter(&stripes, hash, series(1, "a")).1);
        let (known, is_new) = enter(&stripes, hash, series(2, "a"));
        assert_eq!((known.series, is_new, stripes.len()), (SeriesRef(1), false, 1));
        assert_eq!(stripes.find(hash, labels.as_ref()).unwrap().series, SeriesRef(1));
        assert!(stripes.contains(SeriesRef(1)) && !stripes.contains(SeriesRef(2)));
    }

    #[test]
    fn label_sets_of_equal_hash_stay_apart() {
        let mut table = ByLabels::default();
        for (number, name) in [(1, "a"), (2, "b"), (3, "c")] {
            table.insert(7, Arc::new(series(number, name)));
        }
        let find = |table: &ByLabels, name| {
            table.find(7, series(0, name).labels.as_ref()).map(|found| found.series.0)
        };
        assert_eq!([find(&table, "a"), find(&table, "b")], [Some(1), Some(2)]);
        table.remove(7, SeriesRef(1));
        let found = [find(&table, "a"), find(&table, "b"), find(&table, "c")];
        assert_eq!(found, [None, Some(2), Some(3)]);
        table.remove(7, SeriesRef(3));
        table.remove(7, SeriesRef(2));
        assert!(table.unique.is_empty() && table.others.is_empty());
    }

    #[test]
    fn pages_come_and_go_with_their_series() {
        let mut table = ByRef::default();
        for number in [1, 255, 256, 1 << 40] {
            table.insert(Arc::new(series(number, "a")));
        }
        assert_eq!((table.0.len(), table.all().count()), (3, 4));
        for number in [1, 255, 256, 1 << 40] {
            assert!(table.find(SeriesRef(number)).is_some());
            assert!(table.remove(SeriesRef(number)) && !table.remove(SeriesRef(number)));
        }
        assert!(table.0.is_empty());
    }

    #[test]
    fn a_removed_series_is_found_no_more() {
        let stripes = Stripes::new();
        let new = series(9, "x");
        let hash = new.hash;
        let (entered, _) = enter(&stripes, hash, new);
        stripes.remove(&entered);
        stripes.remove(&entered);
        assert_eq!(stripes.len(), 0);
        assert!(stripes.get(SeriesRef(9)).is_none());
        assert!(stripes.find(hash, entered.labels.as_ref()).is_none());
    }
}
