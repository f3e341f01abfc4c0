//! Handing samples in, a batch at a time.

use std::fmt;

use crate::model::histogram::{HistogramError, HistogramRef, Histograms};
use crate::model::{Exemplar, LabelsRef, Metadata, Sample, Value};

/// Names a series inside one storage, for its lifetime. 0 means "not known yet".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SeriesRef(pub u64);

impl SeriesRef {
    /// Not known yet.
    pub const UNKNOWN: Self = Self(0);

    /// True if the storage has named the series.
    #[must_use]
    pub const fn is_known(self) -> bool {
        self.0 != 0
    }
}

/// What became of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Verdict {
    /// Stored, or there already with the same value.
    #[default]
    Accepted,
    /// Another value is stored for the same time.
    DuplicateTimestamp,
    /// Older than the newest sample of its series.
    OutOfOrder,
    /// Older than everything that the storage may still change, or too far in the future.
    OutOfBounds,
    /// Older than the window for out-of-order samples.
    TooOld,
    /// The storage has no series of this reference any more: hand it in again with its labels.
    UnknownSeries,
    /// The series would be new, and the storage holds as many as it was allowed to.
    SeriesLimit,
    /// A histogram that is none.
    InvalidHistogram(HistogramError),
}

impl Verdict {
    /// True for [`Verdict::Accepted`].
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        matches!(self, Self::Accepted)
    }
}

/// Prometheus's words for the verdict, which its clients know.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidHistogram(error) => return error.fmt(f),
            Self::UnknownSeries => "unknown series reference",
            Self::SeriesLimit => "series limit reached",
            Self::Accepted => "accepted",
            Self::DuplicateTimestamp => "duplicate sample for timestamp",
            Self::OutOfOrder => "out of order sample",
            Self::OutOfBounds => "out of bounds",
            Self::TooOld => "too old sample",
        })
    }
}

/// Series and their samples, to be appended together. Reused from call to call.
///
/// All label sets lie in one text, so that nothing is allocated for a series that the storage
/// knows. After the append, [`Batch::series_ref`] and [`Batch::verdicts`] hold the answer.
#[derive(Debug, Default)]
pub struct Batch {
    entries: Vec<Entry>,
    labels: String,
    samples: Vec<Sample>,
    /// Those of the samples that are histograms.
    histograms: Histograms,
    /// As in a column: empty, or one a sample.
    starts_ms: Vec<i64>,
    exemplars: Vec<(usize, Exemplar)>,
    metadata: Vec<(usize, Metadata)>,
    verdicts: Vec<Verdict>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    series: SeriesRef,
    labels_end: usize,
    samples_end: usize,
}

