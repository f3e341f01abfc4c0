//! Windows of floats as a chunk.

use crate::chunk::{AGGREGATE, ChunkError, Encoding, Part, XorAppender, encode_aggregate};
use crate::series::Chunk;

use super::window::each_window;

/// Makes chunks of aggregates of floats, with memory that is used from one to the next.
#[derive(Debug, Default)]
pub(super) struct Floats {
    parts: [XorAppender; 5],
    min_time_ms: i64,
    max_time_ms: i64,
}

/// How far a counter has come over all its resets.
#[derive(Debug, Clone, Copy)]
struct Counter {
    total: f64,
    last: f64,
}

impl Counter {
    #[inline]
    fn add(&mut self, value: f64) {
        self.total += if value < self.last { value } else { value - self.last };
        self.last = value;
    }
}

impl Floats {
    fn part(&mut self, part: Part) -> Option<&mut XorAppender> {
        self.parts.get_mut(part as usize)
    }

    fn append(&mut self, part: Part, time_ms: i64, value: f64) -> Result<(), ChunkError> {
        self.part(part).map_or(Ok(()), |appender| appender.append(time_ms, value))
    }

    fn note(&mut self, time_ms: i64) {
        self.min_time_ms = self.min_time_ms.min(time_ms);
        self.max_time_ms = self.max_time_ms.max(time_ms);
    }

    /// Appends the chunk of raw samples, among which is no NaN.
    pub(super) fn raw(
        &mut self,
        times: &[i64],
        values: &[f64],
        resolution_ms: i64,
        out: &mut Vec<Chunk>,
    ) -> Result<(), ChunkError> {
        let (Some(first_ms), Some(first), Some(last)) =
            (times.first(), values.first(), values.last())
        else {
            return Ok(());
        };
        self.restart();
        let [count, sum, min, max, counter] = &mut self.parts;
        counter.append(*first_ms, *first)?;
        let mut growth: Option<Counter> = None;
        let mut ends = (i64::MAX, i64::MIN);
        each_window(times, resolution_ms, |end_ms, window| {
            let values = values.get(window).unwrap_or_default();
            let (mut total, mut lowest, mut highest) = (0.0, f64::MAX, f64::MIN);
            for value in values {
                total += value;
                lowest = if *value < lowest { *value } else { lowest };
                highest = if *value > highest { *value } else { highest };
            }
            let behind = if growth.is_none() { 1 } else { 0 };
            let mut grown = growth.unwrap_or(Counter { total: *first, last: *first });
            values.iter().skip(behind).for_each(|value| grown.add(*value));
            growth = Some(grown);
            sum.append(end_ms, total)?;
            min.append(end_ms, lowest)?;
            max.append(end_ms, highest)?;
            count.append(end_ms, values.len() as f64)?;
            ends = (ends.0.min(end_ms), end_ms);
            counter.append(end_ms, grown.total)
        })?;
        counter.append(ends.1, *last)?;
        (self.min_time_ms, self.max_time_ms) = ends;
        self.finish(out);
        Ok(())
    }

    /// Begins the next chunk.
    pub(super) fn restart(&mut self) {
        self.parts.iter_mut().for_each(XorAppender::restart);
        (self.min_time_ms, self.max_time_ms) = (i64::MAX, i64::MIN);
    }

    /// Adds a part that is made of the same part of finer windows.
    pub(super) fn fold(
        &mut self,
        part: Part,
        (times, values): (&[i64], &[f64]),
        resolution_ms: i64,
    ) -> Result<(), ChunkError> {
        each_window(times, resolution_ms, |end_ms, window| {
            let values = values.get(window).unwrap_or_default().iter();
            let value = match part {
                Part::Min => values.fold(f64::MAX, |low, v| if *v < low { *v } else { low }),
                Part::Max => values.fold(f64::MIN, |high, v| if *v > high { *v } else { high }),
                _ => values.fold(0.0, |sum, value| sum + value),
            };
            self.note(end_ms);
            self.append(part, end_ms, value)
        })
    }

    /// Adds the counter, of its totals in finer windows and its true last value.
    pub(super) fn fold_counter(
        &mut self,
        (times, totals): (&[i64], &[f64]),
        last: f64,
        resolution_ms: i64,
    ) -> Result<(), ChunkError> {
        let (Some(first_ms), Some(first)) = (times.first(), totals.first()) else { return Ok(()) };
        self.append(Part::Counter, *first_ms, *first)?;
        let mut growth: Option<Counter> = None;
        let mut last_ms = *first_ms;
        each_window(times, resolution_ms, |end_ms, window| {
            let totals = totals.get(window).unwrap_or_default().iter();
            let behind = if growth.is_none() { 1 } else { 0 };
            let mut grown = growth.unwrap_or(Counter { total: *first, last: *first });
            totals.skip(behind).for_each(|total| grown.add(*total));
            growth = Some(grown);
            last_ms = end_ms;
            self.note(end_ms);
            self.append(Part::Counter, end_ms, grown.total)
        })?;
        self.append(Part::Counter, last_ms, last)
    }

    /// Appends the chunk of the parts so far, if there are any.
    pub(super) fn finish(&mut self, out: &mut Vec<Chunk>) {
        let (min_time_ms, max_time_ms) = (self.min_time_ms, self.max_time_ms);
        if min_time_ms > max_time_ms {
            return;
        }
        let [count, sum, min, max, counter] = self
            .parts
            .each_ref()
            .map(|part| (part.sample_count() > 0).then(|| (Encoding::Xor as u8, part.bytes())));
        let data = encode_aggregate(&[count, sum, min, max, counter, None]);
        out.push(Chunk { min_time_ms, max_time_ms, encoding: AGGREGATE, data });
    }
}
