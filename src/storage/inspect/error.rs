//! Why a directory could not be looked at.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use crate::series::QueryError;
use crate::storage::block::BlockError;

/// Why a directory could not be looked at.
#[derive(Debug)]
#[non_exhaustive]
pub enum InspectError {
    /// The disk refused.
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The disk's answer.
        error: io::Error,
    },
    /// A block cannot be read.
    Block(BlockError),
    /// There is no such block in the directory.
    NoBlock(String),
    /// A question was not answered.
    Query(QueryError),
    /// The answer could not be written.
    Write(io::Error),
}

impl InspectError {
    pub(super) fn io(path: &Path) -> impl Fn(io::Error) -> Self + Copy {
        move |error| Self::Io { path: path.to_owned(), error }
    }
}

impl fmt::Display for InspectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Block(error) => error.fmt(f),
            Self::NoBlock(what) => f.write_str(what),
            Self::Query(error) => error.fmt(f),
            Self::Write(error) => write!(f, "write: {error}"),
        }
    }
}

impl std::error::Error for InspectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } | Self::Write(error) => Some(error),
            Self::Block(error) => Some(error),
            Self::Query(error) => Some(error),
            Self::NoBlock(_) => None,
        }
    }
}

impl From<BlockError> for InspectError {
    fn from(error: BlockError) -> Self {
        Self::Block(error)
    }
}

impl From<QueryError> for InspectError {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}
