//! The chunk of histograms that grows.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::bits::BitWriter;
use crate::chunk::starts::StartsOut;
use crate::chunk::varbit::put_int;
use crate::chunk::{ChunkError, Encoding};
use crate::model::Column;
use crate::model::histogram::{Counts, CountsRef, HistogramRef, Layout, ResetHint, Span};

use super::counts::{CountsOut, FloatOut};
use super::decide::{Fit, Spread};
use super::header::{self, HEADER_BYTES, Header};
use super::union::{Pair, Union};
use super::{NO_BUCKETS, counts_ref, layout};

/// What a new chunk takes at once: layout and first samples of a small histogram.
const FIRST_BYTES: usize = 128;

/// Writes one chunk of histograms, with integer or float counts, with or without starts. Its
/// bytes are a readable chunk at any time.
#[derive(Debug, Clone)]
pub struct HistogramAppender {
    bits: BitWriter,
    layout: Arc<Layout>,
    counts: CountsOut,
    sum: FloatOut,
    min_time_ms: i64,
    max_time_ms: i64,
    delta_ms: i64,
    starts: StartsOut,
    count: u16,
    reset: ResetHint,
    encoding: Encoding,
}

/// A sample on its way into a chunk that has its buckets.
#[derive(Clone, Copy)]
struct Row<'a> {
    time_ms: i64,
    start_ms: i64,
    sum: f64,
    counts: CountsRef<'a>,
}

impl HistogramAppender {
    /// Begins a chunk with its first sample. If it continues a series, the appender of the chunk
    /// before says whether a counter reset lies between; without one that is not known. With
    /// `starts` the chunk keeps since when samples count.
    ///
    /// # Errors
    /// [`ChunkError::Malformed`] if there is no such schema, or if buckets and spans do not fit
    /// together.
    pub fn begin(
        timestamp_ms: i64,
        start_ms: i64,
        histogram: HistogramRef<'_>,
        previous: Option<&Self>,
        starts: bool,
    ) -> Result<Self, ChunkError> {
        check(histogram)?;
        let is_float = histogram.counts.is_float();
        let encoding = match (is_float, starts) {
            (false, false) => Encoding::Histogram,
            (true, false) => Encoding::FloatHistogram,
            (false, true) => Encoding::HistogramSt,
            (true, true) => Encoding::FloatHistogramSt,
        };
        let previous = previous.filter(|previous| previous.is_float() == is_float);
        let reset = match (histogram.hint, previous) {
            (ResetHint::Gauge | ResetHint::Reset, _) => histogram.hint,
            (_, None) => ResetHint::Unknown,
            (_, Some(previous)) => match previous.fit(histogram)? {
                Fit::AsIs | Fit::Spread(_) => ResetHint::NotReset,
                // Float counts know only whether there was a reset.
                Fit::NextChunk(ResetHint::Unknown) if is_float => ResetHint::NotReset,
                Fit::NextChunk(reset) => reset,
            },
        };
        Ok(Self::open(timestamp_ms, start_ms, histogram, encoding, reset))
    }

    fn open(
        time_ms: i64,
        start_ms: i64,
        histogram: HistogramRef<'_>,
        encoding: Encoding,
        reset: ResetHint,
    ) -> Self {
        let is_stale = histogram.is_stale();
        let layout = if is_stale { &*NO_BUCKETS } else { histogram.layout };
        let counts = if is_stale { nothing(histogram.counts) } else { histogram.counts };
        let mut bits = BitWriter::after(&[0; HEADER_BYTES], FIRST_BYTES);
        layout::put(&mut bits, layout);
        put_int(&mut bits, time_ms);
        let positive_len = layout.positive_len();
        let (counts, sum) = CountsOut::begin(&mut bits, histogram.sum, counts, positive_len);
        let mut starts = StartsOut::default();
        if header::has_starts(encoding) {
            starts.put_first(&mut bits, time_ms, start_ms);
        }
        let mut appender = Self {
            bits,
            layout: Arc::clone(layout),
            counts,
            sum,
            min_time_ms: time_ms,
            max_time_ms: time_ms,
            delta_ms: 0,
            starts,
            count: 1,
            reset,
            encoding,
        };
        appender.put_header();
        appender
    }

