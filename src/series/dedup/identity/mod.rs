//! Each replica is a stream of its own: one is read, and the others fill its holes.
//!
//! What comes out depends on the samples around each instant only, not on where a query begins and
//! not on what it computes:
//!
//! * The first replica is read wherever it has samples, so that there is nothing to remember of who
//!   was read before.
//! * A distance between two of its samples that is more than one and a half times the pace of the
//!   scrapes is a hole. The pace is what the last few distances of either replica say.
//! * Into a hole go as many samples of the next replica as scrapes are missing, those that keep
//!   most distance to the edges: the density is that of one scraper.
//! * A staleness marker says that a replica lost sight of the target. It counts only if no other
//!   replica saw the target soon after.
//! * Replicas that have samples at the same instants are copies of one stream: what one lacks is
//!   taken from the other.
//! * A counter goes on with the values as they are if both replicas count the same. If they do not,
//!   a join says from which value the sample continues, so that only its own replica's growth
//!   counts.
//!
//! Useful for: replicas that scrape on their own, and copies that were written twice.
//! Not useful for: streams that cannot be told apart any more.

mod chunks;
mod fill;
mod grown;
mod pace;
mod runs;
mod switch;

pub(super) use chunks::merge_chunks;
pub(super) use runs::merge;

use crate::series::chunk::TimeRange;

/// How far around a range the samples are looked at, so that what is found at its edges is what a
/// longer range would find there.
const SURROUNDINGS_MS: i64 = 5 * 60 * 1000;

/// The range that has to be read so that `range` can be merged.
pub(super) const fn with_surroundings(range: TimeRange) -> TimeRange {
    TimeRange::new(
        range.start_ms.saturating_sub(SURROUNDINGS_MS),
        range.end_ms.saturating_add(SURROUNDINGS_MS),
    )
}
