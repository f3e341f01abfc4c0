//! What can go wrong with a data directory.

use std::fmt;
use std::io;
use std::path::PathBuf;

use ulid::Ulid;

use crate::series::AppendError;
use crate::storage::block::BlockError;
use crate::storage::merge::MergeError;
use crate::storage::wal::WalError;

/// Why a data directory could not be opened, maintained or closed.
#[derive(Debug)]
#[non_exhaustive]
pub enum TsdbError {
    /// An option has no meaning.
    Options(&'static str),
    /// Another process, or another handle of this one, has the directory open.
    Locked(PathBuf),
    /// The disk refused.
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The disk's answer.
        source: io::Error,
    },
    /// The log could not be read, written or cut.
    Log(WalError),
    /// A deletion could not be logged.
    Append(AppendError),
    /// A block could not be written.
    Block(BlockError),
    /// A block was written but is not found, or cannot be read. What it holds stays in memory.
    LostBlock(Ulid),
    /// The handle was closed.
    Closed,
}

impl fmt::Display for TsdbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(what) => f.write_str(what),
            Self::Locked(path) => write!(f, "data directory {} is in use", path.display()),
            Self::Io { what, path, source } => write!(f, "{what} {}: {source}", path.display()),
            Self::Log(error) => error.fmt(f),
            Self::Append(error) => error.fmt(f),
            Self::Block(error) => error.fmt(f),
            Self::LostBlock(ulid) => write!(f, "block {ulid} was written but cannot be read"),
            Self::Closed => f.write_str("the data directory is closed"),
        }
    }
}

impl std::error::Error for TsdbError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Log(error) => Some(error),
            Self::Append(error) => Some(error),
            Self::Block(error) => Some(error),
            _ => None,
        }
    }
}

impl From<MergeError> for TsdbError {
    fn from(error: MergeError) -> Self {
        match error {
            MergeError::Block(error) => Self::Block(error),
            MergeError::Ended => Self::Closed,
        }
    }
}

impl From<WalError> for TsdbError {
    fn from(error: WalError) -> Self {
        Self::Log(error)
    }
}

impl From<AppendError> for TsdbError {
    fn from(error: AppendError) -> Self {
        Self::Append(error)
    }
}

impl From<BlockError> for TsdbError {
    fn from(error: BlockError) -> Self {
        Self::Block(error)
    }
}
