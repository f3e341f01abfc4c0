//! One series: its labels, its closed chunks, and the chunk that still grows.

use crate::chunk::{self, Encoding, OpenChunk};
use crate::model::Value;
use crate::model::histogram::{Histogram, HistogramRef};
use crate::series::{Batch, Chunk, Column, QueryError, SeriesRef, TimeRange};

use super::closed::Closed;
use super::isolation::{NO_BATCH, OpenBatch, Reader};
use super::mapped::{ChunkFiles, FilesView, MappedError};
use super::ooo::OooSeries;
use super::symbols::SharedLabels;

/// The newest sample that was promised a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Newest {
    pub(super) timestamp_ms: i64,
    pub(super) value: NewestValue,
}

/// What was promised a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum NewestValue {
    /// Nothing.
    Nothing,
    Float(f64),
    /// The last sample of the open chunk.
    Histogram {
        is_float: bool,
    },
    /// The last sample of a closed chunk.
    Closed(SampleKind),
    /// A histogram that is on its way.
    Promised(Source),
}

/// Where a histogram comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The sample of this index in the batch.
    Batch { index: u32, is_float: bool },
    /// A staleness marker that came as a float.
    Stale { is_float: bool },
}

impl Source {
    pub(super) const fn is_float(self) -> bool {
        match self {
            Self::Batch { is_float, .. } | Self::Stale { is_float } => is_float,
        }
    }
}

/// The staleness markers that stand for floats.
#[derive(Debug)]
pub(super) struct Stales {
    integer: Histogram,
    float: Histogram,
}

impl Stales {
    pub(super) fn new() -> Self {
        Self { integer: Histogram::stale(false), float: Histogram::stale(true) }
    }

    /// The histogram that a source means.
    pub(super) fn resolve<'a>(
        &'a self,
        source: Source,
        batch: &'a Batch,
    ) -> Option<HistogramRef<'a>> {
        match source {
            Source::Batch { index, .. } => batch.histogram(index as usize),
            Source::Stale { is_float: false } => Some(self.integer.as_ref()),
            Source::Stale { is_float: true } => Some(self.float.as_ref()),
        }
    }
}

/// What kind of samples there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SampleKind {
    Float,
    IntegerHistogram,
    FloatHistogram,
}

impl SampleKind {
    pub(super) const fn histogram(is_float: bool) -> Self {
        if is_float { Self::FloatHistogram } else { Self::IntegerHistogram }
    }

    /// The kind of the samples of a chunk; chunks of unknown encodings have none that matters.
    fn of_encoding(encoding: u8) -> Self {
        match Encoding::try_from(encoding) {
            Ok(Encoding::Histogram | Encoding::HistogramSt) => Self::IntegerHistogram,
            Ok(Encoding::FloatHistogram | Encoding::FloatHistogramSt) => Self::FloatHistogram,
            Ok(Encoding::Xor | Encoding::Xor2) | Err(_) => Self::Float,
        }
    }
}

impl Newest {
    const NOTHING: Self = Self { timestamp_ms: i64::MIN, value: NewestValue::Nothing };

    #[inline]
    pub(super) const fn kind(&self) -> Option<SampleKind> {
        match self.value {
            NewestValue::Nothing => None,
            NewestValue::Float(_) => Some(SampleKind::Float),
            NewestValue::Histogram { is_float } => Some(SampleKind::histogram(is_float)),
            NewestValue::Closed(kind) => Some(kind),
            NewestValue::Promised(source) => Some(SampleKind::histogram(source.is_float())),
        }
    }
}

/// What hardly any series has.
#[derive(Debug, Default)]
struct Rare {
    /// Batches before the last one that a reader may not see, and their samples here.
    hidden: Vec<(u64, u32)>,
    late: OooSeries,
}

/// A series that is held in memory.
///
/// What a sample touches lies in the first two of three lines of cache, and judging it touches
/// only the first: with many series, waiting for memory is what most of the time goes to.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Series {
    /// It runs ahead of the open chunk while a batch is on its way through the log.
    pub(super) newest: Newest,
    /// The batch that brought the last samples or is about to.
    batch: u64,
    /// How many samples it brought so far.
    batch_samples: u32,
    /// The log names the series.
    pub(super) is_logged: bool,
    /// The end of the open chunk of histograms was estimated.
    pub(super) has_estimate: bool,
    /// Where the open chunk is to end.
    pub(super) next_cut_ms: i64,
    /// Hash of the labels.
    pub(super) hash: u64,
    rare: Option<Box<Rare>>,
    pub(super) open: Option<OpenChunk>,
    pub(super) labels: SharedLabels,
    pub(super) closed: Vec<Closed>,
}

