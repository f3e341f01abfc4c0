//! What is wrong with a query, and where.

use std::fmt;

use crate::promql::ast::Span;

/// The first mistake in a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The part of the query that is wrong.
    pub span: Span,
    /// What is wrong, in Prometheus's words.
    pub message: String,
    /// Line of the mistake from 1 on, or 0 if the query is empty.
    pub line: usize,
    /// Column of the mistake in bytes from 1 on, or 0 if the query is empty.
    pub column: usize,
}

impl ParseError {
    pub(crate) fn new(query: &str, span: Span, message: String) -> Self {
        let (line, column) = line_and_column(query, span.start).unwrap_or_default();
        Self { span, message, line, column }
    }
}

/// Prometheus's text, `1:5: parse error: …`.
impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, message, .. } = self;
        if *line == 0 {
            write!(f, "unknown position: parse error: {message}")
        } else {
            write!(f, "{line}:{column}: parse error: {message}")
        }
    }
}

impl std::error::Error for ParseError {}

/// Line and column of a byte of the query, both from 1 on; the column counts bytes. Nothing if
/// the query is empty or ends before.
#[must_use]
pub fn line_and_column(query: &str, byte: usize) -> Option<(usize, usize)> {
    if query.is_empty() {
        return None;
    }
    let before = query.as_bytes().get(..byte)?;
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let column = before.iter().rev().position(|byte| *byte == b'\n').unwrap_or(byte);
    Some((line, column + 1))
}
