//! What the work looks at while it goes on: whether it shall end, and who wants to see it.

use std::cell::RefCell;
use std::fmt;

use ulid::Ulid;

use super::lease::{Lease, LeaseError};

/// How far the work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Bytes that came of those of a block.
    Download {
        /// The block.
        block: Ulid,
        /// So far.
        done_bytes: u64,
        /// All, as far as the meta tells.
        all_bytes: u64,
    },
    /// Series that went into a block that is merged.
    Merge {
        /// The new block.
        block: Ulid,
        /// So far.
        done_series: u64,
        /// Not more than these.
        all_series: u64,
    },
    /// Series that went into a block that is downsampled.
    Downsample {
        /// The new block.
        block: Ulid,
        /// So far.
        done_series: u64,
        /// Not more than these.
        all_series: u64,
    },
    /// Bytes that were sent of those of a block.
    Upload {
        /// The block.
        block: Ulid,
        /// So far.
        done_bytes: u64,
        /// All.
        all_bytes: u64,
    },
}

/// Ends the work when it is wanted, and is told how far it is.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// True when the work is to end.
    pub is_ending: &'a dyn Fn() -> bool,
    /// Told how far it is.
    pub progress: &'a dyn Fn(Progress),
}

impl Default for Watch<'_> {
    fn default() -> Self {
        Self { is_ending: &|| false, progress: &|_| {} }
    }
}

impl fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// A watch that keeps the lease meanwhile.
pub(super) struct Guard<'a> {
    watch: Watch<'a>,
    lease: Option<Lease>,
    lost: RefCell<Option<LeaseError>>,
}

impl<'a> Guard<'a> {
    pub(super) const fn new(watch: Watch<'a>, lease: Option<Lease>) -> Self {
        Self { watch, lease, lost: RefCell::new(None) }
    }

    /// Renews the lease when it is time; true if the work is to end.
    pub(super) fn is_ending(&self) -> bool {
        if let Some(Err(error)) = self.lease.as_ref().map(Lease::keep) {
            // A bucket that does not answer right now may do so while the lease lasts.
            if matches!(error, LeaseError::Lost { .. }) {
                *self.lost.borrow_mut() = Some(error);
                return true;
            }
            tracing::warn!(%error, "the lease was not renewed");
        }
        (self.watch.is_ending)()
    }

    pub(super) fn progress(&self, progress: Progress) {
        (self.watch.progress)(progress);
    }

    /// Makes sure that we may change the bucket.
    pub(super) fn check(&self) -> Result<(), super::CompactError> {
        if let Some(lost) = self.lost.borrow_mut().take() {
            return Err(lost.into());
        }
        if let Some(lease) = &self.lease {
            lease.check()?;
        }
        if (self.watch.is_ending)() { Err(super::CompactError::Ended) } else { Ok(()) }
    }

    /// Why the work ended.
    pub(super) fn end(&self) -> super::CompactError {
        let lost = self.lost.borrow_mut().take();
        lost.map_or(super::CompactError::Ended, super::CompactError::Lease)
    }

    pub(super) fn token(&self) -> u64 {
        self.lease.as_ref().map_or(0, Lease::token)
    }

    pub(super) fn release(self) {
        // If it cannot be given back it ends by itself.
        if let Some(Err(error)) = self.lease.map(Lease::release) {
            tracing::warn!(%error, "the lease was not given back");
        }
    }
}