impl Series {
    /// A series without samples; `hash` is that of its labels.
    pub(super) const fn new(hash: u64, labels: SharedLabels) -> Self {
        Self {
            hash,
            labels,
            newest: Newest::NOTHING,
            batch: NO_BATCH,
            batch_samples: 0,
            is_logged: false,
            has_estimate: false,
            next_cut_ms: 0,
            open: None,
            closed: Vec::new(),
            rare: None,
        }
    }

    /// Makes the series one of the batch's, which must be allowed to follow the one before.
    #[inline]
    pub(super) fn claim(&mut self, batch: &OpenBatch<'_>) {
        if self.batch == batch.number {
            return;
        }
        if self.rare.is_some() || batch.must_remember(self.batch) {
            self.remember(batch);
        }
        (self.batch, self.batch_samples) = (batch.number, 0);
    }

    /// True if the log names the series and the batch may have it, without anything to be
    /// remembered of the batches before.
    #[inline]
    pub(super) const fn is_free_for(&self, batch: &OpenBatch<'_>) -> bool {
        self.is_logged && self.rare.is_none() && batch.follows_unseen(self.batch)
    }

    /// As [`Series::claim`], of a series that is free for the batch, and with one sample stored.
    #[inline]
    pub(super) const fn claim_for_one(&mut self, batch: &OpenBatch<'_>) {
        (self.batch, self.batch_samples) = (batch.number, 1);
    }

    /// Notes which batches before the one that comes now some reader may not see.
    #[cold]
    fn remember(&mut self, batch: &OpenBatch<'_>) {
        let rare = self.rare.get_or_insert_default();
        rare.hidden.retain(|(before, _)| batch.must_remember(*before));
        if batch.must_remember(self.batch) {
            rare.hidden.push((self.batch, self.batch_samples));
        } else if rare.hidden.is_empty() {
            rare.hidden = Vec::new();
        }
    }

    /// The last batch that claimed the series.
    #[inline]
    pub(super) const fn batch(&self) -> u64 {
        self.batch
    }

    /// Takes back every promise of the batch, if it has claimed the series, and every sample that
    /// was stored at once.
    pub(super) fn take_back(&mut self, batch: &OpenBatch<'_>) {
        if self.batch != batch.number {
            return;
        }
        if self.batch_samples > 0
            && let Some(OpenChunk::Xor(open)) = &mut self.open
            && let Err(error) = open.take_back(self.batch_samples)
        {
            tracing::error!(%error, "samples that are in no log are in memory");
        }
        (self.batch, self.batch_samples) = (NO_BATCH, 0);
        self.newest = self.stored_newest();
    }

    /// The newest sample in the chunks that the batch has not brought.
    pub(super) fn newest_before(&self, batch: u64) -> Newest {
        let own = if self.batch == batch { self.batch_samples } else { 0 };
        if own > 0
            && let Some(OpenChunk::Xor(open)) = &self.open
        {
            let mut before = open.clone();
            if before.take_back(own).is_ok() {
                let value = NewestValue::Float(before.last_value());
                return Newest { timestamp_ms: before.max_time_ms(), value };
            }
        }
        self.stored_newest()
    }

    /// Notes that a sample of the batch that claimed the series is stored.
    #[inline]
    pub(super) const fn count_stored(&mut self) {
        self.batch_samples = self.batch_samples.saturating_add(1);
    }

    /// The newest sample in the chunks.
    pub(super) fn stored_newest(&self) -> Newest {
        let Some(open) = &self.open else { return self.closed_newest() };
        let value = match open.last_value() {
            Value::Float(value) => NewestValue::Float(value),
            Value::Histogram(last) => NewestValue::Histogram { is_float: last.counts.is_float() },
        };
        Newest { timestamp_ms: open.max_time_ms(), value }
    }

    fn closed_newest(&self) -> Newest {
        let Some(last) = self.closed.last() else { return Newest::NOTHING };
        let kind = SampleKind::of_encoding(last.encoding());
        Newest { timestamp_ms: last.range().end_ms, value: NewestValue::Closed(kind) }
    }

