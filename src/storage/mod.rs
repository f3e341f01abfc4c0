//! Where are samples kept?
//!
//! Useful for: a data directory in Prometheus's own formats: log, head, blocks.
//! Not useful for: evaluating expressions; `promql` and this folder meet only at
//! [`crate::series`].

pub mod block;
mod conveyor;
pub mod db;
pub mod downsample;
#[cfg(test)]
mod golden_tests;
pub mod head;
pub mod index;
pub mod inspect;
pub mod merge;
pub mod wal;
