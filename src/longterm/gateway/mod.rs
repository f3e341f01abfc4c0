//! How is a question answered from blocks that nobody downloads?
//!
//! A block is found by its time, its external labels and its resolution; what a question needs of
//! it is read in ranges: lists of series, entries of series, chunks. The header of its index
//! (`FORMAT.md`) tells where the lists are.
//!
//! Useful for: PromQL over a year in a bucket, with bounded memory.
//! Not useful for: changing the bucket; see the other rooms of [`crate::longterm`].

mod block;
mod cache;
mod chapter;
mod choose;
mod chunks;
mod error;
mod fetch;
mod find;
mod folder;
mod handle;
mod header;
#[cfg(test)]
mod header_tests;
mod join;
mod limits;
mod metrics;
mod options;
mod places;
mod postings;
#[cfg(test)]
mod postings_tests;
mod ranges;
mod select;
mod series;
mod set;
#[cfg(test)]
mod tests;

pub use error::GatewayError;
pub use handle::{Gateway, GatewayStats};
pub use header::{IndexHeader, ReadRanges, build_header};
pub use options::{Beside, GatewayOptions};
pub use set::Coverage;
