//! What a data directory counts, under Prometheus's names.

use crate::base::metrics::{Counter, Gauge, Histogram, Registry};

use super::TsdbOptions;
use super::blocks::BlockList;

const SECONDS: &[f64] =
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0];

#[derive(Debug)]
pub(super) struct DbMetrics {
    pub(super) clean_start: Gauge,
    pub(super) compactions: Counter,
    pub(super) compactions_failed: Counter,
    pub(super) compactions_triggered: Counter,
    pub(super) compaction_seconds: Histogram,
    pub(super) reloads: Counter,
    pub(super) reloads_failed: Counter,
    pub(super) time_retentions: Counter,
    pub(super) size_retentions: Counter,
    blocks_loaded: Gauge,
    blocks_unreadable: Gauge,
    blocks_bytes: Gauge,
    lowest_timestamp: Gauge,
    lowest_timestamp_seconds: Gauge,
}

impl DbMetrics {
    pub(super) fn new(registry: &Registry, options: &TsdbOptions) -> Self {
        let counter = |name, help| registry.counter(name, help);
        let gauge = |name, help| registry.gauge(name, help);
        gauge("prometheus_tsdb_retention_limit_seconds", "How long blocks are kept; 0 for ever.")
            .set(options.retention_ms as f64 / 1000.0);
        gauge("prometheus_tsdb_retention_limit_bytes", "How much may be kept; 0 for all.")
            .set(options.retention_bytes as f64);
        Self {
            clean_start: gauge(
                "prometheus_tsdb_clean_start",
                "1 if the directory was closed properly before, 0 if a lock was left behind.",
            ),
            compactions: counter(
                "prometheus_tsdb_compactions_total",
                "Blocks that were written from the head or from other blocks.",
            ),
            compactions_failed: counter(
                "prometheus_tsdb_compactions_failed_total",
                "Blocks that could not be written.",
            ),
            compactions_triggered: counter(
                "prometheus_tsdb_compactions_triggered_total",
                "Rounds of upkeep.",
            ),
            compaction_seconds: registry.histogram_with(
                "prometheus_tsdb_compaction_duration_seconds",
                "Time that writing a block took.",
                SECONDS,
                &[],
            ),
            reloads: counter("prometheus_tsdb_reloads_total", "Looks at the blocks on disk."),
            reloads_failed: counter(
                "prometheus_tsdb_reloads_failures_total",
                "Looks at the blocks on disk that failed.",
            ),
            time_retentions: counter(
                "prometheus_tsdb_time_retentions_total",
                "Times that blocks were removed because of their age.",
            ),
            size_retentions: counter(
                "prometheus_tsdb_size_retentions_total",
                "Times that blocks were removed because of their size.",
            ),
            blocks_loaded: gauge("prometheus_tsdb_blocks_loaded", "Blocks that are open."),
            blocks_unreadable: gauge(
                "promlite_tsdb_blocks_unreadable",
                "Blocks that are left out because they cannot be read.",
            ),
            blocks_bytes: gauge("prometheus_tsdb_storage_blocks_bytes", "Bytes of all blocks."),
            lowest_timestamp: gauge(
                "prometheus_tsdb_lowest_timestamp",
                "Oldest time in the directory, in ms.",
            ),
            lowest_timestamp_seconds: gauge(
                "prometheus_tsdb_lowest_timestamp_seconds",
                "Oldest time in the directory.",
            ),
        }
    }

    /// Shows the blocks that are open, and the oldest time of those and the head.
    pub(super) fn show(&self, list: &BlockList, head_start_ms: Option<i64>) {
        self.blocks_loaded.set(list.blocks.len() as f64);
        self.blocks_unreadable.set(list.unreadable.len() as f64);
        self.blocks_bytes.set(list.size_bytes() as f64);
        let oldest_block_ms = list.blocks.first().map(|open| open.meta().min_time_ms);
        let lowest_ms = oldest_block_ms.into_iter().chain(head_start_ms).min();
        if let Some(lowest_ms) = lowest_ms {
            self.lowest_timestamp.set(lowest_ms as f64);
            self.lowest_timestamp_seconds.set(lowest_ms as f64 / 1000.0);
        }
    }
}
