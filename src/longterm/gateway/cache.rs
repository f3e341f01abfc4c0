//! What was read of blocks and may be asked for again: one budget of bytes for all of it.
//!
//! What was not used for the longest time goes first. The keys are spread over shards, each with
//! its own lock and its part of the budget.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use ulid::Ulid;

use crate::base::metrics::{Counter, Gauge, Registry};

const SHARDS: usize = 16;
/// What an entry takes beside its bytes, roughly: its key twice, a node, an allocation.
const ENTRY_BYTES: usize = 160;
const NONE: u32 = u32::MAX;

/// What an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// The list of series of one label.
    Postings,
    /// The series that a set of matchers selects.
    Expanded,
    /// The entry of one series.
    Series,
    /// A page of a chunk segment.
    Chunks,
}

const KINDS: [(Kind, &str); 4] = [
    (Kind::Postings, "Postings"),
    (Kind::Expanded, "ExpandedPostings"),
    (Kind::Series, "Series"),
    (Kind::Chunks, "Chunks"),
];

/// Names an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) kind: Kind,
    pub(super) block: Ulid,
    /// The segment of a page; 0 of others.
    pub(super) segment: u32,
    /// An offset, an id, a number of a page or a hash.
    pub(super) at: u64,
}

/// The series that a set of matchers selects in a block.
#[derive(Debug)]
pub(super) struct Expanded {
    /// The matchers in words: keys have but a hash of it.
    pub(super) question: Box<str>,
    pub(super) ids: Vec<u32>,
    /// Which of the matchers the ids were not chosen by.
    pub(super) unchecked: Vec<usize>,
}

#[derive(Debug, Clone)]
pub(super) enum Item {
    Bytes(Bytes),
    Expanded(Arc<Expanded>),
}

impl Item {
    fn size_bytes(&self) -> usize {
        ENTRY_BYTES
            + match self {
                Self::Bytes(bytes) => bytes.len(),
                Self::Expanded(one) => {
                    one.ids.len() * 4 + one.question.len() + one.unchecked.len() * 8
                }
            }
    }
}

#[derive(Debug)]
struct Node {
    key: Key,
    item: Item,
    /// Towards the one that was used last.
    newer: u32,
    /// Towards the one that goes first.
    older: u32,
}

/// A part of the cache. The nodes form a ring list through their numbers.
#[derive(Debug, Default)]
struct Shard {
    places: HashMap<Key, u32>,
    nodes: Vec<Node>,
    ends: Option<Ends>,
    used_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Ends {
    newest: u32,
    oldest: u32,
}

impl Shard {
    fn node(&mut self, number: u32) -> Option<&mut Node> {
        self.nodes.get_mut(number as usize)
    }

    /// Takes a node out of the list; it stays in memory.
    fn unlink(&mut self, number: u32) {
        let Some((newer, older)) = self.node(number).map(|node| (node.newer, node.older)) else {
            return;
        };
        if let Some(node) = self.node(newer) {
            node.older = older;
        }
        if let Some(node) = self.node(older) {
            node.newer = newer;
        }
        self.ends = self.ends.and_then(|ends| {
            let newest = if ends.newest == number { older } else { ends.newest };
            let oldest = if ends.oldest == number { newer } else { ends.oldest };
            (newest != NONE).then_some(Ends { newest, oldest })
        });
    }

    fn link_newest(&mut self, number: u32) {
        let before = self.ends.map(|ends| ends.newest);
        if let Some(node) = self.node(number) {
            (node.newer, node.older) = (NONE, before.unwrap_or(NONE));
        }
        if let Some(node) = before.and_then(|before| self.node(before)) {
            node.newer = number;
        }
        let oldest = self.ends.map_or(number, |ends| ends.oldest);
        self.ends = Some(Ends { newest: number, oldest });
    }

    fn get(&mut self, key: &Key) -> Option<Item> {
        let number = *self.places.get(key)?;
        self.unlink(number);
        self.link_newest(number);
        self.node(number).map(|node| node.item.clone())
    }

