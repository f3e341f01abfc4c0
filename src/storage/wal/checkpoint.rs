//! Old segments folded into one folder that holds only what is still needed.
//!
//! The whole truncation of a log, which its owner does between two batches at any time:
//! [`super::Wal::cut`], [`truncatable`], [`checkpoint`] (may take long, needs no lock on the
//! writer), [`super::Wal::remove_before`] the segment behind the last one folded in,
//! [`remove_checkpoints_before`]. A crash between any two of them leaves a log that tells the same.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::metrics::Registry;
use crate::base::varint::Cursor;
use crate::disk::{Disk, SharedDisk};
use crate::series::SeriesRef;

use super::error::{Context, Corruption, RecordError, WalError};
use super::reader::walk_range;
use super::record::rows::{RowCount, keep_since};
use super::record::{RecordKind, body, kind};
use super::records::Records;
use super::repair::{REWRITE, free_name};
use super::segment::{checkpoint_path, list_checkpoints, list_segments, segment_path};
use super::sync::Durability;
use super::writer::{Wal, WalMetrics, WalOptions};

/// What a checkpoint kept and dropped. Rows are series, samples, tombstones, exemplars, metadata.
#[derive(Debug, Clone, Default)]
pub struct CheckpointStats {
    /// Series read.
    pub series: u64,
    /// Series not kept.
    pub dropped_series: u64,
    /// Samples of all kinds read.
    pub samples: u64,
    /// Samples not kept.
    pub dropped_samples: u64,
    /// All other rows read.
    pub others: u64,
    /// All other rows not kept.
    pub dropped_others: u64,
    /// The first damage of each damaged segment, and the name under which it is kept.
    pub quarantined: Vec<(Corruption, PathBuf)>,
    /// Segments that were not there.
    pub missing_segments: u32,
}

/// What a checkpoint does with bytes that the disk does not give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unreadable {
    /// It fails: the next try may get them.
    #[default]
    Fail,
    /// It goes on behind them as behind damage.
    PassOver,
}

/// The segments that Prometheus would fold in when the log has `first..=last`, the last one being
/// written: the oldest two thirds; nothing if that is not worth it.
#[must_use]
pub const fn truncatable(first: u32, last: u32) -> Option<u32> {
    let Some(closed) = last.checked_sub(1) else { return None };
    if closed < first {
        return None;
    }
    let upto = first + ((closed - first) as u64 * 2 / 3) as u32;
    if upto > first { Some(upto) } else { None }
}

/// Number of the newest checkpoint of a log: the last segment folded into it.
///
/// # Errors
/// The disk's answer.
pub fn last_checkpoint(disk: &dyn Disk, dir: &Path) -> Result<Option<u32>, WalError> {
    Ok(list_checkpoints(disk, dir)?.pop())
}

/// Removes the checkpoints that a newer one with number `index` replaces.
///
/// # Errors
/// The disk's answer; older checkpoints do no harm but take room.
pub fn remove_checkpoints_before(disk: &dyn Disk, dir: &Path, index: u32) -> Result<(), WalError> {
    for old in list_checkpoints(disk, dir)?.into_iter().filter(|old| *old < index) {
        let path = checkpoint_path(dir, old);
        disk.remove_dir_all(&path).context("remove checkpoint", &path)?;
    }
    disk.sync_dir(dir).context("sync log", dir)
}

/// Removes what a crash left of checkpoints and rewritten segments.
pub(super) fn remove_unfinished(disk: &dyn Disk, dir: &Path) -> Result<(), WalError> {
    for entry in disk.list(dir).context("list log", dir)? {
        let path = dir.join(&entry.name);
        let extension = path.extension().unwrap_or_default();
        if entry.is_dir && entry.name.starts_with("checkpoint.") && extension == "tmp" {
            disk.remove_dir_all(&path).context("remove checkpoint", &path)?;
        } else if !entry.is_dir && extension == REWRITE {
            disk.remove_file(&path).context("remove file", &path)?;
        }
    }
    Ok(())
}

/// Folds the newest checkpoint and the segments up to `upto` into a new checkpoint with the number
/// `upto`. Kept are: series that `keep` names; samples and exemplars not older than `min_time_ms`;
/// deletions of kept series that reach to `min_time_ms`; the newest metadata of kept series.
/// `keep` must answer the same for the same series all the time. When it returns, the checkpoint
/// is on disk.
///
/// Damage, missing segments and records without meaning do not stop it, since the log would then
/// grow for ever: they are passed over and reported, and damaged segments, which are superfluous
/// from now on as the others are, keep their bytes under another name.
///
/// # Errors
/// The disk's answer. The log is then as it was, or the checkpoint is there and more of the old
/// segments than need be.
pub fn checkpoint(
    disk: &SharedDisk,
    dir: &Path,
    upto: u32,
    options: &WalOptions,
    keep: &dyn Fn(SeriesRef) -> bool,
    min_time_ms: i64,
) -> Result<CheckpointStats, WalError> {
    let kept = Kept { keep, min_time_ms };
    checkpoint_with(disk, dir, upto, options, kept, Unreadable::Fail)
}

