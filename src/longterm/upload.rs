//! A local block into the bucket, so that it is there as a whole or not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::base::clock::{SharedClock, SystemClock};
use crate::disk::{SharedDisk, write_atomic};
use crate::storage::block::{BlockError, BlockMeta, Tombstones};

use super::bucket::{Bucket, Version};
use super::meta::META;
use super::verify::{BlockFiles, check_files};
use super::{BucketBlock, FileInfo, LongTermError, ThanosMeta};

/// How a block is sent.
#[derive(Clone)]
#[non_exhaustive]
pub struct UploadOptions<'a> {
    /// Tells the time of the upload.
    pub clock: SharedClock,
    /// A file in which to note what has arrived, so that a later call for the same block need not
    /// send it again. Without it, everything is sent.
    pub notes: Option<PathBuf>,
    /// Is told of bytes that have arrived, or had before.
    pub progress: &'a dyn Fn(u64),
    /// Looked at before each file; true ends it with [`LongTermError::Ended`].
    pub is_ending: &'a dyn Fn() -> bool,
}

impl Default for UploadOptions<'_> {
    fn default() -> Self {
        let clock = SystemClock::shared();
        Self { clock, notes: None, progress: &|_| (), is_ending: &|| false }
    }
}

/// What has arrived of a block.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Notes {
    block: String,
    bucket: String,
    files: BTreeMap<String, Note>,
}

/// That an object held these contents: its version in the store when its size was verified, and
/// the hash of what was sent. Whoever writes the object changes the version, so that equal
/// versions prove equal contents; equal sizes alone would not.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    size_bytes: u64,
    sha256: String,
    version: String,
}

/// Sends the block in `dir`: chunks, index, and `meta.json` when all else was seen in the bucket
/// with the right size. Labels and source are those of `thanos`; files and time are filled in.
/// After a failure, the same call sends what is missing.
///
/// # Errors
/// The bucket's answer, or a block that does not belong there: without labels or sources, with
/// deleted samples, with chunks that Thanos cannot read, damaged.
pub fn upload_block(
    bucket: &Bucket,
    disk: &SharedDisk,
    dir: &Path,
    thanos: &ThanosMeta,
    options: &UploadOptions<'_>,
) -> Result<BucketBlock, LongTermError> {
    let meta = BlockMeta::read(&**disk, dir)?;
    refuse_unfit(disk, dir, &meta, thanos)?;
    let found = check_files(disk, dir, thanos.resolution_ms() > 0)?;
    if found.segments.is_empty() {
        return Err(LongTermError::refused(meta.ulid, "it has no chunk files"));
    }
    let ulid = meta.ulid;
    let mut block = BucketBlock { meta, thanos: thanos.clone() };
    fill_in(&mut block, &found);
    let mut sending = Sending { bucket, disk, dir, ulid, options, notes: Notes::default() };
    sending.read_notes();
    for file in &found.files {
        if (options.is_ending)() {
            return Err(LongTermError::Ended);
        }
        sending.send(file)?;
    }
    block.thanos.upload_time_ms = Some(options.clock.now_ms());
    bucket.put(&block.key(META), Bytes::from(block.encode()))?;
    sending.forget_notes();
    Ok(block)
}

fn refuse_unfit(
    disk: &SharedDisk,
    dir: &Path,
    meta: &BlockMeta,
    thanos: &ThanosMeta,
) -> Result<(), LongTermError> {
    let refused = |why: &str| Err(LongTermError::refused(dir.display(), why));
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name != meta.ulid.to_string() {
        return refused("the folder's name is not that of the block");
    }
    if thanos.labels.values().all(String::is_empty) {
        return refused("it has no external labels, so that nobody could tell whose it is");
    }
    if meta.compaction.sources.is_empty() {
        return refused("it names no sources, so that Thanos would take it for a duplicate");
    }
    refuse_deletions(disk, dir)
}

