//! Late samples on their way in, and out into blocks.
//!
//! Their own log, the folder `wbl`, is told behind the log of all samples and names no series. It
//! has the samples in the order in which they were gathered, and a marker for every chunk that
//! was mapped: what stands before it of that series is in the chunk.
//!
//! Whoever changes late samples holds the lock of their log, so that the two agree.

use std::path::Path;
use std::sync::Arc;

use parking_lot::MutexGuard;

use crate::base::metrics::Registry;
use crate::chunk::{self, EncodeOptions};
use crate::disk::SharedDisk;
use crate::model::{Column, Value};
use crate::series::{AppendError, Batch, Chunk, QueryError, SeriesRef, TimeRange};
use crate::storage::wal::{
    self, Compression, Records, RowEncoder, Wal, WalError, WalMetrics, WalOptions,
};

use super::append::Work;
use super::closed::Closed;
use super::delete::HeadTombstones;
use super::mapped::{ChunkFiles, ChunkRef};
use super::ooo::{OooSeries, read_merged};
use super::page::Page;
use super::rows::LateRow;
use super::state::Head;
use super::symbols::SharedLabels;

/// The log of late samples; without a file, they live as long as the process.
#[derive(Debug)]
pub(super) struct LateLog {
    wal: Option<Wal>,
    records: Records,
    encoder: RowEncoder,
}

impl LateLog {
    /// No log yet. Starts are kept if `with_starts`.
    pub(super) fn new(compression: Compression, with_starts: bool) -> Self {
        let (records, encoder) = (Records::new(compression), RowEncoder::new(with_starts));
        Self { wal: None, records, encoder }
    }

    /// Begins a new segment of the log in `dir`.
    pub(super) fn open(
        &mut self,
        disk: &SharedDisk,
        dir: &Path,
        options: WalOptions,
        registry: &Registry,
    ) -> Result<(), WalError> {
        let metrics = WalMetrics::out_of_order(registry);
        self.wal = Some(Wal::open(disk.clone(), dir, options, &metrics)?);
        Ok(())
    }

    /// Ends the log.
    pub(super) fn close(&mut self) -> Result<(), WalError> {
        self.wal.take().map_or(Ok(()), Wal::close)
    }

    /// Bytes of the log on disk.
    pub(super) fn size_bytes(&self) -> Result<u64, WalError> {
        self.wal.as_ref().map_or(Ok(0), Wal::size_bytes)
    }

    /// Writes what was put together, as lasting as the options say.
    fn flush(&mut self) -> Result<(), WalError> {
        self.records.add_rows(&mut self.encoder);
        let Some(wal) = self.wal.as_mut().filter(|_| !self.records.is_empty()) else {
            self.records.clear();
            return Ok(());
        };
        let logged = wal.log_packed(&mut self.records);
        self.records.clear();
        wal.syncer().commit(logged?)
    }

    /// Notes that late samples were mapped, and tells again what each series has behind that.
    fn mark(&mut self, mapped: &[Mapped]) {
        if mapped.is_empty() || self.wal.is_none() {
            return;
        }
        let rows = mapped.iter();
        let rows = rows.flat_map(|one| one.refs.iter().map(|at| (one.series, at.0)));
        self.records.add(|out| wal::encode_mmap_markers(out, rows));
        for Mapped { series, left, .. } in mapped {
            for (time_ms, start_ms, value) in left.samples() {
                self.encoder.push(*series, time_ms, start_ms, value);
            }
        }
        // Without the markers a start gathers the samples again though they are in a chunk.
        if let Err(error) = self.flush() {
            tracing::warn!(%error, "late samples that were mapped stay in their log");
        }
    }
}

/// Samples of a series that were mapped.
struct Mapped {
    series: SeriesRef,
    refs: Vec<ChunkRef>,
    /// What was gathered since.
    left: Column,
}

impl Head {
    /// The value of a late row.
    pub(super) fn late_value<'a>(&'a self, row: &LateRow, batch: &'a Batch) -> Option<Value<'a>> {
        match row.source {
            None => batch.samples().get(row.index).map(|sample| Value::Float(sample.value)),
            Some(source) => self.stales.resolve(source, batch).map(Value::Histogram),
        }
    }

