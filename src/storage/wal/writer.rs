//! The writer: batches of records, all or nothing, at the end of the newest segment.
//!
//! Every batch is framed in memory first and then appended. What is in the file is therefore
//! always whole records of acknowledged batches, then perhaps a part of one that failed; before
//! anything else is written, that part is cut off again.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::clock::Stopwatch;
use crate::base::metrics::{Counter, Gauge, Histogram, Registry};
use crate::disk::{SharedDisk, WriteFile, create_dir_synced};

use super::checkpoint::{last_checkpoint, remove_unfinished};
use super::codec::Compression;
use super::error::{Context, WalError};
use super::frame::{Packed, fits, in_page, put_padding, put_record};
use super::records::Records;
use super::repair::mend_tail;
use super::segment::{Position, check_sequential, list_segments, segment_path};
use super::sync::{Durability, Syncer};
use super::{HEADER_BYTES, PAGE_BYTES};

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalOptions {
    /// Size at which a new segment is begun; a multiple of [`PAGE_BYTES`].
    pub segment_bytes: u64,
    /// How records are packed.
    pub compression: Compression,
    /// When what is logged survives a crash of the machine.
    pub durability: Durability,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 128 << 20,
            compression: Compression::default(),
            durability: Durability::default(),
        }
    }
}

/// Up to where a log is acknowledged; shared with readers in the same process, so that they never
/// see a batch that may still be taken back.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Mutex<Position>>);

impl Progress {
    /// The place behind the last acknowledged record.
    #[must_use]
    pub fn get(&self) -> Position {
        *self.0.lock()
    }
}

/// What a log counts about itself.
#[derive(Debug, Clone)]
pub struct WalMetrics {
    fsync_seconds: Histogram,
    page_flushes: Counter,
    completed_pages: Counter,
    truncations: Counter,
    truncations_failed: Counter,
    segment_current: Gauge,
    writes_failed: Counter,
    size_bytes: Gauge,
    record_parts: Counter,
    record_part_bytes: Counter,
    saved: [Counter; 2],
    pub(super) corruptions: Counter,
}

const FSYNC_BOUNDS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Registers a log's instruments below a prefix.
macro_rules! wal_metrics {
    ($registry:expr, $prefix:literal) => {{
        let registry: &Registry = $registry;
        let counter = |name, help| registry.counter(name, help);
        let saved = |compression| {
            let help = "Total number of bytes saved by the optional record compression.";
            let labels = [("compression", compression)];
            registry.counter_with(concat!($prefix, "record_bytes_saved_total"), help, &labels)
        };
        let fsync = (concat!($prefix, "fsync_duration_seconds"), "Duration of write log fsync.");
        WalMetrics {
            fsync_seconds: registry.histogram_with(fsync.0, fsync.1, FSYNC_BOUNDS, &[]),
            page_flushes: counter(
                concat!($prefix, "page_flushes_total"),
                "Total number of page flushes.",
            ),
            completed_pages: counter(
                concat!($prefix, "completed_pages_total"),
                "Total number of completed pages.",
            ),
            truncations: counter(
                concat!($prefix, "truncations_total"),
                "Total number of write log truncations attempted.",
            ),
            truncations_failed: counter(
                concat!($prefix, "truncations_failed_total"),
                "Total number of write log truncations that failed.",
            ),
            segment_current: registry.gauge(
                concat!($prefix, "segment_current"),
                "Write log segment index that is currently written to.",
            ),
            writes_failed: counter(
                concat!($prefix, "writes_failed_total"),
                "Total number of write log writes that failed.",
            ),
            size_bytes: registry
                .gauge(concat!($prefix, "storage_size_bytes"), "Size of the write log directory."),
            record_parts: counter(
                concat!($prefix, "record_part_writes_total"),
                "Total number of record parts written before flushing.",
            ),
            record_part_bytes: counter(
                concat!($prefix, "record_parts_bytes_written_total"),
                "Total number of record part bytes written before flushing.",
            ),
            saved: [saved("snappy"), saved("zstd")],
            corruptions: counter(
                concat!($prefix, "corruptions_total"),
                "Total number of write log corruptions.",
            ),
        }
    }};
}

