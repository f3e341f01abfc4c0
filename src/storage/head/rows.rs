//! What of a batch may stay, until it is logged and stored.

use crate::model::Sample;
use crate::series::SeriesRef;
use crate::storage::wal::{self, SampleRecords};

use super::series::Source;

/// Memory of a batch of which so many samples had to wait is not kept for the next one.
const KEPT_ROWS_MAX: usize = 1 << 16;

/// A float that is not stored yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) series: SeriesRef,
    pub(super) sample: Sample,
    pub(super) start_ms: i64,
}

/// A histogram.
#[derive(Debug, Clone, Copy)]
pub(super) struct HistogramRow {
    pub(super) series: SeriesRef,
    pub(super) timestamp_ms: i64,
    pub(super) start_ms: i64,
    pub(super) source: Source,
}

/// A late sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct LateRow {
    pub(super) series: SeriesRef,
    /// Which sample of the batch it is.
    pub(super) index: usize,
    pub(super) timestamp_ms: i64,
    pub(super) start_ms: i64,
    /// Nothing for a float.
    pub(super) source: Option<Source>,
}

/// The samples that came in order, in parts: inside of a part a series has samples of one kind.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// All floats, as the log has them; none where floats have starts.
    pub(super) floats: SampleRecords,
    /// Floats that were not stored at once.
    pub(super) waiting: Vec<Row>,
    pub(super) histograms: Vec<HistogramRow>,
    /// Where the parts end.
    parts: Vec<Ends>,
}

/// Where a part ends in the lists of rows.
#[derive(Debug, Clone, Copy, Default)]
struct Ends {
    floats: usize,
    waiting: usize,
    histograms: usize,
}

/// The rows of a part.
pub(super) struct Part<'a> {
    /// The record of the floats, if there are any.
    pub(super) floats: Option<&'a [u8]>,
    pub(super) waiting: &'a [Row],
    pub(super) histograms: &'a [HistogramRow],
}

impl Rows {
    pub(super) fn clear(&mut self) {
        self.floats.clear();
        self.waiting.clear();
        self.histograms.clear();
        self.parts.clear();
    }

    /// True if there is no row.
    pub(super) fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.waiting.is_empty() && self.histograms.is_empty()
    }

    /// True if the memory is worth keeping.
    pub(super) const fn is_small(&self) -> bool {
        self.waiting.capacity() <= KEPT_ROWS_MAX && self.histograms.capacity() <= KEPT_ROWS_MAX
    }

    /// Ends a part.
    pub(super) fn end_part(&mut self) {
        self.floats.end_record();
        self.parts.push(Ends {
            floats: self.floats.len(),
            waiting: self.waiting.len(),
            histograms: self.histograms.len(),
        });
    }

    /// The parts that were ended.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let mut start = Ends::default();
        let mut records = self.floats.iter();
        self.parts.iter().map(move |&end| {
            let histograms = self.histograms.get(start.histograms..end.histograms);
            let part = Part {
                floats: if end.floats > start.floats { records.next() } else { None },
                waiting: self.waiting.get(start.waiting..end.waiting).unwrap_or_default(),
                histograms: histograms.unwrap_or_default(),
            };
            start = end;
            part
        })
    }

    /// The series of all rows.
    pub(super) fn series(&mut self) -> Vec<SeriesRef> {
        self.floats.end_record();
        let mut found: Vec<SeriesRef> = self.waiting.iter().map(|row| row.series).collect();
        found.extend(self.histograms.iter().map(|row| row.series));
        for record in self.floats.iter() {
            if let Err(error) = wal::decode_samples(record, |series, _| found.push(series)) {
                tracing::error!(%error, "a record that was just put together cannot be read");
            }
        }
        found
    }
}
