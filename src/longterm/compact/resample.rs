//! Which blocks get a coarser one.

use std::fmt;
use std::sync::Arc;

use ulid::Ulid;

use crate::longterm::BucketBlock;
use crate::longterm::time_text::format_ms;

use super::CompactOptions;
use super::group::lineage;
use super::resolution::Resolution;

/// Whether a block is to be downsampled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resampling {
    /// It is, to this resolution.
    Due(Resolution),
    /// It has the coarsest resolution, or one that is not known.
    Coarsest,
    /// Nothing is.
    Off,
    /// It is marked not to be.
    Marked,
    /// It was set aside.
    SetAside,
    /// Coarser blocks have all of its sources.
    Done,
    /// What would be made of it is too old already.
    TooOld,
    /// It is shorter than blocks that are, and not old enough yet.
    Short {
        /// Its length.
        span_ms: i64,
        /// When it is old enough.
        until_ms: i64,
    },
    /// It shares time with another block of its group, with which it has to be merged before.
    SharesTime {
        /// The other block.
        with: Ulid,
    },
    /// A coarser block of other sources lies over its time, and the new one would be beside it.
    CutsAcross {
        /// The coarser block.
        with: Ulid,
    },
}

impl fmt::Display for Resampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Due(to) => write!(f, "to be downsampled to {to}"),
            Self::Coarsest => f.write_str("not downsampled: there is no coarser resolution"),
            Self::Off => f.write_str("not downsampled: downsampling is off"),
            Self::Marked => f.write_str("not downsampled: marked so"),
            Self::SetAside => f.write_str("not downsampled: set aside"),
            Self::Done => f.write_str("downsampled already"),
            Self::TooOld => f.write_str("not downsampled: coarser data of its time is too old"),
            Self::Short { span_ms, until_ms } => {
                let (hours, until) = (span_ms / 3_600_000, format_ms(*until_ms));
                write!(f, "not downsampled: only {hours} h long, and not old before {until}")
            }
            Self::SharesTime { with } => {
                write!(f, "not downsampled: has to be merged with {with} before")
            }
            Self::CutsAcross { with } => {
                write!(f, "not downsampled: {with} of other sources lies over its time")
            }
        }
    }
}

