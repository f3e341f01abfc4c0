//! What a record holds.

use crate::base::varint::Cursor;

use super::super::error::RecordError;

/// What a record holds: its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

    /// True for floats and histograms, with and without start times.
    #[must_use]
    pub const fn is_samples(self) -> bool {
        use RecordKind::{Exemplars, Metadata, MmapMarkers, Series, Tombstones, Unknown as Other};
        !matches!(self, Series | Tombstones | Exemplars | MmapMarkers | Metadata | Other(_))
    }

    /// True if its rows say since when they count.
    #[must_use]
    pub const fn has_starts(self) -> bool {
        matches!(self, Self::SamplesV2 | Self::HistogramSamplesV2 | Self::FloatHistogramSamplesV2)
    }
}

/// The kind of a record.
#[must_use]
pub fn kind(record: &[u8]) -> RecordKind {
    RecordKind::from_byte(record.first().copied().unwrap_or(0))
}

/// A cursor behind the first byte, which must be one of `kinds`.
pub(in super::super) fn body<'a>(
    record: &'a [u8],
    kinds: &[u8],
) -> Result<Cursor<'a>, RecordError> {
    match record.split_first() {
        Some((kind, rest)) if kinds.contains(kind) => Ok(Cursor::new(rest)),
        first => Err(RecordError::WrongKind(first.map_or(0, |(kind, _)| *kind))),
    }
}

pub(super) fn text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, RecordError> {
    std::str::from_utf8(cursor.length_prefixed()?).map_err(|_| RecordError::Text)
}
