//! Functions over windows and values of native histograms.
//!
//! A series may change between floats and histograms. The floats of such a series go through the
//! kernels of all other series, the histograms through those of this folder; here is decided which
//! windows have a result at all.

mod edges;
mod findings;
mod mixed;
mod rate;
mod rows;
mod stat;
mod sums;

pub(crate) use edges::smooth;
pub(crate) use findings::{Findings, Hints};
pub(crate) use rows::Rows;
pub(crate) use stat::HistogramStat;
