//! Type, unit and help of series.

use crate::base::varint::{put_text, put_uvarint};
use crate::model::{Metadata, MetricKind};
use crate::series::SeriesRef;

use super::super::error::RecordError;
use super::kind::{RecordKind, body, text};

/// What a series means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataRow<'a> {
    /// The series.
    pub series: SeriesRef,
    /// What sort of metric it is.
    pub kind: MetricKind,
    /// What its value is measured in.
    pub unit: &'a str,
    /// What it means.
    pub help: &'a str,
}

impl<'a> MetadataRow<'a> {
    /// The row that says this of a series.
    #[must_use]
    pub fn new(series: SeriesRef, metadata: &'a Metadata) -> Self {
        Self { series, kind: metadata.kind, unit: &metadata.unit, help: &metadata.help }
    }

    /// The row without its series, owned.
    #[must_use]
    pub fn to_metadata(self) -> Metadata {
        Metadata { kind: self.kind, unit: self.unit.to_owned(), help: self.help.to_owned() }
    }
}

/// Names of the fields that are written; others are passed over when read.
const UNIT: &str = "UNIT";
const HELP: &str = "HELP";

/// The kinds by their number.
const KINDS: [MetricKind; 8] = [
    MetricKind::Unknown,
    MetricKind::Counter,
    MetricKind::Gauge,
    MetricKind::Histogram,
    MetricKind::GaugeHistogram,
    MetricKind::Summary,
    MetricKind::Info,
    MetricKind::StateSet,
];

/// Appends a record of metadata. Prometheus writes such records only where its feature
/// `metadata-wal-records` is on, and its agent refuses a log that has one.
pub fn encode_metadata<'a>(out: &mut Vec<u8>, rows: impl Iterator<Item = MetadataRow<'a>>) {
    out.push(RecordKind::Metadata.byte());
    for row in rows {
        put_uvarint(out, row.series.0);
        out.push(KINDS.iter().position(|kind| *kind == row.kind).unwrap_or(0) as u8);
        put_uvarint(out, 2);
        for text in [UNIT, row.unit, HELP, row.help] {
            put_text(out, text);
        }
    }
}

/// Reads a record of metadata.
///
/// # Errors
/// Another kind, or bytes that are no such record; rows before them are handed out.
pub fn decode_metadata(
    record: &[u8],
    mut each: impl FnMut(MetadataRow<'_>),
) -> Result<(), RecordError> {
    let mut cursor = body(record, &[6])?;
    while !cursor.is_empty() {
        let series = SeriesRef(cursor.uvarint()?);
        let kind = KINDS.get(usize::from(cursor.u8()?)).copied().unwrap_or_default();
        let mut row = MetadataRow { series, kind, unit: "", help: "" };
        for _ in 0..cursor.uvarint()? {
            let name = text(&mut cursor)?;
            let value = text(&mut cursor)?;
            match name {
                UNIT => row.unit = value,
                HELP => row.help = value,
                _ => {}
            }
        }
        each(row);
    }
    Ok(())
}
