//! Damage is put aside, never repaired by deleting what follows it.
//!
//! The damaged segment is rewritten with every record that can still be read, before and behind
//! the damage; its bytes from the damage on are kept beside it in a file that ends in `.corrupt`.
//! Later segments stay as they are. Each step leaves a log that can be read: the copy is made and
//! synced first, then the rewritten segment takes the old one's name in one step.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, SharedDisk, WriteFile};

use super::checkpoint::last_checkpoint;
use super::error::{Context, Corruption, Fault, WalError};
use super::frame::{Packed, put_padding, put_record};
use super::reader::{Each, ReplayEnd, walk};
use super::scan::{Scanner, Stop};
use super::segment::{SegmentFile, list_segments, segment_path};

/// How a recovery went.
#[derive(Debug, Clone, Default)]
pub struct Recovery {
    /// How the replay ended.
    pub end: ReplayEnd,
    /// The first damage of each damaged segment, and the file where its bytes are kept.
    pub quarantined: Vec<(Corruption, PathBuf)>,
    /// Segments that were missing; empty ones, or those that an interrupted repair had left under
    /// another name, stand in their place.
    pub missing_segments: u32,
}

impl Recovery {
    /// True if nothing was damaged or missing.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.quarantined.is_empty() && self.missing_segments == 0
    }
}

/// More missing segments than this are not a hole but two logs in one folder.
const MISSING_SEGMENTS_MAX: u32 = 1000;

/// Records that one damaged segment may lose because their content is not understood. Beyond it
/// something else is wrong, and nothing is rewritten.
const REFUSED_RECORDS_MAX: usize = 10_000;

/// Like [`super::replay`], but goes on behind damage and puts it aside when done. To be called by
/// the owner of the log while nobody writes to it.
///
/// # Errors
/// The disk's answer; more damage than can be put aside.
pub fn recover(
    disk: &SharedDisk,
    dir: &Path,
    from: Option<u32>,
    each: &mut Each<'_>,
) -> Result<Recovery, WalError> {
    let missing_segments = fill_holes(&**disk, dir)?;
    let mut damaged: BTreeMap<PathBuf, (Corruption, Vec<u64>)> = BTreeMap::new();
    let end = walk(disk, dir, from, each, &mut |corruption| {
        tracing::error!(%corruption, "damage in the log; reading goes on behind it");
        note(&mut damaged, corruption)
    })?;
    let mut quarantined = Vec::new();
    for (corruption, refused) in damaged.into_values() {
        let kept = put_aside(&**disk, dir, &corruption, &refused)?;
        quarantined.push((corruption, kept));
    }
    Ok(Recovery { end, quarantined, missing_segments })
}

/// Collects the damage of each file: the first, and the records that only their receiver refused.
pub(super) fn note(
    damaged: &mut BTreeMap<PathBuf, (Corruption, Vec<u64>)>,
    corruption: Corruption,
) -> Result<(), WalError> {
    let refused = matches!(corruption.fault, Fault::Record(_)).then_some(corruption.offset_bytes);
    let entry =
        damaged.entry(corruption.path.clone()).or_insert_with(|| (corruption.clone(), Vec::new()));
    if entry.1.len() >= REFUSED_RECORDS_MAX {
        return Err(WalError::Corrupt(corruption));
    }
    entry.1.extend(refused);
    if corruption.offset_bytes < entry.0.offset_bytes {
        entry.0 = corruption;
    }
    Ok(())
}

/// Puts the damage of one segment aside, `dir` being the log's folder; returns the file that keeps
/// the bytes. Offsets behind the damage change.
///
/// # Errors
/// The disk's answer; the segment is then as it was.
pub fn quarantine(
    disk: &SharedDisk,
    dir: &Path,
    corruption: &Corruption,
) -> Result<PathBuf, WalError> {
    put_aside(&**disk, dir, corruption, &[corruption.offset_bytes])
}

pub(super) fn put_aside(
    disk: &dyn Disk,
    dir: &Path,
    corruption: &Corruption,
    refused: &[u64],
) -> Result<PathBuf, WalError> {
    let path = &corruption.path;
    let kept = free_name(disk, dir, path);
    copy_from(disk, path, corruption.offset_bytes, &kept)?;
    disk.sync_dir(dir).context("sync log", dir)?;
    let rewritten = path.with_extension(REWRITE);
    rewrite(disk, corruption, refused, &rewritten)?;
    disk.rename(&rewritten, path).context("replace segment", path)?;
    if let Some(parent) = path.parent() {
        disk.sync_dir(parent).context("sync log", parent)?;
    }
    tracing::warn!(segment = %path.display(), kept = %kept.display(), "damage is put aside");
    Ok(kept)
}

/// Extension of a segment that is being rewritten.
pub(super) const REWRITE: &str = "rewrite";

/// `00000007.corrupt`, or with a number behind if that is taken.
pub(super) fn free_name(disk: &dyn Disk, dir: &Path, segment: &Path) -> PathBuf {
    let below = segment.strip_prefix(dir).unwrap_or(segment);
    let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
    let name = parts.join(".");
    let first = dir.join(format!("{name}.corrupt"));
    let others = (2_u32..).map(|number| dir.join(format!("{name}.corrupt.{number}")));
    let mut names = std::iter::once(first.clone()).chain(others);
    names.find(|name| !disk.exists(name)).unwrap_or(first)
}