impl WalMetrics {
    /// Counts as `prometheus_tsdb_wal_*`.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        wal_metrics!(registry, "prometheus_tsdb_wal_")
    }

    /// Counts as `prometheus_tsdb_out_of_order_wbl_*`.
    #[must_use]
    pub fn out_of_order(registry: &Registry) -> Self {
        wal_metrics!(registry, "prometheus_tsdb_out_of_order_wbl_")
    }

    /// Counts damage that was found outside of the writer.
    pub fn count_corruptions(&self, count: usize) {
        self.corruptions.add(count as u64);
    }

    fn save(&self, compression: Compression, bytes: usize) {
        let [snappy, zstd] = &self.saved;
        match compression {
            Compression::None => {}
            Compression::Snappy => snappy.add(bytes as u64),
            Compression::Zstd => zstd.add(bytes as u64),
        }
    }
}

/// A log being written. One writer a folder; the owner holds the folder's lock.
pub struct Wal {
    disk: SharedDisk,
    dir: PathBuf,
    options: WalOptions,
    metrics: WalMetrics,
    /// For records that come unpacked.
    records: Records,
    file: Box<dyn WriteFile>,
    segment: u32,
    /// How much of the newest segment is acknowledged.
    len_bytes: u64,
    /// True if the file may hold more than that.
    is_dirty: bool,
    /// Segments that a failed batch began and that could not be removed yet.
    leftovers: Vec<u32>,
    batch: Vec<u8>,
    /// Where in `batch` a new segment begins.
    cuts: Vec<usize>,
    progress: Progress,
    syncer: Syncer,
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.syncer.close();
    }
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wal").field("dir", &self.dir).field("at", &self.current()).finish()
    }
}

/// A batch buffer of more than this is not kept for the next batch.
const KEPT_BATCH_BYTES_MAX: usize = 8 << 20;

impl Wal {
    /// Opens the log in `dir`, making the folder if needed, and begins a new segment: an old one
    /// is never appended to. A torn record at the end of the newest old segment is cut off, since
    /// it would be damage in the middle of the log from now on.
    ///
    /// # Errors
    /// A segment size that is no multiple of a page, missing segments, or the disk's answer.
    pub fn open(
        disk: SharedDisk,
        dir: &Path,
        options: WalOptions,
        metrics: &WalMetrics,
    ) -> Result<Self, WalError> {
        if options.segment_bytes == 0 || in_page(options.segment_bytes) != 0 {
            return Err(WalError::Options("segment size is no multiple of 32 KiB"));
        }
        create_dir_synced(&*disk, dir).context("create log", dir)?;
        remove_unfinished(&*disk, dir)?;
        let segments = list_segments(&*disk, dir)?;
        check_sequential(segments.iter().map(|segment| segment.index))?;
        let mut segment = 0;
        if let Some(last) = segments.last() {
            mend_tail(&*disk, dir, last.index)?;
            segment = last.index.saturating_add(1);
        }
        if let Some(checkpoint) = last_checkpoint(&*disk, dir)? {
            segment = segment.max(checkpoint.saturating_add(1));
        }
        let file = begin_segment(&disk, dir, segment)?;
        let progress = Progress(Arc::new(Mutex::new(Position::start_of(segment))));
        let syncer = Syncer::new(
            options.durability,
            progress.clone(),
            metrics.fsync_seconds.clone(),
            sync_handle(&disk, dir, segment)?,
        )?;
        let wal = Self {
            records: Records::new(options.compression),
            metrics: metrics.clone(),
            dir: dir.to_owned(),
            progress,
            syncer,
            len_bytes: 0,
            is_dirty: false,
            leftovers: Vec::new(),
            batch: Vec::new(),
            cuts: Vec::new(),
            disk,
            options,
            file,
            segment,
        };
        wal.metrics.segment_current.set(f64::from(segment));
        wal.measure();
        Ok(wal)
    }

