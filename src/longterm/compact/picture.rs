//! What is in the bucket, as a compactor sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ulid::Ulid;

use crate::longterm::{BucketBlock, BucketView};

use super::CompactOptions;
use super::cover::missing;
use super::group::{GroupKey, Groups, groups};
use super::outdated::{Outdated, outdated};
use super::plan::{PlanWithin, Sizes, plan_within};
use super::quarantine::Quarantined;
use super::resample::{Resampling, resampling};
use super::resolution::Resolution;

/// Everything that decisions are made from. They depend on nothing else but options and time.
#[derive(Debug, Clone)]
pub struct Picture {
    /// What was read from the bucket.
    pub view: BucketView,
    /// Blocks that are set aside, and why.
    pub quarantined: BTreeMap<Ulid, Quarantined>,
    /// Blocks that are too young to be looked at.
    pub young: Vec<Ulid>,
    /// Blocks that another one makes superfluous.
    pub outdated: Vec<Outdated>,
    /// All other blocks that are not marked for deletion, by group.
    pub groups: Groups,
}

/// Takes blocks out that were set aside and of which others have all: they would only be in the
/// way of merging those again, which makes them superfluous.
fn drop_replaceable(blocks: &mut Vec<Arc<BucketBlock>>, sick: &BTreeSet<Ulid>) {
    let is_sick = |block: &BucketBlock| sick.contains(&block.ulid());
    let sound: Vec<Arc<BucketBlock>> =
        blocks.iter().filter(|block| !is_sick(block)).cloned().collect();
    let others = || sound.iter().map(|block| &**block);
    blocks.retain(|block| !is_sick(block) || !missing(block, others()).is_nothing());
}

/// The index of a block is as large as its meta says; unknown ones do not count.
struct KnownSizes<'a>(&'a [Arc<BucketBlock>]);

impl KnownSizes<'_> {
    fn block(&self, ulid: Ulid) -> Option<&BucketBlock> {
        self.0.iter().find(|block| block.ulid() == ulid).map(|block| &**block)
    }
}

/// The size of the index that the meta tells; 0 if it does not.
pub(super) fn index_bytes(block: &BucketBlock) -> u64 {
    let index = block.thanos.files.iter().find(|file| file.rel_path == "index");
    index.map_or(0, |file| file.size_bytes)
}

impl Sizes for KnownSizes<'_> {
    type Error = std::convert::Infallible;

    fn index_bytes(&self, block: Ulid) -> Result<u64, Self::Error> {
        Ok(self.block(block).map_or(0, index_bytes))
    }

    fn resolution_ms(&self, block: Ulid) -> i64 {
        self.block(block).map_or(0, BucketBlock::resolution_ms)
    }
}

impl Picture {
    /// Sorts out what was read.
    #[must_use]
    pub fn new(
        view: BucketView,
        quarantined: BTreeMap<Ulid, Quarantined>,
        options: &CompactOptions,
        now_ms: i64,
    ) -> Self {
        let mut settled = view.clone();
        let young = settled.keep_settled(now_ms, options.consistency_delay_ms);
        // Upstream goes on with a marked block for half of its delay, lest a replacement be missing
        // that is not to be seen yet. Here it was seen by whoever marked the block.
        settled.blocks.retain(|block| !view.deletion_marks.contains_key(&block.ulid()));
        let mut groups = groups(settled.blocks, &options.replica_labels);
        let sick: BTreeSet<Ulid> = quarantined.keys().copied().collect();
        let mut all_outdated = Vec::new();
        for blocks in groups.values_mut() {
            let found = outdated(blocks, &sick);
            blocks.retain(|block| !found.iter().any(|one| one.block == block.ulid()));
            drop_replaceable(blocks, &sick);
            all_outdated.extend(found);
        }
        groups.retain(|_, blocks| !blocks.is_empty());
        Self { view, quarantined, young, outdated: all_outdated, groups }
    }

    /// Blocks that must not be merged: marked, or set aside.
    #[must_use]
    pub fn excluded(&self) -> BTreeSet<Ulid> {
        self.view.no_compact.keys().chain(self.quarantined.keys()).copied().collect()
    }

    /// The block of that name, if it is worked with.
    #[must_use]
    pub fn block(&self, ulid: Ulid) -> Option<&Arc<BucketBlock>> {
        self.view.blocks.iter().find(|block| block.ulid() == ulid)
    }

    /// What would be merged next of a group, and which blocks would be taken out before.
    #[must_use]
    pub fn plan(&self, key: &GroupKey, options: &CompactOptions) -> PlanWithin {
        let blocks = self.groups.get(key).map_or(&[][..], Vec::as_slice);
        let metas: Vec<_> = blocks.iter().map(|block| &block.meta).collect();
        let (mut excluded, mut out) = (self.excluded(), Vec::new());
        let mut take_out = |block, why| {
            out.push((block, why));
            Ok(())
        };
        let sizes = KnownSizes(blocks);
        let limit = options.index_bytes_max;
        let Ok(plan) =
            plan_within(&metas, &mut excluded, &options.ranges_ms, limit, &sizes, &mut take_out);
        (plan, out)
    }

    /// The blocks of a group's labels in another resolution, without those set aside.
    #[must_use]
    pub fn sound_at(&self, key: &GroupKey, resolution: Resolution) -> Vec<Arc<BucketBlock>> {
        let key = GroupKey { resolution_ms: resolution.ms(), labels: key.labels.clone() };
        let blocks = self.groups.get(&key).map_or(&[][..], Vec::as_slice);
        let is_sound = |block: &&Arc<BucketBlock>| !self.quarantined.contains_key(&block.ulid());
        blocks.iter().filter(is_sound).cloned().collect()
    }

    /// The blocks of a group's labels in coarser resolutions, without those set aside.
    #[must_use]
    pub fn coarser(&self, key: &GroupKey) -> Vec<Arc<BucketBlock>> {
        let own = Resolution::of(key.resolution_ms);
        let coarser = own.into_iter().flat_map(Resolution::coarser);
        coarser.flat_map(|resolution| self.sound_at(key, resolution)).collect()
    }

    /// Whether a block of a group is to be downsampled.
    #[must_use]
    pub fn resampling(
        &self,
        key: &GroupKey,
        block: &BucketBlock,
        options: &CompactOptions,
        now_ms: i64,
    ) -> Resampling {
        let next = Resolution::of(key.resolution_ms).and_then(Resolution::next);
        let coarser = next.map_or_else(Vec::new, |next| self.sound_at(key, next));
        let peers = self.groups.get(key).map_or(&[][..], Vec::as_slice);
        match resampling(block, peers, &coarser, options, now_ms) {
            Resampling::Coarsest => Resampling::Coarsest,
            Resampling::Done => Resampling::Done,
            _ if self.view.no_downsample.contains_key(&block.ulid()) => Resampling::Marked,
            _ if self.quarantined.contains_key(&block.ulid()) => Resampling::SetAside,
            other => other,
        }
    }
}
