//! The log itself: opening, appending, reading, closing.
//!
//! One lock covers series and log, so that a series is known to memory exactly if its record is
//! in the log, whatever fails in between. What is done under it takes about a tenth of a
//! microsecond a sample.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::base::clock::{SharedClock, Stopwatch};
use crate::base::metrics::Registry;
use crate::disk::{LockGuard, SharedDisk, create_dir_synced};
use crate::model::{Exemplar, LabelsBuf};
use crate::series::{Append, AppendError, Batch, OnReject, Outcome, SeriesRef, Verdict};
use crate::storage::wal::{
    Compression, ExemplarRow, Position, Progress, RecordError, RecordKind, Records, Recovery,
    Retry, RowEncoder, SampleRecords, Syncer, Tail, Wal, WalError, WalMetrics, decode_series,
    decode_times, encode_exemplars, encode_series, kind, recover,
};

use super::metrics::Metrics;
use super::options::{AgentLogError, AgentLogOptions};
use super::series::Series;
use super::truncate::Truncation;

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
    /// Held during a truncation.
    pub(super) truncation: Mutex<Truncation>,
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
    /// The newest exemplar of each series that has some: pages repeat them again and again.
    pub(super) exemplars: HashMap<SeriesRef, Exemplar>,
    scratch: Scratch,
    /// Ends with the process.
    lock: Option<Box<dyn LockGuard>>,
}

/// Buffers from batch to batch.
#[derive(Debug)]
struct Scratch {
    /// Accepted samples: the series, and the sample's index in the batch.
    rows: Vec<(SeriesRef, usize)>,
    /// Where in `rows` a series turns from floats to histograms or back. Records hold one kind
    /// each, so those of the rows before go first.
    turns: Vec<usize>,
    /// Index and newest time before, of each series of the batch.
    before: Vec<(usize, i64)>,
    /// Exemplars that are to be logged: the series, and the exemplar's index in the batch.
    exemplars: Vec<(SeriesRef, usize)>,
    floats: SampleRecords,
    histograms: RowEncoder,
    records: Records,
}

impl Scratch {
    fn new(compression: Compression) -> Self {
        Self {
            rows: Vec::new(),
            turns: Vec::new(),
            before: Vec::new(),
            exemplars: Vec::new(),
            floats: SampleRecords::default(),
            histograms: RowEncoder::new(false),
            records: Records::new(compression),
        }
    }
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
            exemplars: HashMap::new(),
            scratch: Scratch::new(options.wal.compression),
            lock: Some(lock),
        };
        let truncation = Truncation { began_ms: clock.now_ms(), retry: Retry::new() };
        let truncation = Mutex::new(truncation);
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
        let syncer = self.state.lock().wal.as_ref().map(Wal::syncer);
        Ok(syncer.ok_or(AgentLogError::Closed)?.sync()?)
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
        let (outcome, committed) = self.log(batch, on_reject)?;
        if let Some((syncer, end)) = committed {
            // Nobody else waits for the log meanwhile.
            syncer.commit(end).map_err(|error| AppendError::Log(error.to_string()))?;
        }
        self.metrics.samples.add((outcome.accepted - outcome.histograms) as u64);
        self.metrics.histograms.add(outcome.histograms as u64);
        self.metrics.exemplars.add(outcome.exemplars as u64);
        self.metrics.out_of_order.add(outcome.out_of_order as u64);
        self.metrics.out_of_order_exemplars.add(outcome.rejected_exemplars as u64);
        Ok(Outcome {
            accepted: outcome.accepted,
            rejected: outcome.rejected,
            created_series: outcome.created_series,
            rejected_exemplars: outcome.rejected_exemplars,
        })
    }
}

/// How an append went, for the metrics too.
#[derive(Debug, Clone, Copy, Default)]
struct Appended {
    accepted: usize,
    rejected: usize,
    created_series: usize,
    rejected_exemplars: usize,
    /// Those of the accepted samples that are histograms.
    histograms: usize,
    /// Exemplars that were logged.
    exemplars: usize,
    /// Those of the rejected samples that came too late.
    out_of_order: usize,
}

