//! The log itself: opening, appending, reading, closing.
//!
//! One lock covers series and log, so that a series is known to memory exactly if its record is
//! in the log, whatever fails in between. What is done under it takes about a tenth of a
//! microsecond a sample.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::base::clock::{SharedClock, Stopwatch};
use crate::base::metrics::Registry;
use crate::disk::{LockGuard, SharedDisk, create_dir_synced};
use crate::model::{LabelsBuf, Sample};
use crate::series::{Append, AppendError, Batch, OnReject, Outcome, SeriesRef, Verdict};
use crate::storage::wal::{
    Position, Progress, RecordError, RecordKind, Recovery, Tail, Wal, WalError, WalMetrics,
    decode_series, decode_times, encode_samples, encode_series, kind, recover,
};

use super::metrics::Metrics;
use super::options::{AgentLogError, AgentLogOptions};
use super::series::Series;

/// The storage of a spoke.
#[derive(Debug)]
pub struct AgentLog {
    pub(super) disk: SharedDisk,
    pub(super) clock: SharedClock,
    pub(super) wal_dir: PathBuf,
    pub(super) options: AgentLogOptions,
    pub(super) metrics: Metrics,
    pub(super) wal_metrics: WalMetrics,
    pub(super) state: Mutex<State>,
    /// Held during a truncation: when the last one began.
    pub(super) truncation: Mutex<i64>,
    lock_path: PathBuf,
    recovery: Recovery,
}

/// What the lock covers.
#[derive(Debug)]
pub(super) struct State {
    /// Nothing once closed.
    pub(super) wal: Option<Wal>,
    pub(super) series: Series,
    /// The last name that was given to a series.
    last_ref: u64,
    /// Of each segment on disk the time of its newest sample.
    pub(super) newest_ms: BTreeMap<u32, i64>,
    /// Series that are gone from memory, by the segment up to which samples of them may stand in
    /// the log; their records are kept until then.
    pub(super) deleted: BTreeMap<SeriesRef, u32>,
    scratch: Scratch,
    /// Ends with the process.
    lock: Option<Box<dyn LockGuard>>,
}

/// Buffers from batch to batch.
#[derive(Debug, Default)]
struct Scratch {
    rows: Vec<(SeriesRef, Sample)>,
    /// Index and newest time before, of each series of the batch.
    before: Vec<(usize, i64)>,
    series_record: Vec<u8>,
    samples_record: Vec<u8>,
}

/// What a log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentLogStats {
    /// Series in memory.
    pub series: usize,
    /// Bytes they take, without what the allocator adds.
    pub series_bytes: usize,
    /// Size of the log on disk.
    pub wal_bytes: u64,
    /// Place behind the last sample.
    pub end: Position,
}

/// What a replay builds.
#[derive(Default)]
struct Replay {
    series: Series,
    last_ref: u64,
    newest_ms: BTreeMap<u32, i64>,
    /// Names that another one has replaced.
    replaced: Vec<SeriesRef>,
    labels: LabelsBuf,
}

impl Replay {
    fn record(&mut self, position: Position, record: &[u8]) -> Result<(), RecordError> {
        match kind(record) {
            RecordKind::Series => {
                let Self { series, last_ref, replaced, labels, .. } = self;
                decode_series(record, labels, |name, labels| {
                    *last_ref = name.0.max(*last_ref);
                    match series.by_labels(labels) {
                        None => drop(series.add(labels, name)),
                        Some(index) if series.by_name(name) == Some(index) => {}
                        // It had gone and has come back.
                        Some(index) => replaced.extend(series.rename(index, name)),
                    }
                })
            }
            samples if samples.is_samples() => {
                let mut newest = i64::MIN;
                let Self { series, last_ref, .. } = self;
                let read = decode_times(record, |name, time_ms| {
                    *last_ref = name.0.max(*last_ref);
                    newest = time_ms.max(newest);
                    if let Some(index) = series.by_name(name)
                        && let Some(slot) = series.get_mut(index)
                    {
                        slot.last_ms = time_ms.max(slot.last_ms);
                    }
                });
                if !position.is_in_checkpoint() {
                    let known = self.newest_ms.entry(position.segment).or_insert(i64::MIN);
                    *known = newest.max(*known);
                }
                read
            }
            // Exemplars and records of a server's log say nothing about what is kept here.
            _ => Ok(()),
        }
    }
}

