//! Reads the files of a local block once before they leave the machine.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::base::varint::Cursor;
use crate::chunk::Encoding;
use crate::disk::{ReadFile, SharedDisk};
use crate::storage::block::BlockError;

use super::{FileHash, FileInfo, LongTermError};

pub(super) const CHUNKS: &str = "chunks";
pub(super) const INDEX: &str = "index";
const SEGMENT_MAGIC: [u8; 5] = [0x85, 0xbd, 0x40, 0xdd, 1];
const SEGMENT_HEADER_BYTES: usize = 8;
/// A chunk of aggregates.
const AGGREGATE: u8 = 255;
const SHA256: &str = "SHA256";
/// What is looked at together.
const WINDOW_BYTES: u64 = 1 << 20;

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
fn hash_of(sum: Sha256) -> FileHash {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| DIGITS.get(usize::from(half)).map_or('?', |digit| char::from(*digit));
    let halves = sum.finalize().into_iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    FileHash { func: SHA256.to_owned(), value: halves.collect() }
}

/// The bytes of a file as they pass, to be held against what is told of it.
pub(super) struct Seen<'a> {
    file: &'a FileInfo,
    size_bytes: u64,
    /// None for a hash of another kind, which says nothing.
    sum: Option<(Sha256, &'a str)>,
}

impl<'a> Seen<'a> {
    pub(super) fn new(file: &'a FileInfo) -> Self {
        let hash = file.hash.as_ref().filter(|hash| hash.func == SHA256);
        let sum = hash.map(|hash| (Sha256::new(), hash.value.as_str()));
        Self { file, size_bytes: 0, sum }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.size_bytes += bytes.len() as u64;
        if let Some((sum, _)) = &mut self.sum {
            sum.update(bytes);
        }
    }

    pub(super) fn matches(self) -> bool {
        self.size_bytes == self.file.size_bytes
            && self.sum.is_none_or(|(sum, told)| hash_of(sum).value == told)
    }
}

/// True if the bytes are what `file` says.
pub(super) fn is_as_told(bytes: &[u8], file: &FileInfo) -> bool {
    let mut seen = Seen::new(file);
    seen.add(bytes);
    seen.matches()
}

/// Looks through the files of the block in `dir`: every chunk's checksum, and that Thanos can
/// read its encoding. Sizes and hashes are what they were when they were looked at.
pub(super) fn check_files(
    disk: &SharedDisk,
    dir: &Path,
    is_downsampled: bool,
) -> Result<BlockFiles, LongTermError> {
    let chunks_dir = dir.join(CHUNKS);
    let mut names = vec![INDEX.to_owned()];
    for entry in disk.list(&chunks_dir).map_err(io(&chunks_dir))? {
        let rel_path = format!("{CHUNKS}/{}", entry.name);
        if !entry.is_dir && local_path(dir, &rel_path).is_some() {
            names.push(rel_path);
        }
    }
    names.sort();
    let looked = names.par_iter().map(|rel_path| {
        let path = dir.join(rel_path);
        let is_segment = rel_path != INDEX;
        let walk = is_segment.then(|| Walk { path: &path, offset: 0, is_downsampled });
        look_through(disk, &path, walk, rel_path)
    });
    // The first error by name, whichever was found first.
    let looked: Vec<Result<FileInfo, LongTermError>> = looked.collect();
    let files = looked.into_iter().collect::<Result<Vec<_>, _>>()?;
    let segments = names.iter().filter_map(|name| name.strip_prefix(CHUNKS)?.strip_prefix('/'));
    Ok(BlockFiles { segments: segments.map(str::to_owned).collect(), files })
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> BlockError {
    move |error| BlockError::Io { path: path.to_owned(), error }
}

/// Reads a file once, a window at a time: a map would count as memory of the process.
fn look_through(
    disk: &SharedDisk,
    path: &Path,
    mut walk: Option<Walk<'_>>,
    rel_path: &str,
) -> Result<FileInfo, LongTermError> {
    let file = disk.open(path).map_err(io(path))?;
    let size_bytes = file.len_bytes().map_err(io(path))?;
    let (mut sum, mut window, mut position) = (Sha256::new(), Vec::new(), 0);
    while position < size_bytes {
        // What is left of the window before: the beginning of a chunk.
        let kept = window.len();
        let count = WINDOW_BYTES.min(size_bytes - position);
        window.resize(kept + count as usize, 0);
        let fresh = window.get_mut(kept..).unwrap_or_default();
        read_whole(&*file, position, fresh).map_err(io(path))?;
        position += count;
        let fresh = window.get(kept..).unwrap_or_default();
        let Some(walk) = &mut walk else {
            sum.update(fresh);
            window.clear();
            continue;
        };
        let (walked, ()) =
            rayon::join(|| walk.over(&window, size_bytes - position), || sum.update(fresh));
        window.drain(..walked?);
    }
    if let Some(walk) = walk.filter(|_| size_bytes == 0) {
        return Err(walk.corrupt("not a chunk segment of version 1"));
    }
    Ok(FileInfo { rel_path: rel_path.to_owned(), size_bytes, hash: Some(hash_of(sum)) })
}

fn read_whole(file: &dyn ReadFile, position: u64, into: &mut [u8]) -> std::io::Result<()> {
    let mut filled = 0;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(position + filled as u64, rest)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok(())
}

/// A look at the chunks of a segment, one after the other.
struct Walk<'a> {
    path: &'a Path,
    /// Of the chunk that is next.
    offset: u64,
    is_downsampled: bool,
}

