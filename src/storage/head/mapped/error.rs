//! What can go wrong with chunk files.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::entry::EntryFault;

/// What is wrong with the bytes at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) enum MappedFault {
    /// The file does not begin as a chunk file does.
    Header,
    /// An entry is cut off, or its length is none.
    Torn,
    /// An entry's checksum differs.
    Checksum {
        /// What the entry says.
        expected: u32,
        /// What its bytes give.
        found: u32,
    },
    /// There is no entry of that reference.
    Missing,
}

impl From<EntryFault> for MappedFault {
    fn from(fault: EntryFault) -> Self {
        match fault {
            EntryFault::Torn => Self::Torn,
            EntryFault::Checksum { expected, found } => Self::Checksum { expected, found },
        }
    }
}

/// Bytes of a chunk file that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage) struct MappedDamage {
    /// The file.
    pub(in crate::storage) path: PathBuf,
    /// Where the damaged entry begins.
    pub(in crate::storage) offset_bytes: u64,
    /// What is wrong.
    pub(in crate::storage) fault: MappedFault,
}

impl fmt::Display for MappedDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, offset) = (self.path.display(), self.offset_bytes);
        write!(f, "corruption in head chunk file {path} at {offset}: ")?;
        match self.fault {
            MappedFault::Header => f.write_str("not a chunk file of version 1"),
            MappedFault::Torn => f.write_str("chunk is torn"),
            MappedFault::Checksum { expected, found } => {
                write!(f, "unexpected checksum {found:x}, expected {expected:x}")
            }
            MappedFault::Missing => f.write_str("no such chunk"),
        }
    }
}

/// Any failure of chunk files.
#[derive(Debug)]
pub(in crate::storage) enum MappedError {
    /// The disk refused.
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The disk's answer.
        source: io::Error,
    },
    /// Bytes are not what they should be.
    Damaged(MappedDamage),
    /// A chunk of more bytes than an entry can have.
    TooLarge(usize),
    /// The files are closed.
    Closed,
}

impl fmt::Display for MappedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, path, source } => write!(f, "{what} {}: {source}", path.display()),
            Self::Damaged(damage) => damage.fmt(f),
            Self::TooLarge(len) => write!(f, "chunk of {len} bytes is too large for a chunk file"),
            Self::Closed => f.write_str("head chunk files are closed"),
        }
    }
}

impl std::error::Error for MappedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Says on the way up what was tried, and where.
pub(super) trait Context<T> {
    fn context(self, what: &'static str, path: &Path) -> Result<T, MappedError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: &'static str, path: &Path) -> Result<T, MappedError> {
        self.map_err(|source| MappedError::Io { what, path: path.to_owned(), source })
    }
}
