//! What a round did.

use ulid::Ulid;

use super::quarantine::Reason;

/// Blocks that became one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// Their names.
    pub sources: Vec<Ulid>,
    /// The new block; none if nothing was left of them.
    pub block: Option<Ulid>,
}

/// A block that got a coarser one, or the same with other labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derived {
    /// The block.
    pub source: Ulid,
    /// The new block.
    pub block: Ulid,
}

/// What a round did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Blocks that were marked because another one has all of them.
    pub outdated: Vec<Ulid>,
    /// Blocks that were removed because their mark was old enough.
    pub deleted: Vec<Ulid>,
    /// Blocks that were removed because they were never uploaded as a whole.
    pub given_up: Vec<Ulid>,
    /// Merges.
    pub merged: Vec<Merged>,
    /// Downsampled blocks.
    pub downsampled: Vec<Derived>,
    /// Blocks that lost the label of a replica.
    pub relabelled: Vec<Derived>,
    /// Blocks that were marked because they are too old.
    pub too_old: Vec<Ulid>,
    /// Blocks that were set aside, and why.
    pub quarantined: Vec<(Ulid, Reason, String)>,
    /// Blocks that were marked not to be merged, and why.
    pub taken_out: Vec<(Ulid, String)>,
    /// What could not be done; the next round tries again.
    pub failures: Vec<String>,
}

impl Report {
    /// True if the bucket is as it was.
    #[must_use]
    pub fn changed_nothing(&self) -> bool {
        *self == Self { failures: self.failures.clone(), ..Self::default() }
    }
}
