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

/// A table whose keys are spread by [`spread`] or are hashes.
type Table<T> = HashMap<u64, T, BuildHasherDefault<Hashed>>;

/// Turns counted references into evenly spread keys; no two become equal.
const fn spread(series: SeriesRef) -> u64 {
    series.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The stripe of a key. Tables use the lowest and the highest bits of it; so these are others.
const fn stripe_of(key: u64) -> usize {
    (key >> 40) as usize % STRIPES
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
    by_labels: Vec<RwLock<ByLabels>>,
    by_ref: Vec<RwLock<Table<Arc<HeadSeries>>>>,
    count: AtomicUsize,
}

impl Stripes {
    pub(super) fn new() -> Self {
        Self {
            by_labels: (0..STRIPES).map(|_| RwLock::default()).collect(),
            by_ref: (0..STRIPES).map(|_| RwLock::default()).collect(),
            count: AtomicUsize::new(0),
        }
    }

    /// How many series there are.
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn get(&self, series: SeriesRef) -> Option<Arc<HeadSeries>> {
        let key = spread(series);
        self.by_ref.get(stripe_of(key))?.read().get(&key).cloned()
    }

    pub(super) fn contains(&self, series: SeriesRef) -> bool {
        let key = spread(series);
        self.by_ref.get(stripe_of(key)).is_some_and(|stripe| stripe.read().contains_key(&key))
    }

    /// Finds a series by its labels, whose hash the caller knows.
    pub(super) fn find(&self, hash: u64, labels: LabelsRef<'_>) -> Option<Arc<HeadSeries>> {
        self.by_labels.get(stripe_of(hash))?.read().find(hash, labels).cloned()
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
        let Some(stripe) = self.by_labels.get(stripe_of(hash)) else {
            return (Arc::new(make()), false);
        };
        let mut stripe = stripe.write();
        if let Some(known) = stripe.find(hash, labels) {
            return (Arc::clone(known), false);
        }
        let series = Arc::new(make());
        let key = spread(series.series);
        if let Some(by_ref) = self.by_ref.get(stripe_of(key)) {
            by_ref.write().insert(key, Arc::clone(&series));
        }
        enter(&series);
        stripe.insert(hash, Arc::clone(&series));
        self.count.fetch_add(1, Ordering::Relaxed);
        (series, true)
    }

    /// Forgets a series.
    pub(super) fn remove(&self, series: &HeadSeries) {
        if let Some(stripe) = self.by_labels.get(stripe_of(series.hash)) {
            stripe.write().remove(series.hash, series.series);
        }
        let key = spread(series.series);
        let by_ref = self.by_ref.get(stripe_of(key));
        if by_ref.is_some_and(|stripe| stripe.write().remove(&key).is_some()) {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Calls `each` for every series, in no order, without holding a lock. A series that is
    /// entered meanwhile may be left out.
    pub(super) fn for_each(&self, mut each: impl FnMut(&Arc<HeadSeries>)) {
        let mut held = Vec::new();
        for stripe in &self.by_ref {
            held.extend(stripe.read().values().cloned());
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
