//! How do days of raw samples become months of five minutes and of hours?
//!
//! A downsampled sample stands for all samples of a window of time. Five numbers are kept of them:
//! count, sum, lowest, highest, and how far the counter has come; of histograms count, sum and
//! counter. They are Thanos's, byte by byte where its own arithmetic allows.
//!
//! Useful for: making a coarser block of a block.
//! Not useful for: deciding which blocks are to be downsampled, or reading what comes out: a
//! [`Block`](crate::storage::block::Block) does that by itself.

mod again;
mod block;
mod error;
mod floats;
mod histograms;
mod raw;
#[cfg(test)]
mod tests;
mod window;

pub use block::{DownsampleOptions, downsample_block};
pub use error::DownsampleError;

/// The length of windows that raw samples become, in milliseconds.
pub const FIVE_MINUTES_MS: i64 = 300_000;
/// The length of windows that those of five minutes become, in milliseconds.
pub const ONE_HOUR_MS: i64 = 3_600_000;
