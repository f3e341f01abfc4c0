//! Rounds of upkeep: cut blocks from memory, let go of what they hold, remove old ones.
//!
//! The order is what makes a crash harmless at any place: a block is complete on disk before
//! readers see it; readers see it before memory lets go of its samples; memory has let go before
//! the log does. Readers take memory first and blocks then, so that they find every sample in one
//! of the two, or in both, which the merge makes one.

use std::sync::Arc;

use ulid::Ulid;

use crate::base::clock::{Clock, Stopwatch};

use super::blocks::BlockList;
use super::open::{Inner, io_error};
use super::plan::{self, Cut};
use super::{Db, DbError, DbStats, MaintainReport, compact, files};

impl Db {
    /// One round of upkeep: cuts the blocks that are due, truncates memory and log, looks for
    /// blocks that others put into the directory, removes those that are too old or too many.
    ///
    /// # Errors
    /// A block that could not be written, or the disk's answer; nothing is lost. That the log
    /// could not be truncated is no error but stands in the report.
    pub fn maintain(&self) -> Result<MaintainReport, DbError> {
        self.0.inner.maintain()
    }

    /// Cuts all that is in memory into blocks, due or not: for tests and tools. Samples that are
    /// no newer than the newest one then come too late.
    ///
    /// # Errors
    /// As [`Db::maintain`].
    pub fn flush(&self) -> Result<MaintainReport, DbError> {
        self.0.inner.flush()
    }

    /// The directory in numbers. Looks at every series in memory.
    #[must_use]
    pub fn stats(&self) -> DbStats {
        let inner = &self.0.inner;
        let blocks = inner.block_list();
        DbStats {
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

    /// A round for the thread; says whether it went well.
    pub(super) fn round(&self) -> bool {
        match self.maintain() {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(dir = %self.dir.display(), %error, "upkeep failed");
                false
            }
        }
    }

    fn maintain(&self) -> Result<MaintainReport, DbError> {
        let upkeep = self.upkeep.lock();
        if upkeep.is_none() {
            return Err(DbError::Closed);
        }
        self.metrics.compactions_triggered.inc();
        let mut report = MaintainReport::default();
        report.blocks_removed += self.reload()?;
        let range_ms = self.options.block_range_ms;
        while let Some(head) = self.head.span().filter(|head| plan::is_due(*head, range_ms)) {
            self.cut(plan::aligned_cut(head, range_ms), &mut report)?;
        }
        report.blocks_removed += self.retain()?;
        Ok(report)
    }

    fn flush(&self) -> Result<MaintainReport, DbError> {
        let upkeep = self.upkeep.lock();
        if upkeep.is_none() {
            return Err(DbError::Closed);
        }
        let mut report = MaintainReport::default();
        let end_ms = self.head.refuse_before_newest();
        while let Some(head) = self.head.span().filter(|head| head.start_ms < end_ms) {
            self.cut(plan::cut_of_all(head, self.options.block_range_ms), &mut report)?;
        }
        report.blocks_removed += self.retain()?;
        Ok(report)
    }

    /// Turns a span of the head into a block.
    fn cut(&self, cut: Cut, report: &mut MaintainReport) -> Result<(), DbError> {
        let stopwatch = Stopwatch::start();
        self.head.refuse_before(cut.end_ms);
        let ulid = new_ulid(&*self.clock);
        let written = compact::write_head(&self.disk, &self.dir, &self.head, cut, ulid);
        let written = written.inspect_err(|_| self.metrics.compactions_failed.inc())?;
        if let Some(meta) = written {
            report.blocks_removed += self.reload()?;
            if !self.block_list().contains(ulid) {
                self.metrics.compactions_failed.inc();
                // All that it holds is in memory still, and the next round writes it anew.
                self.remove(&[ulid]);
                return Err(DbError::LostBlock(ulid));
            }
            report.blocks_written += 1;
            self.metrics.compactions.inc();
            self.metrics.compaction_seconds.observe(stopwatch.seconds());
            let (series, samples) = (meta.stats.num_series, meta.stats.num_samples);
            let seconds = stopwatch.seconds();
            tracing::info!(block = %ulid, series, samples, seconds, "block cut from the head");
        }
        self.head.truncate_memory(cut.end_ms);
        if let Err(error) = self.head.truncate_log(cut.end_ms) {
            tracing::warn!(%error, "the log could not be truncated; it stays longer than needed");
            report.log_error = Some(error.to_string());
        }
        self.show();
        Ok(())
    }

    /// Takes over what is in the directory now. Removes blocks that others have replaced; returns
    /// how many.
    pub(super) fn reload(&self) -> Result<usize, DbError> {
        self.metrics.reloads.inc();
        let known = self.block_list();
        let list = BlockList::load(&self.disk, &self.dir, &known);
        let list = list.inspect_err(|_| self.metrics.reloads_failed.inc());
        let mut list = list.map_err(io_error("list", &self.dir))?;
        let superseded = list.take_superseded();
        self.publish(list);
        Ok(self.remove(&superseded))
    }

    /// Removes the blocks that are too old or too many; returns how many.
    fn retain(&self) -> Result<usize, DbError> {
        let known = self.block_list();
        let newest_first = known.newest_first();
        let ends_ms: Vec<i64> = newest_first.iter().map(|b| b.meta().max_time_ms).collect();
        let sizes_bytes: Vec<u64> = newest_first.iter().map(|b| b.size_bytes()).collect();
        let log_bytes = self.head.log_bytes()?;
        let by_time = plan::kept_by_time(&ends_ms, self.options.retention_ms);
        let by_size = plan::kept_by_size(&sizes_bytes, log_bytes, self.options.retention_bytes);
        if by_time < newest_first.len() {
            self.metrics.time_retentions.inc();
        }
        if by_size < newest_first.len() {
            self.metrics.size_retentions.inc();
        }
        let expired = newest_first.iter().skip(by_time.min(by_size));
        let expired: Vec<Ulid> = expired.map(|block| block.meta().ulid).collect();
        if expired.is_empty() {
            return Ok(0);
        }
        let mut list = BlockList::clone(&known);
        list.take(|ulid| expired.contains(&ulid));
        self.publish(list);
        Ok(self.remove(&expired))
    }

    /// From now on, readers find these blocks.
    fn publish(&self, list: BlockList) {
        *self.blocks.write() = Arc::new(list);
        self.show();
    }

    fn show(&self) {
        let head_start_ms = self.head.span().map(|span| span.start_ms);
        self.metrics.show(&self.block_list(), head_start_ms);
    }

    /// Removes blocks that are published no more; readers that still have one keep it.
    fn remove(&self, blocks: &[Ulid]) -> usize {
        let remove = |ulid: &&Ulid| {
            let removed = files::remove_block(&*self.disk, &self.dir, **ulid);
            match &removed {
                Ok(()) => tracing::info!(block = %ulid, "block removed"),
                // It comes back with the next look at the directory, and is removed then.
                Err(error) => tracing::warn!(block = %ulid, %error, "block could not be removed"),
            }
            removed.is_ok()
        };
        blocks.iter().filter(remove).count()
    }
}

/// A name for a block that begins now.
fn new_ulid(clock: &dyn Clock) -> Ulid {
    let now_ms = u64::try_from(clock.now_ms()).unwrap_or_default();
    Ulid::from_parts(now_ms, Ulid::r#gen().random())
}
