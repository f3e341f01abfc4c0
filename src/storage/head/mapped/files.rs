//! The files of a folder: one that grows, and those before it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use crate::base::metrics::{Counter, Gauge, Registry};
use crate::disk::{Disk, SharedDisk, WriteFile, create_dir_synced};

use super::entry::{self, ChunkRef, Entry};
use super::error::{Context, MappedDamage, MappedError, MappedFault};
use super::file::{OneFile, Tail};
use super::scan::{MappedChunk, file_path, scan_files};

pub(super) const HEADER_BYTES: usize = 8;
/// Magic number, version 1, and zeros.
pub(super) const HEADER: [u8; HEADER_BYTES] = [0x01, 0x30, 0xbc, 0x91, 1, 0, 0, 0];

/// So much is gathered before it is written.
const BUFFER_BYTES: usize = 128 << 10;
/// A chunk of more bytes is refused: none is nearly as large.
const DATA_BYTES_MAX: usize = 64 << 20;
/// A damaged file of one number may be set aside so often.
const NAMES_MAX: usize = 100;

/// How chunk files are written.
#[derive(Debug, Clone, Copy)]
pub(in crate::storage) struct MappedOptions {
    /// A file ends before it would become longer.
    pub(in crate::storage) file_bytes_max: u64,
}

impl Default for MappedOptions {
    fn default() -> Self {
        Self { file_bytes_max: 128 << 20 }
    }
}

/// What is counted.
#[derive(Debug, Clone)]
pub(in crate::storage) struct MappedMetrics {
    corruptions: Counter,
    chunks: Counter,
    size_bytes: Gauge,
}

impl MappedMetrics {
    pub(in crate::storage) fn new(registry: &Registry) -> Self {
        Self {
            corruptions: registry.counter(
                "prometheus_tsdb_mmap_chunk_corruptions_total",
                "Total number of memory-mapped chunk corruptions.",
            ),
            chunks: registry.counter(
                "prometheus_tsdb_mmap_chunks_total",
                "Total number of chunks that were memory-mapped.",
            ),
            size_bytes: registry.gauge(
                "prometheus_tsdb_head_chunks_storage_size_bytes",
                "Size of the chunks_head directory.",
            ),
        }
    }
}

/// The chunk files of a head. Many threads may write and read.
#[derive(Debug)]
pub(in crate::storage) struct ChunkFiles {
    disk: SharedDisk,
    dir: PathBuf,
    options: MappedOptions,
    metrics: MappedMetrics,
    /// Ascending by number. Replaced, never changed: a view keeps what it has.
    files: RwLock<Arc<Vec<Arc<OneFile>>>>,
    writer: Mutex<Writer>,
    is_cut_wanted: AtomicBool,
}

#[derive(Debug)]
struct Writer {
    growing: Option<Growing>,
    next_number: u32,
    is_closed: bool,
}

#[derive(Debug)]
struct Growing {
    file: Arc<OneFile>,
    out: Box<dyn WriteFile>,
    /// Bytes of the file with what is still in the buffer.
    len_bytes: u64,
    /// The file may hold more than was flushed.
    is_dirty: bool,
}

impl ChunkFiles {
    /// Opens the folder `dir`, making it if needed, and gives every chunk in it to `each`, in the
    /// order of writing. Of a damaged file, which stands in the answer, none are given; once what
    /// it held was found elsewhere, it is to be put aside by [`Self::set_aside`]. Nothing is
    /// created before the first chunk is written.
    ///
    /// # Errors
    /// The disk's answer.
    pub(in crate::storage) fn open(
        disk: &SharedDisk,
        dir: &Path,
        options: MappedOptions,
        metrics: MappedMetrics,
        each: &mut dyn FnMut(MappedChunk),
    ) -> Result<(Self, Vec<(u32, MappedDamage)>), MappedError> {
        create_dir_synced(&**disk, dir).context("create", dir)?;
        let report = scan_files(&**disk, dir, each)?;
        for number in &report.unwritten {
            let path = file_path(dir, *number);
            disk.remove_file(&path).context("remove", &path)?;
        }
        metrics.corruptions.add(report.damaged.len() as u64);
        let mut files = Vec::new();
        let mut size_bytes = 0;
        let is_sealed = |number: &u32| !report.unwritten.contains(number);
        for (number, len_bytes) in report.files.iter().filter(|(number, _)| is_sealed(number)) {
            let tail = Tail { flushed_bytes: *len_bytes, buffer: Vec::new(), is_sealed: true };
            let path = file_path(dir, *number);
            files.push(Arc::new(OneFile::new(disk.clone(), *number, path, tail)));
            size_bytes += len_bytes;
        }
        metrics.size_bytes.add(size_bytes as f64);
        let next_number = files.last().map_or(1, |file| file.number.saturating_add(1));
        let opened = Self {
            disk: disk.clone(),
            dir: dir.to_owned(),
            options,
            metrics,
            files: RwLock::new(Arc::new(files)),
            writer: Mutex::new(Writer { growing: None, next_number, is_closed: false }),
            is_cut_wanted: AtomicBool::new(false),
        };
        Ok((opened, report.damaged))
    }

