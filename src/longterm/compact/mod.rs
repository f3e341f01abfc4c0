//! What becomes of the blocks of a bucket over time?
//!
//! A [`Compactor`] works in rounds, of steps that can be called one by one: mark what another block
//! makes superfluous, remove what was marked long ago, merge blocks, downsample them, mark what is
//! too old, remove uploads that were given up. Decisions are made from what the blocks say of
//! themselves ([`Picture`]) and can be asked for without doing anything ([`Compactor::explain`]).
//!
//! Blocks and marks are Thanos's, and so are the decisions what is merged; a Thanos compactor can
//! go on where this one has ended, and the reverse. Where upstream halts, one block is set aside
//! ([`Quarantined`]) and the others go on.
//!
//! Useful for: fewer and larger blocks, one instead of several replicas, coarser data of old times,
//! the end of what is too old. Not useful for: blocks of a data directory; see
//! [`crate::storage::db`].

mod bring;
mod clean;
mod compactor;
mod cover;
mod downsample;
mod error;
mod explain;
mod group;
mod health;
mod join;
mod lease;
mod merge;
mod metrics;
mod options;
mod outdated;
mod picture;
mod plan;
mod quarantine;
mod report;
mod resample;
mod resolution;
mod retention;
mod round;
mod shard;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod verify;
mod watch;
mod work;

pub use compactor::Compactor;
pub use cover::Missing;
pub use error::CompactError;
pub use explain::{Explanation, explain};
pub use group::{ExternalLabels, GroupKey, Groups};
pub use health::{Health, Sickness, examine};
pub use lease::{LEASE_KEY, Lease, LeaseError};
pub use options::{CompactOptions, Retention};
pub use outdated::Outdated;
pub use picture::Picture;
pub use plan::{Plan, PlanWithin, RANGES_MS, Unfit, Why, plan};
pub use quarantine::{Quarantined, Reason, lift as lift_quarantine};
pub use report::{Derived, Merged, Report};
pub use resample::Resampling;
pub use resolution::Resolution;
pub use retention::Fate;
pub use round::Round;
pub use shard::{Shard, ShardError};
pub use verify::BucketVerified;
pub use watch::{Progress, Watch};
