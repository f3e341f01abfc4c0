//! The gateway itself: which blocks it has, and what it holds.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use ulid::Ulid;

use crate::longterm::bucket::Bucket;
use crate::longterm::{BucketView, FetchOptions, Fetcher};
use crate::model::Labels;
use crate::series::TimeRange;

use super::GatewayOptions;
use super::block::{About, GateBlock, Shared};
use super::cache::Cache;
use super::error::GatewayError;
use super::folder::HeaderFolder;
use super::limits::Memory;
use super::metrics::GatewayMetrics;
use super::set::{BlockSet, Coverage};

/// Answers questions from the blocks of a bucket, of which it fetches what it needs. Cheap to
/// clone.
///
/// A series carries the external labels of its block, which win over its own. Series of several
/// blocks with the same labels are one. It may be asked from any thread that may wait.
#[derive(Debug, Clone)]
pub struct Gateway(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    memory: Arc<Memory>,
    set: RwLock<Arc<BlockSet>>,
    /// Finds blocks, for one at a time.
    fetcher: Mutex<Fetcher>,
}

/// What a gateway holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GatewayStats {
    /// Blocks that answer.
    pub blocks: usize,
    /// Blocks that are left out of answers, since they cannot be read.
    pub set_aside: usize,
    /// Bytes of the headers that are loaded.
    pub header_bytes: usize,
    /// Bytes in the cache.
    pub cache_bytes: usize,
    /// Bytes that answers hold.
    pub held_bytes: u64,
}

impl Gateway {
    /// Finds the blocks of a bucket as [`start`](Self::start) does. Nothing else is read before it
    /// is asked for.
    ///
    /// # Errors
    /// A bucket that cannot be listed.
    pub fn open(bucket: Bucket, options: GatewayOptions) -> Result<Self, GatewayError> {
        let gateway = Self::new(bucket, options);
        gateway.start()?;
        Ok(gateway)
    }

    /// A gateway without blocks, until [`start`](Self::start) or [`refresh`](Self::refresh) finds
    /// some: for programs that start whether or not the bucket answers.
    #[must_use]
    pub fn new(bucket: Bucket, options: GatewayOptions) -> Self {
        let fetching =
            FetchOptions { registry: options.metrics.clone(), ..FetchOptions::default() };
        let fetcher = Mutex::new(Fetcher::new(bucket.clone(), &fetching));
        let shared = Shared {
            cache: Cache::new(options.cache_bytes, &options.metrics),
            metrics: GatewayMetrics::new(&options.metrics),
            bucket,
            options,
        };
        let memory = Memory::new(shared.options.memory_bytes);
        Self(Arc::new(Inner { shared: Arc::new(shared), memory, set: RwLock::default(), fetcher }))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.0.memory
    }

    pub(super) fn block_set(&self) -> Arc<BlockSet> {
        Arc::clone(&self.0.set.read())
    }

    /// From the first millisecond of the first block to the last one of the last block.
    #[must_use]
    pub fn time_range(&self) -> Option<TimeRange> {
        self.block_set().range()
    }

    /// The external labels that blocks have, ascending.
    #[must_use]
    pub fn label_sets(&self) -> Vec<Labels> {
        self.block_set().of_labels.iter().map(|one| one.labels.clone()).collect()
    }

    /// For each set of external labels the spans of time that blocks cover without a hole.
    #[must_use]
    pub fn tsdb_infos(&self) -> Vec<Coverage> {
        self.block_set().coverage()
    }

    /// What the gateway holds now.
    #[must_use]
    pub fn stats(&self) -> GatewayStats {
        let set = self.block_set();
        GatewayStats {
            blocks: set.blocks.len(),
            set_aside: set.blocks.iter().filter(|block| block.set_aside().is_some()).count(),
            header_bytes: set.blocks.iter().map(|block| block.header_bytes()).sum(),
            cache_bytes: self.shared().cache.used_bytes(),
            held_bytes: self.memory().used_bytes(),
        }
    }

