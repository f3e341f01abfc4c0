//! Giving up what was sent, and, at the caps, what was not.

use roaring::RoaringTreemap;

use crate::base::clock::Stopwatch;
use crate::series::SeriesRef;
use crate::storage::wal::{
    Kept, Position, Retry, Tail, WalError, checkpoint_with, decode_times, kind,
    remove_checkpoints_before,
};

use super::options::AgentLogError;
use super::store::{AgentLog, State};

/// What a truncation did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Truncated {
    /// The last segment that is gone; nothing if none had to go.
    pub upto: Option<u32>,
    /// Series forgotten because no samples had come for them.
    pub idle_series: usize,
    /// Samples that went before they were sent.
    pub dropped_samples: u64,
}

/// When the last truncation began, and whether it is to be tried again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Truncation {
    pub(super) began_ms: i64,
    pub(super) retry: Retry,
}

/// What was decided under the lock.
struct Plan {
    /// The last segment to go.
    upto: u32,
    /// Series whose records stay.
    keep: RoaringTreemap,
}

impl AgentLog {
    /// [`truncate`](Self::truncate), if it is time for it, the log has grown over its cap, or the
    /// last try failed some time ago. To be called every minute or so.
    ///
    /// # Errors
    /// As of [`truncate`](Self::truncate).
    pub fn maintain(
        &self,
        oldest_unsent: Option<Position>,
    ) -> Result<Option<Truncated>, AgentLogError> {
        let now_ms = self.clock.now_ms();
        let Truncation { began_ms, retry } = *self.truncation.lock();
        let is_due = if retry.failures() > 0 {
            retry.is_due(now_ms)
        } else {
            let cap = self.options.max_wal_bytes;
            now_ms.saturating_sub(began_ms) >= self.options.truncate_every_ms
                || (cap > 0 && self.stats()?.wal_bytes > cap)
        };
        if is_due { self.truncate(oldest_unsent, now_ms).map(Some) } else { Ok(None) }
    }

    /// Begins a new segment, forgets series that get no samples any more, and folds the oldest
    /// segments into a checkpoint of series: those that were sent and hold nothing younger than
    /// `min_wal_ms`, and those over the caps of age and size, sent or not. Everything before
    /// `oldest_unsent` was sent by all readers; without one nobody reads, and all counts as sent.
    ///
    /// Samples may be appended meanwhile.
    ///
    /// # Errors
    /// The disk's answer, or the log is closed; nothing that is needed is lost then, and the next
    /// truncation tries again.
    pub fn truncate(
        &self,
        oldest_unsent: Option<Position>,
        now_ms: i64,
    ) -> Result<Truncated, AgentLogError> {
        let mut truncation = self.truncation.lock();
        truncation.began_ms = now_ms;
        let done = self.try_truncate(oldest_unsent, now_ms, truncation.retry);
        truncation.retry.note(now_ms, done.is_ok());
        done
    }

    fn try_truncate(
        &self,
        oldest_unsent: Option<Position>,
        now_ms: i64,
        retry: Retry,
    ) -> Result<Truncated, AgentLogError> {
        let clock = Stopwatch::start();
        let mut done = Truncated::default();
        let Some(plan) = self.plan(oldest_unsent, now_ms, &mut done)? else { return Ok(done) };
        if let Some(from) = oldest_unsent {
            done.dropped_samples = self.count_unsent(from, plan.upto)?;
        }
        self.fold(&plan, retry)?;
        done.upto = Some(plan.upto);
        if done.dropped_samples > 0 {
            self.metrics.dropped.add(done.dropped_samples);
            let (samples, upto) = (done.dropped_samples, plan.upto);
            tracing::warn!(samples, upto, "samples were given up before they were sent");
        }
        self.metrics.truncate_seconds.observe(clock.seconds());
        Ok(done)
    }

    fn plan(
        &self,
        oldest_unsent: Option<Position>,
        now_ms: i64,
        done: &mut Truncated,
    ) -> Result<Option<Plan>, AgentLogError> {
        let mut state = self.state.lock();
        let State { wal, series, newest_ms, deleted, exemplars, .. } = &mut *state;
        let wal = wal.as_mut().ok_or(AgentLogError::Closed)?;
        let end = wal.current();
        let unsent = oldest_unsent.unwrap_or(end).min(end);
        let idle_since_ms = self.idle_since_ms(newest_ms, (unsent, end), now_ms);
        let before = series.len();
        series.remove_idle(idle_since_ms, |name| {
            deleted.insert(name, end.segment);
            exemplars.remove(&name);
        });
        done.idle_series = before - series.len();
        self.metrics.active_series.set(series.len() as f64);
        self.metrics.deleted_series.set(deleted.len() as f64);
        // A segment without records need not be ended.
        if end.offset_bytes > 0 {
            let next = wal.cut()?;
            newest_ms.insert(next, i64::MIN);
        }
        let sizes = wal.segment_sizes()?;
        let Some(upto) = self.last_to_go(newest_ms, &sizes, unsent, now_ms) else {
            return Ok(None);
        };
        let mut keep: RoaringTreemap = series.slots().iter().map(|slot| slot.series.0).collect();
        keep.extend(deleted.iter().filter(|gone| *gone.1 > upto).map(|gone| gone.0.0));
        Ok(Some(Plan { upto, keep }))
    }

