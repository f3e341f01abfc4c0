//! A spoke: scrape here, keep a log, send to the hub.

pub mod forward;
pub mod log;