impl Walk<'_> {
    fn corrupt(&self, what: &str) -> LongTermError {
        let (path, what) = (self.path.to_owned(), what.to_owned());
        LongTermError::Block(BlockError::Corrupt { path, offset: self.offset, what })
    }

    /// Looks at the whole chunks of `window`, behind which the file has `left` bytes more; says
    /// how many bytes they take.
    fn over(&mut self, window: &[u8], left: u64) -> Result<usize, LongTermError> {
        let mut at = 0;
        if self.offset == 0 {
            if !window.starts_with(&SEGMENT_MAGIC) {
                return Err(self.corrupt("not a chunk segment of version 1"));
            }
            at = SEGMENT_HEADER_BYTES.min(window.len());
            self.offset = at as u64;
        }
        while let Some(rest) = window.get(at..).filter(|rest| !rest.is_empty()) {
            let mut cursor = Cursor::new(rest);
            let length = cursor.uvarint().ok();
            let behind_bytes = cursor.len() as u64;
            let Some((body, checksum)) = length.and_then(|length| parts(&mut cursor, length))
            else {
                let may_come = match length {
                    Some(length) => length.saturating_add(5) <= behind_bytes.saturating_add(left),
                    // Ten bytes at most say a length.
                    None => rest.len() < 10 && left > 0,
                };
                let broken = || self.corrupt("chunk behind the segment's end");
                return if may_come { Ok(at) } else { Err(broken()) };
            };
            if crc32c::crc32c(body) != checksum {
                return Err(self.corrupt("chunk checksum mismatch"));
            }
            check_encoding(body.first().copied().unwrap_or_default(), self.is_downsampled)
                .map_err(|why| LongTermError::refused(self.path.display(), why))?;
            let bytes = rest.len() - cursor.rest().len();
            at += bytes;
            self.offset += bytes as u64;
        }
        Ok(at)
    }
}

/// Encoding and data of a chunk whose data have `length` bytes, and its checksum.
fn parts<'a>(cursor: &mut Cursor<'a>, length: u64) -> Option<(&'a [u8], u32)> {
    let body = cursor.take(usize::try_from(length).ok()?.checked_add(1)?).ok()?;
    Some((body, cursor.u32_be().ok()?))
}

/// True unless the block in `dir` has a chunk in an encoding that we know and Thanos does not. Of
/// damaged files it says nothing: [`check_files`] does.
pub(super) fn is_plain(disk: &SharedDisk, dir: &Path) -> Result<bool, LongTermError> {
    let chunks_dir = dir.join(CHUNKS);
    for entry in disk.list(&chunks_dir).map_err(io(&chunks_dir))? {
        if entry.is_dir {
            continue;
        }
        let path = chunks_dir.join(&entry.name);
        let segment = disk.map(&path).map_err(io(&path))?;
        let mut cursor = Cursor::new(segment.get(SEGMENT_HEADER_BYTES..).unwrap_or_default());
        while let Ok(length) = cursor.uvarint()
            && let Some((body, _)) = parts(&mut cursor, length)
        {
            let encoding = Encoding::try_from(body.first().copied().unwrap_or_default());
            if encoding.is_ok_and(|encoding| !is_readable(encoding)) {
                return Ok(false);
            }
        }
    }
    Ok(true)
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
