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
use super::record::rows::{Kept, keep_since};
use super::record::{RecordKind, body, kind};
use super::repair::{REWRITE, note, put_aside};
use super::segment::{checkpoint_path, list_checkpoints};
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
    /// The first damage of each damaged segment, and the file where its bytes are kept. Damage
    /// does not stop a checkpoint, since then the log would grow for ever.
    pub quarantined: Vec<(Corruption, PathBuf)>,
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
/// is on disk; nothing else has been removed.
///
/// # Errors
/// A hole between the newest checkpoint and the oldest segment; the disk's answer. The log is
/// then as it was.
pub fn checkpoint(
    disk: &SharedDisk,
    dir: &Path,
    upto: u32,
    options: &WalOptions,
    keep: &dyn Fn(SeriesRef) -> bool,
    min_time_ms: i64,
) -> Result<CheckpointStats, WalError> {
    let path = checkpoint_path(dir, upto);
    let temporary = path.with_extension(format!("{upto:08}.tmp"));
    if disk.exists(&temporary) {
        disk.remove_dir_all(&temporary).context("remove checkpoint", &temporary)?;
    }
    let built = build(disk, dir, upto, options, (keep, min_time_ms), &temporary);
    if built.is_err() {
        // What is left over does no harm and is removed with the next opening.
        let _ = disk.remove_dir_all(&temporary);
    }
    let stats = built?;
    disk.rename(&temporary, &path).context("name checkpoint", &path)?;
    disk.sync_dir(dir).context("sync log", dir)?;
    Ok(stats)
}

fn build(
    disk: &SharedDisk,
    dir: &Path,
    upto: u32,
    options: &WalOptions,
    (keep, min_time_ms): (&dyn Fn(SeriesRef) -> bool, i64),
    temporary: &Path,
) -> Result<CheckpointStats, WalError> {
    let previous = last_checkpoint(&**disk, dir)?;
    let first = previous.map_or(0, |index| index.saturating_add(1));
    if let Some(oldest) = super::segment::list_segments(&**disk, dir)?.first()
        && let Some(previous) = previous
        && oldest.index > first
    {
        return Err(WalError::Gap { after: previous, found: oldest.index });
    }
    let metrics = WalMetrics::new(&Registry::new());
    let mut out = Wal::open(disk.clone(), temporary, *options, &metrics)?;
    let mut filter =
        Filter { keep, min_time_ms, stats: CheckpointStats::default(), metadata: BTreeMap::new() };
    let mut pending = Pending::default();
    let mut damaged = BTreeMap::new();
    // Writing fails in one closure and ends the walk in the other.
    let failed = RefCell::new(None);
    walk_range(
        disk,
        dir,
        previous,
        (first, upto),
        &mut |_, record| {
            pending.add(|bytes| filter.record(record, bytes))?;
            if pending.bytes.len() < BATCH_BYTES {
                return Ok(());
            }
            pending.flush(&mut out).map_err(|error| {
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
            note(&mut damaged, corruption)
        },
    )?;
    pending
        .add(|bytes| {
            filter.put_metadata(bytes);
            Ok(())
        })
        .ok();
    pending.flush(&mut out)?;
    out.close()?;
    let mut stats = filter.stats;
    for (corruption, refused) in damaged.into_values() {
        let kept = put_aside(&**disk, dir, &corruption, &refused)?;
        stats.quarantined.push((corruption, kept));
    }
    Ok(stats)
}

/// Records are written in batches of about this size.
const BATCH_BYTES: usize = 1 << 20;

/// Records waiting to be written.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Pending {
    fn add(
        &mut self,
        put: impl FnOnce(&mut Vec<u8>) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        let start = self.bytes.len();
        let done = put(&mut self.bytes);
        if done.is_err() {
            self.bytes.truncate(start);
        }
        if self.bytes.len() > start {
            self.ends.push(self.bytes.len());
        }
        done
    }

    fn flush(&mut self, out: &mut Wal) -> Result<(), WalError> {
        let mut start = 0;
        let mut records = Vec::with_capacity(self.ends.len());
        for &end in &self.ends {
            records.push(self.bytes.get(start..end).unwrap_or_default());
            start = end;
        }
        out.log(&records)?;
        self.bytes.clear();
        self.ends.clear();
        Ok(())
    }
}

struct Filter<'a> {
    keep: &'a dyn Fn(SeriesRef) -> bool,
    min_time_ms: i64,
    stats: CheckpointStats,
    /// The newest row of each kept series.
    metadata: BTreeMap<u64, Vec<u8>>,
}

impl Filter<'_> {
    /// Appends what is kept of a record, nothing if nothing is.
    fn record(&mut self, record: &[u8], out: &mut Vec<u8>) -> Result<(), RecordError> {
        match kind(record) {
            RecordKind::Series => {
                let keep = self.keep;
                let count = keep_rows(record, out, |row| {
                    let series = SeriesRef(row.u64_be()?);
                    skip_pairs(row)?;
                    Ok(keep(series))
                })?;
                self.stats.series += count.seen;
                self.stats.dropped_series += count.seen - count.kept;
            }
            RecordKind::Tombstones => {
                let (keep, min_time_ms) = (self.keep, self.min_time_ms);
                let count = keep_rows(record, out, |row| {
                    let series = SeriesRef(row.u64_be()?);
                    row.varint()?;
                    Ok(row.varint()? >= min_time_ms && keep(series))
                })?;
                self.count_others(count);
            }
            RecordKind::Exemplars => {
                let count = keep_since(record, self.min_time_ms, out)?;
                self.count_others(count);
            }
            RecordKind::Metadata => self.take_metadata(record)?,
            // Markers belong to the out-of-order log; what is unknown cannot be judged, and
            // Prometheus drops it as well.
            RecordKind::MmapMarkers | RecordKind::Unknown(_) => {}
            _ => {
                let count = keep_since(record, self.min_time_ms, out)?;
                self.stats.samples += count.seen;
                self.stats.dropped_samples += count.seen - count.kept;
            }
        }
        Ok(())
    }

    const fn count_others(&mut self, count: Kept) {
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
            let is_kept = (self.keep)(series);
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
) -> Result<Kept, RecordError> {
    let (head, rest) = record.split_at_checked(1).ok_or(RecordError::Truncated)?;
    let mut cursor = Cursor::new(rest);
    let mut count = Kept::default();
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
