//! Which names there are in a data directory.
//!
//! | name                       | is                                                            |
//! |----------------------------|---------------------------------------------------------------|
//! | `lock`                     | held while the directory is open, removed when it is closed    |
//! | `wal/`                     | the log: [`crate::storage::wal`]                               |
//! | `wbl/`                     | the log of late samples: [`crate::storage::head`]              |
//! | `<ULID>/`                  | a block: [`crate::storage::block`]                             |
//! | `<ULID>.tmp-for-creation/` | a block that was never finished: removed at the next opening   |
//! | `<ULID>.tmp-for-deletion/` | a block whose removal was broken off: removed likewise         |
//! | `<ULID>.tmp/`              | either of the two, from old versions of Prometheus             |
//!
//! Everything else is left alone.

use std::io;
use std::path::Path;

use ulid::Ulid;

use crate::disk::Disk;

pub(super) const LOCK: &str = "lock";
pub(super) const LOG: &str = "wal";
const UNFINISHED: [&str; 3] = ["tmp-for-creation", "tmp-for-deletion", "tmp"];

/// The blocks in `dir`, by name.
pub(super) fn list_blocks(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<Ulid>> {
    let entries = disk.list(dir)?.into_iter().filter(|entry| entry.is_dir);
    Ok(entries.filter_map(|entry| Ulid::from_string(&entry.name).ok()).collect())
}

/// Removes what a crash left of blocks. What cannot be removed does no harm.
pub(super) fn remove_leftovers(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    for entry in disk.list(dir)?.into_iter().filter(|entry| entry.is_dir) {
        let Some((stem, extension)) = entry.name.split_once('.') else { continue };
        if UNFINISHED.contains(&extension) && Ulid::from_string(stem).is_ok() {
            let path = dir.join(&entry.name);
            tracing::info!(path = %path.display(), "removing an unfinished block");
            if let Err(error) = disk.remove_dir_all(&path) {
                tracing::warn!(path = %path.display(), %error, "unfinished block is left");
            }
        }
    }
    Ok(())
}

/// Removes a block so that a crash leaves no half of it under its name.
pub(super) fn remove_block(disk: &dyn Disk, dir: &Path, ulid: Ulid) -> io::Result<()> {
    let doomed = dir.join(format!("{ulid}.tmp-for-deletion"));
    disk.rename(&dir.join(ulid.to_string()), &doomed)?;
    disk.sync_dir(dir)?;
    disk.remove_dir_all(&doomed)
}
