//! Names of series, and what was deleted of them.

use crate::base::varint::{Cursor, put_text, put_uvarint, put_varint};
use crate::model::{LabelsBuf, LabelsRef};
use crate::series::SeriesRef;

use super::super::error::RecordError;
use super::kind::{RecordKind, body, text};

/// Appends a record that names series.
pub fn encode_series<'a>(
    out: &mut Vec<u8>,
    rows: impl Iterator<Item = (SeriesRef, LabelsRef<'a>)>,
) {
    out.push(RecordKind::Series.byte());
    for (series, labels) in rows {
        out.extend_from_slice(&series.0.to_be_bytes());
        put_labels(out, labels);
    }
}

/// Reads a record that names series. `labels` is a workbench that is reused.
///
/// # Errors
/// Another kind, or bytes that are no such record; rows before them are handed out.
pub fn decode_series(
    record: &[u8],
    labels: &mut LabelsBuf,
    mut each: impl FnMut(SeriesRef, LabelsRef<'_>),
) -> Result<(), RecordError> {
    let mut cursor = body(record, &[1])?;
    while !cursor.is_empty() {
        let series = SeriesRef(cursor.u64_be()?);
        each(series, labels_of(&mut cursor, labels)?);
    }
    Ok(())
}

/// Appends a label set: how many labels, then names and values.
pub(in crate::storage) fn put_labels(out: &mut Vec<u8>, labels: LabelsRef<'_>) {
    put_uvarint(out, labels.iter().count() as u64);
    for (name, value) in labels.iter() {
        put_text(out, name);
        put_text(out, value);
    }
}

/// Reads what [`put_labels`] wrote.
pub(in crate::storage) fn labels_of<'a>(
    cursor: &mut Cursor<'_>,
    labels: &'a mut LabelsBuf,
) -> Result<LabelsRef<'a>, RecordError> {
    labels.clear();
    for _ in 0..cursor.uvarint()? {
        let name = text(cursor)?;
        labels.push(name, text(cursor)?);
    }
    Ok(labels.finish()?)
}

/// Appends a record of deletions: of each series the first and the last millisecond deleted.
pub fn encode_tombstones(out: &mut Vec<u8>, rows: impl Iterator<Item = (SeriesRef, i64, i64)>) {
    out.push(RecordKind::Tombstones.byte());
    for (series, min_time_ms, max_time_ms) in rows {
        out.extend_from_slice(&series.0.to_be_bytes());
        put_varint(out, min_time_ms);
        put_varint(out, max_time_ms);
    }
}

/// Reads a record of deletions: series, first and last millisecond.
///
/// # Errors
/// Another kind, or bytes that are no such record; rows before them are handed out.
pub fn decode_tombstones(
    record: &[u8],
    mut each: impl FnMut(SeriesRef, i64, i64),
) -> Result<(), RecordError> {
    let mut cursor = body(record, &[3])?;
    while !cursor.is_empty() {
        let series = SeriesRef(cursor.u64_be()?);
        let min_time_ms = cursor.varint()?;
        each(series, min_time_ms, cursor.varint()?);
    }
    Ok(())
}
