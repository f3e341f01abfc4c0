//! Which series have a label: the index of the head.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard};
use roaring::{RoaringTreemap, treemap};

use crate::series::SeriesRef;
use crate::storage::index::{PostingsCursor, SliceCursor};

use super::symbols::SharedLabels;

/// A list of more references is kept as a bitmap, which then takes less memory.
const FEW_MAX: usize = 256;

/// For a run of so many the room is made at once, and not for more.
const RESERVED_MIN: usize = 16;

/// Ascending references of series.
#[derive(Debug, Clone)]
pub(super) enum List {
    Few(Vec<u64>),
    Many(RoaringTreemap),
}

impl Default for List {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl List {
    fn add(&mut self, series: u64) {
        match self {
            Self::Few(few) if few.len() < FEW_MAX => {
                // References count up; only neighbours in time can come in another order.
                let place = few.iter().rposition(|known| *known < series).map_or(0, |p| p + 1);
                few.insert(place, series);
            }
            Self::Few(few) => {
                let mut many = RoaringTreemap::new();
                many.extend(few.iter().copied());
                many.insert(series);
                *self = Self::Many(many);
            }
            Self::Many(many) => {
                many.insert(series);
            }
        }
    }

    fn extend(&mut self, mut series: impl ExactSizeIterator<Item = u64>) {
        // Most lists are of series that began together and get no others.
        if let Self::Few(few) = self
            && (RESERVED_MIN..=FEW_MAX - few.len()).contains(&series.len())
        {
            few.reserve_exact(series.len());
        }
        while let Self::Few(_) = self {
            let Some(next) = series.next() else { return };
            self.add(next);
        }
        if let Self::Many(many) = self {
            many.extend(series);
        }
    }

    fn remove(&mut self, gone: &RoaringTreemap) {
        match self {
            Self::Few(few) => few.retain(|series| !gone.contains(*series)),
            Self::Many(many) => {
                *many -= gone;
                if many.len() <= FEW_MAX as u64 / 2 {
                    *self = Self::Few(many.iter().collect());
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Few(few) => few.is_empty(),
            Self::Many(many) => many.is_empty(),
        }
    }

    pub(super) fn cursor(&self) -> ListCursor<'_> {
        match self {
            Self::Few(few) => ListCursor::Few(SliceCursor::new(few)),
            Self::Many(many) => ListCursor::Many(Box::new(many.iter())),
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Self::Few(few) => few.capacity() * size_of::<u64>(),
            Self::Many(many) => many.serialized_size(),
        }
    }
}

/// Walks over a [`List`].
pub(super) enum ListCursor<'a> {
    Few(SliceCursor<&'a [u64]>),
    /// In a box, since it is ten times as large as the other.
    Many(Box<treemap::Iter<'a>>),
}

impl PostingsCursor for ListCursor<'_> {
    type Id = u64;

    fn remaining(&self) -> usize {
        match self {
            Self::Few(few) => few.remaining(),
            Self::Many(many) => many.size_hint().0,
        }
    }

    fn next_id(&mut self) -> Option<u64> {
        match self {
            Self::Few(few) => few.next_id(),
            Self::Many(many) => many.next(),
        }
    }

    fn seek(&mut self, at_least: u64) -> Option<u64> {
        match self {
            Self::Few(few) => few.seek(at_least),
            Self::Many(many) => {
                many.advance_to(at_least);
                many.next()
            }
        }
    }
}

type Values = HashMap<Arc<str>, List>;

/// The lists by label name and value.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) names: HashMap<Arc<str>, Values>,
    pub(super) all: List,
}

/// Series behind one another that have a label in common.
struct Run<'a> {
    name: &'a str,
    value: &'a str,
    series: Vec<u64>,
}

impl Lists {
    fn add(&mut self, run: &Run<'_>) {
        let Run { name, value, series } = run;
        // Looked up first by the borrowed text: most names and values are there.
        if !self.names.contains_key(*name) {
            self.names.insert((*name).into(), Values::new());
        }
        let Some(values) = self.names.get_mut(*name) else { return };
        let series = series.iter().copied();
        match values.get_mut(*value) {
            Some(list) => list.extend(series),
            None => values.entry((*value).into()).or_default().extend(series),
        }
    }
}

/// The lists, and the lock on them.
#[derive(Debug)]
pub(super) struct Postings(RwLock<Lists>);

