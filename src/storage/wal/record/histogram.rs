//! One histogram in a record: the HIST and FHIST of `FORMAT.md`.

use crate::base::varint::{Cursor, put_uvarint, put_varint};
use crate::model::histogram::{
    CUSTOM_SCHEMA, CountsRef, HistogramRef, Layout, ResetHint, SharedLayouts, Span,
};

use super::super::error::RecordError;

/// Appends a histogram.
pub(in crate::storage) fn put_histogram(out: &mut Vec<u8>, histogram: HistogramRef<'_>) {
    let layout = &**histogram.layout;
    out.push(histogram.hint as u8);
    put_varint(out, layout.schema.into());
    put_float(out, layout.zero_threshold);
    let positive_len = layout.positive_len().min(histogram.counts.bucket_len());
    match histogram.counts {
        CountsRef::Integer { count, zero_count, buckets } => {
            put_uvarint(out, zero_count);
            put_uvarint(out, count);
            put_float(out, histogram.sum);
            put_spans(out, layout);
            let (positive, negative) = buckets.split_at(positive_len);
            put_differences(out, positive);
            put_differences(out, negative);
        }
        CountsRef::Float { count, zero_count, buckets } => {
            put_float(out, zero_count);
            put_float(out, count);
            put_float(out, histogram.sum);
            put_spans(out, layout);
            let (positive, negative) = buckets.split_at(positive_len);
            put_floats(out, positive);
            put_floats(out, negative);
        }
    }
    if layout.is_custom() {
        put_floats(out, &layout.custom_bounds);
    }
}

fn put_float(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_bits().to_be_bytes());
}

fn put_spans(out: &mut Vec<u8>, layout: &Layout) {
    for spans in [&layout.positive, &layout.negative] {
        put_uvarint(out, spans.len() as u64);
        for span in spans {
            put_varint(out, span.offset.into());
            put_uvarint(out, span.length.into());
        }
    }
}

fn put_differences(out: &mut Vec<u8>, buckets: &[i64]) {
    put_uvarint(out, buckets.len() as u64);
    let mut before = 0_i64;
    for bucket in buckets {
        put_varint(out, bucket.wrapping_sub(before));
        before = *bucket;
    }
}

fn put_floats(out: &mut Vec<u8>, values: &[f64]) {
    put_uvarint(out, values.len() as u64);
    for value in values {
        put_float(out, *value);
    }
}

/// Reads histograms; keeps its memory, and layouts that it has seen.
#[derive(Debug, Default)]
pub(in crate::storage) struct Workbench {
    layout: Layout,
    integers: Vec<i64>,
    floats: Vec<f64>,
    known: SharedLayouts,
}

/// What a histogram says before its spans.
struct Head {
    hint: ResetHint,
    zero_count: u64,
    count: u64,
    sum: f64,
}

/// Schemas that are read. Those above 8 belong to later versions of Prometheus and are brought
/// down to 8; other numbers have no meaning.
const RESERVED_SCHEMAS: std::ops::RangeInclusive<i64> = -9..=52;
const SCHEMA_MAX: i32 = 8;

impl Workbench {
    /// Reads one histogram; nothing if it has an unknown schema, or as many buckets as its spans
    /// do not name.
    pub(in crate::storage) fn read(
        &mut self,
        cursor: &mut Cursor<'_>,
        is_float: bool,
    ) -> Result<Option<HistogramRef<'_>>, RecordError> {
        let hint = ResetHint::from_byte(cursor.u8()?);
        let schema = cursor.varint()?;
        self.layout.zero_threshold = cursor.f64_be()?;
        let (zero_count, count) = if is_float {
            (cursor.u64_be()?, cursor.u64_be()?)
        } else {
            (cursor.uvarint()?, cursor.uvarint()?)
        };
        let head = Head { hint, zero_count, count, sum: cursor.f64_be()? };
        let mut is_sound = read_spans(cursor, &mut self.layout.positive)?;
        is_sound &= read_spans(cursor, &mut self.layout.negative)?;
        self.integers.clear();
        self.floats.clear();
        for positive in [true, false] {
            let named = if positive { &self.layout.positive } else { &self.layout.negative };
            let named = named.iter().map(|span| u64::from(span.length)).sum::<u64>();
            let found = cursor.uvarint()?;
            is_sound &= found == named;
            if is_float {
                read_floats(cursor, found, &mut self.floats)?;
            } else {
                read_differences(cursor, found, &mut self.integers)?;
            }
        }
        self.layout.custom_bounds.clear();
        if schema == i64::from(CUSTOM_SCHEMA) {
            let found = cursor.uvarint()?;
            read_floats(cursor, found, &mut self.layout.custom_bounds)?;
        } else if !RESERVED_SCHEMAS.contains(&schema) {
            return Ok(None);
        }
        self.layout.schema = schema as i32;
        if !is_sound {
            return Ok(None);
        }
        if self.layout.schema > SCHEMA_MAX {
            let buckets = (&mut self.integers, &mut self.floats);
            self.layout.reduce(SCHEMA_MAX, buckets.0, buckets.1);
        }
        Ok(Some(self.view(&head, is_float)))
    }

    fn view(&mut self, head: &Head, is_float: bool) -> HistogramRef<'_> {
        let counts = if is_float {
            CountsRef::Float {
                count: f64::from_bits(head.count),
                zero_count: f64::from_bits(head.zero_count),
                buckets: &self.floats,
            }
        } else {
            let Head { zero_count, count, .. } = *head;
            CountsRef::Integer { count, zero_count, buckets: &self.integers }
        };
        let layout = self.known.share(&self.layout);
        HistogramRef { layout, hint: head.hint, sum: head.sum, counts }
    }
}

/// Reads spans; false if a number is too large for one. Nothing is reserved by the claimed count,
/// each span takes two bytes at least.
fn read_spans(cursor: &mut Cursor<'_>, into: &mut Vec<Span>) -> Result<bool, RecordError> {
    into.clear();
    let mut is_sound = true;
    for _ in 0..cursor.uvarint()? {
        let (offset, length) = (cursor.varint()?, cursor.uvarint()?);
        match (i32::try_from(offset), u32::try_from(length)) {
            (Ok(offset), Ok(length)) => into.push(Span::new(offset, length)),
            _ => is_sound = false,
        }
    }
    Ok(is_sound)
}

fn read_differences(
    cursor: &mut Cursor<'_>,
    count: u64,
    into: &mut Vec<i64>,
) -> Result<(), RecordError> {
    let mut bucket = 0_i64;
    for _ in 0..count {
        bucket = bucket.wrapping_add(cursor.varint()?);
        into.push(bucket);
    }
    Ok(())
}

fn read_floats(
    cursor: &mut Cursor<'_>,
    count: u64,
    into: &mut Vec<f64>,
) -> Result<(), RecordError> {
    let bytes = usize::try_from(count).ok().and_then(|count| count.checked_mul(8));
    let bytes = cursor.take(bytes.ok_or(RecordError::Truncated)?)?;
    let (values, _) = bytes.as_chunks::<8>();
    into.extend(values.iter().map(|value| f64::from_bits(u64::from_be_bytes(*value))));
    Ok(())
}