/// Where a batch ends in the log, and who makes it durable.
type Committed = Option<(Syncer, Position)>;

impl AgentLog {
    /// Everything of an append that needs the lock.
    fn log(
        &self,
        batch: &mut Batch,
        on_reject: OnReject,
    ) -> Result<(Appended, Committed), AppendError> {
        let mut state = self.state.lock();
        if state.wal.is_none() {
            return Err(AppendError::Unavailable(AgentLogError::Closed.to_string()));
        }
        let known = state.series.len();
        let appended = state.append(batch, on_reject, &self.options);
        if !matches!(appended, Ok(appended) if appended.accepted + appended.exemplars > 0) {
            state.take_back(known);
        }
        let appended = appended?;
        self.metrics.active_series.set(state.series.len() as f64);
        let wal = state.wal.as_ref().filter(|_| appended.accepted + appended.exemplars > 0);
        Ok((appended, wal.map(|wal| (wal.syncer(), wal.current()))))
    }
}

impl State {
    fn append(
        &mut self,
        batch: &mut Batch,
        on_reject: OnReject,
        options: &AgentLogOptions,
    ) -> Result<Appended, AppendError> {
        let known = self.series.len();
        self.scratch.rows.clear();
        self.scratch.turns.clear();
        self.scratch.before.clear();
        self.scratch.exemplars.clear();
        let mut appended = Appended::default();
        for entry in 0..batch.series_count() {
            if !batch.sample_range(entry).is_empty() {
                self.take(batch, entry, options, &mut appended)?;
            }
        }
        appended.created_series = self.series.len() - known;
        let accepted = self.scratch.rows.len();
        let is_refused = appended.rejected > 0 && on_reject == OnReject::RejectAll;
        if is_refused {
            let Appended { rejected, out_of_order, .. } = appended;
            return Ok(Appended { rejected, out_of_order, ..Appended::default() });
        }
        self.take_exemplars(batch, &mut appended);
        if accepted + self.scratch.exemplars.len() == 0 {
            return Ok(Appended { created_series: 0, ..appended });
        }
        self.log(batch, known).map_err(|error| AppendError::Log(error.to_string()))?;
        for (series, index) in self.scratch.exemplars.drain(..) {
            if let Some((_, exemplar)) = batch.exemplars().get(index) {
                self.exemplars.insert(series, exemplar.clone());
                appended.exemplars += 1;
            }
        }
        appended.accepted = accepted;
        Ok(appended)
    }

    /// Chooses the exemplars that are to be logged: not too long, new, and of a known series.
    fn take_exemplars(&mut self, batch: &Batch, appended: &mut Appended) {
        let mut chosen: HashMap<SeriesRef, usize> = HashMap::new();
        for (index, (entry, exemplar)) in batch.exemplars().iter().enumerate() {
            let found = self.series.by_labels(batch.labels(*entry));
            let Some(slot) = found.and_then(|found| self.series.slots().get(found)) else {
                continue;
            };
            let series = slot.series;
            let in_batch = chosen.get(&series).and_then(|index| batch.exemplars().get(*index));
            let before = in_batch.map(|row| &row.1).or_else(|| self.exemplars.get(&series));
            if before == Some(exemplar) {
                continue;
            }
            let is_late = before.is_some_and(|known| exemplar.timestamp_ms < known.timestamp_ms);
            if is_late || !exemplar.is_short_enough() {
                appended.rejected_exemplars += 1;
                continue;
            }
            chosen.insert(series, index);
            self.scratch.exemplars.push((series, index));
        }
    }

