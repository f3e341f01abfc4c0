//! What does a page of metrics say, and how is one written?
//!
//! Useful for: reading and writing Prometheus's text format 0.0.4, reading OpenMetrics.
//! Not useful for: fetching pages or deciding what becomes of their samples; see the agent.

pub mod openmetrics;
mod scan;
pub mod text;
pub mod write;
