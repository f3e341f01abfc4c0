//! What the agent's log counts about itself, under Prometheus's names where it has one.

use crate::base::metrics::{Counter, Gauge, Histogram, Registry};

#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) active_series: Gauge,
    pub(super) deleted_series: Gauge,
    pub(super) samples: Counter,
    pub(super) histograms: Counter,
    pub(super) exemplars: Counter,
    pub(super) out_of_order: Counter,
    pub(super) out_of_order_exemplars: Counter,
    pub(super) truncate_seconds: Histogram,
    pub(super) corruptions: Counter,
    pub(super) replay_seconds: Gauge,
    pub(super) checkpoints: Counter,
    pub(super) checkpoints_failed: Counter,
    pub(super) checkpoint_deletions: Counter,
    pub(super) checkpoint_deletions_failed: Counter,
    pub(super) clean_start: Gauge,
    pub(super) dropped: Counter,
}

const TRUNCATE_BOUNDS: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0];

impl Metrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = |name, help| registry.counter(name, help);
        Self {
            active_series: registry.gauge(
                "prometheus_agent_active_series",
                "Number of active series being tracked by the WAL storage",
            ),
            deleted_series: registry.gauge(
                "prometheus_agent_deleted_series",
                "Number of series pending deletion from the WAL",
            ),
            samples: samples(registry, "float"),
            histograms: samples(registry, "histogram"),
            exemplars: counter(
                "prometheus_agent_exemplars_appended_total",
                "Total number of exemplars appended to the storage",
            ),
            out_of_order_exemplars: counter(
                "promlite_agent_exemplars_rejected_total",
                "Total number of exemplars that were too late or too long.",
            ),
            out_of_order: counter(
                "prometheus_agent_out_of_order_samples_total",
                "Total number of out of order samples ingestion failed attempts.",
            ),
            truncate_seconds: registry.histogram_with(
                "prometheus_agent_truncate_duration_seconds",
                "Duration of WAL truncation.",
                TRUNCATE_BOUNDS,
                &[],
            ),
            corruptions: counter(
                "prometheus_agent_corruptions_total",
                "Total number of WAL corruptions.",
            ),
            replay_seconds: registry.gauge(
                "prometheus_agent_data_replay_duration_seconds",
                "Time taken to replay the data on disk.",
            ),
            checkpoints: counter(
                "prometheus_agent_checkpoint_creations_total",
                "Total number of checkpoint creations attempted.",
            ),
            checkpoints_failed: counter(
                "prometheus_agent_checkpoint_creations_failed_total",
                "Total number of checkpoint creations that failed.",
            ),
            checkpoint_deletions: counter(
                "prometheus_agent_checkpoint_deletions_total",
                "Total number of checkpoint deletions attempted.",
            ),
            checkpoint_deletions_failed: counter(
                "prometheus_agent_checkpoint_deletions_failed_total",
                "Total number of checkpoint deletions that failed.",
            ),
            clean_start: registry.gauge(
                "prometheus_agent_clean_start",
                "1 if the last run had released its lock file, 0 if not.",
            ),
            dropped: counter(
                "prometheus_agent_unsent_samples_dropped_total",
                "Total number of samples that were given up before they were sent.",
            ),
        }
    }
}

fn samples(registry: &Registry, kind: &str) -> Counter {
    registry.counter_with(
        "prometheus_agent_samples_appended_total",
        "Total number of samples appended to the storage",
        &[("type", kind)],
    )
}
