//! What came in lately and may still grow?
//!
//! Useful for: taking samples in (log first, then memory), reading them back, telling the log
//! again after a start, letting go of what a block holds.
//! Not useful for: deciding when a block is due; see [`super::db`].
//!
//! # Ids
//!
//! A series has one number, its [`SeriesRef`](crate::series::SeriesRef), in memory and in the log.
//! They count up from 1, over restarts too, and none is given twice.
//!
//! # Who waits for whom
//!
//! Batches are judged, logged and stored side by side; only the write to the log is one at a time,
//! and batches that meet in a series are. A reader copies what it needs of a series under the lock
//! of its page, when it selects, and decodes later without any lock: so an answer is a view of one
//! moment, whatever is appended or truncated meanwhile, and never has a part of a batch.

mod append;
mod beside;
mod bounds;
mod by_hash;
mod closed;
mod cut;
mod delete;
mod exemplars;
#[cfg(test)]
mod file_tests;
#[cfg(test)]
mod histogram_tests;
mod isolation;
#[cfg(test)]
mod isolation_tests;
mod judge;
mod late;
mod limits;
#[cfg(test)]
mod log_tests;
mod map;
pub(in crate::storage) mod mapped;
mod metadata;
mod metrics;
mod numbered;
mod ooo;
mod page;
mod postings;
mod read;
mod registry;
mod replay;
mod rows;
mod series;
mod snapshot;
mod state;
mod store;
mod symbols;
#[cfg(test)]
mod tests;
mod truncate;

pub(in crate::storage) use cut::range_end_ms;
pub(in crate::storage) use late::OooSeriesChunks;
pub use limits::SeriesLimits;
pub(in crate::storage) use numbered::NumberedLabels;
pub use replay::ReplayStats;
pub(in crate::storage) use state::{Head, HeadOptions, LogPlace, SeriesChunks, SpareChunks};
pub(in crate::storage) use symbols::SharedLabels;
