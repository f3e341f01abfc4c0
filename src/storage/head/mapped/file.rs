//! Reading chunks of one file, the one that still grows too.

use std::path::PathBuf;
use std::sync::OnceLock;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::disk::{ReadFile, SharedDisk};

use super::entry::{CRC_BYTES, FIXED_BYTES, Header, LENGTH_BYTES_MAX};
use super::error::{Context, MappedDamage, MappedError, MappedFault};

/// The first read of an entry: most chunks of floats are shorter.
const FIRST_READ_BYTES: usize = 512;

/// A chunk's encoding and bytes.
pub(super) type Found = (u8, Bytes);

/// What was written of a growing file.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// So much is in the file.
    pub(super) flushed_bytes: u64,
    /// What comes behind it.
    pub(super) buffer: Vec<u8>,
    /// True once nothing will be added any more.
    pub(super) is_sealed: bool,
}

/// One file.
#[derive(Debug)]
pub(super) struct OneFile {
    disk: SharedDisk,
    pub(super) number: u32,
    pub(super) path: PathBuf,
    pub(super) tail: Mutex<Tail>,
    /// While it grows.
    reader: OnceLock<Box<dyn ReadFile>>,
    /// Once it is sealed and was read from.
    map: OnceLock<Bytes>,
}

impl OneFile {
    pub(super) fn new(disk: SharedDisk, number: u32, path: PathBuf, tail: Tail) -> Self {
        let (reader, map) = (OnceLock::new(), OnceLock::new());
        Self { disk, number, path, tail: Mutex::new(tail), reader, map }
    }

    /// The chunk whose entry begins at `offset`.
    pub(super) fn read(&self, offset: u32) -> Result<Found, MappedError> {
        if let Some(map) = self.map.get() {
            return self.read_map(map, offset);
        }
        let tail = self.tail.lock();
        if tail.is_sealed {
            drop(tail);
            let map = self.disk.map(&self.path).context("map", &self.path)?;
            return self.read_map(self.map.get_or_init(|| map), offset);
        }
        if let Some(in_buffer) = u64::from(offset).checked_sub(tail.flushed_bytes) {
            let entry = usize::try_from(in_buffer).ok();
            let entry = entry.and_then(|start| tail.buffer.get(start..)).unwrap_or_default();
            let header = self.header(entry, offset)?;
            let entry = entry.get(..header.entry_len()).unwrap_or_default();
            return self.checked(&header, Bytes::copy_from_slice(entry), offset);
        }
        drop(tail);
        self.read_growing(offset)
    }

    /// To be called before a sealed file is removed: readers of a moment ago may still come.
    pub(super) fn keep_readable(&self) {
        if self.map.get().is_none()
            && let Ok(map) = self.disk.map(&self.path)
        {
            self.map.get_or_init(|| map);
        }
    }

    fn read_map(&self, map: &Bytes, offset: u32) -> Result<Found, MappedError> {
        let rest = map.get(offset as usize..).unwrap_or_default();
        let header = self.header(rest, offset)?;
        let end = (offset as usize).saturating_add(header.entry_len());
        if end > map.len() {
            return Err(self.damage(offset, MappedFault::Torn));
        }
        self.checked(&header, map.slice(offset as usize..end), offset)
    }

    fn read_growing(&self, offset: u32) -> Result<Found, MappedError> {
        let reader = match self.reader.get() {
            Some(reader) => reader,
            None => {
                let reader = self.disk.open(&self.path).context("open", &self.path)?;
                self.reader.get_or_init(|| reader)
            }
        };
        let mut entry = vec![0; FIRST_READ_BYTES];
        let mut filled = self.fill(&**reader, offset, &mut entry, 0)?;
        let header = self.header(entry.get(..filled).unwrap_or_default(), offset)?;
        let wanted = header.entry_len();
        if wanted > filled {
            // A lying length must not make the buffer larger than the file is.
            let len_bytes = reader.len_bytes().context("measure", &self.path)?;
            if u64::from(offset) + wanted as u64 > len_bytes {
                return Err(self.damage(offset, MappedFault::Torn));
            }
            entry.resize(wanted, 0);
            filled = self.fill(&**reader, offset, &mut entry, filled)?;
        }
        entry.truncate(wanted.min(filled));
        self.checked(&header, entry.into(), offset)
    }

    /// Reads until `buffer`, of which `filled` bytes are there, is full or the file ends.
    fn fill(
        &self,
        reader: &dyn ReadFile,
        offset: u32,
        buffer: &mut [u8],
        mut filled: usize,
    ) -> Result<usize, MappedError> {
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at = u64::from(offset) + filled as u64;
            let read = reader.read_at(at, rest).context("read", &self.path)?;
            if read == 0 {
                break;
            }
            filled += read;
        }
        Ok(filled)
    }

    fn header(&self, entry: &[u8], offset: u32) -> Result<Header, MappedError> {
        let start = entry.get(..entry.len().min(FIXED_BYTES + LENGTH_BYTES_MAX));
        let header = Header::read(start.unwrap_or_default());
        let header = header.map_err(|_| self.damage(offset, MappedFault::Torn))?;
        let is_entry = header.series.is_known();
        is_entry.then_some(header).ok_or_else(|| self.damage(offset, MappedFault::Missing))
    }

    /// The data of a whole entry, if its checksum is right.
    fn checked(&self, header: &Header, entry: Bytes, offset: u32) -> Result<Found, MappedError> {
        header.check(&entry).map_err(|fault| self.damage(offset, fault.into()))?;
        let data = entry.slice(header.data_start..entry.len() - CRC_BYTES);
        Ok((header.encoding, data))
    }

    pub(super) fn damage(&self, offset: u32, fault: MappedFault) -> MappedError {
        let (path, offset_bytes) = (self.path.clone(), offset.into());
        MappedError::Damaged(MappedDamage { path, offset_bytes, fault })
    }
}
