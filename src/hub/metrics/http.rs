//! Requests by path and status, under Prometheus's names.

use axum::body::{Body, HttpBody};
use axum::http::Response;
use parking_lot::Mutex;

use crate::base::metrics::{Counter, Gauge, Histogram, Registry};

const SECONDS: &[f64] = &[0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0];
const BYTES: &[f64] = &[1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// Instruments of all paths.
#[derive(Debug)]
pub(in crate::hub) struct HttpMetrics {
    registry: Registry,
    paths: Vec<PathMetrics>,
    pub(in crate::hub) ready: Gauge,
}

#[derive(Debug)]
struct PathMetrics {
    pattern: &'static str,
    seconds: Histogram,
    bytes: Histogram,
    by_status: Mutex<Vec<(u16, Counter)>>,
}

impl HttpMetrics {
    /// Makes the instruments of each path, in this order.
    pub(in crate::hub) fn new(
        registry: &Registry,
        patterns: impl Iterator<Item = &'static str>,
    ) -> Self {
        let path = |pattern| {
            let labels = [("handler", pattern)];
            PathMetrics {
                pattern,
                seconds: registry.histogram_with(
                    "prometheus_http_request_duration_seconds",
                    "Histogram of latencies for HTTP requests.",
                    SECONDS,
                    &labels,
                ),
                bytes: registry.histogram_with(
                    "prometheus_http_response_size_bytes",
                    "Histogram of response size for HTTP requests.",
                    BYTES,
                    &labels,
                ),
                by_status: Mutex::new(vec![(200, requests(registry, pattern, 200))]),
            }
        };
        Self {
            registry: registry.clone(),
            paths: patterns.map(path).collect(),
            ready: registry.gauge(
                "prometheus_ready",
                "Whether startup was fully completed and the server is ready for normal operation.",
            ),
        }
    }

    /// Counts an answer of the path at `index`.
    pub(in crate::hub) fn observe(&self, index: usize, response: &Response<Body>, seconds: f64) {
        let Some(path) = self.paths.get(index) else { return };
        path.seconds.observe(seconds);
        path.bytes.observe(response.body().size_hint().lower() as f64);
        let status = response.status().as_u16();
        let mut by_status = path.by_status.lock();
        if let Some((_, counter)) = by_status.iter().find(|(known, _)| *known == status) {
            counter.inc();
            return;
        }
        let counter = requests(&self.registry, path.pattern, status);
        counter.inc();
        by_status.push((status, counter));
    }
}

fn requests(registry: &Registry, pattern: &'static str, status: u16) -> Counter {
    registry.counter_with(
        "prometheus_http_requests_total",
        "Counter of HTTP requests.",
        &[("code", &status.to_string()), ("handler", pattern)],
    )
}
