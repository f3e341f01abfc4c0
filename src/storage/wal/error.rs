//! What can go wrong with a log.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::varint::Truncated;
use crate::model::LabelError;

/// Why the content of a record was not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// The decoder was given a record of another kind; the first byte, 0 for an empty record.
    WrongKind(u8),
    /// The record ends early or holds an over-long integer.
    Truncated,
    /// The record cannot be unpacked, or would become too large.
    Packed,
    /// A label or metadata text is not UTF-8.
    Text,
    /// A label set that cannot be.
    Labels(LabelError),
    /// The receiver of the record refused it.
    Refused(String),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongKind(kind) => write!(f, "unexpected record type {kind}"),
            Self::Truncated => f.write_str("record ends early"),
            Self::Packed => f.write_str("record cannot be decompressed"),
            Self::Text => f.write_str("text in record is not UTF-8"),
            Self::Labels(error) => write!(f, "label set in record: {error}"),
            Self::Refused(why) => write!(f, "record refused: {why}"),
        }
    }
}

impl std::error::Error for RecordError {}

impl From<Truncated> for RecordError {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}

impl From<LabelError> for RecordError {
    fn from(error: LabelError) -> Self {
        Self::Labels(error)
    }
}

/// What is wrong with the bytes at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The bytes of a record end before the record does.
    Torn,
    /// The disk does not give the bytes; its answer.
    Unreadable(String),
    /// A page's padding holds something.
    Padding,
    /// A fragment's first byte has no meaning.
    FragmentType(u8),
    /// A fragment would reach beyond its page.
    FragmentLength(u16),
    /// A fragment's checksum differs.
    Checksum {
        /// What the header says.
        expected: u32,
        /// What the bytes give.
        found: u32,
    },
    /// A record begins while another one is open.
    UnexpectedStart,
    /// A record goes on that was never begun.
    UnexpectedContinuation,
    /// The compressed bytes cannot be unpacked, or would become too large.
    Compression,
    /// The record is whole, but its content is not understood.
    Record(RecordError),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Torn => f.write_str("record is torn"),
            Self::Unreadable(answer) => write!(f, "cannot be read: {answer}"),
            Self::Padding => f.write_str("unexpected non-zero byte in padded page"),
            Self::FragmentType(byte) => write!(f, "unexpected fragment type {byte:#04x}"),
            Self::FragmentLength(length) => write!(f, "invalid record size {length}"),
            Self::Checksum { expected, found } => {
                write!(f, "unexpected checksum {found:x}, expected {expected:x}")
            }
            Self::UnexpectedStart => f.write_str("record begins inside of another one"),
            Self::UnexpectedContinuation => f.write_str("record goes on that never began"),
            Self::Compression => f.write_str("record cannot be decompressed"),
            Self::Record(error) => error.fmt(f),
        }
    }
}

/// Bytes of a log that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corruption {
    /// The segment file.
    pub path: PathBuf,
    /// Number of the segment in its folder, which may be a checkpoint's.
    pub segment: u32,
    /// Where the damaged record starts.
    pub offset_bytes: u64,
    /// What is wrong.
    pub fault: Fault,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, offset) = (self.path.display(), self.offset_bytes);
        write!(f, "corruption in segment {path} at {offset}: {}", self.fault)
    }
}

/// Any failure of a log.
#[derive(Debug)]
#[non_exhaustive]
pub enum WalError {
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
    Corrupt(Corruption),
    /// Segments are missing between two that are there.
    Gap {
        /// The last one before the gap.
        after: u32,
        /// The first one behind it.
        found: u32,
    },
    /// An option has no meaning.
    Options(&'static str),
}

impl fmt::Display for WalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, path, source } => write!(f, "{what} {}: {source}", path.display()),
            Self::Corrupt(corruption) => corruption.fmt(f),
            Self::Gap { after, found } => {
                write!(f, "segments are not sequential: {found} follows {after}")
            }
            Self::Options(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for WalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Says on the way up what was tried, and where.
pub(super) trait Context<T> {
    /// Turns a disk's answer into a log's error.
    fn context(self, what: &'static str, path: &Path) -> Result<T, WalError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: &'static str, path: &Path) -> Result<T, WalError> {
        self.map_err(|source| WalError::Io { what, path: path.to_owned(), source })
    }
}
