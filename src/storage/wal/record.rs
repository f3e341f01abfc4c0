//! Records: series and float samples in and out, the others recognised.
//!
//! Encoders append to a buffer that the caller reuses; decoders hand out borrowed rows.

use crate::base::varint::{Cursor, put_text, put_uvarint, put_varint};
use crate::model::{LabelsBuf, LabelsRef, Sample};
use crate::series::SeriesRef;

use super::error::RecordError;
use super::rows;

/// What a record holds: its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// 1: names of series.
    Series,
    /// 2: float samples.
    Samples,
    /// 3: deleted spans of time.
    Tombstones,
    /// 4: exemplars.
    Exemplars,
    /// 5: out-of-order chunks that were mapped; only in an out-of-order log.
    MmapMarkers,
    /// 6: type, unit and help of series.
    Metadata,
    /// 7: integer histograms.
    HistogramSamples,
    /// 8: float histograms.
    FloatHistogramSamples,
    /// 9: integer histograms with custom buckets.
    CustomBucketsHistogramSamples,
    /// 10: float histograms with custom buckets.
    CustomBucketsFloatHistogramSamples,
    /// 11: float samples with start times.
    SamplesV2,
    /// 12: integer histograms of both sorts with start times.
    HistogramSamplesV2,
    /// 13: float histograms of both sorts with start times.
    FloatHistogramSamplesV2,
    /// Something of a later version; 0 also for an empty record.
    Unknown(u8),
}

impl RecordKind {
    const KNOWN: [Self; 13] = [
        Self::Series,
        Self::Samples,
        Self::Tombstones,
        Self::Exemplars,
        Self::MmapMarkers,
        Self::Metadata,
        Self::HistogramSamples,
        Self::FloatHistogramSamples,
        Self::CustomBucketsHistogramSamples,
        Self::CustomBucketsFloatHistogramSamples,
        Self::SamplesV2,
        Self::HistogramSamplesV2,
        Self::FloatHistogramSamplesV2,
    ];

    /// The kind behind a first byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Self {
        let index = usize::from(byte).wrapping_sub(1);
        Self::KNOWN.get(index).copied().unwrap_or(Self::Unknown(byte))
    }

    /// The first byte of such a record.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Unknown(byte) => byte,
            known => Self::KNOWN.iter().position(|kind| *kind == known).map_or(0, |i| i as u8 + 1),
        }
    }

    /// True for floats and histograms of any version.
    #[must_use]
    pub const fn is_samples(self) -> bool {
        use RecordKind::{Exemplars, Metadata, MmapMarkers, Series, Tombstones, Unknown as Other};
        !matches!(self, Series | Tombstones | Exemplars | MmapMarkers | Metadata | Other(_))
    }
}

/// The kind of a record.
#[must_use]
pub fn kind(record: &[u8]) -> RecordKind {
    RecordKind::from_byte(record.first().copied().unwrap_or(0))
}

/// A cursor behind the first byte, which must be one of `kinds`.
pub(super) fn body<'a>(record: &'a [u8], kinds: &[u8]) -> Result<Cursor<'a>, RecordError> {
    match record.split_first() {
        Some((kind, rest)) if kinds.contains(kind) => Ok(Cursor::new(rest)),
        first => Err(RecordError::WrongKind(first.map_or(0, |(kind, _)| *kind))),
    }
}

pub(super) fn text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, RecordError> {
    std::str::from_utf8(cursor.length_prefixed()?).map_err(|_| RecordError::Text)
}

/// Appends a record that names series.
pub fn encode_series<'a>(
    out: &mut Vec<u8>,
    rows: impl Iterator<Item = (SeriesRef, LabelsRef<'a>)>,
) {
    out.push(RecordKind::Series.byte());
    for (series, labels) in rows {
        out.extend_from_slice(&series.0.to_be_bytes());
        put_uvarint(out, labels.iter().count() as u64);
        for (name, value) in labels.iter() {
            put_text(out, name);
            put_text(out, value);
        }
    }
}

/// Appends a record of float samples.
pub fn encode_samples(out: &mut Vec<u8>, rows: impl Iterator<Item = (SeriesRef, Sample)>) {
    out.push(RecordKind::Samples.byte());
    let mut base = None;
    for (series, sample) in rows {
        let (base_ref, base_ms) = *base.get_or_insert_with(|| {
            out.extend_from_slice(&series.0.to_be_bytes());
            out.extend_from_slice(&sample.timestamp_ms.to_be_bytes());
            (series.0, sample.timestamp_ms)
        });
        put_varint(out, series.0.wrapping_sub(base_ref) as i64);
        put_varint(out, sample.timestamp_ms.wrapping_sub(base_ms));
        out.extend_from_slice(&sample.value.to_bits().to_be_bytes());
    }
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
        labels.clear();
        for _ in 0..cursor.uvarint()? {
            let name = text(&mut cursor)?;
            labels.push(name, text(&mut cursor)?);
        }
        each(series, labels.finish()?);
    }
    Ok(())
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
    if record.first() == Some(&11) {
        return rows::each_v2(cursor, rows::skip_float, |row| {
            let bits = row.value.try_into().map_or(0, u64::from_be_bytes);
            let value = f64::from_bits(bits);
            each(row.series, Sample { timestamp_ms: row.timestamp_ms, value });
        });
    }
    if cursor.is_empty() {
        return Ok(());
    }
    let (base_ref, base_ms) = (cursor.u64_be()?, cursor.i64_be()?);
    while !cursor.is_empty() {
        let series = SeriesRef(base_ref.wrapping_add(cursor.varint()? as u64));
        let timestamp_ms = base_ms.wrapping_add(cursor.varint()?);
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
    rows::each_row(record, |row| each(row.series, row.timestamp_ms))
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