    /// Appends records, all of them or none; returns the place behind them. When it returns, the
    /// operating system has the bytes. After an error the log is as it was before.
    ///
    /// # Errors
    /// The disk's answer, also to an earlier batch that could not be taken back until now.
    pub fn log(&mut self, records: &[&[u8]]) -> Result<Position, WalError> {
        let mut packed = std::mem::replace(&mut self.records, Records::new(Compression::None));
        packed.clear();
        records.iter().for_each(|record| packed.add_record(record));
        let logged = self.log_packed(&mut packed);
        self.records = packed;
        logged
    }

    /// Appends records that were packed before, so that whoever shares the log holds it no longer
    /// than it takes to frame and write them. As [`log`](Self::log) in all else.
    ///
    /// # Errors
    /// As of [`log`](Self::log).
    pub fn log_packed(&mut self, records: &mut Records) -> Result<Position, WalError> {
        if records.is_empty() {
            return Ok(self.current());
        }
        std::mem::swap(&mut self.batch, &mut records.framed);
        let logged = self.frame_and_commit(records);
        std::mem::swap(&mut self.batch, &mut records.framed);
        logged
    }

    fn frame_and_commit(&mut self, records: &Records) -> Result<Position, WalError> {
        self.begin_batch()?;
        self.batch.reserve(records.size_bytes() + HEADER_BYTES * (records.len() + 1));
        let mut at = self.len_bytes;
        let mut fragments = 0;
        if self.syncer.has_failed() {
            put_padding(&mut self.batch, at);
            self.cuts.push(self.batch.len());
            at = 0;
        }
        for (packed, how) in records.iter() {
            self.metrics.save(how.compression, how.saved_bytes);
            if !fits(at, packed.len(), self.options.segment_bytes) {
                put_padding(&mut self.batch, at);
                self.cuts.push(self.batch.len());
                at = 0;
            }
            let bits = how.compression.bit();
            let record = Packed { bytes: packed, bits, checksum: how.checksum };
            let put = put_record(&mut self.batch, at, record);
            fragments += put.fragments;
            at = put.end;
        }
        self.metrics.record_parts.add(fragments);
        self.metrics.record_part_bytes.add(self.batch.len() as u64);
        self.commit()
    }

    /// Ends the segment and begins the next, whose number is returned. The ended one is on disk.
    ///
    /// # Errors
    /// The disk's answer; the log is as it was before.
    pub fn cut(&mut self) -> Result<u32, WalError> {
        self.begin_batch()?;
        put_padding(&mut self.batch, self.len_bytes);
        self.cuts.push(self.batch.len());
        self.commit().map(|position| position.segment)
    }

    /// Makes everything logged survive a crash of the machine.
    ///
    /// # Errors
    /// The disk's answer; then nothing is promised about what was logged since the last sync.
    pub fn sync(&mut self) -> Result<(), WalError> {
        self.syncer.sync()
    }

    /// What syncs the log while others write to it. Whoever acknowledges a batch calls
    /// [`Syncer::commit`] before, when the log is no longer locked.
    #[must_use]
    pub fn syncer(&self) -> Syncer {
        self.syncer.clone()
    }

    /// Syncs the file itself, of which not everything may be acknowledged yet.
    fn sync_file(&mut self) -> Result<(), WalError> {
        let clock = Stopwatch::start();
        let path = segment_path(&self.dir, self.segment);
        let synced = self.file.sync().context("sync", &path);
        self.metrics.fsync_seconds.observe(clock.seconds());
        synced
    }

    /// Ends the last page and syncs.
    ///
    /// # Errors
    /// The disk's answer.
    pub fn close(mut self) -> Result<(), WalError> {
        self.begin_batch()?;
        put_padding(&mut self.batch, self.len_bytes);
        self.commit()?;
        self.sync()
    }

