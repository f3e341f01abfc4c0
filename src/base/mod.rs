//! What every other floor stands on: numbers, texts of numbers, time, counters.
//!
//! Useful for: turning bytes into integers and back, reading the clock, counting what happened.
//! Not useful for: anything that knows what a sample or a label is; see [`crate::model`].

pub mod base64;
pub mod bits;
pub mod calendar;
pub mod clock;
pub mod copy;
pub mod duration;
pub mod gonum;
pub mod kahan;
pub mod metrics;
pub mod parallel;
pub mod quote;
pub mod varint;
