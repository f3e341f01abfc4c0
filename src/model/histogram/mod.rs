//! Native histograms: counts of observations in buckets whose bounds follow from a schema.
//!
//! | type | is |
//! |---|---|
//! | [`Layout`] | where the buckets lie; neighbouring samples of a series share one |
//! | [`Histogram`] | one sample that owns its counts |
//! | [`HistogramRef`] | the same, borrowed |
//! | [`Histograms`] | many samples in few allocations; a part of every column |
//!
//! Counts are whole numbers or floats, as their writer gave them. Buckets are absolute counts,
//! the positive ones first, in the order of their spans. A histogram whose sum is the staleness
//! marker says "this series ended here", and its other parts are empty.

mod bounds;
mod check;
#[cfg_attr(
    not(feature = "promql"),
    expect(dead_code, unused_imports, reason = "only the evaluator uses all of it")
)]
pub(crate) mod float;
mod layout;
mod many;
mod one;
mod powers;
mod resolution;
mod shared;
mod text;

pub use bounds::Bucket;
pub use check::HistogramError;
pub use layout::{CUSTOM_SCHEMA, Layout, Span};
pub use many::Histograms;
pub use one::{Counts, CountsRef, Histogram, HistogramRef, ResetHint};
pub use shared::SharedLayouts;
