//! The envelope of every answer: `{"status":"success","data":…}` or an error of a known type.

use crate::promql::EngineError;
use crate::series::QueryError;

use super::json;

/// At most this many warnings, and as many infos, are told; the others are counted.
const NOTES_MAX: usize = 10;

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
            EngineError::Invalid(_) => return super::params::invalid("query", message),
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
    put_notes(&mut out, "warnings", "warning", &notes.warnings);
    put_notes(&mut out, "infos", "info", &notes.infos);
    out.push('}');
    out
}

fn put_notes(out: &mut String, field: &str, kind: &str, notes: &[String]) {
    if notes.is_empty() {
        return;
    }
    out.push_str(",\"");
    out.push_str(field);
    out.push_str("\":");
    let told = notes.get(..NOTES_MAX).unwrap_or(notes);
    json::texts(out, told);
    let omitted = notes.len() - told.len();
    if omitted > 0 {
        out.pop();
        out.push(',');
        json::html_safe_text(out, &format!("{omitted} more {kind} annotations omitted"));
        out.push(']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ten_notes_of_a_kind_are_told() {
        let warnings = (0..12).map(|number| number.to_string()).collect();
        let notes = Notes { warnings, infos: vec!["<i>".into()] };
        let body = success(&notes, |out| out.push_str("[]"));
        let want = "{\"status\":\"success\",\"data\":[],\"warnings\":[\"0\",\"1\",\"2\",\"3\",\
                    \"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"2 more warning annotations omitted\"],\
                    \"infos\":[\"\\u003ci\\u003e\"]}";
        assert_eq!(body, want);
    }
}
