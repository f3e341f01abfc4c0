//! Which blocks are too old.
//!
//! Upstream lets a block go when it is old, downsampled or not. Here a block goes when it is old
//! and its data is there in coarser blocks, or these would be too old as well.

use std::fmt;
use std::sync::Arc;

use ulid::Ulid;

use crate::longterm::BucketBlock;
use crate::longterm::time_text::format_ms;

use super::cover::{Missing, missing};
use super::group::lineage;
use super::options::Retention;
use super::resolution::Resolution;

/// What is to become of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It stays for good: there is no retention for it.
    Forever,
    /// It is not old enough.
    Until {
        /// When it will be.
        until_ms: i64,
    },
    /// It is old, but nothing coarser has all of it.
    Uncovered(Missing),
    /// It is old, and these coarser blocks have all of it.
    Covered {
        /// The coarser blocks.
        by: Vec<Ulid>,
    },
    /// It is old, and coarser data of its time would be as well.
    AllTooOld,
}

impl Fate {
    /// True if the block can go.
    #[must_use]
    pub const fn is_end(&self) -> bool {
        matches!(self, Self::Covered { .. } | Self::AllTooOld)
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forever => f.write_str("kept: no retention is set for its resolution"),
            Self::Until { until_ms } => {
                write!(f, "kept: its retention ends at {}", format_ms(*until_ms))
            }
            Self::Uncovered(missing) => {
                f.write_str("kept though too old: coarser blocks do not have all of it")?;
                if let Some(source) = missing.sources.first() {
                    write!(f, "; {} sources are missing, such as {source}", missing.sources.len())?;
                }
                if let Some(span) = missing.span {
                    let (start, end) = (format_ms(span.start_ms), format_ms(span.end_ms));
                    write!(f, "; time from {start} to {end} is missing")?;
                }
                Ok(())
            }
            Self::Covered { by } => {
                write!(f, "too old, and there in {} coarser blocks", by.len())?;
                by.iter().take(4).try_for_each(|block| write!(f, " {block}"))
            }
            Self::AllTooOld => f.write_str("too old, as coarser data of its time would be"),
        }
    }
}