    /// Writes the late rows to their log; the answer, if there are some, is for
    /// [`Head::store_late`].
    pub(super) fn log_late(
        &self,
        work: &Work,
        batch: &Batch,
    ) -> Result<Option<MutexGuard<'_, LateLog>>, AppendError> {
        if work.late.is_empty() {
            return Ok(None);
        }
        let mut log = self.late_log.lock();
        for row in &work.late {
            if let Some(value) = self.late_value(row, batch) {
                log.encoder.push(row.series, row.timestamp_ms, row.start_ms, value);
            }
        }
        log.flush().map_err(|error| AppendError::Log(error.to_string()))?;
        Ok(Some(log))
    }

    /// Puts the late rows among the late samples.
    pub(super) fn store_late(&self, mut log: MutexGuard<'_, LateLog>, work: &Work, batch: &Batch) {
        let (mut floats, mut histograms) = (0, 0);
        let mut span = TimeRange::new(i64::MAX, i64::MIN);
        let mut mapped = Vec::new();
        self.series.for_rows(
            &work.late,
            |row| row.series,
            |series, row| {
                let Some((series, value)) = series.zip(self.late_value(row, batch)) else { return };
                let late = series.late_mut();
                if !self.insert_late(late, (row.timestamp_ms, row.start_ms, value)) {
                    return;
                }
                match value {
                    Value::Float(_) => floats += 1,
                    Value::Histogram(_) => histograms += 1,
                }
                span.start_ms = span.start_ms.min(row.timestamp_ms);
                span.end_ms = span.end_ms.max(row.timestamp_ms);
                mapped.extend(self.close_late_if_full(late, row.series));
            },
        );
        for one in &mut mapped {
            let left = |series: &mut super::series::Series| {
                series.late().map(|late| late.samples.column().clone())
            };
            one.left = self.series.with(one.series, left).flatten().unwrap_or_default();
        }
        log.mark(&mapped);
        if floats + histograms > 0 {
            self.bounds.widen_late(span);
            self.metrics.late_appended(floats, histograms);
        }
    }

    /// Adds one sample to the late ones of its series; false if there was one of its time.
    pub(super) fn insert_late(
        &self,
        late: &mut OooSeries,
        (time_ms, start_ms, value): (i64, i64, Value<'_>),
    ) -> bool {
        let before = late.chunk_count();
        let is_new = late.samples.insert(time_ms, start_ms, value);
        self.count_late_chunks(late.chunk_count() - before);
        is_new
    }

    fn count_late_chunks(&self, created: usize) {
        if created > 0 {
            self.metrics.chunks_created.add(created as u64);
            self.metrics.chunks.add(created as f64);
        }
    }

    fn close_late_if_full(&self, late: &mut OooSeries, series: SeriesRef) -> Option<Mapped> {
        let is_full = late.samples.is_full(self.options.late_samples_max);
        if is_full { self.close_late(late, series) } else { None }
    }

    /// Makes chunks of the gathered samples of a series if they are as many as there may be.
    pub(super) fn close_late_quietly(&self, late: &mut OooSeries, series: SeriesRef) {
        if late.samples.is_full(self.options.late_samples_max) {
            self.close_late(late, series);
        }
    }

    /// Makes chunks of the gathered samples of a series; says so if all are in files.
    fn close_late(&self, late: &mut OooSeries, series: SeriesRef) -> Option<Mapped> {
        if late.samples.len() == 0 {
            return None;
        }
        let before = late.chunk_count();
        let chunks_before = late.chunks.len();
        let closed = late.close_samples(series, self.files.as_deref(), &self.options.encode());
        self.count_late_chunks(late.chunk_count().saturating_sub(before));
        match closed {
            Ok(refs) if refs.len() == late.chunks.len() - chunks_before => {
                Some(Mapped { series, refs, left: Column::new() })
            }
            Ok(_) => None,
            Err(error) => {
                tracing::error!(%error, "late samples that were taken make no chunk");
                None
            }
        }
    }

    /// Makes chunks of all gathered samples, which no log of late samples has.
    pub(super) fn close_all_late(&self) {
        self.series.for_each(|name, series| {
            if let Some(late) = series.late_if_any() {
                self.close_late(late, name);
            }
        });
        if let Some(Err(error)) = self.files.as_ref().map(|files| files.flush()) {
            tracing::warn!(%error, "late samples stay in memory");
        }
    }

    /// First and last time of late samples.
    pub(in crate::storage) fn ooo_span(&self) -> Option<TimeRange> {
        self.bounds.late_span()
    }

    /// Begins to make blocks of the late samples: all that there are now are in chunks afterwards,
    /// for [`Head::ooo_series_in`] to read. Later ones do not belong to the cut.
    ///
    /// # Errors
    /// The disk's answer; nothing has changed.
    pub(in crate::storage) fn cut_ooo(&self) -> Result<OooCut, WalError> {
        let mut log = self.late_log.lock();
        let segment = log.wal.as_mut().map(Wal::cut).transpose()?;
        let mut mapped = Vec::new();
        self.series.for_each(|name, series| {
            if let Some(late) = series.late_if_any() {
                mapped.extend(self.close_late(late, name));
                late.cut_count = late.chunks.len();
            }
        });
        log.mark(&mapped);
        Ok(OooCut { segment, span: self.ooo_span() })
    }

    /// Every series that has late samples in `range` in the chunks of the last cut, in label
    /// order.
    pub(in crate::storage) fn ooo_series_in(&self, range: TimeRange) -> Vec<OooSeriesChunks> {
        let mut found = Vec::new();
        for (number, page) in self.series.pages() {
            for (series, samples) in page.lock().iter_mut(number) {
                let is_wanted = |late: &OooSeries| {
                    late.chunks.iter().take(late.cut_count).any(|c| c.range().overlaps(range))
                };
                if samples.late().is_some_and(is_wanted) {
                    let (labels, page) = (samples.labels.clone(), Arc::clone(&page));
                    let (files, options) = (self.files.clone(), self.options.encode());
                    let tombstones = Arc::clone(&self.tombstones);
                    let of = (files, tombstones, options);
                    found.push(OooSeriesChunks { series, labels, page, of });
                }
            }
        }
        found.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        found
    }

    /// Forgets the late samples of a cut, which are in blocks now.
    ///
    /// # Errors
    /// The disk's answer; the samples are forgotten all the same, and found again at the next
    /// start.
    pub(in crate::storage) fn truncate_ooo(&self, cut: OooCut) -> Result<(), WalError> {
        let mut log = self.late_log.lock();
        let mut removed = 0;
        let mut left: Option<TimeRange> = None;
        self.series.for_each(|_, series| {
            let Some(late) = series.late_if_any() else { return };
            removed += late.drop_cut();
            let spans = left.into_iter().chain(late.span());
            left = spans
                .reduce(|a, b| TimeRange::new(a.start_ms.min(b.start_ms), a.end_ms.max(b.end_ms)));
        });
        self.bounds.set_late(left);
        self.metrics.chunks_removed.add(removed as u64);
        self.metrics.chunks.add(-(removed as f64));
        let truncated = log.wal.as_mut().zip(cut.segment);
        let truncated = truncated.map_or(Ok(()), |(wal, segment)| wal.remove_before(segment));
        drop(log);
        self.truncate_files();
        truncated
    }
}