impl AgentLog {
    /// Opens or makes the log in `dir` and reads what it holds.
    ///
    /// # Errors
    /// Another process holds the folder; the disk's answer. Damage in the log is no error: it is
    /// put aside and told by [`recovery`](Self::recovery).
    pub fn open(
        disk: SharedDisk,
        clock: SharedClock,
        dir: &Path,
        options: AgentLogOptions,
        registry: &Registry,
    ) -> Result<Self, AgentLogError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| AgentLogError::Io(path, error)
        };
        create_dir_synced(&*disk, dir).map_err(io(dir))?;
        let metrics = Metrics::new(registry);
        let lock_path = dir.join("lock");
        metrics.clean_start.set(if disk.exists(&lock_path) { 0.0 } else { 1.0 });
        let lock = disk.lock(&lock_path).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => AgentLogError::Locked(lock_path.clone()),
            _ => AgentLogError::Io(lock_path.clone(), error),
        })?;

        let clock_of_replay = Stopwatch::start();
        let wal_dir = dir.join("wal");
        let wal_metrics = WalMetrics::new(registry);
        let mut replay = Replay::default();
        let recovery = recover(&disk, &wal_dir, None, &mut |at, record| replay.record(at, record))?;
        metrics.replay_seconds.set(clock_of_replay.seconds());
        metrics.corruptions.add(recovery.quarantined.len() as u64);
        wal_metrics.count_corruptions(recovery.quarantined.len());

        let wal = Wal::open(disk.clone(), &wal_dir, options.wal, &wal_metrics)?;
        let current = wal.current().segment;
        for (index, _) in wal.segment_sizes()? {
            replay.newest_ms.entry(index).or_insert(i64::MIN);
        }
        metrics.active_series.set(replay.series.len() as f64);
        let deleted = replay.replaced.into_iter().map(|name| (name, current)).collect();
        let state = State {
            wal: Some(wal),
            series: replay.series,
            last_ref: replay.last_ref,
            newest_ms: replay.newest_ms,
            deleted,
            scratch: Scratch::default(),
            lock: Some(lock),
        };
        let truncation = Mutex::new(clock.now_ms());
        Ok(Self {
            disk,
            clock,
            wal_dir,
            options,
            metrics,
            wal_metrics,
            state: Mutex::new(state),
            truncation,
            lock_path,
            recovery,
        })
    }

    /// What was read when the log was opened, and what was damaged.
    #[must_use]
    pub const fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// A reader of the log from `from`, or from its beginning: all series that samples may belong
    /// to, then the samples that are left. It never sees what was not acknowledged.
    ///
    /// # Errors
    /// The disk's answer, or the log is closed.
    pub fn tail(&self, from: Option<Position>) -> Result<Tail, AgentLogError> {
        let progress = match &self.state.lock().wal {
            Some(wal) => wal.progress(),
            None => return Err(AgentLogError::Closed),
        };
        Ok(Tail::open(self.disk.clone(), &self.wal_dir, from)?.behind(progress))
    }

    /// A view of [`end`](Self::end) for readers on other threads.
    ///
    /// # Errors
    /// The log is closed.
    pub fn progress(&self) -> Result<Progress, AgentLogError> {
        self.state.lock().wal.as_ref().map(Wal::progress).ok_or(AgentLogError::Closed)
    }

    /// The place behind the last acknowledged sample.
    ///
    /// # Errors
    /// The log is closed.
    pub fn end(&self) -> Result<Position, AgentLogError> {
        self.state.lock().wal.as_ref().map(Wal::current).ok_or(AgentLogError::Closed)
    }

    /// Makes everything acknowledged survive a crash of the machine.
    ///
    /// # Errors
    /// The disk's answer, or the log is closed.
    pub fn sync(&self) -> Result<(), AgentLogError> {
        let mut state = self.state.lock();
        let wal = state.wal.as_mut().ok_or(AgentLogError::Closed)?;
        Ok(wal.sync()?)
    }

    /// What the log holds now.
    ///
    /// # Errors
    /// The disk's answer, or the log is closed.
    pub fn stats(&self) -> Result<AgentLogStats, AgentLogError> {
        let state = self.state.lock();
        let wal = state.wal.as_ref().ok_or(AgentLogError::Closed)?;
        Ok(AgentLogStats {
            series: state.series.len(),
            series_bytes: state.series.memory_bytes(),
            wal_bytes: wal.size_bytes()?,
            end: wal.current(),
        })
    }

    /// Syncs, ends the log and lets go of the folder. Later calls are refused.
    ///
    /// # Errors
    /// The disk's answer; the folder is free in any case.
    pub fn close(&self) -> Result<(), AgentLogError> {
        let mut state = self.state.lock();
        let Some(wal) = state.wal.take() else { return Ok(()) };
        let closed = wal.close();
        // A file that stays is what tells the next start that this end was not clean.
        if closed.is_ok() {
            let removed = self.disk.remove_file(&self.lock_path);
            removed.map_err(|error| AgentLogError::Io(self.lock_path.clone(), error))?;
        }
        state.lock = None;
        Ok(closed?)
    }
}

