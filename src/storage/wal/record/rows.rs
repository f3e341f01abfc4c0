//! Rows of every record of samples or exemplars, without understanding their values.
//!
//! A value's extent is all that filtering needs, so histograms are stepped over and copied as
//! they are.

use crate::base::varint::{Cursor, Truncated};
use crate::model::histogram::CUSTOM_SCHEMA;

use super::super::error::RecordError;
use super::kind::{RecordKind, kind};
use super::place::{Place, Places, put_chained};

/// One sample or exemplar of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawRow<'a> {
    pub(super) place: Place,
    /// The encoded value without the place.
    pub(super) value: &'a [u8],
    /// The whole row. In records without starts it means the same in any record with the same
    /// base.
    pub(super) raw: &'a [u8],
}

/// Steps over one value.
type Skip = fn(&mut Cursor<'_>) -> Result<(), Truncated>;

fn skip_float(cursor: &mut Cursor<'_>) -> Result<(), Truncated> {
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
    if schema == i64::from(CUSTOM_SCHEMA) {
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

/// Bytes before the first row of a record without starts: kind, base series, base time.
const BASE_BYTES: usize = 1 + 8 + 8;

/// Reads the rows of a record of samples or exemplars.
pub(super) fn each_row<'a>(
    record: &'a [u8],
    mut each: impl FnMut(RawRow<'a>),
) -> Result<(), RecordError> {
    let kind = kind(record);
    let skip = skip_of(kind).ok_or(RecordError::WrongKind(kind.byte()))?;
    let mut cursor = Cursor::new(record.get(1..).unwrap_or_default());
    let mut places = Places::begin(kind, &mut cursor)?;
    while !cursor.is_empty() {
        let start = cursor;
        let place = places.read(&mut cursor)?;
        let value_start = cursor;
        skip(&mut cursor)?;
        let (value, raw) = (between(value_start, cursor), between(start, cursor));
        each(RawRow { place, value, raw });
    }
    Ok(())
}

/// What was read between `before` and `after`.
fn between<'a>(before: Cursor<'a>, after: Cursor<'a>) -> &'a [u8] {
    before.rest().get(..before.len() - after.len()).unwrap_or_default()
}

/// How many rows a filter saw and how many it kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in super::super) struct RowCount {
    pub(in super::super) seen: u64,
    pub(in super::super) kept: u64,
}

/// Appends the record with those rows whose time is at least `min_time_ms`; nothing if there is
/// none.
pub(in super::super) fn keep_since(
    record: &[u8],
    min_time_ms: i64,
    out: &mut Vec<u8>,
) -> Result<RowCount, RecordError> {
    let mut count = RowCount::default();
    let start = out.len();
    let with_starts = kind(record).has_starts();
    let mut first: Option<Place> = None;
    let mut previous: Option<Place> = None;
    let read = each_row(record, |row| {
        count.seen += 1;
        if row.place.timestamp_ms < min_time_ms {
            return;
        }
        count.kept += 1;
        if first.is_none() {
            // Rows without starts refer to the base alone, which may be of any sample.
            let head = if with_starts { 1 } else { BASE_BYTES };
            out.extend_from_slice(record.get(..head).unwrap_or_default());
        }
        if with_starts {
            put_chained(out, first.as_ref().zip(previous.as_ref()), &row.place);
            out.extend_from_slice(row.value);
        } else {
            out.extend_from_slice(row.raw);
        }
        first.get_or_insert(row.place);
        previous = Some(row.place);
    });
    if read.is_err() {
        out.truncate(start);
    }
    read.map(|()| count)
}
