//! Replacing a small file so that a crash leaves the old or the new one, never a mixture.

use std::io;
use std::path::Path;

use super::Disk;

/// Writes `bytes` to `path`: a neighbour with `.tmp` behind its name is written and synced,
/// renamed over the target, and the folder synced.
///
/// # Errors
/// The disk's answer; the old file is then still there.
pub fn write_atomic(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    write_synced(disk, &temporary, bytes)?;
    disk.rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |dir| disk.sync_dir(dir))
}

/// Writes `bytes` to `path` and syncs the file. A crash before may leave a part of it, and its name
/// survives one only after the folder is synced: so this is for folders that nobody reads yet.
///
/// # Errors
/// The disk's answer.
pub fn write_synced(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = disk.create(path)?;
    file.write_all(bytes)?;
    file.sync()
}

/// Makes a folder and those above it whose names survive a crash of the machine.
///
/// # Errors
/// The disk's answer.
pub fn create_dir_synced(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    let mut at = dir;
    while !at.as_os_str().is_empty() && !disk.exists(at) {
        missing.push(at);
        let Some(above) = at.parent() else { break };
        at = above;
    }
    disk.create_dir_all(dir)?;
    for made in missing.iter().rev() {
        match made.parent() {
            Some(above) if above.as_os_str().is_empty() => disk.sync_dir(Path::new("."))?,
            Some(above) => disk.sync_dir(above)?,
            None => {}
        }
    }
    Ok(())
}
