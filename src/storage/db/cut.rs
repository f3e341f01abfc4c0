//! Cutting blocks from memory, and letting go of what they hold.

use crate::base::clock::Stopwatch;
use crate::storage::block::BlockMeta;
use crate::storage::wal::WalError;

use super::maintain::new_ulid;
use super::open::Inner;
use super::plan::{self, Cut};
use super::{MaintainReport, TsdbError, compact};

impl Inner {
    /// Turns a span of the head into a block.
    pub(super) fn cut(&self, cut: Cut, report: &mut MaintainReport) -> Result<(), TsdbError> {
        let stopwatch = Stopwatch::start();
        self.head.refuse_before(cut.end_ms);
        let (ulid, is_ending) = (new_ulid(&*self.clock), || self.is_ending());
        let written = compact::write_head(&self.disk, &self.dir, &self.head, cut, ulid, &is_ending);
        // If it cannot be written or read, all that it holds is in memory still.
        self.take_over_cut(written, stopwatch.seconds(), report)?;
        self.head.truncate_memory(cut.end_ms);
        if let Err(error) = self.truncate_log(cut.end_ms) {
            report.log_error = Some(error.to_string());
        }
        self.show();
        Ok(())
    }

    /// Shortens the log by what is before `before_ms`, and notes whether that worked.
    pub(super) fn truncate_log(&self, before_ms: i64) -> Result<(), WalError> {
        let mut retry = self.log_retry.lock();
        let done = self.head.truncate_log(before_ms, retry.unreadable());
        retry.note(self.clock.now_ms(), done.is_ok());
        let failures = retry.failures();
        done.map(|_| ()).inspect_err(|error| {
            tracing::warn!(%error, failures, "the log stays longer than needed; to be tried again");
        })
    }

    /// Tries again to truncate the log if that has failed, some time after the failure: without
    /// it, the log would grow until the next block is cut, and then fail again.
    pub(super) fn retry_log(&self, report: &mut MaintainReport) {
        if !self.log_retry.lock().is_due(self.clock.now_ms()) {
            return;
        }
        let Some(end_ms) = self.block_list().head_start_ms() else { return };
        if let Err(error) = self.truncate_log(end_ms) {
            report.log_error = Some(error.to_string());
        }
    }

    /// Turns all late samples into blocks, one for each window of time that has some. They lie
    /// beside other blocks of that time until they are merged with those.
    pub(super) fn cut_late(&self, report: &mut MaintainReport) -> Result<(), TsdbError> {
        if self.head.ooo_span().is_none() {
            return Ok(());
        }
        let late = self.head.cut_ooo()?;
        for cut in plan::windows(late.span, self.options.block_range_ms) {
            let stopwatch = Stopwatch::start();
            let (ulid, is_ending) = (new_ulid(&*self.clock), || self.is_ending());
            let written =
                compact::write_late(&self.disk, &self.dir, &self.head, cut, ulid, &is_ending);
            self.take_over_cut(written, stopwatch.seconds(), report)?;
        }
        if let Err(error) = self.head.truncate_ooo(late) {
            tracing::warn!(%error, "the log of late samples could not be truncated");
            report.log_error = Some(error.to_string());
        }
        self.show();
        Ok(())
    }

    fn take_over_cut(
        &self,
        written: Result<Option<BlockMeta>, TsdbError>,
        seconds: f64,
        report: &mut MaintainReport,
    ) -> Result<(), TsdbError> {
        let written = written.inspect_err(|_| self.metrics.compactions_failed.inc())?;
        let Some(meta) = written else { return Ok(()) };
        report.blocks_removed += self.take_over(meta.ulid)?;
        report.blocks_written += 1;
        self.metrics.compactions.inc();
        self.metrics.compaction_seconds.observe(seconds);
        let (series, samples) = (meta.stats.num_series, meta.stats.num_samples);
        tracing::info!(block = %meta.ulid, series, samples, seconds, "block cut from the head");
        Ok(())
    }
}