/// Whether `block` is to be downsampled at `now_ms`. `peers` are the blocks of its group, `coarser`
/// those of the same labels and the next resolution.
#[must_use]
pub(super) fn resampling(
    block: &BucketBlock,
    peers: &[Arc<BucketBlock>],
    coarser: &[Arc<BucketBlock>],
    options: &CompactOptions,
    now_ms: i64,
) -> Resampling {
    let own = Resolution::of(block.resolution_ms());
    let Some((own, to)) = own.and_then(|own| Some((own, own.next()?))) else {
        return Resampling::Coarsest;
    };
    if !options.downsampling {
        return Resampling::Off;
    }
    let sources = lineage(block);
    let has = |other: &BucketBlock, source| other.meta.compaction.sources.contains(source);
    let is_there = |source| coarser.iter().any(|other| has(other, source));
    if sources.iter().all(is_there) {
        return Resampling::Done;
    }
    // Five minutes that are too old may be wanted all the same, to make hours of them.
    let end_ms = |to| options.retention.end_ms(to, block.meta.max_time_ms);
    if own.coarser().all(|to| end_ms(to).is_some_and(|end_ms| now_ms > end_ms)) {
        return Resampling::TooOld;
    }
    let range = block.meta.range();
    let shares = |other: &&Arc<BucketBlock>| {
        other.meta.ulid != block.meta.ulid && other.meta.range().overlaps(range)
    };
    if let Some(other) = peers.iter().find(shares) {
        return Resampling::SharesTime { with: other.meta.ulid };
    }
    // What is superseded goes as soon as the new block is there.
    let stays = |other: &&Arc<BucketBlock>| {
        let theirs = &other.meta.compaction.sources;
        theirs.is_empty() || !theirs.iter().all(|source| sources.contains(source))
    };
    if let Some(other) = coarser.iter().filter(shares).find(stays) {
        return Resampling::CutsAcross { with: other.meta.ulid };
    }
    let span_ms = block.meta.max_time_ms.saturating_sub(block.meta.min_time_ms);
    if span_ms >= options.span_ms(to) {
        return Resampling::Due(to);
    }
    let age_ms = match options.retention.ms(own) {
        0 => options.downsample_age_ms,
        retention_ms => retention_ms.min(options.downsample_age_ms),
    };
    let until_ms = block.meta.max_time_ms.saturating_add(age_ms);
    if now_ms > until_ms { Resampling::Due(to) } else { Resampling::Short { span_ms, until_ms } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::longterm::compact::options::Retention;
    use crate::longterm::compact::testing::block;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;
    const M5: i64 = 300_000;

    fn decide(
        block: &BucketBlock,
        peers: &[Arc<BucketBlock>],
        coarser: &[Arc<BucketBlock>],
        now: i64,
    ) -> Resampling {
        let mut options = CompactOptions::new("work");
        options.retention = Retention::days([10, 20, 0]);
        options.downsample_age_ms = 15 * DAY;
        resampling(block, peers, coarser, &options, now)
    }

    #[test]
    fn blocks_are_due_by_length_or_by_age() {
        let raw = |hours| block(1, 0, hours * HOUR, 0, &[1]);
        let m5 = |days| block(1, 0, days * DAY, M5, &[1]);
        assert_eq!(decide(&raw(40), &[], &[], 0), Resampling::Due(Resolution::FiveMinutes));
        let (span_ms, until_ms) = (39 * HOUR, 39 * HOUR + 10 * DAY);
        let short = Resampling::Short { span_ms, until_ms };
        assert_eq!(decide(&raw(39), &[], &[], until_ms), short);
        let due = Resampling::Due(Resolution::FiveMinutes);
        assert_eq!(decide(&raw(39), &[], &[], until_ms + 1), due);
        assert_eq!(decide(&m5(10), &[], &[], 0), Resampling::Due(Resolution::Hour));
        assert!(matches!(decide(&m5(9), &[], &[], 9 * DAY), Resampling::Short { .. }));
        assert_eq!(decide(&m5(9), &[], &[], 25 * DAY), Resampling::Due(Resolution::Hour));
        assert_eq!(decide(&block(1, 0, DAY, HOUR, &[1]), &[], &[], 0), Resampling::Coarsest);
        assert_eq!(decide(&block(1, 0, DAY, 7, &[1]), &[], &[], 0), Resampling::Coarsest);
    }

    #[test]
    fn nothing_is_made_that_would_go_at_once() {
        let mut options = CompactOptions::new("work");
        let raw = block(1, 0, 2 * DAY, 0, &[1]);
        let decide = |options: &CompactOptions| resampling(&raw, &[], &[], options, 9 * DAY);
        options.retention = Retention::days([0, 5, 5]);
        assert_eq!(decide(&options), Resampling::TooOld);
        options.retention = Retention::days([0, 5, 50]);
        assert_eq!(decide(&options), Resampling::Due(Resolution::FiveMinutes));
    }

    #[test]
    fn what_is_there_is_not_made_again() {
        let raw = block(1, 0, 2 * DAY, 0, &[1, 2]);
        let whole = block(9, 0, 2 * DAY, M5, &[1, 2, 3]);
        assert_eq!(decide(&raw, &[], &[whole], 0), Resampling::Done);
        let halves = [block(8, 0, DAY, M5, &[1]), block(9, DAY, 2 * DAY, M5, &[2])];
        assert_eq!(decide(&raw, &[], &halves, 0), Resampling::Done);
        // A part is superseded.
        let part = [block(8, 0, DAY, M5, &[1])];
        let due = Resampling::Due(Resolution::FiveMinutes);
        assert_eq!(decide(&raw, &[], &part, 0), due);
    }

    #[test]
    fn no_two_coarser_blocks_come_to_share_time() {
        let raw = block(1, 0, 2 * DAY, 0, &[1, 2]);
        let across = [block(9, DAY, 4 * DAY, M5, &[2, 3])];
        assert_eq!(decide(&raw, &[], &across, 0), Resampling::CutsAcross { with: Ulid(9) });
        let replica = block(2, DAY, 3 * DAY, 0, &[7]);
        let peers = [raw.clone(), replica];
        assert_eq!(decide(&raw, &peers, &[], 0), Resampling::SharesTime { with: Ulid(2) });
    }
}
