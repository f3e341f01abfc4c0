//! A truncation of the log that failed is tried again, so that the log does not grow for ever.

use super::checkpoint::Unreadable;

/// When a failed truncation is due again, and how it is then done. The owner of the log asks in
/// each round of upkeep, and tells how each try went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retry {
    failures: u32,
    failed_ms: i64,
}

const FIRST_PAUSE_MS: i64 = 60_000;
const LONGEST_PAUSE_MS: i64 = 16 * FIRST_PAUSE_MS;

/// After so many failures in a row, what the disk does not give is taken for lost.
const FAILURES_UNTIL_LOST: u32 = 3;

impl Retry {
    /// Nothing has failed yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { failures: 0, failed_ms: 0 }
    }

    /// True if a try has failed and it is time for the next: a minute after the first failure,
    /// then twice as long each time, at most 16 minutes.
    #[must_use]
    pub fn is_due(&self, now_ms: i64) -> bool {
        let Some(doublings) = self.failures.checked_sub(1) else { return false };
        let pause_ms = (FIRST_PAUSE_MS << doublings.min(16)).min(LONGEST_PAUSE_MS);
        // A clock that was set back must not stop us.
        let since_ms = now_ms.saturating_sub(self.failed_ms);
        since_ms < 0 || since_ms >= pause_ms
    }

    /// How the next try treats what the disk does not give.
    #[must_use]
    pub const fn unreadable(&self) -> Unreadable {
        if self.failures < FAILURES_UNTIL_LOST { Unreadable::Fail } else { Unreadable::PassOver }
    }

    /// Failures since the last success.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Tells how a try went.
    pub const fn note(&mut self, now_ms: i64, worked: bool) {
        if worked {
            *self = Self::new();
        } else {
            self.failures = self.failures.saturating_add(1);
            self.failed_ms = now_ms;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_with_success() {
        let mut retry = Retry::new();
        assert!(!retry.is_due(i64::MAX) && retry.unreadable() == Unreadable::Fail);
        let mut now_ms = 5;
        for minutes in [1, 2, 4, 8, 16, 16, 16] {
            retry.note(now_ms, false);
            assert!(!retry.is_due(now_ms + minutes * 60_000 - 1));
            now_ms += minutes * 60_000;
            assert!(retry.is_due(now_ms) && retry.is_due(i64::MIN / 2));
        }
        assert_eq!((retry.failures(), retry.unreadable()), (7, Unreadable::PassOver));
        retry.note(now_ms, true);
        assert_eq!(retry, Retry::new());
        for _ in 0..100 {
            retry.note(0, false);
        }
        assert!(retry.is_due(16 * 60_000));
    }
}
