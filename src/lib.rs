//! Prometheus with Thanos as one library: scrape, remote write, store, query.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "agent")]
pub mod agent;
pub mod base;
pub mod chunk;
pub mod disk;
mod error;
#[cfg(feature = "hub")]
pub mod hub;
pub mod model;
#[cfg(feature = "promql")]
pub mod promql;
pub mod series;
pub mod storage;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
#[cfg(test)]
mod tidy;
pub mod wire;

pub use error::Error;
