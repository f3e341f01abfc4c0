//! Deleting: what is marked as gone, and what is gone from disk.

use std::sync::Arc;

use ulid::Ulid;

use crate::model::Matcher;
use crate::series::TimeRange;
use crate::storage::block::Block;

use super::open::Inner;
use super::{MaintainReport, Tsdb, TsdbError};

impl Tsdb {
    /// Deletes the samples in `range` of the series that any of the matcher lists describes. No
    /// answer has them from now on, those that were begun before aside; their room on disk comes
    /// back when blocks are merged, or with [`Tsdb::clean_tombstones`].
    ///
    /// # Errors
    /// A block that cannot be read, or the disk's answer. A part may be deleted then; deleting
    /// once more deletes the rest.
    pub fn delete(&self, any_of: &[Vec<Matcher>], range: TimeRange) -> Result<(), TsdbError> {
        let inner = &self.0.inner;
        // While it is held, nothing goes from memory to a block and so escapes.
        let _upkeep = inner.begin_upkeep()?;
        for matchers in any_of {
            inner.head.delete(matchers, range)?;
        }
        let mut changed = Vec::new();
        let mut outcome = Ok(());
        for block in &inner.block_list().blocks {
            match inner.delete_in(block, any_of, range) {
                Ok(true) => changed.push(block.meta().ulid),
                Ok(false) => {}
                Err(error) => outcome = Err(error),
            }
        }
        if !changed.is_empty() {
            inner.reload_changed(&changed)?;
        }
        outcome
    }

    /// Rewrites all blocks that have deleted samples, without those; says how many.
    ///
    /// # Errors
    /// As [`Tsdb::maintain`].
    pub fn clean_tombstones(&self) -> Result<usize, TsdbError> {
        let inner = &self.0.inner;
        let _upkeep = inner.begin_upkeep()?;
        let list = inner.block_list();
        let has_deleted = |block: &&Arc<Block>| block.tombstones().count() > 0;
        let mut count = 0;
        for block in list.blocks.iter().filter(has_deleted) {
            inner.merge(std::slice::from_ref(block), &mut MaintainReport::default())?;
            count += 1;
        }
        Ok(count)
    }
}

impl Inner {
    /// Marks the samples of a block as deleted; says whether there were any.
    fn delete_in(
        &self,
        block: &Block,
        any_of: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<bool, TsdbError> {
        if !block.meta().range().overlaps(range) {
            return Ok(false);
        }
        let mut tombstones = block.tombstones().clone();
        for matchers in any_of {
            for (series, span) in block.deletions(matchers, range)? {
                tombstones.add(series, span);
            }
        }
        if tombstones == *block.tombstones() {
            return Ok(false);
        }
        tombstones.write(&*self.disk, block.dir())?;
        let mut meta = block.meta().clone();
        meta.stats.num_tombstones = tombstones.count() as u64;
        meta.write(&*self.disk, block.dir())?;
        let ulid: Ulid = meta.ulid;
        tracing::info!(block = %ulid, deletions = meta.stats.num_tombstones, "samples deleted");
        Ok(true)
    }
}
