//! Letting go of what a block holds: first memory, then the log.

use std::sync::Arc;

use roaring::RoaringTreemap;

use crate::base::clock::Stopwatch;
use crate::series::SeriesRef;
use crate::storage::wal::{self, Kept, Unreadable, WalError};

use super::page::Page;
use super::registry::Gone;
use super::series::Series;
use super::state::Head;

/// Of so many pages series are forgotten while batches wait.
const PAGES_PER_PAUSE: usize = 4;

impl Head {
    /// Drops the chunks that end before `before_ms` and the series that have none left, and
    /// refuses such samples from now on. Answers that were given before keep what they hold.
    pub(in crate::storage) fn truncate_memory(&self, before_ms: i64) {
        let stopwatch = Stopwatch::start();
        {
            let _alone = self.gate.write();
            self.bounds.refuse_before(before_ms);
            self.bounds.forget_min_time();
        }
        let mut min_time_ms = i64::MAX;
        let mut chunks = 0;
        let mut candidates = Vec::new();
        for (number, page) in self.series.pages() {
            let mut has_empty = false;
            for (_, series) in page.lock().iter_mut(number) {
                chunks += series.drop_before(before_ms);
                match series.time_span() {
                    Some(span) => min_time_ms = min_time_ms.min(span.start_ms),
                    None => has_empty = true,
                }
            }
            if has_empty {
                candidates.push((number, page));
            }
        }
        self.forget_empty(&candidates, before_ms);
        self.tombstones.truncate(before_ms);
        self.truncate_files();
        self.bounds.widen_down(min_time_ms);
        self.show_span();
        self.metrics.chunks_removed.add(chunks as u64);
        self.metrics.chunks.add(-(chunks as f64));
        self.metrics.truncations.inc();
        self.metrics.gc_seconds.observe(stopwatch.seconds());
    }

    /// Forgets the series without samples in some pages.
    fn forget_empty(&self, candidates: &[(u64, Arc<Page>)], before_ms: i64) {
        let mut gone = RoaringTreemap::new();
        let mut labels = Vec::new();
        for pages in candidates.chunks(PAGES_PER_PAUSE) {
            // Whoever is alone knows that nobody has promised a sample a place that it has not
            // got yet.
            let _alone = self.gate.write();
            let has_samples = |series: &mut Series| series.chunk_count() > 0;
            for left in self.series.retain(pages, has_samples) {
                let Gone { series, labels: of_series, is_logged, .. } = left;
                if is_logged {
                    self.expiries.lock().insert(series, before_ms);
                }
                self.limits.leave(&of_series);
                self.metadata.remove(series);
                self.tombstones.remove(series);
                gone.insert(series.0);
                labels.push(of_series);
            }
        }
        self.metrics.series_removed.add(gone.len());
        self.metrics.series.add(-(gone.len() as f64));
        self.postings.remove(&gone, &labels);
        drop(labels);
        self.symbols.sweep();
    }

    /// Begins a new segment of the log, and folds the older two thirds of the others into a
    /// checkpoint without the samples before `before_ms`. Says whether a checkpoint was made.
    ///
    /// Appends go on meanwhile, and after a failure too: the log is then longer than it need be.
    pub(in crate::storage) fn truncate_log(
        &self,
        before_ms: i64,
        unreadable: Unreadable,
    ) -> Result<bool, WalError> {
        let Some(place) = &self.log_place else { return Ok(false) };
        let stopwatch = Stopwatch::start();
        let segments = {
            let mut log = self.log.lock();
            let Some(log) = log.as_mut() else { return Ok(false) };
            let segments = log.segments()?;
            log.cut()?;
            segments
        };
        let upto = segments.and_then(|(first, last)| wal::truncatable(first, last));
        let Some(upto) = upto else { return Ok(false) };
        self.metrics.checkpoints.inc();
        let keep = |series| self.is_wanted_in_log(series, before_ms);
        let (disk, dir) = (&place.disk, &place.dir);
        let kept = Kept { keep: &keep, min_time_ms: before_ms };
        let made = wal::checkpoint_with(disk, dir, upto, &place.options, kept, unreadable);
        let made = made.inspect_err(|_| self.metrics.checkpoints_failed.inc())?;
        place.metrics.count_corruptions(made.quarantined.len());
        // What was folded in is superfluous now. If it cannot be removed, a later round will.
        if let Some(log) = self.log.lock().as_mut() {
            log.remove_before(upto.saturating_add(1))?;
        }
        self.expiries.lock().retain(|_, until_ms| *until_ms >= before_ms);
        wal::remove_checkpoints_before(&**disk, dir, upto)?;
        self.metrics.wal_truncate_seconds.observe(stopwatch.seconds());
        tracing::info!(upto, before_ms, "log checkpoint complete");
        Ok(true)
    }

    /// True if the log must go on naming a series when samples before `before_ms` leave it.
    fn is_wanted_in_log(&self, series: SeriesRef, before_ms: i64) -> bool {
        // In this order: a series that is just being forgotten gets its expiry first.
        self.series.contains(series)
            || self.expiries.lock().get(&series).is_some_and(|until_ms| *until_ms >= before_ms)
    }
}
