//! Appending a batch: look up, judge, log, store.
//!
//! 1. **Look up**, in parallel with other batches: each label set's series is found or created.
//! 2. Under the commit lock, one batch at a time: every sample is **judged**, what may stay is
//!    **logged** in one call (names of series that the log does not know yet go first), and then
//!    **stored** in the chunks. So the log has the samples of a series in the order of the chunks,
//!    and a replay comes to the same verdicts.
//!
//! Readers never wait for the commit lock. A batch becomes visible series by series; it is whole
//! when the call returns. If the log fails, no sample of the batch is stored, though series that
//! it created may stay until the next truncation, without samples.

use std::sync::Arc;

use crate::model::{LabelsRef, Sample};
use crate::series::{Append, AppendError, Batch, OnReject, Outcome, SeriesRef, TimeRange};
use crate::storage::wal;

use super::series::{Fate, HeadSeries};
use super::state::{Commit, Head};

/// Memory of this many batches is kept for later ones.
const SPARE_WORK_MAX: usize = 8;
/// Memory of a batch with more series is not kept.
const SPARE_ENTRIES_MAX: usize = 1 << 16;

/// A sample that may stay, and which series of the batch it belongs to.
#[derive(Debug, Clone, Copy)]
struct Row {
    entry: usize,
    sample: Sample,
}

/// Memory that an append needs, reused from batch to batch.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// The series of each entry of the batch.
    series: Vec<Option<Arc<HeadSeries>>>,
    rows: Vec<Row>,
    /// Entries whose series the log does not know.
    unnamed: Vec<usize>,
    names_record: Vec<u8>,
    samples_record: Vec<u8>,
}

impl Work {
    fn clear(&mut self) {
        self.series.clear();
        self.rows.clear();
        self.unnamed.clear();
        self.names_record.clear();
        self.samples_record.clear();
    }

    fn series(&self, entry: usize) -> Option<&Arc<HeadSeries>> {
        self.series.get(entry).and_then(Option::as_ref)
    }

    /// The rows of each entry that has some.
    fn rows_by_series(&self) -> impl Iterator<Item = (&HeadSeries, &[Row])> {
        self.rows.chunk_by(|a, b| a.entry == b.entry).filter_map(|rows| {
            let series = self.series(rows.first()?.entry)?;
            Some((series.as_ref(), rows))
        })
    }
}

#[derive(Debug, Default)]
struct Judgement {
    refused: usize,
    /// A sample was refused because of what was stored before the batch. One that is refused
    /// only because of its neighbours in the batch does not count: Prometheus leaves it out
    /// without refusing the batch.
    is_batch_refused: bool,
}

impl Append for Head {
    fn append(&self, batch: &mut Batch, on_reject: OnReject) -> Result<Outcome, AppendError> {
        let mut work = self.spare_work.lock().pop().unwrap_or_default();
        let outcome = self.append_with(&mut work, batch, on_reject);
        work.clear();
        let mut spare = self.spare_work.lock();
        if spare.len() < SPARE_WORK_MAX && work.series.capacity() <= SPARE_ENTRIES_MAX {
            spare.push(work);
        }
        outcome
    }
}

impl Head {
    fn append_with(
        &self,
        work: &mut Work,
        batch: &mut Batch,
        on_reject: OnReject,
    ) -> Result<Outcome, AppendError> {
        batch.reset_verdicts();
        let created_series = self.look_up(work, batch)?;
        let mut commit = self.commit.lock();
        if commit.is_closed {
            return Err(Self::closed_error());
        }
        let judgement = self.judge(work, batch);
        let rejected = judgement.refused;
        if judgement.is_batch_refused && on_reject == OnReject::RejectAll {
            take_back(work);
            return Ok(Outcome { rejected, created_series, ..Outcome::default() });
        }
        if let Err(error) = log(&mut commit, work) {
            take_back(work);
            return Err(error);
        }
        self.store(work);
        let accepted = batch.sample_count() - rejected;
        Ok(Outcome { accepted, rejected, created_series, ..Outcome::default() })
    }

    /// Finds the series of every entry, creates those that are not there; returns how many.
    fn look_up(&self, work: &mut Work, batch: &mut Batch) -> Result<usize, AppendError> {
        let mut missing = 0;
        for entry in 0..batch.series_count() {
            let labels = batch.labels(entry);
            if labels.is_empty() {
                return Err(AppendError::EmptyLabels);
            }
            let before = work.series.last().and_then(Option::as_deref);
            let found = self.find_entry(batch.series_ref(entry), labels, before);
            missing += usize::from(found.is_none());
            work.series.push(found);
        }
        let limit = self.options.max_series;
        if missing > 0 && limit > 0 && self.series.len() + missing > limit {
            return Err(AppendError::TooManySeries { limit });
        }
        let mut created = 0;
        for entry in 0..batch.series_count() {
            let Some(slot) = work.series.get_mut(entry) else { continue };
            let series = match slot {
                Some(series) => series,
                None => {
                    let labels = batch.labels(entry);
                    let (series, is_new) = self.find_or_create(labels.hash(), labels);
                    created += usize::from(is_new);
                    slot.insert(series)
                }
            };
            batch.set_series_ref(entry, series.series);
        }
        for pair in work.series.windows(2) {
            if let [Some(before), Some(behind)] = pair {
                before.set_follower(behind.series);
            }
        }
        Ok(created)
    }