pub(super) fn refuse_deletions(disk: &SharedDisk, dir: &Path) -> Result<(), LongTermError> {
    let (tombstones, _) = Tombstones::read(&**disk, dir)?;
    if tombstones.count() == 0 {
        return Ok(());
    }
    let why = "it has deleted samples, which the bucket would have again: clean it first";
    Err(LongTermError::refused(dir.display(), why))
}

fn fill_in(block: &mut BucketBlock, found: &BlockFiles) {
    block.meta.other.remove("thanos");
    block.meta.stats.num_tombstones = 0;
    let itself = FileInfo { rel_path: META.to_owned(), size_bytes: 0, hash: None };
    block.thanos.files = found.files.iter().cloned().chain([itself]).collect();
    block.thanos.segment_files = found.segments.clone();
}

struct Sending<'a> {
    bucket: &'a Bucket,
    disk: &'a SharedDisk,
    dir: &'a Path,
    ulid: Ulid,
    options: &'a UploadOptions<'a>,
    notes: Notes,
}

impl Sending<'_> {
    fn send(&mut self, file: &FileInfo) -> Result<(), LongTermError> {
        let key = format!("{}/{}", self.ulid, file.rel_path);
        if self.has_arrived(&key, file)? {
            tracing::debug!(key, "it has arrived before");
            (self.options.progress)(file.size_bytes);
            return Ok(());
        }
        let path = self.dir.join(&file.rel_path);
        self.bucket.put_file(&key, self.disk, &path, self.options.progress)?;
        let arrived = self.bucket.head(&key)?;
        if arrived.size_bytes != file.size_bytes {
            let what = format!("{} of {} bytes arrived", arrived.size_bytes, file.size_bytes);
            return Err(LongTermError::corrupt(&key, what));
        }
        if let Some(note) = note_of(file, arrived.version.as_ref()) {
            self.notes.files.insert(file.rel_path.clone(), note);
            self.write_notes()?;
        }
        Ok(())
    }

    fn has_arrived(&self, key: &str, file: &FileInfo) -> Result<bool, LongTermError> {
        let Some(note) = self.notes.files.get(&file.rel_path) else { return Ok(false) };
        match self.bucket.head(key) {
            Ok(object) => {
                let now = note_of(file, object.version.as_ref());
                Ok(object.size_bytes == file.size_bytes && now.as_ref() == Some(note))
            }
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Notes are only an optimisation: those that cannot be read are none.
    fn read_notes(&mut self) {
        let fresh = || Notes {
            block: self.ulid.to_string(),
            bucket: self.bucket.name(),
            files: BTreeMap::new(),
        };
        let read = self.options.notes.as_ref().and_then(|path| {
            let notes: Notes = serde_json::from_slice(&self.disk.read(path).ok()?).ok()?;
            let is_ours = notes.block == self.ulid.to_string();
            (is_ours && notes.bucket == self.bucket.name()).then_some(notes)
        });
        self.notes = read.unwrap_or_else(fresh);
    }

    fn write_notes(&self) -> Result<(), LongTermError> {
        let Some(path) = &self.options.notes else { return Ok(()) };
        let text = serde_json::to_vec(&self.notes).unwrap_or_default();
        let io = |error| BlockError::Io { path: path.clone(), error };
        if let Some(above) = path.parent() {
            self.disk.create_dir_all(above).map_err(io)?;
        }
        Ok(write_atomic(&**self.disk, path, &text).map_err(io)?)
    }

    fn forget_notes(&self) {
        if let Some(path) = &self.options.notes
            && self.disk.exists(path)
            && let Err(error) = self.disk.remove_file(path)
        {
            tracing::warn!(path = %path.display(), %error, "notes of an upload are left");
        }
    }
}

fn note_of(file: &FileInfo, version: Option<&Version>) -> Option<Note> {
    Some(Note {
        size_bytes: file.size_bytes,
        sha256: file.hash.as_ref()?.value.clone(),
        version: version?.text(),
    })
}
