//! Samples on their way from the log to the chunks, sorted by series so that cores share them.

use std::thread;

use rayon::prelude::*;

use crate::model::histogram::Histogram;
use crate::model::{Value, is_stale};
use crate::series::{SeriesRef, TimeRange};
use crate::storage::wal::SampleRow;

use super::super::append::Tally;
use super::super::page::page_of;
use super::super::rows::Row;
use super::super::series::{SampleKind, Series};
use super::super::state::Head;
use super::super::symbols::SharedLabels;

/// Samples in a full set of heaps: 1 MiB of floats.
pub(super) const SET_SAMPLES: usize = 1 << 15;
/// A histogram counts as so many samples, besides its buckets.
const HISTOGRAM_SAMPLES: usize = 4;
/// More cores than this hardly shorten a replay, since one of them reads.
const HEAPS_MAX: usize = 8;

/// A histogram, and how many floats of its heap stand before it.
#[derive(Debug)]
struct HistogramRow {
    floats_before: usize,
    series: SeriesRef,
    timestamp_ms: i64,
    start_ms: i64,
    histogram: Histogram,
}

/// Samples of some series, in the order of the log.
#[derive(Debug, Default)]
struct Heap {
    floats: Vec<Row>,
    histograms: Vec<HistogramRow>,
}

/// One heap for each core, and series that the label index does not have yet.
#[derive(Debug)]
pub(super) struct HeapSet {
    heaps: Vec<Heap>,
    weight: usize,
    pub(super) created: Vec<(SeriesRef, SharedLabels)>,
}

impl HeapSet {
    pub(super) fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let heaps = (0..cores.min(HEAPS_MAX)).map(|_| Heap::default()).collect();
        Self { heaps, weight: 0, created: Vec::new() }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.weight >= SET_SAMPLES
    }

    /// Adds a float.
    #[inline]
    pub(super) fn push_float(&mut self, row: Row) {
        // Neighbours stay together: they stand in one page.
        let heaps = self.heaps.len().max(1) as u64;
        if let Some(heap) = self.heaps.get_mut((page_of(row.series) % heaps) as usize) {
            heap.floats.push(row);
            self.weight += 1;
        }
    }

    /// Adds a histogram.
    pub(super) fn push_histogram(&mut self, row: &SampleRow<'_>) {
        let Value::Histogram(histogram) = row.value else { return };
        let heaps = self.heaps.len().max(1) as u64;
        if let Some(heap) = self.heaps.get_mut((page_of(row.series) % heaps) as usize) {
            heap.histograms.push(HistogramRow {
                floats_before: heap.floats.len(),
                series: row.series,
                timestamp_ms: row.timestamp_ms,
                start_ms: row.start_ms,
                histogram: histogram.to_owned(),
            });
            self.weight += HISTOGRAM_SAMPLES + histogram.counts.bucket_len();
        }
    }
}

/// What became of some samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct Applied {
    pub(super) floats: u64,
    pub(super) histograms: u64,
    pub(super) out_of_order: u64,
    pub(super) late: u64,
    pub(super) unknown: u64,
    pub(super) chunks: u64,
    pub(super) span: TimeRange,
    pub(super) late_span: TimeRange,
}

const NO_TIME: TimeRange = TimeRange::new(i64::MAX, i64::MIN);

impl Default for Applied {
    fn default() -> Self {
        Self {
            floats: 0,
            histograms: 0,
            out_of_order: 0,
            late: 0,
            unknown: 0,
            chunks: 0,
            span: NO_TIME,
            late_span: NO_TIME,
        }
    }
}

impl Applied {
    pub(super) fn add(self, other: Self) -> Self {
        Self {
            floats: self.floats + other.floats,
            histograms: self.histograms + other.histograms,
            out_of_order: self.out_of_order + other.out_of_order,
            late: self.late + other.late,
            unknown: self.unknown + other.unknown,
            chunks: self.chunks + other.chunks,
            span: both(self.span, other.span),
            late_span: both(self.late_span, other.late_span),
        }
    }
}

fn both(a: TimeRange, b: TimeRange) -> TimeRange {
    TimeRange::new(a.start_ms.min(b.start_ms), a.end_ms.max(b.end_ms))
}

