//! How is a query run, and what comes back?
//!
//! Useful for: asking any [`crate::series::Queryable`] an expression at one instant or at many.
//! Not useful for: what an expression means; see [`super::plan`] and [`super::eval`].

mod active;
mod answer;
mod explain;
#[cfg(test)]
mod joins_tests;
mod options;
mod query;
mod stats;
#[cfg(test)]
mod tests;

pub use active::{ActiveQueries, UnfinishedQuery};
pub use answer::{Answer, EngineError, MatrixSeries, Value, VectorElement};
pub use explain::{Explanation, MeasuredNode, MeasuredRead, PlannedNode, PlannedRead, QueryTimes};
pub use options::{EngineOptions, RunOptions};
pub use query::Engine;
pub use stats::{QueryStats, SampleStats, StatsWanted, Timings};
#[cfg(test)]
mod cost_tests;