    /// Finds the series of one entry, `before` being that of the entry before it.
    fn find_entry(
        &self,
        known: SeriesRef,
        labels: LabelsRef<'_>,
        before: Option<&HeadSeries>,
    ) -> Option<Arc<HeadSeries>> {
        let hash = labels.hash();
        if known.is_known()
            && let Some(series) = self.series.get(known)
            // A reference of some other storage is recognised by this.
            && series.hash == hash
        {
            return Some(series);
        }
        // Scrapes and senders keep the order of their series, and the reference is found sooner.
        let guess = before.map_or(SeriesRef::UNKNOWN, HeadSeries::follower);
        if guess.is_known()
            && let Some(series) = self.series.get(guess)
            && series.hash == hash
            && series.labels.as_ref() == labels
        {
            return Some(series);
        }
        self.series.find(hash, labels)
    }

    /// Judges every sample and lists those that may stay as rows.
    fn judge(&self, work: &mut Work, batch: &mut Batch) -> Judgement {
        let mut judgement = Judgement::default();
        let Some(first) = batch.samples().first() else { return judgement };
        let min_valid_ms = self.bounds.min_appendable_ms(first.timestamp_ms, self.options.range_ms);
        for entry in 0..batch.series_count() {
            self.judge_entry(entry, work, batch, min_valid_ms, &mut judgement);
        }
        judgement
    }

    fn judge_entry(
        &self,
        entry: usize,
        work: &mut Work,
        batch: &mut Batch,
        min_valid_ms: i64,
        judgement: &mut Judgement,
    ) {
        let Some(slot) = work.series.get_mut(entry).and_then(Option::as_mut) else { return };
        if slot.lock().is_removed {
            // A truncation has forgotten it since it was looked up. Nobody can do so again before
            // the batch is stored.
            let labels: LabelsRef<'_> = batch.labels(entry);
            *slot = self.find_or_create(labels.hash(), labels).0;
            batch.set_series_ref(entry, slot.series);
        }
        let mut series = slot.lock();
        let rows_before = work.rows.len();
        for index in batch.sample_range(entry) {
            let Some(sample) = batch.samples().get(index).copied() else { continue };
            match series.promise(sample, min_valid_ms) {
                Fate::Store => work.rows.push(Row { entry, sample }),
                Fate::Same => {}
                Fate::Refuse(verdict) => {
                    batch.set_verdict(index, verdict);
                    self.metrics.count_refused(verdict);
                    judgement.refused += 1;
                    judgement.is_batch_refused |= series.refuses_as_stored(sample, min_valid_ms);
                }
            }
        }
        if work.rows.len() > rows_before && !series.is_logged {
            series.is_logged = true;
            work.unnamed.push(entry);
        }
    }

    fn store(&self, work: &Work) {
        let mut begun = 0;
        let mut stored = 0;
        let mut span = TimeRange::new(i64::MAX, i64::MIN);
        for (series, rows) in work.rows_by_series() {
            let mut series = series.lock();
            for row in rows {
                let (new_chunks, is_stored) = series.store(row.sample, self.options.range_ms);
                begun += new_chunks;
                stored += u64::from(is_stored);
                span.start_ms = span.start_ms.min(row.sample.timestamp_ms);
                span.end_ms = span.end_ms.max(row.sample.timestamp_ms);
            }
        }
        if stored == 0 {
            return;
        }
        self.bounds.widen(span);
        self.metrics.samples_appended.add(stored);
        self.metrics.chunks_created.add(begun as u64);
        self.metrics.chunks.add(begun as f64);
        self.show_span();
    }

    /// Shows the head's bounds in its metrics.
    pub(super) fn show_span(&self) {
        let Some(span) = self.span() else { return };
        self.metrics.min_time.set(span.start_ms as f64);
        self.metrics.max_time.set(span.end_ms as f64);
        self.metrics.max_time_seconds.set(span.end_ms as f64 / 1000.0);
    }
}

/// Writes the rows to the log, with the names of series that it does not know.
fn log(commit: &mut Commit, work: &mut Work) -> Result<(), AppendError> {
    let Some(wal) = commit.wal.as_mut() else { return Ok(()) };
    if work.rows.is_empty() {
        return Ok(());
    }
    let (mut names, mut samples) =
        (std::mem::take(&mut work.names_record), std::mem::take(&mut work.samples_record));
    let named = work.unnamed.iter().filter_map(|entry| work.series(*entry));
    wal::encode_series(&mut names, named.map(|series| (series.series, series.labels.as_ref())));
    let rows = work.rows_by_series();
    let rows = rows.flat_map(|(series, rows)| rows.iter().map(|row| (series.series, row.sample)));
    wal::encode_samples(&mut samples, rows);
    let logged =
        if work.unnamed.is_empty() { wal.log(&[&samples]) } else { wal.log(&[&names, &samples]) };
    (work.names_record, work.samples_record) = (names, samples);
    logged.map(|_| ()).map_err(|error| AppendError::Log(error.to_string()))
}

/// Undoes what [`Head::judge`] promised.
fn take_back(work: &Work) {
    for (series, _) in work.rows_by_series() {
        series.lock().forget_promises();
    }
    for entry in &work.unnamed {
        if let Some(series) = work.series(*entry) {
            series.lock().is_logged = false;
        }
    }
}