    /// Lets go of headers that nobody asked for.
    pub(super) fn drop_idle_headers(&self) {
        let options = &self.shared().options;
        let before_ms = options.clock.now_ms().saturating_sub(options.header_idle_ms);
        for block in &self.block_set().blocks {
            if block.drop_idle(before_ms) {
                self.shared().metrics.header_unloads.inc();
            }
        }
    }

    /// Leaves a block out of answers until the list of blocks is renewed.
    pub(super) fn set_aside(&self, block: &GateBlock, error: &GatewayError) {
        if block.put_aside(error) {
            tracing::warn!(block = %block.about.ulid, %error, "block is left out of answers");
            let metrics = &self.shared().metrics;
            metrics.block_load_failures.inc();
            metrics.blocks_set_aside.add(1.0);
        }
    }

    /// Takes these blocks and no others. Those that are known keep what is loaded of them.
    pub(super) fn replace_blocks(&self, abouts: Vec<About>) {
        let shared = self.shared();
        let old = self.block_set();
        let mut known: HashMap<Ulid, &Arc<GateBlock>> =
            old.blocks.iter().map(|block| (block.about.ulid, block)).collect();
        let mut blocks = Vec::with_capacity(abouts.len());
        for about in abouts {
            match known.remove(&about.ulid).filter(|block| block.about == about) {
                Some(block) => {
                    block.take_back();
                    blocks.push(Arc::clone(block));
                }
                None => {
                    shared.metrics.block_loads.inc();
                    blocks.push(Arc::new(GateBlock::new(about)));
                }
            }
        }
        shared.metrics.block_drops.add(known.len() as u64);
        shared.metrics.blocks_loaded.set(blocks.len() as f64);
        shared.metrics.blocks_set_aside.set(0.0);
        *self.0.set.write() = Arc::new(BlockSet::new(blocks));
    }

    /// Finds the blocks for the first time: with one read, if the bucket has an index of itself
    /// that is fresh; else as [`refresh`](Self::refresh). What came after the index was written is
    /// found by the next `refresh`.
    ///
    /// # Errors
    /// A bucket that cannot be listed.
    pub fn start(&self) -> Result<(), GatewayError> {
        let Some(view) = self.view_of_index() else { return self.refresh() };
        self.take_view(view);
        Ok(())
    }

    fn view_of_index(&self) -> Option<BucketView> {
        let options = &self.shared().options;
        if options.index_age_max_ms <= 0 {
            return None;
        }
        let now_ms = options.clock.now_ms();
        let view = self.0.fetcher.lock().start_from_index(now_ms, options.index_age_max_ms);
        view.unwrap_or_else(|error| {
            // If the bucket does not answer at all, the listing tells.
            tracing::warn!(%error, "the index of the bucket is not read");
            None
        })
    }

    /// Takes the blocks of a view that concern this gateway.
    fn take_view(&self, mut view: BucketView) {
        let options = &self.shared().options;
        let now_ms = options.clock.now_ms();
        view.keep_range(options.range);
        view.keep_shard(&options.shard, &options.shard_without);
        view.keep_settled(now_ms, options.consistency_delay_ms);
        view.keep_unmarked(now_ms, options.deletion_delay_ms);
        view.remove_duplicates();
        self.replace_blocks(view.blocks.iter().map(|block| About::of(block)).collect());
    }

    /// Removes the kept headers of all other blocks. Only who has just listed the bucket knows
    /// which those are.
    pub(super) fn forget_headers(&self) {
        if let Some((disk, dir)) = &self.shared().options.header_folder {
            let set = self.block_set();
            let ulids = set.blocks.iter().map(|block| block.about.ulid).collect();
            HeaderFolder::new(disk, dir).keep(&ulids);
        }
    }

    /// Renews the list of blocks; one caller at a time. Blocks that were set aside are tried again.
    ///
    /// # Errors
    /// A bucket that cannot be listed; the list is then as it was.
    pub fn refresh(&self) -> Result<(), GatewayError> {
        let mut fetcher = self.0.fetcher.lock();
        let view = fetcher.fetch()?;
        self.take_view(view);
        self.forget_headers();
        Ok(())
    }
}
