//! One entry of a chunk file. The layout is in `FORMAT.md`.

use crate::base::varint::{Cursor, Truncated, put_uvarint};
use crate::series::SeriesRef;

/// Bit of the encoding byte that marks an out-of-order chunk.
const OUT_OF_ORDER: u8 = 0x80;
/// Bytes before the length of the data.
pub(super) const FIXED_BYTES: usize = 8 + 8 + 8 + 1;
/// The length of the data takes at most so many bytes.
pub(super) const LENGTH_BYTES_MAX: usize = 5;
pub(super) const CRC_BYTES: usize = 4;
/// All of an entry but its data takes at most so many bytes.
pub(super) const OVERHEAD_BYTES_MAX: usize = FIXED_BYTES + LENGTH_BYTES_MAX + CRC_BYTES;

/// Names a chunk in the chunk files: number of the file, then offset of the entry, 32 bits each.
/// They ascend in the order of writing. 0 names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(in crate::storage) struct ChunkRef(pub(in crate::storage) u64);

impl ChunkRef {
    pub(super) const fn new(file: u32, offset: u32) -> Self {
        Self((file as u64) << 32 | offset as u64)
    }

    /// Number of the file.
    pub(in crate::storage) const fn file(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Where in the file the entry begins.
    pub(super) const fn offset(self) -> u32 {
        self.0 as u32
    }
}

/// A chunk on its way to a file, or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) struct Entry<'a> {
    pub(in crate::storage) series: SeriesRef,
    pub(in crate::storage) min_time_ms: i64,
    pub(in crate::storage) max_time_ms: i64,
    /// The encoding byte of `chunk/FORMAT.md`, without the mark below.
    pub(in crate::storage) encoding: u8,
    pub(in crate::storage) is_out_of_order: bool,
    /// The chunk's bytes, sample count first.
    pub(in crate::storage) data: &'a [u8],
}

/// What stands before an entry's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) series: SeriesRef,
    pub(super) min_time_ms: i64,
    pub(super) max_time_ms: i64,
    pub(super) encoding: u8,
    pub(super) is_out_of_order: bool,
    /// Where the data begins, from the entry's beginning.
    pub(super) data_start: usize,
    pub(super) data_len: usize,
}

impl Header {
    /// Reads the header at the beginning of `bytes`, which may reach beyond the entry.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Truncated> {
        let mut cursor = Cursor::new(bytes);
        let series = SeriesRef(cursor.u64_be()?);
        let (min_time_ms, max_time_ms) = (cursor.i64_be()?, cursor.i64_be()?);
        let encoding = cursor.u8()?;
        let data_len = u32::try_from(cursor.uvarint()?).map_err(|_| Truncated)? as usize;
        Ok(Self {
            series,
            min_time_ms,
            max_time_ms,
            encoding: encoding & !OUT_OF_ORDER,
            is_out_of_order: encoding & OUT_OF_ORDER != 0,
            data_start: bytes.len() - cursor.len(),
            data_len,
        })
    }

    /// Length of the whole entry.
    pub(super) const fn entry_len(&self) -> usize {
        self.data_start + self.data_len + CRC_BYTES
    }

    /// Checks the checksum of an entry whose first bytes this header was read from.
    pub(super) fn check(&self, entry: &[u8]) -> Result<(), EntryFault> {
        let checked = self.data_start + self.data_len;
        let (body, rest) = entry.split_at_checked(checked).ok_or(EntryFault::Torn)?;
        let expected = rest.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        let expected = expected.ok_or(EntryFault::Torn)?;
        let found = crc32c::crc32c(body);
        if expected == found { Ok(()) } else { Err(EntryFault::Checksum { expected, found }) }
    }
}

/// Why an entry cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryFault {
    /// It reaches beyond the end of the file, or its length is no length.
    Torn,
    /// The bytes are not those that were written.
    Checksum { expected: u32, found: u32 },
}

/// Appends an entry to `out`; returns its length.
pub(super) fn put(out: &mut Vec<u8>, entry: &Entry<'_>) -> usize {
    let start = out.len();
    let mark = if entry.is_out_of_order { OUT_OF_ORDER } else { 0 };
    out.extend_from_slice(&entry.series.0.to_be_bytes());
    out.extend_from_slice(&entry.min_time_ms.to_be_bytes());
    out.extend_from_slice(&entry.max_time_ms.to_be_bytes());
    out.push(entry.encoding | mark);
    put_uvarint(out, entry.data.len() as u64);
    out.extend_from_slice(entry.data);
    let crc = crc32c::crc32c(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_be_bytes());
    out.len() - start
}
