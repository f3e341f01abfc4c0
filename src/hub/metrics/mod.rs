//! What does the hub tell about itself?
//!
//! Useful for: `/metrics`. Not useful for: the metrics of a room, which live with its code.

mod build;
mod http;

pub(super) use build::{API_VERSION, register_build};
pub(super) use http::HttpMetrics;
