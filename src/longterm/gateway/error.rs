//! Why a bucket could not be asked.

use std::fmt;
use std::io;

use crate::longterm::LongTermError;
use crate::longterm::bucket::BucketError;
use crate::series::QueryError;
use crate::storage::index::IndexError;

/// Why a bucket could not be asked. Names the object.
#[derive(Debug)]
#[non_exhaustive]
pub enum GatewayError {
    /// The bucket refused or did not answer.
    Bucket(BucketError),
    /// Bytes of an object that are not what they should be.
    Corrupt {
        /// The object.
        key: String,
        /// Where in it.
        offset: u64,
        /// What is there.
        what: String,
    },
    /// An object that this version does not read.
    Unsupported {
        /// The object.
        key: String,
        /// What is there.
        what: String,
    },
    /// The question asks for more than it may: the limit, the option that sets it.
    Limit(String),
    /// It is not known which blocks there are.
    Blocks(LongTermError),
    /// The folder of the headers refused.
    Io(io::Error),
}

impl GatewayError {
    pub(super) fn corrupt(key: &str, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { key: key.to_owned(), offset, what: what.into() }
    }

    /// For `map_err` behind reading a part of an index.
    pub(super) fn index(key: &str) -> impl Fn(IndexError) -> Self + Copy {
        move |error| match error {
            IndexError::Corrupt { what, offset } => Self::corrupt(key, offset, what),
            IndexError::Io(error) => Self::Io(error),
            IndexError::Version(_) | IndexError::Refused(_) => {
                Self::Unsupported { key: key.to_owned(), what: error.to_string() }
            }
        }
    }

    /// True if the object was not there.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::Bucket(BucketError::NotFound { .. }))
    }

    /// True if asking again gives the same: the block is broken, not the way to it.
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Unsupported { .. })
    }
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket(error) => error.fmt(f),
            Self::Corrupt { key, offset, what } => write!(f, "{key}: at offset {offset}: {what}"),
            Self::Unsupported { key, what } => write!(f, "{key}: {what}"),
            Self::Limit(what) => f.write_str(what),
            Self::Blocks(error) => write!(f, "list of blocks: {error}"),
            Self::Io(error) => write!(f, "folder of index headers: {error}"),
        }
    }
}

impl std::error::Error for GatewayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bucket(error) => Some(error),
            Self::Blocks(error) => Some(error),
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<BucketError> for GatewayError {
    fn from(error: BucketError) -> Self {
        Self::Bucket(error)
    }
}

impl From<LongTermError> for GatewayError {
    fn from(error: LongTermError) -> Self {
        Self::Blocks(error)
    }
}

impl From<GatewayError> for QueryError {
    fn from(error: GatewayError) -> Self {
        let text = error.to_string();
        match error {
            GatewayError::Bucket(_)
            | GatewayError::Blocks(_)
            | GatewayError::Unsupported { .. } => Self::Unavailable(text),
            GatewayError::Corrupt { .. } => Self::Corrupt(text),
            GatewayError::Limit(_) => Self::Limit(text),
            GatewayError::Io(_) => Self::Io(text),
        }
    }
}
