//! Downsampled samples of a series as longer windows.

use crate::chunk::{self, AGGREGATE, AggregateChunk, ChunkError, Encoding, Part, sample_count};
use crate::model::histogram::{HistogramRef, ResetHint};
use crate::series::{Chunk, Column};

use super::FIVE_MINUTES_MS;
use super::floats::Floats;
use super::histograms::{Histograms, Row, Rows};
use super::raw::Raw;
use super::window::chunk_count;

/// Downsamples chunks of aggregates, with memory that is used from one series to the next.
#[derive(Debug, Default)]
pub(super) struct Again {
    raw: Raw,
    floats: Floats,
    histograms: Histograms,
    /// The chunks of the series, all of aggregates.
    chunks: Vec<Chunk>,
    columns: [Column; 3],
    totals: (Vec<i64>, Vec<f64>),
}

const ALL: (i64, i64) = (i64::MIN, i64::MAX);
const OVERLAP: ChunkError = ChunkError::Malformed("downsampled chunks that share time");

/// Chunks that become one.
type Group<'a> = &'a [(&'a Chunk, AggregateChunk<'a>)];

impl Again {
    /// Appends what becomes of the chunks of one series, whose windows are `from_ms` long. Chunks
    /// are put together whole, as the true first and last value of a counter stand at their ends.
    /// Raw chunks, which should not be there, are downsampled to five minutes first.
    pub(super) fn series(
        &mut self,
        chunks: &[Chunk],
        from_ms: i64,
        to_ms: i64,
        out: &mut Vec<Chunk>,
    ) -> Result<(), ChunkError> {
        self.histograms.begin_series();
        self.chunks.clear();
        for chunk in chunks {
            if chunk.encoding == AGGREGATE {
                self.chunks.push(chunk.clone());
            } else if sample_count(chunk.encoding, &chunk.data)? > 0 {
                let one = std::slice::from_ref(chunk);
                self.raw.series(one, FIVE_MINUTES_MS, &mut self.chunks)?;
            }
        }
        let chunks = std::mem::take(&mut self.chunks);
        if !chunks.is_sorted_by(|before, chunk| before.max_time_ms < chunk.min_time_ms) {
            return Err(OVERLAP);
        }
        let mut parsed = Vec::with_capacity(chunks.len());
        for chunk in &chunks {
            parsed.push((chunk, AggregateChunk::parse(&chunk.data)?));
        }
        for run in parsed.chunk_by(|(_, a), (_, b)| a.is_histogram() == b.is_histogram()) {
            self.run(run, from_ms, to_ms, out)?;
        }
        drop(parsed);
        self.chunks = chunks;
        Ok(())
    }

    /// Chunks of one kind.
    fn run(
        &mut self,
        run: Group<'_>,
        from_ms: i64,
        to_ms: i64,
        out: &mut Vec<Chunk>,
    ) -> Result<(), ChunkError> {
        let (Some((first, kind)), Some((last, _))) = (run.first(), run.last()) else {
            return Ok(());
        };
        let mut windows = 0;
        for (_, parts) in run {
            windows += usize::from(parts.window_count()?);
        }
        let span = (first.min_time_ms, last.max_time_ms);
        let count = chunk_count(span, from_ms, to_ms, windows);
        for group in run.chunks((run.len() / count).max(1)) {
            if kind.is_histogram() {
                self.histograms(group, to_ms, out)?;
            } else {
                self.floats(group, to_ms, out)?;
            }
        }
        Ok(())
    }

    fn floats(
        &mut self,
        group: Group<'_>,
        to_ms: i64,
        out: &mut Vec<Chunk>,
    ) -> Result<(), ChunkError> {
        self.floats.restart();
        let [column, ..] = &mut self.columns;
        for part in [Part::Count, Part::Sum, Part::Min, Part::Max] {
            column.clear();
            for (_, parts) in group {
                decode(parts, part, column)?;
            }
            self.floats.fold(part, (&column.timestamps, &column.floats), to_ms)?;
        }
        let (times, totals) = &mut self.totals;
        times.clear();
        totals.clear();
        let mut last = None;
        for (_, parts) in group {
            column.clear();
            decode(parts, Part::Counter, column)?;
            last = undo_resets(column, last, times, totals);
        }
        let last = last.map_or(0.0, |last| last.value);
        self.floats.fold_counter((times, totals), last, to_ms)?;
        self.floats.finish(out);
        Ok(())
    }

