//! Merging the blocks of each group until nothing is planned.

use std::path::Path;
use std::sync::Arc;

use ulid::Ulid;

use crate::longterm::{BucketBlock, MarkKind};
use crate::storage::block::{Block, BlockError, BlockMeta};
use crate::storage::db::merged_meta;
use crate::storage::merge::{JoinChunks, MergeError, Union, merge_blocks};

use super::CompactError;
use super::group::GroupKey;
use super::join::{ReplicaJoin, encoding, streams};
use super::plan::{Plan, Unfit, Why};
use super::quarantine::Reason;
use super::report::Merged;
use super::round::Round;
use super::watch::Progress;
use super::work::{Trouble, first_unreadable, trouble_with};

impl Round<'_> {
    /// Merges the blocks of each group until nothing is planned.
    ///
    /// # Errors
    /// The lease is lost, or it is to end.
    pub fn merge_groups(&mut self) -> Result<(), CompactError> {
        let keys: Vec<GroupKey> = self.picture.groups.keys().cloned().collect();
        for key in keys {
            let metrics = self.compactor.metrics.group(&key.id(), key.resolution_ms);
            metrics.started.inc();
            match self.merge_group(&key) {
                Ok(()) => metrics.completed.inc(),
                Err(error) => {
                    metrics.failures.inc();
                    self.note(&key.to_string(), error)?;
                }
            }
        }
        Ok(())
    }

    /// Each pass makes blocks fewer, or takes one out.
    fn merge_group(&mut self, key: &GroupKey) -> Result<(), CompactError> {
        loop {
            let (plan, unfit) = self.picture.plan(key, &self.compactor.options);
            for (block, why) in unfit {
                self.take_out(block, why)?;
            }
            let Some(plan) = plan else { return Ok(()) };
            match self.merge(key, &plan) {
                Ok(()) => {}
                Err(Trouble::Sick { block, reason, details }) => {
                    self.set_aside(block, reason, details)?;
                }
                Err(Trouble::Failed(error)) => return Err(error),
            }
        }
    }

    fn take_out(&mut self, block: Ulid, why: Unfit) -> Result<(), CompactError> {
        let (reason, details) = match why {
            Unfit::IndexSize => {
                let most = self.compactor.options.index_bytes_max;
                ("index-size-exceeding", format!("the merged index could exceed {most} bytes"))
            }
            Unfit::DownsampledOverlap => (
                "downsample-vertical-compaction",
                "downsampled, and shares time with other blocks".to_owned(),
            ),
        };
        self.mark(MarkKind::NoCompact, block, reason, &details)
    }

    fn merge(&mut self, key: &GroupKey, plan: &Plan) -> Result<(), Trouble> {
        let blocks = plan.blocks.iter().filter_map(|ulid| self.picture.block(*ulid).cloned());
        let blocks: Vec<Arc<BucketBlock>> = blocks.collect();
        self.check_room(&blocks)?;
        let dir = self.work_dir(key)?;
        let done = self.merge_in(&dir, key, plan, &blocks);
        let cleared = self.clear(&dir);
        done?;
        Ok(cleared?)
    }

    fn merge_in(
        &mut self,
        dir: &Path,
        key: &GroupKey,
        plan: &Plan,
        blocks: &[Arc<BucketBlock>],
    ) -> Result<(), Trouble> {
        let local = self.bring_all(blocks, dir)?;
        let metas: Vec<&BlockMeta> = blocks.iter().map(|block| &block.meta).collect();
        let ulid = self.new_ulid();
        let written = self.write_merged(dir, merged_meta(ulid, &metas), blocks, &local)?;
        drop(local);
        let Some(written) = written else { return Ok(self.drop_empty(blocks)?) };
        tracing::info!(group = %key, block = %ulid, sources = blocks.len(), "blocks merged");
        let block = self.publish(&dir.join(written.ulid.to_string()), key, blocks)?;
        let metrics = self.compactor.metrics.group(&key.id(), key.resolution_ms);
        metrics.compactions.inc();
        if plan.why == Why::Overlap {
            metrics.vertical.inc();
        }
        self.replace(&plan.blocks, Some(&block))?;
        Ok(())
    }

    fn write_merged(
        &self,
        dir: &Path,
        meta: BlockMeta,
        blocks: &[Arc<BucketBlock>],
        local: &[Arc<Block>],
    ) -> Result<Option<BlockMeta>, Trouble> {
        let options = &self.compactor.options;
        let is_downsampled = blocks.iter().any(|block| block.resolution_ms() != 0);
        let streams = streams(blocks, &options.replica_labels);
        let join = || -> Box<dyn JoinChunks> {
            if options.replica_labels.is_empty() || is_downsampled {
                Box::new(Union::new(encoding()))
            } else {
                Box::new(ReplicaJoin::new(options.dedup, streams.clone()))
            }
        };
        let all_series = blocks.iter().map(|block| block.meta.stats.num_series).sum();
        let ulid = meta.ulid;
        let is_ending = |done_series| {
            self.guard.progress(Progress::Merge { block: ulid, done_series, all_series });
            self.guard.is_ending()
        };
        let disk = &self.compactor.disk;
        let merged = merge_blocks(disk, dir, local, meta, &join, &is_ending);
        let names: Vec<Ulid> = blocks.iter().map(|block| block.ulid()).collect();
        merged.map_err(|error| match error {
            MergeError::Ended => self.guard.end().into(),
            MergeError::Block(error @ BlockError::Refused(_)) => which_is_refused(local, error),
            MergeError::Block(error) => trouble_with(&names, error),
        })
    }

    /// Marks blocks that a new one replaces, and says so.
    fn replace(
        &mut self,
        sources: &[Ulid],
        block: Option<&Arc<BucketBlock>>,
    ) -> Result<(), CompactError> {
        let sources = sources.to_vec();
        if let Some(block) = block {
            self.remember(block);
        }
        // Even if a mark fails, the new block is there and these have to stay out of all plans.
        self.forget(&sources);
        self.report
            .merged
            .push(Merged { sources: sources.clone(), block: block.map(|block| block.ulid()) });
        for source in sources {
            self.mark(MarkKind::Deletion, source, "", "source of compacted block")?;
        }
        Ok(())
    }

    /// Nothing came out of `blocks`: those that hold nothing go.
    fn drop_empty(&mut self, blocks: &[Arc<BucketBlock>]) -> Result<(), CompactError> {
        let is_empty = |block: &&Arc<BucketBlock>| block.meta.stats.num_samples == 0;
        let empty: Vec<Ulid> = blocks.iter().filter(is_empty).map(|block| block.ulid()).collect();
        if empty.is_empty() {
            return Err(CompactError::Refused("nothing came out of blocks with samples".into()));
        }
        self.replace(&empty, None)
    }
}

/// Which of the blocks is the reason that merging was refused.
fn which_is_refused(local: &[Arc<Block>], error: BlockError) -> Trouble {
    for block in local {
        let ulid = block.meta().ulid;
        match first_unreadable(block) {
            Ok(None) => {}
            Ok(Some(what)) => {
                let details = format!("{ulid}: {what}");
                return Trouble::Sick { block: ulid, reason: Reason::Damaged, details };
            }
            Err(error) => return trouble_with(&[ulid], error),
        }
    }
    if let [only] = local {
        let (block, details) = (only.meta().ulid, error.to_string());
        return Trouble::Sick { block, reason: Reason::Refused, details };
    }
    error.into()
}
