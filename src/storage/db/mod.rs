//! What is in a data directory, and what happens to it over time?
//!
//! Useful for: a directory that real Prometheus can open, and one that it wrote.
//! Not useful for: blocks in a bucket.
//!
//! # What is on disk when a call returns
//!
//! | call                       | survives a crash of the process | survives a crash of the machine   |
//! |----------------------------|---------------------------------|-----------------------------------|
//! | `append`, `Ok`             | the batch, whole                | log segments before the current one, blocks |
//! | `append`, `Err`            | what was acknowledged before    | as before the call                |
//! | [`Db::maintain`], `Ok`     | everything                      | new blocks, whole; the rest as before |
//! | [`Db::maintain`], `Err`    | everything                      | as before the call                |
//! | [`Db::flush`], `Ok`        | everything                      | everything that was acknowledged before the call |
//! | [`Db::close`], `Ok`        | everything                      | everything                        |
//! | drop of the last handle    | as [`Db::close`]; a failure is logged | likewise                    |
//!
//! "Everything" is every sample that an append has accepted.

mod background;
mod blocks;
mod compact;
#[cfg(test)]
mod crash_tests;
mod error;
mod files;
#[cfg(test)]
mod golden_tests;
mod maintain;
mod metrics;
#[cfg(test)]
mod model_tests;
mod open;
mod options;
mod plan;
mod query;
mod stats;
#[cfg(test)]
mod tests;

pub use error::DbError;
pub use open::Db;
pub use options::DbOptions;
pub use stats::{DbStats, MaintainReport};
