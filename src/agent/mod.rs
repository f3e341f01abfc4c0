//! A spoke: scrape here, keep a log, send to the hub.

pub mod client;
mod config;
pub(crate) mod discover;
pub mod host;
mod page;
pub mod scrape;

pub use config::AgentOptions;
