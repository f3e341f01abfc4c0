//! What ends a run, and what ends the work on one group only.

use std::fmt;

use crate::longterm::bucket::BucketError;
use crate::storage::block::BlockError;

use super::lease::LeaseError;

/// Why a compactor did not do what it was asked to.
#[derive(Debug)]
#[non_exhaustive]
pub enum CompactError {
    /// The bucket refused.
    Bucket(BucketError),
    /// What is in the bucket could not be found out as a whole, so that nothing may be done.
    View(String),
    /// There is no lease, or no longer.
    Lease(LeaseError),
    /// A block could not be read or written on the local disk.
    Block(BlockError),
    /// Blocks do not go together, or what came out of them is not what it should be.
    Refused(String),
    /// The blocks need more room than there may be.
    Room {
        /// What they need.
        wanted_bytes: u64,
        /// What there may be.
        limit_bytes: u64,
    },
    /// The caller wanted it to end.
    Ended,
}

impl CompactError {
    /// True if nothing may be done from here on, for other groups neither.
    #[must_use]
    pub const fn is_end(&self) -> bool {
        matches!(self, Self::Lease(_) | Self::Ended | Self::View(_))
    }
}

impl fmt::Display for CompactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket(error) => error.fmt(f),
            Self::View(what) => write!(f, "blocks of the bucket: {what}"),
            Self::Lease(error) => error.fmt(f),
            Self::Block(error) => error.fmt(f),
            Self::Refused(what) => f.write_str(what),
            Self::Room { wanted_bytes, limit_bytes } => {
                write!(
                    f,
                    "the blocks need {wanted_bytes} bytes of disk, and may take {limit_bytes}"
                )
            }
            Self::Ended => f.write_str("ended as wanted"),
        }
    }
}

impl std::error::Error for CompactError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bucket(error) => Some(error),
            Self::Lease(error) => Some(error),
            Self::Block(error) => Some(error),
            _ => None,
        }
    }
}

impl From<BucketError> for CompactError {
    fn from(error: BucketError) -> Self {
        Self::Bucket(error)
    }
}

impl From<LeaseError> for CompactError {
    fn from(error: LeaseError) -> Self {
        Self::Lease(error)
    }
}

impl From<BlockError> for CompactError {
    fn from(error: BlockError) -> Self {
        Self::Block(error)
    }
}
