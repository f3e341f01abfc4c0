//! Appending a batch: judge, log, store.
//!
//! 1. Every sample is **judged** by the series' newest one; series are found, or created, on the
//!    way. What may stay is promised a place, and the batch claims the series.
//! 2. What was promised is **logged** in one call; names of series that the log does not know yet
//!    go first. Records are put together and packed before the log is locked.
//! 3. It is **stored** in the chunks, and then the batch is whole: readers see it.
//!
//! A float that only makes the open chunk of its series longer, as nearly all do, is stored when it
//! is judged. Readers see it no sooner than the others, and it is taken out again with them. Where
//! floats have no starts, their records are put together then too.
//!
//! Batches go through this side by side; all hold the gate for reading. A series is claimed by one
//! batch at a time, so the log has its samples in the order of the chunks, and a replay comes to
//! the same verdicts. A batch that meets a series of another batch takes everything back, waits at
//! the gate until it is alone, and begins anew: so nobody waits for anybody in a circle.
//!
//! If the log fails, no sample of the batch is stored, though series that it created may stay
//! until the next truncation, without samples.

use std::thread::{self, ThreadId};

use parking_lot::MutexGuard;

use crate::model::{Labels, Sample};
use crate::series::{Append, AppendError, Batch, OnReject, Outcome, SeriesRef, TimeRange, Verdict};
use crate::storage::wal::{self, Compression, Records, RowEncoder, Wal};

use super::isolation::OpenBatch;
use super::judge::{Conflict, Judge, Judgement};
use super::rows::{LateRow, Part, Rows};
use super::state::Head;
use super::store::Stored;
use super::symbols::SharedLabels;

/// Memory of this many batches is kept for later ones.
const SPARE_WORK_MAX: usize = 8;
/// How often an append looks whether the log is free before it goes to sleep.
const LOG_SPINS: u32 = 1000;
/// Memory that an append needs, reused from batch to batch.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) rows: Rows,
    pub(super) late: Vec<LateRow>,
    /// How many floats were stored at once, and when.
    pub(super) stored_at_once: u64,
    pub(super) stored_span: Span,
    /// Series that the log does not know.
    pub(super) unnamed: Vec<(SeriesRef, SharedLabels)>,
    /// Series that are not in the label index yet.
    pub(super) created: Vec<(SeriesRef, SharedLabels)>,
    /// Entries whose reference is another one than was handed in.
    pub(super) answers: Vec<(usize, SeriesRef)>,
    pub(super) refused: Vec<(usize, Verdict)>,
    records: Records,
    encoder: RowEncoder,
}

impl Work {
    pub(super) fn new(compression: Compression, with_starts: bool) -> Self {
        Self {
            rows: Rows::default(),
            late: Vec::new(),
            stored_at_once: 0,
            stored_span: Span::default(),
            unnamed: Vec::new(),
            created: Vec::new(),
            answers: Vec::new(),
            refused: Vec::new(),
            records: Records::new(compression),
            encoder: RowEncoder::new(with_starts),
        }
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.late.clear();
        (self.stored_at_once, self.stored_span) = (0, Span::default());
        self.unnamed.clear();
        self.created.clear();
        self.answers.clear();
        self.refused.clear();
        self.records.clear();
    }
}

impl Append for Head {
    fn append(&self, batch: &mut Batch, on_reject: OnReject) -> Result<Outcome, AppendError> {
        let thread = thread::current().id();
        let mut work = self.spare_work(thread);
        let outcome = self.append_with(&mut work, batch, on_reject);
        work.clear();
        let mut spare = self.spare_work.lock();
        if spare.len() < SPARE_WORK_MAX && work.rows.is_small() {
            spare.push((thread, work));
        }
        outcome
    }
}

/// What one try at a batch came to.
enum Tried {
    Done { judgement: Judgement, is_stored: bool },
    Conflict { created: usize },
}

impl Head {
    /// Memory for an append: what the same thread had before, if it is there. That is in the cache
    /// of its core, and to get it from another's takes longer than to judge the samples.
    fn spare_work(&self, thread: ThreadId) -> Box<Work> {
        let mut spare = self.spare_work.lock();
        let own = spare.iter().rposition(|(owner, _)| *owner == thread);
        let index = own.or(spare.len().checked_sub(1));
        if let Some(index) = index {
            return spare.swap_remove(index).1;
        }
        drop(spare);
        Box::new(Work::new(self.compression(), self.options.float_starts))
    }

