//! What is to be said of the histograms of one series.

use crate::model::histogram::ResetHint;
use crate::model::histogram::float::{Incompatible, Merged};

/// What was found in the windows of one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Findings {
    /// Floats and histograms in one window, which has no result.
    pub(crate) mixed: bool,
    /// Floats and histograms in one window, of which only the floats count.
    pub(crate) ignored: bool,
    /// Exponential and listed bounds in one window.
    pub(crate) incompatible: bool,
    /// A gauge where a counter was expected.
    pub(crate) not_counter: bool,
    /// A counter where a gauge was expected.
    pub(crate) not_gauge: bool,
    /// Counters that began anew and others that did not in one sum.
    pub(crate) collides: bool,
    /// Listed bounds were dropped in a sum of two.
    pub(crate) added: bool,
    /// Listed bounds were dropped in a difference.
    pub(crate) subtracted: bool,
    /// Listed bounds were dropped in a sum of many.
    pub(crate) aggregated: bool,
    /// Windows with samples that overlap by their starts.
    pub(crate) overlapping: u64,
}

impl Findings {
    /// Adds what others found.
    pub(crate) const fn merge(&mut self, other: Self) {
        self.mixed |= other.mixed;
        self.ignored |= other.ignored;
        self.incompatible |= other.incompatible;
        self.not_counter |= other.not_counter;
        self.not_gauge |= other.not_gauge;
        self.collides |= other.collides;
        self.added |= other.added;
        self.subtracted |= other.subtracted;
        self.aggregated |= other.aggregated;
        self.overlapping += other.overlapping;
    }

    /// Remembers a sum of two; nothing if there is none.
    pub(super) fn sum(&mut self, merged: Result<Merged, Incompatible>) -> Option<()> {
        self.added |= self.done(merged)?.is_reconciled;
        Some(())
    }

    /// Remembers a difference; nothing if there is none.
    pub(super) fn difference(&mut self, merged: Result<Merged, Incompatible>) -> Option<()> {
        self.subtracted |= self.done(merged)?.is_reconciled;
        Some(())
    }

    /// Remembers a part of a sum of many; nothing if there is none.
    pub(super) fn part(&mut self, merged: Result<Merged, Incompatible>) -> Option<()> {
        self.aggregated |= self.done(merged)?.is_reconciled;
        Some(())
    }

    fn done(&mut self, merged: Result<Merged, Incompatible>) -> Option<Merged> {
        self.incompatible |= merged.is_err();
        merged.ok()
    }
}

/// Which hints were met among the parts of a sum.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hints {
    reset: bool,
    not_reset: bool,
}

impl Hints {
    /// Adds the hint of one part.
    pub(crate) fn add(&mut self, hint: ResetHint) {
        self.reset |= hint == ResetHint::Reset;
        self.not_reset |= hint == ResetHint::NotReset;
    }

    /// True if they contradict one another.
    pub(crate) const fn collide(self) -> bool {
        self.reset && self.not_reset
    }
}
