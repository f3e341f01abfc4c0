//! Several replicas of a series as one.
//!
//! Two agents scrape the same targets, so that one may fail. Their series differ in a replica
//! label only. A reader wants one series, at the density of one scraper, without the holes of
//! either and without a jump where the one takes over from the other.
//!
//! | way | does |
//! |---|---|
//! | [`Dedup::Identity`] | reads the first replica and fills its holes from the others |
//! | [`Dedup::Penalty`] | what Thanos does, to the last sample |
//!
//! Useful for: queries over all replicas ([`Deduplicated`]), compaction of their blocks
//! ([`ReplicaMerge`]). Not useful for: sources that hold parts of one stream, such as head
//! and blocks; see [`Merged`](super::Merged).

mod chunks;
mod identity;
mod penalty;
mod source;
#[cfg(test)]
mod tests;

pub use chunks::{ReplicaMerge, merge_replica_chunks};
pub use source::Deduplicated;

/// How the samples of replicas become one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Dedup {
    /// Streams are kept apart; a hole in one is filled from the others. A counter goes on from
    /// what its own replica had counted, whatever the function.
    #[default]
    Identity,
    /// As Thanos does: a replica that was not chosen has to wait for twice the last distance.
    /// Counters are read as totals without resets where the function is about counters.
    Penalty,
}