impl Head {
    /// Puts a set of heaps into the chunks, each heap on a core of its own, and empties it. If
    /// chunks may be missing from the files (`has_holes`), what falls between those that are
    /// there is kept among the late samples.
    pub(super) fn apply(&self, set: &mut HeapSet, has_holes: bool) -> Applied {
        let HeapSet { heaps, weight, created } = set;
        let apply = |heap: &mut Heap| self.apply_heap(heap, has_holes);
        let applied = if *weight < SET_SAMPLES / 4 {
            self.postings.add_all(created);
            heaps.iter_mut().map(apply).fold(Applied::default(), Applied::add)
        } else {
            let into_postings = || self.postings.add_all(created);
            let all = || heaps.par_iter_mut().map(apply).reduce(Applied::default, Applied::add);
            rayon::join(all, into_postings).0
        };
        created.clear();
        *weight = 0;
        self.note_begun(applied.chunks);
        applied
    }

    fn apply_heap(&self, heap: &mut Heap, has_holes: bool) -> Applied {
        let mut applied = Applied::default();
        let mut tally = Tally::default();
        let mut start = 0;
        for row in &heap.histograms {
            let floats = heap.floats.get(start..row.floats_before).unwrap_or_default();
            self.apply_floats(floats, has_holes, &mut applied, &mut tally);
            start = row.floats_before;
            let known = self.series.with(row.series, |series| {
                let (time_ms, start_ms) = (row.timestamp_ms, row.start_ms);
                let one = row.histogram.as_ref();
                let options = &self.options.chunks();
                let stored = series.store_histogram(time_ms, start_ms, one, options);
                let count = tally.count(time_ms, stored);
                applied.histograms += count;
                if count == 0 {
                    let sample = (time_ms, start_ms, Value::Histogram(one));
                    self.leave_out(series, row.series, sample, has_holes, &mut applied);
                }
            });
            applied.unknown += u64::from(known.is_none());
        }
        let floats = heap.floats.get(start..).unwrap_or_default();
        self.apply_floats(floats, has_holes, &mut applied, &mut tally);
        heap.floats.clear();
        heap.histograms.clear();
        applied.chunks = tally.begun;
        applied.span = tally.span.range();
        applied
    }

    fn apply_floats(
        &self,
        rows: &[Row],
        has_holes: bool,
        applied: &mut Applied,
        tally: &mut Tally,
    ) {
        let options = &self.options.chunks();
        self.series.for_rows(
            rows,
            |row| row.series,
            |series, row| {
                let Some(series) = series else {
                    applied.unknown += 1;
                    return;
                };
                let (time_ms, value) = (row.sample.timestamp_ms, row.sample.value);
                let stored = match self.stale_of(series, value) {
                    None => series.store_float(time_ms, row.start_ms, value, options),
                    Some(stale) => {
                        series.store_histogram(time_ms, row.start_ms, stale.as_ref(), options)
                    }
                };
                let count = tally.count(time_ms, stored);
                applied.floats += count;
                if count == 0 {
                    let sample = (time_ms, row.start_ms, Value::Float(value));
                    self.leave_out(series, row.series, sample, has_holes, applied);
                }
            },
        );
    }

    /// The histogram that a staleness marker stands for: Prometheus logs the float.
    #[inline]
    fn stale_of(&self, series: &Series, value: f64) -> Option<Histogram> {
        if !is_stale(value) {
            return None;
        }
        match series.newest.kind() {
            Some(SampleKind::IntegerHistogram) => Some(Histogram::stale(false)),
            Some(SampleKind::FloatHistogram) => Some(Histogram::stale(true)),
            Some(SampleKind::Float) | None => None,
        }
    }

    /// Notes a sample that is no newer than the newest of its series.
    #[cold]
    fn leave_out(
        &self,
        series: &mut Series,
        name: SeriesRef,
        sample: (i64, i64, Value<'_>),
        has_holes: bool,
        applied: &mut Applied,
    ) {
        let here = TimeRange::new(sample.0, sample.0);
        if !has_holes || series.overlaps(here) {
            applied.out_of_order += 1;
            return;
        }
        let late = series.late_mut();
        self.close_late_quietly(late, name);
        if self.insert_late(late, sample) {
            applied.late += 1;
            applied.late_span = both(applied.late_span, here);
        }
    }
}