    /// Enters an item that is not larger than `max_bytes`; those that go for it are shown to
    /// `evicted`. False if it was there already.
    fn put(
        &mut self,
        key: Key,
        item: Item,
        max_bytes: usize,
        evicted: &mut dyn FnMut(Node),
    ) -> bool {
        if self.places.contains_key(&key) {
            return false;
        }
        let size = item.size_bytes();
        while self.used_bytes + size > max_bytes {
            let Some(oldest) = self.ends.map(|ends| ends.oldest) else { break };
            let Some(gone) = self.remove(oldest) else { break };
            evicted(gone);
        }
        let number = self.nodes.len() as u32;
        self.nodes.push(Node { key, item, newer: NONE, older: NONE });
        self.link_newest(number);
        self.places.insert(key, number);
        self.used_bytes += size;
        true
    }

    fn remove(&mut self, number: u32) -> Option<Node> {
        self.unlink(number);
        let last = self.nodes.len().checked_sub(1)? as u32;
        if number > last {
            return None;
        }
        let gone = self.nodes.swap_remove(number as usize);
        if number != last {
            self.renumber(last, number);
        }
        self.places.remove(&gone.key);
        self.used_bytes -= gone.item.size_bytes();
        Some(gone)
    }

    /// Tells everybody who knows the node `from` that it is `to` now.
    fn renumber(&mut self, from: u32, to: u32) {
        let Some(node) = self.node(to) else { return };
        let (key, newer, older) = (node.key, node.newer, node.older);
        if let Some(place) = self.places.get_mut(&key) {
            *place = to;
        }
        if let Some(node) = self.node(newer) {
            node.older = to;
        }
        if let Some(node) = self.node(older) {
            node.newer = to;
        }
        if let Some(ends) = &mut self.ends {
            if ends.newest == from {
                ends.newest = to;
            }
            if ends.oldest == from {
                ends.oldest = to;
            }
        }
    }
}

#[derive(Debug)]
struct KindMetrics {
    requests: Counter,
    hits: Counter,
    added: Counter,
    evicted: Counter,
    overflowed: Counter,
    items: Gauge,
    size_bytes: Gauge,
}

impl KindMetrics {
    fn new(registry: &Registry, item_type: &str) -> Self {
        let labels = [("item_type", item_type)];
        let counter = |name, help| registry.counter_with(name, help, &labels);
        Self {
            requests: counter(
                "thanos_store_index_cache_requests_total",
                "Total number of items requested from the cache.",
            ),
            hits: counter(
                "thanos_store_index_cache_hits_total",
                "Total number of requests to the cache that were a hit.",
            ),
            added: counter(
                "thanos_store_index_cache_items_added_total",
                "Total number of items that were added to the cache.",
            ),
            evicted: counter(
                "thanos_store_index_cache_items_evicted_total",
                "Total number of items that were evicted from the cache.",
            ),
            overflowed: counter(
                "thanos_store_index_cache_items_overflowed_total",
                "Total number of items that were too large for the cache.",
            ),
            items: registry.gauge_with(
                "thanos_store_index_cache_items",
                "Current number of items in the cache.",
                &labels,
            ),
            size_bytes: registry.gauge_with(
                "thanos_store_index_cache_total_size_bytes",
                "Current size of the items in the cache, with what it takes to keep them.",
                &labels,
            ),
        }
    }
}

/// The cache. Cheap to ask from many threads.
#[derive(Debug)]
pub(super) struct Cache {
    shards: Vec<Mutex<Shard>>,
    shard_bytes: usize,
    hash: RandomState,
    metrics: [KindMetrics; KINDS.len()],
}

impl Cache {
    /// At most `max_bytes` of everything; with 0 nothing is kept.
    pub(super) fn new(max_bytes: usize, registry: &Registry) -> Self {
        let gauge = registry.gauge(
            "thanos_store_index_cache_max_size_bytes",
            "Maximum number of bytes to be held in the cache.",
        );
        gauge.set(max_bytes as f64);
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            shard_bytes: max_bytes / SHARDS,
            hash: RandomState::new(),
            metrics: KINDS.map(|(_, name)| KindMetrics::new(registry, name)),
        }
    }

    fn of_kind(&self, kind: Kind) -> Option<&KindMetrics> {
        let index = KINDS.iter().position(|(one, _)| *one == kind)?;
        self.metrics.get(index)
    }

    fn shard(&self, key: &Key) -> Option<&Mutex<Shard>> {
        self.shards.get(self.hash.hash_one(key) as usize % SHARDS)
    }

    pub(super) fn get(&self, key: &Key) -> Option<Item> {
        let found = self.shard(key)?.lock().get(key);
        let metrics = self.of_kind(key.kind)?;
        metrics.requests.inc();
        metrics.hits.add(u64::from(found.is_some()));
        found
    }

