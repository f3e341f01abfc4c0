//! Windows of histograms as a chunk.

use crate::chunk::{
    AGGREGATE, ChunkError, Encoding, HistogramAppender, XorAppender, encode_aggregate,
};
use crate::model::histogram::float::{FloatHistogram, FloatRef, Incompatible, Overlays};
use crate::model::histogram::{CountsRef, HistogramRef, ResetHint};
use crate::series::Chunk;

use super::window::each_window;

/// A histogram on its way into a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    time_ms: i64,
    value: FloatRef<'a>,
    /// What it continues, if not the one before it.
    before: Option<FloatRef<'a>>,
}

impl<'a> Row<'a> {
    pub(super) fn new(time_ms: i64, one: HistogramRef<'a>) -> Self {
        Self { time_ms, value: one.into(), before: None }
    }

    /// The same, which continues `before`.
    pub(super) fn after(self, before: HistogramRef<'a>) -> Self {
        Self { before: Some(before.into()), ..self }
    }
}

/// What becomes one chunk, or several if not all of it goes together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    /// What the counter is made of.
    pub(super) counter: &'a [Row<'a>],
    /// What the sums are made of.
    pub(super) sum: &'a [Row<'a>],
    /// What the counts are made of; without it each sum counts one.
    pub(super) counts: Option<(&'a [i64], &'a [f64])>,
    /// The true last value, if it is not that of the counter.
    pub(super) last: Option<HistogramRef<'a>>,
}

/// Why a chunk was not made.
enum Stop {
    /// What is behind this time does not go into a chunk with what is before.
    After(i64),
    Chunk(ChunkError),
}

impl From<ChunkError> for Stop {
    fn from(error: ChunkError) -> Self {
        Self::Chunk(error)
    }
}

const APART: ChunkError = ChunkError::Malformed("histograms that do not go together");

impl From<Incompatible> for Stop {
    fn from(_: Incompatible) -> Self {
        Self::Chunk(APART)
    }
}

/// Makes chunks of aggregates of histograms.
#[derive(Debug, Default)]
pub(super) struct Histograms {
    counter: Counter,
    sum: FloatHistogram,
    reduced: FloatHistogram,
    overlays: Overlays,
    /// The true last value of the chunk before, of the same series.
    border: Option<FloatHistogram>,
}

/// How far a counter has come over all its resets.
#[derive(Debug, Default)]
struct Counter {
    total: FloatHistogram,
    /// The last value, and the same in the resolution of the chunk.
    last: FloatHistogram,
    reduced: FloatHistogram,
    growth: FloatHistogram,
    base: FloatHistogram,
    count: usize,
    had_reset: bool,
}

impl Counter {
    fn add(
        &mut self,
        row: &Row<'_>,
        schema: i32,
        overlays: &mut Overlays,
    ) -> Result<(), Incompatible> {
        let one = row.value;
        self.growth.set(one);
        self.growth.reduce_to(schema, overlays);
        if self.count == 0 {
            self.total.set(self.growth.as_ref());
            self.reduced.set(self.growth.as_ref());
        } else {
            let before = row.before.unwrap_or(self.last.as_ref());
            let is_reset = one.hint != ResetHint::Gauge && one.is_reset_after(&before);
            self.had_reset |= is_reset;
            if let Some(before) = row.before {
                self.base.set(before);
                self.base.reduce_to(schema, overlays);
            } else {
                std::mem::swap(&mut self.base, &mut self.reduced);
            }
            self.reduced.set(self.growth.as_ref());
            if !is_reset {
                self.growth.subtract(self.base.as_ref(), overlays)?;
            }
            self.total.add(self.growth.as_ref(), overlays)?;
        }
        self.last.set(one);
        self.count += 1;
        Ok(())
    }

    /// True if the total tells the last value, to all who compare counts with it.
    fn ends_true(&self) -> bool {
        let (total, last) = (&self.total, &self.reduced);
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
        !self.had_reset
            && self.last.layout.schema == last.layout.schema
            && same(total.count, last.count)
            && same(total.zero_count, last.zero_count)
            && total.layout == last.layout
            && total.buckets.iter().zip(&last.buckets).all(|(a, b)| same(*a, *b))
    }
}

