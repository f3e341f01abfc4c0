//! What a sender tells of itself, under upstream's names.

use crate::base::metrics::{Counter, Gauge, Histogram, Registry};

use super::item::{ByKind, Kind};
use super::options::RemoteWriteOptions;

/// Upstream's buckets for the duration of a request.
const SECONDS: [f64; 15] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 120.0, 300.0];

/// Instruments of one sender.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    kinds: ByKind<KindMetrics>,
    /// Histograms that the protocol cannot carry, those without meaning, and those that are not to
    /// be sent.
    pub(super) custom_bounds: Counter,
    pub(super) unknown_schema: Counter,
    pub(super) not_enabled: Counter,
    pub(super) enqueue_retries: Counter,
    pub(super) bytes: Counter,
    pub(super) shards: Gauge,
    pub(super) shards_desired: Gauge,
    pub(super) highest_ms: Gauge,
    pub(super) highest_sent_ms: Gauge,
    pub(super) sent_seconds: Histogram,
    /// Samples, histograms and exemplars read from the log.
    pub(super) read: Counter,
    /// Microseconds spent in requests, over all shards.
    pub(super) sending_micros: Counter,
}

/// What is counted of each kind.
#[derive(Debug)]
pub(super) struct KindMetrics {
    pub(super) sent: Counter,
    pub(super) failed: Counter,
    pub(super) retried: Counter,
    pub(super) pending: Gauge,
    pub(super) dropped_series: Counter,
    pub(super) dropped_unknown: Counter,
    pub(super) dropped_old: Counter,
    pub(super) dropped_stored: Counter,
}

/// Makes instruments that carry the sender's labels.
struct Maker<'a> {
    registry: &'a Registry,
    labels: [(&'static str, &'a str); 2],
}

impl Maker<'_> {
    fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.registry.counter_with(name, help, &self.labels)
    }

    fn gauge(&self, name: &'static str, help: &'static str, value: f64) -> Gauge {
        let gauge = self.registry.gauge_with(name, help, &self.labels);
        gauge.set(value);
        gauge
    }

    fn dropped(&self, name: &'static str, reason: &str) -> Counter {
        let help = "Total number of samples which were dropped after being read from the log and \
            before being sent, by reason.";
        let [remote_name, url] = self.labels;
        self.registry.counter_with(name, help, &[remote_name, ("reason", reason), url])
    }
}

/// Registers the instruments of one kind.
macro_rules! kind_metrics {
    ($make:expr, $kind:literal) => {{
        let make: &Maker<'_> = $make;
        let dropped = |reason| {
            make.dropped(concat!("prometheus_remote_storage_", $kind, "_dropped_total"), reason)
        };
        KindMetrics {
            sent: make.counter(
                concat!("prometheus_remote_storage_", $kind, "_total"),
                concat!("Total number of ", $kind, " sent to remote storage."),
            ),
            failed: make.counter(
                concat!("prometheus_remote_storage_", $kind, "_failed_total"),
                concat!("Total number of ", $kind, " that the remote storage refused for good."),
            ),
            retried: make.counter(
                concat!("prometheus_remote_storage_", $kind, "_retried_total"),
                concat!("Total number of ", $kind, " sent again after a failure that may pass."),
            ),
            pending: make.gauge(
                concat!("prometheus_remote_storage_", $kind, "_pending"),
                concat!("Number of ", $kind, " in the shards, to be sent."),
                0.0,
            ),
            dropped_series: dropped("dropped_series"),
            dropped_unknown: dropped("unintentionally_dropped_series"),
            dropped_old: dropped("too_old"),
            dropped_stored: dropped("already_stored"),
        }
    }};
}

const HISTOGRAMS_DROPPED: &str = "prometheus_remote_storage_histograms_dropped_total";

