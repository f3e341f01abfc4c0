//! When is a target scraped?
//!
//! Each target has its own offset in the interval, taken from its labels and from who scrapes it:
//! restarts keep it, and two replicas have different ones. A timestamp that is off its ideal time
//! by no more than the timer's own jitter is put back on it, so that stored distances are equal
//! and compress well.

use crate::model::Labels;

/// How late a scrape may be and still carry its ideal time.
const TOLERANCE_MS: i64 = 2;

/// FNV-1a, which stays the same between versions and machines.
#[derive(Clone, Copy)]
pub(crate) struct StableHash(u64);

impl StableHash {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn add(mut self, text: &str) -> Self {
        // The separator keeps `a` + `bc` apart from `ab` + `c`.
        for byte in text.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self
    }

    pub(crate) fn add_labels(self, labels: &Labels) -> Self {
        labels.iter().fold(self, |hash, (name, value)| hash.add(name).add(value))
    }

    pub(crate) const fn value(self) -> u64 {
        self.0
    }
}

/// Milliseconds from `now_ms` to the next instant that lies at the target's offset in its interval.
pub(crate) fn wait_ms(now_ms: i64, interval_ms: i64, target_hash: u64, seed: u64) -> i64 {
    let interval_ms = interval_ms.max(1);
    let offset_ms = ((target_hash ^ seed) % interval_ms.unsigned_abs()).cast_signed();
    (offset_ms - now_ms).rem_euclid(interval_ms)
}

/// Puts the times of one target's scrapes on a regular grid.
#[derive(Debug)]
pub(crate) struct Grid {
    interval_ms: i64,
    ideal_ms: i64,
}

impl Grid {
    /// The first scrape is at `first_ms`.
    pub(crate) const fn new(first_ms: i64, interval_ms: i64) -> Self {
        Self { interval_ms, ideal_ms: first_ms }
    }

    /// The timestamp for a scrape at `now_ms`.
    pub(crate) fn timestamp_ms(&mut self, now_ms: i64) -> i64 {
        if now_ms >= self.ideal_ms && self.interval_ms > 0 {
            let skipped = (now_ms - self.ideal_ms) / self.interval_ms;
            self.ideal_ms += skipped * self.interval_ms;
        }
        let late_ms = now_ms - self.ideal_ms;
        let next_late_ms = late_ms - self.interval_ms;
        let tolerance_ms = TOLERANCE_MS.min(self.interval_ms / 100);
        if late_ms.abs() <= tolerance_ms {
            self.ideal_ms
        } else if next_late_ms.abs() <= tolerance_ms {
            // The timer fired a little early.
            self.ideal_ms += self.interval_ms;
            self.ideal_ms
        } else {
            now_ms
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_keeps_its_offset() {
        for now_ms in [0, 1, 14_999, 15_000, 1_700_000_000_123] {
            let wait_ms = wait_ms(now_ms, 15_000, 77, 0);
            assert!((0..15_000).contains(&wait_ms), "{wait_ms}");
            assert_eq!((now_ms + wait_ms) % 15_000, 77);
        }
    }

    #[test]
    fn replicas_scrape_at_different_times() {
        let target = StableHash::new().add("http://a/metrics").value();
        let seeds = ["a", "b"].map(|name| StableHash::new().add(name).value());
        let waits = seeds.map(|seed| wait_ms(0, 60_000, target, seed));
        assert_ne!(waits[0], waits[1]);
    }

    #[test]
    fn jitter_is_taken_out_of_timestamps() {
        let mut grid = Grid::new(1_000, 1_000);
        let times = [1_000, 2_001, 3_002, 3_999, 5_003, 9_001, 9_998];
        let expected = [1_000, 2_000, 3_000, 4_000, 5_003, 9_000, 10_000];
        for (now_ms, expected_ms) in times.into_iter().zip(expected) {
            assert_eq!(grid.timestamp_ms(now_ms), expected_ms, "{now_ms}");
        }
    }

    #[test]
    fn short_intervals_tolerate_less() {
        let mut grid = Grid::new(0, 100);
        assert_eq!(grid.timestamp_ms(101), 100);
        assert_eq!(grid.timestamp_ms(202), 202);
    }

    #[test]
    fn a_clock_that_goes_back_is_believed() {
        let mut grid = Grid::new(10_000, 1_000);
        assert_eq!(grid.timestamp_ms(5_000), 5_000);
    }
}
