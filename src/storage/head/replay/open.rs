//! Opening a head: everything that is on disk, in its order.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use crate::base::clock::Stopwatch;
use crate::base::metrics::Registry;
use crate::disk::Disk;
use crate::storage::wal::{self, Position, Recovery, Wal, WalError};

use super::super::mapped::{ChunkFiles, MappedDamage, MappedError, MappedMetrics, MappedOptions};
use super::super::snapshot::{SnapshotPlace, newest_snapshot, remove_snapshots_before};
use super::super::state::{Head, HeadOptions, LogPlace};
use super::loader::Loader;
use super::mapped::MappedIndex;
use super::stats::ReplayStats;

const CHUNK_FILES: &str = "chunks_head";
const LATE_LOG: &str = "wbl";

impl Head {
    /// Puts together what files and logs hold, and begins a new segment of each log. Samples
    /// before `min_valid_ms` are in blocks and left out, unless they are late ones.
    pub(in crate::storage) fn open(
        log: LogPlace,
        options: HeadOptions,
        min_valid_ms: i64,
        registry: &Registry,
    ) -> Result<(Self, ReplayStats), WalError> {
        let stopwatch = Stopwatch::start();
        let mut stats = ReplayStats::default();
        let mut mapped = MappedIndex::default();
        let (files, damaged) = open_files(&log, min_valid_ms, registry, &mut mapped)?;
        stats.corruptions.extend(damaged.iter().map(|(_, damage)| damage.to_string()));
        let files = Arc::new(files);
        stats.chunks_mapped = mapped.len() as u64;
        let new = || {
            let place = Some(log.clone());
            let mut head = Self::empty(options.clone(), place, min_valid_ms, registry);
            head.files = Some(Arc::clone(&files));
            head
        };
        let mut head = new();
        let mut after = None;
        // A snapshot counts on the chunk files: without one of them the whole log is told.
        let snapshot = if mapped.has_holes { None } else { usable_snapshot(&log, &options)? };
        if let Some(place) = snapshot {
            match head.load_snapshot(&log, &place, &mut mapped) {
                Ok(()) => after = Some(place.upto),
                Err(error) => {
                    tracing::warn!(%error, "memory snapshot is not used");
                    stats.corruptions.push(format!("{error}; the snapshot is not used"));
                    head.metrics.replay.snapshot_errors.inc();
                    head = new();
                }
            }
        }
        stats.from_snapshot = after.is_some();
        head.replay(&log, &mut mapped, after, &mut stats)?;
        drop(mapped);
        // Not before the logs have told what was in them.
        if !damaged.is_empty() {
            let all = Position::end_of(u32::MAX);
            remove_snapshots_before(&*log.disk, &log.root, all)
                .map_err(|error| io_error(&log.root, error))?;
            files.set_aside(&damaged).map_err(|error| mapped_error(&log.root, error))?;
        }
        // Series whose samples are all in blocks need no memory.
        head.truncate_memory(min_valid_ms);
        let wal = Wal::open(log.disk.clone(), &log.dir, log.options, &log.metrics)?;
        *head.log.lock() = Some(wal);
        let late_dir = log.root.join(LATE_LOG);
        if options.late_window_ms > 0 || log.disk.exists(&late_dir) {
            head.late_log.lock().open(&log.disk, &late_dir, log.options, registry)?;
        }
        stats.seconds = stopwatch.seconds();
        head.metrics.replay.replay_seconds.set(stats.seconds);
        stats.tell();
        Ok((head, stats))
    }

    fn replay(
        &self,
        log: &LogPlace,
        mapped: &mut MappedIndex,
        after: Option<Position>,
        stats: &mut ReplayStats,
    ) -> Result<(), WalError> {
        let (before, aliases) = thread::scope(|scope| {
            let mut loader = Loader::new(self, scope, mapped, after);
            let from = after.map(|after| after.segment);
            let each = &mut |at: Position, record: &[u8]| loader.load(at, record);
            let recovery = wal::recover(&log.disk, &log.dir, from, each);
            let (told, aliases) = loader.finish();
            let ReplayStats { corruptions, chunks_mapped, from_snapshot, .. } =
                std::mem::take(stats);
            *stats = ReplayStats { corruptions, chunks_mapped, from_snapshot, ..told };
            recovery.map(|recovery| (recovery, aliases))
        })?;
        log.metrics.count_corruptions(before.quarantined.len());
        note_damage(&before, stats);
        let late = self.replay_late(&log.disk, &log.root.join(LATE_LOG), &aliases, stats)?;
        note_damage(&late, stats);
        Ok(())
    }
}

fn open_files(
    log: &LogPlace,
    min_valid_ms: i64,
    registry: &Registry,
    mapped: &mut MappedIndex,
) -> Result<(ChunkFiles, Vec<(u32, MappedDamage)>), WalError> {
    let dir = log.root.join(CHUNK_FILES);
    let metrics = MappedMetrics::new(registry);
    let (options, each) = (MappedOptions::default(), &mut |chunk| mapped.add(chunk, min_valid_ms));
    let opened = ChunkFiles::open(&log.disk, &dir, options, metrics, each);
    let (files, damaged) = opened.map_err(|error| mapped_error(&dir, error))?;
    mapped.has_holes |= !damaged.is_empty();
    mapped.finish();
    Ok((files, damaged))
}

fn mapped_error(dir: &Path, error: MappedError) -> WalError {
    match error {
        MappedError::Io { what, path, source } => WalError::Io { what, path, source },
        other => io_error(dir, std::io::Error::other(other.to_string())),
    }
}

/// The newest snapshot, if the options want one and the log reaches as far.
fn usable_snapshot(
    log: &LogPlace,
    options: &HeadOptions,
) -> Result<Option<SnapshotPlace>, WalError> {
    if !options.snapshot {
        return Ok(None);
    }
    let place = newest_snapshot(&*log.disk, &log.root).map_err(|e| io_error(&log.root, e))?;
    let newest = newest_segment(&*log.disk, &log.dir);
    Ok(place.filter(|place| newest.is_some_and(|newest| place.upto.segment <= newest)))
}

fn newest_segment(disk: &dyn Disk, dir: &Path) -> Option<u32> {
    let names = disk.list(dir).unwrap_or_default().into_iter();
    let digits = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let segments = names.filter(|entry| !entry.is_dir && digits(&entry.name));
    segments.filter_map(|entry| entry.name.parse().ok()).max()
}

fn note_damage(recovery: &Recovery, stats: &mut ReplayStats) {
    for (corruption, kept) in &recovery.quarantined {
        stats.corruptions.push(format!("{corruption}; kept as {}", kept.display()));
    }
    if recovery.missing_segments > 0 {
        stats.corruptions.push(format!("{} missing segments", recovery.missing_segments));
    }
}

fn io_error(path: &Path, source: std::io::Error) -> WalError {
    WalError::Io { what: "read", path: PathBuf::from(path), source }
}
