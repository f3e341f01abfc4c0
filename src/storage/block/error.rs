//! What can be wrong with a block.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use crate::chunk::ChunkError;
use crate::series::QueryError;
use crate::storage::index::IndexError;

/// Why a block could not be read or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum BlockError {
    /// The disk refused.
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The disk's answer.
        error: io::Error,
    },
    /// Bytes that are not what they should be.
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What is there, and what is wrong with it.
        what: String,
    },
    /// Something that this version does not read.
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What is there.
        what: String,
    },
    /// The caller broke the order in which a block is written.
    Refused(String),
}

impl BlockError {
    pub(super) fn io(path: &Path) -> impl Fn(io::Error) -> Self + Copy {
        move |error| Self::Io { path: path.to_owned(), error }
    }

    pub(super) fn corrupt(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), offset, what: what.into() }
    }

    pub(super) fn index(path: &Path) -> impl Fn(IndexError) -> Self + Copy {
        move |error| match error {
            IndexError::Io(error) => Self::Io { path: path.to_owned(), error },
            IndexError::Corrupt { what, offset } => Self::corrupt(path, offset, what),
            IndexError::Version(_) => {
                Self::Unsupported { path: path.to_owned(), what: error.to_string() }
            }
            IndexError::Refused(why) => Self::Refused(why),
        }
    }

    pub(super) fn chunk(path: &Path, offset: u64, error: ChunkError) -> Self {
        match error {
            ChunkError::Unsupported(_) => Self::Unsupported {
                path: path.to_owned(),
                what: format!("{error} (at offset {offset})"),
            },
            _ => Self::corrupt(path, offset, error.to_string()),
        }
    }
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Corrupt { path, offset, what } => {
                write!(f, "{}: at offset {offset}: {what}", path.display())
            }
            Self::Unsupported { path, what } => write!(f, "{}: {what}", path.display()),
            Self::Refused(why) => write!(f, "block not written: {why}"),
        }
    }
}

impl std::error::Error for BlockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl From<BlockError> for QueryError {
    fn from(error: BlockError) -> Self {
        let text = error.to_string();
        match error {
            BlockError::Io { .. } => Self::Io(text),
            BlockError::Corrupt { .. } => Self::Corrupt(text),
            BlockError::Unsupported { .. } | BlockError::Refused(_) => Self::Unavailable(text),
        }
    }
}
