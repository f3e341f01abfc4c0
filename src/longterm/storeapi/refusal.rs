//! Why a request is not answered.

use tonic::{Code, Status};

use crate::series::QueryError;

/// Why a request is not answered, or not to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The request itself is wrong.
    Invalid(String),
    /// The answer would be larger than is allowed.
    TooMuch(String),
    /// A part of the answer cannot be read and the asker wants all or nothing.
    Partial(String),
    /// The source is not ready.
    Unavailable(String),
    /// The source failed.
    Failed(String),
    /// Nobody waits for the answer any more.
    Gone,
}

impl Refusal {
    pub(super) const fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::TooMuch(_) => Code::ResourceExhausted,
            Self::Partial(_) => Code::Aborted,
            Self::Unavailable(_) => Code::Unavailable,
            Self::Failed(_) => Code::Internal,
            Self::Gone => Code::Cancelled,
        }
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Unavailable(what) => Self::Unavailable(what),
            QueryError::Limit(what) => Self::TooMuch(what),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let code = refusal.code();
        match refusal {
            Refusal::Invalid(what)
            | Refusal::TooMuch(what)
            | Refusal::Partial(what)
            | Refusal::Unavailable(what)
            | Refusal::Failed(what) => Self::new(code, what),
            Refusal::Gone => Self::new(code, "the asker went away"),
        }
    }
}
