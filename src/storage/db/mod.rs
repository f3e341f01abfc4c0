//! What is in a data directory, and what happens to it over time?
//!
//! Useful for: a directory that real Prometheus can open, and one that it wrote.
//! Not useful for: blocks in a bucket.
//!
//! # What is on disk when a call returns
//!
//! | call                      | the process crashes      | the machine crashes                |
//! |---------------------------|--------------------------|------------------------------------|
//! | `append`, `Ok`            | the batch, whole         | blocks, closed segments of the log |
//! | `append`, `Err`           | nothing of the batch     | as before the call                 |
//! | [`Tsdb::maintain`], `Ok`  | everything               | new blocks as well                 |
//! | [`Tsdb::maintain`], `Err` | everything               | as before the call                 |
//! | [`Tsdb::delete`], `Ok`    | all but what was deleted | blocks are without it              |
//! | [`Tsdb::flush`], `Ok`     | everything               | all that was acknowledged before   |
//! | [`Tsdb::close`], `Ok`     | everything               | everything                         |
//!
//! "Everything" is every sample that an append has accepted. The drop of the last handle does what
//! [`Tsdb::close`] does; a failure is logged.

mod appender;
mod background;
mod blocks;
mod compact;
#[cfg(test)]
mod crash_tests;
mod cut;
mod delete;
mod error;
mod files;
#[cfg(test)]
mod golden_tests;
mod guard;
mod import;
mod levels;
mod maintain;
mod merge;
#[cfg(test)]
mod merge_tests;
mod metrics;
#[cfg(test)]
mod model_tests;
mod open;
mod options;
mod plan;
mod publish;
mod query;
mod read_only;
mod snapshot;
mod stats;
#[cfg(test)]
mod tests;

pub use appender::Appender;
pub use error::TsdbError;
pub use guard::BlockGuard;
pub use import::{ImportError, ImportOptions, ImportReport, Importer, import};
pub use open::Tsdb;
pub use options::TsdbOptions;
pub use query::Querier;
pub use read_only::ReadOnlyTsdb;
pub use stats::{MaintainReport, TsdbStats};
