//! Float samples.

use crate::model::Sample;
use crate::series::SeriesRef;

use super::super::error::RecordError;
use super::kind::{RecordKind, body, kind};
use super::place::{Place, Places};
use super::rows;

/// Appends a record of float samples without start times; nothing if there are none.
pub fn encode_samples(out: &mut Vec<u8>, rows: impl Iterator<Item = (SeriesRef, Sample)>) {
    let mut records = SampleRecords::default();
    rows.for_each(|(series, sample)| records.push(series, sample));
    records.end_record();
    records.iter().for_each(|record| out.extend_from_slice(record));
}

/// Records of float samples without start times, put together row by row. Reused from commit to
/// commit.
#[derive(Debug, Default)]
pub struct SampleRecords {
    /// The records one behind the other, and what is left of their memory.
    bytes: Vec<u8>,
    len: usize,
    /// Where the records end that are whole.
    ends: Vec<usize>,
    /// Where the one begins that is not.
    start: usize,
    base_ref: u64,
    base_ms: i64,
}

/// The longest row: two varints of ten bytes and a value. The varints are stored eight bytes at a
/// time, so that the second may reach two bytes further.
const ROW_BYTES_MAX: usize = 10 + 10 + 8;
/// The memory of the records grows by so many rows, and that often: never for each integer, which
/// takes longer than all else about a row.
const GROWTH_BYTES: usize = 256 * ROW_BYTES_MAX;
/// Memory of more than this is not kept for the next commit.
const KEPT_BYTES_MAX: usize = 4 << 20;

impl SampleRecords {
    /// Adds a row to the record that is not whole.
    #[inline(always)]
    pub fn push(&mut self, series: SeriesRef, sample: Sample) {
        if self.len == self.start {
            self.begin(series, sample);
        }
        let row = self.bytes.get_mut(self.len..).and_then(<[u8]>::first_chunk_mut);
        let Some(row): Option<&mut [u8; ROW_BYTES_MAX]> = row else {
            return self.grow_and_push(series, sample);
        };
        let from_base = series.0.wrapping_sub(self.base_ref) as i64;
        let from_base_ms = sample.timestamp_ms.wrapping_sub(self.base_ms);
        self.len += put_row(row, from_base, from_base_ms, sample.value);
    }

    /// The first row of a record is the base of the others.
    #[cold]
    #[inline(never)]
    fn begin(&mut self, series: SeriesRef, sample: Sample) {
        (self.base_ref, self.base_ms) = (series.0, sample.timestamp_ms);
        let base = [series.0.to_be_bytes(), sample.timestamp_ms.to_be_bytes()];
        let head = [RecordKind::Samples.byte()].into_iter().chain(base.into_iter().flatten());
        let end = self.len + size_of_val(&base) + 1;
        if self.bytes.len() < end {
            self.bytes.resize(end + GROWTH_BYTES, 0);
        }
        let into = self.bytes.iter_mut().skip(self.len);
        into.zip(head).for_each(|(into, byte)| *into = byte);
        self.len = end;
    }

    #[cold]
    #[inline(never)]
    fn grow_and_push(&mut self, series: SeriesRef, sample: Sample) {
        let more = GROWTH_BYTES.max(self.bytes.len());
        self.bytes.resize(self.bytes.len() + more, 0);
        self.push(series, sample);
    }

    /// Ends a record: the next row begins another. Without rows there is none.
    pub fn end_record(&mut self) {
        if self.len > self.start {
            self.ends.push(self.len);
            self.start = self.len;
        }
    }

    /// How many records are whole.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True if there is no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The records that are whole.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let record = self.bytes.get(start..end).unwrap_or_default();
            start = end;
            record
        })
    }

    /// Forgets the records, keeps the memory unless it is unusually much.
    pub fn clear(&mut self) {
        self.ends.clear();
        (self.len, self.start) = (0, 0);
        if self.bytes.len() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
    }
}

/// Puts a row at the start of `row`; returns how long it is.
#[inline(always)]
fn put_row(row: &mut [u8; ROW_BYTES_MAX], from_base: i64, from_base_ms: i64, value: f64) -> usize {
    let at = put_varint_at(row, 0, from_base);
    let at = if from_base_ms == 0 && at < 5 {
        // Mostly all samples of a commit have one time, and behind a short varint is a zero.
        at + 1
    } else {
        put_varint_at(row, at, from_base_ms)
    };
    store(row, at, value.to_bits().to_be());
    at + 8
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
