//! The error of everything: what the narrow errors of the rooms turn into, once, on the way up.

use std::fmt;

#[cfg(feature = "promql")]
use crate::promql::EngineError;
use crate::series::{AppendError, QueryError};
use crate::storage::db::TsdbError;

/// Any failure of the library. Rooms return narrower types; this one is for `?` in programs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Samples were not stored.
    Append(AppendError),
    /// A question was not answered.
    Query(QueryError),
    /// A data directory was not opened, kept up or closed.
    Tsdb(TsdbError),
    /// An expression was not answered.
    #[cfg(feature = "promql")]
    Engine(EngineError),
    /// The disk refused.
    Io(std::io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append(error) => error.fmt(f),
            Self::Query(error) => error.fmt(f),
            Self::Tsdb(error) => error.fmt(f),
            #[cfg(feature = "promql")]
            Self::Engine(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Append(error) => Some(error),
            Self::Query(error) => Some(error),
            Self::Tsdb(error) => Some(error),
            #[cfg(feature = "promql")]
            Self::Engine(error) => Some(error),
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

impl From<TsdbError> for Error {
    fn from(error: TsdbError) -> Self {
        Self::Tsdb(error)
    }
}

#[cfg(feature = "promql")]
impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
