//! What is in a data directory, and what happens to it over time?
//!
//! Useful for: a directory that real Prometheus can open, and one that it wrote.
//! Not useful for: blocks in a bucket.

mod error;
mod open;
mod options;
mod query;
mod stats;

pub use error::DbError;
pub use open::Db;
pub use options::DbOptions;
pub use stats::{DbStats, MaintainReport};
