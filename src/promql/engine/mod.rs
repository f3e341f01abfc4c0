//! How is a query run, and what comes back?
//!
//! Useful for: asking any [`crate::series::Queryable`] an expression at one instant or at many.
//! Not useful for: what an expression means; see [`super::plan`] and [`super::eval`].

mod answer;
mod options;
mod query;
#[cfg(test)]
mod tests;

pub use answer::{Answer, EngineError, MatrixSeries, Value, VectorElement};
pub use options::{EngineOptions, RunOptions};
pub use query::Engine;
