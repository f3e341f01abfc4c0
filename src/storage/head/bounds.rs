//! How far the head reaches in time, and from where on it takes samples.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::series::TimeRange;

/// Bounds of one moment, by which a batch is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged {
    /// Oldest time that a sample may have.
    pub(super) min_valid_ms: i64,
    /// Oldest time that a late sample may have; nothing if none are taken.
    pub(super) late_from_ms: Option<i64>,
}

/// Widened by batches, moved by whoever has the gate alone, read by anyone.
#[derive(Debug)]
pub(super) struct Bounds {
    /// `i64::MAX` while there is no sample, and during a truncation.
    min_time_ms: AtomicI64,
    /// `i64::MIN` until the first sample; never goes back.
    max_time_ms: AtomicI64,
    /// End of what is in blocks.
    min_valid_ms: AtomicI64,
    /// The same two for late samples. While there are none, the first is greater.
    late_min_time_ms: AtomicI64,
    late_max_time_ms: AtomicI64,
}

impl Bounds {
    pub(super) const fn new(min_valid_ms: i64) -> Self {
        Self {
            min_time_ms: AtomicI64::new(i64::MAX),
            max_time_ms: AtomicI64::new(i64::MIN),
            min_valid_ms: AtomicI64::new(min_valid_ms),
            late_min_time_ms: AtomicI64::new(i64::MAX),
            late_max_time_ms: AtomicI64::new(i64::MIN),
        }
    }

    /// First and last time of late samples.
    pub(super) fn late_span(&self) -> Option<TimeRange> {
        let start_ms = self.late_min_time_ms.load(Ordering::Acquire);
        let range = TimeRange::new(start_ms, self.late_max_time_ms.load(Ordering::Acquire));
        (range.start_ms <= range.end_ms).then_some(range)
    }

    /// Notes that late samples in `range` are stored.
    pub(super) fn widen_late(&self, range: TimeRange) {
        self.late_min_time_ms.fetch_min(range.start_ms, Ordering::AcqRel);
        self.late_max_time_ms.fetch_max(range.end_ms, Ordering::AcqRel);
    }

    /// Notes that the late samples that are left lie in `range`. Nobody may add some meanwhile.
    pub(super) fn set_late(&self, range: Option<TimeRange>) {
        let range = range.unwrap_or(TimeRange::new(i64::MAX, i64::MIN));
        self.late_min_time_ms.store(range.start_ms, Ordering::Release);
        self.late_max_time_ms.store(range.end_ms, Ordering::Release);
    }

    /// First and last time of stored samples.
    pub(super) fn span(&self) -> Option<TimeRange> {
        let min_time_ms = self.min_time_ms.load(Ordering::Acquire);
        let range = TimeRange::new(min_time_ms, self.max_time_ms.load(Ordering::Acquire));
        (range.start_ms <= range.end_ms).then_some(range)
    }

    /// False only if no sample in `range` is stored.
    pub(super) fn may_overlap(&self, range: TimeRange) -> bool {
        let min_time_ms = self.min_time_ms.load(Ordering::Acquire);
        let newest_ms = self.max_time_ms();
        // The oldest time is not known during a truncation.
        let begins = min_time_ms <= range.end_ms || min_time_ms == i64::MAX;
        (begins && newest_ms.is_some_and(|newest_ms| range.start_ms <= newest_ms))
            || self.late_span().is_some_and(|late| late.overlaps(range))
    }

    /// The newest time ever stored.
    pub(super) fn max_time_ms(&self) -> Option<i64> {
        let max_time_ms = self.max_time_ms.load(Ordering::Acquire);
        (max_time_ms != i64::MIN).then_some(max_time_ms)
    }

    pub(super) fn min_valid_ms(&self) -> i64 {
        self.min_valid_ms.load(Ordering::Acquire)
    }

    /// What the samples of a batch are judged by; `first_ms` is the time of its first. Late ones
    /// may be `late_window_ms` older than the newest of the whole head.
    pub(super) fn for_batch(&self, first_ms: i64, range_ms: i64, late_window_ms: i64) -> Judged {
        let newest_ms = (late_window_ms > 0).then(|| self.max_time_ms().unwrap_or(first_ms));
        Judged {
            min_valid_ms: self.min_appendable_ms(first_ms, range_ms),
            late_from_ms: newest_ms.map(|newest_ms| newest_ms.saturating_sub(late_window_ms)),
        }
    }

    /// Oldest time that a sample may have: half a range behind the newest one of the whole head,
    /// or of `first_ms` if there is none, and not in a block.
    fn min_appendable_ms(&self, first_ms: i64, range_ms: i64) -> i64 {
        let newest_ms = self.max_time_ms().unwrap_or(first_ms);
        newest_ms.saturating_sub(range_ms / 2).max(self.min_valid_ms())
    }

    /// Notes that samples in `range` are stored; says whether they reach beyond those before.
    ///
    /// Mostly they do not, since others have brought samples of that time: then nothing is written,
    /// for which the cores would have to wait for each other.
    pub(super) fn widen(&self, range: TimeRange) -> bool {
        let is_older = range.start_ms < self.min_time_ms.load(Ordering::Acquire);
        let is_newer = range.end_ms > self.max_time_ms.load(Ordering::Acquire);
        if is_older {
            self.min_time_ms.fetch_min(range.start_ms, Ordering::AcqRel);
        }
        if is_newer {
            self.max_time_ms.fetch_max(range.end_ms, Ordering::AcqRel);
        }
        is_older || is_newer
    }

    /// From now on nothing before `min_valid_ms` is taken.
    pub(super) fn refuse_before(&self, min_valid_ms: i64) {
        self.min_valid_ms.fetch_max(min_valid_ms, Ordering::AcqRel);
    }

    /// Forgets the oldest time: what is stored from here on enters it anew, and whoever counts
    /// what was there before adds that by [`Bounds::widen_down`].
    pub(super) fn forget_min_time(&self) {
        self.min_time_ms.store(i64::MAX, Ordering::Release);
    }

    /// Notes that there are samples from `min_time_ms` on.
    pub(super) fn widen_down(&self, min_time_ms: i64) {
        self.min_time_ms.fetch_min(min_time_ms, Ordering::AcqRel);
    }
}
