//! What is wrong with a configuration, and where.

use std::fmt;

/// A configuration that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file's path as it was given.
    pub file: String,
    /// The line, from 1, where that is known.
    pub line: Option<usize>,
    /// The key, such as `scrape_configs[0].relabel_configs[2].regex`; may be empty.
    pub key: String,
    /// What is wrong and what was expected. Never shows the value of a secret.
    pub what: String,
}

impl ConfigError {
    pub(super) fn in_file(mut self, file: &str) -> Self {
        file.clone_into(&mut self.file);
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}", self.what)
    }
}

impl std::error::Error for ConfigError {}
