//! Native histograms: the message `prometheus.Histogram`.
//!
//! | field | holds | field | holds |
//! |---|---|---|---|
//! | 1, 2 | count, whole or float | 9, 10 | negative buckets, differences or floats |
//! | 3 | sum | 11 | positive spans |
//! | 4 | schema | 12, 13 | positive buckets, differences or floats |
//! | 5 | zero threshold | 14 | reset hint |
//! | 6, 7 | zero count, whole or float | 15 | time |
//! | 8 | negative spans | 16 | listed bounds |
//!
//! A span is 1 offset and 2 length. Which of the kinds of counts holds is told by field 1 or 2.

use crate::base::varint::{put_uvarint, put_varint};
use crate::model::Column;
use crate::model::histogram::{CountsRef, HistogramRef, Layout, ResetHint, SharedLayouts, Span};

use super::super::fields::{DecodeError, Field, Fields};
use super::request::{BYTES, VARINT, put_double, put_key, put_message, put_number};

/// The finest schema that can be stored, and the finest that is taken and brought to it.
const SCHEMA_MAX: i32 = 8;
const SCHEMA_RESERVED_MAX: i32 = 52;

/// Reads histograms; keeps its memory, and layouts that it has seen.
#[derive(Debug, Default)]
pub(super) struct Workbench {
    found: Column,
    layout: Layout,
    known: SharedLayouts,
    positive: Side,
    negative: Side,
    integers: Vec<i64>,
    floats: Vec<f64>,
}

/// Buckets above or below zero, of both kinds: which of them hold is known at the end only.
#[derive(Debug, Default)]
struct Side {
    differences: Vec<i64>,
    counts: Vec<f64>,
}

/// The fields that are one number.
#[derive(Debug, Default)]
struct Numbers {
    count: u64,
    float_count: f64,
    is_float: bool,
    zero_count: u64,
    float_zero_count: f64,
    sum: f64,
    hint: u64,
    timestamp_ms: i64,
}

impl Workbench {
    pub(super) fn clear(&mut self) {
        self.found.clear();
    }

    /// What was read since the last [`clear`](Self::clear).
    pub(super) const fn found(&self) -> &Column {
        &self.found
    }

    /// Reads one histogram.
    pub(super) fn read(&mut self, message: &[u8]) -> Result<(), DecodeError> {
        self.forget();
        let mut numbers = Numbers::default();
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next()? {
            self.field(field, &mut numbers)?;
        }
        self.join(numbers.is_float);
        if self.layout.schema > SCHEMA_MAX && self.layout.schema <= SCHEMA_RESERVED_MAX {
            self.layout.reduce(SCHEMA_MAX, &mut self.integers, &mut self.floats);
        }
        let counts = if numbers.is_float {
            CountsRef::Float {
                count: numbers.float_count,
                zero_count: numbers.float_zero_count,
                buckets: &self.floats,
            }
        } else {
            let Numbers { count, zero_count, .. } = numbers;
            CountsRef::Integer { count, zero_count, buckets: &self.integers }
        };
        let hint = ResetHint::from_byte(u8::try_from(numbers.hint).unwrap_or(0));
        let layout = self.known.share(&self.layout);
        let histogram = HistogramRef { layout, hint, sum: numbers.sum, counts };
        self.found.push_histogram(numbers.timestamp_ms, histogram);
        Ok(())
    }

    fn forget(&mut self) {
        self.layout.schema = 0;
        self.layout.zero_threshold = 0.0;
        self.layout.positive.clear();
        self.layout.negative.clear();
        self.layout.custom_bounds.clear();
        for side in [&mut self.positive, &mut self.negative] {
            side.differences.clear();
            side.counts.clear();
        }
        self.integers.clear();
        self.floats.clear();
    }

    fn field(&mut self, field: Field<'_>, numbers: &mut Numbers) -> Result<(), DecodeError> {
        match field.number {
            1 => {
                numbers.count = field.uint64()?;
                numbers.is_float = false;
            }
            2 => {
                numbers.float_count = field.double()?;
                numbers.is_float = true;
            }
            3 => numbers.sum = field.double()?,
            4 => self.layout.schema = field.sint64()? as i32,
            5 => self.layout.zero_threshold = field.double()?,
            6 => {
                numbers.zero_count = field.uint64()?;
                numbers.float_zero_count = 0.0;
            }
            7 => {
                numbers.float_zero_count = field.double()?;
                numbers.zero_count = 0;
            }
            8 => self.layout.negative.push(span(field)?),
            9 => field.sint64s(&mut self.negative.differences)?,
            10 => field.doubles(&mut self.negative.counts)?,
            11 => self.layout.positive.push(span(field)?),
            12 => field.sint64s(&mut self.positive.differences)?,
            13 => field.doubles(&mut self.positive.counts)?,
            14 => numbers.hint = field.uint64()?,
            15 => numbers.timestamp_ms = field.int64()?,
            16 => field.doubles(&mut self.layout.custom_bounds)?,
            _ => {}
        }
        Ok(())
    }

