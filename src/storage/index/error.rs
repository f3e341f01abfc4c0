//! What can be wrong with an index.

use std::{fmt, io};

use crate::base::varint::Truncated;

/// Why an index could not be read or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum IndexError {
    /// Bytes that are not what they should be.
    Corrupt {
        /// What was being read.
        what: &'static str,
        /// Where it starts in the file.
        offset: u64,
    },
    /// A version that is not read.
    Version(u8),
    /// The disk refused.
    Io(io::Error),
    /// The caller broke the order in which an index is written, or a limit of the format.
    Refused(String),
}

impl IndexError {
    /// A part that is not what it should be.
    #[must_use]
    pub const fn corrupt(what: &'static str, offset: u64) -> Self {
        Self::Corrupt { what, offset }
    }

    /// A series entry that is not what it should be.
    #[must_use]
    pub const fn of_series(what: &'static str, id: u32) -> Self {
        Self::corrupt(what, id as u64 * super::SERIES_ALIGNMENT_BYTES)
    }

    /// For `map_err` behind a read of a cursor.
    pub fn cut(what: &'static str, offset: u64) -> impl Fn(Truncated) -> Self + Copy {
        move |Truncated| Self::corrupt(what, offset)
    }
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt { what, offset } => write!(f, "{what} at offset {offset} is corrupt"),
            Self::Version(version) => write!(f, "index version {version} is not supported"),
            Self::Io(error) => error.fmt(f),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for IndexError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for IndexError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