    pub(super) fn get_bytes(&self, key: &Key) -> Option<Bytes> {
        match self.get(key)? {
            Item::Bytes(bytes) => Some(bytes),
            Item::Expanded(_) => None,
        }
    }

    /// Keeps a copy of `bytes`: a part of a large buffer would keep all of it in memory.
    pub(super) fn put_bytes(&self, key: Key, bytes: &[u8]) {
        if self.shard_bytes > 0 {
            self.put(key, Item::Bytes(Bytes::copy_from_slice(bytes)));
        }
    }

    /// The same, unless it is there.
    pub(super) fn put_bytes_once(&self, key: Key, bytes: &[u8]) {
        let shard = self.shard(&key);
        if !shard.is_some_and(|shard| shard.lock().places.contains_key(&key)) {
            self.put_bytes(key, bytes);
        }
    }

    pub(super) fn put(&self, key: Key, item: Item) {
        let size = item.size_bytes();
        let (Some(shard), Some(metrics)) = (self.shard(&key), self.of_kind(key.kind)) else {
            return;
        };
        if size > self.shard_bytes {
            metrics.overflowed.inc();
            return;
        }
        let is_new = shard.lock().put(key, item, self.shard_bytes, &mut |gone| {
            if let Some(metrics) = self.of_kind(gone.key.kind) {
                metrics.evicted.inc();
                metrics.items.add(-1.0);
                metrics.size_bytes.add(-(gone.item.size_bytes() as f64));
            }
        });
        if !is_new {
            return;
        }
        metrics.added.inc();
        metrics.items.add(1.0);
        metrics.size_bytes.add(size as f64);
    }

    /// Bytes that everything in it takes.
    pub(super) fn used_bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().used_bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn key(at: u64) -> Key {
        Key { kind: Kind::Series, block: Ulid::nil(), segment: 0, at }
    }

    /// The same in the simplest way: a list, newest last.
    #[derive(Default)]
    struct Model(Vec<(u64, usize)>);

    impl Model {
        fn get(&mut self, at: u64) -> bool {
            let Some(index) = self.0.iter().position(|one| one.0 == at) else { return false };
            let one = self.0.remove(index);
            self.0.push(one);
            true
        }

        fn put(&mut self, at: u64, size: usize, max: usize) {
            if size > max || self.0.iter().any(|one| one.0 == at) {
                return;
            }
            while self.0.iter().map(|one| one.1).sum::<usize>() + size > max {
                self.0.remove(0);
            }
            self.0.push((at, size));
        }
    }

    proptest! {
        #[test]
        fn a_shard_forgets_what_was_not_used_for_the_longest_time(
            steps in vec((any::<bool>(), 0_u64..12, 0_usize..400), 1..200),
        ) {
            const MAX: usize = 1500;
            let (mut shard, mut model) = (Shard::default(), Model::default());
            for (is_put, at, length) in steps {
                if is_put {
                    let item = Item::Bytes(vec![0; length].into());
                    shard.put(key(at), item, MAX, &mut |_| {});
                    model.put(at, length + ENTRY_BYTES, MAX);
                } else {
                    prop_assert_eq!(shard.get(&key(at)).is_some(), model.get(at));
                }
                let used: usize = model.0.iter().map(|one| one.1).sum();
                prop_assert_eq!(shard.used_bytes, used);
                prop_assert_eq!(shard.nodes.len(), model.0.len());
            }
        }
    }

    #[test]
    fn what_happens_is_counted_by_kind() {
        let registry = Registry::new();
        let cache = Cache::new(SHARDS * 1000, &registry);
        cache.put_bytes(key(1), &[7; 100]);
        cache.put_bytes(key(2), &[7; 900]);
        assert_eq!(cache.get_bytes(&key(1)).unwrap(), vec![7; 100]);
        assert!(cache.get(&key(2)).is_none() && cache.get(&key(3)).is_none());
        let series = &cache.metrics[2];
        assert_eq!((series.requests.get(), series.hits.get()), (3, 1));
        assert_eq!((series.added.get(), series.overflowed.get()), (1, 1));
        assert_eq!(series.size_bytes.get(), cache.used_bytes() as f64);
        for at in 10..200 {
            cache.put_bytes(key(at), &[7; 500]);
        }
        assert!(cache.used_bytes() <= SHARDS * 1000);
        assert_eq!(series.added.get() - series.evicted.get(), series.items.get() as u64);
    }
}