    fn histograms(
        &mut self,
        group: Group<'_>,
        to_ms: i64,
        out: &mut Vec<Chunk>,
    ) -> Result<(), ChunkError> {
        self.columns.iter_mut().for_each(Column::clear);
        let [counter, sum, spare] = &mut self.columns;
        // The true last values, by the index of the sample that continues each.
        let mut lasts = Vec::new();
        for (_, parts) in group {
            let start = counter.len();
            decode(parts, Part::Counter, counter)?;
            decode(parts, Part::Sum, sum)?;
            if let Some((encoding, data)) = parts.get(Part::Counter)
                && chunk::reset_before(Encoding::try_from(encoding)?, data)? == ResetHint::Reset
            {
                counter.histograms.set_hint(start, ResetHint::Reset);
            }
            if parts.get(Part::LastRaw).is_some() {
                decode(parts, Part::LastRaw, spare)?;
                lasts.push(counter.len());
            }
        }
        let mut counts = Column::new();
        for (_, parts) in group {
            decode(parts, Part::Count, &mut counts)?;
        }
        let before = |index: usize| {
            let place = lasts.binary_search(&index).ok()?;
            spare.histograms.iter().nth(place).map(|(_, one)| one)
        };
        let is_row = |(_, one): &(usize, HistogramRef<'_>)| !one.is_stale();
        let row = |column: &Column, index: usize| column.timestamps.get(index).copied();
        let counter_rows: Vec<Row<'_>> = counter
            .histograms
            .iter()
            .filter(is_row)
            .filter_map(|(index, one)| {
                let row = Row::new(row(counter, index)?, one);
                Some(before(index).map_or(row, |before| row.after(before)))
            })
            .collect();
        let sums = sum.histograms.iter().filter(is_row);
        let sum_rows: Vec<Row<'_>> =
            sums.filter_map(|(index, one)| Some(Row::new(row(sum, index)?, one))).collect();
        let counts = Some((counts.timestamps.as_slice(), counts.floats.as_slice()));
        let last = before(counter.len());
        let rows = Rows { counter: &counter_rows, sum: &sum_rows, counts, last };
        self.histograms.chunks(rows, to_ms, out)
    }
}

/// Appends a part, if it is there, without markers of staleness among floats.
fn decode(parts: &AggregateChunk<'_>, part: Part, into: &mut Column) -> Result<(), ChunkError> {
    let Some((encoding, data)) = parts.get(part) else { return Ok(()) };
    let start = into.len();
    chunk::decode(encoding, data, ALL, into)?;
    if into.histograms.is_empty() {
        super::raw::remove_markers(into, start);
    }
    Ok(())
}

/// Where a counter stands.
#[derive(Debug, Clone, Copy)]
struct Stand {
    time_ms: i64,
    value: f64,
    total: f64,
}

/// Appends the totals of a counter that goes on from `last`, and says where it stands then. A time
/// that repeats tells the true value that the next chunk is to be compared with. Matches
/// `ApplyCounterResetsSeriesIterator`.
fn undo_resets(
    column: &Column,
    mut last: Option<Stand>,
    times: &mut Vec<i64>,
    totals: &mut Vec<f64>,
) -> Option<Stand> {
    let samples = column.timestamps.iter().copied().zip(column.floats.iter().copied());
    for (time_ms, value) in samples.filter(|(_, value)| !value.is_nan()) {
        let total = match &mut last {
            None => value,
            Some(last) if time_ms > last.time_ms => {
                last.total + if value >= last.value { value - last.value } else { value }
            }
            Some(last) => {
                if time_ms == last.time_ms {
                    last.value = value;
                }
                continue;
            }
        };
        last = Some(Stand { time_ms, value, total });
        times.push(time_ms);
        totals.push(total);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    type Samples<'a> = &'a [(i64, f64)];

    fn totals_of(chunks: &[Samples<'_>]) -> Vec<(i64, f64)> {
        let (mut times, mut totals) = (Vec::new(), Vec::new());
        let mut last = None;
        for samples in chunks {
            let mut column = Column::new();
            samples.iter().for_each(|(time_ms, value)| column.push(*time_ms, *value));
            super::super::raw::remove_markers(&mut column, 0);
            last = undo_resets(&column, last, &mut times, &mut totals);
        }
        times.into_iter().zip(totals).collect()
    }

    #[test]
    fn the_true_last_value_tells_of_a_reset_between_chunks() {
        let chunks: [Samples<'_>; 3] = [
            &[(100, 10.0), (200, 20.0), (300, 10.0), (400, 20.0), (400, 5.0)],
            &[(500, 10.0), (600, 20.0), (700, 30.0), (800, 40.0), (800, 10.0)],
            &[(900, 5.0)],
        ];
        let totals: Vec<f64> = totals_of(&chunks).into_iter().map(|(_, total)| total).collect();
        assert_eq!(totals, [10.0, 20.0, 30.0, 40.0, 45.0, 55.0, 65.0, 75.0, 80.0]);
    }

    #[test]
    fn what_was_told_already_is_not_told_again() {
        let one: Samples<'_> = &[(100, 10.0), (200, 20.0), (200, 4.0)];
        let stale = crate::model::stale_nan();
        let two: Samples<'_> = &[(300, 6.0), (350, stale), (400, f64::NAN), (500, 2.0)];
        let wanted = [(100, 10.0), (200, 20.0), (300, 22.0), (500, 24.0)];
        assert_eq!(totals_of(&[one, two]), wanted);
        assert_eq!(totals_of(&[one, one, one, two, two]), wanted);
    }
}