    /// Numbers of the oldest and the newest segment on disk.
    ///
    /// # Errors
    /// The disk's answer.
    pub fn segments(&self) -> Result<Option<(u32, u32)>, WalError> {
        let segments = list_segments(&*self.disk, &self.dir)?;
        let ends = segments.first().zip(segments.last());
        Ok(ends.map(|(first, last)| (first.index, last.index)))
    }

    /// Number and size of each segment on disk, ascending.
    ///
    /// # Errors
    /// The disk's answer.
    pub fn segment_sizes(&self) -> Result<Vec<(u32, u64)>, WalError> {
        let segments = list_segments(&*self.disk, &self.dir)?;
        Ok(segments.iter().map(|segment| (segment.index, segment.len_bytes)).collect())
    }

    /// Removes the segments before `segment`, oldest first, never the one being written.
    ///
    /// # Errors
    /// The disk's answer; the log stays without holes.
    pub fn remove_before(&mut self, segment: u32) -> Result<(), WalError> {
        self.metrics.truncations.inc();
        let removed = self.try_remove_before(segment);
        if removed.is_err() {
            self.metrics.truncations_failed.inc();
        }
        self.measure();
        removed
    }

    fn try_remove_before(&self, segment: u32) -> Result<(), WalError> {
        let limit = segment.min(self.segment);
        for old in list_segments(&*self.disk, &self.dir)? {
            if old.index < limit {
                let path = segment_path(&self.dir, old.index);
                self.disk.remove_file(&path).context("remove segment", &path)?;
            }
        }
        self.disk.sync_dir(&self.dir).context("sync log", &self.dir)
    }

    /// Size of the folder, checkpoints included.
    ///
    /// # Errors
    /// The disk's answer.
    pub fn size_bytes(&self) -> Result<u64, WalError> {
        let mut total = 0;
        for entry in self.disk.list(&self.dir).context("list log", &self.dir)? {
            total += entry.len_bytes;
            if entry.is_dir {
                let dir = self.dir.join(&entry.name);
                let inside = self.disk.list(&dir).context("list checkpoint", &dir)?;
                total += inside.iter().map(|entry| entry.len_bytes).sum::<u64>();
            }
        }
        self.metrics.size_bytes.set(total as f64);
        Ok(total)
    }

    /// The place behind the last acknowledged record.
    #[must_use]
    pub const fn current(&self) -> Position {
        Position { segment: self.segment, offset_bytes: self.len_bytes }
    }

    /// A view of [`current`](Self::current) for readers on other threads.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How the log is written.
    #[must_use]
    pub const fn options(&self) -> &WalOptions {
        &self.options
    }

    /// The size is for the metrics page alone, so a disk that does not answer is no failure.
    fn measure(&self) {
        if let Err(error) = self.size_bytes() {
            tracing::debug!(%error, "size of the log is not known");
        }
    }

    fn begin_batch(&mut self) -> Result<(), WalError> {
        if self.is_dirty {
            self.take_back()?;
        }
        if self.batch.capacity() > KEPT_BATCH_BYTES_MAX {
            self.batch = Vec::new();
        }
        self.batch.clear();
        self.cuts.clear();
        Ok(())
    }

