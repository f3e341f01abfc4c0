//! What can be chosen about the agent's log, and how it fails.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::storage::wal::{WalError, WalOptions};

/// What can be chosen about the agent's log.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AgentLogOptions {
    /// How the log is written.
    pub wal: WalOptions,
    /// Time between truncations.
    pub truncate_every_ms: i64,
    /// What is younger stays, sent or not.
    pub min_wal_ms: i64,
    /// What is older goes, sent or not; what was not sent is counted as dropped.
    pub max_wal_ms: i64,
    /// Above this size the oldest segments go, sent or not, and what was not sent is counted as
    /// dropped; 0 for no limit.
    pub max_wal_bytes: u64,
    /// How much older than its series' newest sample a sample may be.
    pub out_of_order_window_ms: i64,
    /// Batches that would create more series than this are refused; 0 for no limit.
    pub max_series: usize,
}

impl Default for AgentLogOptions {
    fn default() -> Self {
        Self {
            wal: WalOptions::default(),
            truncate_every_ms: 7_200_000,
            min_wal_ms: 300_000,
            max_wal_ms: 14_400_000,
            max_wal_bytes: 0,
            out_of_order_window_ms: 0,
            max_series: 0,
        }
    }
}

/// Why the agent's log could not be opened or truncated.
#[derive(Debug)]
#[non_exhaustive]
pub enum AgentLogError {
    /// Another process holds the folder.
    Locked(PathBuf),
    /// The disk refused the folder or its lock.
    Io(PathBuf, io::Error),
    /// The log itself.
    Wal(WalError),
    /// The log is closed.
    Closed,
}

impl fmt::Display for AgentLogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked(path) => write!(f, "{} is held by another process", path.display()),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Wal(error) => error.fmt(f),
            Self::Closed => f.write_str("log is closed"),
        }
    }
}

impl std::error::Error for AgentLogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::Wal(error) => Some(error),
            Self::Locked(_) | Self::Closed => None,
        }
    }
}

impl From<WalError> for AgentLogError {
    fn from(error: WalError) -> Self {
        Self::Wal(error)
    }
}