    /// Puts the buckets of both sides behind one another.
    fn join(&mut self, is_float: bool) {
        for side in [&self.positive, &self.negative] {
            if is_float {
                self.floats.extend_from_slice(&side.counts);
            } else {
                let sums = side.differences.iter().scan(0_i64, |sum, difference| {
                    *sum = sum.wrapping_add(*difference);
                    Some(*sum)
                });
                self.integers.extend(sums);
            }
        }
        let len = |side: &Side| if is_float { side.counts.len() } else { side.differences.len() };
        let fits = len(&self.positive) == self.layout.positive_len();
        if !fits && len(&self.positive) + len(&self.negative) == self.layout.bucket_len() {
            // One side has what the other lacks. Buckets that stand behind one another hide it,
            // so that one more makes the histogram as invalid as it is.
            self.integers.push(0);
            self.floats.push(0.0);
        }
    }
}

fn span(field: Field<'_>) -> Result<Span, DecodeError> {
    let mut span = Span::default();
    let mut fields = Fields::of(field.bytes()?);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => span.offset = field.sint64()? as i32,
            2 => span.length = field.uint64()? as u32,
            _ => {}
        }
    }
    Ok(span)
}

/// Appends the message of a histogram.
pub(super) fn put_histogram(out: &mut Vec<u8>, timestamp_ms: i64, histogram: HistogramRef<'_>) {
    let layout = &**histogram.layout;
    match histogram.counts {
        CountsRef::Integer { count, .. } => put_number(out, 1, count),
        CountsRef::Float { count, .. } => put_double(out, 2, count),
    }
    put_double_unless_zero(out, 3, histogram.sum);
    if layout.schema != 0 {
        put_key(out, 4, VARINT);
        put_varint(out, layout.schema.into());
    }
    put_double_unless_zero(out, 5, layout.zero_threshold);
    match histogram.counts {
        CountsRef::Integer { zero_count, .. } => put_number(out, 6, zero_count),
        CountsRef::Float { zero_count, .. } => put_double(out, 7, zero_count),
    }
    let positive_len = layout.positive_len().min(histogram.counts.bucket_len());
    for (is_negative, first) in [(true, 8), (false, 11)] {
        let spans = if is_negative { &layout.negative } else { &layout.positive };
        spans.iter().for_each(|span| put_span(out, first, *span));
        match histogram.counts {
            CountsRef::Integer { buckets, .. } => {
                let (positive, negative) = buckets.split_at(positive_len);
                put_differences(out, first + 1, if is_negative { negative } else { positive });
            }
            CountsRef::Float { buckets, .. } => {
                let (positive, negative) = buckets.split_at(positive_len);
                put_doubles(out, first + 2, if is_negative { negative } else { positive });
            }
        }
    }
    if histogram.hint != ResetHint::Unknown {
        put_number(out, 14, histogram.hint as u64);
    }
    if timestamp_ms != 0 {
        put_number(out, 15, timestamp_ms as u64);
    }
    put_doubles(out, 16, &layout.custom_bounds);
}

/// A negative zero is not zero here, so that it arrives.
fn put_double_unless_zero(out: &mut Vec<u8>, field: u32, value: f64) {
    if value.to_bits() != 0 {
        put_double(out, field, value);
    }
}

fn put_span(out: &mut Vec<u8>, field: u32, span: Span) {
    put_message(out, field, |out| {
        if span.offset != 0 {
            put_key(out, 1, VARINT);
            put_varint(out, span.offset.into());
        }
        if span.length != 0 {
            put_number(out, 2, span.length.into());
        }
    });
}

fn put_differences(out: &mut Vec<u8>, field: u32, buckets: &[i64]) {
    if buckets.is_empty() {
        return;
    }
    put_message(out, field, |out| {
        let mut before = 0_i64;
        for bucket in buckets {
            put_varint(out, bucket.wrapping_sub(before));
            before = *bucket;
        }
    });
}

fn put_doubles(out: &mut Vec<u8>, field: u32, values: &[f64]) {
    if values.is_empty() {
        return;
    }
    put_key(out, field, BYTES);
    put_uvarint(out, values.len() as u64 * 8);
    out.extend(values.iter().flat_map(|value| value.to_bits().to_le_bytes()));
}
