//! Chunks of a series, raw or downsampled, read into a column.

use crate::chunk::{self, AGGREGATE, AggregateChunk, ChunkError, Encoding, Part};
use crate::model::histogram::float::{FloatHistogram, FloatRef, Overlays};
use crate::model::histogram::{HistogramRef, ResetHint};
use crate::model::{Column, Summary};

use super::aggregate::Aggregate;
use super::chunk::{Chunk, TimeRange};

/// Reads the chunks of a series one by one. Of downsampled samples the one number that is wanted
/// becomes the value, and the column's summaries tell what each stands for; their count is known
/// if averages or counts are wanted, and 1 otherwise.
///
/// The counter of a chunk begins with the true first value and grows over resets. Its last sample
/// is the true last value again, so that whatever follows can be compared with it; where that
/// is not what the counter has come to, a join says how far it has grown there.
#[derive(Debug)]
pub struct AggregateReader {
    wanted: Aggregate,
    resolution_ms: i64,
    /// Memory for what is not read into the caller's column.
    spare: [Column; 2],
    overlays: Overlays,
}

const UNALIGNED: ChunkError = ChunkError::Malformed("counts and sums of other windows");
const ALL: (i64, i64) = (i64::MIN, i64::MAX);

impl AggregateReader {
    /// Reads `wanted` of samples that stand for windows of `resolution_ms`.
    #[must_use]
    pub fn new(wanted: Aggregate, resolution_ms: i64) -> Self {
        Self { wanted, resolution_ms, spare: Default::default(), overlays: Overlays::default() }
    }

    /// Appends the samples of a chunk that lie in `range`.
    ///
    /// # Errors
    /// See [`ChunkError`]; the column is then as it was.
    pub fn push(
        &mut self,
        chunk: &Chunk,
        range: TimeRange,
        into: &mut Column,
    ) -> Result<(), ChunkError> {
        self.push_bytes(chunk.encoding, &chunk.data, range, into)
    }

    /// As [`push`](Self::push), of a chunk that lies elsewhere.
    ///
    /// # Errors
    /// As there.
    pub fn push_bytes(
        &mut self,
        encoding: u8,
        data: &[u8],
        range: TimeRange,
        into: &mut Column,
    ) -> Result<(), ChunkError> {
        let span = (range.start_ms, range.end_ms);
        if encoding != AGGREGATE {
            return chunk::decode(encoding, data, span, into);
        }
        let parts = AggregateChunk::parse(data)?;
        let (start, had_summaries) = (into.len(), !into.summaries.is_empty());
        let result = self.read(&parts, span, into);
        if result.is_err() || into.len() == start {
            into.truncate(start);
            if !had_summaries {
                into.summaries.clear();
            }
        }
        result
    }

    fn read(
        &mut self,
        parts: &AggregateChunk<'_>,
        span: (i64, i64),
        into: &mut Column,
    ) -> Result<(), ChunkError> {
        let start = into.len();
        let plain = match self.wanted {
            Aggregate::Average => None,
            Aggregate::Count => Some(Part::Count),
            Aggregate::Sum => Some(Part::Sum),
            // Histograms have neither; who wants the lowest of them is told so by what comes.
            Aggregate::Min => Some(Part::Min).filter(|part| parts.get(*part).is_some()),
            Aggregate::Max => Some(Part::Max).filter(|part| parts.get(*part).is_some()),
            Aggregate::Counter => {
                self.counter(parts, span, into)?;
                self.sum_up(start, into);
                return Ok(());
            }
        };
        match plain.map(|part| parts.get(part)) {
            Some(Some((encoding, data))) => {
                chunk::decode(encoding, data, span, into)?;
                self.sum_up(start, into);
                if self.wanted == Aggregate::Count {
                    count_each(start, into);
                }
                Ok(())
            }
            Some(None) => Ok(()),
            None => self.averages(parts, span, into),
        }
    }

    /// Says of the samples from `start` on what they stand for, but for their count.
    fn sum_up(&self, start: usize, into: &mut Column) {
        let summary = Summary { count: 1.0, resolution_ms: self.resolution_ms };
        into.summaries.resize(start, Summary::ITSELF);
        into.summaries.resize(into.timestamps.len(), summary);
    }

