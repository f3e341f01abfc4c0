//! Segment files and checkpoint folders: their names, and places in them.

use std::path::{Path, PathBuf};

use crate::disk::Disk;

use super::error::{Context, WalError};

/// A place in a log: everything before it has been read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Number of the segment.
    pub segment: u32,
    /// Bytes from its start.
    pub offset_bytes: u64,
}

impl Position {
    /// The start of a segment.
    #[must_use]
    pub const fn start_of(segment: u32) -> Self {
        Self { segment, offset_bytes: 0 }
    }

    /// The place behind everything in a segment: what readers say of records that stood in the
    /// checkpoint which replaces all segments up to this one.
    #[must_use]
    pub const fn end_of(segment: u32) -> Self {
        Self { segment, offset_bytes: u64::MAX }
    }

    /// True for the place of a record that was read from a checkpoint.
    #[must_use]
    pub const fn is_in_checkpoint(self) -> bool {
        self.offset_bytes == u64::MAX
    }
}

/// A segment on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SegmentFile {
    pub(super) index: u32,
    pub(super) len_bytes: u64,
}

pub(super) fn segment_path(dir: &Path, index: u32) -> PathBuf {
    dir.join(format!("{index:08}"))
}

pub(super) fn checkpoint_path(dir: &Path, index: u32) -> PathBuf {
    dir.join(format!("checkpoint.{index:08}"))
}

/// A number as log files are named: digits only, eight or more.
fn number(name: &str) -> Option<u32> {
    let digits = name.len() >= 8 && name.bytes().all(|byte| byte.is_ascii_digit());
    if digits { name.parse().ok() } else { None }
}

/// The segments of a folder, ascending. Other names are passed over.
pub(super) fn list_segments(disk: &dyn Disk, dir: &Path) -> Result<Vec<SegmentFile>, WalError> {
    let entries = disk.list(dir).context("list log", dir)?;
    let files = entries.iter().filter(|entry| !entry.is_dir);
    let mut segments: Vec<SegmentFile> = files
        .filter_map(|entry| {
            let index = number(&entry.name)?;
            Some(SegmentFile { index, len_bytes: entry.len_bytes })
        })
        .collect();
    segments.sort_unstable();
    Ok(segments)
}

/// Refuses ascending numbers with holes.
pub(super) fn check_sequential(segments: impl Iterator<Item = u32>) -> Result<(), WalError> {
    let mut before: Option<u32> = None;
    for found in segments {
        if let Some(after) = before
            && after.checked_add(1) != Some(found)
        {
            return Err(WalError::Gap { after, found });
        }
        before = Some(found);
    }
    Ok(())
}

/// The checkpoints of a log, ascending. Unfinished ones are passed over.
pub(super) fn list_checkpoints(disk: &dyn Disk, dir: &Path) -> Result<Vec<u32>, WalError> {
    let entries = disk.list(dir).context("list log", dir)?;
    let folders = entries.iter().filter(|entry| entry.is_dir);
    let mut found: Vec<u32> =
        folders.filter_map(|entry| number(entry.name.strip_prefix("checkpoint.")?)).collect();
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_name_segments() {
        assert_eq!(number("00000012"), Some(12));
        assert_eq!(number("123456789"), Some(123_456_789));
        for name in ["12", "00000012.repair", "+0000012", "99999999999", "0000001x"] {
            assert_eq!(number(name), None, "{name}");
        }
    }

    #[test]
    fn the_end_of_a_segment_lies_before_the_next() {
        assert!(Position::start_of(3) < Position::end_of(3));
        assert!(Position::end_of(3) < Position::start_of(4));
    }
}
