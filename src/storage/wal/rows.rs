//! Rows of every sample record, histograms included, without understanding their values.
//!
//! A value's extent is all that filtering needs, so histograms are stepped over and copied as
//! they are.

use crate::base::varint::{Cursor, Truncated, put_varint};
use crate::series::SeriesRef;

use super::error::RecordError;
use super::record::{RecordKind, kind};

/// Schema of histograms whose bucket bounds stand beside them.
const CUSTOM_BUCKETS_SCHEMA: i64 = -53;

/// One sample or exemplar of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) series: SeriesRef,
    pub(super) timestamp_ms: i64,
    /// When the counter started; 0 for not known.
    pub(super) start_ms: i64,
    /// The encoded value without series and times.
    pub(super) value: &'a [u8],
    /// The whole row. In records of the first version it means the same in any record with the
    /// same base.
    pub(super) raw: &'a [u8],
}

/// Steps over one value.
type Skip = fn(&mut Cursor<'_>) -> Result<(), Truncated>;

pub(super) fn skip_float(cursor: &mut Cursor<'_>) -> Result<(), Truncated> {
    cursor.take(8).map(|_| ())
}

fn skip_exemplar(cursor: &mut Cursor<'_>) -> Result<(), Truncated> {
    cursor.take(8)?;
    for _ in 0..cursor.uvarint()? {
        cursor.length_prefixed()?;
        cursor.length_prefixed()?;
    }
    Ok(())
}

fn skip_integer_histogram(cursor: &mut Cursor<'_>) -> Result<(), Truncated> {
    skip_histogram(cursor, false)
}

fn skip_float_histogram(cursor: &mut Cursor<'_>) -> Result<(), Truncated> {
    skip_histogram(cursor, true)
}

fn skip_histogram(cursor: &mut Cursor<'_>, is_float: bool) -> Result<(), Truncated> {
    cursor.u8()?;
    let schema = cursor.varint()?;
    cursor.take(8)?;
    if is_float {
        cursor.take(16)?;
    } else {
        cursor.uvarint()?;
        cursor.uvarint()?;
    }
    cursor.take(8)?;
    for _ in 0..2 {
        for _ in 0..cursor.uvarint()? {
            cursor.varint()?;
            cursor.uvarint()?;
        }
    }
    for _ in 0..2 {
        for _ in 0..cursor.uvarint()? {
            if is_float {
                cursor.take(8)?;
            } else {
                cursor.varint()?;
            }
        }
    }
    if schema == CUSTOM_BUCKETS_SCHEMA {
        for _ in 0..cursor.uvarint()? {
            cursor.take(8)?;
        }
    }
    Ok(())
}

fn skip_of(kind: RecordKind) -> Option<Skip> {
    use RecordKind as K;
    Some(match kind {
        K::Samples | K::SamplesV2 => skip_float,
        K::Exemplars => skip_exemplar,
        K::HistogramSamples | K::CustomBucketsHistogramSamples | K::HistogramSamplesV2 => {
            skip_integer_histogram
        }
        K::FloatHistogramSamples
        | K::CustomBucketsFloatHistogramSamples
        | K::FloatHistogramSamplesV2 => skip_float_histogram,
        _ => return None,
    })
}

const fn is_v2(kind: RecordKind) -> bool {
    use RecordKind::{FloatHistogramSamplesV2, HistogramSamplesV2, SamplesV2};
    matches!(kind, SamplesV2 | HistogramSamplesV2 | FloatHistogramSamplesV2)
}

/// Bytes before the first row of a record of the first version: kind, base series, base time.
const BASE_BYTES: usize = 1 + 8 + 8;

/// Reads the rows of a record of samples or exemplars.
pub(super) fn each_row<'a>(record: &'a [u8], each: impl FnMut(Row<'a>)) -> Result<(), RecordError> {
    let kind = kind(record);
    let skip = skip_of(kind).ok_or(RecordError::WrongKind(kind.byte()))?;
    let cursor = Cursor::new(record.get(1..).unwrap_or_default());
    if is_v2(kind) { each_v2(cursor, skip, each) } else { each_v1(cursor, skip, each) }
}

/// What was read between `before` and `after`.
fn between<'a>(before: Cursor<'a>, after: Cursor<'a>) -> &'a [u8] {
    before.rest().get(..before.len() - after.len()).unwrap_or_default()
}

fn each_v1<'a>(
    mut cursor: Cursor<'a>,
    skip: Skip,
    mut each: impl FnMut(Row<'a>),
) -> Result<(), RecordError> {
    if cursor.is_empty() {
        return Ok(());
    }
    let (base_ref, base_ms) = (cursor.u64_be()?, cursor.i64_be()?);
    while !cursor.is_empty() {
        let start = cursor;
        let series = SeriesRef(base_ref.wrapping_add(cursor.varint()? as u64));
        let timestamp_ms = base_ms.wrapping_add(cursor.varint()?);
        let value_start = cursor;
        skip(&mut cursor)?;
        let (value, raw) = (between(value_start, cursor), between(start, cursor));
        each(Row { series, timestamp_ms, start_ms: 0, value, raw });
    }
    Ok(())
}

pub(super) fn each_v2<'a>(
    mut cursor: Cursor<'a>,
    skip: Skip,
    mut each: impl FnMut(Row<'a>),
) -> Result<(), RecordError> {
    let mut first: Option<Row<'a>> = None;
    let mut previous: Option<Row<'a>> = None;
    while !cursor.is_empty() {
        let start = cursor;
        let (series, timestamp_ms, start_ms) = match (&first, &previous) {
            (Some(first), Some(previous)) => {
                let series = previous.series.0.wrapping_add(cursor.varint()? as u64);
                let timestamp_ms = first.timestamp_ms.wrapping_add(cursor.varint()?);
                let start_ms = match cursor.u8()? {
                    NO_START => 0,
                    SAME_START => previous.start_ms,
                    _ => first.start_ms.wrapping_add(cursor.varint()?),
                };
                (series, timestamp_ms, start_ms)
            }
            _ => (cursor.varint()? as u64, cursor.varint()?, cursor.varint()?),
        };
        let value_start = cursor;
        skip(&mut cursor)?;
        let (value, raw) = (between(value_start, cursor), between(start, cursor));
        let row = Row { series: SeriesRef(series), timestamp_ms, start_ms, value, raw };
        first.get_or_insert(row);
        previous = Some(row);
        each(row);
    }
    Ok(())
}

const NO_START: u8 = 0;
const SAME_START: u8 = 1;
const OTHER_START: u8 = 2;

/// How many rows a filter saw and how many it kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) seen: u64,
    pub(super) kept: u64,
}

