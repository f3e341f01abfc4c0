//! Snappy's block format, as remote write, remote read and the log use it.

use std::fmt;

/// Why a block could not be unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnappyError {
    /// It says that it holds more than is allowed.
    TooLarge {
        /// What it says.
        decoded_bytes: usize,
        /// What is allowed.
        limit_bytes: usize,
    },
    /// It is no snappy block.
    Corrupt(snap::Error),
}

impl fmt::Display for SnappyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { decoded_bytes, limit_bytes } => {
                write!(f, "snappy: decoded size {decoded_bytes} is above the limit {limit_bytes}")
            }
            Self::Corrupt(_) => f.write_str("snappy: corrupt input"),
        }
    }
}

impl std::error::Error for SnappyError {}

/// Three bytes copy at most 64, so no honest block grows by more than this.
const GROWTH_MAX: usize = 22;

/// Unpacks `block` into `out`, whose memory is reused. The size that the block claims is checked
/// against `limit_bytes` and against what a block of its length can hold before memory is taken.
///
/// # Errors
/// See [`SnappyError`]; `out` then holds nothing of use.
pub fn decode(block: &[u8], limit_bytes: usize, out: &mut Vec<u8>) -> Result<(), SnappyError> {
    let decoded_bytes = snap::raw::decompress_len(block).map_err(SnappyError::Corrupt)?;
    if decoded_bytes > limit_bytes {
        return Err(SnappyError::TooLarge { decoded_bytes, limit_bytes });
    }
    if decoded_bytes > block.len().saturating_mul(GROWTH_MAX) {
        return Err(SnappyError::Corrupt(snap::Error::Header));
    }
    out.resize(decoded_bytes, 0);
    let written = snap::raw::Decoder::new().decompress(block, out).map_err(SnappyError::Corrupt)?;
    out.truncate(written);
    Ok(())
}

/// Packs `bytes` into `out`, whose memory is reused.
///
/// # Errors
/// More than 4 GiB.
pub fn encode(
    encoder: &mut snap::raw::Encoder,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), SnappyError> {
    out.resize(snap::raw::max_compress_len(bytes.len()), 0);
    let written = encoder.compress(bytes, out).map_err(SnappyError::Corrupt)?;
    out.truncate(written);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut snap::raw::Encoder::new(), bytes, &mut out).unwrap();
        out
    }

    #[test]
    fn a_claim_above_the_limit_is_refused_before_unpacking() {
        let block = encoded(&[7; 1001]);
        let mut out = Vec::new();
        let got = decode(&block, 1000, &mut out);
        assert_eq!(got, Err(SnappyError::TooLarge { decoded_bytes: 1001, limit_bytes: 1000 }));
        assert_eq!(out.capacity(), 0);
        decode(&block, 1001, &mut out).unwrap();
        assert_eq!(out, [7; 1001]);
    }

    #[test]
    fn a_small_block_cannot_claim_much_memory() {
        let claims_16_mib = [0x80, 0x80, 0x80, 0x08, 0x00];
        let mut out = Vec::new();
        assert!(matches!(decode(&claims_16_mib, 32 << 20, &mut out), Err(SnappyError::Corrupt(_))));
        assert_eq!(out.capacity(), 0);
    }

    #[test]
    fn the_densest_block_is_within_the_growth_that_is_allowed() {
        let zeros = vec![0; 1 << 20];
        let mut out = Vec::new();
        decode(&encoded(&zeros), zeros.len(), &mut out).unwrap();
        assert_eq!(out, zeros);
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes: Vec<u8>, garbage: Vec<u8>) {
            let mut out = garbage.clone();
            decode(&encoded(&bytes), bytes.len(), &mut out).unwrap();
            prop_assert_eq!(out, bytes);
            let _ = decode(&garbage, 1 << 16, &mut Vec::new());
        }
    }
}
