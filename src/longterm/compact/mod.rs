//! What becomes of the blocks of a bucket over time?
//!
//! Useful for: fewer and larger blocks, one instead of several replicas, coarser data of old times,
//! the end of what is too old. Not useful for: blocks of a data directory; see
//! [`crate::storage::db`].

mod plan;

pub use plan::{Plan, RANGES_MS, Sizes, Unfit, Why, overlapping, plan, plan_within};