    /// Notes which sample is the newest after closed chunks were put in.
    pub(super) fn refresh_newest(&mut self) {
        self.newest = self.stored_newest();
    }

    /// True if the last stored sample is this histogram.
    pub(super) fn repeats_last(&self, histogram: HistogramRef<'_>) -> bool {
        let open = self.open.as_ref().and_then(OpenChunk::as_histogram);
        open.is_some_and(|open| open.repeats_last(histogram))
    }

    /// Ends the open chunk.
    pub(super) fn close_chunk(&mut self) {
        let Some(open) = self.open.take() else { return };
        let chunk = Chunk {
            min_time_ms: open.min_time_ms(),
            max_time_ms: open.max_time_ms(),
            encoding: open.encoding() as u8,
            data: open.finish(),
        };
        push_closed(&mut self.closed, chunk);
    }

    /// Moves closed chunks that are in memory to a file; returns how many.
    pub(super) fn map_closed(
        &mut self,
        series: SeriesRef,
        files: &ChunkFiles,
    ) -> Result<usize, MappedError> {
        // Those that were moved before come first.
        let is_mapped = |closed: &Closed| matches!(closed, Closed::Mapped { .. });
        let first = self.closed.iter().rposition(is_mapped).map_or(0, |index| index + 1);
        let mut moved = 0;
        for closed in self.closed.iter_mut().skip(first) {
            closed.map(series, false, files)?;
            moved += 1;
        }
        Ok(moved)
    }

    /// The late samples, if there are any.
    pub(super) fn late(&self) -> Option<&OooSeries> {
        self.rare.as_ref().map(|rare| &rare.late).filter(|late| !late.is_empty())
    }

    /// As [`Series::late`], to be changed if there are any.
    pub(super) fn late_if_any(&mut self) -> Option<&mut OooSeries> {
        self.rare.as_mut().map(|rare| &mut rare.late).filter(|late| !late.is_empty())
    }

    /// The late samples, to be added to.
    pub(super) fn late_mut(&mut self) -> &mut OooSeries {
        &mut self.rare.get_or_insert_default().late
    }

    /// The chunks that overlap `range` as they are now; the open one as a copy.
    pub(super) fn copy_chunks(&self, range: TimeRange, into: &mut Vec<Closed>) {
        // They ascend, and a block is cut of the first: the others are not looked at.
        let behind = self.closed.iter().skip_while(|chunk| chunk.range().end_ms < range.start_ms);
        into.extend(behind.take_while(|chunk| chunk.range().start_ms <= range.end_ms).cloned());
        if let Some(open) = self.open_in(range) {
            into.push(Closed::Memory(Chunk {
                min_time_ms: open.min_time_ms(),
                max_time_ms: open.max_time_ms(),
                encoding: open.encoding() as u8,
                data: open.to_bytes(),
            }));
        }
    }

    /// As [`Series::copy_chunks`]. Returns how many of the newest samples are not for the reader;
    /// all of them are then among those that were copied.
    pub(super) fn copy_for(
        &self,
        reader: &Reader<'_>,
        range: TimeRange,
        into: &mut Vec<Closed>,
    ) -> usize {
        let hidden = self.hidden_from(reader);
        self.copy_chunks(if hidden == 0 { range } else { TimeRange::ALL }, into);
        hidden
    }

    fn hidden_from(&self, reader: &Reader<'_>) -> usize {
        let mut hidden = if reader.sees(self.batch) { 0 } else { self.batch_samples as usize };
        if let Some(rare) = &self.rare {
            let unseen = rare.hidden.iter().filter(|(batch, _)| !reader.sees(*batch));
            hidden += unseen.map(|(_, samples)| *samples as usize).sum::<usize>();
        }
        hidden
    }

