//! Which samples has this spoke still to send?
//!
//! A log of records and, per series, its labels and the time of its newest sample; no index, no
//! chunks. The folder is that of Prometheus's agent: `wal/` and `lock`.
//!
//! Useful for: taking in samples ([`AgentLog`] is an [`Append`](crate::series::Append)), reading
//! them again from any place ([`AgentLog::tail`]), giving up what was sent
//! ([`AgentLog::truncate`]).
//! Not useful for: questions; there is nothing to ask.

mod metrics;
mod options;
mod series;
mod store;
#[cfg(test)]
mod tests;
mod truncate;

pub use options::{AgentLogError, AgentLogOptions};
pub use store::{AgentLog, AgentLogStats};
pub use truncate::Truncated;