/// Appends the record with those rows whose time is at least `min_time_ms`; nothing if there is
/// none.
pub(super) fn keep_since(
    record: &[u8],
    min_time_ms: i64,
    out: &mut Vec<u8>,
) -> Result<Kept, RecordError> {
    let mut count = Kept::default();
    let start = out.len();
    let v2 = is_v2(kind(record));
    let mut first: Option<Row<'_>> = None;
    let mut previous: Option<Row<'_>> = None;
    let read = each_row(record, |row| {
        count.seen += 1;
        if row.timestamp_ms < min_time_ms {
            return;
        }
        count.kept += 1;
        if first.is_none() {
            // Rows of the first version refer to the base alone, which may be of any sample.
            let head = if v2 { 1 } else { BASE_BYTES };
            out.extend_from_slice(record.get(..head).unwrap_or_default());
        }
        if v2 {
            put_v2(out, first.as_ref().zip(previous.as_ref()), &row);
        } else {
            out.extend_from_slice(row.raw);
        }
        first.get_or_insert(row);
        previous = Some(row);
    });
    if read.is_err() {
        out.truncate(start);
    }
    read.map(|()| count)
}

fn put_v2(out: &mut Vec<u8>, known: Option<(&Row<'_>, &Row<'_>)>, row: &Row<'_>) {
    match known {
        None => {
            put_varint(out, row.series.0 as i64);
            put_varint(out, row.timestamp_ms);
            put_varint(out, row.start_ms);
        }
        Some((first, previous)) => {
            put_varint(out, row.series.0.wrapping_sub(previous.series.0) as i64);
            put_varint(out, row.timestamp_ms.wrapping_sub(first.timestamp_ms));
            if row.start_ms == 0 {
                out.push(NO_START);
            } else if row.start_ms == previous.start_ms {
                out.push(SAME_START);
            } else {
                out.push(OTHER_START);
                put_varint(out, row.start_ms.wrapping_sub(first.start_ms));
            }
        }
    }
    out.extend_from_slice(row.value);
}