/// What a checkpoint keeps; see [`checkpoint`].
#[derive(Clone, Copy)]
pub struct Kept<'a> {
    /// Says which series are still needed.
    pub keep: &'a dyn Fn(SeriesRef) -> bool,
    /// Samples before it are not needed.
    pub min_time_ms: i64,
}

/// As [`checkpoint`], and says what to do with bytes that the disk does not give.
///
/// # Errors
/// As of [`checkpoint`].
pub fn checkpoint_with(
    disk: &SharedDisk,
    dir: &Path,
    upto: u32,
    options: &WalOptions,
    kept: Kept<'_>,
    unreadable: Unreadable,
) -> Result<CheckpointStats, WalError> {
    let path = checkpoint_path(dir, upto);
    let temporary = path.with_extension(format!("{upto:08}.tmp"));
    if disk.exists(&temporary) {
        disk.remove_dir_all(&temporary).context("remove checkpoint", &temporary)?;
    }
    let build = Build { disk, dir, upto, options, temporary: &temporary, unreadable };
    let built = build.run(kept);
    if built.is_err() {
        // What is left over does no harm and is removed with the next opening.
        let _ = disk.remove_dir_all(&temporary);
    }
    let (mut stats, damaged) = built?;
    disk.rename(&temporary, &path).context("name checkpoint", &path)?;
    disk.sync_dir(dir).context("sync log", dir)?;
    stats.quarantined = set_aside(&**disk, dir, upto, damaged)?;
    Ok(stats)
}

/// Gives damaged files, which the new checkpoint replaces, another name. Segments before them go
/// first, so that there is never a hole.
fn set_aside(
    disk: &dyn Disk,
    dir: &Path,
    upto: u32,
    mut damaged: BTreeMap<PathBuf, Corruption>,
) -> Result<Vec<(Corruption, PathBuf)>, WalError> {
    let mut quarantined = Vec::new();
    let mut move_away = |path: &Path, corruption| {
        let name = free_name(disk, dir, path);
        disk.rename(path, &name).context("set aside", path)?;
        tracing::warn!(segment = %path.display(), kept = %name.display(), "damage is put aside");
        quarantined.push((corruption, name));
        Ok(())
    };
    for segment in list_segments(disk, dir)? {
        let in_segments = damaged.keys().filter(|path| path.parent() == Some(dir)).count();
        if in_segments == 0 || segment.index > upto {
            break;
        }
        let path = segment_path(dir, segment.index);
        match damaged.remove(&path) {
            Some(corruption) => move_away(&path, corruption)?,
            None => disk.remove_file(&path).context("remove segment", &path)?,
        }
    }
    for (path, corruption) in damaged {
        move_away(&path, corruption)?;
    }
    if !quarantined.is_empty() {
        disk.sync_dir(dir).context("sync log", dir)?;
    }
    Ok(quarantined)
}

/// A checkpoint being made.
struct Build<'a> {
    disk: &'a SharedDisk,
    dir: &'a Path,
    upto: u32,
    options: &'a WalOptions,
    temporary: &'a Path,
    unreadable: Unreadable,
}

/// What is kept of a log and where it was damaged.
type Built = (CheckpointStats, BTreeMap<PathBuf, Corruption>);

impl Build<'_> {
    fn run(&self, kept: Kept<'_>) -> Result<Built, WalError> {
        let previous = last_checkpoint(&**self.disk, self.dir)?;
        let first = previous.map_or(0, |index| index.saturating_add(1));
        let metrics = WalMetrics::new(&Registry::new());
        // It is synced when it is closed, and nobody is told of it before.
        let options = WalOptions { durability: Durability::Process, ..*self.options };
        let mut out = Wal::open(self.disk.clone(), self.temporary, options, &metrics)?;
        let stats = CheckpointStats {
            missing_segments: self.missing_since(first, previous.is_some())?,
            ..CheckpointStats::default()
        };
        let mut filter = Filter { kept, stats, metadata: BTreeMap::new() };
        let mut pending = Records::new(options.compression);
        let mut damaged: BTreeMap<PathBuf, Corruption> = BTreeMap::new();
        // Writing fails in one closure and ends the walk in the other.
        let failed = RefCell::new(None);
        walk_range(
            (self.disk, self.dir),
            previous,
            (first, self.upto),
            self.unreadable,
            &mut |_, record| {
                pending.try_add(|bytes| filter.record(record, bytes))?;
                if pending.size_bytes() < BATCH_BYTES {
                    return Ok(());
                }
                let logged = out.log_packed(&mut pending);
                pending.clear();
                logged.map(|_| ()).map_err(|error| {
                    let refused = RecordError::Refused(error.to_string());
                    failed.replace(Some(error));
                    refused
                })
            },
            &mut |corruption| {
                if let Some(error) = failed.take() {
                    return Err(error);
                }
                tracing::error!(%corruption, "damage in the log; the checkpoint goes on behind it");
                damaged.entry(corruption.path.clone()).or_insert(corruption);
                Ok(())
            },
        )?;
        pending.add(|bytes| filter.put_metadata(bytes));
        out.log_packed(&mut pending)?;
        out.close()?;
        Ok((filter.stats, damaged))
    }

    /// Segments that should be there and are not.
    fn missing_since(&self, first: u32, has_checkpoint: bool) -> Result<u32, WalError> {
        let segments = list_segments(&**self.disk, self.dir)?;
        let found = segments.iter().map(|segment| segment.index);
        let there: Vec<u32> = found.filter(|index| (first..=self.upto).contains(index)).collect();
        let oldest = there.first().copied().unwrap_or(self.upto.saturating_add(1));
        // Without a checkpoint a log may begin with any number.
        let from = if has_checkpoint { first } else { oldest };
        let missing = self.upto.saturating_add(1).saturating_sub(from) - there.len() as u32;
        if missing > 0 {
            tracing::error!(missing, dir = %self.dir.display(), "segments are missing in the log");
        }
        Ok(missing)
    }
}

