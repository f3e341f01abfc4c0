//! A disk that shows another one and keeps all changes to itself.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{DirEntry, Disk, LockGuard, MemoryDisk, ReadFile, SharedDisk, WriteFile};

/// Shows the disk below; whatever is written, renamed, removed or locked happens in memory alone.
/// Whoever has another disk open for writing can so be looked at with the code that would own it.
#[derive(Debug)]
pub struct OverlayDisk {
    below: SharedDisk,
    above: MemoryDisk,
    /// Names that are not what they are below.
    changes: Mutex<BTreeMap<PathBuf, Change>>,
    is_final: fn(&Path) -> bool,
}

/// What became of a name; it holds for all names in it that have no change of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Gone,
    /// It stands for another name below.
    Moved(PathBuf),
    /// It is above.
    Above,
}

/// Where a name is found.
enum Place {
    Nowhere,
    Below(PathBuf),
    Above,
}

fn error(kind: io::ErrorKind) -> io::Error {
    kind.into()
}

impl OverlayDisk {
    /// Shows `below`. Files for which `is_final` is true are never changed by their owner; the
    /// others are copied where they would be mapped, since their owner may shorten them.
    #[must_use]
    pub fn new(below: SharedDisk, is_final: fn(&Path) -> bool) -> Self {
        Self { below, above: MemoryDisk::new(), changes: Mutex::default(), is_final }
    }

    /// As [`OverlayDisk::new`], behind an [`Arc`].
    #[must_use]
    pub fn shared(below: SharedDisk, is_final: fn(&Path) -> bool) -> SharedDisk {
        Arc::new(Self::new(below, is_final))
    }

    fn place(&self, path: &Path) -> Place {
        let changes = self.changes.lock();
        for ancestor in path.ancestors() {
            let Some(change) = changes.get(ancestor) else { continue };
            let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
            return match change {
                Change::Gone => Place::Nowhere,
                Change::Above => Place::Above,
                Change::Moved(to) if rest.as_os_str().is_empty() => Place::Below(to.clone()),
                Change::Moved(to) => Place::Below(to.join(rest)),
            };
        }
        Place::Below(path.to_owned())
    }

    /// Forgets the changes of a name and of those in it, and enters a new one.
    fn enter(&self, path: &Path, change: Change) {
        let mut changes = self.changes.lock();
        changes.retain(|known, _| !known.starts_with(path));
        changes.insert(path.to_owned(), change);
    }

    /// Makes room above for a name, whose folder must be there.
    fn make_room(&self, path: &Path) -> io::Result<()> {
        let Some(folder) = path.parent() else { return Err(error(io::ErrorKind::InvalidInput)) };
        if !folder.as_os_str().is_empty() && !self.exists(folder) {
            return Err(error(io::ErrorKind::NotFound));
        }
        self.above.create_dir_all(folder)
    }

    fn entry(&self, path: &Path) -> Option<DirEntry> {
        let name = path.file_name()?.to_str()?;
        let entries = match self.place(path) {
            Place::Nowhere => return None,
            Place::Above => self.above.list(path.parent()?).ok()?,
            Place::Below(there) => {
                let name = there.file_name()?.to_str()?;
                let entries = self.below.list(folder_of(&there)).ok()?;
                return entries.into_iter().find(|entry| entry.name == name);
            }
        };
        entries.into_iter().find(|entry| entry.name == name)
    }

