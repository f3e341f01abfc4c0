//! Packing and unpacking of whole records.

use std::fmt;

use super::error::Fault;

/// How records are packed before they are written. Every reader understands all of them, record
/// by record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// As they are.
    None,
    /// Snappy's block format.
    #[default]
    Snappy,
    /// One zstd frame a record.
    Zstd,
}

impl Compression {
    /// Prometheus's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Snappy => "snappy",
            Self::Zstd => "zstd",
        }
    }

    /// Its bit in a fragment's first byte.
    pub(super) const fn bit(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Snappy => SNAPPY_BIT,
            Self::Zstd => ZSTD_BIT,
        }
    }
}

pub(super) const SNAPPY_BIT: u8 = 0x08;
pub(super) const ZSTD_BIT: u8 = 0x10;

/// No record is unpacked to more than this.
const UNPACKED_BYTES_MAX: usize = 256 << 20;

/// Snappy's densest element copies 64 bytes and takes 3.
const SNAPPY_RATIO_MAX: usize = 22;

/// Buffers of more than this are not kept for the next record.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// Speed matters more than size: a record is written once and read rarely.
const ZSTD_LEVEL: i32 = 1;

/// Packs records; keeps its memory.
pub(super) struct Packer {
    compression: Compression,
    snappy: snap::raw::Encoder,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    packed: Vec<u8>,
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.compression.fmt(f)
    }
}

impl Packer {
    pub(super) fn new(compression: Compression) -> Self {
        let zstd = match compression {
            Compression::Zstd => zstd::bulk::Compressor::new(ZSTD_LEVEL).ok(),
            _ => None,
        };
        Self { compression, snappy: snap::raw::Encoder::new(), zstd, packed: Vec::new() }
    }

    pub(super) const fn compression(&self) -> Compression {
        self.compression
    }

    /// The bytes to be written for `record`, and how they are packed: as they are if packing does
    /// not make them fewer.
    pub(super) fn pack<'a>(&'a mut self, record: &'a [u8]) -> (&'a [u8], Compression) {
        if self.packed.capacity() > KEPT_BYTES_MAX {
            self.packed = Vec::new();
        }
        let written = match self.compression {
            _ if record.is_empty() => None,
            Compression::None => None,
            Compression::Snappy => self.snappy(record),
            Compression::Zstd => self.zstd(record),
        };
        match written.and_then(|count| self.packed.get(..count)) {
            Some(packed) if packed.len() < record.len() => (packed, self.compression),
            _ => (record, Compression::None),
        }
    }

    fn snappy(&mut self, record: &[u8]) -> Option<usize> {
        let need = snap::raw::max_compress_len(record.len());
        if self.packed.len() < need {
            self.packed.resize(need, 0);
        }
        self.snappy.compress(record, &mut self.packed).ok()
    }

    fn zstd(&mut self, record: &[u8]) -> Option<usize> {
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(record.len()));
        self.zstd.as_mut()?.compress_to_buffer(record, &mut self.packed).ok()
    }
}

/// Unpacks records; keeps its memory.
#[derive(Default)]
pub(super) struct Unpacker {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    unpacked: Vec<u8>,
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unpacker")
    }
}

impl Unpacker {
    /// The record behind `packed`.
    pub(super) fn unpack<'a>(
        &'a mut self,
        packed: &'a [u8],
        compression: Compression,
    ) -> Result<&'a [u8], Fault> {
        if self.unpacked.capacity() > KEPT_BYTES_MAX {
            self.unpacked = Vec::new();
        }
        let unpacked = match compression {
            Compression::None => return Ok(packed),
            _ if packed.is_empty() => return Ok(packed),
            Compression::Snappy => self.snappy(packed),
            Compression::Zstd => self.zstd(packed),
        };
        let count = unpacked.ok_or(Fault::Compression)?;
        self.unpacked.get(..count).ok_or(Fault::Compression)
    }

    fn snappy(&mut self, packed: &[u8]) -> Option<usize> {
        let need = snap::raw::decompress_len(packed).ok()?;
        if need > UNPACKED_BYTES_MAX.min(packed.len().saturating_mul(SNAPPY_RATIO_MAX)) {
            return None;
        }
        if self.unpacked.len() < need {
            self.unpacked.resize(need, 0);
        }
        snap::raw::Decoder::new().decompress(packed, &mut self.unpacked).ok()
    }

    /// A frame may claim any size, so the buffer starts with what the input justifies and grows.
    fn zstd(&mut self, packed: &[u8]) -> Option<usize> {
        let claimed = zstd::bulk::Decompressor::upper_bound(packed);
        let most = claimed.unwrap_or(UNPACKED_BYTES_MAX);
        if most > UNPACKED_BYTES_MAX {
            return None;
        }
        if self.zstd.is_none() {
            self.zstd = zstd::bulk::Decompressor::new().ok();
        }
        let decoder = self.zstd.as_mut()?;
        let mut room = packed.len().saturating_mul(64).min(most);
        loop {
            self.unpacked.clear();
            self.unpacked.reserve(room);
            match decoder.decompress_to_buffer(packed, &mut self.unpacked) {
                Ok(count) => return Some(count),
                Err(_) if room < most => room = room.saturating_mul(8).min(most),
                Err(_) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const ALL: [Compression; 3] = [Compression::None, Compression::Snappy, Compression::Zstd];

    proptest! {
        #[test]
        fn packed_records_come_back(
            record in vec(0_u8..4, 0..5000), noise in vec(any::<u8>(), 0..50),
        ) {
            for compression in ALL {
                let (mut packer, mut unpacker) = (Packer::new(compression), Unpacker::default());
                for record in [&record, &noise, &record] {
                    let (packed, how) = packer.pack(record);
                    prop_assert!(packed.len() <= record.len());
                    prop_assert_eq!(unpacker.unpack(packed, how), Ok(record.as_slice()));
                }
            }
        }

        #[test]
        fn any_bytes_are_unpacked_without_panic(bytes in vec(any::<u8>(), 0..200)) {
            for compression in ALL {
                let _ = Unpacker::default().unpack(&bytes, compression);
            }
        }
    }

    #[test]
    fn a_claimed_size_is_not_believed() {
        let four_gib = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
        let got = Unpacker::default().unpack(&four_gib, Compression::Snappy).map(<[u8]>::len);
        assert_eq!(got, Err(Fault::Compression));
    }

    #[test]
    fn a_dense_record_is_unpacked_in_several_tries() {
        let record = vec![7; 3 << 20];
        for compression in [Compression::Snappy, Compression::Zstd] {
            let mut packer = Packer::new(compression);
            let (packed, how) = packer.pack(&record);
            assert!(how == compression && packed.len() < record.len() / 20);
            assert!(Unpacker::default().unpack(packed, how) == Ok(&record[..]));
        }
    }
}
