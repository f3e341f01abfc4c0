//! Listing all chunks of a folder, without changing anything.
//!
//! The files are read through a buffer and not mapped, since every page that a map has touched
//! counts as memory.

use std::path::{Path, PathBuf};

use crate::chunk;
use crate::disk::{Disk, ReadFile};
use crate::series::SeriesRef;

use super::entry::{ChunkRef, FIXED_BYTES, Header, LENGTH_BYTES_MAX};
use super::error::{Context, MappedDamage, MappedError, MappedFault};
use super::files::{HEADER, HEADER_BYTES};

/// What is read at once.
const WINDOW_BYTES: usize = 1 << 20;

/// A chunk that lies in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) struct MappedChunk {
    pub(in crate::storage) series: SeriesRef,
    pub(in crate::storage) at: ChunkRef,
    pub(in crate::storage) min_time_ms: i64,
    pub(in crate::storage) max_time_ms: i64,
    pub(in crate::storage) encoding: u8,
    pub(in crate::storage) is_out_of_order: bool,
    pub(in crate::storage) sample_count: u16,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub(in crate::storage) struct ScanReport {
    /// Numbers and sizes of the files, ascending; damaged ones too.
    pub(in crate::storage) files: Vec<(u32, u64)>,
    /// The damage of each file that cannot be read to its end. None of its chunks were given.
    pub(in crate::storage) damaged: Vec<(u32, MappedDamage)>,
    /// Files of which nothing but the name was written.
    pub(in crate::storage) unwritten: Vec<u32>,
}

/// Path of the file `number`.
pub(super) fn file_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:06}"))
}

/// Numbers and sizes of the files in `dir`, ascending. Other names are left alone.
fn list_files(disk: &dyn Disk, dir: &Path) -> Result<Vec<(u32, u64)>, MappedError> {
    if !disk.exists(dir) {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in disk.list(dir).context("list", dir)? {
        let is_number = entry.name.bytes().all(|byte| byte.is_ascii_digit());
        if is_number
            && !entry.is_dir
            && let Ok(number) = entry.name.parse()
        {
            files.push((number, entry.len_bytes));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Gives every chunk of every sound file in `dir` to `each`, in the order of writing. A file with
/// damage gives none.
///
/// # Errors
/// The disk's answer. Damage is no error but stands in the report.
pub(in crate::storage) fn scan_files(
    disk: &dyn Disk,
    dir: &Path,
    each: &mut dyn FnMut(MappedChunk),
) -> Result<ScanReport, MappedError> {
    let files = list_files(disk, dir)?;
    let mut report = ScanReport::default();
    let mut chunks = Vec::new();
    for (index, &(number, len_bytes)) in files.iter().enumerate() {
        let path = file_path(dir, number);
        let reader = disk.open(&path).context("open", &path)?;
        chunks.clear();
        let mut scan = Scan { path: &path, reader: &*reader, window: Vec::new(), start: 0 };
        match scan.run(number, len_bytes, &mut chunks) {
            Ok(()) => chunks.iter().for_each(|chunk| each(*chunk)),
            Err(MappedError::Damaged(damage)) => {
                // A crash may come between the creation of the newest file and its first bytes.
                let is_newest = index + 1 == files.len();
                if is_newest && damage.offset_bytes == 0 && scan.is_unwritten(len_bytes)? {
                    report.unwritten.push(number);
                } else {
                    report.damaged.push((number, damage));
                }
            }
            Err(error) => return Err(error),
        }
    }
    report.files = files;
    Ok(report)
}

/// One file being read through a window.
struct Scan<'a> {
    path: &'a Path,
    reader: &'a dyn ReadFile,
    window: Vec<u8>,
    /// Where in the file the window begins.
    start: u64,
}

impl Scan<'_> {
    fn run(
        &mut self,
        number: u32,
        len_bytes: u64,
        into: &mut Vec<MappedChunk>,
    ) -> Result<(), MappedError> {
        if self.bytes(0, HEADER_BYTES)? != HEADER.as_slice() {
            return Err(self.damage(0, MappedFault::Header));
        }
        let mut offset = HEADER_BYTES as u64;
        while offset < len_bytes {
            let torn = |scan: &Self| scan.damage(offset, MappedFault::Torn);
            let bytes = self.bytes(offset, FIXED_BYTES + LENGTH_BYTES_MAX)?;
            let times_end = FIXED_BYTES - 1;
            if bytes.iter().take(times_end).all(|byte| *byte == 0) {
                // The rest was allocated and never written.
                return Ok(());
            }
            let Ok(header) = Header::read(bytes) else { return Err(torn(self)) };
            let entry_len = header.entry_len();
            let end = offset.saturating_add(entry_len as u64);
            let Some(at) = u32::try_from(offset).ok().filter(|_| end <= len_bytes) else {
                return Err(torn(self));
            };
            let entry = self.bytes(offset, entry_len)?;
            let checked = header.check(entry);
            let data = entry.get(header.data_start..).unwrap_or_default();
            let sample_count = chunk::sample_count(header.encoding, data).unwrap_or(0);
            if let Err(fault) = checked {
                return Err(self.damage(offset, fault.into()));
            }
            into.push(MappedChunk {
                series: header.series,
                at: ChunkRef::new(number, at),
                min_time_ms: header.min_time_ms,
                max_time_ms: header.max_time_ms,
                encoding: header.encoding,
                is_out_of_order: header.is_out_of_order,
                sample_count,
            });
            offset = end;
        }
        Ok(())
    }

    /// The bytes `offset..offset + count` of the file, fewer at its end.
    fn bytes(&mut self, offset: u64, count: usize) -> Result<&[u8], MappedError> {
        let skipped = offset.checked_sub(self.start).map_or(usize::MAX, |skipped| skipped as usize);
        let end = skipped.saturating_add(count);
        if end <= self.window.len() {
            return Ok(self.window.get(skipped..end).unwrap_or_default());
        }
        self.start = offset;
        self.window.resize(count.max(WINDOW_BYTES), 0);
        let mut filled = 0;
        while let Some(rest) = self.window.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let read = self.reader.read_at(offset + filled as u64, rest);
            let read = read.context("read", self.path)?;
            if read == 0 {
                break;
            }
            filled += read;
        }
        self.window.truncate(filled);
        Ok(self.window.get(..count.min(filled)).unwrap_or_default())
    }

    /// True if the file holds nothing but zeros.
    fn is_unwritten(&mut self, len_bytes: u64) -> Result<bool, MappedError> {
        let mut offset = 0;
        while offset < len_bytes {
            let bytes = self.bytes(offset, WINDOW_BYTES)?;
            if bytes.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            if bytes.is_empty() {
                break;
            }
            offset += bytes.len() as u64;
        }
        Ok(true)
    }

    fn damage(&self, offset_bytes: u64, fault: MappedFault) -> MappedError {
        MappedError::Damaged(MappedDamage { path: self.path.to_owned(), offset_bytes, fault })
    }
}
