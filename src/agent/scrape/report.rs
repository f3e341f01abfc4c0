//! What does a scrape say of itself: `up` and its companions.

use crate::model::{Labels, METRIC_NAME, stale_nan};
use crate::series::{Batch, SeriesRef};

use super::target::Target;

const NAMES: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];
const BASIC_COUNT: usize = 5;

/// The numbers of one scrape.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Numbers {
    pub(super) up: bool,
    pub(super) duration_seconds: f64,
    /// Samples on the page.
    pub(super) scraped: usize,
    /// Samples left by relabelling.
    pub(super) kept: usize,
    /// Series that had not been known.
    pub(super) added: usize,
    pub(super) timeout_seconds: f64,
    pub(super) sample_limit: usize,
    /// Size of the page; -1 if it was over its limit.
    pub(super) body_size_bytes: i64,
}

/// The series of one target's reports.
#[derive(Debug)]
pub(super) struct Report {
    series: Vec<(Labels, SeriesRef)>,
    written: bool,
}

impl Report {
    pub(super) fn new(target: &Target, extra: bool) -> Self {
        let names = NAMES.iter().take(if extra { NAMES.len() } else { BASIC_COUNT });
        let series = names.map(|name| (target.labels.with(METRIC_NAME, name), SeriesRef::UNKNOWN));
        Self { series: series.collect(), written: false }
    }

    /// Adds the report of one scrape; its series are those at the end of the batch.
    pub(super) fn push(&self, batch: &mut Batch, timestamp_ms: i64, numbers: &Numbers) {
        let values = [
            f64::from(u8::from(numbers.up)),
            numbers.duration_seconds,
            numbers.scraped as f64,
            numbers.kept as f64,
            numbers.added as f64,
            numbers.timeout_seconds,
            numbers.sample_limit as f64,
            numbers.body_size_bytes as f64,
        ];
        for ((labels, series), value) in self.series.iter().zip(values) {
            batch.push_series(*series, labels.as_ref());
            batch.push_sample(timestamp_ms, value);
        }
    }

    /// Ends the report's series, if there ever was a report.
    pub(super) fn push_end(&self, batch: &mut Batch, timestamp_ms: i64) {
        for (labels, series) in self.series.iter().filter(|_| self.written) {
            batch.push_series(*series, labels.as_ref());
            batch.push_sample(timestamp_ms, stale_nan());
        }
    }

    /// Takes over the storage's names after the append.
    pub(super) fn learn(&mut self, batch: &Batch) {
        self.written = true;
        let first = batch.series_count().saturating_sub(self.series.len());
        for (index, (_, series)) in self.series.iter_mut().enumerate() {
            *series = batch.series_ref(first + index);
        }
    }
}
