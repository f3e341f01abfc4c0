//! Chunks of a block in the order in which they lie, read a piece at a time.

use bytes::Bytes;

use crate::disk::{ReadFile, SharedDisk};
use crate::storage::index::Part;

use super::BlockError;
use super::chunks::{ChunkReader, chunk_part};

/// What is read at once, unless a chunk is longer.
const PIECE_BYTES: u64 = 256 << 10;
const SEGMENT_SHIFT: u32 = 32;

/// Reads the segments of a block forwards. Chunks share the memory of the piece that they lie in,
/// which goes with the last of them.
#[derive(Debug)]
pub(super) struct Pieces {
    disk: SharedDisk,
    segment: u64,
    file: Option<Box<dyn ReadFile>>,
    piece: Bytes,
    /// Where in its segment the piece begins.
    start: u64,
}

impl Pieces {
    pub(super) const fn new(disk: SharedDisk) -> Self {
        Self { disk, segment: 0, file: None, piece: Bytes::new(), start: 0 }
    }

    /// Encoding and bytes of a chunk, its checksum verified. Chunks that do not lie behind the one
    /// before them take longer.
    pub(super) fn chunk(
        &mut self,
        segments: &ChunkReader,
        reference: u64,
    ) -> Result<(u8, Bytes), BlockError> {
        let (segment, offset) = (reference >> SEGMENT_SHIFT, reference & u64::from(u32::MAX));
        let corrupt = |what: &str| BlockError::corrupt(segments.path(reference), offset, what);
        let Some((path, length)) = segments.segment(segment as usize) else {
            return Err(corrupt("chunk in a segment that is not there"));
        };
        if segment != self.segment || self.file.is_none() {
            self.piece = Bytes::new();
            self.file = Some(self.disk.open(path).map_err(BlockError::io(path))?);
            self.segment = segment;
        }
        let left = length.saturating_sub(offset);
        // What is at hand, a piece, and as much as the chunk says that it has.
        for _ in 0..3 {
            let place = offset.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
            let known = place.and_then(|place| self.piece.get(place..)).unwrap_or_default();
            match chunk_part(known) {
                Some(Part::Whole((encoding, data))) => {
                    return Ok((encoding, self.piece.slice_ref(data)));
                }
                None => return Err(corrupt("chunk checksum mismatch")),
                Some(Part::Short(bytes)) => {
                    let wanted = bytes.max(PIECE_BYTES).min(left);
                    self.read(offset, wanted).map_err(BlockError::io(path))?;
                }
            }
        }
        Err(corrupt("chunk behind the segment's end"))
    }

    /// Replaces the piece by the bytes from `offset` on.
    fn read(&mut self, offset: u64, count: u64) -> std::io::Result<()> {
        let file = self.file.as_ref().ok_or(std::io::ErrorKind::NotFound)?;
        let count = usize::try_from(count).map_err(|_| std::io::ErrorKind::FileTooLarge)?;
        self.piece = Bytes::new();
        let mut piece = vec![0; count];
        let mut filled = 0;
        while let Some(rest) = piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(offset + filled as u64, rest)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                more => filled += more,
            }
        }
        (self.piece, self.start) = (piece.into(), offset);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::varint::put_uvarint;
    use crate::disk::{MemoryDisk, SharedDisk};
    use std::path::Path;

    const DIR: &str = "block/chunks";

    /// A segment of chunks with these lengths; says where they lie.
    fn segment(disk: &SharedDisk, name: &str, lengths: &[usize], behind: &[u8]) -> Vec<u64> {
        let mut bytes = vec![0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0];
        let mut offsets = Vec::new();
        for (number, length) in lengths.iter().enumerate() {
            offsets.push(bytes.len() as u64);
            put_uvarint(&mut bytes, *length as u64);
            let body = vec![number as u8 + 1; length + 1];
            bytes.extend_from_slice(&body);
            bytes.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
        }
        bytes.extend_from_slice(behind);
        disk.create_dir_all(Path::new(DIR)).unwrap();
        disk.create(&Path::new(DIR).join(name)).unwrap().write_all(&bytes).unwrap();
        offsets
    }

    #[test]
    fn chunks_are_those_of_the_map_in_any_order() {
        let disk = MemoryDisk::shared();
        let lengths = [10, 200_000, 0, 60_000, 1_000_000, 5, 300_000, 7];
        let mut all = segment(&disk, "000001", &lengths, &[]);
        all.extend(segment(&disk, "000002", &lengths[4..], &[]).iter().map(|at| 1 << 32 | at));
        let mapped = ChunkReader::open(&*disk, Path::new("block")).unwrap();
        let mut pieces = Pieces::new(disk.clone());
        for reference in all.iter().chain(all.iter().rev()) {
            let (encoding, data) = pieces.chunk(&mapped, *reference).unwrap();
            assert_eq!((encoding, &*data), mapped.chunk(*reference).unwrap(), "{reference}");
        }
    }

    #[test]
    fn what_is_no_chunk_is_an_error_that_names_the_place() {
        let disk = MemoryDisk::shared();
        for behind in [&[0x80; 400_000][..], &[0xff, 0xff, 0xff, 0x7f, 1], &[3, 1, 1], &[]] {
            let end = segment(&disk, "000001", &[10, 20], behind)[1] + 26;
            let mapped = ChunkReader::open(&*disk, Path::new("block")).unwrap();
            for reference in [end, 1 << 32 | 8, u64::from(u32::MAX)] {
                let found = Pieces::new(disk.clone()).chunk(&mapped, reference).unwrap_err();
                let wanted = mapped.chunk(reference).unwrap_err();
                assert_eq!(found.to_string(), wanted.to_string());
            }
        }
        let at = segment(&disk, "000001", &[10, 20], &[])[1];
        let mapped = ChunkReader::open(&*disk, Path::new("block")).unwrap();
        let found = Pieces::new(disk).chunk(&mapped, at + 1).unwrap_err();
        assert_eq!(found.to_string(), mapped.chunk(at + 1).unwrap_err().to_string());
    }
}
