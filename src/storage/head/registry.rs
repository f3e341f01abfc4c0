//! The registry: series by number and by label set.
//!
//! By number they lie in pages. By label set they are found by the hash of the encoded text, in
//! stripes with a lock each, so that no label object is built for one that is known.
//!
//! Locks are taken in the order: stripe, list of pages, page; never two of one kind.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use crate::model::LabelsRef;
use crate::series::SeriesRef;

use super::by_hash::ByHash;
use super::page::{Page, page_of};
use super::series::Series;
use super::symbols::SharedLabels;

const STRIPES: usize = 256;

/// Passes on a key that is as good as a hash already.
#[derive(Debug, Default, Clone, Copy)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// A table whose keys are spread evenly.
type Table<T> = HashMap<u64, T, BuildHasherDefault<Hashed>>;

/// The stripe of a label set. Tables use the lower half of a hash; so this is of the other.
const fn stripe_of(hash: u64) -> usize {
    (hash >> 40) as usize % STRIPES
}

/// Turns a page's number into an evenly spread key; no two become equal.
#[inline]
const fn page_key(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A series that was taken out.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) series: SeriesRef,
    hash: u64,
    pub(super) labels: SharedLabels,
    /// The log names it.
    pub(super) is_logged: bool,
}

/// All series of a head.
#[derive(Debug)]
pub(super) struct Registry {
    pages: RwLock<Table<Arc<Page>>>,
    by_labels: [RwLock<ByHash>; STRIPES],
    count: AtomicUsize,
}

impl Registry {
    pub(super) fn new() -> Self {
        Self {
            pages: RwLock::default(),
            by_labels: std::array::from_fn(|_| RwLock::default()),
            count: AtomicUsize::new(0),
        }
    }

    #[expect(clippy::indexing_slicing, reason = "a stripe's number is below their count")]
    fn stripe(&self, hash: u64) -> &RwLock<ByHash> {
        &self.by_labels[stripe_of(hash)]
    }

    /// How many series there are.
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Bytes that tables, pages and series take in memory, about.
    pub(super) fn memory_bytes(&self) -> usize {
        let mut bytes: usize = self.by_labels.iter().map(|s| s.read().memory_bytes()).sum();
        for (_, page) in self.pages() {
            bytes += page.lock().memory_bytes() + 16 * 4 / 3;
        }
        bytes
    }

    /// The page of a number.
    pub(super) fn page(&self, number: u64) -> Option<Arc<Page>> {
        self.pages.read().get(&page_key(number)).cloned()
    }

    /// The pages `first..=last`, as many as `into` has room for; nothing where there is none.
    pub(super) fn run(&self, first: u64, last: u64, into: &mut [Option<Arc<Page>>]) {
        let pages = self.pages.read();
        into.fill(None);
        for (number, place) in (first..=last).zip(into) {
            *place = pages.get(&page_key(number)).cloned();
        }
    }

    /// All pages by number.
    pub(super) fn pages(&self) -> Vec<(u64, Arc<Page>)> {
        /// Turns a key back into its number.
        const BACK: u64 = 0xf1de_83e1_9937_733d;
        let pages = self.pages.read();
        let number = |(key, page): (&u64, &Arc<Page>)| (key.wrapping_mul(BACK), Arc::clone(page));
        let mut pages: Vec<_> = pages.iter().map(number).collect();
        pages.sort_unstable_by_key(|page| page.0);
        pages
    }

    /// Calls `look` with a series, under its lock.
    pub(super) fn with<R>(
        &self,
        series: SeriesRef,
        look: impl FnOnce(&mut Series) -> R,
    ) -> Option<R> {
        self.page(page_of(series))?.lock().get_mut(series).map(look)
    }

    /// Calls `each` for the series of every row, if it is there, with one lock for rows behind one
    /// another whose series are neighbours.
    pub(super) fn for_rows<R>(
        &self,
        rows: &[R],
        series_of: impl Fn(&R) -> SeriesRef,
        mut each: impl FnMut(Option<&mut Series>, &R),
    ) {
        for run in rows.chunk_by(|a, b| page_of(series_of(a)) == page_of(series_of(b))) {
            let Some(first) = run.first() else { continue };
            let Some(page) = self.page(page_of(series_of(first))) else {
                run.iter().for_each(|row| each(None, row));
                continue;
            };
            let mut page = page.lock();
            run.iter().for_each(|row| each(page.get_mut(series_of(row)), row));
        }
    }

    pub(super) fn contains(&self, series: SeriesRef) -> bool {
        self.with(series, |_| ()).is_some()
    }

    fn has_labels(&self, series: SeriesRef, labels: LabelsRef<'_>) -> bool {
        self.with(series, |known| known.labels.are(labels)) == Some(true)
    }

    /// Finds a series by its labels, whose hash the caller knows.
    pub(super) fn find(&self, hash: u64, labels: LabelsRef<'_>) -> Option<SeriesRef> {
        self.stripe(hash).read().find(hash, |series| self.has_labels(series, labels))
    }

