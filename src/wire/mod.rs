//! How do metrics travel between programs, and how do people write down what they want?
//!
//! Useful for: the texts and messages of Prometheus's own protocols, both ways, and its
//! configuration files. Not useful for: sending or receiving them; see the two roles.

#[cfg(any(feature = "agent", feature = "hub", feature = "longterm"))]
pub mod config;
pub mod exposition;
pub mod prompb;
pub mod remote_write;
