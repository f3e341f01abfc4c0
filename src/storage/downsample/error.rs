//! What can go wrong.

use std::fmt;

use crate::storage::block::BlockError;

/// Why a block was not downsampled. There is no new block then.
#[derive(Debug)]
#[non_exhaustive]
pub enum DownsampleError {
    /// The block could not be read, or the new one not be written.
    Block(BlockError),
    /// The block's windows are as long as the wanted ones, or longer.
    Resolution {
        /// Those of the block.
        from_ms: i64,
        /// Those that are wanted.
        to_ms: i64,
    },
    /// The caller wanted it to end.
    Ended,
}

impl fmt::Display for DownsampleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(error) => error.fmt(f),
            Self::Resolution { from_ms, to_ms } => {
                write!(f, "a block of resolution {from_ms} ms cannot become one of {to_ms} ms")
            }
            Self::Ended => f.write_str("downsampling was ended"),
        }
    }
}

impl std::error::Error for DownsampleError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Block(error) => Some(error),
            _ => None,
        }
    }
}

impl From<BlockError> for DownsampleError {
    fn from(error: BlockError) -> Self {
        Self::Block(error)
    }
}
