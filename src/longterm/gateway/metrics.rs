//! What a gateway counts, under the names of Thanos's store gateway.

use crate::base::metrics::{Counter, Gauge, Registry};

#[derive(Debug)]
pub(super) struct GatewayMetrics {
    pub(super) blocks_loaded: Gauge,
    pub(super) blocks_set_aside: Gauge,
    pub(super) block_loads: Counter,
    pub(super) block_load_failures: Counter,
    pub(super) block_drops: Counter,
    pub(super) header_loads: Counter,
    pub(super) header_load_failures: Counter,
    pub(super) header_unloads: Counter,
    pub(super) postings_refetches: Counter,
    pub(super) series_refetches: Counter,
    pub(super) chunk_refetches: Counter,
    pub(super) queries_dropped: Counter,
    pub(super) blocks_queried: Counter,
    pub(super) series_found: Counter,
}

impl GatewayMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = |name, help| registry.counter(name, help);
        Self {
            blocks_loaded: registry
                .gauge("thanos_bucket_store_blocks_loaded", "Number of currently loaded blocks."),
            blocks_set_aside: registry.gauge(
                "promlite_bucket_store_blocks_set_aside",
                "Blocks that are left out of answers since they cannot be read.",
            ),
            block_loads: counter(
                "thanos_bucket_store_block_loads_total",
                "Total number of remote block loading attempts.",
            ),
            block_load_failures: counter(
                "thanos_bucket_store_block_load_failures_total",
                "Total number of failed remote block loading attempts.",
            ),
            block_drops: counter(
                "thanos_bucket_store_block_drops_total",
                "Total number of local blocks that were dropped.",
            ),
            header_loads: counter(
                "thanos_bucket_store_indexheader_lazy_load_total",
                "Total number of index-header lazy load operations.",
            ),
            header_load_failures: counter(
                "thanos_bucket_store_indexheader_lazy_load_failed_total",
                "Total number of failed index-header lazy load operations.",
            ),
            header_unloads: counter(
                "thanos_bucket_store_indexheader_lazy_unload_total",
                "Total number of index-header lazy unload operations.",
            ),
            postings_refetches: counter(
                "promlite_bucket_store_postings_refetches_total",
                "Postings lists that were longer than the table suggests.",
            ),
            series_refetches: counter(
                "thanos_bucket_store_series_refetches_total",
                "Total number of cases where the series size was not estimated correctly.",
            ),
            chunk_refetches: counter(
                "thanos_bucket_store_chunk_refetches_total",
                "Total number of cases where the chunk size was not estimated correctly.",
            ),
            queries_dropped: counter(
                "thanos_bucket_store_queries_dropped_total",
                "Number of queries that were dropped due to a limit.",
            ),
            blocks_queried: counter(
                "promlite_bucket_store_blocks_queried_total",
                "Blocks that queries were answered from.",
            ),
            series_found: counter(
                "promlite_bucket_store_series_found_total",
                "Series that queries selected, each counted in every block.",
            ),
        }
    }
}
