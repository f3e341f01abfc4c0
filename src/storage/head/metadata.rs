//! What the metrics of series mean, newest word of each series.
//!
//! Thousands of series share one metric's words, so those are kept once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::model::Metadata;
use crate::series::SeriesRef;

/// Metadata by series.
#[derive(Debug, Default)]
pub(in crate::storage) struct MetadataStore(RwLock<Tables>);

#[derive(Debug, Default)]
struct Tables {
    by_series: HashMap<SeriesRef, Arc<Metadata>>,
    words: HashSet<Arc<Metadata>>,
}

impl MetadataStore {
    /// Says what a series means; returns false if that was known.
    pub(in crate::storage) fn set(&self, series: SeriesRef, metadata: &Metadata) -> bool {
        if self.0.read().by_series.get(&series).is_some_and(|known| **known == *metadata) {
            return false;
        }
        let mut tables = self.0.write();
        let shared = match tables.words.get(metadata) {
            Some(known) => Arc::clone(known),
            None => {
                let shared = Arc::new(metadata.clone());
                tables.words.insert(Arc::clone(&shared));
                shared
            }
        };
        let before = tables.by_series.insert(series, shared);
        tables.forget_unused(before);
        true
    }

    /// What a series means, if anybody said so.
    pub(in crate::storage) fn get(&self, series: SeriesRef) -> Option<Arc<Metadata>> {
        self.0.read().by_series.get(&series).cloned()
    }

    /// Forgets a series.
    pub(in crate::storage) fn remove(&self, series: SeriesRef) {
        if self.0.read().by_series.is_empty() {
            return;
        }
        let mut tables = self.0.write();
        let before = tables.by_series.remove(&series);
        tables.forget_unused(before);
    }
}

impl Tables {
    fn forget_unused(&mut self, words: Option<Arc<Metadata>>) {
        // One count is the caller's, one the set's.
        if let Some(words) = words
            && Arc::strong_count(&words) <= 2
        {
            self.words.remove(&words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_word_counts_and_is_kept_once() {
        let store = MetadataStore::default();
        let help = |help: &str| Metadata { help: help.into(), ..Metadata::default() };
        assert!(store.set(SeriesRef(1), &help("a")) && store.set(SeriesRef(2), &help("a")));
        assert!(!store.set(SeriesRef(1), &help("a")), "known already");
        assert!(Arc::ptr_eq(&store.get(SeriesRef(1)).unwrap(), &store.get(SeriesRef(2)).unwrap()));
        assert!(store.set(SeriesRef(1), &help("b")));
        assert_eq!(*store.get(SeriesRef(1)).unwrap(), help("b"));
        store.remove(SeriesRef(1));
        store.remove(SeriesRef(2));
        assert!(store.get(SeriesRef(1)).is_none());
        assert!(store.0.read().words.is_empty(), "nobody uses the words");
    }
}
