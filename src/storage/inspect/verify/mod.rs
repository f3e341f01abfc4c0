//! Is every file what its writer wrote, and do they agree with one another?

mod blocks;
mod logs;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::disk::{DirEntry, SharedDisk};

use super::InspectError;

/// Of one block or log so many findings are told; damage in one place is often seen from many.
const FINDINGS_MAX: usize = 20;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The file or folder.
    pub path: PathBuf,
    /// Where in the file, if it is one place.
    pub offset_bytes: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, what) = (self.path.display(), &self.what);
        match self.offset_bytes {
            Some(offset) => write!(f, "{path}: at offset {offset}: {what}"),
            None => write!(f, "{path}: {what}"),
        }
    }
}

/// How far a check has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that were checked.
    pub done_bytes: u64,
    /// Bytes of all files.
    pub all_bytes: u64,
}

/// What was checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Blocks.
    pub blocks: u64,
    /// Series in blocks.
    pub series: u64,
    /// Chunks in blocks and in head chunk files.
    pub chunks: u64,
    /// Samples in the chunks of blocks.
    pub samples: u64,
    /// Records of logs, checkpoints and snapshots.
    pub records: u64,
    /// Everything that is wrong, told or not.
    pub findings: u64,
}

/// Receives what a check finds.
struct Check<'a> {
    disk: &'a SharedDisk,
    verified: Verified,
    progress: Progress,
    /// Told of the part that is being checked.
    told: usize,
    on_finding: &'a mut dyn FnMut(Finding),
    on_progress: &'a mut dyn FnMut(Progress),
}

impl Check<'_> {
    fn begin_part(&mut self) {
        self.told = 0;
    }

    fn found(&mut self, path: &Path, offset_bytes: Option<u64>, what: impl Into<String>) {
        self.verified.findings += 1;
        self.told += 1;
        if self.told <= FINDINGS_MAX {
            let path = path.to_owned();
            (self.on_finding)(Finding { path, offset_bytes, what: what.into() });
        }
    }

    fn advance(&mut self, bytes: u64) {
        self.progress.done_bytes += bytes;
        (self.on_progress)(self.progress);
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, InspectError> {
        if !self.disk.exists(dir) {
            return Ok(Vec::new());
        }
        self.disk.list(dir).map_err(InspectError::io(dir))
    }
}

/// Checks the blocks, the logs with their checkpoints and snapshots, and the head chunk files of
/// the data directory `dir`: every checksum, the order of what is sorted, that index, chunks and
/// `meta.json` agree, and that every record and chunk can be decoded. Changes nothing.
///
/// A record that is torn at the very end of a log is what a crash or a running server leaves, and
/// no finding; neither is a newest head chunk file without content. Other folders are passed over.
///
/// # Errors
/// The disk's answer. Damage is no error but a finding.
pub fn verify(
    disk: &SharedDisk,
    dir: &Path,
    on_finding: &mut dyn FnMut(Finding),
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Verified, InspectError> {
    let all_bytes = size_of(disk, dir, 0)?;
    let progress = Progress { done_bytes: 0, all_bytes };
    let verified = Verified::default();
    let mut check = Check { disk, verified, progress, told: 0, on_finding, on_progress };
    blocks::check_all(&mut check, dir)?;
    logs::check_all(&mut check, dir)?;
    Ok(check.verified)
}

/// Blocks have folders in folders; nothing of ours lies deeper.
const DEPTH_MAX: usize = 3;

fn size_of(disk: &SharedDisk, dir: &Path, depth: usize) -> Result<u64, InspectError> {
    let mut bytes = 0;
    for entry in disk.list(dir).map_err(InspectError::io(dir))? {
        bytes += match entry.is_dir {
            false => entry.len_bytes,
            true if depth < DEPTH_MAX => size_of(disk, &dir.join(entry.name), depth + 1)?,
            true => 0,
        };
    }
    Ok(bytes)
}
