//! The three bytes before the bits of a chunk of histograms.
//!
//! | encoding | bytes 0 and 1 | byte 2 |
//! |---|---|---|
//! | without starts | count | reset flags in the two highest bits |
//! | with starts | reset flags in the two highest bits, count in the others | starts |

use crate::chunk::{ChunkError, Encoding};
use crate::model::histogram::ResetHint;

/// Bytes before the bits.
pub(super) const HEADER_BYTES: usize = 3;

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) count: u16,
    /// What is known of a counter reset before the first sample.
    pub(super) reset: ResetHint,
    /// The byte of [`StartsIn`](crate::chunk::starts::StartsIn), 0 without starts.
    pub(super) starts: u8,
}

/// True if samples have starts.
pub(super) const fn has_starts(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::HistogramSt | Encoding::FloatHistogramSt)
}

/// True if counts are floats.
pub(super) const fn is_float(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::FloatHistogram | Encoding::FloatHistogramSt)
}

/// The most samples that the header can count.
pub(super) const fn count_max(encoding: Encoding) -> u16 {
    if has_starts(encoding) { 0x3fff } else { u16::MAX }
}

const fn flags(reset: ResetHint) -> u8 {
    match reset {
        ResetHint::Unknown => 0,
        ResetHint::NotReset => 0b0100_0000,
        ResetHint::Reset => 0b1000_0000,
        ResetHint::Gauge => 0b1100_0000,
    }
}

const fn reset(byte: u8) -> ResetHint {
    match byte >> 6 {
        0b01 => ResetHint::NotReset,
        0b10 => ResetHint::Reset,
        0b11 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}

impl Header {
    /// The header and what stands behind it.
    pub(super) fn read(encoding: Encoding, data: &[u8]) -> Result<(Self, &[u8]), ChunkError> {
        let Some((&[high, low, last], body)) = data.split_first_chunk() else {
            return Err(ChunkError::Truncated);
        };
        let count = u16::from_be_bytes([high, low]) & count_max(encoding);
        let header = if has_starts(encoding) {
            Self { count, reset: reset(high), starts: last }
        } else {
            Self { count, reset: reset(last), starts: 0 }
        };
        Ok((header, body))
    }

    /// The header as bytes.
    pub(super) const fn bytes(&self, encoding: Encoding) -> [u8; HEADER_BYTES] {
        let [high, low] = self.count.to_be_bytes();
        if has_starts(encoding) {
            [high | flags(self.reset), low, self.starts]
        } else {
            [high, low, flags(self.reset)]
        }
    }
}
