//! `chunks/NNNNNN`: the segments that hold the samples.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::base::varint::{Cursor, put_uvarint};
use crate::disk::{BufferedFile, Disk, SharedDisk};
use crate::series::Chunk;
use crate::storage::index::{ChunkMeta, Part};

use super::BlockError;

pub(super) const CHUNKS: &str = "chunks";
const HEADER: [u8; 8] = [0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0];
/// What a chunk takes beside its bytes, at most: length, encoding, checksum.
const OVERHEAD_BYTES: u64 = 5 + 1 + 4;

/// Encoding and bytes of the chunk that starts where `bytes` do; `None` if its checksum is not
/// right.
#[must_use]
pub fn chunk_part(bytes: &[u8]) -> Option<Part<(u8, &[u8])>> {
    let mut cursor = Cursor::new(bytes);
    let Ok(length) = cursor.uvarint() else {
        return Some(Part::Short(bytes.len() as u64 + OVERHEAD_BYTES));
    };
    let head_bytes = (bytes.len() - cursor.len()) as u64;
    let whole = length.saturating_add(head_bytes + 1 + 4);
    let parts = usize::try_from(length).ok().and_then(|length| {
        let body = cursor.take(length.checked_add(1)?).ok()?;
        Some((body, cursor.u32_be().ok()?))
    });
    let Some((body, checksum)) = parts else { return Some(Part::Short(whole)) };
    let (encoding, data) = body.split_first()?;
    (crc32c::crc32c(body) == checksum).then_some(Part::Whole((*encoding, data)))
}

/// The segments of a block, mapped.
#[derive(Debug)]
pub(super) struct ChunkReader {
    segments: Vec<(PathBuf, Bytes)>,
}

impl ChunkReader {
    pub(super) fn open(disk: &dyn Disk, block: &Path) -> Result<Self, BlockError> {
        let dir = block.join(CHUNKS);
        let mut segments = Vec::new();
        for entry in disk.list(&dir).map_err(BlockError::io(&dir))? {
            if entry.is_dir || entry.name.parse::<u64>().is_err() {
                continue;
            }
            let path = dir.join(&entry.name);
            let bytes = disk.map(&path).map_err(BlockError::io(&path))?;
            if !bytes.starts_with(HEADER.get(..5).unwrap_or_default()) {
                return Err(BlockError::corrupt(&path, 0, "not a chunk segment of version 1"));
            }
            segments.push((path, bytes));
        }
        Ok(Self { segments })
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// The file that a reference points into; for errors.
    pub(super) fn path(&self, reference: u64) -> &Path {
        let segment = self.segments.get((reference >> 32) as usize);
        segment.map_or(Path::new(CHUNKS), |(path, _)| path)
    }

    /// File and length of a segment.
    pub(super) fn segment(&self, number: usize) -> Option<(&Path, u64)> {
        self.segments.get(number).map(|(path, bytes)| (path.as_path(), bytes.len() as u64))
    }

    /// Encoding and bytes of a chunk, its checksum verified.
    pub(super) fn chunk(&self, reference: u64) -> Result<(u8, &[u8]), BlockError> {
        let offset = reference & u64::from(u32::MAX);
        let corrupt = |what: &str| BlockError::corrupt(self.path(reference), offset, what);
        let (_, segment) = self
            .segments
            .get((reference >> 32) as usize)
            .ok_or_else(|| corrupt("chunk in a segment that is not there"))?;
        match chunk_part(segment.get(offset as usize..).unwrap_or_default()) {
            Some(Part::Whole(chunk)) => Ok(chunk),
            Some(Part::Short(_)) => Err(corrupt("chunk behind the segment's end")),
            None => Err(corrupt("chunk checksum mismatch")),
        }
    }

    /// The bytes of a chunk, kept beyond the life of the reader.
    pub(super) fn owned(&self, reference: u64, data: &[u8]) -> Bytes {
        let segment = self.segments.get((reference >> 32) as usize);
        segment.map_or_else(Bytes::new, |(_, bytes)| bytes.slice_ref(data))
    }
}

/// Writes segments.
#[derive(Debug)]
pub(super) struct ChunkWriter {
    disk: SharedDisk,
    dir: PathBuf,
    segment_bytes: u64,
    segment_count: u64,
    file: Option<BufferedFile>,
    head: Vec<u8>,
}

impl ChunkWriter {
    pub(super) fn create(
        disk: SharedDisk,
        block: &Path,
        segment_bytes: u64,
    ) -> Result<Self, BlockError> {
        let dir = block.join(CHUNKS);
        disk.create_dir_all(&dir).map_err(BlockError::io(&dir))?;
        let segment_bytes = segment_bytes.min(u64::from(u32::MAX));
        Ok(Self { disk, dir, segment_bytes, segment_count: 0, file: None, head: Vec::new() })
    }

    /// Appends the chunks of one series; appends what the index must know of them to `metas`.
    pub(super) fn write(
        &mut self,
        chunks: &[Chunk],
        metas: &mut Vec<ChunkMeta>,
    ) -> Result<(), BlockError> {
        // The room is planned with lengths of five bytes, as Prometheus does, so that segments are
        // cut where Prometheus would cut them.
        let mut planned = self.file.as_ref().map_or(u64::MAX, BufferedFile::position);
        for chunk in chunks {
            let size = OVERHEAD_BYTES + chunk.data.len() as u64;
            let is_fresh = planned == HEADER.len() as u64;
            if !is_fresh && planned.saturating_add(size) > self.segment_bytes {
                self.cut()?;
                planned = HEADER.len() as u64;
            }
            planned += size;
            metas.push(self.append(chunk)?);
        }
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.dir.join(format!("{:06}", self.segment_count))
    }

    fn cut(&mut self) -> Result<(), BlockError> {
        self.finish_segment()?;
        self.segment_count += 1;
        let path = self.path();
        let io = BlockError::io(&path);
        let mut file = BufferedFile::new(self.disk.create(&path).map_err(io)?);
        file.write(&HEADER).map_err(io)?;
        self.file = Some(file);
        Ok(())
    }

    fn append(&mut self, chunk: &Chunk) -> Result<ChunkMeta, BlockError> {
        let Some(file) = &mut self.file else {
            return Err(BlockError::Refused("no segment is open".into()));
        };
        let reference = (self.segment_count - 1) << 32 | file.position();
        self.head.clear();
        put_uvarint(&mut self.head, chunk.data.len() as u64);
        self.head.push(chunk.encoding);
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&[chunk.encoding]), &chunk.data);
        let parts = [&*self.head, &*chunk.data, &checksum.to_be_bytes()];
        let written = parts.into_iter().try_for_each(|part| file.write(part));
        written.map_err(|error| BlockError::io(&self.path())(error))?;
        let (min_time_ms, max_time_ms) = (chunk.min_time_ms, chunk.max_time_ms);
        Ok(ChunkMeta { min_time_ms, max_time_ms, reference })
    }

    fn finish_segment(&mut self) -> Result<(), BlockError> {
        let path = self.path();
        match self.file.take() {
            Some(file) => file.finish().map_err(BlockError::io(&path)),
            None => Ok(()),
        }
    }

    /// Syncs the segments and their folder.
    pub(super) fn finish(mut self) -> Result<(), BlockError> {
        self.finish_segment()?;
        self.disk.sync_dir(&self.dir).map_err(BlockError::io(&self.dir))
    }
}