    /// Series whose newest sample is older are idle: older than everything unsent by `min_wal_ms`,
    /// or older than `max_wal_ms`.
    fn idle_since_ms(
        &self,
        newest_ms: &std::collections::BTreeMap<u32, i64>,
        (unsent, end): (Position, Position),
        now_ms: i64,
    ) -> i64 {
        let sent_ms = if unsent == end {
            now_ms
        } else {
            let sent = newest_ms.range(..unsent.segment).map(|segment| *segment.1);
            sent.max().unwrap_or(i64::MIN).min(now_ms)
        };
        let idle = sent_ms.saturating_sub(self.options.min_wal_ms);
        idle.max(now_ms.saturating_sub(self.options.max_wal_ms))
    }

    /// The last segment that may or must go. The newest one always stays.
    fn last_to_go(
        &self,
        newest_ms: &std::collections::BTreeMap<u32, i64>,
        sizes: &[(u32, u64)],
        unsent: Position,
        now_ms: i64,
    ) -> Option<u32> {
        let young_ms = now_ms.saturating_sub(self.options.min_wal_ms);
        let old_ms = now_ms.saturating_sub(self.options.max_wal_ms);
        let cap = self.options.max_wal_bytes;
        let mut left: u64 = sizes.iter().map(|segment| segment.1).sum();
        let mut upto = None;
        let closed = sizes.len().saturating_sub(1);
        for &(index, len_bytes) in sizes.iter().take(closed) {
            let newest = newest_ms.get(&index).copied().unwrap_or(i64::MIN);
            let is_sent = index < unsent.segment && newest < young_ms;
            let is_over = newest < old_ms || (cap > 0 && left > cap);
            if !is_sent && !is_over {
                break;
            }
            left -= len_bytes;
            upto = Some(index);
        }
        upto
    }

    /// Samples behind `from` in the segments up to `upto`.
    fn count_unsent(&self, from: Position, upto: u32) -> Result<u64, AgentLogError> {
        if from.segment > upto {
            return Ok(0);
        }
        let mut tail = Tail::open(self.disk.clone(), &self.wal_dir, Some(from))?;
        let (mut samples, mut record) = (0, Vec::new());
        loop {
            match tail.next(&mut record) {
                Ok(Some(position)) if position.segment <= upto => {
                    if kind(&record).is_samples() && !position.is_in_checkpoint() {
                        // What cannot be read could not have been sent either.
                        let _ = decode_times(&record, |_, _| samples += 1);
                    }
                }
                Ok(_) => return Ok(samples),
                Err(WalError::Corrupt(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn fold(&self, plan: &Plan, retry: Retry) -> Result<(), AgentLogError> {
        self.metrics.checkpoints.inc();
        let keep = |name: SeriesRef| plan.keep.contains(name.0);
        let (dir, wal_options) = (&self.wal_dir, &self.options.wal);
        // Readers take samples from segments alone, so none of them is kept.
        let kept = Kept { keep: &keep, min_time_ms: i64::MAX };
        let unreadable = retry.unreadable();
        let folded = checkpoint_with(&self.disk, dir, plan.upto, wal_options, kept, unreadable);
        let stats = folded.inspect_err(|_| self.metrics.checkpoints_failed.inc())?;
        self.metrics.corruptions.add(stats.quarantined.len() as u64);
        self.wal_metrics.count_corruptions(stats.quarantined.len());

        let mut state = self.state.lock();
        let State { wal, newest_ms, deleted, .. } = &mut *state;
        let wal = wal.as_mut().ok_or(AgentLogError::Closed)?;
        wal.remove_before(plan.upto + 1)?;
        newest_ms.retain(|index, _| *index > plan.upto);
        deleted.retain(|_, segment| *segment > plan.upto);
        self.metrics.deleted_series.set(deleted.len() as f64);
        drop(state);

        self.metrics.checkpoint_deletions.inc();
        let removed = remove_checkpoints_before(&*self.disk, dir, plan.upto);
        if let Err(error) = removed {
            self.metrics.checkpoint_deletions_failed.inc();
            tracing::warn!(%error, "old checkpoints stay until the next truncation");
        }
        Ok(())
    }
}