    /// Appends a sample, or begins the next chunk with it if it does not belong into this one:
    /// then returns the new appender, and this chunk is finished as it was.
    ///
    /// # Errors
    /// [`ChunkError::Full`] if the count can say no more, [`ChunkError::Malformed`] if there is no
    /// such schema, or if buckets and spans do not fit together; the chunk is then as it was.
    pub fn append(
        &mut self,
        timestamp_ms: i64,
        start_ms: i64,
        histogram: HistogramRef<'_>,
    ) -> Result<Option<Self>, ChunkError> {
        if self.count >= header::count_max(self.encoding) {
            return Err(ChunkError::Full);
        }
        if histogram.counts.is_float() != self.is_float() {
            let starts = header::has_starts(self.encoding);
            return Self::begin(timestamp_ms, start_ms, histogram, None, starts).map(Some);
        }
        check(histogram)?;
        let mut row =
            Row { time_ms: timestamp_ms, start_ms, sum: histogram.sum, counts: histogram.counts };
        match self.fit(histogram)? {
            Fit::AsIs => self.put(row),
            Fit::Spread(Spread { layout, pairs }) => {
                if let Some(layout) = layout {
                    self.recode(layout, &pairs)?;
                }
                let positions = pairs.iter().map(|pair| pair.new);
                let spread = spread(histogram.counts, positions);
                row.counts = counts_ref(&spread);
                self.put(row);
            }
            Fit::NextChunk(reset) => {
                // Float counts know only whether there was a reset.
                let is_unsure = self.is_float() && reset == ResetHint::NotReset;
                let reset = if is_unsure { ResetHint::Unknown } else { reset };
                let encoding = self.encoding;
                return Ok(Some(Self::open(timestamp_ms, start_ms, histogram, encoding, reset)));
            }
        }
        Ok(None)
    }

    /// Writes a sample that has the chunk's buckets.
    fn put(&mut self, row: Row<'_>) {
        let delta_ms = row.time_ms.wrapping_sub(self.max_time_ms);
        put_int(&mut self.bits, delta_ms.wrapping_sub(self.delta_ms));
        if crate::model::is_stale(row.sum) {
            self.counts.put_stale(&mut self.bits, &mut self.sum, row.sum);
        } else {
            let sum = (&mut self.sum, row.sum);
            self.counts.put(&mut self.bits, sum, row.counts, self.layout.positive_len());
        }
        if header::has_starts(self.encoding) {
            self.starts.put(&mut self.bits, self.count, self.max_time_ms, row.start_ms);
        }
        self.delta_ms = delta_ms;
        self.max_time_ms = row.time_ms;
        self.count += 1;
        self.put_header();
    }

    fn put_header(&mut self) {
        let header = Header { count: self.count, reset: self.reset, starts: self.starts.header() };
        if let Some(bytes) = self.bits.header_mut() {
            *bytes = header.bytes(self.encoding);
        }
    }

    /// Writes the chunk again with more buckets, which are empty in the samples so far.
    #[cold]
    fn recode(&mut self, layout: Layout, pairs: &[Pair]) -> Result<(), ChunkError> {
        let mut column = Column::new();
        super::decode(self.encoding, self.bytes(), (i64::MIN, i64::MAX), &mut column)?;
        let layout = Arc::new(layout);
        let mut recoded: Option<Self> = None;
        let samples = column.histograms.iter().zip(&column.timestamps);
        for ((index, histogram), time_ms) in samples {
            let counts = spread(histogram.counts, pairs.iter().map(|pair| pair.old));
            let (sum, start_ms, counts) =
                (histogram.sum, column.start_ms(index), counts_ref(&counts));
            if let Some(recoded) = &mut recoded {
                recoded.put(Row { time_ms: *time_ms, start_ms, sum, counts });
            } else {
                let histogram = HistogramRef { layout: &layout, hint: self.reset, sum, counts };
                let (encoding, reset) = (self.encoding, self.reset);
                recoded = Some(Self::open(*time_ms, start_ms, histogram, encoding, reset));
            }
        }
        if let Some(recoded) = recoded {
            *self = recoded;
        }
        Ok(())
    }

    pub(super) const fn reset(&self) -> ResetHint {
        self.reset
    }