/// Records are written in batches of about this size.
const BATCH_BYTES: usize = 1 << 20;

struct Filter<'a> {
    kept: Kept<'a>,
    stats: CheckpointStats,
    /// The newest row of each kept series.
    metadata: BTreeMap<u64, Vec<u8>>,
}

impl Filter<'_> {
    /// Appends what is kept of a record, nothing if nothing is.
    fn record(&mut self, record: &[u8], out: &mut Vec<u8>) -> Result<(), RecordError> {
        match kind(record) {
            RecordKind::Series => {
                let keep = self.kept.keep;
                let count = keep_rows(record, out, |row| {
                    let series = SeriesRef(row.u64_be()?);
                    skip_pairs(row)?;
                    Ok(keep(series))
                })?;
                self.stats.series += count.seen;
                self.stats.dropped_series += count.seen - count.kept;
            }
            RecordKind::Tombstones => {
                let Kept { keep, min_time_ms } = self.kept;
                let count = keep_rows(record, out, |row| {
                    let series = SeriesRef(row.u64_be()?);
                    row.varint()?;
                    Ok(row.varint()? >= min_time_ms && keep(series))
                })?;
                self.count_others(count);
            }
            RecordKind::Exemplars => {
                let count = keep_since(record, self.kept.min_time_ms, out)?;
                self.count_others(count);
            }
            RecordKind::Metadata => self.take_metadata(record)?,
            // Markers belong to the out-of-order log; what is unknown cannot be judged, and
            // Prometheus drops it as well.
            RecordKind::MmapMarkers | RecordKind::Unknown(_) => {}
            _ => {
                let count = keep_since(record, self.kept.min_time_ms, out)?;
                self.stats.samples += count.seen;
                self.stats.dropped_samples += count.seen - count.kept;
            }
        }
        Ok(())
    }

    const fn count_others(&mut self, count: RowCount) {
        self.stats.others += count.seen;
        self.stats.dropped_others += count.seen - count.kept;
    }

    fn take_metadata(&mut self, record: &[u8]) -> Result<(), RecordError> {
        let mut cursor = body(record, &[6])?;
        while !cursor.is_empty() {
            let start = cursor;
            let series = SeriesRef(cursor.uvarint()?);
            cursor.u8()?;
            skip_pairs(&mut cursor)?;
            let raw = start.rest().get(..start.len() - cursor.len()).unwrap_or_default();
            self.stats.others += 1;
            let is_kept = (self.kept.keep)(series);
            let replaced = is_kept && self.metadata.insert(series.0, raw.to_vec()).is_some();
            self.stats.dropped_others += u64::from(!is_kept || replaced);
        }
        Ok(())
    }

    fn put_metadata(&self, out: &mut Vec<u8>) {
        if !self.metadata.is_empty() {
            out.push(RecordKind::Metadata.byte());
        }
        for raw in self.metadata.values() {
            out.extend_from_slice(raw);
        }
    }
}

/// Steps over a count and as many pairs of texts.
fn skip_pairs(cursor: &mut Cursor<'_>) -> Result<(), RecordError> {
    for _ in 0..cursor.uvarint()? {
        cursor.length_prefixed()?;
        cursor.length_prefixed()?;
    }
    Ok(())
}

/// Copies the rows of a record for which `read` says so; `read` steps over one row.
fn keep_rows(
    record: &[u8],
    out: &mut Vec<u8>,
    mut read: impl FnMut(&mut Cursor<'_>) -> Result<bool, RecordError>,
) -> Result<RowCount, RecordError> {
    let (head, rest) = record.split_at_checked(1).ok_or(RecordError::Truncated)?;
    let mut cursor = Cursor::new(rest);
    let mut count = RowCount::default();
    while !cursor.is_empty() {
        let start = cursor;
        let is_kept = read(&mut cursor)?;
        count.seen += 1;
        if is_kept {
            if count.kept == 0 {
                out.extend_from_slice(head);
            }
            count.kept += 1;
            let raw = start.rest().get(..start.len() - cursor.len()).unwrap_or_default();
            out.extend_from_slice(raw);
        }
    }
    Ok(count)
}
