//! Counters about scraping, under Prometheus's names.

use crate::base::metrics::{Counter, Registry};

/// Counters that all jobs share.
#[derive(Debug, Clone)]
pub(crate) struct ScrapeMetrics {
    pub(super) out_of_order: Counter,
    pub(super) duplicate: Counter,
    pub(super) out_of_bounds: Counter,
    pub(super) exceeded_sample_limit: Counter,
    pub(super) exceeded_label_limits: Counter,
    pub(super) exceeded_target_limit: Counter,
    pub(super) exceeded_body_size_limit: Counter,
    pub(super) cache_flush_forced: Counter,
    pub(super) registry: Registry,
}

impl ScrapeMetrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let scrapes = |name, help| registry.counter(name, help);
        Self {
            out_of_order: scrapes(
                "prometheus_target_scrapes_sample_out_of_order_total",
                "Samples rejected because they were not in the expected order.",
            ),
            duplicate: scrapes(
                "prometheus_target_scrapes_sample_duplicate_timestamp_total",
                "Samples rejected because another value is stored for their timestamp.",
            ),
            out_of_bounds: scrapes(
                "prometheus_target_scrapes_sample_out_of_bounds_total",
                "Samples rejected because their timestamp is too old or too far in the future.",
            ),
            exceeded_sample_limit: scrapes(
                "prometheus_target_scrapes_exceeded_sample_limit_total",
                "Scrapes that hit the sample limit and were rejected.",
            ),
            exceeded_label_limits: scrapes(
                "prometheus_target_scrape_pool_exceeded_label_limits_total",
                "Scrapes that hit the label limits and were rejected.",
            ),
            exceeded_target_limit: scrapes(
                "prometheus_target_scrape_pool_exceeded_target_limit_total",
                "Times a job had more targets than its limit.",
            ),
            exceeded_body_size_limit: scrapes(
                "prometheus_target_scrapes_exceeded_body_size_limit_total",
                "Scrapes that hit the body size limit and were rejected.",
            ),
            cache_flush_forced: scrapes(
                "prometheus_target_scrapes_cache_flush_forced_total",
                "Times a series cache was emptied because it grew while scrapes failed.",
            ),
            registry: registry.clone(),
        }
    }
}
