//! How many shards there should be: upstream's `calculateDesiredShards`.
//!
//! As many as are needed to send what comes in, and to catch up with 5 % of what is left behind
//! each second, given how long sending a sample takes. Small changes are not worth the stop that
//! a change is, and nothing is taken away while there is a backlog.

use std::sync::atomic::Ordering;

use super::Shared;

/// Weight of the newest round in the moving averages.
const WEIGHT: f64 = 0.2;
const CATCH_UP_PER_SECOND: f64 = 0.05;
const TOLERANCE: f64 = 0.3;
const BACKLOG_SECONDS_MAX: f64 = 10.0;

/// A rate per second, smoothed over rounds.
#[derive(Debug, Default, Clone, Copy)]
struct Average {
    total: u64,
    rate: Option<f64>,
}

impl Average {
    fn tick(&mut self, total: u64, seconds: f64) -> f64 {
        let now = total.saturating_sub(self.total) as f64 / seconds;
        self.total = total;
        let rate = match self.rate {
            Some(rate) => rate + WEIGHT * (now - rate),
            None => now,
        };
        // Until something comes there is nothing to average.
        self.rate = (rate > 0.0 || self.rate.is_some()).then_some(rate);
        rate
    }
}

/// Rates per second, and how far behind sending is.
#[derive(Debug, Default, Clone, Copy)]
struct Rates {
    read: f64,
    sent: f64,
    dropped: f64,
    /// Seconds of sending per second.
    sending: f64,
    behind_seconds: f64,
}

impl Rates {
    /// Shards that the rates call for; none if nothing was sent.
    fn desired(&self) -> Option<f64> {
        if self.sent <= 0.0 {
            return None;
        }
        let kept = self.sent / (self.dropped + self.sent);
        let per_sample = self.sending / self.sent;
        let backlog = self.behind_seconds * self.read * kept;
        Some(per_sample * (self.read * kept + CATCH_UP_PER_SECOND * backlog))
    }

    fn count(&self, active: usize, least: usize, most: usize) -> usize {
        let Some(desired) = self.desired() else { return active };
        let desired = desired.ceil();
        let around = |factor: f64| active as f64 * factor;
        if (around(1.0 - TOLERANCE)..=around(1.0 + TOLERANCE)).contains(&desired) {
            return active;
        }
        let count = desired as usize;
        if count < active && self.behind_seconds > BACKLOG_SECONDS_MAX {
            return active;
        }
        count.clamp(least, most)
    }
}

/// Watches a sender from round to round.
#[derive(Debug, Default)]
pub(super) struct DesiredShards {
    read: Average,
    sent: Average,
    dropped: Average,
    sending: Average,
}

impl DesiredShards {
    /// How many shards there should be after a round of `seconds`.
    pub(super) fn tick(&mut self, shared: &Shared, seconds: f64) -> usize {
        let metrics = &shared.metrics;
        let sent = metrics.sum(|kind| kind.sent.get() + kind.failed.get());
        let dropped = metrics.sum(|kind| {
            kind.dropped_series.get() + kind.dropped_unknown.get() + kind.dropped_old.get()
        });
        // What is not read yet is as new as now.
        let newest_ms = match shared.caught_up.load(Ordering::Relaxed) {
            true => metrics.highest_ms.get(),
            false => shared.source.clock.now_ms() as f64,
        };
        let behind_ms = newest_ms - metrics.highest_sent_ms.get();
        let rates = Rates {
            read: self.read.tick(metrics.read.get(), seconds),
            sent: self.sent.tick(sent, seconds),
            dropped: self.dropped.tick(dropped, seconds),
            sending: self.sending.tick(metrics.sending_micros.get(), seconds) / 1e6,
            behind_seconds: behind_ms.max(0.0) / 1000.0,
        };
        metrics.shards_desired.set(rates.desired().unwrap_or(shared.shards.active() as f64));
        let queue = &shared.options.queue;
        rates.count(shared.shards.active(), queue.min_shards, queue.max_shards)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_follow_the_load_as_upstream_has_it() {
        // Shards now, samples in and out, seconds of sending, seconds behind, shards wanted.
        let table = [
            (1, 0.0, 0.0, 0.0, 0.0, 1),
            (10, 0.0, 0.0, 0.0, 0.0, 10),
            (1, 10.0, 10.0, 1.0, 0.0, 1),
            (10, 10.0, 10.0, 5.0, 0.0, 5),
            (7, 10.0, 10.0, 5.0, 0.0, 7),
            (1, 10.0, 10.0, 10.0, 0.0, 10),
            (8, 10.0, 10.0, 10.0, 0.0, 8),
            (2, 10.0, 10.0, 2.0, 20.0, 4),
            (4, 10.0, 10.0, 4.0, 90.0, 22),
            (22, 10.0, 20.0, 4.0, 10.0, 3),
            (3, 10.0, 10.0, 2.0, 0.0, 2),
            (1, 10.0, 10.0, 1.4, 0.0, 2),
            (2, 10.0, 10.0, 0.9, 0.0, 1),
            (3, 10.0, 10.0, 2.01, 0.0, 3),
            (3, 10.0, 10.0, 1.99, 0.0, 2),
            (10, 10.0, 10.0, 5.0, 11.0, 10),
            (10, 10.0, 10.0, 90.0, 0.0, 50),
        ];
        for (active, read, sent, sending, behind_seconds, want) in table {
            let rates = Rates { read, sent, dropped: 0.0, sending, behind_seconds };
            assert_eq!(rates.count(active, 1, 50), want, "{active} {rates:?}");
        }
    }

    #[test]
    fn averages_begin_with_the_first_round_that_has_something() {
        let mut average = Average::default();
        assert_eq!(average.tick(0, 10.0), 0.0);
        assert_eq!(average.tick(100, 10.0), 10.0);
        assert_eq!(average.tick(100, 10.0), 8.0);
        assert!((average.tick(300, 10.0) - 10.4).abs() < 1e-9);
    }
}
