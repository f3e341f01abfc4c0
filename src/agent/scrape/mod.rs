//! What do the targets say, and when is it asked?
//!
//! Useful for: turning discovered targets into samples at a [`crate::series::Append`].
//! Not useful for: finding targets (its configuration says where) or sending samples on.

mod cache;
mod fetch;
mod jobs;
mod limits;
mod metrics;
mod pool;
mod record;
mod report;
mod run;
mod schedule;
mod series;
mod target;

#[cfg(test)]
mod tests;

pub(crate) use jobs::{Jobs, Means};
pub(crate) use run::told;
#[cfg(test)]
pub(crate) use target::Made;
pub use target::{Health, LastScrape, PoolView, Target};

/// A job as `prometheus.yml` would give it, from the text of its keys.
#[cfg(test)]
pub(crate) fn test_job(keys: &str) -> crate::wire::config::ScrapeConfig {
    let indented = keys.trim_end().replace('\n', "\n    ");
    let text = format!("scrape_configs:\n  - {indented}\n");
    let path = std::path::Path::new("test.yml");
    let config = crate::wire::config::Config::parse(&text, path, &|_| None);
    config.unwrap_or_else(|error| panic!("{error}")).scrape.remove(0)
}