/// What is to become of `block` at `now_ms`. `coarser` are the blocks of the same labels and
/// coarser resolutions that are wanted on and not set aside; `can_be_read` is asked of those that
/// count only.
///
/// # Errors
/// What `can_be_read` answers.
pub(super) fn fate<E>(
    block: &BucketBlock,
    coarser: &[Arc<BucketBlock>],
    retention: &Retention,
    now_ms: i64,
    can_be_read: &mut dyn FnMut(&BucketBlock) -> Result<bool, E>,
) -> Result<Fate, E> {
    let Some(resolution) = Resolution::of(block.resolution_ms()) else {
        return Ok(Fate::Forever);
    };
    let end_ms = |resolution| retention.end_ms(resolution, block.meta.max_time_ms);
    let Some(until_ms) = end_ms(resolution) else { return Ok(Fate::Forever) };
    if now_ms <= until_ms {
        return Ok(Fate::Until { until_ms });
    }
    let is_wanted = |coarser: &Resolution| end_ms(*coarser).is_none_or(|until| now_ms <= until);
    let wanted: Vec<Resolution> = resolution.coarser().filter(is_wanted).collect();
    if wanted.is_empty() || !retention.needs_cover {
        return Ok(Fate::AllTooOld);
    }
    let (sources, mut readable) = (lineage(block), Vec::new());
    for other in coarser {
        let is_wanted = Resolution::of(other.resolution_ms())
            .is_some_and(|resolution| wanted.contains(&resolution));
        let shares = sources.iter().any(|source| other.sources().contains(source));
        if is_wanted && shares && can_be_read(other)? {
            readable.push(Arc::clone(other));
        }
    }
    let missing = missing(block, readable.iter().map(|block| &**block));
    if missing.is_nothing() {
        let by = readable.iter().map(|block| block.meta.ulid).collect();
        return Ok(Fate::Covered { by });
    }
    Ok(Fate::Uncovered(missing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::longterm::compact::testing::block;
    use std::convert::Infallible;

    const DAY: i64 = 86_400_000;
    const M5: i64 = 300_000;
    const H1: i64 = 3_600_000;

    fn decide(
        subject: &BucketBlock,
        coarser: &[Arc<BucketBlock>],
        days: [i64; 3],
        now: i64,
    ) -> Fate {
        let retention = Retention::days(days);
        let mut all = |_: &BucketBlock| Ok::<_, Infallible>(true);
        fate(subject, coarser, &retention, now, &mut all).unwrap()
    }

    #[test]
    fn a_block_goes_when_coarser_blocks_have_all_of_it() {
        let raw = block(1, 0, DAY, 0, &[10, 11]);
        let forever = [10, 0, 0];
        assert_eq!(decide(&raw, &[], [0, 0, 0], 100 * DAY), Fate::Forever);
        assert_eq!(decide(&raw, &[], forever, 11 * DAY), Fate::Until { until_ms: 11 * DAY });
        let missing = |sources: &[u128], start| {
            Fate::Uncovered(Missing {
                sources: sources.iter().copied().map(Ulid).collect(),
                span: (start < DAY).then(|| crate::series::TimeRange::new(start, DAY - 1)),
            })
        };
        assert_eq!(decide(&raw, &[], forever, 12 * DAY), missing(&[10, 11], 0));
        // Time without sources, and sources without time, are not enough.
        let other = block(2, 0, DAY, M5, &[12]);
        assert_eq!(decide(&raw, &[other], forever, 12 * DAY), missing(&[10, 11], 0));
        let short = block(2, 0, DAY / 2, M5, &[10, 11]);
        assert_eq!(decide(&raw, &[short], forever, 12 * DAY), missing(&[], DAY / 2));
        let part = block(2, 0, DAY, M5, &[10]);
        assert_eq!(
            decide(&raw, std::slice::from_ref(&part), forever, 12 * DAY),
            missing(&[11], DAY)
        );
        let rest = block(3, DAY / 2, DAY, H1, &[11, 13]);
        let covered = Fate::Covered { by: vec![Ulid(2), Ulid(3)] };
        assert_eq!(decide(&raw, &[part, rest], forever, 12 * DAY), covered);
    }

    #[test]
    fn coarser_data_that_is_too_old_itself_is_not_asked_for() {
        let raw = block(1, 0, DAY, 0, &[10]);
        let coarse = [block(2, 0, DAY, M5, &[10])];
        let covered = Fate::Covered { by: vec![Ulid(2)] };
        assert_eq!(decide(&raw, &coarse, [1, 5, 5], 3 * DAY), covered);
        // Five minutes are over, an hour is not: only the latter counts.
        assert!(matches!(decide(&raw, &coarse, [1, 1, 5], 3 * DAY), Fate::Uncovered(_)));
        assert_eq!(decide(&raw, &[], [1, 1, 1], 3 * DAY), Fate::AllTooOld);
        assert_eq!(decide(&coarse[0], &[], [0, 1, 1], 3 * DAY), Fate::AllTooOld);
        assert!(matches!(decide(&coarse[0], &[], [0, 1, 0], 3 * DAY), Fate::Uncovered(_)));
        let hour = block(2, 0, DAY, H1, &[10]);
        assert_eq!(decide(&hour, &[], [0, 0, 1], 3 * DAY), Fate::AllTooOld);
    }

    #[test]
    fn what_cannot_be_read_covers_nothing() {
        let raw = block(1, 0, DAY, 0, &[10]);
        let coarse = [block(2, 0, DAY, M5, &[10])];
        let retention = Retention::days([1, 0, 0]);
        let mut none = |_: &BucketBlock| Ok::<_, Infallible>(false);
        let kept = fate(&raw, &coarse, &retention, 9 * DAY, &mut none).unwrap();
        assert!(matches!(kept, Fate::Uncovered(_)));
    }

    #[test]
    fn without_downsampling_age_alone_decides() {
        let raw = block(1, 0, DAY, 0, &[10]);
        let retention = Retention { needs_cover: false, ..Retention::days([1, 0, 0]) };
        let mut all = |_: &BucketBlock| Ok::<_, Infallible>(true);
        assert_eq!(fate(&raw, &[], &retention, 9 * DAY, &mut all).unwrap(), Fate::AllTooOld);
    }
}