    /// Finds a series, or enters one under the number that `name` gives, with what `make` gives.
    /// `name` may refuse; `enter` is called for a new one before it can be found by its labels.
    pub(super) fn find_or_enter<E>(
        &self,
        labels: LabelsRef<'_>,
        name: impl FnOnce() -> Result<SeriesRef, E>,
        make: impl FnOnce() -> Series,
        enter: impl FnOnce(SeriesRef),
    ) -> Result<(SeriesRef, bool), E> {
        let hash = labels.hash();
        let mut stripe = self.stripe(hash).write();
        if let Some(known) = stripe.find(hash, |series| self.has_labels(series, labels)) {
            return Ok((known, false));
        }
        let series = name()?;
        let mut new = Some(make());
        let mut put = |page: &Page| new.take().is_some_and(|new| page.lock().insert(series, new));
        let key = page_key(page_of(series));
        let known = self.pages.read().get(&key).cloned();
        let page = known.unwrap_or_else(|| Arc::clone(self.pages.write().entry(key).or_default()));
        let is_new = put(&page);
        if is_new {
            enter(series);
            stripe.insert(hash, series);
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        Ok((series, is_new))
    }

    /// Takes the series of some pages out for which `is_wanted` is false. Nobody may look for
    /// series meanwhile in order to append to them.
    pub(super) fn retain(
        &self,
        pages: &[(u64, Arc<Page>)],
        mut is_wanted: impl FnMut(&mut Series) -> bool,
    ) -> Vec<Gone> {
        let mut gone = Vec::new();
        for (number, page) in pages {
            let mut page = page.lock();
            let left = |series, left: &Series| {
                let Series { hash, is_logged, .. } = *left;
                gone.push(Gone { series, hash, labels: left.labels.clone(), is_logged });
            };
            page.retain(*number, &mut is_wanted, left);
            let is_empty = page.is_empty();
            drop(page);
            if is_empty {
                self.pages.write().remove(&page_key(*number));
            }
        }
        for Gone { series, hash, .. } in &gone {
            self.stripe(*hash).write().remove(*hash, *series);
        }
        self.count.fetch_sub(gone.len(), Ordering::Relaxed);
        gone
    }

    /// Calls `each` for every series, by number. One that is entered meanwhile may be left out.
    pub(super) fn for_each(&self, mut each: impl FnMut(SeriesRef, &mut Series)) {
        for (number, page) in self.pages() {
            page.lock().iter_mut(number).for_each(|(series, samples)| each(series, samples));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;
    use crate::storage::head::symbols::Symbols;
    use std::convert::Infallible;

    fn labels(name: &str) -> Labels {
        Labels::from_pairs([("__name__", name)]).unwrap()
    }

    fn enter(registry: &Registry, number: u64, name: &str) -> (SeriesRef, bool) {
        let labels = labels(name);
        let name = || Ok::<_, Infallible>(SeriesRef(number));
        let shared = Symbols::default().share(labels.as_ref());
        let make = || Series::new(labels.as_ref().hash(), shared);
        let Ok(entered) = registry.find_or_enter(labels.as_ref(), name, make, |_| {});
        entered
    }

    fn find(registry: &Registry, name: &str) -> Option<SeriesRef> {
        let labels = labels(name);
        registry.find(labels.as_ref().hash(), labels.as_ref())
    }

    #[test]
    fn a_known_label_set_is_not_entered_twice() {
        let registry = Registry::new();
        assert_eq!(enter(&registry, 1, "a"), (SeriesRef(1), true));
        assert_eq!(enter(&registry, 2, "a"), (SeriesRef(1), false));
        assert_eq!((find(&registry, "a"), registry.len()), (Some(SeriesRef(1)), 1));
        assert!(registry.contains(SeriesRef(1)) && !registry.contains(SeriesRef(2)));
    }

    #[test]
    fn pages_come_and_go_with_their_series() {
        let registry = Registry::new();
        let numbers = [1, 63, 64, 1 << 40, u64::MAX];
        for number in numbers {
            enter(&registry, number, &number.to_string());
        }
        let pages = registry.pages();
        let page_numbers: Vec<u64> = pages.iter().map(|page| page.0).collect();
        assert_eq!(page_numbers, [0, 1, 1 << 34, u64::MAX / 64]);
        let gone = registry.retain(&pages, |series| series.labels.get("__name__") == Some("63"));
        assert_eq!((gone.len(), registry.pages().len(), registry.len()), (4, 1, 1));
        assert!(find(&registry, "1").is_none() && find(&registry, "63").is_some());
        assert_eq!(registry.retain(&pages, |_| false).len(), 1);
        assert!(registry.pages().is_empty());
    }

    #[test]
    fn a_run_of_pages_is_those_pages() {
        let registry = Registry::new();
        for number in [1, 64, 128, 256, u64::MAX] {
            enter(&registry, number, &number.to_string());
        }
        let mut found = [const { None }; 4];
        let end = u64::MAX / 64;
        for (first, last) in [(0, 1), (0, end), (2, 5), (3, 3), (5, 4), (end, end)] {
            registry.run(first, last, &mut found);
            for (number, page) in (first..).zip(&found) {
                let one = registry.page(number).filter(|_| number <= last);
                assert_eq!(page.as_ref().map(Arc::as_ptr), one.as_ref().map(Arc::as_ptr));
            }
        }
    }

    #[test]
    fn rows_find_their_series_by_runs_of_neighbours() {
        let registry = Registry::new();
        for number in [1, 2, 70] {
            enter(&registry, number, &number.to_string());
        }
        let rows = [1_u64, 2, 3, 70, 500, 1].map(SeriesRef);
        let mut found = Vec::new();
        registry.for_rows(
            &rows,
            |row| *row,
            |series, row| {
                let number = |name: &str| name.parse().ok();
                let name = series.as_ref().and_then(|series| series.labels.get("__name__"));
                found.push((row.0, name.and_then(number)));
            },
        );
        let some = |number: u64| (number, Some(number));
        assert_eq!(found, [some(1), some(2), (3, None), some(70), (500, None), some(1)]);
    }
}