    fn append_with(
        &self,
        work: &mut Work,
        batch: &mut Batch,
        on_reject: OnReject,
    ) -> Result<Outcome, AppendError> {
        batch.reset_verdicts();
        let mut outcome = Outcome::default();
        let mut tried = {
            let gate = self.gate.read();
            gate.check()?;
            self.try_append(work, batch, on_reject)?
        };
        if let Tried::Conflict { created } = tried {
            outcome.created_series += created;
            work.clear();
            let gate = self.gate.write();
            gate.check()?;
            tried = self.try_append(work, batch, on_reject)?;
        }
        let Tried::Done { judgement, is_stored } = tried else {
            // Alone, nobody else can have claimed a series.
            return Err(AppendError::Unavailable("series are being appended to".into()));
        };
        for (entry, series) in work.answers.drain(..) {
            batch.set_series_ref(entry, series);
        }
        for (index, verdict) in work.refused.drain(..) {
            batch.set_verdict(index, verdict);
            self.metrics.count_refused(verdict, batch.histogram(index).is_some());
        }
        outcome.created_series += judgement.created;
        outcome.rejected = judgement.refused;
        if is_stored {
            outcome.accepted = batch.sample_count() - judgement.refused;
            if !batch.exemplars().is_empty() || !batch.metadata().is_empty() {
                outcome.rejected_exemplars = self.append_beside(batch)?;
            }
        }
        Ok(outcome)
    }

    fn try_append(
        &self,
        work: &mut Work,
        batch: &Batch,
        on_reject: OnReject,
    ) -> Result<Tried, AppendError> {
        let mut open = self.isolation.begin();
        let mut judge = Judge::new(self, batch, work, &mut open);
        let judged = judge.all();
        let created = judge.judgement.created;
        // Also if nothing is stored: they can be found by their labels already.
        self.postings.add_all(&work.created);
        let judgement = match judged {
            Ok(Ok(judgement)) => judgement,
            Ok(Err(Conflict)) => {
                self.take_back(work, &open);
                return Ok(Tried::Conflict { created });
            }
            Err(error) => {
                self.take_back(work, &open);
                return Err(error);
            }
        };
        if judgement.is_batch_refused && on_reject == OnReject::RejectAll {
            self.take_back(work, &open);
            return Ok(Tried::Done { judgement, is_stored: false });
        }
        if let Err(error) = self.log(work, batch) {
            self.take_back(work, &open);
            return Err(error);
        }
        let late = self.log_late(work, batch).inspect_err(|_| self.take_back(work, &open))?;
        self.store(work, batch);
        if let Some(late) = late {
            self.store_late(late, work, batch);
        }
        Ok(Tried::Done { judgement, is_stored: true })
    }

    /// Writes the rows to the log, with the names of series that it does not know.
    fn log(&self, work: &mut Work, batch: &Batch) -> Result<(), AppendError> {
        let Work { rows, unnamed, late, records, encoder, .. } = work;
        rows.end_part();
        if self.log_place.is_none() || (rows.is_empty() && late.is_empty()) {
            return Ok(());
        }
        if !unnamed.is_empty() {
            let names = unnamed.iter().map(|(series, labels)| (*series, labels.to_labels()));
            let names: Vec<(SeriesRef, Labels)> = names.collect();
            let names = names.iter().map(|(series, labels)| (*series, labels.as_ref()));
            records.add(|out| wal::encode_series(out, names));
        }
        for Part { floats, waiting, histograms } in rows.parts() {
            floats.into_iter().for_each(|record| records.add_record(record));
            if self.options.float_starts {
                for row in waiting {
                    let Sample { timestamp_ms, value } = row.sample;
                    encoder.push_float(row.series, timestamp_ms, row.start_ms, value);
                }
            }
            for row in histograms {
                let Some(histogram) = self.stales.resolve(row.source, batch) else { continue };
                encoder.push_histogram(row.series, row.timestamp_ms, row.start_ms, histogram);
            }
            records.add_rows(encoder);
        }
        for row in late {
            let value = self.late_value(row, batch);
            value.inspect(|value| {
                encoder.push(row.series, row.timestamp_ms, row.start_ms, *value);
            });
        }
        records.add_rows(encoder);
        self.log_records(records)
    }

