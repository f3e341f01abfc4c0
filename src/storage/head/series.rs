//! One series: its labels, its closed chunks, and the chunk that still grows.

use crate::chunk::{self, ChunkError, OpenChunk};
use crate::model::histogram::{Histogram, HistogramRef};
use crate::model::{Labels, Value};
use crate::series::{Batch, Chunk, Column, TimeRange};

use super::isolation::{NO_BATCH, OpenBatch, Reader};

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
}

impl Newest {
    const NOTHING: Self = Self { timestamp_ms: i64::MIN, value: NewestValue::Nothing };

    #[inline]
    pub(super) const fn kind(&self) -> Option<SampleKind> {
        match self.value {
            NewestValue::Nothing => None,
            NewestValue::Float(_) => Some(SampleKind::Float),
            NewestValue::Histogram { is_float } => Some(SampleKind::histogram(is_float)),
            NewestValue::Promised(source) => Some(SampleKind::histogram(source.is_float())),
        }
    }
}

/// What hardly any series has.
#[derive(Debug, Default)]
struct Rare {
    /// Batches before the last one that a reader may not see, and their samples here.
    hidden: Vec<(u64, u32)>,
}

/// A series that is held in memory.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) labels: Labels,
    /// Hash of the labels.
    pub(super) hash: u64,
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
    pub(super) open: Option<OpenChunk>,
    pub(super) closed: Vec<Chunk>,
    rare: Option<Box<Rare>>,
}

impl Series {
    pub(super) fn new(labels: Labels) -> Self {
        Self {
            hash: labels.as_ref().hash(),
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
        if batch.must_remember(self.batch) {
            let rare = self.rare.get_or_insert_default();
            rare.hidden.push((self.batch, self.batch_samples));
        } else if let Some(rare) = &mut self.rare {
            rare.hidden = Vec::new();
        }
        (self.batch, self.batch_samples) = (batch.number, 0);
    }

    /// The last batch that claimed the series.
    #[inline]
    pub(super) const fn batch(&self) -> u64 {
        self.batch
    }

    /// Takes back every promise of the batch, if it has claimed the series.
    pub(super) fn take_back(&mut self, batch: &OpenBatch<'_>) {
        if self.batch == batch.number {
            self.batch = NO_BATCH;
            self.newest = self.stored_newest();
        }
    }

    /// Notes that a sample of the batch that claimed the series is stored.
    #[inline]
    pub(super) const fn count_stored(&mut self) {
        self.batch_samples = self.batch_samples.saturating_add(1);
    }

    /// The newest sample in the chunks.
    pub(super) fn stored_newest(&self) -> Newest {
        let Some(open) = &self.open else { return Newest::NOTHING };
        let value = match open.last_value() {
            Value::Float(value) => NewestValue::Float(value),
            Value::Histogram(last) => NewestValue::Histogram { is_float: last.counts.is_float() },
        };
        Newest { timestamp_ms: open.max_time_ms(), value }
    }

    /// True if the last stored sample is this histogram.
    pub(super) fn repeats_last(&self, histogram: HistogramRef<'_>) -> bool {
        let open = self.open.as_ref().and_then(OpenChunk::as_histogram);
        open.is_some_and(|open| open.repeats_last(histogram))
    }

    /// Ends the open chunk.
    pub(super) fn close_chunk(&mut self) {
        let Some(open) = self.open.take() else { return };
        push_closed(
            &mut self.closed,
            Chunk {
                min_time_ms: open.min_time_ms(),
                max_time_ms: open.max_time_ms(),
                encoding: open.encoding() as u8,
                data: open.finish(),
            },
        );
    }

    /// The chunks that overlap `range` as they are now; the open one as a copy.
    pub(super) fn copy_chunks(&self, range: TimeRange, into: &mut Vec<Chunk>) {
        into.extend(self.closed.iter().filter(|chunk| chunk.range().overlaps(range)).cloned());
        if let Some(open) = self.open_in(range) {
            into.push(Chunk {
                min_time_ms: open.min_time_ms(),
                max_time_ms: open.max_time_ms(),
                encoding: open.encoding() as u8,
                data: bytes::Bytes::copy_from_slice(open.bytes()),
            });
        }
    }

    /// As [`Series::copy_chunks`]. Returns how many of the newest samples are not for the reader;
    /// all of them are then among those that were copied.
    pub(super) fn copy_for(
        &self,
        reader: &Reader<'_>,
        range: TimeRange,
        into: &mut Vec<Chunk>,
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

    /// True if a chunk overlaps `range`.
    pub(super) fn overlaps(&self, range: TimeRange) -> bool {
        self.open_in(range).is_some() || self.closed.iter().any(|c| c.range().overlaps(range))
    }

    /// Time of the first and of the last stored sample.
    pub(super) fn time_span(&self) -> Option<TimeRange> {
        let closed = self.closed.first().zip(self.closed.last());
        let closed = closed.map(|(first, last)| (first.min_time_ms, last.max_time_ms));
        let open = self.open.as_ref().map(|open| (open.min_time_ms(), open.max_time_ms()));
        let (start_ms, end_ms) = (closed.or(open)?.0, open.or(closed)?.1);
        Some(TimeRange::new(start_ms, end_ms))
    }

    /// Drops the chunks that end before `min_time_ms`; returns how many.
    pub(super) fn drop_before(&mut self, min_time_ms: i64) -> usize {
        let before = self.chunk_count();
        self.closed.retain(|chunk| chunk.max_time_ms >= min_time_ms);
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

    /// How many chunks there are.
    pub(super) fn chunk_count(&self) -> usize {
        self.closed.len() + usize::from(self.open.is_some())
    }

    /// Bytes that the series takes in memory besides its place in a page.
    pub(super) fn memory_bytes(&self) -> usize {
        let closed: usize = self.closed.iter().map(|chunk| chunk.data.len()).sum();
        let open = self.open.as_ref().map_or(0, |open| open.memory_bytes() - size_of_val(open));
        let closed = self.closed.capacity() * size_of::<Chunk>() + closed;
        self.labels.memory_bytes() + closed + open
    }
}

/// There are few, and a doubled vector would often take more than the chunk.
pub(super) fn push_closed(closed: &mut Vec<Chunk>, chunk: Chunk) {
    if closed.len() == closed.capacity() {
        closed.reserve_exact(2);
    }
    closed.push(chunk);
}

/// Takes the newest `hidden` samples out of chunks that were copied.
pub(super) fn hide_newest(chunks: &mut Vec<Chunk>, mut hidden: usize) -> Result<(), ChunkError> {
    while hidden > 0
        && let Some(last) = chunks.last_mut()
    {
        let count = usize::from(chunk::sample_count(last.encoding, &last.data)?);
        if count <= hidden {
            hidden -= count;
            chunks.pop();
            continue;
        }
        let mut column = Column::new();
        chunk::decode(last.encoding, &last.data, (i64::MIN, i64::MAX), &mut column)?;
        let kept = count - hidden;
        let newest_ms = kept.checked_sub(1).and_then(|index| column.timestamps.get(index));
        last.max_time_ms = newest_ms.copied().ok_or(ChunkError::Truncated)?;
        let mut data = last.data.to_vec();
        if let Some(header) = data.first_chunk_mut() {
            // Chunks of histograms with starts keep two other bits here.
            let others = u16::from_be_bytes(*header) as usize ^ count;
            *header = ((others | kept) as u16).to_be_bytes();
        }
        last.data = data.into();
        return Ok(());
    }
    Ok(())
}
