//! What the head counts, under Prometheus's names.

use crate::base::metrics::{Counter, Gauge, Histogram, Registry};
use crate::series::Verdict;

const FLOAT: &[(&str, &str)] = &[("type", "float")];
const HISTOGRAM: &[(&str, &str)] = &[("type", "histogram")];
const SECONDS: &[f64] = &[0.01, 0.1, 1.0, 10.0, 60.0, 600.0];

/// Instruments of one head. Several heads may share a registry: what they count adds up.
#[derive(Debug, Clone)]
pub(super) struct HeadMetrics {
    pub(super) series: Gauge,
    pub(super) series_created: Counter,
    pub(super) series_removed: Counter,
    pub(super) chunks: Gauge,
    pub(super) chunks_created: Counter,
    pub(super) chunks_removed: Counter,
    pub(super) floats_appended: Counter,
    pub(super) histograms_appended: Counter,
    late_appended: [Counter; 2],
    refused: Refused,
    pub(super) min_time: Gauge,
    pub(super) max_time: Gauge,
    pub(super) max_time_seconds: Gauge,
    pub(super) truncations: Counter,
    pub(super) gc_seconds: Histogram,
    pub(super) wal_truncate_seconds: Histogram,
    pub(super) checkpoints: Counter,
    pub(super) checkpoints_failed: Counter,
    pub(super) replay: ReplayMetrics,
}

/// Samples that were refused, floats and histograms.
#[derive(Debug, Clone)]
struct Refused {
    out_of_order: [Counter; 2],
    out_of_bounds: [Counter; 2],
    too_old: [Counter; 2],
    duplicates: [Counter; 2],
}

impl Refused {
    fn new(registry: &Registry) -> Self {
        let of_both =
            |name, help| [FLOAT, HISTOGRAM].map(|kind| registry.counter_with(name, help, kind));
        Self {
            out_of_order: of_both(
                "prometheus_tsdb_out_of_order_samples_total",
                "Samples refused because their series has a newer one.",
            ),
            out_of_bounds: of_both(
                "prometheus_tsdb_out_of_bound_samples_total",
                "Samples refused because they are older than what the head may still change.",
            ),
            too_old: of_both(
                "prometheus_tsdb_too_old_samples_total",
                "Samples refused because they are older than the window for late ones.",
            ),
            duplicates: of_both(
                "promlite_tsdb_duplicate_samples_total",
                "Samples refused because another value is stored for the same time.",
            ),
        }
    }
}

/// What is counted while a head is put together.
#[derive(Debug, Clone)]
pub(super) struct ReplayMetrics {
    pub(super) unknown_refs: Counter,
    pub(super) unknown_exemplars: Counter,
    pub(super) unknown_metadata: Counter,
    pub(super) unknown_tombstones: Counter,
    pub(super) unknown_late: Counter,
    pub(super) snapshot_errors: Counter,
    pub(super) replay_seconds: Gauge,
}

impl ReplayMetrics {
    fn new(registry: &Registry) -> Self {
        let unknown = |kind: &'static str| {
            let name = "prometheus_tsdb_wal_replay_unknown_refs_total";
            registry.counter_with(
                name,
                "Rows in the log of series it does not name.",
                &[("type", kind)],
            )
        };
        Self {
            unknown_refs: unknown("samples"),
            unknown_exemplars: unknown("exemplars"),
            unknown_metadata: unknown("metadata"),
            unknown_tombstones: unknown("tombstones"),
            unknown_late: registry.counter_with(
                "prometheus_tsdb_wbl_replay_unknown_refs_total",
                "Records in the log of late samples whose series no log names.",
                &[("type", "samples")],
            ),
            snapshot_errors: registry.counter(
                "prometheus_tsdb_snapshot_replay_error_total",
                "Memory snapshots that could not be used.",
            ),
            replay_seconds: registry.gauge(
                "prometheus_tsdb_data_replay_duration_seconds",
                "Time that the replay of the log took.",
            ),
        }
    }
}

impl HeadMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = |name, help| registry.counter(name, help);
        let of_both =
            |name, help| [FLOAT, HISTOGRAM].map(|kind| registry.counter_with(name, help, kind));
        let gauge = |name, help| registry.gauge(name, help);
        let seconds = |name, help| registry.histogram_with(name, help, SECONDS, &[]);
        let late_appended = of_both(
            "prometheus_tsdb_head_out_of_order_samples_appended_total",
            "Late samples that were appended.",
        );
        let [floats_appended, histograms_appended] =
            of_both("prometheus_tsdb_head_samples_appended_total", "Samples that were appended.");
        Self {
            late_appended,
            series: gauge("prometheus_tsdb_head_series", "Series in the head."),
            series_created: counter(
                "prometheus_tsdb_head_series_created_total",
                "Series that were created in the head.",
            ),
            series_removed: counter(
                "prometheus_tsdb_head_series_removed_total",
                "Series that were removed from the head.",
            ),
            chunks: gauge("prometheus_tsdb_head_chunks", "Chunks in the head."),
            chunks_created: counter(
                "prometheus_tsdb_head_chunks_created_total",
                "Chunks that were begun in the head.",
            ),
            chunks_removed: counter(
                "prometheus_tsdb_head_chunks_removed_total",
                "Chunks that were removed from the head.",
            ),
            floats_appended,
            histograms_appended,
            refused: Refused::new(registry),
            min_time: gauge("prometheus_tsdb_head_min_time", "Oldest time in the head, in ms."),
            max_time: gauge("prometheus_tsdb_head_max_time", "Newest time in the head, in ms."),
            max_time_seconds: gauge(
                "prometheus_tsdb_head_max_time_seconds",
                "Newest time in the head.",
            ),
            truncations: counter(
                "prometheus_tsdb_head_truncations_total",
                "Truncations of the head.",
            ),
            gc_seconds: seconds(
                "prometheus_tsdb_head_gc_duration_seconds",
                "Time that truncations of the head took.",
            ),
            wal_truncate_seconds: seconds(
                "prometheus_tsdb_wal_truncate_duration_seconds",
                "Time that truncations of the log took.",
            ),
            checkpoints: counter(
                "prometheus_tsdb_checkpoint_creations_total",
                "Checkpoints that were begun.",
            ),
            checkpoints_failed: counter(
                "prometheus_tsdb_checkpoint_creations_failed_total",
                "Checkpoints that failed.",
            ),
            replay: ReplayMetrics::new(registry),
        }
    }

    pub(super) fn late_appended(&self, floats: u64, histograms: u64) {
        let [of_floats, of_histograms] = &self.late_appended;
        of_floats.add(floats);
        of_histograms.add(histograms);
    }

    pub(super) fn count_refused(&self, verdict: Verdict, is_histogram: bool) {
        let [floats, histograms] = match verdict {
            Verdict::DuplicateTimestamp => &self.refused.duplicates,
            Verdict::OutOfOrder => &self.refused.out_of_order,
            Verdict::OutOfBounds => &self.refused.out_of_bounds,
            Verdict::TooOld => &self.refused.too_old,
            _ => return,
        };
        if is_histogram { histograms.inc() } else { floats.inc() }
    }

    /// Takes what this head added to the gauges back out of them, at its end.
    pub(super) fn leave(&self, series_count: usize, chunk_count: usize) {
        self.series.add(-(series_count as f64));
        self.chunks.add(-(chunk_count as f64));
    }
}