impl Metrics {
    pub(super) fn new(registry: &Registry, options: &RemoteWriteOptions) -> Self {
        let url = without_secrets(&options.url);
        let labels = [("remote_name", options.name.as_str()), ("url", url.as_str())];
        let make = Maker { registry, labels };
        show_options(&make, options);
        let metrics = Self {
            registry: registry.clone(),
            kinds: ByKind {
                samples: kind_metrics!(&make, "samples"),
                histograms: kind_metrics!(&make, "histograms"),
                exemplars: kind_metrics!(&make, "exemplars"),
            },
            custom_bounds: make.dropped(HISTOGRAMS_DROPPED, "nhcb_in_rw1_not_supported"),
            unknown_schema: make.dropped(HISTOGRAMS_DROPPED, "unknown_schema"),
            not_enabled: make.dropped(HISTOGRAMS_DROPPED, "not_enabled"),
            enqueue_retries: make.counter(
                "prometheus_remote_storage_enqueue_retries_total",
                "Total number of times that reading waited because a shard was full.",
            ),
            bytes: make.counter(
                "prometheus_remote_storage_bytes_total",
                "Total number of bytes of data sent, after compression.",
            ),
            shards: make.gauge(
                "prometheus_remote_storage_shards",
                "Number of shards used for parallel sending.",
                options.queue.min_shards as f64,
            ),
            shards_desired: make.gauge(
                "prometheus_remote_storage_shards_desired",
                "Number of shards that the rates of samples in and out call for.",
                options.queue.min_shards as f64,
            ),
            sent_seconds: registry.histogram_with(
                "prometheus_remote_storage_sent_batch_duration_seconds",
                "Duration of requests to the remote storage.",
                &SECONDS,
                &labels,
            ),
            highest_ms: Gauge::default(),
            highest_sent_ms: Gauge::default(),
            read: Counter::default(),
            sending_micros: Counter::default(),
        };
        metrics.register_times(&labels);
        metrics
    }

    /// Times are kept in milliseconds and shown in seconds.
    fn register_times(&self, labels: &[(&'static str, &str)]) {
        let times = [
            (
                "prometheus_remote_storage_queue_highest_timestamp_seconds",
                "Highest timestamp that was enqueued, in seconds since epoch.",
                &self.highest_ms,
            ),
            (
                "prometheus_remote_storage_queue_highest_sent_timestamp_seconds",
                "Highest timestamp successfully sent, in seconds since epoch.",
                &self.highest_sent_ms,
            ),
        ];
        for (name, help, gauge) in times {
            let gauge = gauge.clone();
            let kind = crate::base::metrics::Kind::Gauge;
            self.registry.read_with(name, help, kind, labels, move || gauge.get() / 1000.0);
        }
    }

    /// What is counted of one kind.
    pub(super) const fn of(&self, kind: Kind) -> &KindMetrics {
        self.kinds.of(kind)
    }

    /// What all kinds have counted together.
    pub(super) fn sum(&self, which: impl Fn(&KindMetrics) -> u64) -> u64 {
        self.kinds.all().iter().map(|(_, kind)| which(kind)).sum()
    }

    /// Takes the sender's members from the page.
    pub(super) fn forget(&self, name: &str) {
        self.registry.forget("remote_name", name);
    }
}

fn show_options(make: &Maker<'_>, options: &RemoteWriteOptions) {
    let queue = &options.queue;
    let table = [
        ("prometheus_remote_storage_shards_max", "Most shards.", queue.max_shards),
        ("prometheus_remote_storage_shards_min", "Fewest shards.", queue.min_shards),
        ("prometheus_remote_storage_shard_capacity", "Samples a shard holds.", queue.capacity),
        (
            "prometheus_remote_storage_max_samples_per_send",
            "Most samples in one request.",
            queue.max_samples_per_send,
        ),
    ];
    for (name, help, value) in table {
        make.gauge(name, help, value as f64);
    }
}

/// An address without the password that it may hold.
fn without_secrets(url: &str) -> String {
    let Ok(mut parsed) = reqwest::Url::parse(url) else { return String::new() };
    if parsed.password().is_some() {
        // Only addresses without a host refuse it, and those have no password.
        let _ = parsed.set_password(Some("xxxxx"));
        return parsed.to_string();
    }
    url.to_owned()
}
