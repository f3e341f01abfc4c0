//! A disk for files that nobody reads after a crash.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::{DirEntry, Disk, LockGuard, ReadFile, SharedDisk, WriteFile};

/// The disk below, but that nothing is synced: what a crash of the machine leaves of its files is
/// any part of them. For files that are thrown away then.
#[derive(Debug)]
pub struct ScratchDisk(SharedDisk);

impl ScratchDisk {
    /// Over `below`.
    #[must_use]
    pub fn over(below: SharedDisk) -> SharedDisk {
        Arc::new(Self(below))
    }
}

#[derive(Debug)]
struct Unsynced(Box<dyn WriteFile>);

impl WriteFile for Unsynced {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&mut self, len_bytes: u64) -> io::Result<()> {
        self.0.set_len(len_bytes)
    }
}

impl Disk for ScratchDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        Ok(Box::new(Unsynced(self.0.create(path)?)))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        Ok(Box::new(Unsynced(self.0.append(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        self.0.open(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.read(path)
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        self.0.map(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.0.list(dir)
    }

    fn exists(&self, path: &Path) -> bool {
        self.0.exists(path)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.remove_dir_all(dir)
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.0.lock(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{FaultyDisk, write_atomic};

    #[test]
    fn files_are_those_below_and_nothing_is_synced() {
        let faulty = FaultyDisk::new();
        let disk = ScratchDisk::over(faulty.shared());
        let (dir, path) = (Path::new("dir"), Path::new("dir/file"));
        disk.create_dir_all(dir).unwrap();
        write_atomic(&*disk, path, b"one").unwrap();
        disk.append(path).unwrap().write_all(b"two").unwrap();
        assert_eq!(faulty.shared().read(path).unwrap(), b"onetwo");
        assert_eq!(faulty.counts().syncs, 0);
        disk.remove_dir_all(dir).unwrap();
        assert!(!faulty.shared().exists(path));
    }
}