    /// Renames damaged files. Files without chunks take their names, as other readers insist on
    /// numbers without gaps.
    ///
    /// # Errors
    /// The disk's answer.
    pub(in crate::storage) fn set_aside(
        &self,
        damaged: &[(u32, MappedDamage)],
    ) -> Result<(), MappedError> {
        let mut set_aside = damaged.iter();
        set_aside
            .try_for_each(|(number, damage)| set_aside_one(&*self.disk, &self.dir, *number, damage))
    }

    /// Writes a chunk; it can be read at once. After an error it is not written.
    ///
    /// # Errors
    /// The disk's answer; a chunk that is too large.
    pub(in crate::storage) fn write(&self, chunk: &Entry<'_>) -> Result<ChunkRef, MappedError> {
        if chunk.data.len() > DATA_BYTES_MAX {
            return Err(MappedError::TooLarge(chunk.data.len()));
        }
        let mut writer = self.writer.lock();
        let growing = self.growing_for(&mut writer, chunk.data.len())?;
        let at = ChunkRef::new(growing.file.number, growing.len_bytes as u32);
        let mut tail = growing.file.tail.lock();
        let written = entry::put(&mut tail.buffer, chunk) as u64;
        growing.len_bytes += written;
        self.metrics.chunks.inc();
        self.metrics.size_bytes.add(written as f64);
        Ok(at)
    }

    /// The growing file, with room for a chunk; a new one if need be.
    fn growing_for<'a>(
        &self,
        writer: &'a mut Writer,
        data_len: usize,
    ) -> Result<&'a mut Growing, MappedError> {
        if writer.is_closed {
            return Err(MappedError::Closed);
        }
        let entry_bytes = (data_len + entry::OVERHEAD_BYTES_MAX) as u64;
        let is_full = writer.growing.as_ref().is_some_and(|growing| {
            let is_wanted = self.is_cut_wanted.load(Ordering::Relaxed);
            let has_chunks = growing.len_bytes > HEADER_BYTES as u64;
            has_chunks
                && (is_wanted || growing.len_bytes + entry_bytes > self.options.file_bytes_max)
        });
        if is_full {
            self.seal(writer)?;
        }
        if let Some(growing) = &mut writer.growing {
            if growing.file.tail.lock().buffer.len() >= BUFFER_BYTES {
                growing.flush()?;
            }
        } else {
            let growing = self.begin(writer.next_number)?;
            writer.next_number = writer.next_number.saturating_add(1);
            writer.growing = Some(growing);
            self.is_cut_wanted.store(false, Ordering::Relaxed);
        }
        writer.growing.as_mut().ok_or(MappedError::Closed)
    }

    fn begin(&self, number: u32) -> Result<Growing, MappedError> {
        let path = file_path(&self.dir, number);
        let mut out = self.disk.create(&path).context("create", &path)?;
        out.write_all(&HEADER).context("write", &path)?;
        self.disk.sync_dir(&self.dir).context("sync", &self.dir)?;
        let len_bytes = HEADER_BYTES as u64;
        let tail = Tail { flushed_bytes: len_bytes, buffer: Vec::new(), is_sealed: false };
        let file = Arc::new(OneFile::new(self.disk.clone(), number, path, tail));
        let mut files = self.files.write();
        let mut more = files.to_vec();
        more.push(Arc::clone(&file));
        *files = Arc::new(more);
        self.metrics.size_bytes.add(len_bytes as f64);
        Ok(Growing { file, out, len_bytes, is_dirty: false })
    }

    /// Ends the growing file.
    fn seal(&self, writer: &mut Writer) -> Result<(), MappedError> {
        let Some(growing) = &mut writer.growing else { return Ok(()) };
        growing.flush()?;
        growing.out.sync().context("sync", &growing.file.path)?;
        let mut tail = growing.file.tail.lock();
        tail.is_sealed = true;
        tail.buffer = Vec::new();
        drop(tail);
        writer.growing = None;
        Ok(())
    }

    /// The next chunk begins a new file, unless the present one has none.
    pub(in crate::storage) fn want_cut(&self) {
        self.is_cut_wanted.store(true, Ordering::Relaxed);
    }

    /// Hands what is in the buffer to the operating system.
    ///
    /// # Errors
    /// The disk's answer; the chunks can be read all the same.
    pub(in crate::storage) fn flush(&self) -> Result<(), MappedError> {
        self.writer.lock().growing.as_mut().map_or(Ok(()), Growing::flush)
    }

    /// Ends the growing file and refuses to begin another. Chunks can be read all the same.
    ///
    /// # Errors
    /// The disk's answer.
    pub(in crate::storage) fn close(&self) -> Result<(), MappedError> {
        let mut writer = self.writer.lock();
        writer.is_closed = true;
        self.seal(&mut writer)
    }

    /// Number of the file that a chunk would be written to now, or of an earlier one: no chunk
    /// that is written from here on lies before it.
    pub(in crate::storage) fn newest_number(&self) -> u32 {
        let writer = self.writer.lock();
        writer.growing.as_ref().map_or(writer.next_number, |growing| growing.file.number)
    }

    /// Removes the files before the file `number`, oldest first, never the growing one, and wants
    /// a cut. Views that were taken before keep theirs where the system allows it.
    ///
    /// # Errors
    /// The disk's answer; the files stay without holes.
    pub(in crate::storage) fn remove_before(&self, number: u32) -> Result<(), MappedError> {
        self.want_cut();
        loop {
            let oldest = self.files.read().first().cloned();
            let Some(oldest) = oldest.filter(|oldest| oldest.number < number) else { break };
            let tail = oldest.tail.lock();
            if !tail.is_sealed {
                break;
            }
            let len_bytes = tail.flushed_bytes;
            drop(tail);
            // A map outlives the name of its file, but it must have been made before.
            oldest.keep_readable();
            self.disk.remove_file(&oldest.path).context("remove", &oldest.path)?;
            let mut files = self.files.write();
            *files = Arc::new(files.iter().skip(1).cloned().collect());
            self.metrics.size_bytes.add(-(len_bytes as f64));
        }
        self.disk.sync_dir(&self.dir).context("sync", &self.dir)
    }

    /// What is there now and what comes into the growing file, also after files are removed.
    pub(in crate::storage) fn view(&self) -> FilesView {
        FilesView(Arc::clone(&self.files.read()))
    }

    /// What was there when `before` was taken, is there now, or comes into the growing file.
    pub(in crate::storage) fn view_since(&self, before: Option<FilesView>) -> FilesView {
        let now = self.view();
        let Some(before) = before.filter(|before| !Arc::ptr_eq(&before.0, &now.0)) else {
            return now;
        };
        let oldest = now.0.first().map_or(u32::MAX, |file| file.number);
        let removed = before.0.iter().filter(|file| file.number < oldest);
        FilesView(Arc::new(removed.chain(&*now.0).cloned().collect()))
    }
}

