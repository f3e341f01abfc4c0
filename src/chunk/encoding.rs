//! Which encodings there are, and what can be wrong with a chunk.

use std::fmt;

use crate::model::{Column, Summary};

use super::{decode_xor, histogram, xor2};

/// The encoding byte that stands before a chunk's bytes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// Floats.
    Xor = 1,
    /// Histograms with integer counts.
    Histogram = 2,
    /// Histograms with float counts.
    FloatHistogram = 3,
    /// Floats, with start timestamps if there are any.
    Xor2 = 4,
    /// Histograms with integer counts and start timestamps.
    HistogramSt = 5,
    /// Histograms with float counts and start timestamps.
    FloatHistogramSt = 6,
}

impl TryFrom<u8> for Encoding {
    type Error = ChunkError;

    fn try_from(byte: u8) -> Result<Self, ChunkError> {
        Ok(match byte {
            1 => Self::Xor,
            2 => Self::Histogram,
            3 => Self::FloatHistogram,
            4 => Self::Xor2,
            5 => Self::HistogramSt,
            6 => Self::FloatHistogramSt,
            _ => return Err(ChunkError::Unknown(byte)),
        })
    }
}

/// Prometheus's name of the encoding.
impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Xor => "XOR",
            Self::Histogram => "histogram",
            Self::FloatHistogram => "floathistogram",
            Self::Xor2 => "XOR2",
            Self::HistogramSt => "histogramST",
            Self::FloatHistogramSt => "floathistogramST",
        })
    }
}

/// Why a chunk could not be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChunkError {
    /// The bytes end before the samples do.
    Truncated,
    /// The bytes say something that no writer writes.
    Malformed(&'static str),
    /// An encoding that this version does not read.
    Unsupported(Encoding),
    /// A byte that names no encoding.
    Unknown(u8),
    /// The chunk holds as many samples as its count can say.
    Full,
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("chunk ends before its samples do"),
            Self::Malformed(what) => write!(f, "malformed chunk: {what}"),
            Self::Unsupported(encoding) => write!(f, "chunk encoding {encoding} is not supported"),
            Self::Unknown(byte) => write!(f, "unknown chunk encoding {byte}"),
            Self::Full => f.write_str("chunk is full"),
        }
    }
}

impl std::error::Error for ChunkError {}

/// How many samples a chunk says it holds. Chunks of histograms with starts keep two other bits in
/// the same two bytes.
///
/// # Errors
/// [`ChunkError::Truncated`] if there are fewer than two bytes; [`ChunkError::Unknown`].
pub fn sample_count(encoding: u8, data: &[u8]) -> Result<u16, ChunkError> {
    let count = data.first_chunk().map(|count| u16::from_be_bytes(*count));
    let count = count.ok_or(ChunkError::Truncated)?;
    Ok(match Encoding::try_from(encoding)? {
        Encoding::HistogramSt | Encoding::FloatHistogramSt => count & 0x3fff,
        _ => count,
    })
}

/// Appends the samples of a chunk that lie in `start_ms..=end_ms` to a column.
///
/// # Errors
/// See [`ChunkError`]; the column is then as it was.
pub fn decode(
    encoding: u8,
    data: &[u8],
    range: (i64, i64),
    into: &mut Column,
) -> Result<(), ChunkError> {
    let encoding = Encoding::try_from(encoding)?;
    let (length, had_starts) = (into.len(), !into.starts_ms.is_empty());
    let result = match encoding {
        Encoding::Xor => decode_xor(data, range, &mut into.timestamps, &mut into.floats),
        Encoding::Xor2 => xor2::decode(data, range, into),
        _ => histogram::decode(encoding, data, range, into),
    };
    if result.is_err() {
        into.truncate(length);
        if !had_starts {
            into.starts_ms.clear();
        }
    }
    if !into.starts_ms.is_empty() {
        into.starts_ms.resize(into.timestamps.len(), 0);
    }
    if !into.summaries.is_empty() {
        into.summaries.resize(into.timestamps.len(), Summary::ITSELF);
    }
    result
}

/// Time stands still at most: the last sample of a downsampled counter repeats a time.
pub(super) const TIME_GOES_BACK: ChunkError = ChunkError::Malformed("time goes back");
/// A change that reaches beyond the bits of a float.
pub(super) const WINDOW_TOO_WIDE: ChunkError =
    ChunkError::Malformed("a value window of more than 64 bits");
