//! A disk in memory: for tests, and for stores that need not outlive the process.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::{DirEntry, Disk, LockGuard, ReadFile, SharedDisk, WriteFile};

/// A disk in memory. Cloning gives another handle on the same disk.
///
/// Relative and absolute paths name the same files. A removed file can be read by those who have
/// it open.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Tree>>);

#[derive(Debug, Default)]
struct Tree {
    root: Folder,
    locks: BTreeSet<PathBuf>,
    last_id: u64,
}

/// A folder. The number stays with it when it is renamed; the root has 0.
#[derive(Debug, Default)]
pub(super) struct Folder {
    pub(super) id: u64,
    pub(super) names: BTreeMap<String, Node>,
}

/// What a name stands for.
#[derive(Debug)]
pub(super) enum Node {
    Folder(Folder),
    File(Arc<MemoryFile>),
}

/// A file, with or without a name.
#[derive(Debug, Default)]
pub(super) struct MemoryFile {
    pub(super) id: u64,
    pub(super) bytes: RwLock<Vec<u8>>,
}

fn error(kind: io::ErrorKind) -> io::Error {
    kind.into()
}

/// The names on the way to a path.
pub(super) fn parts(path: &Path) -> io::Result<Vec<String>> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => {
                let name = name.to_str().ok_or_else(|| error(io::ErrorKind::InvalidInput))?;
                parts.push(name.to_owned());
            }
            Component::ParentDir => {
                parts.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Ok(parts)
}

/// The folder a path lies in, and its last part.
fn split(path: &Path) -> io::Result<(Vec<String>, String)> {
    let mut parts = parts(path)?;
    let name = parts.pop().ok_or_else(|| error(io::ErrorKind::InvalidInput))?;
    Ok((parts, name))
}

impl Tree {
    fn folder(&self, parts: &[String]) -> io::Result<&Folder> {
        let mut at = &self.root;
        for part in parts {
            at = match at.names.get(part) {
                Some(Node::Folder(folder)) => folder,
                Some(Node::File(_)) => return Err(error(io::ErrorKind::NotADirectory)),
                None => return Err(error(io::ErrorKind::NotFound)),
            };
        }
        Ok(at)
    }

    fn folder_mut(&mut self, parts: &[String]) -> io::Result<&mut Folder> {
        let mut at = &mut self.root;
        for part in parts {
            at = match at.names.get_mut(part) {
                Some(Node::Folder(folder)) => folder,
                Some(Node::File(_)) => return Err(error(io::ErrorKind::NotADirectory)),
                None => return Err(error(io::ErrorKind::NotFound)),
            };
        }
        Ok(at)
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn file(&self, path: &Path) -> io::Result<Arc<MemoryFile>> {
        let (folder, name) = split(path)?;
        match self.folder(&folder)?.names.get(&name) {
            Some(Node::File(file)) => Ok(file.clone()),
            Some(Node::Folder(_)) => Err(error(io::ErrorKind::IsADirectory)),
            None => Err(error(io::ErrorKind::NotFound)),
        }
    }

    fn file_or_new(&mut self, path: &Path) -> io::Result<Arc<MemoryFile>> {
        match self.file(path) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let (folder, name) = split(path)?;
        let file = Arc::new(MemoryFile { id: self.next_id(), bytes: RwLock::default() });
        self.folder_mut(&folder)?.names.insert(name, Node::File(file.clone()));
        Ok(file)
    }

    fn create_dir_all(&mut self, dir: &Path) -> io::Result<()> {
        let parts = parts(dir)?;
        for count in 0..parts.len() {
            let (above, rest) = parts.split_at(count);
            let Some(name) = rest.first() else { break };
            let id = self.next_id();
            let names = &mut self.folder_mut(above)?.names;
            let new = || Node::Folder(Folder { id, names: BTreeMap::new() });
            if let Node::File(_) = names.entry(name.clone()).or_insert_with(new) {
                return Err(error(io::ErrorKind::NotADirectory));
            }
        }
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_folder, from_name) = split(from)?;
        let (to_folder, to_name) = split(to)?;
        if (&from_folder, &from_name) == (&to_folder, &to_name) {
            return Ok(());
        }
        let mut below = from_folder.clone();
        below.push(from_name.clone());
        if to_folder.starts_with(&below) {
            return Err(error(io::ErrorKind::InvalidInput));
        }
        let target = self.folder(&to_folder)?.names.get(&to_name);
        let moved = self.folder(&from_folder)?.names.get(&from_name);
        match (moved, target) {
            (None, _) => return Err(error(io::ErrorKind::NotFound)),
            (Some(Node::Folder(_)), Some(Node::File(_))) => {
                return Err(error(io::ErrorKind::NotADirectory));
            }
            (Some(Node::File(_)), Some(Node::Folder(_))) => {
                return Err(error(io::ErrorKind::IsADirectory));
            }
            (_, Some(Node::Folder(folder))) if !folder.names.is_empty() => {
                return Err(error(io::ErrorKind::DirectoryNotEmpty));
            }
            _ => {}
        }
        if let Some(node) = self.folder_mut(&from_folder)?.names.remove(&from_name) {
            self.folder_mut(&to_folder)?.names.insert(to_name, node);
        }
        Ok(())
    }

    fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.file(from)?;
        let (folder, name) = split(to)?;
        let names = &mut self.folder_mut(&folder)?.names;
        if names.contains_key(&name) {
            return Err(error(io::ErrorKind::AlreadyExists));
        }
        names.insert(name, Node::File(file));
        Ok(())
    }

    fn remove(&mut self, path: &Path, is_folder: bool) -> io::Result<()> {
        let (folder, name) = split(path)?;
        let names = &mut self.folder_mut(&folder)?.names;
        match names.get(&name) {
            None => return Err(error(io::ErrorKind::NotFound)),
            Some(Node::Folder(_)) if !is_folder => {
                return Err(error(io::ErrorKind::IsADirectory));
            }
            Some(Node::File(_)) if is_folder => {
                return Err(error(io::ErrorKind::NotADirectory));
            }
            Some(_) => names.remove(&name),
        };
        Ok(())
    }
}

impl MemoryDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty disk behind an [`Arc`].
    #[must_use]
    pub fn shared() -> SharedDisk {
        Arc::new(Self::new())
    }

    /// A disk made of a whole tree, whose numbers are below `last_id`.
    pub(super) fn of_tree(root: Folder, last_id: u64) -> Self {
        Self(Arc::new(Mutex::new(Tree { root, locks: BTreeSet::new(), last_id })))
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<Arc<MemoryFile>> {
        self.0.lock().file(path)
    }

    /// Looks at the folder at `path` and at the last number given out.
    pub(super) fn with_folder<T>(
        &self,
        path: &Path,
        look: impl FnOnce(&Folder, u64) -> T,
    ) -> io::Result<T> {
        let parts = parts(path)?;
        let tree = self.0.lock();
        Ok(look(tree.folder(&parts)?, tree.last_id))
    }
}

#[derive(Debug)]
struct MemoryHandle(Arc<MemoryFile>);

impl WriteFile for MemoryHandle {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.bytes.write().extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&mut self, len_bytes: u64) -> io::Result<()> {
        let len = usize::try_from(len_bytes).map_err(|_| error(io::ErrorKind::FileTooLarge))?;
        self.0.bytes.write().resize(len, 0);
        Ok(())
    }
}

impl ReadFile for MemoryHandle {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.0.bytes.read();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let rest = bytes.get(start..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.0.bytes.read().len() as u64)
    }
}

#[derive(Debug)]
struct MemoryLock {
    disk: MemoryDisk,
    path: PathBuf,
}

impl LockGuard for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.disk.0.lock().locks.remove(&self.path);
    }
}