    /// Moves what is above, and the changes of names in it.
    fn move_changes(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.above.exists(from) {
            self.make_room(to)?;
            if self.above.exists(to) {
                // What stands there was found empty, or is a file.
                self.above.remove_dir_all(to).or_else(|_| self.above.remove_file(to))?;
            }
            self.above.rename(from, to)?;
        }
        let mut changes = self.changes.lock();
        let inside: Vec<PathBuf> = changes
            .keys()
            .filter(|path| *path != from && path.starts_with(from))
            .cloned()
            .collect();
        for path in inside {
            if let (Some(change), Ok(rest)) = (changes.remove(&path), path.strip_prefix(from)) {
                changes.insert(to.join(rest), change);
            }
        }
        Ok(())
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Disk for OverlayDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.make_room(path)?;
        let file = self.above.create(path)?;
        self.enter(path, Change::Above);
        Ok(file)
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        match self.place(path) {
            Place::Above => {}
            Place::Below(there) if self.below.exists(&there) => {
                let bytes = self.below.read(&there)?;
                self.create(path)?.write_all(&bytes)?;
            }
            _ => drop(self.create(path)?),
        }
        self.above.append(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        match self.place(path) {
            Place::Nowhere => Err(error(io::ErrorKind::NotFound)),
            Place::Above => self.above.open(path),
            Place::Below(there) => self.below.open(&there),
        }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.place(path) {
            Place::Nowhere => Err(error(io::ErrorKind::NotFound)),
            Place::Above => self.above.read(path),
            Place::Below(there) => self.below.read(&there),
        }
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        match self.place(path) {
            Place::Nowhere => Err(error(io::ErrorKind::NotFound)),
            Place::Above => self.above.map(path),
            Place::Below(there) if (self.is_final)(&there) => self.below.map(&there),
            Place::Below(there) => self.below.read(&there).map(Bytes::from),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let entries = match self.place(dir) {
            Place::Nowhere => return Err(error(io::ErrorKind::NotFound)),
            Place::Above => self.above.list(dir)?,
            Place::Below(there) => self.below.list(&there)?,
        };
        let mut names: BTreeMap<String, DirEntry> =
            entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect();
        let changed: Vec<PathBuf> = {
            let changes = self.changes.lock();
            changes.keys().filter(|path| path.parent() == Some(dir)).cloned().collect()
        };
        for path in changed {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            names.remove(name);
            if let Some(entry) = self.entry(&path) {
                names.insert(name.to_owned(), DirEntry { name: name.to_owned(), ..entry });
            }
        }
        Ok(names.into_values().collect())
    }

    fn exists(&self, path: &Path) -> bool {
        match self.place(path) {
            Place::Nowhere => false,
            Place::Above => self.above.exists(path),
            Place::Below(there) => self.below.exists(&there),
        }
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = dir
            .ancestors()
            .take_while(|path| !path.as_os_str().is_empty() && !self.exists(path))
            .collect();
        if missing.is_empty() && self.entry(dir).is_some_and(|entry| !entry.is_dir) {
            return Err(error(io::ErrorKind::NotADirectory));
        }
        for path in missing.into_iter().rev() {
            self.above.create_dir_all(path)?;
            self.enter(path, Change::Above);
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if from == to {
            return Ok(());
        }
        if to.starts_with(from) {
            return Err(error(io::ErrorKind::InvalidInput));
        }
        let moved = self.entry(from).ok_or_else(|| error(io::ErrorKind::NotFound))?;
        match self.entry(to) {
            Some(target) if target.is_dir != moved.is_dir => {
                let is_folder = target.is_dir;
                let kind = if is_folder {
                    io::ErrorKind::IsADirectory
                } else {
                    io::ErrorKind::NotADirectory
                };
                return Err(error(kind));
            }
            Some(target) if target.is_dir && !self.list(to)?.is_empty() => {
                return Err(error(io::ErrorKind::DirectoryNotEmpty));
            }
            Some(_) => {}
            None => self.make_room(to)?,
        }
        let change = match self.place(from) {
            Place::Below(there) => Change::Moved(there),
            _ => Change::Above,
        };
        self.enter(to, change);
        self.move_changes(from, to)?;
        self.enter(from, Change::Gone);
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        if !self.exists(from) {
            return Err(error(io::ErrorKind::NotFound));
        }
        if self.exists(to) {
            return Err(error(io::ErrorKind::AlreadyExists));
        }
        match self.place(from) {
            Place::Below(there) => {
                self.make_room(to)?;
                self.enter(to, Change::Moved(there));
            }
            Place::Above => {
                self.make_room(to)?;
                self.above.link(from, to)?;
                self.enter(to, Change::Above);
            }
            Place::Nowhere => return Err(error(io::ErrorKind::NotFound)),
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        match self.entry(path) {
            None => return Err(error(io::ErrorKind::NotFound)),
            Some(entry) if entry.is_dir => return Err(error(io::ErrorKind::IsADirectory)),
            Some(_) => {}
        }
        if self.above.exists(path) {
            self.above.remove_file(path)?;
        }
        self.enter(path, Change::Gone);
        Ok(())
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        match self.entry(dir) {
            None => return Err(error(io::ErrorKind::NotFound)),
            Some(entry) if !entry.is_dir => return Err(error(io::ErrorKind::NotADirectory)),
            Some(_) => {}
        }
        if self.above.exists(dir) {
            self.above.remove_dir_all(dir)?;
        }
        self.enter(dir, Change::Gone);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.exists(dir) { Ok(()) } else { Err(error(io::ErrorKind::NotFound)) }
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.make_room(path)?;
        if !matches!(self.place(path), Place::Above) {
            self.create(path)?;
        }
        self.above.lock(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    fn write(disk: &dyn Disk, path: &str, text: &str) {
        disk.create(Path::new(path)).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Every file with its bytes, every empty folder.
    fn tree(disk: &dyn Disk, dir: &Path, into: &mut Vec<String>) {
        for entry in disk.list(dir).unwrap() {
            let path = dir.join(&entry.name);
            if entry.is_dir {
                into.push(format!("{}/", path.display()));
                tree(disk, &path, into);
            } else {
                let bytes = disk.read(&path).unwrap();
                assert_eq!(entry.len_bytes, bytes.len() as u64);
                into.push(format!("{}={}", path.display(), String::from_utf8(bytes).unwrap()));
            }
        }
    }

    fn shown(disk: &dyn Disk) -> Vec<String> {
        let mut found = Vec::new();
        tree(disk, Path::new("d"), &mut found);
        found
    }

    fn below() -> MemoryDisk {
        let disk = MemoryDisk::new();
        for dir in ["d/a/b", "d/e"] {
            disk.create_dir_all(Path::new(dir)).unwrap();
        }
        write(&disk, "d/a/b/1", "one");
        write(&disk, "d/a/2", "two");
        write(&disk, "d/3", "three");
        disk
    }

    #[test]
    fn it_behaves_as_a_disk_and_leaves_the_one_below_alone() {
        let dir = tempfile::tempdir().unwrap();
        let over = OverlayDisk::new(RealDisk::shared(), |_| true);
        crate::disk::memory::behaves_as_a_disk(&over, dir.path());
        assert_eq!(RealDisk.list(dir.path()).unwrap(), []);
        let over = OverlayDisk::new(MemoryDisk::shared(), |_| false);
        crate::disk::memory::behaves_as_a_disk(&over, Path::new("/data"));
    }

    #[test]
    fn changes_to_what_is_below_are_seen_here_and_not_there() {
        let disk = below();
        let before = shown(&disk);
        let over = OverlayDisk::new(Arc::new(disk.clone()), |_| true);
        assert_eq!(shown(&over), before);
        let path = Path::new;

        over.append(path("d/3")).unwrap().write_all(b"!").unwrap();
        over.rename(path("d/a"), path("d/c")).unwrap();
        assert_eq!(
            shown(&over),
            ["d/3=three!", "d/c/", "d/c/2=two", "d/c/b/", "d/c/b/1=one", "d/e/"]
        );
        write(&over, "d/c/b/4", "four");
        over.rename(path("d/c/2"), path("d/e/2")).unwrap();
        over.rename(path("d/c"), path("d/a")).unwrap();
        let wanted =
            ["d/3=three!", "d/a/", "d/a/b/", "d/a/b/1=one", "d/a/b/4=four", "d/e/", "d/e/2=two"];
        assert_eq!(shown(&over), wanted);
        over.remove_dir_all(path("d/a")).unwrap();
        over.create_dir_all(path("d/a")).unwrap();
        over.link(path("d/e/2"), path("d/a/5")).unwrap();
        over.remove_file(path("d/e/2")).unwrap();
        over.rename(path("d/a/5"), path("d/3")).unwrap();
        assert_eq!(shown(&over), ["d/3=two", "d/a/", "d/e/"]);
        assert_eq!(&over.map(path("d/3")).unwrap()[..], b"two");
        assert!(over.open(path("d/a/b/1")).is_err() && !over.exists(path("d/a/b")));
        assert_eq!(shown(&disk), before);
    }
}
