//! Merging blocks, and rewriting those with many deletions.

use std::sync::Arc;

use ulid::Ulid;

use crate::base::clock::Stopwatch;
use crate::storage::block::{Block, BlockError, BlockMeta, Compaction};
use crate::storage::merge::{Union, merge_blocks};

use super::maintain::new_ulid;
use super::open::Inner;
use super::{MaintainReport, TsdbError, levels};

impl Inner {
    /// Merges the blocks that are next; says whether there was something to do. Blocks that are
    /// damaged are marked, so that they are left alone from then on.
    pub(super) fn merge_next(&self, report: &mut MaintainReport) -> Result<bool, TsdbError> {
        let list = self.block_list();
        let may_go = |meta: &&BlockMeta| self.options.guard.may_go(meta.ulid);
        let metas = list.blocks.iter().map(|block| block.meta());
        let metas: Vec<&BlockMeta> = metas.filter(may_go).collect();
        let ranges_ms =
            levels::ranges_ms(self.options.block_range_ms, self.options.largest_range_ms());
        let chosen = levels::plan(&metas, &ranges_ms);
        let is_chosen = |block: &&Arc<Block>| chosen.contains(&block.meta().ulid);
        let sources: Vec<Arc<Block>> = list.blocks.iter().filter(is_chosen).cloned().collect();
        if sources.is_empty() {
            return Ok(false);
        }
        drop(list);
        match self.merge(&sources, report) {
            Err(TsdbError::Block(error)) if is_of_data(&error) => {
                tracing::warn!(%error, "blocks cannot be merged and are left as they are");
                report.merge_errors.push(error.to_string());
                self.mark(&sources, |compaction| compaction.failed = true)?;
                Ok(true)
            }
            merged => merged.map(|()| true),
        }
    }

    /// Writes `sources` as one block, which takes their place.
    pub(super) fn merge(
        &self,
        sources: &[Arc<Block>],
        report: &mut MaintainReport,
    ) -> Result<(), TsdbError> {
        let stopwatch = Stopwatch::start();
        let ulid = new_ulid(&*self.clock);
        let metas: Vec<&BlockMeta> = sources.iter().map(|block| block.meta()).collect();
        let meta = levels::merged_meta(ulid, &metas);
        let (encoding, is_ending) = (self.options.encoding(), |_| self.is_ending());
        let union = || Union::new(encoding);
        let written = merge_blocks(&self.disk, &self.dir, sources, meta, &union, &is_ending);
        let written = written
            .map_err(TsdbError::from)
            .inspect_err(|_| self.metrics.compactions_failed.inc())?;
        let seconds = stopwatch.seconds();
        if let Some(meta) = written {
            report.blocks_removed += self.take_over(ulid)?;
            report.blocks_merged += 1;
            let (series, samples) = (meta.stats.num_series, meta.stats.num_samples);
            let sources = metas.len();
            tracing::info!(block = %ulid, sources, series, samples, seconds, "blocks merged");
        } else {
            // Nothing is left that could say whose place it takes.
            report.blocks_removed +=
                self.mark(sources, |compaction| compaction.deletable = true)?;
        }
        self.metrics.compactions.inc();
        self.metrics.compaction_seconds.observe(seconds);
        Ok(())
    }

    /// Changes what blocks say of themselves; returns how many were removed because of it.
    fn mark(
        &self,
        blocks: &[Arc<Block>],
        change: impl Fn(&mut Compaction),
    ) -> Result<usize, TsdbError> {
        for block in blocks {
            let mut meta = block.meta().clone();
            change(&mut meta.compaction);
            meta.write(&*self.disk, block.dir())?;
        }
        let changed: Vec<Ulid> = blocks.iter().map(|block| block.meta().ulid).collect();
        self.reload_changed(&changed)
    }
}

/// True if trying again gives the same.
const fn is_of_data(error: &BlockError) -> bool {
    !matches!(error, BlockError::Io { .. })
}
