//! Why something in a bucket could not be read or changed.

use std::fmt;

use crate::storage::block::BlockError;

use super::bucket::BucketError;

/// Why something in a bucket could not be read or changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum LongTermError {
    /// The bucket did not do what it was asked to.
    Bucket(BucketError),
    /// A block on the local disk could not be read or written.
    Block(BlockError),
    /// An object is not what it should be.
    Corrupt {
        /// The object.
        key: String,
        /// What is wrong with it.
        what: String,
    },
    /// Doing it would harm the bucket.
    Refused {
        /// The block or object.
        what: String,
        /// Why.
        why: String,
    },
    /// It was asked to end.
    Ended,
}

impl LongTermError {
    pub(crate) fn corrupt(key: &str, what: impl Into<String>) -> Self {
        Self::Corrupt { key: key.to_owned(), what: what.into() }
    }

    pub(crate) fn refused(what: impl ToString, why: impl Into<String>) -> Self {
        Self::Refused { what: what.to_string(), why: why.into() }
    }

    /// True if the same may go well later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Bucket(error) if error.is_transient())
    }
}

impl fmt::Display for LongTermError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket(error) => error.fmt(f),
            Self::Block(error) => error.fmt(f),
            Self::Corrupt { key, what } => write!(f, "{key}: {what}"),
            Self::Refused { what, why } => write!(f, "{what}: refused: {why}"),
            Self::Ended => f.write_str("it was asked to end"),
        }
    }
}

impl std::error::Error for LongTermError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bucket(error) => Some(error),
            Self::Block(error) => Some(error),
            _ => None,
        }
    }
}

impl From<BucketError> for LongTermError {
    fn from(error: BucketError) -> Self {
        Self::Bucket(error)
    }
}

impl From<BlockError> for LongTermError {
    fn from(error: BlockError) -> Self {
        Self::Block(error)
    }
}
