//! Where are holes, and what goes into them?

#![expect(clippy::indexing_slicing, reason = "hot loop; every index is compared with len() first")]

use crate::model::is_stale;

use super::pace::pace;

/// The pace that is assumed of replicas with one sample each.
const UNKNOWN_PACE_MS: i64 = 30_000;

/// So many samples on each side of a hole tell whether two streams are copies of one.
const COPIES_NEAR: usize = 4;

/// True if more than half of the samples, in the stream that has fewer of them, are of the same
/// instants. Of replicas that scrape on their own hardly any is.
fn are_copies(ours: &[i64], theirs: &[i64]) -> bool {
    let shared = ours.iter().filter(|time_ms| theirs.contains(time_ms)).count();
    shared * 2 > ours.len().min(theirs.len())
}

/// Times and values of a stream.
#[derive(Clone, Copy)]
pub(super) struct Lane<'a> {
    times: &'a [i64],
    floats: &'a [f64],
    has_markers: bool,
}

impl<'a> Lane<'a> {
    pub(super) fn new(times: &'a [i64], floats: &'a [f64]) -> Self {
        let length = times.len().min(floats.len());
        let (times, floats) = (&times[..length], &floats[..length]);
        Self { times, floats, has_markers: floats.iter().any(|value| is_stale(*value)) }
    }

    fn is_marker(&self, index: usize) -> bool {
        self.has_markers && self.floats.get(index).is_some_and(|value| is_stale(*value))
    }

    /// Index of the first sample that is later than `time_ms`.
    fn after(&self, time_ms: i64) -> usize {
        self.times.partition_point(|time| *time <= time_ms)
    }

    /// Index of the first sample that is not earlier than `time_ms`.
    fn from(&self, time_ms: i64) -> usize {
        self.times.partition_point(|time| *time < time_ms)
    }

    /// Times of the last few samples before `index`.
    fn before(&self, index: usize) -> &'a [i64] {
        let index = index.min(self.times.len());
        &self.times[index.saturating_sub(COPIES_NEAR)..index]
    }

    /// Times of the first few samples from `index` on.
    fn behind(&self, index: usize) -> &'a [i64] {
        let index = index.min(self.times.len());
        &self.times[index..self.times.len().min(index + COPIES_NEAR)]
    }

    /// True if one of the samples is no marker.
    fn is_live(&self, mut range: std::ops::Range<usize>) -> bool {
        !range.is_empty() && (!self.has_markers || range.any(|index| !self.is_marker(index)))
    }
}

/// A place where samples of another stream go between those of a first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Splice {
    /// Samples of the first stream before it end here.
    pub(super) behind: usize,
    /// Where the first stream goes on: later than `behind` if markers are left out.
    pub(super) resume: usize,
    /// The other stream's samples.
    pub(super) from: usize,
    /// Where they end.
    pub(super) to: usize,
}

/// Finds what `other` has to fill in for `base`, in order. Neither is empty.
pub(super) fn fill(base: Lane<'_>, other: Lane<'_>, into: &mut Vec<Splice>) {
    if base.times.is_empty() || other.times.is_empty() {
        return;
    }
    if base.times == other.times && !base.has_markers {
        return;
    }
    let mut fill = Fill { base, other, into, usual: (i64::MAX, 0) };
    fill.head();
    fill.middle();
}

struct Fill<'a> {
    base: Lane<'a>,
    other: Lane<'a>,
    into: &'a mut Vec<Splice>,
    /// Distances between these say nothing new: no hole, and no new pace.
    usual: (i64, i64),
}

