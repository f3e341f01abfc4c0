//! Instruments for tests, of this crate and of those who use it.
//!
//! Useful for: a store that is obviously right, scripts of PromQL tests, a disk that fails.
//! Not useful for: production.

pub mod bench_write;
#[cfg(feature = "longterm")]
pub mod bucket;
#[cfg(test)]
pub mod golden;
mod hints;
mod model;
#[cfg(feature = "promql")]
pub mod promqltest;

pub use model::ModelStore;