impl<'a> Rows<'a> {
    /// The time of the last row of the first ones that are alike: all gauges or none, and all of
    /// the same listed bounds, if they have such.
    fn alike_until(&self) -> i64 {
        let rows = if self.counter.is_empty() { self.sum } else { self.counter };
        let Some(first) = rows.first() else { return i64::MAX };
        let is_gauge = |row: &Row<'_>| row.value.hint == ResetHint::Gauge;
        let is_alike = |row: &&Row<'_>| {
            is_gauge(row) == is_gauge(first)
                && row.value.is_custom() == first.value.is_custom()
                && row.value.layout.has_bounds_of(first.value.layout)
        };
        let alike = rows.iter().take_while(is_alike).count();
        if alike == rows.len() {
            return i64::MAX;
        }
        rows.get(alike - 1).map_or(i64::MAX, |row| row.time_ms)
    }

    /// Those up to a time, and those behind it.
    fn split(&self, end_ms: i64) -> (Self, Self) {
        let rows =
            |rows: &'a [Row<'a>]| rows.split_at(rows.partition_point(|row| row.time_ms <= end_ms));
        let (counter, counter_behind) = rows(self.counter);
        let (sum, sum_behind) = rows(self.sum);
        let counts = self.counts.map(|(times, counts)| {
            let at = times.partition_point(|time_ms| *time_ms <= end_ms).min(counts.len());
            (times.split_at(at), counts.split_at(at))
        });
        let last = if counter_behind.is_empty() { self.last } else { None };
        let before = Self { counter, sum, counts: counts.map(|(t, c)| (t.0, c.0)), last };
        let counts = counts.map(|(t, c)| (t.1, c.1));
        let behind = Self { counter: counter_behind, sum: sum_behind, counts, last: self.last };
        (before, behind)
    }

    fn is_empty(&self) -> bool {
        self.counter.is_empty() && self.sum.is_empty()
    }
}