impl Fill<'_> {
    /// The pace of the replica that is the faster one.
    fn pace_at(&self, index: usize, other_index: usize) -> i64 {
        let (ours, theirs) = (pace(self.base.times, index), pace(self.other.times, other_index));
        let known = ours.into_iter().chain(theirs).min();
        known.unwrap_or(UNKNOWN_PACE_MS).clamp(1, i64::MAX / 8)
    }

    /// What the other one had before the first sample.
    fn head(&mut self) {
        let first_ms = self.base.times[0];
        let before = self.other.from(first_ms);
        let is_copy = are_copies(self.base.behind(0), self.other.behind(before));
        let mut to = before;
        if !is_copy {
            let pace = self.pace_at(0, 0);
            // Less than that is no hole, but the same scrape seen by another.
            let early = self.other.after(first_ms.saturating_sub(pace + pace / 2));
            to = if self.other.is_live(0..early) {
                self.other.after(first_ms.saturating_sub(pace / 2)).min(before)
            } else {
                0
            };
        }
        if self.other.is_live(0..to) {
            self.into.push(Splice { behind: 0, resume: 0, from: 0, to });
        }
    }

    fn middle(&mut self) {
        let (base, other) = (self.base, self.other);
        let mut index = 0;
        let mut next = other.after(base.times[0]);
        while index + 1 < base.times.len() {
            let (start_ms, end_ms) = (base.times[index], base.times[index + 1]);
            let from = next;
            while next < other.times.len() && other.times[next] < end_ms {
                next += 1;
            }
            let distance = end_ms.saturating_sub(start_ms);
            let is_usual = distance >= self.usual.0 && distance <= self.usual.1;
            let lacks_copies = next > from && from > 0 && other.times[from - 1] == start_ms;
            if is_usual && next - from < 2 && !lacks_copies && !base.is_marker(index + 1) {
                index += 1;
                next += usize::from(other.times.get(next) == Some(&end_ms));
                continue;
            }
            index = self.look(index, from);
            let Some(reached_ms) = base.times.get(index) else { return };
            while other.times.get(next).is_some_and(|time| time <= reached_ms) {
                next += 1;
            }
        }
        let from = next;
        self.tail(index, from);
    }

    /// Looks at what follows the sample `index`, when the other's next sample is `from`. Gives the
    /// sample to go on with.
    fn look(&mut self, index: usize, from: usize) -> usize {
        let (base, other) = (self.base, self.other);
        let pace = self.pace_at(index, from.saturating_sub(1));
        self.usual = (pace - pace / 5, pace + pace / 5);
        let mut next = index + 1;
        while base.is_marker(next) {
            next += 1;
        }
        if next > index + 1 {
            // Another replica that sees the target contradicts the marker.
            let marker_ms = base.times[index + 1];
            let soon =
                other.from(marker_ms)..other.after(marker_ms.saturating_add(pace + pace / 2));
            let found = if other.is_live(soon) { self.hole(index, next, pace) } else { None };
            if let Some(splice) = found {
                self.into.push(splice);
                return next;
            }
            next = index + 1;
        }
        let found = self.hole(index, next, pace);
        self.into.extend(found);
        next
    }

    /// What goes between the samples `index` and `next`; behind the last one if there is no next.
    fn hole(&self, index: usize, next: usize, pace: i64) -> Option<Splice> {
        let (base, other) = (self.base, self.other);
        let start_ms = base.times[index];
        let Some(end_ms) = base.times.get(next).copied() else {
            let (from, to) = self.behind(index, pace)?;
            return Some(Splice { behind: index + 1, resume: next, from, to });
        };
        let (mut from, mut to) = (other.after(start_ms), other.from(end_ms));
        let is_copy = are_copies(base.before(index + 1), other.before(from))
            && are_copies(base.behind(next), other.behind(to));
        if is_copy {
            // Copies of one stream may still have got their times from different clocks.
            from = other.from(start_ms.saturating_add(pace / 8)).max(from);
            to = other.after(end_ms.saturating_sub(pace / 8)).clamp(from, to.max(from));
        } else {
            let distance = end_ms.saturating_sub(start_ms);
            if distance <= pace + pace / 2 {
                return None;
            }
            from = other.after(start_ms.saturating_add(pace / 4));
            to = other.from(end_ms.saturating_sub(pace / 4)).max(from);
            let missing = (distance.saturating_add(pace / 2) / pace).saturating_sub(1);
            let missing = usize::try_from(missing).unwrap_or(usize::MAX);
            while to - from > missing {
                // Too many: one that is next to an edge is the scrape that was seen there.
                let at_start = other.times[from].saturating_sub(start_ms);
                let at_end = end_ms.saturating_sub(other.times[to - 1]);
                if at_start.min(at_end) >= pace - pace / 4 {
                    break;
                }
                if at_start <= at_end {
                    from += 1;
                } else {
                    to -= 1;
                }
            }
        }
        let splice = Splice { behind: index + 1, resume: next, from, to };
        other.is_live(from..to).then_some(splice)
    }

    /// The other's samples behind the sample `index`, after which there is none.
    fn behind(&self, index: usize, pace: i64) -> Option<(usize, usize)> {
        let other = self.other;
        let last_ms = self.base.times[index];
        let (mut from, to) = (other.after(last_ms), other.times.len());
        if !are_copies(self.base.before(index + 1), other.before(from)) {
            // Until then the next sample may still come.
            let late = other.from(last_ms.saturating_add(pace + pace / 2));
            if !other.is_live(late..to) {
                return None;
            }
            from = other.from(last_ms.saturating_add(pace / 2)).max(from);
        }
        other.is_live(from..to).then_some((from, to))
    }

    fn tail(&mut self, index: usize, from: usize) {
        let pace = self.pace_at(index, from.saturating_sub(1));
        if let Some((from, to)) = self.behind(index, pace) {
            let behind = index + 1;
            self.into.push(Splice { behind, resume: behind, from, to });
        }
    }
}
