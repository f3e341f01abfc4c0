//! A place in a text.

use crate::promql::ast::Span;

/// Reads characters; remembers where the pending token starts.
pub(super) struct Cursor<'a> {
    text: &'a str,
    start: usize,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, start: 0, at: 0 }
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// What has been read of the pending token.
    pub(super) fn pending(&self) -> &'a str {
        self.text.get(self.start..self.at).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn peek_is(&self, wanted: impl Fn(char) -> bool) -> bool {
        self.peek().is_some_and(wanted)
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Reads the next character if it is wanted.
    pub(super) fn accept(&mut self, wanted: impl Fn(char) -> bool) -> bool {
        let found = self.peek_is(wanted);
        if found {
            self.next();
        }
        found
    }

    pub(super) fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        while self.accept(&wanted) {}
    }

    /// Gives up what was read of the pending token.
    pub(super) fn rewind(&mut self) {
        self.at = self.start;
    }

    /// Ends the pending token and starts the next one.
    pub(super) fn take(&mut self) -> Span {
        let span = Span { start: self.start, end: self.at };
        self.start = self.at;
        span
    }
}