    /// Judges the samples of one series of the batch.
    fn take(
        &mut self,
        batch: &mut Batch,
        entry: usize,
        options: &AgentLogOptions,
        appended: &mut Appended,
    ) -> Result<(), AppendError> {
        let index = self.find_or_add(batch, entry, options.max_series)?;
        let Some(slot) = self.series.get_mut(index) else { return Ok(()) };
        let (name, before_ms) = (slot.series, slot.last_ms);
        let mut last_ms = before_ms;
        let mut was_histogram = None;
        for sample_index in batch.sample_range(entry) {
            let Some(sample) = batch.samples().get(sample_index).copied() else { continue };
            let too_old = last_ms.saturating_sub(options.out_of_order_window_ms);
            if last_ms != i64::MIN && sample.timestamp_ms <= too_old {
                appended.rejected += 1;
                appended.out_of_order += 1;
                batch.set_verdict(sample_index, Verdict::OutOfOrder);
                continue;
            }
            let histogram = batch.histogram(sample_index);
            let is_histogram = histogram.is_some();
            if let Some(error) = histogram.and_then(|one| one.check().err()) {
                appended.rejected += 1;
                batch.set_verdict(sample_index, Verdict::InvalidHistogram(error));
                continue;
            }
            last_ms = last_ms.max(sample.timestamp_ms);
            if was_histogram.is_some_and(|was| was != is_histogram) {
                self.scratch.turns.push(self.scratch.rows.len());
            }
            was_histogram = Some(is_histogram);
            appended.histograms += usize::from(is_histogram);
            self.scratch.rows.push((name, sample_index));
        }
        slot.last_ms = last_ms;
        self.scratch.before.push((index, before_ms));
        batch.set_series_ref(entry, name);
        Ok(())
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

    /// Logs the series from index `known` on, which are new, and what was accepted.
    fn log(&mut self, batch: &Batch, known: usize) -> Result<(), WalError> {
        let Some(wal) = &mut self.wal else { return Ok(()) };
        let Scratch { rows, turns, exemplars, floats, histograms, records, .. } = &mut self.scratch;
        records.clear();
        let new = self.series.slots().get(known..).unwrap_or_default();
        if !new.is_empty() {
            let named = new.iter().map(|slot| (slot.series, slot.labels()));
            records.add(|out| encode_series(out, named));
        }
        let mut start = 0;
        for end in turns.iter().copied().chain([rows.len()]) {
            let part = rows.get(start..end).unwrap_or_default();
            add_samples(records, (floats, histograms), batch, part);
            start = end;
        }
        let exemplars = exemplars.iter().filter_map(|(series, index)| {
            let (_, exemplar) = batch.exemplars().get(*index)?;
            let (timestamp_ms, value) = (exemplar.timestamp_ms, exemplar.value);
            let labels = exemplar.labels.as_ref();
            Some(ExemplarRow { series: *series, timestamp_ms, value, labels })
        });
        records.add(|out| encode_exemplars(out, exemplars));
        let position = wal.log_packed(records)?;
        let times = rows.iter().filter_map(|row| batch.samples().get(row.1));
        let newest = times.map(|sample| sample.timestamp_ms).max().unwrap_or(i64::MIN);
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

/// Adds the records of samples of which no series has both kinds.
fn add_samples(
    records: &mut Records,
    (floats, histograms): (&mut SampleRecords, &mut RowEncoder),
    batch: &Batch,
    rows: &[(SeriesRef, usize)],
) {
    for (series, index) in rows {
        let is_histogram = !batch.histograms().is_empty() && batch.histogram(*index).is_some();
        if !is_histogram && let Some(sample) = batch.samples().get(*index) {
            floats.push(*series, *sample);
        }
    }
    floats.end_record();
    floats.iter().for_each(|record| records.add_record(record));
    floats.clear();
    if batch.histograms().is_empty() {
        return;
    }
    for (series, index) in rows {
        if let Some(histogram) = batch.histogram(*index)
            && let Some(sample) = batch.samples().get(*index)
        {
            histograms.push_histogram(*series, sample.timestamp_ms, 0, histogram);
        }
    }
    records.add_rows(histograms);
}