/// Takes what these files added to the gauge back out of it: several may share one.
impl Drop for ChunkFiles {
    fn drop(&mut self) {
        let growing = self.writer.get_mut().growing.as_ref();
        let growing_bytes = growing.map_or(0, |growing| growing.len_bytes);
        let sealed = self.files.get_mut().iter().map(|file| {
            let tail = file.tail.lock();
            if tail.is_sealed { tail.flushed_bytes } else { 0 }
        });
        self.metrics.size_bytes.add(-((sealed.sum::<u64>() + growing_bytes) as f64));
    }
}

/// The files of a moment.
#[derive(Debug, Clone)]
pub(in crate::storage) struct FilesView(Arc<Vec<Arc<OneFile>>>);

impl FilesView {
    /// The encoding and the bytes of a chunk.
    ///
    /// # Errors
    /// Damage, a chunk that is not there, the disk's answer.
    pub(in crate::storage) fn read(&self, at: ChunkRef) -> Result<(u8, Bytes), MappedError> {
        let place = self.0.binary_search_by_key(&at.file(), |file| file.number);
        match place.ok().and_then(|place| self.0.get(place)) {
            Some(file) => file.read(at.offset()),
            None => {
                let path = file_path(Path::new(""), at.file());
                let (offset_bytes, fault) = (at.offset().into(), MappedFault::Missing);
                Err(MappedError::Damaged(MappedDamage { path, offset_bytes, fault }))
            }
        }
    }
}

impl Growing {
    /// Writes out the buffer. After an error it is still there, and the file as it was.
    fn flush(&mut self) -> Result<(), MappedError> {
        let path = &self.file.path;
        let mut tail = self.file.tail.lock();
        if self.is_dirty {
            self.out.set_len(tail.flushed_bytes).context("shorten", path)?;
            self.is_dirty = false;
        }
        if tail.buffer.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.out.write_all(&tail.buffer).context("write", path) {
            self.is_dirty = self.out.set_len(tail.flushed_bytes).is_err();
            return Err(error);
        }
        tail.flushed_bytes += tail.buffer.len() as u64;
        tail.buffer.clear();
        Ok(())
    }
}

/// Renames a damaged file and puts one without chunks in its place.
fn set_aside_one(
    disk: &dyn Disk,
    dir: &Path,
    number: u32,
    damage: &MappedDamage,
) -> Result<(), MappedError> {
    let path = &damage.path;
    let kept = (0..NAMES_MAX)
        .map(|attempt| match attempt {
            0 => dir.join(format!("{number:06}.corrupt")),
            _ => dir.join(format!("{number:06}.{attempt}.corrupt")),
        })
        .find(|kept| !disk.exists(kept));
    let kept = kept.ok_or_else(|| MappedError::Damaged(damage.clone()))?;
    disk.rename(path, &kept).context("rename", path)?;
    let mut empty = disk.create(path).context("create", path)?;
    empty.write_all(&HEADER).and_then(|()| empty.sync()).context("write", path)?;
    disk.sync_dir(dir).context("sync", dir)?;
    tracing::error!(%damage, kept = %kept.display(), "damaged head chunk file is set aside");
    Ok(())
}