    fn averages(
        &mut self,
        parts: &AggregateChunk<'_>,
        span: (i64, i64),
        into: &mut Column,
    ) -> Result<(), ChunkError> {
        let (Some((count_encoding, counts)), Some((encoding, sums))) =
            (parts.get(Part::Count), parts.get(Part::Sum))
        else {
            return Ok(());
        };
        let start = into.len();
        let [count, sum] = &mut self.spare;
        count.clear();
        chunk::decode(count_encoding, counts, span, count)?;
        if !parts.is_histogram() {
            chunk::decode(encoding, sums, span, into)?;
            if into.timestamps.get(start..) != Some(&*count.timestamps) {
                return Err(UNALIGNED);
            }
            let sums = into.floats.iter_mut().skip(start);
            sums.zip(&count.floats).for_each(|(sum, count)| *sum /= count);
        } else {
            sum.clear();
            chunk::decode(encoding, sums, span, sum)?;
            if sum.timestamps != count.timestamps || sum.histograms.len() != sum.len() {
                return Err(UNALIGNED);
            }
            let mut average = FloatHistogram::default();
            let rows = sum.timestamps.iter().zip(&count.floats).zip(sum.histograms.iter());
            for ((time_ms, count), (_, one)) in rows {
                average.set(one.into());
                average.divide(*count);
                into.push_histogram(*time_ms, average.view());
            }
        }
        let counts = std::mem::take(&mut self.spare[0]);
        self.sum_up(start, into);
        for (summary, count) in into.summaries.iter_mut().skip(start).zip(&counts.floats) {
            summary.count = *count;
        }
        self.spare[0] = counts;
        Ok(())
    }

    fn counter(
        &mut self,
        parts: &AggregateChunk<'_>,
        span: (i64, i64),
        into: &mut Column,
    ) -> Result<(), ChunkError> {
        let Some((encoding, data)) = parts.get(Part::Counter) else { return Ok(()) };
        let [totals, last] = &mut self.spare;
        totals.clear();
        chunk::decode(encoding, data, ALL, totals)?;
        if totals.histograms.is_empty() {
            push_floats(totals, span, into);
            return Ok(());
        }
        let hint = chunk::reset_before(Encoding::try_from(encoding)?, data)?;
        if hint == ResetHint::Reset {
            totals.histograms.set_hint(0, ResetHint::Reset);
        }
        last.clear();
        if let Some((encoding, data)) = parts.get(Part::LastRaw) {
            chunk::decode(encoding, data, ALL, last)?;
        }
        push_histograms(totals, last, span, &mut self.overlays, into);
        Ok(())
    }
}

/// Of samples that are counts, that each stands for as many.
fn count_each(start: usize, into: &mut Column) {
    let counts = into.floats.iter().skip(start);
    for (summary, count) in into.summaries.iter_mut().skip(start).zip(counts) {
        summary.count = *count;
    }
}

/// The counter of floats: the true first value, the totals of the windows, and the true last value
/// at the time of the last window. Totals that are no numbers are left out: some value was
/// infinite.
fn push_floats(totals: &Column, (start_ms, end_ms): (i64, i64), into: &mut Column) {
    let samples = totals.timestamps.iter().copied().zip(totals.floats.iter().copied());
    let mut samples = samples.filter(|(_, value)| !value.is_nan()).peekable();
    let mut before = None;
    while let Some((time_ms, total)) = samples.next() {
        let mut value = total;
        let mut is_marked = false;
        while let Some((_, last)) = samples.next_if(|(next_ms, _)| *next_ms == time_ms) {
            (value, is_marked) = (last, true);
        }
        if start_ms <= time_ms && time_ms <= end_ms {
            let grown = before.map(|before| if total < before { total } else { total - before });
            if let Some(grown) = grown
                && is_marked
                && value.to_bits() != total.to_bits()
            {
                into.joins.push(into.len(), value - grown);
            }
            into.push(time_ms, value);
        }
        before = Some(value);
    }
}

/// The counter of histograms: the totals of the windows, and the true last value if it is another.
fn push_histograms(
    totals: &Column,
    last: &Column,
    (start_ms, end_ms): (i64, i64),
    overlays: &mut Overlays,
    into: &mut Column,
) {
    let last = last.histograms.iter().next().map(|(_, one)| one);
    let mut before: Option<HistogramRef<'_>> = None;
    let ends_at = totals.len().saturating_sub(1);
    for (index, total) in totals.histograms.iter() {
        let time_ms = totals.timestamps.get(index).copied().unwrap_or_default();
        let is_wanted = start_ms <= time_ms && time_ms <= end_ms;
        let value = last.filter(|_| index == ends_at);
        if is_wanted && let Some(value) = value {
            let base = base_of(value, total, before, overlays);
            if let Some(base) = base {
                into.joins.push_histogram(into.len(), base.view());
            }
            into.push_histogram(time_ms, HistogramRef { hint: total.hint, ..value });
        } else if is_wanted {
            into.push_histogram(time_ms, total);
        }
        before = Some(total);
    }
}

/// What `value` must be compared with to have grown as `total` has since `before`.
fn base_of(
    value: HistogramRef<'_>,
    total: HistogramRef<'_>,
    before: Option<HistogramRef<'_>>,
    overlays: &mut Overlays,
) -> Option<FloatHistogram> {
    let mut grown = FloatRef::from(total).owned();
    grown.subtract(before?.into(), overlays).ok()?;
    let mut base = FloatRef::from(value).owned();
    base.subtract(grown.as_ref(), overlays).ok()?;
    if base.is_loose {
        base.compact();
    }
    base.hint = ResetHint::Unknown;
    Some(base)
}
