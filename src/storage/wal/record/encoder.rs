//! Samples of any kind into records.

use crate::model::Value;
use crate::model::histogram::{CountsRef, HistogramRef};
use crate::series::SeriesRef;

use super::histogram::put_histogram;
use super::kind::RecordKind;
use super::place::{Place, put_based, put_chained};

/// Sorts the samples of one commit into records, since each record holds one kind of value.
/// Reused from commit to commit.
#[derive(Debug)]
pub struct RowEncoder {
    with_starts: bool,
    /// In the order of the log: floats, then histograms of whole numbers with computed and with
    /// listed bounds, then those of floats.
    sorts: [Sort; 5],
}

/// The record that is being put together for one kind of value.
#[derive(Debug)]
struct Sort {
    kind: RecordKind,
    bytes: Vec<u8>,
    /// What later rows refer to.
    first: Option<Place>,
    /// The row before; only with starts.
    previous: Option<Place>,
}

impl RowEncoder {
    /// Starts are kept if `with_starts`, else left out: only Prometheus 3.10 and later read the
    /// records that hold them.
    #[must_use]
    pub fn new(with_starts: bool) -> Self {
        use RecordKind as K;
        let kinds = if with_starts {
            [
                K::SamplesV2,
                K::HistogramSamplesV2,
                K::HistogramSamplesV2,
                K::FloatHistogramSamplesV2,
                K::FloatHistogramSamplesV2,
            ]
        } else {
            [
                K::Samples,
                K::HistogramSamples,
                K::CustomBucketsHistogramSamples,
                K::FloatHistogramSamples,
                K::CustomBucketsFloatHistogramSamples,
            ]
        };
        let sort = |kind| Sort { kind, bytes: Vec::new(), first: None, previous: None };
        Self { with_starts, sorts: kinds.map(sort) }
    }

    /// Adds a sample.
    #[inline]
    pub fn push(&mut self, series: SeriesRef, timestamp_ms: i64, start_ms: i64, value: Value<'_>) {
        match value {
            Value::Float(value) => self.push_float(series, timestamp_ms, start_ms, value),
            Value::Histogram(histogram) => {
                self.push_histogram(series, timestamp_ms, start_ms, histogram);
            }
        }
    }

    /// Adds a float.
    #[inline]
    pub fn push_float(&mut self, series: SeriesRef, timestamp_ms: i64, start_ms: i64, value: f64) {
        let [floats, ..] = &mut self.sorts;
        floats.begin_row(Place { series, timestamp_ms, start_ms });
        floats.bytes.extend_from_slice(&value.to_bits().to_be_bytes());
    }

    /// Adds a histogram.
    pub fn push_histogram(
        &mut self,
        series: SeriesRef,
        timestamp_ms: i64,
        start_ms: i64,
        histogram: HistogramRef<'_>,
    ) {
        let place = Place { series, timestamp_ms, start_ms };
        let [_, integers, custom_integers, floats, custom_floats] = &mut self.sorts;
        let (all, custom) = match histogram.counts {
            CountsRef::Integer { .. } => (integers, custom_integers),
            CountsRef::Float { .. } => (floats, custom_floats),
        };
        let sort = if histogram.layout.is_custom() && !self.with_starts {
            // The other record takes its base from the first histogram of either sort, as
            // `Encoder.HistogramSamples` does.
            all.first.get_or_insert(place);
            custom
        } else {
            all
        };
        sort.begin_row(place);
        put_histogram(&mut sort.bytes, histogram);
    }

    /// True if nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sorts.iter().all(|sort| sort.bytes.is_empty())
    }

    /// Hands out the records in the order in which they are logged, and begins anew.
    pub fn finish(&mut self, mut each: impl FnMut(&[u8])) {
        for sort in &mut self.sorts {
            if !sort.bytes.is_empty() {
                each(&sort.bytes);
            }
            sort.clear();
        }
    }
}

/// Buffers of more than this are not kept for the next commit.
const KEPT_BYTES_MAX: usize = 4 << 20;

impl Sort {
    fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
        self.first = None;
        self.previous = None;
    }

    /// Puts everything of a row that stands before its value.
    #[inline]
    fn begin_row(&mut self, place: Place) {
        let is_first = self.bytes.is_empty();
        if is_first {
            self.bytes.push(self.kind.byte());
        }
        let first = *self.first.get_or_insert(place);
        if self.kind.has_starts() {
            put_chained(&mut self.bytes, self.previous.as_ref().map(|row| (&first, row)), &place);
            self.previous = Some(place);
            return;
        }
        if is_first {
            self.bytes.extend_from_slice(&first.series.0.to_be_bytes());
            self.bytes.extend_from_slice(&first.timestamp_ms.to_be_bytes());
        }
        put_based(&mut self.bytes, (first.series, first.timestamp_ms), &place);
    }
}
