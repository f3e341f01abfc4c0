//! Exemplars of samples.

use crate::model::{LabelsBuf, LabelsRef};
use crate::series::SeriesRef;

use super::super::error::RecordError;
use super::kind::{RecordKind, body};
use super::place::{Place, Places, put_based};
use super::series::{labels_of, put_labels};

/// An exemplar of a record.
#[derive(Debug, Clone, Copy)]
pub struct ExemplarRow<'a> {
    /// Whose exemplar it is.
    pub series: SeriesRef,
    /// When it was observed.
    pub timestamp_ms: i64,
    /// What was observed.
    pub value: f64,
    /// What tells where to look.
    pub labels: LabelsRef<'a>,
}

/// Appends a record of exemplars; of no rows nothing.
pub fn encode_exemplars<'a>(out: &mut Vec<u8>, rows: impl Iterator<Item = ExemplarRow<'a>>) {
    let mut base = None;
    for ExemplarRow { series, timestamp_ms, value, labels } in rows {
        let base = *base.get_or_insert_with(|| {
            out.push(RecordKind::Exemplars.byte());
            out.extend_from_slice(&series.0.to_be_bytes());
            out.extend_from_slice(&timestamp_ms.to_be_bytes());
            (series, timestamp_ms)
        });
        put_based(out, base, &Place { series, timestamp_ms, start_ms: 0 });
        out.extend_from_slice(&value.to_bits().to_be_bytes());
        put_labels(out, labels);
    }
}

/// Reads a record of exemplars. `labels` is a workbench that is reused.
///
/// # Errors
/// Another kind, or bytes that are no such record; rows before them are handed out.
pub fn decode_exemplars(
    record: &[u8],
    labels: &mut LabelsBuf,
    mut each: impl FnMut(ExemplarRow<'_>),
) -> Result<(), RecordError> {
    let mut cursor = body(record, &[4])?;
    let mut places = Places::begin(RecordKind::Exemplars, &mut cursor)?;
    while !cursor.is_empty() {
        let Place { series, timestamp_ms, .. } = places.read(&mut cursor)?;
        let value = cursor.f64_be()?;
        each(ExemplarRow { series, timestamp_ms, value, labels: labels_of(&mut cursor, labels)? });
    }
    Ok(())
}
