//! Folders of snapshots: finding, reading and writing one.

use std::io;
use std::path::{Path, PathBuf};

use crate::base::metrics::Registry;
use crate::disk::{Disk, SharedDisk};
use crate::series::{SeriesRef, TimeRange};
use crate::storage::wal::{self, ExemplarRow, Position, Wal, WalError, WalMetrics, WalOptions};

use super::record::{Reader, SeriesRow, SnapshotRow, put_exemplars, put_series, put_tombstones};

const PREFIX: &str = "chunk_snapshot.";
const UNFINISHED: &str = "tmp";
/// Records are gathered to so many bytes before they are written.
const FLUSH_BYTES: usize = 1 << 20;
/// So many exemplars make a record.
const EXEMPLARS_PER_RECORD: usize = 10_000;

/// A snapshot on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage) struct SnapshotPlace {
    pub(in crate::storage) dir: PathBuf,
    /// What the log says before it is in the snapshot.
    pub(in crate::storage) upto: Position,
}

fn position_of(name: &str) -> Option<Position> {
    let (segment, offset) = name.strip_prefix(PREFIX)?.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = digits(segment) && digits(offset);
    let (segment, offset_bytes) = (segment.parse().ok()?, offset.parse().ok()?);
    is_name.then_some(Position { segment, offset_bytes })
}

fn snapshots(disk: &dyn Disk, root: &Path) -> io::Result<Vec<SnapshotPlace>> {
    let names = disk.list(root)?.into_iter().filter(|entry| entry.is_dir);
    let place = |name: &str| Some((position_of(name)?, root.join(name)));
    let places = names.filter_map(|entry| place(&entry.name));
    Ok(places.map(|(upto, dir)| SnapshotPlace { dir, upto }).collect())
}

/// The snapshot in the data directory `root` that reaches furthest.
///
/// # Errors
/// The disk's answer.
pub(in crate::storage) fn newest_snapshot(
    disk: &dyn Disk,
    root: &Path,
) -> io::Result<Option<SnapshotPlace>> {
    Ok(snapshots(disk, root)?.into_iter().max_by_key(|place| place.upto))
}

/// Removes the snapshots that end before `upto`, and those that were never finished.
///
/// # Errors
/// The disk's answer.
pub(in crate::storage) fn remove_snapshots_before(
    disk: &dyn Disk,
    root: &Path,
    upto: Position,
) -> io::Result<()> {
    for old in snapshots(disk, root)?.iter().filter(|place| place.upto < upto) {
        disk.remove_dir_all(&old.dir)?;
    }
    for entry in disk.list(root)? {
        let is_unfinished =
            entry.name.strip_suffix(UNFINISHED).and_then(|name| name.strip_suffix('.'));
        if entry.is_dir && is_unfinished.is_some_and(|name| position_of(name).is_some()) {
            disk.remove_dir_all(&root.join(&entry.name))?;
        }
    }
    disk.sync_dir(root)
}

/// Hands out all that a snapshot says.
///
/// # Errors
/// The first damage, a torn end too; the disk's answer.
pub(in crate::storage) fn read_snapshot(
    disk: &SharedDisk,
    place: &SnapshotPlace,
    each: &mut dyn FnMut(SnapshotRow<'_>),
) -> Result<(), WalError> {
    let mut reader = Reader::default();
    let end = wal::replay(disk, &place.dir, None, &mut |_, record| reader.read(record, each))?;
    end.torn.map_or(Ok(()), |torn| Err(WalError::Corrupt(torn)))
}

/// A snapshot being written. Series come first, then the deleted spans, then exemplars. What is
/// not finished is no snapshot.
#[derive(Debug)]
pub(in crate::storage) struct SnapshotWriter {
    disk: SharedDisk,
    root: PathBuf,
    unfinished: PathBuf,
    upto: Position,
    log: Wal,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl SnapshotWriter {
    /// Begins a snapshot in the data directory `root` of all that the log says before `upto`.
    ///
    /// # Errors
    /// The disk's answer.
    pub(in crate::storage) fn begin(
        disk: &SharedDisk,
        root: &Path,
        upto: Position,
        options: WalOptions,
    ) -> Result<Self, WalError> {
        let Position { segment, offset_bytes } = upto;
        let unfinished = root.join(format!("{PREFIX}{segment:06}.{offset_bytes:010}.{UNFINISHED}"));
        if disk.exists(&unfinished) {
            disk.remove_dir_all(&unfinished).map_err(io_error("remove", &unfinished))?;
        }
        // What it counts is not what the log counts.
        let metrics = WalMetrics::new(&Registry::new());
        let log = Wal::open(disk.clone(), &unfinished, options, &metrics)?;
        let (bytes, ends) = (Vec::new(), Vec::new());
        let (disk, root) = (disk.clone(), root.to_owned());
        Ok(Self { disk, root, unfinished, upto, log, bytes, ends })
    }

    /// Adds a series.
    ///
    /// # Errors
    /// The disk's answer.
    pub(in crate::storage) fn add_series(&mut self, row: &SeriesRow<'_>) -> Result<(), WalError> {
        self.add(|out| put_series(out, row))
    }

    /// Adds all deleted spans.
    ///
    /// # Errors
    /// The disk's answer.
    pub(in crate::storage) fn add_tombstones(
        &mut self,
        spans: impl Iterator<Item = (SeriesRef, TimeRange)>,
    ) -> Result<(), WalError> {
        self.add(|out| put_tombstones(out, spans))
    }

    /// Adds all exemplars.
    ///
    /// # Errors
    /// The disk's answer.
    pub(in crate::storage) fn add_exemplars(
        &mut self,
        rows: &[ExemplarRow<'_>],
    ) -> Result<(), WalError> {
        for rows in rows.chunks(EXEMPLARS_PER_RECORD) {
            self.add(|out| put_exemplars(out, rows.iter().copied()))?;
        }
        Ok(())
    }

    fn add(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> Result<(), WalError> {
        put(&mut self.bytes);
        self.ends.push(self.bytes.len());
        if self.bytes.len() >= FLUSH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), WalError> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        let ranges = starts.zip(&self.ends).map(|(start, end)| start..*end);
        let records: Vec<&[u8]> =
            ranges.map(|range| self.bytes.get(range).unwrap_or_default()).collect();
        self.log.log(&records)?;
        self.bytes.clear();
        self.ends.clear();
        Ok(())
    }

    /// Ends the snapshot: it is there, and older ones are not.
    ///
    /// # Errors
    /// The disk's answer; then it is not there, unless only an old one could not be removed.
    pub(in crate::storage) fn finish(mut self) -> Result<PathBuf, WalError> {
        self.flush()?;
        let Self { disk, root, unfinished, upto, log, .. } = self;
        log.close()?;
        disk.sync_dir(&unfinished).map_err(io_error("sync", &unfinished))?;
        let dir = unfinished.with_extension("");
        if disk.exists(&dir) {
            disk.remove_dir_all(&dir).map_err(io_error("remove", &dir))?;
        }
        disk.rename(&unfinished, &dir).map_err(io_error("rename", &unfinished))?;
        disk.sync_dir(&root).map_err(io_error("sync", &root))?;
        remove_snapshots_before(&*disk, &root, upto).map_err(io_error("remove in", &root))?;
        Ok(dir)
    }
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WalError {
    move |source| WalError::Io { what, path: path.to_owned(), source }
}