impl Disk for MemoryDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let file = self.0.lock().file_or_new(path)?;
        file.bytes.write().clear();
        Ok(Box::new(MemoryHandle(file)))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        Ok(Box::new(MemoryHandle(self.0.lock().file_or_new(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        Ok(Box::new(MemoryHandle(self.file(path)?)))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Ok(self.file(path)?.bytes.read().clone())
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        self.read(path).map(Bytes::from)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.with_folder(dir, |folder, _| {
            let entry = |(name, node): (&String, &Node)| match node {
                Node::Folder(_) => DirEntry { name: name.clone(), is_dir: true, len_bytes: 0 },
                Node::File(file) => {
                    let len_bytes = file.bytes.read().len() as u64;
                    DirEntry { name: name.clone(), is_dir: false, len_bytes }
                }
            };
            folder.names.iter().map(entry).collect()
        })
    }

    fn exists(&self, path: &Path) -> bool {
        let Ok(parts) = parts(path) else { return false };
        let tree = self.0.lock();
        match parts.split_last() {
            None => true,
            Some((name, above)) => {
                tree.folder(above).is_ok_and(|folder| folder.names.contains_key(name))
            }
        }
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.lock().create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.lock().rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.lock().link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.lock().remove(path, false)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.lock().remove(dir, true)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.with_folder(dir, |_, _| ())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        let path: PathBuf = parts(path)?.iter().collect();
        let mut tree = self.0.lock();
        tree.file_or_new(&path)?;
        if !tree.locks.insert(path.clone()) {
            return Err(error(io::ErrorKind::WouldBlock));
        }
        Ok(Box::new(MemoryLock { disk: self.clone(), path }))
    }
}

/// What any disk must do alike.
#[cfg(test)]
pub(super) fn behaves_as_a_disk(disk: &dyn Disk, root: &Path) {
    let (dir, file) = (root.join("a/b"), root.join("a/b/file"));
    let kind = |result: io::Result<()>| result.unwrap_err().kind();
    assert_eq!(disk.open(&file).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(disk.create(&file).is_err(), "its folder is not there");
    disk.create_dir_all(&dir).unwrap();
    disk.create_dir_all(&dir).unwrap();

    let mut out = disk.create(&file).unwrap();
    out.write_all(b"hello").unwrap();
    out.set_len(7).unwrap();
    out.write_all(b"!").unwrap();
    out.sync().unwrap();
    assert_eq!(disk.read(&file).unwrap(), b"hello\0\0!");
    out.set_len(2).unwrap();
    drop(out);
    let mut more = disk.append(&file).unwrap();
    more.write_all(b"y").unwrap();
    assert_eq!(&disk.map(&file).unwrap()[..], b"hey");

    let open = disk.open(&file).unwrap();
    let mut buffer = [0; 8];
    assert_eq!(open.read_at(1, &mut buffer).unwrap(), 2);
    assert_eq!(open.read_at(3, &mut buffer).unwrap(), 0);
    assert_eq!(open.len_bytes().unwrap(), 3);
    assert_eq!(kind(disk.remove_dir_all(&root.join("none"))), io::ErrorKind::NotFound);

    let entry = |name: &str, is_dir, len_bytes| DirEntry { name: name.into(), is_dir, len_bytes };
    assert_eq!(disk.list(&dir).unwrap(), [entry("file", false, 3)]);
    assert_eq!(disk.list(&root.join("a")).unwrap(), [entry("b", true, 0)]);

    disk.create_dir_all(&root.join("c")).unwrap();
    disk.rename(&dir, &root.join("c")).unwrap();
    assert!(!disk.exists(&dir) && disk.exists(&root.join("c/file")));
    disk.create_dir_all(&dir).unwrap();
    assert!(disk.rename(&dir, &root.join("c")).is_err(), "the target is not empty");
    assert!(disk.rename(&root.join("a"), &root.join("a/b/d")).is_err());
    let other = root.join("other");
    disk.create(&other).unwrap().write_all(b"old").unwrap();
    disk.rename(&root.join("c/file"), &other).unwrap();
    assert_eq!(disk.read(&other).unwrap(), b"hey");
    disk.sync_dir(root).unwrap();

    let second = root.join("second");
    disk.link(&other, &second).unwrap();
    assert_eq!(kind(disk.link(&other, &second)), io::ErrorKind::AlreadyExists);
    assert_eq!(kind(disk.link(&root.join("none"), &second)), io::ErrorKind::NotFound);
    disk.remove_file(&second).unwrap();
    assert_eq!(kind(disk.link(&second, &root.join("third"))), io::ErrorKind::NotFound);
    disk.link(&other, &second).unwrap();
    disk.remove_file(&other).unwrap();
    assert_eq!(disk.read(&second).unwrap(), b"hey", "it outlives the first name");
    disk.rename(&second, &other).unwrap();

    let lock = disk.lock(&root.join("lock")).unwrap();
    assert_eq!(disk.lock(&root.join("lock")).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(lock);
    disk.lock(&root.join("lock")).unwrap();
    disk.remove_file(&other).unwrap();
    assert_eq!(open.read_at(0, &mut buffer).unwrap(), 3, "an open file outlives its name");
    assert!(!disk.exists(&other));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn memory_behaves_as_the_real_disk_does() {
        behaves_as_a_disk(&MemoryDisk::new(), Path::new("/data"));
        behaves_as_a_disk(&MemoryDisk::new(), Path::new("relative/data"));
        let folder = tempfile::tempdir().unwrap();
        behaves_as_a_disk(&RealDisk, folder.path());
    }

    #[test]
    fn simulated_behaves_as_the_real_disk_does() {
        behaves_as_a_disk(&crate::disk::FaultyDisk::new(), Path::new("/data"));
    }
}
