//! Which series did this target expose before, under which text, and what became of them?
//!
//! The key is the raw text of name and labels on the page. A steady page is read without building
//! or hashing a label set: mostly the next line is the series that followed last time too, and one
//! comparison finds it; otherwise the text is hashed once.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::model::Labels;
use crate::series::SeriesRef;

const NONE: u32 = u32::MAX;

/// One exposed series.
#[derive(Debug)]
pub(super) struct Entry {
    raw: Box<str>,
    /// Final labels; nothing if relabelling drops the series.
    pub(super) labels: Option<Labels>,
    /// The storage's name for it.
    pub(super) series: SeriesRef,
    /// The round in which it stood on the page last.
    pub(super) seen: u64,
    /// The last round in which standing on the page meant that the series goes on.
    pub(super) tracked: u64,
    /// Its newest sample is stored and no staleness marker behind it.
    pub(super) live: bool,
    /// The next entry with the same hash.
    next: u32,
}

/// A hash that is one already.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// All series of one target.
#[derive(Debug)]
pub(super) struct SeriesCache {
    entries: Vec<Entry>,
    /// First entry by hash of its text.
    heads: HashMap<u64, u32, BuildHasherDefault<Hashed>>,
    /// Where the next text is probably found.
    likely: usize,
    /// Differs between caches, so that no page can be made to collide.
    seed: u64,
    round: u64,
    /// How many entries there were after the last successful round.
    settled_count: usize,
}

impl SeriesCache {
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::new(),
            heads: HashMap::default(),
            likely: 0,
            seed: RandomState::new().hash_one(0_u8),
            round: 1,
            settled_count: 0,
        }
    }

    /// The number of the scrape under way, from 1.
    pub(super) const fn round(&self) -> u64 {
        self.round
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn entry_mut(&mut self, index: usize) -> Option<&mut Entry> {
        self.entries.get_mut(index)
    }

    /// Finds the entry of a text.
    #[inline]
    pub(super) fn find(&mut self, raw: &str) -> Option<usize> {
        let likely = self.likely;
        let found = match self.entries.get(likely) {
            Some(entry) if *entry.raw == *raw => Some(likely),
            _ => self.search(raw),
        };
        if let Some(index) = found {
            self.likely = index + 1;
        }
        found
    }

    fn search(&self, raw: &str) -> Option<usize> {
        let mut next = *self.heads.get(&self.hash(raw))?;
        while let Some(entry) = self.entries.get(next as usize) {
            if *entry.raw == *raw {
                return Some(next as usize);
            }
            next = entry.next;
        }
        None
    }

    fn hash(&self, raw: &str) -> u64 {
        xxh3_64_with_seed(raw.as_bytes(), self.seed)
    }

    /// Adds the entry of a text that has none.
    pub(super) fn add(&mut self, raw: &str, labels: Option<Labels>) -> usize {
        let index = self.entries.len();
        self.entries.push(Entry {
            raw: raw.into(),
            labels,
            series: SeriesRef::UNKNOWN,
            seen: 0,
            tracked: 0,
            live: false,
            next: NONE,
        });
        self.link(index);
        self.likely = index + 1;
        index
    }

    fn link(&mut self, index: usize) {
        let Some(raw) = self.entries.get(index).map(|entry| self.hash(&entry.raw)) else { return };
        let before = self.heads.insert(raw, index as u32);
        if let Some(entry) = self.entries.get_mut(index) {
            entry.next = before.unwrap_or(NONE);
        }
    }

    /// Ends the round. After a good page, what was not on it is forgotten; after a failed scrape
    /// only if a page of ever new series would make the cache grow without end. Returns whether
    /// that was so.
    pub(super) fn end_round(&mut self, page_was_good: bool) -> bool {
        let grown = self.entries.len() > 2 * self.settled_count + 1000;
        if page_was_good || grown {
            let (round, before) = (self.round, self.entries.len());
            self.entries.retain(|entry| entry.seen == round);
            if self.entries.len() != before {
                self.heads.clear();
                for index in 0..self.entries.len() {
                    self.link(index);
                }
            }
        }
        if page_was_good {
            self.settled_count = self.entries.len();
        }
        self.likely = 0;
        self.round += 1;
        grown && !page_was_good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(cache: &mut SeriesCache, raw: &str) -> bool {
        let found = cache.find(raw);
        let is_new = found.is_none();
        let index = found.unwrap_or_else(|| cache.add(raw, None));
        let round = cache.round();
        cache.entry_mut(index).unwrap().seen = round;
        is_new
    }

    #[test]
    fn texts_are_found_in_any_order() {
        let mut cache = SeriesCache::new();
        let texts: Vec<String> = (0..100).map(|i| format!("m{{i=\"{i}\"}}")).collect();
        assert!(texts.iter().all(|text| see(&mut cache, text)));
        cache.end_round(true);
        assert!(texts.iter().rev().all(|text| !see(&mut cache, text)));
        cache.end_round(true);
        assert_eq!(cache.entries().len(), 100);
    }

    #[test]
    fn what_left_a_good_page_is_forgotten() {
        let mut cache = SeriesCache::new();
        for text in ["a", "b", "c"] {
            see(&mut cache, text);
        }
        cache.end_round(true);
        see(&mut cache, "c");
        see(&mut cache, "a");
        cache.end_round(true);
        let left: Vec<&str> = cache.entries().iter().map(|entry| &*entry.raw).collect();
        assert_eq!(left, ["a", "c"]);
        assert!(see(&mut cache, "b") && !see(&mut cache, "a") && !see(&mut cache, "c"));
    }

    #[test]
    fn failed_scrapes_cannot_fill_the_memory() {
        let mut cache = SeriesCache::new();
        see(&mut cache, "kept");
        cache.end_round(true);
        let mut most = 0;
        for round in 0..10 {
            for series in 0..600 {
                see(&mut cache, &format!("m{round}_{series}"));
            }
            cache.end_round(false);
            most = most.max(cache.entries().len());
        }
        assert!(most <= 1002 + 600, "{most}");
    }

    #[test]
    fn texts_of_equal_hash_stay_apart() {
        let mut cache = SeriesCache::new();
        let hash = cache.hash("a");
        see(&mut cache, "a");
        // As if `b` had the same hash as `a`.
        cache.heads.insert(hash, 1);
        cache.entries.push(Entry {
            raw: "b".into(),
            labels: None,
            series: SeriesRef::UNKNOWN,
            seen: 0,
            tracked: 0,
            live: false,
            next: 0,
        });
        cache.likely = 5;
        assert_eq!(cache.find("a"), Some(0));
    }
}