/// What [`Batch::entry`] says of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchEntry {
    /// What was handed in, after the append what the storage answered.
    pub series: SeriesRef,
    /// False if it was handed in by its name alone.
    pub has_labels: bool,
    /// Where its samples stand in [`Batch::samples`].
    pub samples: std::ops::Range<usize>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.labels.clear();
        self.samples.clear();
        self.histograms.clear();
        self.starts_ms.clear();
        self.exemplars.clear();
        self.metadata.clear();
        self.verdicts.clear();
    }

    /// Starts the next series. `known` is what an earlier append answered for it, or
    /// [`SeriesRef::UNKNOWN`]; the labels are given in any case, since a storage may have dropped
    /// the series in between.
    pub fn push_series(&mut self, known: SeriesRef, labels: LabelsRef<'_>) {
        self.labels.push_str(labels.encoded());
        let (labels_end, samples_end) = (self.labels.len(), self.samples.len());
        self.entries.push(Entry { series: known, labels_end, samples_end });
    }

    /// Starts the next series by the name alone that an earlier append answered. It is the
    /// fastest way, but if the storage has dropped the series since, its samples get
    /// [`Verdict::UnknownSeries`].
    #[inline]
    pub fn push_known(&mut self, known: SeriesRef) {
        let (labels_end, samples_end) = (self.labels.len(), self.samples.len());
        self.entries.push(Entry { series: known, labels_end, samples_end });
    }

    /// Adds a sample to the series that was started last; without one the sample is dropped.
    #[inline]
    pub fn push_sample(&mut self, timestamp_ms: i64, value: f64) {
        if let Some(entry) = self.entries.last_mut() {
            self.samples.push(Sample { timestamp_ms, value });
            entry.samples_end = self.samples.len();
            if !self.starts_ms.is_empty() {
                self.starts_ms.push(0);
            }
        }
    }

    /// Adds a histogram to the series that was started last. The sample's float is its sum.
    pub fn push_histogram(&mut self, timestamp_ms: i64, histogram: HistogramRef<'_>) {
        if !self.entries.is_empty() {
            self.histograms.push(self.samples.len(), histogram);
            self.push_sample(timestamp_ms, histogram.sum);
        }
    }

    /// Adds a sample of either kind, with the time since when it counts, or 0.
    pub fn push_value(&mut self, timestamp_ms: i64, start_ms: i64, value: Value<'_>) {
        match value {
            Value::Float(value) => self.push_sample(timestamp_ms, value),
            Value::Histogram(histogram) => self.push_histogram(timestamp_ms, histogram),
        }
        if start_ms != 0 && self.starts_ms.is_empty() {
            self.starts_ms.resize(self.samples.len(), 0);
        }
        if let Some(last) = self.starts_ms.last_mut() {
            *last = start_ms;
        }
    }

    /// Adds an exemplar to the series that was started last.
    pub fn push_exemplar(&mut self, exemplar: Exemplar) {
        if let Some(series_index) = self.entries.len().checked_sub(1) {
            self.exemplars.push((series_index, exemplar));
        }
    }

    /// Says what the series that was started last means.
    pub fn push_metadata(&mut self, metadata: Metadata) {
        if let Some(series_index) = self.entries.len().checked_sub(1) {
            self.metadata.push((series_index, metadata));
        }
    }

    /// How many series there are.
    #[must_use]
    pub fn series_count(&self) -> usize {
        self.entries.len()
    }

    /// How many samples there are.
    #[must_use]
    pub fn sample_count(&self) -> usize {
        self.samples.len()
    }

    /// The label set of a series.
    #[must_use]
    pub fn labels(&self, series_index: usize) -> LabelsRef<'_> {
        let end = self.entries.get(series_index).map_or(0, |entry| entry.labels_end);
        let start = self.before(series_index).map_or(0, |entry| entry.labels_end);
        LabelsRef::from_encoded(self.labels.get(start..end).unwrap_or_default())
    }

    /// A series at once: its name, whether it has labels, where its samples stand.
    #[must_use]
    #[inline]
    pub fn entry(&self, series_index: usize) -> Option<BatchEntry> {
        let entry = self.entries.get(series_index)?;
        let before = self.before(series_index).map_or((0, 0), |e| (e.labels_end, e.samples_end));
        Some(BatchEntry {
            series: entry.series,
            has_labels: entry.labels_end > before.0,
            samples: before.1..entry.samples_end,
        })
    }

    /// The series from `series_index` on, as [`Batch::entry`] gives each.
    #[inline]
    pub(crate) fn entries_from(
        &self,
        series_index: usize,
    ) -> impl Iterator<Item = BatchEntry> + use<'_> {
        let before = self.before(series_index).map_or((0, 0), |e| (e.labels_end, e.samples_end));
        let (mut labels_end, mut samples_end) = before;
        self.entries.get(series_index..).unwrap_or_default().iter().map(move |entry| {
            let (has_labels, samples) =
                (entry.labels_end > labels_end, samples_end..entry.samples_end);
            (labels_end, samples_end) = (entry.labels_end, entry.samples_end);
            BatchEntry { series: entry.series, has_labels, samples }
        })
    }

    /// Where the samples of a series stand in [`Batch::samples`].
    #[must_use]
    pub fn sample_range(&self, series_index: usize) -> std::ops::Range<usize> {
        let end = self.entries.get(series_index).map_or(0, |entry| entry.samples_end);
        let start = self.before(series_index).map_or(0, |entry| entry.samples_end);
        start..end
    }

    fn before(&self, series_index: usize) -> Option<&Entry> {
        series_index.checked_sub(1).and_then(|index| self.entries.get(index))
    }

    /// All samples, those of one series together.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The histogram that is the sample `sample_index`, if that is one.
    #[must_use]
    pub fn histogram(&self, sample_index: usize) -> Option<HistogramRef<'_>> {
        self.histograms.get(sample_index)
    }

    /// All histograms by the index of their sample.
    #[must_use]
    pub const fn histograms(&self) -> &Histograms {
        &self.histograms
    }

    /// Since when a sample counts; 0 if that is not known.
    #[must_use]
    pub fn start_ms(&self, sample_index: usize) -> i64 {
        self.starts_ms.get(sample_index).copied().unwrap_or(0)
    }

    /// True if a sample says since when it counts.
    #[must_use]
    pub const fn has_starts(&self) -> bool {
        !self.starts_ms.is_empty()
    }

    /// All exemplars with the index of their series.
    #[must_use]
    pub fn exemplars(&self) -> &[(usize, Exemplar)] {
        &self.exemplars
    }

    /// All metadata with the index of their series.
    #[must_use]
    pub fn metadata(&self) -> &[(usize, Metadata)] {
        &self.metadata
    }

    /// The storage's name of a series: what was handed in, after the append what it answered.
    #[must_use]
    pub fn series_ref(&self, series_index: usize) -> SeriesRef {
        self.entries.get(series_index).map_or(SeriesRef::UNKNOWN, |entry| entry.series)
    }

    /// For storages: answers the name of a series.
    pub fn set_series_ref(&mut self, series_index: usize, series: SeriesRef) {
        if let Some(entry) = self.entries.get_mut(series_index) {
            entry.series = series;
        }
    }

    /// One verdict a sample after the append; empty before it.
    #[must_use]
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// For storages: one verdict a sample, all [`Verdict::Accepted`], to be changed in place.
    pub fn reset_verdicts(&mut self) -> &mut [Verdict] {
        self.verdicts.clear();
        self.verdicts.resize(self.samples.len(), Verdict::Accepted);
        &mut self.verdicts
    }

    /// For storages: changes the verdict of one sample.
    pub fn set_verdict(&mut self, sample_index: usize, verdict: Verdict) {
        if let Some(slot) = self.verdicts.get_mut(sample_index) {
            *slot = verdict;
        }
    }
}