impl Append for AgentLog {
    fn append(&self, batch: &mut Batch, on_reject: OnReject) -> Result<Outcome, AppendError> {
        for index in 0..batch.series_count() {
            if batch.labels(index).is_empty() {
                return Err(AppendError::EmptyLabels);
            }
        }
        batch.reset_verdicts();
        let mut state = self.state.lock();
        if state.wal.is_none() {
            return Err(AppendError::Unavailable(AgentLogError::Closed.to_string()));
        }
        let known = state.series.len();
        let appended = state.append(batch, on_reject, &self.options);
        if !matches!(appended, Ok(outcome) if outcome.accepted > 0) {
            state.take_back(known);
        }
        let outcome = appended?;
        self.metrics.samples.add(outcome.accepted as u64);
        self.metrics.out_of_order.add(outcome.rejected as u64);
        self.metrics.active_series.set(state.series.len() as f64);
        Ok(outcome)
    }
}

impl State {
    fn append(
        &mut self,
        batch: &mut Batch,
        on_reject: OnReject,
        options: &AgentLogOptions,
    ) -> Result<Outcome, AppendError> {
        let known = self.series.len();
        self.scratch.rows.clear();
        self.scratch.before.clear();
        let mut rejected = 0;
        for entry in 0..batch.series_count() {
            if !batch.sample_range(entry).is_empty() {
                rejected += self.take(batch, entry, options)?;
            }
        }
        let created_series = self.series.len() - known;
        let accepted = self.scratch.rows.len();
        if accepted == 0 || (rejected > 0 && on_reject == OnReject::RejectAll) {
            return Ok(Outcome { rejected, ..Outcome::default() });
        }
        self.log(known).map_err(|error| AppendError::Log(error.to_string()))?;
        Ok(Outcome { accepted, rejected, created_series, ..Outcome::default() })
    }

    /// Judges the samples of one series of the batch; returns how many are rejected.
    fn take(
        &mut self,
        batch: &mut Batch,
        entry: usize,
        options: &AgentLogOptions,
    ) -> Result<usize, AppendError> {
        let index = self.find_or_add(batch, entry, options.max_series)?;
        let Some(slot) = self.series.get_mut(index) else { return Ok(0) };
        let (name, before_ms) = (slot.series, slot.last_ms);
        let mut last_ms = before_ms;
        let mut rejected = 0;
        for sample_index in batch.sample_range(entry) {
            let Some(sample) = batch.samples().get(sample_index).copied() else { continue };
            let too_old = last_ms.saturating_sub(options.out_of_order_window_ms);
            if last_ms != i64::MIN && sample.timestamp_ms <= too_old {
                rejected += 1;
                batch.set_verdict(sample_index, Verdict::OutOfOrder);
            } else {
                last_ms = last_ms.max(sample.timestamp_ms);
                self.scratch.rows.push((name, sample));
            }
        }
        slot.last_ms = last_ms;
        self.scratch.before.push((index, before_ms));
        batch.set_series_ref(entry, name);
        Ok(rejected)
    }

    fn find_or_add(
        &mut self,
        batch: &Batch,
        entry: usize,
        max_series: usize,
    ) -> Result<usize, AppendError> {
        let (name, labels) = (batch.series_ref(entry), batch.labels(entry));
        if name.is_known()
            && let Some(index) = self.series.by_name(name)
        {
            debug_assert!(self.series.slots().get(index).is_some_and(|s| s.labels() == labels));
            return Ok(index);
        }
        if let Some(index) = self.series.by_labels(labels) {
            return Ok(index);
        }
        let limit = if max_series == 0 { usize::MAX } else { max_series };
        if self.series.len() >= limit {
            return Err(AppendError::TooManySeries { limit });
        }
        let name = SeriesRef(self.last_ref + 1);
        let added = self.series.add(labels, name);
        let index = added.ok_or(AppendError::TooManySeries { limit: self.series.len() })?;
        self.last_ref = name.0;
        Ok(index)
    }

    /// Logs the series from index `known` on, which are new, and the accepted samples.
    fn log(&mut self, known: usize) -> Result<(), WalError> {
        let Some(wal) = &mut self.wal else { return Ok(()) };
        let Scratch { rows, series_record, samples_record, .. } = &mut self.scratch;
        series_record.clear();
        samples_record.clear();
        encode_samples(samples_record, rows.iter().copied());
        let new = self.series.slots().get(known..).unwrap_or_default();
        let position = if new.is_empty() {
            wal.log(&[samples_record])?
        } else {
            let named = new.iter().map(|slot| (slot.series, slot.labels()));
            encode_series(series_record, named);
            wal.log(&[series_record, samples_record])?
        };
        let newest = rows.iter().map(|row| row.1.timestamp_ms).max().unwrap_or(i64::MIN);
        let segment = self.newest_ms.entry(position.segment).or_insert(i64::MIN);
        *segment = newest.max(*segment);
        Ok(())
    }

    /// Makes memory say again what the log says. Names that were given are not given again, since
    /// the caller may have kept them.
    fn take_back(&mut self, known: usize) {
        // The last entry of a series holds what the one before it set.
        for (index, before_ms) in self.scratch.before.drain(..).rev() {
            if let Some(slot) = self.series.get_mut(index) {
                slot.last_ms = before_ms;
            }
        }
        self.series.truncate(known);
    }
}