    /// The log is held for one write. To be put to sleep and woken again takes several times as
    /// long, so it is worth waiting awake for about that time.
    fn lock_log(&self) -> MutexGuard<'_, Option<Wal>> {
        for _ in 0..LOG_SPINS {
            if let Some(log) = self.log.try_lock() {
                return log;
            }
            std::hint::spin_loop();
        }
        self.log.lock()
    }

    pub(super) fn log_records(&self, records: &mut Records) -> Result<(), AppendError> {
        let refused = |error: wal::WalError| AppendError::Log(error.to_string());
        let mut log = self.lock_log();
        let Some(wal) = log.as_mut() else { return Ok(()) };
        let position = wal.log_packed(records).map_err(refused)?;
        let syncer = wal.syncer();
        drop(log);
        syncer.commit(position).map_err(refused)
    }

    fn store(&self, work: &Work, batch: &Batch) {
        let (floats, span) = (work.stored_at_once, work.stored_span);
        let mut tally = Tally { floats, span, ..Tally::default() };
        let options = &self.options.chunks();
        for Part { waiting, histograms, .. } in work.rows.parts() {
            self.series.for_rows(
                waiting,
                |row| row.series,
                |series, row| {
                    let Some(series) = series else { return };
                    let Sample { timestamp_ms, value } = row.sample;
                    let stored = series.store_float(timestamp_ms, row.start_ms, value, options);
                    tally.floats += tally.count(timestamp_ms, stored);
                },
            );
            self.series.for_rows(
                histograms,
                |row| row.series,
                |series, row| {
                    let histogram = self.stales.resolve(row.source, batch);
                    let Some((series, histogram)) = series.zip(histogram) else { return };
                    let (time_ms, start_ms) = (row.timestamp_ms, row.start_ms);
                    let stored = series.store_histogram(time_ms, start_ms, histogram, options);
                    tally.histograms += tally.count(time_ms, stored);
                },
            );
        }
        self.show(&tally);
    }

    /// Counts what was stored.
    pub(super) fn show(&self, tally: &Tally) {
        if tally.floats + tally.histograms == 0 {
            return;
        }
        let is_wider = self.bounds.widen(tally.span.range());
        self.metrics.appended(tally.floats, tally.histograms);
        if tally.begun > 0 {
            self.metrics.chunks_created.add(tally.begun);
            self.metrics.chunks.add(tally.begun as f64);
            self.note_begun(tally.begun);
        }
        if is_wider {
            self.show_span();
        }
    }

    /// Undoes what [`Judge`] promised.
    fn take_back(&self, work: &mut Work, open: &OpenBatch<'_>) {
        let claimed = work.rows.series();
        self.series.for_rows(
            &claimed,
            |name| *name,
            |series, _| {
                series.into_iter().for_each(|series| series.take_back(open));
            },
        );
        self.series.for_rows(
            &work.unnamed,
            |row| row.0,
            |series, _| {
                series.into_iter().for_each(|series| series.is_logged = false);
            },
        );
    }

    /// Shows the head's bounds in its metrics.
    pub(super) fn show_span(&self) {
        let Some(span) = self.span() else { return };
        self.metrics.min_time.set(span.start_ms as f64);
        self.metrics.max_time.set(span.end_ms as f64);
        self.metrics.max_time_seconds.set(span.end_ms as f64 / 1000.0);
    }
}

/// From the first to the last of some times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span(TimeRange);

impl Default for Span {
    fn default() -> Self {
        Self(TimeRange::new(i64::MAX, i64::MIN))
    }
}

impl Span {
    #[inline]
    pub(super) fn widen(&mut self, time_ms: i64) {
        self.0.start_ms = self.0.start_ms.min(time_ms);
        self.0.end_ms = self.0.end_ms.max(time_ms);
    }

    /// Of no time it ends before it starts.
    pub(super) const fn range(self) -> TimeRange {
        self.0
    }
}

/// What was stored.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) floats: u64,
    pub(super) histograms: u64,
    pub(super) begun: u64,
    pub(super) span: Span,
}

impl Tally {
    /// Counts one sample; returns how many are stored.
    #[inline]
    pub(super) fn count(
        &mut self,
        time_ms: i64,
        stored: Result<Stored, crate::chunk::ChunkError>,
    ) -> u64 {
        let begun = match stored {
            Ok(Stored::InOrder { begun }) => begun,
            Ok(Stored::TooLate) => return 0,
            Err(error) => {
                // What was judged fits into a chunk.
                tracing::error!(%error, "a sample is in the log but not in memory");
                return 0;
            }
        };
        self.begun += begun as u64;
        self.span.widen(time_ms);
        1
    }
}
