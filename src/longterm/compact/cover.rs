//! Is a block's data there in coarser blocks as well?
//!
//! A block is covered if everything that went into it went into coarser blocks that can be read,
//! and these reach over its whole time. Both are needed: sources alone do not tell what a
//! retention took out since, and time alone does not tell who was there.

use std::collections::BTreeSet;

use ulid::Ulid;

use crate::longterm::BucketBlock;
use crate::series::TimeRange;

use super::group::lineage;

/// What is missing of a block in coarser ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// Blocks of level 1 that went into it and into no coarser block.
    pub sources: Vec<Ulid>,
    /// The first time that no coarser block reaches over.
    pub span: Option<TimeRange>,
}

impl Missing {
    /// True if nothing is missing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.sources.is_empty() && self.span.is_none()
    }
}

/// What is missing of `block` in `coarser`, which are blocks of the same labels that can be read.
#[must_use]
pub(super) fn missing<'a>(
    block: &BucketBlock,
    coarser: impl IntoIterator<Item = &'a BucketBlock>,
) -> Missing {
    let range = block.meta.range();
    let own: BTreeSet<Ulid> = lineage(block).into_iter().collect();
    let mut sources = own.clone();
    let mut spans: Vec<TimeRange> = Vec::new();
    for other in coarser {
        // Only those that hold something of it count for its time.
        let theirs = &other.meta.compaction.sources;
        if theirs.iter().any(|source| own.contains(source)) {
            theirs.iter().for_each(|source| {
                sources.remove(source);
            });
            spans.push(other.meta.range());
        }
    }
    spans.sort_by_key(|span| span.start_ms);
    let mut next_ms = range.start_ms;
    for span in spans {
        if span.start_ms > next_ms {
            break;
        }
        next_ms = next_ms.max(span.end_ms.saturating_add(1));
    }
    let span = (next_ms <= range.end_ms).then(|| TimeRange::new(next_ms, range.end_ms));
    Missing { sources: sources.into_iter().collect(), span }
}
