//! What stands before the value of a row: its series, its time and, in newer records, since when
//! it counts. Each is told by its distance from an earlier row.

use crate::base::varint::{Cursor, Truncated, put_varint};
use crate::series::SeriesRef;

use super::kind::RecordKind;

/// Series, time and start of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) series: SeriesRef,
    pub(super) timestamp_ms: i64,
    /// Since when it counts; 0 for not known.
    pub(super) start_ms: i64,
}

/// Reads the places of a record's rows one after another.
#[derive(Debug)]
pub(super) enum Places {
    /// Rows refer to a base that stands before all of them.
    Based { series: u64, timestamp_ms: i64 },
    /// Rows refer to the first row and to the one before.
    Chained { first: Option<Place>, previous: Option<Place> },
}

const NO_START: u8 = 0;
const SAME_START: u8 = 1;
const OTHER_START: u8 = 2;

impl Places {
    /// Reads what stands before the first row; `cursor` is behind the record's kind.
    pub(super) fn begin(kind: RecordKind, cursor: &mut Cursor<'_>) -> Result<Self, Truncated> {
        if kind.has_starts() {
            return Ok(Self::Chained { first: None, previous: None });
        }
        if cursor.is_empty() {
            return Ok(Self::Based { series: 0, timestamp_ms: 0 });
        }
        Ok(Self::Based { series: cursor.u64_be()?, timestamp_ms: cursor.i64_be()? })
    }

    /// The place of the next row.
    #[inline]
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<Place, Truncated> {
        match self {
            Self::Based { series, timestamp_ms } => Ok(Place {
                series: SeriesRef(series.wrapping_add(cursor.varint()? as u64)),
                timestamp_ms: timestamp_ms.wrapping_add(cursor.varint()?),
                start_ms: 0,
            }),
            Self::Chained { first, previous } => {
                let place = read_chained(cursor, first.as_ref().zip(previous.as_ref()))?;
                first.get_or_insert(place);
                *previous = Some(place);
                Ok(place)
            }
        }
    }
}

fn read_chained(
    cursor: &mut Cursor<'_>,
    known: Option<(&Place, &Place)>,
) -> Result<Place, Truncated> {
    let (series, timestamp_ms) = (cursor.varint()?, cursor.varint()?);
    let Some((first, previous)) = known else {
        let series = SeriesRef(series as u64);
        return Ok(Place { series, timestamp_ms, start_ms: cursor.varint()? });
    };
    let start_ms = match cursor.u8()? {
        NO_START => 0,
        SAME_START => previous.start_ms,
        _ => first.start_ms.wrapping_add(cursor.varint()?),
    };
    Ok(Place {
        series: SeriesRef(previous.series.0.wrapping_add(series as u64)),
        timestamp_ms: first.timestamp_ms.wrapping_add(timestamp_ms),
        start_ms,
    })
}

/// Appends the place of a row in a record without starts.
#[inline]
pub(super) fn put_based(out: &mut Vec<u8>, base: (SeriesRef, i64), place: &Place) {
    put_varint(out, place.series.0.wrapping_sub(base.0.0) as i64);
    put_varint(out, place.timestamp_ms.wrapping_sub(base.1));
}

/// Appends the place of a row in a record with starts; `known` are the first row and the one
/// before, nothing for the first row.
pub(super) fn put_chained(out: &mut Vec<u8>, known: Option<(&Place, &Place)>, place: &Place) {
    let Some((first, previous)) = known else {
        put_varint(out, place.series.0 as i64);
        put_varint(out, place.timestamp_ms);
        put_varint(out, place.start_ms);
        return;
    };
    put_varint(out, place.series.0.wrapping_sub(previous.series.0) as i64);
    put_varint(out, place.timestamp_ms.wrapping_sub(first.timestamp_ms));
    if place.start_ms == 0 {
        out.push(NO_START);
    } else if place.start_ms == previous.start_ms {
        out.push(SAME_START);
    } else {
        out.push(OTHER_START);
        put_varint(out, place.start_ms.wrapping_sub(first.start_ms));
    }
}
