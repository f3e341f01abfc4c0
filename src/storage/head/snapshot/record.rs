//! The records of a snapshot. The layout is in `FORMAT.md`.

use crate::base::varint::{Cursor, put_uvarint, put_varint};
use crate::chunk::Encoding;
use crate::model::{LabelsBuf, LabelsRef, Value};
use crate::series::{SeriesRef, TimeRange};
use crate::storage::wal::{
    self, ExemplarRow, HistogramReader, RecordError, labels_of, put_histogram, put_labels,
};

const SERIES: u8 = 1;
const TOMBSTONES: u8 = 2;
const EXEMPLARS: u8 = 3;
const TOMBSTONES_VERSION: u8 = 1;
/// Three times and values that older versions kept, and a fourth time.
const LEGACY_BYTES: usize = 3 * 16 + 8;

/// A series of a snapshot.
#[derive(Debug, Clone, Copy)]
pub(in crate::storage) struct SeriesRow<'a> {
    pub(in crate::storage) series: SeriesRef,
    pub(in crate::storage) labels: LabelsRef<'a>,
    /// The chunk that was open; nothing if all were mapped or there was none.
    pub(in crate::storage) open: Option<OpenRow<'a>>,
}

/// The chunk of a series that was open.
#[derive(Debug, Clone, Copy)]
pub(in crate::storage) struct OpenRow<'a> {
    pub(in crate::storage) min_time_ms: i64,
    pub(in crate::storage) max_time_ms: i64,
    pub(in crate::storage) encoding: Encoding,
    pub(in crate::storage) data: &'a [u8],
    /// The value at `max_time_ms`.
    pub(in crate::storage) last: Value<'a>,
}

/// What a snapshot says.
#[derive(Debug, Clone, Copy)]
pub(in crate::storage) enum SnapshotRow<'a> {
    Series(SeriesRow<'a>),
    Tombstone(SeriesRef, TimeRange),
    Exemplar(ExemplarRow<'a>),
}

/// Appends the record of a series.
pub(super) fn put_series(out: &mut Vec<u8>, row: &SeriesRow<'_>) {
    out.push(SERIES);
    out.extend_from_slice(&row.series.0.to_be_bytes());
    put_labels(out, row.labels);
    out.extend_from_slice(&[0; 8]);
    let Some(open) = &row.open else { return put_uvarint(out, 0) };
    put_uvarint(out, 1);
    out.extend_from_slice(&open.min_time_ms.to_be_bytes());
    out.extend_from_slice(&open.max_time_ms.to_be_bytes());
    out.push(open.encoding as u8);
    put_uvarint(out, open.data.len() as u64);
    out.extend_from_slice(open.data);
    match open.last {
        Value::Float(value) => {
            out.extend_from_slice(&[0; LEGACY_BYTES]);
            out.extend_from_slice(&value.to_bits().to_be_bytes());
        }
        Value::Histogram(histogram) => put_histogram(out, histogram),
    }
}

/// Appends the record of all deleted spans.
pub(super) fn put_tombstones(
    out: &mut Vec<u8>,
    spans: impl Iterator<Item = (SeriesRef, TimeRange)>,
) {
    let mut body = vec![TOMBSTONES_VERSION];
    for (series, span) in spans {
        put_uvarint(&mut body, series.0);
        put_varint(&mut body, span.start_ms);
        put_varint(&mut body, span.end_ms);
    }
    out.push(TOMBSTONES);
    put_uvarint(out, body.len() as u64);
    out.extend_from_slice(&body);
}

/// Appends a record of exemplars; of no rows nothing.
pub(super) fn put_exemplars<'a>(out: &mut Vec<u8>, rows: impl Iterator<Item = ExemplarRow<'a>>) {
    let start = out.len();
    wal::encode_exemplars(out, rows);
    if let Some(kind) = out.get_mut(start) {
        *kind = EXEMPLARS;
    }
}

/// Reads records. Reused from record to record.
#[derive(Debug, Default)]
pub(super) struct Reader {
    labels: LabelsBuf,
    histograms: HistogramReader,
    exemplars: Vec<u8>,
}

impl Reader {
    /// Hands out what a record says.
    pub(super) fn read(
        &mut self,
        record: &[u8],
        each: &mut dyn FnMut(SnapshotRow<'_>),
    ) -> Result<(), RecordError> {
        match record.split_first() {
            Some((&SERIES, body)) => self.read_series(body, each),
            Some((&TOMBSTONES, body)) => read_tombstones(body, each),
            Some((&EXEMPLARS, body)) => {
                self.exemplars.clear();
                self.exemplars.push(wal::RecordKind::Exemplars.byte());
                self.exemplars.extend_from_slice(body);
                let each = |row: ExemplarRow<'_>| each(SnapshotRow::Exemplar(row));
                wal::decode_exemplars(&self.exemplars, &mut self.labels, each)
            }
            first => Err(RecordError::WrongKind(first.map_or(0, |(kind, _)| *kind))),
        }
    }

    fn read_series(
        &mut self,
        body: &[u8],
        each: &mut dyn FnMut(SnapshotRow<'_>),
    ) -> Result<(), RecordError> {
        let mut cursor = Cursor::new(body);
        let series = SeriesRef(cursor.u64_be()?);
        let labels = labels_of(&mut cursor, &mut self.labels)?;
        cursor.u64_be()?;
        let has_chunk = cursor.uvarint()? != 0;
        let open =
            if has_chunk { Some(read_open(&mut cursor, &mut self.histograms)?) } else { None };
        if !cursor.is_empty() {
            return Err(RecordError::Refused("bytes behind a series".into()));
        }
        each(SnapshotRow::Series(SeriesRow { series, labels, open }));
        Ok(())
    }
}

fn read_open<'a>(
    cursor: &mut Cursor<'a>,
    histograms: &'a mut HistogramReader,
) -> Result<OpenRow<'a>, RecordError> {
    let (min_time_ms, max_time_ms) = (cursor.i64_be()?, cursor.i64_be()?);
    let encoding = Encoding::try_from(cursor.u8()?);
    let encoding = encoding.map_err(|error| RecordError::Refused(error.to_string()))?;
    let data = cursor.length_prefixed()?;
    let is_float = match encoding {
        Encoding::Xor | Encoding::Xor2 => {
            cursor.take(LEGACY_BYTES)?;
            let last = Value::Float(cursor.f64_be()?);
            return Ok(OpenRow { min_time_ms, max_time_ms, encoding, data, last });
        }
        Encoding::Histogram | Encoding::HistogramSt => false,
        Encoding::FloatHistogram | Encoding::FloatHistogramSt => true,
    };
    let last = histograms.read(cursor, is_float)?;
    let last = last.ok_or_else(|| RecordError::Refused("a histogram that is none".into()))?;
    let last = Value::Histogram(last);
    Ok(OpenRow { min_time_ms, max_time_ms, encoding, data, last })
}

fn read_tombstones(body: &[u8], each: &mut dyn FnMut(SnapshotRow<'_>)) -> Result<(), RecordError> {
    let mut rows = Cursor::new(Cursor::new(body).length_prefixed()?);
    match rows.u8()? {
        TOMBSTONES_VERSION => {}
        other => return Err(RecordError::WrongKind(other)),
    }
    while !rows.is_empty() {
        let series = SeriesRef(rows.uvarint()?);
        let start_ms = rows.varint()?;
        let span = TimeRange::new(start_ms, rows.varint()?);
        each(SnapshotRow::Tombstone(series, span));
    }
    Ok(())
}
