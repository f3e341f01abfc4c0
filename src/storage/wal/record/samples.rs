//! Float samples.

use crate::model::Sample;
use crate::series::SeriesRef;

use super::super::error::RecordError;
use super::kind::{RecordKind, body, kind};
use super::place::{Place, Places};
use super::rows;

/// Appends a record of float samples without start times.
pub fn encode_samples(out: &mut Vec<u8>, mut rows: impl Iterator<Item = (SeriesRef, Sample)>) {
    out.push(RecordKind::Samples.byte());
    let Some((series, sample)) = rows.next() else { return };
    out.extend_from_slice(&series.0.to_be_bytes());
    out.extend_from_slice(&sample.timestamp_ms.to_be_bytes());
    let mut block = Block { bytes: [0; BLOCK_BYTES], len: 0 };
    let (base_ref, base_ms) = (series.0, sample.timestamp_ms);
    block.put(0, 0, sample.value);
    rows.for_each(|(series, sample)| {
        if block.len > BLOCK_BYTES - ROW_BYTES_MAX {
            out.extend_from_slice(block.filled());
            block.len = 0;
        }
        let from_base = series.0.wrapping_sub(base_ref) as i64;
        block.put(from_base, sample.timestamp_ms.wrapping_sub(base_ms), sample.value);
    });
    out.extend_from_slice(block.filled());
}

/// The longest row: two varints of ten bytes and a value. The varints are stored eight bytes at a
/// time, so that the second may reach two bytes further.
const ROW_BYTES_MAX: usize = 10 + 10 + 8;
const BLOCK_BYTES: usize = 64 * ROW_BYTES_MAX;

/// Rows are put together here and appended many at a time: growing the record by each integer
/// takes longer than all else about a row.
struct Block {
    bytes: [u8; BLOCK_BYTES],
    len: usize,
}

impl Block {
    fn filled(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Adds a row; the caller has seen that there is room.
    #[inline]
    fn put(&mut self, from_base: i64, from_base_ms: i64, value: f64) {
        let row = self.bytes.get_mut(self.len..).and_then(<[u8]>::first_chunk_mut);
        let Some(row): Option<&mut [u8; ROW_BYTES_MAX]> = row else { return };
        let at = put_varint_at(row, 0, from_base);
        let at = if from_base_ms == 0 && at < 5 {
            // Mostly all samples of a commit have one time, and behind a short varint is a zero.
            at + 1
        } else {
            put_varint_at(row, at, from_base_ms)
        };
        store(row, at, value.to_bits().to_be());
        self.len += at + 8;
    }
}

#[inline]
fn store(row: &mut [u8; ROW_BYTES_MAX], at: usize, value: u64) {
    if let Some(place) = row.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<8>) {
        *place = value.to_ne_bytes();
    }
}

/// Puts a varint at `at`, gives the place behind it. Of the eight bytes from `at` on, those behind
/// it become zero, if it is that short.
#[inline]
fn put_varint_at(row: &mut [u8; ROW_BYTES_MAX], at: usize, value: i64) -> usize {
    let bits = ((value << 1) ^ (value >> 63)) as u64;
    if bits < 1 << 14 {
        let goes_on = (bits >= 1 << 7) as u64;
        store(row, at, ((bits & 0x7f) | goes_on << 7 | bits >> 7 << 8).to_le());
        return at + 1 + goes_on as usize;
    }
    if bits >= 1 << 28 {
        return put_long_varint_at(row, at, bits);
    }
    // Four groups of seven bits spread to bytes at once, without a branch on their number.
    let spread = (bits & 0x7f)
        | ((bits & 0x3f80) << 1)
        | ((bits & 0x001f_c000) << 2)
        | ((bits & 0x0fe0_0000) << 3);
    let behind =
        (bits >= 1 << 7) as usize + (bits >= 1 << 14) as usize + (bits >= 1 << 21) as usize;
    let goes_on = 0x0080_8080 & ((1_u64 << (8 * behind)) - 1);
    store(row, at, (spread | goes_on).to_le());
    at + behind + 1
}

#[cold]
fn put_long_varint_at(row: &mut [u8; ROW_BYTES_MAX], at: usize, mut bits: u64) -> usize {
    let mut end = at;
    for slot in row.iter_mut().skip(at) {
        end += 1;
        *slot = bits as u8 | 0x80;
        if bits < 0x80 {
            *slot = bits as u8;
            break;
        }
        bits >>= 7;
    }
    end
}

/// Reads a record of float samples, with or without start times, which are left out.
///
/// # Errors
/// Another kind, or bytes that are no such record; rows before them are handed out.
pub fn decode_samples(
    record: &[u8],
    mut each: impl FnMut(SeriesRef, Sample),
) -> Result<(), RecordError> {
    let mut cursor = body(record, &[2, 11])?;
    let mut places = Places::begin(kind(record), &mut cursor)?;
    while !cursor.is_empty() {
        let Place { series, timestamp_ms, .. } = places.read(&mut cursor)?;
        each(series, Sample { timestamp_ms, value: cursor.f64_be()? });
    }
    Ok(())
}

/// Reads series and time of every sample of any kind: floats and histograms of all versions.
///
/// # Errors
/// Another kind, or bytes that are no such record; rows before them are handed out.
pub fn decode_times(
    record: &[u8],
    mut each: impl FnMut(SeriesRef, i64),
) -> Result<(), RecordError> {
    if !kind(record).is_samples() {
        return Err(RecordError::WrongKind(record.first().copied().unwrap_or(0)));
    }
    rows::each_row(record, |row| each(row.place.series, row.place.timestamp_ms))
}