impl Postings {
    pub(super) fn new() -> Self {
        Self(RwLock::default())
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Lists> {
        self.0.read()
    }

    /// Enters new series, all at once.
    pub(super) fn add_all(&self, new: &[(SeriesRef, SharedLabels)]) {
        if new.is_empty() {
            return;
        }
        let mut lists = self.0.write();
        lists.all.extend(new.iter().map(|(series, _)| series.0));
        // Series that begin together have most labels in common, at the same places: of a run of
        // equal ones, name and value are looked up once.
        let mut runs: Vec<Run<'_>> = Vec::new();
        let before = [None].into_iter().chain(new.iter().map(|(_, labels)| Some(labels)));
        for ((series, labels), before) in new.iter().zip(before) {
            for (place, (name, value)) in labels.iter().enumerate() {
                match runs.get_mut(place) {
                    Some(run) if before.is_some_and(|b| labels.have_in_common(b, place)) => {
                        run.series.push(series.0);
                    }
                    Some(run) => {
                        lists.add(run);
                        (run.name, run.value) = (name, value);
                        run.series.clear();
                        run.series.push(series.0);
                    }
                    None => runs.push(Run { name, value, series: vec![series.0] }),
                }
            }
        }
        runs.iter().for_each(|run| lists.add(run));
    }

    /// Removes series that are gone, and the labels that nobody has any more.
    pub(super) fn remove(&self, gone: &RoaringTreemap, labels: &[SharedLabels]) {
        let pairs: HashSet<(&str, &str)> = labels.iter().flat_map(SharedLabels::iter).collect();
        // One lock a pair, so that readers and new series get in between.
        for (name, value) in pairs {
            let mut lists = self.0.write();
            let Some(values) = lists.names.get_mut(name) else { continue };
            if let Some(list) = values.get_mut(value) {
                list.remove(gone);
                if list.is_empty() {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                lists.names.remove(name);
            }
        }
        self.0.write().all.remove(gone);
    }

    /// Bytes that the lists take in memory, about.
    pub(super) fn memory_bytes(&self) -> usize {
        // A table's entry, its share of the table's empty places, and the text's counts.
        const ENTRY_BYTES: usize = (size_of::<(Arc<str>, List)>() + 1) * 8 / 7 + 16;
        let lists = self.read();
        let mut bytes = lists.all.memory_bytes();
        for (value, list) in lists.names.values().flatten() {
            bytes += ENTRY_BYTES + value.len() + list.memory_bytes();
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;
    use crate::storage::head::symbols::Symbols;

    fn labels(pairs: &[(&str, &str)]) -> SharedLabels {
        let labels = Labels::from_pairs(pairs.iter().copied()).unwrap();
        Symbols::default().share(labels.as_ref())
    }

    fn refs(list: &List) -> Vec<u64> {
        let mut cursor = list.cursor();
        let length = cursor.remaining();
        let refs: Vec<u64> = std::iter::from_fn(|| cursor.next_id()).collect();
        assert_eq!(refs.len(), length);
        refs
    }

    #[test]
    fn both_kinds_of_lists_are_walked_alike() {
        for length in [10, 1000] {
            let mut list = List::default();
            (0..length).for_each(|index| list.add(index * 3));
            let mut cursor = list.cursor();
            assert_eq!((cursor.seek(4), cursor.next_id()), (Some(6), Some(9)));
            assert_eq!((cursor.seek(12), cursor.remaining()), (Some(12), length as usize - 5));
            // Backwards it does not go.
            assert_eq!((cursor.seek(0), cursor.seek(length * 3)), (Some(15), None));
        }
    }

    #[test]
    fn series_that_come_in_another_order_are_listed_in_theirs() {
        let postings = Postings::new();
        for series in [3, 1, 2, 5, 4] {
            postings.add_all(&[(SeriesRef(series), labels(&[("a", "1")]))]);
        }
        let lists = postings.read();
        let List::Few(few) = &lists.names["a"]["1"] else { panic!("a bitmap for five") };
        assert_eq!(*few, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn every_series_is_listed_under_each_of_its_labels() {
        let postings = Postings::new();
        let mut wanted: HashMap<(String, String), Vec<u64>> = HashMap::new();
        let (symbols, mut new) = (Symbols::default(), Vec::new());
        for number in 1..=2000_u64 {
            // Names that come and go, so that places shift; values in runs of many lengths.
            let mut pairs = vec![("a", number / 700), ("c", number % 3), ("d", number / 10)];
            if number % 7 < 3 {
                pairs.push(("b", number / 100));
            }
            let pairs = pairs.into_iter().map(|(name, value)| (name, value.to_string()));
            for (name, value) in pairs.clone() {
                wanted.entry((name.to_owned(), value)).or_default().push(number);
            }
            let labels = Labels::from_pairs(pairs).unwrap();
            new.push((SeriesRef(number), symbols.share(labels.as_ref())));
            if number % 300 == 0 {
                postings.add_all(&std::mem::take(&mut new));
            }
        }
        postings.add_all(&new);
        let lists = postings.read();
        assert_eq!(refs(&lists.all), (1..=2000).collect::<Vec<_>>());
        assert_eq!(lists.names.values().map(HashMap::len).sum::<usize>(), wanted.len());
        for ((name, value), numbers) in wanted {
            assert_eq!(refs(&lists.names[&*name][&*value]), numbers, "{name}={value}");
        }
    }

    #[test]
    fn labels_go_with_their_last_series() {
        let postings = Postings::new();
        let first = labels(&[("a", "1"), ("b", "1")]);
        let second = labels(&[("a", "1"), ("c", "1")]);
        postings.add_all(&[(SeriesRef(1), first.clone()), (SeriesRef(2), second)]);
        postings.remove(&RoaringTreemap::from_iter([1]), &[first]);
        let lists = postings.read();
        assert_eq!(refs(&lists.all), [2]);
        assert_eq!(refs(&lists.names["a"]["1"]), [2]);
        assert!(!lists.names.contains_key("b"));
    }

    #[test]
    fn a_long_list_becomes_a_bitmap_and_back() {
        let mut list = List::default();
        (1..=1000).for_each(|series| list.add(series));
        assert!(matches!(list, List::Many(_)));
        assert_eq!(refs(&list), (1..=1000).collect::<Vec<_>>());
        list.remove(&RoaringTreemap::from_iter(11..=1000));
        assert!(matches!(list, List::Few(_)));
        assert_eq!(refs(&list), (1..=10).collect::<Vec<_>>());
    }
}
