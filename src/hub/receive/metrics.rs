//! What the receiver counts.

use crate::base::metrics::{Counter, Registry};
use crate::series::Verdict;

/// What the receiver counts.
#[derive(Debug, Clone)]
pub(super) struct ReceiveMetrics {
    pub(super) invalid_label_series: Counter,
    pub(super) body_bytes: Counter,
    pub(super) message_bytes: Counter,
    pub(super) accepted: Counter,
    pub(super) requests_stored: Counter,
    pub(super) requests_partial: Counter,
    pub(super) requests_refused: Counter,
    pub(super) requests_failed: Counter,
    pub(super) over_limit_series: Counter,
    pub(super) exemplars: Counter,
    pub(super) exemplars_rejected: Counter,
    /// Samples that an earlier one of their own request made too old.
    pub(super) conflicting: Counter,
    duplicate: Counter,
    out_of_order: Counter,
    out_of_bounds: Counter,
    too_old: Counter,
    invalid_histogram: Counter,
    pub(super) series_limit: Counter,
    rolled_back: Counter,
}

impl ReceiveMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let requests = |outcome| {
            registry.counter_with(
                "promlite_receive_requests_total",
                "Remote write requests by what became of them.",
                &[("outcome", outcome)],
            )
        };
        let rejected = |reason| {
            registry.counter_with(
                "promlite_receive_samples_rejected_total",
                "Samples that were received and not stored, by reason.",
                &[("reason", reason)],
            )
        };
        Self {
            invalid_label_series: registry.counter(
                "prometheus_api_remote_write_invalid_labels_samples_total",
                "The total number of received remote write samples and histogram samples which \
                 were rejected due to invalid labels.",
            ),
            body_bytes: registry.counter(
                "promlite_receive_compressed_bytes_total",
                "Bytes of remote write requests as they came.",
            ),
            message_bytes: registry.counter(
                "promlite_receive_bytes_total",
                "Bytes of remote write requests, decompressed.",
            ),
            accepted: registry.counter(
                "promlite_receive_samples_accepted_total",
                "Samples, histograms included, that were received and stored.",
            ),
            requests_stored: requests("stored"),
            requests_partial: requests("partial"),
            requests_refused: requests("refused"),
            requests_failed: requests("failed"),
            over_limit_series: registry.counter(
                "promlite_receive_series_over_limit_total",
                "Series that were received and not stored since their labels exceed a limit.",
            ),
            exemplars: registry.counter(
                "promlite_receive_exemplars_accepted_total",
                "Exemplars that were received and handed to the store.",
            ),
            exemplars_rejected: registry.counter(
                "promlite_receive_exemplars_rejected_total",
                "Exemplars that were received and refused by the store.",
            ),
            conflicting: rejected("conflict_in_request"),
            duplicate: rejected("duplicate_timestamp"),
            out_of_order: rejected("out_of_order"),
            out_of_bounds: rejected("out_of_bounds"),
            too_old: rejected("too_old"),
            invalid_histogram: rejected("invalid_histogram"),
            series_limit: rejected("series_limit"),
            rolled_back: rejected("rolled_back"),
        }
    }

    /// Counts the samples of a request of which none is stored: those that are at fault by their
    /// reason, the others as rolled back.
    pub(super) fn reject(&self, verdicts: &[Verdict]) {
        for verdict in verdicts {
            match verdict {
                Verdict::Accepted => self.rolled_back.inc(),
                Verdict::DuplicateTimestamp => self.duplicate.inc(),
                Verdict::OutOfOrder => self.out_of_order.inc(),
                Verdict::OutOfBounds => self.out_of_bounds.inc(),
                Verdict::TooOld => self.too_old.inc(),
                Verdict::InvalidHistogram(_) => self.invalid_histogram.inc(),
                Verdict::SeriesLimit | Verdict::UnknownSeries => self.series_limit.inc(),
            }
        }
    }

    /// Counts `count` samples that were never tried since one is too far in the future.
    pub(super) fn reject_future(&self, count: usize) {
        self.out_of_bounds.inc();
        self.rolled_back.add(count.saturating_sub(1) as u64);
    }
}
