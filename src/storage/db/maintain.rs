//! Rounds of upkeep: cut blocks from memory, let go of what they hold, merge blocks, remove old
//! ones. Each step can be called by itself.
//!
//! The order is what makes a crash harmless at any place: a block is complete on disk before
//! readers see it; readers see it before memory lets go of its samples, or before the blocks that
//! it was merged from go; memory has let go before the log does. Readers take memory first and
//! blocks then, so that they find every sample in one of the two, or in both, which the merge
//! makes one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;
use ulid::Ulid;

use crate::base::clock::Clock;
use crate::disk::LockGuard;

use super::blocks::BlockList;
use super::open::Inner;
use super::plan;
use super::{MaintainReport, Tsdb, TsdbError, TsdbStats};

impl Tsdb {
    /// One round of upkeep: looks for blocks that others put into the directory, cuts the blocks
    /// that are due, truncates memory and log, merges blocks until there is nothing to merge,
    /// removes blocks that are too old or too many.
    ///
    /// # Errors
    /// A block that could not be written, or the disk's answer; nothing is lost, and the next
    /// round tries again. That the log could not be truncated, or that blocks are damaged and
    /// stay as they are, is no error but stands in the report.
    pub fn maintain(&self) -> Result<MaintainReport, TsdbError> {
        self.0.inner.maintain()
    }

    /// Cuts all that is in memory into blocks, due or not: for tests and tools. Samples that are
    /// no newer than the newest one then come too late.
    ///
    /// # Errors
    /// As [`Tsdb::maintain`].
    pub fn flush(&self) -> Result<MaintainReport, TsdbError> {
        self.0.inner.flush()
    }

    /// Cuts one block from memory if one is due, and truncates memory and log; says whether it
    /// was.
    ///
    /// # Errors
    /// As [`Tsdb::maintain`].
    pub fn cut_head(&self) -> Result<bool, TsdbError> {
        let inner = &self.0.inner;
        let _upkeep = inner.begin_upkeep()?;
        inner.cut_due(&mut MaintainReport::default())
    }

    /// Lets go of what blocks hold, in memory and in the log: what a cut does at its end, for
    /// when it could not.
    ///
    /// # Errors
    /// The log could not be truncated.
    pub fn truncate(&self) -> Result<(), TsdbError> {
        let inner = &self.0.inner;
        let _upkeep = inner.begin_upkeep()?;
        if let Some(end_ms) = inner.block_list().head_start_ms() {
            inner.head.truncate_memory(end_ms);
            inner.truncate_log(end_ms)?;
        }
        Ok(())
    }

    /// Merges the blocks that are next, or rewrites the one with the most deletions; says whether
    /// there was something to do.
    ///
    /// # Errors
    /// As [`Tsdb::maintain`].
    pub fn compact_once(&self) -> Result<bool, TsdbError> {
        let inner = &self.0.inner;
        let _upkeep = inner.begin_upkeep()?;
        inner.merge_next(&mut MaintainReport::default())
    }

    /// Removes the blocks that are too old or too many; says how many.
    ///
    /// # Errors
    /// The size of the log could not be found out.
    pub fn apply_retention(&self) -> Result<usize, TsdbError> {
        let inner = &self.0.inner;
        let _upkeep = inner.begin_upkeep()?;
        inner.retain()
    }

    /// Looks for blocks that others put into the directory or took out of it. Removes those that
    /// others have replaced; says how many.
    ///
    /// # Errors
    /// The directory could not be listed.
    pub fn reload(&self) -> Result<usize, TsdbError> {
        let inner = &self.0.inner;
        let _upkeep = inner.begin_upkeep()?;
        inner.reload()
    }

    /// Time of the oldest sample, about: blocks are looked at as a whole. None if there is none.
    #[must_use]
    pub fn oldest_ms(&self) -> Option<i64> {
        let inner = &self.0.inner;
        let blocks = inner.block_list();
        let in_blocks = blocks.blocks.iter().map(|block| block.meta().min_time_ms).min();
        let in_memory = inner.head.span().map(|span| span.start_ms);
        in_blocks.into_iter().chain(in_memory).min()
    }

    /// The directory in numbers. Looks at every series in memory.
    #[must_use]
    pub fn stats(&self) -> TsdbStats {
        let inner = &self.0.inner;
        let blocks = inner.block_list();
        TsdbStats {
            head_series: inner.head.series_count(),
            head_chunks: inner.head.chunk_count(),
            head_bytes: inner.head.memory_bytes(),
            head_span: inner.head.span(),
            log_bytes: inner.head.log_bytes().unwrap_or_default(),
            blocks: blocks.blocks.iter().map(|block| block.meta().clone()).collect(),
            blocks_bytes: blocks.size_bytes(),
            unreadable_blocks: blocks.unreadable.clone(),
            replay: inner.replay.clone(),
        }
    }
}

impl Inner {
    pub(super) fn block_list(&self) -> Arc<BlockList> {
        Arc::clone(&self.blocks.read())
    }

    /// Upkeep is done by one at a time, and by nobody once the directory is closed.
    pub(super) fn begin_upkeep(&self) -> Result<Upkeep<'_>, TsdbError> {
        let upkeep = self.upkeep.lock();
        if upkeep.is_some() { Ok(upkeep) } else { Err(TsdbError::Closed) }
    }

    /// True if the directory is to be closed as soon as may be.
    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }

    /// A round for the thread; says whether it went well.
    pub(super) fn round(&self) -> bool {
        match self.maintain() {
            Ok(_) | Err(TsdbError::Closed) => true,
            Err(error) => {
                tracing::warn!(dir = %self.dir.display(), %error, "upkeep failed");
                false
            }
        }
    }

    fn maintain(&self) -> Result<MaintainReport, TsdbError> {
        let _upkeep = self.begin_upkeep()?;
        self.metrics.compactions_triggered.inc();
        self.head.map_closed_chunks();
        let mut report = MaintainReport::default();
        report.blocks_removed += self.reload()?;
        // Before anything is written: it may make the room that writing needs.
        report.blocks_removed += self.retain()?;
        self.retry_log(&mut report);
        // Memory comes first, so that long merges do not let it grow.
        while self.cut_due(&mut report)? || self.merge_next(&mut report)? {}
        report.blocks_removed += self.retain()?;
        Ok(report)
    }

    fn cut_due(&self, report: &mut MaintainReport) -> Result<bool, TsdbError> {
        let range_ms = self.options.block_range_ms;
        let due = self.head.span().filter(|head| plan::is_due(*head, range_ms));
        let Some(head) = due else { return Ok(false) };
        self.cut(plan::aligned_cut(head, range_ms), report)?;
        self.cut_late(report)?;
        Ok(true)
    }

    fn flush(&self) -> Result<MaintainReport, TsdbError> {
        let _upkeep = self.begin_upkeep()?;
        let mut report = MaintainReport::default();
        let end_ms = self.head.refuse_before_newest();
        while let Some(head) = self.head.span().filter(|head| head.start_ms < end_ms) {
            self.cut(plan::cut_of_all(head, self.options.block_range_ms), &mut report)?;
        }
        self.cut_late(&mut report)?;
        report.blocks_removed += self.retain()?;
        Ok(report)
    }
}

/// Held while upkeep is done.
pub(super) type Upkeep<'a> = MutexGuard<'a, Option<Box<dyn LockGuard>>>;

/// A name for a block that begins now.
pub(super) fn new_ulid(clock: &dyn Clock) -> Ulid {
    let now_ms = u64::try_from(clock.now_ms()).unwrap_or_default();
    Ulid::from_parts(now_ms, Ulid::r#gen().random())
}
