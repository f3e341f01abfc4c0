//! Label patterns in Go's dialect, always matched against the whole value.

use std::fmt;
use std::sync::Arc;

use regex_automata::meta;

/// A pattern that Go's regexp package would refuse, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegexError(pub String);

impl fmt::Display for RegexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error parsing regexp: {}", self.0)
    }
}

impl std::error::Error for RegexError {}

/// A compiled pattern; cloning is a reference count.
#[derive(Debug, Clone)]
pub struct Regex(Arc<meta::Regex>);

impl Regex {
    /// Compiles `^(?s:pattern)$`.
    ///
    /// # Errors
    /// A pattern that Go's regexp package would refuse.
    pub fn anchored(pattern: &str) -> Result<Self, RegexError> {
        let whole = format!("^(?s:{pattern})$");
        let regex = meta::Regex::new(&whole).map_err(|error| RegexError(error.to_string()))?;
        Ok(Self(Arc::new(regex)))
    }

    /// True if the whole of `text` matches.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}
