//! Reads the files of a local block once before they leave the machine.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::base::varint::Cursor;
use crate::chunk::Encoding;
use crate::disk::SharedDisk;
use crate::storage::block::BlockError;

use super::{FileHash, FileInfo, LongTermError};

pub(super) const CHUNKS: &str = "chunks";
pub(super) const INDEX: &str = "index";
const SEGMENT_MAGIC: [u8; 5] = [0x85, 0xbd, 0x40, 0xdd, 1];
const SEGMENT_HEADER_BYTES: usize = 8;
/// A chunk of aggregates.
const AGGREGATE: u8 = 255;
const SHA256: &str = "SHA256";

/// The files of a block that belong into a bucket.
#[derive(Debug, Default)]
pub(super) struct BlockFiles {
    /// `index` and the chunk files, by path.
    pub(super) files: Vec<FileInfo>,
    /// The names of the chunk files, in order.
    pub(super) segments: Vec<String>,
}

/// Where a file of a block is; `None` for a path that leaves the block or is of no block's file.
pub(super) fn local_path(dir: &Path, rel_path: &str) -> Option<PathBuf> {
    if rel_path == INDEX {
        return Some(dir.join(INDEX));
    }
    let segment = rel_path.strip_prefix(CHUNKS)?.strip_prefix('/')?;
    let is_number = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| dir.join(CHUNKS).join(segment))
}

/// SHA-256 in hexadecimal digits.
pub(super) fn hash_of(bytes: &[u8]) -> FileHash {
    let mut value = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        value.push_str(&format!("{byte:02x}"));
    }
    FileHash { func: SHA256.to_owned(), value }
}

/// True if the bytes are what `file` says; a hash of another kind says nothing.
pub(super) fn is_as_told(bytes: &[u8], file: &FileInfo) -> bool {
    let is_hashed = |hash: &FileHash| hash.func != SHA256 || hash_of(bytes).value == hash.value;
    bytes.len() as u64 == file.size_bytes && file.hash.as_ref().is_none_or(is_hashed)
}

/// Looks through the files of the block in `dir`: every chunk's checksum, and that Thanos can
/// read its encoding. Sizes and hashes are what they were when they were looked at.
pub(super) fn check_files(
    disk: &SharedDisk,
    dir: &Path,
    is_downsampled: bool,
) -> Result<BlockFiles, LongTermError> {
    let chunks_dir = dir.join(CHUNKS);
    let io = |path: &Path, error| BlockError::Io { path: path.to_owned(), error };
    let mut found = BlockFiles::default();
    for entry in disk.list(&chunks_dir).map_err(|error| io(&chunks_dir, error))? {
        let rel_path = format!("{CHUNKS}/{}", entry.name);
        if entry.is_dir || local_path(dir, &rel_path).is_none() {
            continue;
        }
        let path = chunks_dir.join(&entry.name);
        let bytes = disk.map(&path).map_err(|error| io(&path, error))?;
        check_segment(&path, &bytes, is_downsampled)?;
        found.segments.push(entry.name);
        found.files.push(told(rel_path, &bytes));
    }
    let path = dir.join(INDEX);
    let bytes = disk.map(&path).map_err(|error| io(&path, error))?;
    found.files.push(told(INDEX.to_owned(), &bytes));
    found.segments.sort();
    found.files.sort_by(|a, b| a.rel_path.cmp(&b.rel_path));
    Ok(found)
}

fn told(rel_path: String, bytes: &Bytes) -> FileInfo {
    FileInfo { rel_path, size_bytes: bytes.len() as u64, hash: Some(hash_of(bytes)) }
}

/// True unless the block in `dir` has a chunk in an encoding that we know and Thanos does not. Of
/// damaged files it says nothing: [`check_files`] does.
pub(super) fn is_plain(disk: &SharedDisk, dir: &Path) -> Result<bool, LongTermError> {
    let chunks_dir = dir.join(CHUNKS);
    let io = |path: &Path, error| BlockError::Io { path: path.to_owned(), error };
    for entry in disk.list(&chunks_dir).map_err(|error| io(&chunks_dir, error))? {
        let path = chunks_dir.join(&entry.name);
        if entry.is_dir {
            continue;
        }
        let bytes = disk.map(&path).map_err(|error| io(&path, error))?;
        let is_newer = |chunk: StoredChunk<'_>| {
            let encoding = Encoding::try_from(chunk.encoding());
            encoding.is_ok_and(|encoding| !is_readable(encoding))
        };
        if chunks_of(&bytes).any(|chunk| chunk.is_ok_and(is_newer)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A chunk of a segment: encoding and data.
struct StoredChunk<'a> {
    offset: usize,
    body: &'a [u8],
    checksum: u32,
}

impl StoredChunk<'_> {
    fn encoding(&self) -> u8 {
        self.body.first().copied().unwrap_or_default()
    }
}

/// The chunks of a segment, up to the first that reaches beyond its end, whose place it tells.
fn chunks_of(segment: &[u8]) -> impl Iterator<Item = Result<StoredChunk<'_>, usize>> {
    let mut next = Some(SEGMENT_HEADER_BYTES);
    std::iter::from_fn(move || {
        let offset = next.take()?;
        let rest = segment.get(offset..).filter(|rest| !rest.is_empty())?;
        let mut cursor = Cursor::new(rest);
        let mut parts = || {
            let length = usize::try_from(cursor.uvarint().ok()?).ok()?;
            let body = cursor.take(length.checked_add(1)?).ok()?;
            Some((body, cursor.u32_be().ok()?))
        };
        let Some((body, checksum)) = parts() else { return Some(Err(offset)) };
        next = Some(segment.len() - cursor.rest().len());
        Some(Ok(StoredChunk { offset, body, checksum }))
    })
}

fn check_segment(path: &Path, bytes: &[u8], is_downsampled: bool) -> Result<(), LongTermError> {
    let corrupt = |offset: usize, what: &str| {
        let (path, what) = (path.to_owned(), what.to_owned());
        LongTermError::Block(BlockError::Corrupt { path, offset: offset as u64, what })
    };
    if !bytes.starts_with(&SEGMENT_MAGIC) {
        return Err(corrupt(0, "not a chunk segment of version 1"));
    }
    for chunk in chunks_of(bytes) {
        let chunk = chunk.map_err(|offset| corrupt(offset, "chunk behind the segment's end"))?;
        if crc32c::crc32c(chunk.body) != chunk.checksum {
            return Err(corrupt(chunk.offset, "chunk checksum mismatch"));
        }
        check_encoding(chunk.encoding(), is_downsampled)
            .map_err(|why| LongTermError::refused(path.display(), why))?;
    }
    Ok(())
}

const fn is_readable(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::Xor | Encoding::Histogram | Encoding::FloatHistogram)
}

fn check_encoding(encoding: u8, is_downsampled: bool) -> Result<(), String> {
    if encoding == AGGREGATE && is_downsampled {
        return Ok(());
    }
    match Encoding::try_from(encoding) {
        Ok(known) if is_readable(known) => Ok(()),
        Ok(newer) => Err(format!("a chunk of encoding {newer}, which Thanos cannot read")),
        Err(error) => Err(error.to_string()),
    }
}