/// Late samples that blocks are being made of.
#[derive(Debug)]
#[must_use = "the samples stay until `truncate_ooo`"]
pub(in crate::storage) struct OooCut {
    /// What stands before it in the log of late samples is in the chunks.
    segment: Option<u32>,
    /// First and last time of the samples.
    pub(in crate::storage) span: Option<TimeRange>,
}

/// A series whose late chunks are wanted.
#[derive(Debug)]
pub(in crate::storage) struct OooSeriesChunks {
    series: SeriesRef,
    labels: SharedLabels,
    page: Arc<Page>,
    /// What the head shares.
    of: (Option<Arc<ChunkFiles>>, Arc<HeadTombstones>, EncodeOptions),
}

impl OooSeriesChunks {
    pub(in crate::storage) const fn labels(&self) -> &SharedLabels {
        &self.labels
    }

    /// Appends the late samples of the cut in `range` as chunks that do not overlap.
    pub(in crate::storage) fn copy_into(
        &self,
        range: TimeRange,
        into: &mut Vec<Chunk>,
    ) -> Result<(), QueryError> {
        let mut parts: Vec<Closed> = Vec::new();
        if let Some(late) = self.page.lock().get(self.series).and_then(|series| series.late()) {
            let cut = late.chunks.iter().take(late.cut_count);
            parts.extend(cut.filter(|part| part.range().overlaps(range)).cloned());
        }
        let (files, tombstones, options) = &self.of;
        let files = files.as_ref().map(|files| files.view());
        let chunks: Result<Vec<Chunk>, _> =
            parts.into_iter().map(|part| part.load(files.as_ref())).collect();
        let mut column = Column::new();
        let corrupt =
            |error| QueryError::Corrupt(format!("late chunk of {}: {error}", self.labels));
        read_merged(&chunks?, range, &mut column).map_err(corrupt)?;
        tombstones.apply(self.series, &mut column, 0);
        encode(&column, options, into).map_err(corrupt)
    }
}

/// Appends all samples of a column as chunks.
pub(super) fn encode(
    column: &Column,
    options: &EncodeOptions,
    into: &mut Vec<Chunk>,
) -> Result<(), chunk::ChunkError> {
    chunk::encode_column(column, 0..column.len(), options, &mut |chunk| {
        let chunk::EncodedChunk { min_time_ms, max_time_ms, encoding, data } = chunk;
        into.push(Chunk { min_time_ms, max_time_ms, encoding, data });
    })
}

impl HeadTombstones {
    /// Removes the samples of a series from `from` on that are deleted.
    fn apply(&self, series: SeriesRef, column: &mut Column, from: usize) {
        if !self.is_empty() {
            super::delete::apply(column, from, &self.of(series));
        }
    }
}
