//! What was in memory when the data directory was closed, so that a start need not tell the log
//! again?
//!
//! A folder `chunk_snapshot.SSSSSS.OOOOOOOOOO`: everything that the log says before the offset `O`
//! of its segment `S`. The layout is in `FORMAT.md` beside this file. It only spares work: the
//! log holds the same. So whatever is wrong with it, it is left alone and the whole log is told.
//!
//! Useful for: writing and reading such a folder. Not useful for: putting it into a head; see
//! [`super::replay`].

mod folder;
mod record;
#[cfg(test)]
mod tests;

pub(in crate::storage) use folder::{
    SnapshotPlace, SnapshotWriter, newest_snapshot, read_snapshot, remove_snapshots_before,
};
pub(in crate::storage) use record::{OpenRow, SeriesRow, SnapshotRow};
