//! The envelope of every answer: `{"status":"success","data":…}` or an error of a known type.

use crate::promql::EngineError;
use crate::series::QueryError;

use super::json;

/// What kind of failure it is; clients branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorKind {
    /// The request is wrong.
    BadData,
    /// The expression cannot be evaluated on this data.
    Execution,
    /// The client went away or the server is stopping.
    Canceled,
    /// It took too long.
    Timeout,
    /// The storage failed.
    Internal,
    /// The storage is not ready.
    Unavailable,
}

impl ErrorKind {
    const fn text(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
        }
    }

    const fn status(self) -> u16 {
        match self {
            Self::BadData => 400,
            Self::Execution => 422,
            Self::Canceled => 499,
            Self::Timeout => 503,
            Self::Internal | Self::Unavailable => 500,
        }
    }
}

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
}

impl ApiError {
    pub(super) const fn bad_data(message: String) -> Self {
        Self { kind: ErrorKind::BadData, message }
    }

    /// The status and the body.
    pub(super) fn answer(&self) -> (u16, String) {
        let mut out = String::with_capacity(64 + self.message.len());
        out.push_str("{\"status\":\"error\",\"errorType\":\"");
        out.push_str(self.kind.text());
        out.push_str("\",\"error\":");
        json::html_safe_text(&mut out, &self.message);
        out.push('}');
        (self.kind.status(), out)
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        let kind = match error {
            EngineError::Parse(_) | EngineError::Invalid(_) => {
                return super::params::invalid("query", message);
            }
            EngineError::Canceled => ErrorKind::Canceled,
            EngineError::Timeout => ErrorKind::Timeout,
            EngineError::Storage(_) => ErrorKind::Internal,
            _ => ErrorKind::Execution,
        };
        Self { kind, message }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let kind = match error {
            QueryError::Unavailable(_) => ErrorKind::Unavailable,
            _ => ErrorKind::Execution,
        };
        Self { kind, message: error.to_string() }
    }
}

/// What the reader of an answer should know beside the data.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) warnings: Vec<String>,
    pub(super) infos: Vec<String>,
}

impl Notes {
    /// Adds the warning that a limit cut the answer.
    pub(super) fn truncated(&mut self) {
        self.warnings.push("results truncated due to limit".into());
    }
}

/// The body of a success, its data written by `data`.
pub(super) fn success(notes: &Notes, data: impl FnOnce(&mut String)) -> String {
    let mut out = String::with_capacity(256);
    out.push_str("{\"status\":\"success\",\"data\":");
    data(&mut out);
    put_notes(&mut out, "warnings", &notes.warnings);
    put_notes(&mut out, "infos", &notes.infos);
    out.push('}');
    out
}

fn put_notes(out: &mut String, field: &str, notes: &[String]) {
    if !notes.is_empty() {
        out.push_str(",\"");
        out.push_str(field);
        out.push_str("\":");
        json::texts(out, notes);
    }
}
