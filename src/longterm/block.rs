//! A block of the bucket onto the local disk, or out of the bucket.

use std::path::{Path, PathBuf};

use ulid::Ulid;

use crate::disk::{SharedDisk, create_dir_synced};
use crate::storage::block::BlockError;

use super::bucket::Bucket;
use super::meta::META;
use super::verify::{CHUNKS, INDEX, Seen, is_as_told, local_path};
use super::{BucketBlock, FileInfo, LongTermError, MarkKind};

/// Listings may be late, so that what is left is looked for again, but not for ever.
const DELETE_ROUNDS: usize = 5;

/// Removes a block: `meta.json` first, so that nobody takes it for whole; then all but the mark of
/// its deletion; then that, so that a removal that was broken off is found again. Objects that are
/// gone already are fine.
///
/// # Errors
/// The bucket's answer; calling it again goes on.
pub fn delete_block(bucket: &Bucket, ulid: Ulid) -> Result<(), LongTermError> {
    bucket.delete(&format!("{ulid}/{META}"))?;
    let mark = MarkKind::Deletion.key(ulid);
    for _ in 0..DELETE_ROUNDS {
        let left = bucket.list(&ulid.to_string())?;
        let is_object = |key: &String| *key != mark && !is_placeholder(key, ulid);
        let mut left = left.into_iter().map(|object| object.key).filter(is_object);
        let Some(first) = left.next() else {
            return Ok(bucket.delete(&mark)?);
        };
        for key in std::iter::once(first).chain(left) {
            bucket.delete(&key)?;
        }
    }
    Err(LongTermError::corrupt(&ulid.to_string(), "objects stay though they were deleted"))
}

/// Some tools put empty objects where a folder is to be seen, `<ULID>/` and `<ULID>/chunks/`; they
/// are listed without the slash and cannot be named with it. They do no harm.
fn is_placeholder(key: &str, ulid: Ulid) -> bool {
    let below = key.strip_prefix(&ulid.to_string());
    below.is_some_and(|below| below.is_empty() || below.strip_prefix('/') == Some(CHUNKS))
}

/// Brings a block to `into_dir/<ULID>`, whole and verified by size and, where the block says them,
/// hashes. Files that are there and right are kept. `meta.json` is written last, with the section
/// of Thanos in it. Returns the folder. `progress` is told of bytes that have arrived.
///
/// # Errors
/// The bucket's or the disk's answer, or an object that is not what the block says; calling it
/// again goes on.
pub fn download_block(
    bucket: &Bucket,
    block: &BucketBlock,
    disk: &SharedDisk,
    into_dir: &Path,
    progress: &dyn Fn(u64),
) -> Result<PathBuf, LongTermError> {
    let dir = into_dir.join(block.ulid().to_string());
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error| BlockError::Io { path: path.clone(), error }
    };
    let chunks = dir.join(CHUNKS);
    create_dir_synced(&**disk, &chunks).map_err(io(&chunks))?;
    let files = files_of(bucket, block)?;
    for file in &files {
        let Some(path) = local_path(&dir, &file.rel_path) else { continue };
        fetch_file(bucket, &block.key(&file.rel_path), file, disk, &path, progress)?;
    }
    for entry in disk.list(&chunks).map_err(io(&chunks))? {
        let rel_path = format!("{CHUNKS}/{}", entry.name);
        if !files.iter().any(|file| file.rel_path == rel_path) {
            let path = chunks.join(&entry.name);
            disk.remove_file(&path).map_err(io(&path))?;
        }
    }
    disk.sync_dir(&chunks).map_err(io(&chunks))?;
    let mut meta = block.meta.clone();
    block.thanos.put_into(&mut meta);
    meta.write(&**disk, &dir)?;
    Ok(dir)
}

/// What the block says of its files; blocks of old say nothing, and the bucket is asked.
fn files_of(bucket: &Bucket, block: &BucketBlock) -> Result<Vec<FileInfo>, LongTermError> {
    let is_file = |rel_path: &str| local_path(Path::new(""), rel_path).is_some();
    let mut files: Vec<FileInfo> =
        block.thanos.files.iter().filter(|file| is_file(&file.rel_path)).cloned().collect();
    if files.iter().any(|file| file.size_bytes == 0) || files.is_empty() {
        let prefix = format!("{}/", block.ulid());
        files = bucket
            .list(&prefix)?
            .into_iter()
            .filter_map(|object| {
                let rel_path = object.key.strip_prefix(&prefix)?.to_owned();
                let size_bytes = object.size_bytes;
                is_file(&rel_path).then_some(FileInfo { rel_path, size_bytes, hash: None })
            })
            .collect();
    }
    if !files.iter().any(|file| file.rel_path == INDEX) || files.len() < 2 {
        let what = "the bucket does not have all files of the block";
        return Err(LongTermError::corrupt(&block.ulid().to_string(), what));
    }
    Ok(files)
}

fn fetch_file(
    bucket: &Bucket,
    key: &str,
    file: &FileInfo,
    disk: &SharedDisk,
    path: &Path,
    progress: &dyn Fn(u64),
) -> Result<(), LongTermError> {
    // Without a hash, a file of the right size may be that of a crash.
    let is_right = || disk.map(path).is_ok_and(|bytes| is_as_told(&bytes, file));
    if file.hash.is_some() && disk.exists(path) && is_right() {
        progress(file.size_bytes);
        return Ok(());
    }
    let mut seen = Seen::new(file);
    bucket.download(key, disk, path, &mut |bytes| {
        seen.add(bytes);
        progress(bytes.len() as u64);
    })?;
    if seen.matches() {
        Ok(())
    } else {
        Err(LongTermError::corrupt(key, "not what meta.json says"))
    }
}
