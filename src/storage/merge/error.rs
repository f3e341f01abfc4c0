//! What can go wrong while blocks are merged.

use std::fmt;

use crate::storage::block::BlockError;

/// Why blocks were not merged. There is no new block then.
#[derive(Debug)]
#[non_exhaustive]
pub enum MergeError {
    /// A block could not be read or written.
    Block(BlockError),
    /// The caller wanted it to end.
    Ended,
}

impl fmt::Display for MergeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(error) => error.fmt(f),
            Self::Ended => f.write_str("merging was ended"),
        }
    }
}

impl std::error::Error for MergeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Block(error) => Some(error),
            Self::Ended => None,
        }
    }
}

impl From<BlockError> for MergeError {
    fn from(error: BlockError) -> Self {
        Self::Block(error)
    }
}