/// What a rejected sample does to the rest of its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnReject {
    /// The others are stored: scraping, rules, remote write 2.
    KeepRest,
    /// Nothing is stored: Prometheus's answer to remote write 1. Only disorder among the batch's
    /// own samples costs no more than the late ones, as there.
    RejectAll,
}

/// How an append went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Samples with [`Verdict::Accepted`] that are now stored.
    pub accepted: usize,
    /// Samples with another verdict.
    pub rejected: usize,
    /// Series that the storage had not known.
    pub created_series: usize,
    /// Exemplars that were too long or older than the newest of their series.
    pub rejected_exemplars: usize,
}

/// Why a whole batch was not stored.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum AppendError {
    /// A series without labels.
    EmptyLabels,
    /// The write-ahead log could not be written; nothing of the batch is acknowledged.
    Log(String),
    /// The storage holds as many series as it was allowed to.
    TooManySeries {
        /// The limit.
        limit: usize,
    },
    /// The storage is not ready yet or is closing.
    Unavailable(String),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyLabels => f.write_str("empty labelset: invalid sample"),
            Self::Log(what) => write!(f, "write to WAL: {what}"),
            Self::TooManySeries { limit } => write!(f, "series limit of {limit} reached"),
            Self::Unavailable(what) => write!(f, "not available: {what}"),
        }
    }
}

impl std::error::Error for AppendError {}

/// A sink of samples.
pub trait Append: Send + Sync {
    /// Stores the batch. When it returns `Ok`, every accepted sample survives a crash of the
    /// process and is seen by the next question.
    ///
    /// # Errors
    /// See [`AppendError`]; a rejected sample is a [`Verdict`], not an error.
    fn append(&self, batch: &mut Batch, on_reject: OnReject) -> Result<Outcome, AppendError>;
}

impl<A: Append + ?Sized> Append for std::sync::Arc<A> {
    fn append(&self, batch: &mut Batch, on_reject: OnReject) -> Result<Outcome, AppendError> {
        (**self).append(batch, on_reject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;

    #[test]
    fn a_batch_keeps_series_and_samples_apart() {
        let first = Labels::from_pairs([("__name__", "up"), ("job", "a")]).unwrap();
        let second = Labels::from_pairs([("__name__", "up"), ("job", "b")]).unwrap();
        let mut batch = Batch::new();
        batch.push_series(SeriesRef::UNKNOWN, first.as_ref());
        batch.push_sample(1, 1.0);
        batch.push_sample(2, 2.0);
        batch.push_series(SeriesRef(7), second.as_ref());
        batch.push_sample(1, 3.0);
        assert_eq!(batch.labels(0), first.as_ref());
        assert_eq!(batch.labels(1), second.as_ref());
        assert_eq!((batch.sample_range(0), batch.sample_range(1)), (0..2, 2..3));
        assert_eq!((batch.series_ref(0), batch.series_ref(1)), (SeriesRef(0), SeriesRef(7)));
        batch.push_known(SeriesRef(9));
        for start in 0..5 {
            let singly = (start..3).map(|index| batch.entry(index).unwrap());
            assert_eq!(batch.entries_from(start).collect::<Vec<_>>(), singly.collect::<Vec<_>>());
        }
    }
}