    pub(super) const fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    pub(super) fn counts(&self) -> CountsRef<'_> {
        self.counts.as_ref()
    }

    const fn is_float(&self) -> bool {
        header::is_float(self.encoding)
    }

    /// Which of the four encodings it writes.
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The chunk so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bits.bytes()
    }

    /// How many samples there are.
    #[must_use]
    pub const fn sample_count(&self) -> u16 {
        self.count
    }

    /// Time of the first sample.
    #[must_use]
    pub const fn min_time_ms(&self) -> i64 {
        self.min_time_ms
    }

    /// Time of the last sample.
    #[must_use]
    pub const fn max_time_ms(&self) -> i64 {
        self.max_time_ms
    }

    /// The last sample, with the buckets of the whole chunk: those that it did not have are zero.
    /// Its hint is that of the chunk's header.
    #[must_use]
    pub fn last(&self) -> HistogramRef<'_> {
        let sum = self.sum.value();
        let counts = self.counts.as_ref();
        if crate::model::is_stale(sum) {
            let hint = ResetHint::Unknown;
            return HistogramRef { layout: &NO_BUCKETS, hint, sum, counts: nothing(counts) };
        }
        HistogramRef { layout: &self.layout, hint: self.reset, sum, counts }
    }

    /// True if the last sample was this one, whatever its hint and its empty buckets.
    #[must_use]
    pub fn repeats_last(&self, histogram: HistogramRef<'_>) -> bool {
        let last = self.last();
        let is_kind = histogram.counts.is_float() == self.is_float();
        if !is_kind || last.sum.to_bits() != histogram.sum.to_bits() {
            return false;
        }
        if last.is_stale() {
            return true;
        }
        let (old, new) = (last.layout, histogram.layout);
        let is_place = old.schema == new.schema
            && old.zero_threshold == new.zero_threshold
            && old.has_bounds_of(new);
        if !is_place || check(histogram).is_err() {
            return false;
        }
        if old.positive == new.positive && old.negative == new.negative {
            return last.counts == histogram.counts;
        }
        let unions =
            (Union::of(&old.positive, &new.positive), Union::of(&old.negative, &new.negative));
        let (Ok(positive), Ok(negative)) = unions else { return false };
        let positions = |of: fn(&Pair) -> Option<usize>, positive_len: usize| {
            let negative = negative.pairs.iter().map(of);
            let negative = negative.map(move |position| Some(position? + positive_len));
            positive.pairs.iter().map(of).chain(negative)
        };
        let old = spread(last.counts, positions(|pair| pair.old, old.positive_len()));
        let new = spread(histogram.counts, positions(|pair| pair.new, new.positive_len()));
        counts_ref(&old) == counts_ref(&new)
    }

    /// Bytes that the appender takes in memory, itself included, its layout not.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.bits.capacity_bytes() + self.counts.heap_bytes()
    }

    /// The finished chunk, in no more memory than it needs.
    #[must_use]
    pub fn finish(self) -> Bytes {
        Bytes::from(self.bits.into_bytes().into_boxed_slice())
    }
}

/// Refuses what could not be read again.
fn check(histogram: HistogramRef<'_>) -> Result<(), ChunkError> {
    if histogram.is_stale() {
        return Ok(());
    }
    let layout = histogram.layout;
    if !layout.is_custom() && !(-4..=8).contains(&layout.schema) {
        return Err(layout::UNKNOWN_SCHEMA);
    }
    if layout.bucket_len() != histogram.counts.bucket_len() {
        return Err(ChunkError::Malformed("spans name another number of buckets"));
    }
    let descends = |spans: &[Span]| spans.iter().skip(1).any(|span| span.offset < 0);
    if descends(&layout.positive) || descends(&layout.negative) {
        return Err(ChunkError::Malformed("spans overlap"));
    }
    Ok(())
}

/// Counts of the same kind that count nothing.
const fn nothing(counts: CountsRef<'_>) -> CountsRef<'static> {
    if counts.is_float() {
        CountsRef::Float { count: 0.0, zero_count: 0.0, buckets: &[] }
    } else {
        CountsRef::Integer { count: 0, zero_count: 0, buckets: &[] }
    }
}

/// The counts with other buckets: for each the position that it had, if it was there.
fn spread(counts: CountsRef<'_>, positions: impl Iterator<Item = Option<usize>>) -> Counts {
    fn pick<T: Copy + Default>(
        buckets: &[T],
        positions: impl Iterator<Item = Option<usize>>,
    ) -> Vec<T> {
        let bucket = |position: Option<usize>| buckets.get(position?).copied();
        positions.map(|position| bucket(position).unwrap_or_default()).collect()
    }
    match counts {
        CountsRef::Integer { count, zero_count, buckets } => {
            Counts::Integer { count, zero_count, buckets: pick(buckets, positions) }
        }
        CountsRef::Float { count, zero_count, buckets } => {
            Counts::Float { count, zero_count, buckets: pick(buckets, positions) }
        }
    }
}
