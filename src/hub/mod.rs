//! A hub: receive from every spoke, keep, answer.
//!
//! Useful for: one process that takes remote write, keeps days of samples and answers PromQL over
//! HTTP, to Grafana and to people. Not useful for: scraping; run an agent beside it.
//!
//! ```no_run
//! use promlite::hub::{Hub, HubConfig, HubError, HubOptions};
//!
//! # async fn serve() -> Result<(), HubError> {
//! let options = HubOptions::new(HubConfig::default(), "data", "127.0.0.1:9090");
//! let hub = Hub::start(options).await?;
//! println!("open http://{}/", hub.local_addr());
//! tokio::signal::ctrl_c().await.ok();
//! hub.stop().await
//! # }
//! ```

mod api;
#[cfg(feature = "longterm")]
mod bucket;
mod config;
#[cfg(feature = "thanos")]
mod grpc;
mod http;
mod metrics;
mod page;
mod receive;
mod replicas;
mod run;
mod service;
mod sources;
#[cfg(test)]
mod tests;

pub use config::HubConfig;
pub use receive::ReceiveOptions;
pub use run::{Hub, HubError, HubOptions};
