//! Handing samples in, a batch at a time.

use std::fmt;

use crate::model::{LabelsRef, Sample};

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
#[repr(u8)]
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
    verdicts: Vec<Verdict>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    series: SeriesRef,
    labels_end: usize,
    samples_end: usize,
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

    /// Adds a sample to the series that was started last; without one the sample is dropped.
    #[inline]
    pub fn push_sample(&mut self, timestamp_ms: i64, value: f64) {
        if let Some(entry) = self.entries.last_mut() {
            self.samples.push(Sample { timestamp_ms, value });
            entry.samples_end = self.samples.len();
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
    }
}