/// The lowest resolution of rows; none if their bounds are listed.
fn lowest_schema(rows: &[Row<'_>]) -> i32 {
    rows.iter().map(|row| row.value.layout.schema).min().unwrap_or(i32::MAX)
}

impl Histograms {
    /// Forgets the series before.
    pub(super) fn begin_series(&mut self) {
        self.border = None;
    }

    /// Appends the chunk of these rows, or as many as they need.
    pub(super) fn chunks(
        &mut self,
        mut rows: Rows<'_>,
        resolution_ms: i64,
        out: &mut Vec<Chunk>,
    ) -> Result<(), ChunkError> {
        while !rows.is_empty() {
            let (mut part, mut behind) = rows.split(rows.alike_until());
            let mut made = self.chunk(part, resolution_ms);
            if let Err(Stop::After(end_ms)) = made {
                (part, behind) = rows.split(end_ms);
                made = self.chunk(part, resolution_ms);
            }
            match made {
                Ok(chunk) => out.push(chunk),
                Err(Stop::Chunk(error)) => return Err(error),
                Err(Stop::After(_)) => return Err(APART),
            }
            rows = behind;
        }
        Ok(())
    }

    fn chunk(&mut self, rows: Rows<'_>, resolution_ms: i64) -> Result<Chunk, Stop> {
        let mut ends = (i64::MAX, i64::MIN);
        let counter = self.counter(rows, resolution_ms, &mut ends)?;
        let last = self.last_raw(rows, ends.1)?;
        let sum = self.sum(rows.sum, resolution_ms, &mut ends)?;
        let count = counts(rows, resolution_ms)?;
        let histogram = |part: &'_ Option<HistogramAppender>| part.is_some();
        debug_assert!(histogram(&sum) || histogram(&counter), "a chunk of nothing");
        let float = Encoding::FloatHistogram as u8;
        let bytes = |part| {
            let part: Option<&HistogramAppender> = part;
            part.map(|part| part.bytes())
        };
        let [sum, counter, last] =
            [bytes(sum.as_ref()), bytes(counter.as_ref()), bytes(last.as_ref())]
                .map(|part| part.map(|part| (float, part)));
        let count = Some((Encoding::Xor as u8, count.bytes()));
        let data = encode_aggregate(&[count, sum, None, None, counter, last]);
        if self.counter.count > 0 {
            self.border.get_or_insert_default().set(self.counter.last.as_ref());
        }
        if let (Some(border), Some(last)) = (&mut self.border, rows.last) {
            border.set(last.into());
        }
        let (min_time_ms, max_time_ms) = ends;
        Ok(Chunk { min_time_ms, max_time_ms, encoding: AGGREGATE, data })
    }

    fn counter(
        &mut self,
        rows: Rows<'_>,
        resolution_ms: i64,
        ends: &mut (i64, i64),
    ) -> Result<Option<HistogramAppender>, Stop> {
        let rows = rows.counter;
        let schema = lowest_schema(rows);
        let Self { counter, overlays, border, .. } = self;
        (counter.count, counter.had_reset) = (0, false);
        let hint = match (rows.first(), border) {
            (Some(first), _) if first.value.hint == ResetHint::Gauge => ResetHint::Gauge,
            (Some(first), Some(border)) if first.value.is_reset_after(&border.as_ref()) => {
                ResetHint::Reset
            }
            _ => ResetHint::Unknown,
        };
        let mut open = None;
        let times: Vec<i64> = rows.iter().map(|row| row.time_ms).collect();
        each_window(&times, resolution_ms, |end_ms, window| {
            for row in rows.get(window).unwrap_or_default() {
                counter.add(row, schema, overlays)?;
            }
            push(&mut open, end_ms, &mut counter.total, hint, ends)
        })?;
        Ok(open)
    }

    /// The true last value as a chunk, if the counter does not tell it.
    fn last_raw(
        &self,
        rows: Rows<'_>,
        time_ms: i64,
    ) -> Result<Option<HistogramAppender>, ChunkError> {
        let Self { counter, .. } = self;
        if counter.count == 0 || counter.last.hint == ResetHint::Gauge {
            return Ok(None);
        }
        let mut last = counter.last.clone();
        match rows.last {
            Some(true_last) => last.set(true_last.into()),
            None if counter.ends_true() => return Ok(None),
            None => {}
        }
        last.hint = ResetHint::Unknown;
        if last.is_loose {
            last.compact();
        }
        HistogramAppender::begin(time_ms, 0, view(&last), None, false).map(Some)
    }

    fn sum(
        &mut self,
        rows: &[Row<'_>],
        resolution_ms: i64,
        ends: &mut (i64, i64),
    ) -> Result<Option<HistogramAppender>, Stop> {
        let schema = lowest_schema(rows);
        let Self { sum, reduced, overlays, .. } = self;
        let mut open = None;
        let times: Vec<i64> = rows.iter().map(|row| row.time_ms).collect();
        each_window(&times, resolution_ms, |end_ms, window| {
            let mut is_first = true;
            for row in rows.get(window).unwrap_or_default() {
                reduced.set(row.value);
                reduced.reduce_to(schema, overlays);
                if std::mem::take(&mut is_first) {
                    sum.set(reduced.as_ref());
                } else {
                    sum.add(reduced.as_ref(), overlays)?;
                }
            }
            push(&mut open, end_ms, sum, ResetHint::Gauge, ends)
        })?;
        Ok(open)
    }
}

fn counts(rows: Rows<'_>, resolution_ms: i64) -> Result<XorAppender, ChunkError> {
    let mut count = XorAppender::new();
    if let Some((times, counts)) = rows.counts {
        each_window(times, resolution_ms, |end_ms, window| {
            count.append(end_ms, counts.get(window).unwrap_or_default().iter().sum())
        })?;
    } else {
        let times: Vec<i64> = rows.sum.iter().map(|row| row.time_ms).collect();
        each_window(&times, resolution_ms, |end_ms, window| {
            count.append(end_ms, window.len() as f64)
        })?;
    }
    Ok(count)
}

/// Appends a window's histogram to a chunk, which it begins if it is the first.
fn push(
    open: &mut Option<HistogramAppender>,
    time_ms: i64,
    one: &mut FloatHistogram,
    hint: ResetHint,
    ends: &mut (i64, i64),
) -> Result<(), Stop> {
    if one.is_loose {
        one.compact();
    }
    one.hint = hint;
    match open {
        Some(open) => {
            // What is said of the sample before the chunk is not said of those within.
            one.hint = if hint == ResetHint::Gauge { hint } else { ResetHint::Unknown };
            if open.append(time_ms, 0, view(one))?.is_some() {
                return Err(Stop::After(open.max_time_ms()));
            }
        }
        none => {
            let first = HistogramAppender::begin(time_ms, 0, view(one), None, false)?;
            // Thanos has it that a chunk is never known to begin with a reset.
            let first = match hint {
                ResetHint::Unknown => {
                    HistogramAppender::begin(time_ms, 0, view(one), Some(&first), false)?
                }
                _ => first,
            };
            *none = Some(first);
        }
    }
    *ends = (ends.0.min(time_ms), ends.1.max(time_ms));
    Ok(())
}

fn view(one: &FloatHistogram) -> HistogramRef<'_> {
    let FloatHistogram { layout, hint, sum, count, zero_count, buckets, .. } = one;
    let counts = CountsRef::Float { count: *count, zero_count: *zero_count, buckets };
    HistogramRef { layout, hint: *hint, sum: *sum, counts }
}
