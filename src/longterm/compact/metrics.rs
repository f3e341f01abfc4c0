//! What is counted, under upstream's names where it has one.

use crate::base::metrics::{Counter, Gauge, Histogram, Registry};

const MARKED: &str = "thanos_compact_blocks_marked_total";
const MARKED_HELP: &str = "Blocks that were marked.";
const GARBAGE_SECONDS: &[f64] =
    &[0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0, 720.0];
const DOWNSAMPLE_SECONDS: &[f64] = &[60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0];

/// Counts of a compactor.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    registry: Registry,
    pub(super) iterations: Counter,
    pub(super) retries: Counter,
    pub(super) garbage_collections: Counter,
    pub(super) garbage_failures: Counter,
    pub(super) garbage_seconds: Histogram,
    pub(super) garbage: Counter,
    pub(super) cleaned: Counter,
    pub(super) clean_failures: Counter,
    pub(super) partial_deletions: Counter,
    pub(super) marked_for_deletion: Counter,
    pub(super) marked_no_compact: Counter,
    pub(super) marked_no_downsample: Counter,
    pub(super) quarantined: Gauge,
    pub(super) todo_compactions: Gauge,
    pub(super) todo_blocks: Gauge,
    pub(super) todo_downsample: Gauge,
    pub(super) todo_deletion: Gauge,
}

/// Counts of one group.
#[derive(Debug, Clone)]
pub(super) struct GroupMetrics {
    pub(super) compactions: Counter,
    pub(super) vertical: Counter,
    pub(super) started: Counter,
    pub(super) completed: Counter,
    pub(super) failures: Counter,
    pub(super) downsamples: Counter,
    pub(super) downsample_failures: Counter,
    pub(super) downsample_seconds: Histogram,
    pub(super) lag_seconds: Gauge,
}

impl Metrics {
    pub(super) fn new(registry: &Registry, delete_delay_ms: i64) -> Self {
        let counter = |name, help| registry.counter(name, help);
        let gauge = |name, help| registry.gauge(name, help);
        let delay = gauge("thanos_delete_delay_seconds", "How long marked blocks stay.");
        delay.set(delete_delay_ms as f64 / 1000.0);
        // One bad block sets itself aside here and halts nothing: this stays 0, for the alerts.
        gauge("thanos_compact_halted", "1 if the compactor has halted, which it never does.");
        let marked = |marker: &str, reason: &str| {
            let labels = [("marker", marker), ("reason", reason)];
            registry.counter_with(MARKED, MARKED_HELP, &labels)
        };
        Self {
            registry: registry.clone(),
            iterations: counter("thanos_compact_iterations_total", "Rounds that went well."),
            retries: counter("thanos_compact_retries_total", "Rounds that failed in part."),
            garbage_collections: counter(
                "thanos_compact_garbage_collection_total",
                "Searches for superfluous blocks.",
            ),
            garbage_failures: counter(
                "thanos_compact_garbage_collection_failures_total",
                "Searches for superfluous blocks that failed.",
            ),
            garbage_seconds: registry.histogram_with(
                "thanos_compact_garbage_collection_duration_seconds",
                "Time that a search for superfluous blocks took.",
                GARBAGE_SECONDS,
                &[],
            ),
            garbage: counter(
                "thanos_compact_garbage_collected_blocks_total",
                "Superfluous blocks that were marked for deletion.",
            ),
            cleaned: counter("thanos_compact_blocks_cleaned_total", "Blocks that were deleted."),
            clean_failures: counter(
                "thanos_compact_block_cleanup_failures_total",
                "Blocks that could not be deleted.",
            ),
            partial_deletions: counter(
                "thanos_compact_aborted_partial_uploads_deletion_attempts_total",
                "Deletions of blocks that were never uploaded as a whole.",
            ),
            marked_for_deletion: marked("deletion-mark.json", ""),
            marked_no_compact: marked("no-compact-mark.json", ""),
            marked_no_downsample: marked("no-downsample-mark.json", ""),
            quarantined: gauge("promlite_compact_quarantined_blocks", "Blocks that are set aside."),
            todo_compactions: gauge("thanos_compact_todo_compactions", "Merges that are planned."),
            todo_blocks: gauge(
                "thanos_compact_todo_compaction_blocks",
                "Blocks that are planned to be merged.",
            ),
            todo_downsample: gauge(
                "thanos_compact_todo_downsample_blocks",
                "Blocks that are to be downsampled.",
            ),
            todo_deletion: gauge("thanos_compact_todo_deletion_blocks", "Blocks that are too old."),
        }
    }

    pub(super) fn group(&self, id: &str, resolution_ms: i64) -> GroupMetrics {
        let resolution = resolution_ms.to_string();
        let labels = [("resolution", resolution.as_str())];
        let counter = |name, help| self.registry.counter_with(name, help, &labels);
        let lag = "promlite_compact_group_lag_seconds";
        let lag_help = "For how long the oldest work of the group has been waiting.";
        GroupMetrics {
            compactions: counter(
                "thanos_compact_group_compactions_total",
                "Merges that gave a new block.",
            ),
            vertical: counter(
                "thanos_compact_group_vertical_compactions_total",
                "Merges of blocks that shared time.",
            ),
            started: counter(
                "thanos_compact_group_compaction_runs_started_total",
                "Times that a group was looked at.",
            ),
            completed: counter(
                "thanos_compact_group_compaction_runs_completed_total",
                "Times that a group was looked at and all went well.",
            ),
            failures: counter("thanos_compact_group_compactions_failures_total", "Failed merges."),
            downsamples: counter(
                "thanos_compact_downsample_total",
                "Blocks that were downsampled.",
            ),
            downsample_failures: counter(
                "thanos_compact_downsample_failures_total",
                "Blocks that could not be downsampled.",
            ),
            downsample_seconds: self.registry.histogram_with(
                "thanos_compact_downsample_duration_seconds",
                "Time that it took to downsample a block.",
                DOWNSAMPLE_SECONDS,
                &labels,
            ),
            lag_seconds: self.registry.gauge_with(lag, lag_help, &[("group", id)]),
        }
    }
}
