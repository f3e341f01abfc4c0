//! The error of everything: what the narrow errors of the rooms turn into, once, on the way up.

use std::fmt;

use crate::series::{AppendError, QueryError};

/// Any failure of the library. Rooms return narrower types; this one is for `?` in programs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Samples were not stored.
    Append(AppendError),
    /// A question was not answered.
    Query(QueryError),
    /// The disk refused.
    Io(std::io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append(error) => error.fmt(f),
            Self::Query(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Append(error) => Some(error),
            Self::Query(error) => Some(error),
            Self::Io(error) => Some(error),
        }
    }
}

impl From<AppendError> for Error {
    fn from(error: AppendError) -> Self {
        Self::Append(error)
    }
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