    /// Writes the batch; on failure the file and the segments are as before, or the log is marked
    /// so that they will be before anything else is written.
    fn commit(&mut self) -> Result<Position, WalError> {
        let first_end = self.cuts.first().copied().unwrap_or(self.batch.len());
        let first = self.batch.get(..first_end).unwrap_or_default();
        let path = segment_path(&self.dir, self.segment);
        let mut written = self.file.write_all(first).context("write", &path);
        let mut newest = None;
        if written.is_ok() && !self.cuts.is_empty() {
            written = self.sync_file().and_then(|()| {
                newest = Some(self.write_new_segments()?);
                Ok(())
            });
        }
        if let Err(error) = written {
            self.metrics.writes_failed.inc();
            self.is_dirty = true;
            if let Err(why) = self.take_back() {
                tracing::error!(error = %why, "failed batch is not taken back yet");
            }
            return Err(error);
        }
        self.count(first_end);
        match newest {
            Some(Begun { file, sync_handle, len_bytes }) => {
                let (segment, path, handle) = sync_handle;
                // Before anybody learns of a place in the new segment.
                self.syncer.begin_segment(segment, path, handle);
                self.file = file;
                self.segment = segment;
                self.len_bytes = len_bytes;
                self.leftovers.clear();
                self.metrics.segment_current.set(f64::from(segment));
            }
            None => self.len_bytes += first_end as u64,
        }
        *self.progress.0.lock() = self.current();
        Ok(self.current())
    }

    /// Writes the parts of the batch behind its cuts; returns the newest segment.
    fn write_new_segments(&mut self) -> Result<Begun, WalError> {
        let mut newest = None;
        let mut segment = self.segment;
        for (index, &start) in self.cuts.iter().enumerate() {
            let end = self.cuts.get(index + 1).copied().unwrap_or(self.batch.len());
            let part = self.batch.get(start..end).unwrap_or_default();
            segment = segment.checked_add(1).ok_or(WalError::Options("segments are used up"))?;
            self.leftovers.push(segment);
            let mut file = begin_segment(&self.disk, &self.dir, segment)?;
            let path = segment_path(&self.dir, segment);
            file.write_all(part).context("write", &path)?;
            let is_last = index + 1 == self.cuts.len();
            if !is_last {
                file.sync().context("sync", &path)?;
            }
            if is_last {
                let sync_handle = sync_handle(&self.disk, &self.dir, segment)?;
                newest = Some(Begun { file, sync_handle, len_bytes: part.len() as u64 });
            }
        }
        newest.ok_or(WalError::Options("no segment was cut"))
    }

    fn take_back(&mut self) -> Result<(), WalError> {
        while let Some(&segment) = self.leftovers.last() {
            let path = segment_path(&self.dir, segment);
            if self.disk.exists(&path) {
                self.disk.remove_file(&path).context("remove segment", &path)?;
            }
            self.leftovers.pop();
        }
        let path = segment_path(&self.dir, self.segment);
        self.file.set_len(self.len_bytes).context("shorten", &path)?;
        self.is_dirty = false;
        Ok(())
    }

    fn count(&self, first_end: usize) {
        let written = self.batch.len() as u64;
        let later = (self.batch.len() - first_end) as u64;
        let page = PAGE_BYTES as u64;
        let before = self.len_bytes / page;
        let pages = (self.len_bytes + first_end as u64) / page - before + later / page;
        self.metrics.page_flushes.add(pages.max(1));
        self.metrics.completed_pages.add(pages);
        self.metrics.size_bytes.add(written as f64);
    }
}

/// A segment, its file, and a handle on it for syncing alone.
type SyncHandle = (u32, PathBuf, Box<dyn WriteFile>);

/// The newest segment of a batch that began some.
struct Begun {
    file: Box<dyn WriteFile>,
    sync_handle: SyncHandle,
    len_bytes: u64,
}

fn sync_handle(disk: &SharedDisk, dir: &Path, segment: u32) -> Result<SyncHandle, WalError> {
    let path = segment_path(dir, segment);
    let file = disk.append(&path).context("open segment", &path)?;
    Ok((segment, path, file))
}

/// Makes an empty segment whose name survives a crash.
fn begin_segment(
    disk: &SharedDisk,
    dir: &Path,
    segment: u32,
) -> Result<Box<dyn WriteFile>, WalError> {
    let path = segment_path(dir, segment);
    let file = disk.create(&path).context("create segment", &path)?;
    disk.sync_dir(dir).context("sync log", dir)?;
    Ok(file)
}
