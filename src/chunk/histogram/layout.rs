//! Where the buckets of a chunk lie: the first bits behind the header.

use crate::base::bits::{BitReader, BitWriter};
use crate::chunk::ChunkError;
use crate::chunk::varbit::{put_int, put_uint, read_int, read_uint};
use crate::model::histogram::{CUSTOM_SCHEMA, Layout, Span};

/// Says that the zero threshold follows as 64 bits.
const WIDE_THRESHOLD: u8 = 255;
/// What is added to a power of two to make it a byte: `2^-243` is 1, `2^10` is 254.
const EXPONENT_OFFSET: i64 = 244;
/// The largest listed bound, in thousandths, that is written as an integer.
const SHORT_BOUND_MAX: f64 = 33_554_430.0;

/// Appends a layout.
pub(super) fn put(bits: &mut BitWriter, layout: &Layout) {
    put_threshold(bits, layout.zero_threshold);
    put_int(bits, layout.schema.into());
    for spans in [&layout.positive, &layout.negative] {
        put_uint(bits, spans.len() as u64);
        for span in spans {
            put_uint(bits, span.length.into());
            put_int(bits, span.offset.into());
        }
    }
    if layout.is_custom() {
        put_uint(bits, layout.custom_bounds.len() as u64);
        layout.custom_bounds.iter().for_each(|bound| put_bound(bits, *bound));
    }
}

fn put_threshold(bits: &mut BitWriter, threshold: f64) {
    let raw = threshold.to_bits();
    // Sign, exponent and mantissa of a positive power of two.
    let is_power = raw & (u64::MAX >> 12) == 0 && raw >> 63 == 0;
    let byte = (raw >> 52) as i64 - 1023 + EXPONENT_OFFSET;
    if threshold == 0.0 {
        bits.put(0, 8);
    } else if is_power && (1..WIDE_THRESHOLD.into()).contains(&byte) {
        bits.put(byte as u64, 8);
    } else {
        bits.put(WIDE_THRESHOLD.into(), 8);
        bits.put(raw, 64);
    }
}

fn read_threshold(bits: &mut BitReader<'_>) -> f64 {
    match bits.read(8) as u8 {
        0 => 0.0,
        WIDE_THRESHOLD => f64::from_bits(bits.read(64)),
        byte => f64::from_bits(((i64::from(byte) - EXPONENT_OFFSET + 1023) as u64) << 52),
    }
}

fn put_bound(bits: &mut BitWriter, bound: f64) {
    let thousandths = (bound * 1000.0).round();
    let is_short =
        bound * 1000.0 >= 0.0 && bound * 1000.0 <= SHORT_BOUND_MAX && thousandths / 1000.0 == bound;
    if is_short {
        return put_uint(bits, thousandths as u64 + 1);
    }
    bits.put(0, 1);
    bits.put(bound.to_bits(), 64);
}

fn read_bound(bits: &mut BitReader<'_>) -> f64 {
    match read_uint(bits) {
        0 => f64::from_bits(bits.read(64)),
        thousandths => (thousandths - 1) as f64 / 1000.0,
    }
}

/// Reads a layout from bits of which there are `bits_max`.
pub(super) fn read(bits: &mut BitReader<'_>, bits_max: u64) -> Result<Layout, ChunkError> {
    let zero_threshold = read_threshold(bits);
    let schema = read_int(bits);
    let schema = i32::try_from(schema).map_err(|_| UNKNOWN_SCHEMA)?;
    let positive = read_spans(bits, bits_max)?;
    let negative = read_spans(bits, bits_max)?;
    let custom_bounds = if schema == CUSTOM_SCHEMA {
        let count = checked_count(bits, bits_max)?;
        (0..count).map(|_| read_bound(bits)).collect()
    } else {
        Vec::new()
    };
    if bits.is_overrun() {
        return Err(ChunkError::Truncated);
    }
    Ok(Layout { schema, zero_threshold, positive, negative, custom_bounds })
}

pub(super) const UNKNOWN_SCHEMA: ChunkError = ChunkError::Malformed("unknown histogram schema");

/// A number of things that take at least a bit each.
fn checked_count(bits: &mut BitReader<'_>, bits_max: u64) -> Result<u64, ChunkError> {
    let count = read_uint(bits);
    if count > bits_max || bits.is_overrun() { Err(ChunkError::Truncated) } else { Ok(count) }
}

fn read_spans(bits: &mut BitReader<'_>, bits_max: u64) -> Result<Vec<Span>, ChunkError> {
    const TOO_LARGE: ChunkError = ChunkError::Malformed("a span beyond 32 bits");
    let count = checked_count(bits, bits_max)?;
    // Grows by what was read: a count that lies costs no memory at once.
    let mut spans = Vec::new();
    for _ in 0..count {
        let length = u32::try_from(read_uint(bits)).map_err(|_| TOO_LARGE)?;
        let offset = i32::try_from(read_int(bits)).map_err(|_| TOO_LARGE)?;
        if bits.is_overrun() {
            return Err(ChunkError::Truncated);
        }
        spans.push(Span { offset, length });
    }
    Ok(spans)
}