const COPY_BYTES: usize = 256 << 10;

fn copy_from(disk: &dyn Disk, path: &Path, offset: u64, to: &Path) -> Result<(), WalError> {
    let from = disk.open(path).context("open segment", path)?;
    let mut out = disk.create(to).context("create", to)?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = offset;
    loop {
        let count = from.read_at(at, &mut buffer).context("read", path)?;
        if count == 0 {
            return out.sync().context("sync", to);
        }
        out.write_all(buffer.get(..count).unwrap_or_default()).context("write", to)?;
        at += count as u64;
    }
}

/// Writes every readable record of a segment, packed as it is, except those in `refused`.
fn rewrite(
    disk: &dyn Disk,
    corruption: &Corruption,
    refused: &[u64],
    to: &Path,
) -> Result<(), WalError> {
    let mut scanner = Scanner::open(disk, &corruption.path, corruption.segment, 0)?;
    let mut out = disk.create(to).context("create", to)?;
    let mut buffer = Vec::new();
    let mut at = 0;
    loop {
        match scanner.advance() {
            Ok(None) => break,
            Ok(Some(span)) if refused.contains(&span.start) => {}
            Ok(Some(span)) if scanner.record(&span).is_err() => {}
            Ok(Some(span)) => {
                let bits = span.compression.bit();
                let record = Packed::new(scanner.packed(&span), bits);
                at = put_record(&mut buffer, at, record).end;
            }
            Err(Stop::Damage(damage)) => scanner.resume(&damage),
            Err(stop) => return Err(scanner.error(stop)),
        }
        if buffer.len() >= COPY_BYTES {
            flush(&mut *out, &mut buffer, to)?;
        }
    }
    put_padding(&mut buffer, at);
    flush(&mut *out, &mut buffer, to)?;
    out.sync().context("sync", to)
}

fn flush(out: &mut dyn WriteFile, buffer: &mut Vec<u8>, to: &Path) -> Result<(), WalError> {
    out.write_all(buffer).context("write", to)?;
    buffer.clear();
    Ok(())
}

/// Closes holes in the numbering, which Prometheus refuses to read: with the segment itself if an
/// interrupted `wlog.Repair` left it as `.repair`, else with an empty one.
pub(super) fn fill_holes(disk: &dyn Disk, dir: &Path) -> Result<u32, WalError> {
    if !disk.exists(dir) {
        return Ok(0);
    }
    let mut filled = 0;
    let segments = list_segments(disk, dir)?;
    // What a checkpoint replaces is not missing.
    let mut before = last_checkpoint(disk, dir)?;
    for found in segments.iter().map(|segment| segment.index) {
        let expected = before.map_or(found, |before| before.saturating_add(1));
        before = before.max(Some(found));
        for missing in expected..found {
            if filled == MISSING_SEGMENTS_MAX {
                return Err(WalError::Gap { after: expected.saturating_sub(1), found });
            }
            fill_hole(disk, dir, missing)?;
            filled += 1;
        }
    }
    filled += restore_newest(disk, dir, segments.last())?;
    if filled > 0 {
        tracing::error!(count = filled, dir = %dir.display(), "segments were missing in the log");
        disk.sync_dir(dir).context("sync log", dir)?;
    }
    Ok(filled)
}

fn fill_hole(disk: &dyn Disk, dir: &Path, missing: u32) -> Result<(), WalError> {
    let path = segment_path(dir, missing);
    let left = path.with_extension("repair");
    if disk.exists(&left) {
        disk.rename(&left, &path).context("restore segment", &path)
    } else {
        disk.create(&path).and_then(|mut file| file.sync()).context("create segment", &path)
    }
}

/// The interrupted repair removes what follows first, so its segment may be missing at the end.
fn restore_newest(
    disk: &dyn Disk,
    dir: &Path,
    last: Option<&SegmentFile>,
) -> Result<u32, WalError> {
    let next = last.map_or(0, |last| last.index.saturating_add(1));
    let path = segment_path(dir, next);
    let left = path.with_extension("repair");
    if !disk.exists(&left) {
        return Ok(0);
    }
    disk.rename(&left, &path).context("restore segment", &path)?;
    Ok(1)
}

/// Cuts off a torn record at the end of the newest segment. Damage elsewhere is left for
/// [`recover`].
pub(super) fn mend_tail(disk: &dyn Disk, dir: &Path, segment: u32) -> Result<(), WalError> {
    let path = segment_path(dir, segment);
    let mut scanner = Scanner::open(disk, &path, segment, 0)?;
    loop {
        match scanner.advance() {
            Ok(None) => return Ok(()),
            Ok(Some(_)) => {}
            Err(Stop::Damage(damage)) => {
                if scanner.is_torn(&damage).context("read", &path)? {
                    let torn = scanner.corruption(damage);
                    let lost_bytes = scanner.limit().saturating_sub(torn.offset_bytes);
                    tracing::warn!(%torn, lost_bytes, "a torn record is cut off");
                    let mut file = disk.append(&path).context("open segment", &path)?;
                    file.set_len(torn.offset_bytes).context("shorten", &path)?;
                    return file.sync().context("sync", &path);
                }
                scanner.resume(&damage);
            }
            Err(stop) => return Err(scanner.error(stop)),
        }
    }
}