    /// How many batches are remembered for readers that may not see them.
    #[cfg(test)]
    pub(super) fn remembered_batches(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| rare.hidden.len())
    }

    fn open_in(&self, range: TimeRange) -> Option<&OpenChunk> {
        let range_of = |open: &OpenChunk| TimeRange::new(open.min_time_ms(), open.max_time_ms());
        self.open.as_ref().filter(|open| range_of(open).overlaps(range))
    }

    /// True if a chunk of samples that came in order overlaps `range`.
    pub(super) fn overlaps(&self, range: TimeRange) -> bool {
        self.open_in(range).is_some() || self.closed.iter().any(|c| c.range().overlaps(range))
    }

    /// True if a chunk of late samples overlaps `range`.
    pub(super) fn has_late_in(&self, range: TimeRange) -> bool {
        self.late().and_then(OooSeries::span).is_some_and(|span| span.overlaps(range))
    }

    /// Time of the first and of the last stored sample, late ones aside.
    pub(super) fn time_span(&self) -> Option<TimeRange> {
        let closed = self.closed.first().zip(self.closed.last());
        let closed = closed.map(|(first, last)| (first.range().start_ms, last.range().end_ms));
        let open = self.open.as_ref().map(|open| (open.min_time_ms(), open.max_time_ms()));
        let (start_ms, end_ms) = (closed.or(open)?.0, open.or(closed)?.1);
        Some(TimeRange::new(start_ms, end_ms))
    }

    /// Drops the chunks that end before `min_time_ms`; returns how many.
    pub(super) fn drop_before(&mut self, min_time_ms: i64) -> usize {
        let before = self.chunk_count();
        self.closed.retain(|chunk| chunk.range().end_ms >= min_time_ms);
        if self.open.as_ref().is_some_and(|open| open.max_time_ms() < min_time_ms) {
            self.open = None;
        }
        if self.chunk_count() < before {
            self.closed.shrink_to_fit();
        }
        // Whatever comes next is newer than the bound, so nothing need be remembered. A promise
        // that is on its way stays.
        if self.open.is_none() && self.newest.timestamp_ms < min_time_ms {
            self.newest = Newest::NOTHING;
        }
        before - self.chunk_count()
    }

    /// How many chunks there are, those of late samples too.
    pub(super) fn chunk_count(&self) -> usize {
        let late = self.late().map_or(0, OooSeries::chunk_count);
        self.closed.len() + usize::from(self.open.is_some()) + late
    }

    /// Bytes that the series takes in memory besides its place in a page.
    pub(super) fn memory_bytes(&self) -> usize {
        let closed: usize = self.closed.iter().map(Closed::heap_bytes).sum();
        let open = self.open.as_ref().map_or(0, |open| open.memory_bytes() - size_of_val(open));
        let closed = self.closed.capacity() * size_of::<Closed>() + closed;
        let late = |rare: &Rare| size_of::<Rare>() + rare.late.heap_bytes();
        let rare = self.rare.as_deref().map_or(0, late);
        self.labels.memory_bytes() + closed + open + rare
    }
}

/// There are few, and a doubled vector would often take more than the chunk.
pub(super) fn push_closed(closed: &mut Vec<Closed>, chunk: Chunk) {
    if closed.len() == closed.capacity() {
        closed.reserve_exact(2);
    }
    closed.push(Closed::Memory(chunk));
}

/// Takes the newest `hidden` samples out of chunks that were copied.
pub(super) fn hide_newest(
    chunks: &mut Vec<Closed>,
    mut hidden: usize,
    files: Option<&FilesView>,
) -> Result<(), QueryError> {
    while hidden > 0
        && let Some(last) = chunks.pop()
    {
        let mut last = last.load(files)?;
        let corrupt = |error| QueryError::Corrupt(format!("chunk in memory: {error}"));
        let count = chunk::sample_count(last.encoding, &last.data).map_err(corrupt)?;
        let count = usize::from(count);
        if count <= hidden {
            hidden -= count;
            continue;
        }
        let mut column = Column::new();
        let all = (i64::MIN, i64::MAX);
        chunk::decode(last.encoding, &last.data, all, &mut column).map_err(corrupt)?;
        let kept = count - hidden;
        let newest_ms = kept.checked_sub(1).and_then(|index| column.timestamps.get(index));
        last.max_time_ms = newest_ms.copied().unwrap_or(last.min_time_ms);
        let mut data = last.data.to_vec();
        if let Some(header) = data.first_chunk_mut() {
            // Chunks of histograms with starts keep two other bits here.
            let others = u16::from_be_bytes(*header) as usize ^ count;
            *header = ((others | kept) as u16).to_be_bytes();
        }
        last.data = data.into();
        chunks.push(Closed::Memory(last));
        break;
    }
    Ok(())
}
