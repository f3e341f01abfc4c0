//! The records of one commit, put together and packed before the log is touched.

use std::fmt;

use crate::base::copy;

use super::codec::{Compression, Packer};
use super::record::RowEncoder;

/// Records that are logged together. Everything that takes time is done here, so that
/// [`super::Wal::log_packed`] only frames and writes. Reused from commit to commit.
pub struct Records {
    packer: Packer,
    /// Records as they will be logged, one behind the other.
    bytes: Vec<u8>,
    packed: Vec<PackedRecord>,
    /// The record that is being put together, if it will be packed.
    plain: Vec<u8>,
    /// The records as they stand in the log. It is here and not with the log, so that it stays in
    /// the cache of the thread that fills it: threads take turns at a log.
    pub(super) framed: Vec<u8>,
}

/// Where a record ends in its buffer, and how it is packed.
#[derive(Debug, Clone, Copy)]
pub(super) struct PackedRecord {
    end: usize,
    pub(super) compression: Compression,
    /// Bytes that packing has saved.
    pub(super) saved_bytes: usize,
    /// Checksum of the packed record: of most, one fragment is the whole.
    pub(super) checksum: u32,
}

/// Buffers of more than this are not kept for the next commit.
const KEPT_BYTES_MAX: usize = 4 << 20;

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("count", &self.len()).finish_non_exhaustive()
    }
}

impl Records {
    /// No records yet; they will be packed with `compression`.
    #[must_use]
    pub fn new(compression: Compression) -> Self {
        let packer = Packer::new(compression);
        Self {
            packer,
            bytes: Vec::new(),
            packed: Vec::new(),
            plain: Vec::new(),
            framed: Vec::new(),
        }
    }

    /// Adds the record that `encode` appends to the buffer it is given; nothing if it appends
    /// nothing.
    pub fn add(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let added: Result<(), std::convert::Infallible> = self.try_add(|out| {
            encode(out);
            Ok(())
        });
        let Ok(()) = added;
    }

    /// As [`add`](Self::add); nothing is added if `encode` fails.
    pub(super) fn try_add<E>(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.packer.compression() == Compression::None {
            let start = self.bytes.len();
            let encoded = encode(&mut self.bytes);
            if encoded.is_err() {
                self.bytes.truncate(start);
            }
            if self.bytes.len() > start {
                self.note(start, Compression::None, 0);
            }
            return encoded;
        }
        self.plain.clear();
        encode(&mut self.plain)?;
        let plain = std::mem::take(&mut self.plain);
        if !plain.is_empty() {
            self.add_record(&plain);
        }
        self.plain = plain;
        Ok(())
    }

    /// Adds a record.
    pub fn add_record(&mut self, record: &[u8]) {
        let (packed, compression) = self.packer.pack(record);
        let (start, saved_bytes) = (self.bytes.len(), record.len() - packed.len());
        copy::append(&mut self.bytes, packed);
        self.note(start, compression, saved_bytes);
    }

    /// Notes that the bytes from `start` on are a record.
    fn note(&mut self, start: usize, compression: Compression, saved_bytes: usize) {
        let checksum = crc32c::crc32c(self.bytes.get(start..).unwrap_or_default());
        let end = self.bytes.len();
        self.packed.push(PackedRecord { end, compression, saved_bytes, checksum });
    }

    /// Adds the records that an encoder has put together, which begins anew.
    pub fn add_rows(&mut self, rows: &mut RowEncoder) {
        rows.finish(|record| self.add_record(record));
    }

    /// Forgets the records, keeps the memory unless it is unusually much.
    pub fn clear(&mut self) {
        self.packed.clear();
        for buffer in [&mut self.bytes, &mut self.plain, &mut self.framed] {
            buffer.clear();
            if buffer.capacity() > KEPT_BYTES_MAX {
                *buffer = Vec::new();
            }
        }
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.packed.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }

    /// Bytes of all records, packed.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], PackedRecord)> {
        let mut start = 0;
        self.packed.iter().map(move |record| {
            let bytes = self.bytes.get(start..record.end).unwrap_or_default();
            start = record.end;
            (bytes, *record)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::SeriesRef;

    fn parts(records: &Records) -> Vec<(Vec<u8>, Compression)> {
        records.iter().map(|(bytes, how)| (bytes.to_vec(), how.compression)).collect()
    }

    #[test]
    fn what_is_encoded_in_place_is_packed_as_a_record_is() {
        for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
            let (mut in_place, mut whole) = (Records::new(compression), Records::new(compression));
            for _ in 0..2 {
                in_place.clear();
                whole.clear();
                for record in [&[7; 500][..], &[1, 2, 3], &[9; 40_000]] {
                    in_place.add(|out| out.extend_from_slice(record));
                    whole.add_record(record);
                }
                assert_eq!(parts(&in_place), parts(&whole));
                assert_eq!((in_place.len(), in_place.size_bytes()), (3, whole.size_bytes()));
            }
            let saved: usize = in_place.iter().map(|(_, how)| how.saved_bytes).sum();
            assert_eq!(saved + in_place.size_bytes(), 40_503);
        }
    }

    #[test]
    fn nothing_and_what_fails_are_no_records() {
        for compression in [Compression::None, Compression::Snappy] {
            let mut records = Records::new(compression);
            records.add(|_| ());
            let failed = records.try_add(|out| {
                out.push(1);
                Err("no")
            });
            assert_eq!(failed, Err("no"));
            assert!(records.is_empty() && records.size_bytes() == 0);
            let mut rows = RowEncoder::new(false);
            records.add_rows(&mut rows);
            rows.push_float(SeriesRef(1), 2, 0, 3.0);
            records.add_rows(&mut rows);
            assert_eq!(records.len(), 1);
        }
    }
}
