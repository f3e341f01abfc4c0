//! A simulated disk that crashes, fills up and loses what was not synced.
//!
//! # Fault model
//! - **Order.** Operations that change something happen one after another and are numbered from 1:
//!   creating a file, opening one for appending, writing, syncing, changing a length, renaming,
//!   linking, removing, making folders, syncing a folder. Reading is not counted.
//! - **Freeze.** At operation N the machine stops: a write leaves the first half of its bytes,
//!   every other operation is not done, and from then on everything fails, reading too. What
//!   [`FaultyDisk::crash`] then gives is what the next start finds.
//! - **Crash of the process** ([`Crash::Process`]). Everything that was written is there, synced or
//!   not; locks are free.
//! - **Crash of the machine** ([`Crash::Power`]). Of a file, the bytes of its last sync are
//!   there. Of a folder, the names of its last `sync_dir` are there. A file that was synced but
//!   whose name was not is lost; a name that was synced but whose file was not stands for an
//!   empty file.
//! - **A mixture** ([`Crash::PowerMixed`]). A machine may write back more than it must. The names
//!   of each folder are those of its last sync or those of the moment, all of them. A file has any
//!   length between those of its last sync and of the moment, and each 4 KiB of it that differ are
//!   old or new; where there was nothing old, there are zeros. Later bytes may have come to disk
//!   while earlier ones did not.
//! - **Full disk.** Write number N, or every write while the disk is full, leaves the first half of
//!   its bytes and fails with `StorageFull`. Nothing else fails.
//! - **Failed sync.** Sync number N fails and keeps nothing that was not kept before.
//! - **Bad sectors.** A span of a file cannot be read; a read ends before it, or fails inside.
//!
//! Not simulated: bytes that change by themselves, syncs that lie, two processes.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::memory::{Folder, MemoryDisk, MemoryFile, Node};
use super::{DirEntry, Disk, LockGuard, ReadFile, SharedDisk, WriteFile};

/// What dies, and so what is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process: nothing that was written is lost.
    Process,
    /// The machine, before it wrote back anything that it did not have to.
    Power,
    /// The machine, after it wrote back some of it, as the seed decides.
    PowerMixed(u64),
}

/// How much was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Everything that changes something.
    pub operations: u64,
    /// Writes among them.
    pub writes: u64,
    /// Syncs of files and folders among them.
    pub syncs: u64,
}

/// A simulated disk. Cloning gives another handle on the same disk.
#[derive(Debug, Clone)]
pub struct FaultyDisk {
    live: MemoryDisk,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    counts: Counts,
    freeze_at: Option<u64>,
    is_frozen: bool,
    fail_write: Option<u64>,
    fail_sync: Option<u64>,
    is_full: bool,
    /// Spans that cannot be read, by the file's number.
    unreadable: HashMap<u64, Range<u64>>,
    /// Names at the last sync, by the folder's number.
    folders: HashMap<u64, BTreeMap<String, Name>>,
    /// Bytes at the last sync, by the file's number.
    files: HashMap<u64, Vec<u8>>,
}

/// What a name stands for, on disk.
#[derive(Debug, Clone)]
enum Name {
    Folder(u64),
    File(Arc<MemoryFile>),
}

/// What an operation is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Do,
    /// Leave half of the bytes, then fail.
    Full,
    /// Leave half of the bytes, then fail; the machine stops.
    Stop,
}

fn stopped() -> io::Error {
    io::Error::other("the simulated machine has stopped")
}

fn names_of(folder: &Folder) -> BTreeMap<String, Name> {
    let name = |node: &Node| match node {
        Node::Folder(folder) => Name::Folder(folder.id),
        Node::File(file) => Name::File(file.clone()),
    };
    folder.names.iter().map(|(text, node)| (text.clone(), name(node))).collect()
}

impl Default for FaultyDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl FaultyDisk {
    /// An empty disk that does not fail yet.
    #[must_use]
    pub fn new() -> Self {
        Self::of_image(MemoryDisk::new())
    }

    /// A disk on which everything in `image` is synced.
    fn of_image(image: MemoryDisk) -> Self {
        let mut state = State::default();
        // The root is always there.
        let _ = image.with_folder(Path::new(""), |root, _| state.keep_all(root));
        Self { live: image, state: Arc::new(Mutex::new(state)) }
    }

    /// The disk as others take it.
    #[must_use]
    pub fn shared(&self) -> SharedDisk {
        Arc::new(self.clone())
    }

    /// What was done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state.lock().counts
    }

    /// Stops the machine at this operation, counted from the disk's beginning.
    pub fn freeze_at(&self, operation: u64) {
        self.state.lock().freeze_at = Some(operation);
    }

    /// True once the machine has stopped.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.state.lock().is_frozen
    }

    /// Lets one write fail for want of room, counted from the disk's beginning.
    pub fn fail_write(&self, write: u64) {
        self.state.lock().fail_write = Some(write);
    }

    /// Lets one sync fail, counted from the disk's beginning.
    pub fn fail_sync(&self, sync: u64) {
        self.state.lock().fail_sync = Some(sync);
    }

    /// Makes bytes of a file unreadable.
    ///
    /// # Errors
    /// `NotFound` if there is no such file.
    pub fn set_unreadable(&self, path: &Path, span: Range<u64>) -> io::Result<()> {
        let file = self.live.file(path)?;
        self.state.lock().unreadable.insert(file.id, span);
        Ok(())
    }

    /// Lets every write fail for want of room, or no longer.
    pub fn set_full(&self, is_full: bool) {
        self.state.lock().is_full = is_full;
    }

    /// What the next start finds: a new disk on which everything is synced. This one stays as it
    /// is, for another crash.
    #[must_use]
    pub fn crash(&self, crash: Crash) -> Self {
        let state = self.state.lock();
        let mut random = match crash {
            Crash::PowerMixed(seed) => Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            _ => Random(1),
        };
        let image = self.live.with_folder(Path::new(""), |root, last_id| {
            let mut survivors = Survivors {
                state: &state,
                live: HashMap::new(),
                crash,
                random: &mut random,
                left: 64,
            };
            survivors.index(root);
            let root = survivors.folder(root.id);
            MemoryDisk::of_tree(root, last_id)
        });
        Self::of_image(image.unwrap_or_default())
    }

    fn step(&self, is_write: bool, is_sync: bool) -> io::Result<Verdict> {
        let mut state = self.state.lock();
        if state.is_frozen {
            return Err(stopped());
        }
        state.counts.operations += 1;
        state.counts.writes += u64::from(is_write);
        state.counts.syncs += u64::from(is_sync);
        if state.freeze_at == Some(state.counts.operations) {
            state.is_frozen = true;
            return if is_write { Ok(Verdict::Stop) } else { Err(stopped()) };
        }
        if is_sync && state.fail_sync == Some(state.counts.syncs) {
            return Err(io::Error::other("the simulated sync has failed"));
        }
        let fails = state.is_full || state.fail_write == Some(state.counts.writes);
        Ok(if is_write && fails { Verdict::Full } else { Verdict::Do })
    }

    fn change<T>(&self, change: impl FnOnce(&MemoryDisk) -> io::Result<T>) -> io::Result<T> {
        self.step(false, false)?;
        change(&self.live)
    }

    fn look<T>(&self, look: impl FnOnce(&MemoryDisk) -> io::Result<T>) -> io::Result<T> {
        if self.is_frozen() { Err(stopped()) } else { look(&self.live) }
    }

    fn writer(&self, path: &Path, inner: Box<dyn WriteFile>) -> io::Result<Box<dyn WriteFile>> {
        let file = self.live.file(path)?;
        Ok(Box::new(FaultyWrite { disk: self.clone(), file, inner }))
    }
}

impl State {
    fn keep_all(&mut self, folder: &Folder) {
        self.folders.insert(folder.id, names_of(folder));
        for node in folder.names.values() {
            match node {
                Node::Folder(below) => self.keep_all(below),
                Node::File(file) => {
                    self.files.insert(file.id, file.bytes.read().clone());
                }
            }
        }
    }
}

/// A small generator: the same seed gives the same crash.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit.max(1)
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

/// Builds the tree that is left.
struct Survivors<'a> {
    state: &'a State,
    live: HashMap<u64, BTreeMap<String, Name>>,
    crash: Crash,
    random: &'a mut Random,
    /// How deep folders may still lie in one another.
    left: u32,
}

const BLOCK_BYTES: usize = 4096;

impl Survivors<'_> {
    fn index(&mut self, folder: &Folder) {
        self.live.insert(folder.id, names_of(folder));
        for node in folder.names.values() {
            if let Node::Folder(below) = node {
                self.index(below);
            }
        }
    }

    fn folder(&mut self, id: u64) -> Folder {
        let mut kept = Folder { id, names: BTreeMap::new() };
        if self.left == 0 {
            return kept;
        }
        let is_live = match self.crash {
            Crash::Process => true,
            Crash::Power => false,
            Crash::PowerMixed(_) => self.random.coin(),
        };
        let names = if is_live { self.live.get(&id) } else { None };
        // A folder that was removed in memory may still be there on disk.
        let names = names.or_else(|| self.state.folders.get(&id)).cloned().unwrap_or_default();
        self.left -= 1;
        for (text, name) in names {
            let node = match name {
                Name::Folder(id) => Node::Folder(self.folder(id)),
                Name::File(file) => {
                    let bytes = RwLock::new(self.bytes(&file));
                    Node::File(Arc::new(MemoryFile { id: file.id, bytes }))
                }
            };
            kept.names.insert(text, node);
        }
        self.left += 1;
        kept
    }

    fn bytes(&mut self, file: &MemoryFile) -> Vec<u8> {
        let new = file.bytes.read();
        let empty = Vec::new();
        let old = self.state.files.get(&file.id).unwrap_or(&empty);
        match self.crash {
            Crash::Process => new.clone(),
            Crash::Power => old.clone(),
            Crash::PowerMixed(_) => self.mix(old, &new),
        }
    }

    fn mix(&mut self, old: &[u8], new: &[u8]) -> Vec<u8> {
        let (least, most) = (old.len().min(new.len()), old.len().max(new.len()));
        let len = least + self.random.below((most - least) as u64 + 1) as usize;
        let mut mixed = vec![0; len];
        for (index, block) in mixed.chunks_mut(BLOCK_BYTES).enumerate() {
            let from = if self.random.coin() { old } else { new };
            let start = (index * BLOCK_BYTES).min(from.len());
            for (to, byte) in block.iter_mut().zip(from.get(start..).unwrap_or_default()) {
                *to = *byte;
            }
        }
        mixed
    }
}

#[derive(Debug)]
struct FaultyWrite {
    disk: FaultyDisk,
    file: Arc<MemoryFile>,
    inner: Box<dyn WriteFile>,
}

impl WriteFile for FaultyWrite {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let verdict = self.disk.step(true, false)?;
        if verdict == Verdict::Do {
            return self.inner.write_all(bytes);
        }
        self.inner.write_all(bytes.get(..bytes.len() / 2).unwrap_or_default())?;
        Err(if verdict == Verdict::Stop { stopped() } else { io::ErrorKind::StorageFull.into() })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.step(false, true)?;
        let bytes = self.file.bytes.read().clone();
        self.disk.state.lock().files.insert(self.file.id, bytes);
        Ok(())
    }

    fn set_len(&mut self, len_bytes: u64) -> io::Result<()> {
        self.disk.step(false, false)?;
        self.inner.set_len(len_bytes)
    }
}

#[derive(Debug)]
struct FaultyRead {
    disk: FaultyDisk,
    file_id: u64,
    inner: Box<dyn ReadFile>,
}

impl ReadFile for FaultyRead {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let span = self.disk.state.lock().unreadable.get(&self.file_id).cloned();
        let end = offset + buffer.len() as u64;
        let hit = span.filter(|span| span.start < end && offset < span.end);
        let readable = hit.map_or(buffer.len() as u64, |span| span.start.saturating_sub(offset));
        if readable == 0 && !buffer.is_empty() {
            return Err(io::Error::other("the simulated sector is bad"));
        }
        let buffer = buffer.get_mut(..readable as usize).unwrap_or_default();
        self.disk.look(|_| self.inner.read_at(offset, buffer))
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.disk.look(|_| self.inner.len_bytes())
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let inner = self.change(|live| live.create(path))?;
        self.writer(path, inner)
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let inner = self.change(|live| live.append(path))?;
        self.writer(path, inner)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        let inner = self.look(|live| live.open(path))?;
        let file_id = self.live.file(path)?.id;
        Ok(Box::new(FaultyRead { disk: self.clone(), file_id, inner }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.look(|live| live.read(path))
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        self.look(|live| live.map(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.look(|live| live.list(dir))
    }

    fn exists(&self, path: &Path) -> bool {
        self.live.exists(path)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.change(|live| live.create_dir_all(dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|live| live.rename(from, to))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|live| live.link(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change(|live| live.remove_file(path))
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.change(|live| live.remove_dir_all(dir))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.step(false, true)?;
        let (id, names) = self.live.with_folder(dir, |folder, _| (folder.id, names_of(folder)))?;
        self.state.lock().folders.insert(id, names);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.look(|live| live.lock(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::write_atomic;

    fn put(disk: &FaultyDisk, path: &str, bytes: &[u8], sync: bool) {
        let mut file = disk.create(Path::new(path)).unwrap();
        file.write_all(bytes).unwrap();
        if sync {
            file.sync().unwrap();
        }
    }

    fn names(disk: &FaultyDisk) -> Vec<String> {
        disk.list(Path::new("/")).unwrap().into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn a_crash_of_the_process_loses_nothing() {
        let disk = FaultyDisk::new();
        put(&disk, "a", b"bytes", false);
        let next = disk.crash(Crash::Process);
        assert_eq!(next.read(Path::new("a")).unwrap(), b"bytes");
    }

    #[test]
    fn a_crash_of_the_machine_loses_what_was_not_synced() {
        let disk = FaultyDisk::new();
        put(&disk, "unnamed", b"bytes", true);
        assert_eq!(names(&disk.crash(Crash::Power)), [""; 0]);
        put(&disk, "named", b"bytes", false);
        disk.sync_dir(Path::new("/")).unwrap();
        let next = disk.crash(Crash::Power);
        assert_eq!(next.read(Path::new("unnamed")).unwrap(), b"bytes");
        assert_eq!(next.read(Path::new("named")).unwrap(), b"");
        disk.remove_file(Path::new("unnamed")).unwrap();
        assert_eq!(names(&disk.crash(Crash::Power)), ["named", "unnamed"]);
    }

    #[test]
    fn a_renamed_folder_keeps_its_synced_names() {
        let disk = FaultyDisk::new();
        disk.create_dir_all(Path::new("a.tmp")).unwrap();
        put(&disk, "a.tmp/file", b"bytes", true);
        disk.sync_dir(Path::new("a.tmp")).unwrap();
        disk.rename(Path::new("a.tmp"), Path::new("a")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let next = disk.crash(Crash::Power);
        assert_eq!(next.read(Path::new("a/file")).unwrap(), b"bytes");
    }

    #[test]
    fn a_small_file_is_replaced_as_a_whole_whenever_the_machine_stops() {
        let replace = |disk: &FaultyDisk| write_atomic(disk, Path::new("f"), b"new bytes");
        let begin = || {
            let disk = FaultyDisk::new();
            write_atomic(&disk, Path::new("f"), b"old").unwrap();
            disk
        };
        let whole = begin();
        let before = whole.counts().operations;
        replace(&whole).unwrap();
        let after = whole.counts().operations;
        assert!(after - before >= 5);
        for operation in before + 1..=after {
            let disk = begin();
            disk.freeze_at(operation);
            assert!(replace(&disk).is_err() && disk.is_frozen());
            for seed in 0..50 {
                let crashes = [Crash::Process, Crash::Power, Crash::PowerMixed(seed)];
                for crash in crashes {
                    let found = disk.crash(crash).read(Path::new("f")).unwrap();
                    assert!(found == b"old" || found == b"new bytes", "{operation} {crash:?}");
                }
            }
        }
    }

    #[test]
    fn a_mixture_keeps_whole_blocks_of_old_or_new() {
        let disk = FaultyDisk::new();
        put(&disk, "f", &[1; 10_000], true);
        disk.sync_dir(Path::new("/")).unwrap();
        let mut file = disk.append(Path::new("f")).unwrap();
        file.write_all(&[2; 10_000]).unwrap();
        let mut lengths = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let bytes = disk.crash(Crash::PowerMixed(seed)).read(Path::new("f")).unwrap();
            lengths.insert(bytes.len());
            assert!((10_000..=20_000).contains(&bytes.len()));
            assert!(bytes[..10_000].iter().all(|byte| *byte == 1));
            assert!(bytes[10_000..].iter().all(|byte| *byte == 0 || *byte == 2));
        }
        assert!(lengths.len() > 50);
    }

    #[test]
    fn a_full_disk_takes_half_and_says_so() {
        let disk = FaultyDisk::new();
        disk.fail_write(2);
        let mut file = disk.create(Path::new("f")).unwrap();
        file.write_all(b"1234").unwrap();
        let refused = file.write_all(b"5678").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        file.write_all(b"9").unwrap();
        assert_eq!(disk.read(Path::new("f")).unwrap(), b"1234569");
        disk.set_full(true);
        assert!(file.write_all(b"0").is_err());
        disk.set_full(false);
        file.write_all(b"0").unwrap();
        assert_eq!(disk.counts().writes, 5);
    }

    #[test]
    fn a_failed_sync_keeps_nothing_new() {
        let disk = FaultyDisk::new();
        put(&disk, "/a", b"old", true);
        disk.sync_dir(Path::new("/")).unwrap();
        let mut file = disk.append(Path::new("/a")).unwrap();
        file.write_all(b"new").unwrap();
        disk.fail_sync(disk.counts().syncs + 1);
        assert!(file.sync().is_err());
        let after = disk.crash(Crash::Power);
        assert_eq!(after.read(Path::new("/a")).unwrap(), b"old");
        file.sync().unwrap();
    }

    #[test]
    fn a_read_ends_before_a_bad_sector() {
        let disk = FaultyDisk::new();
        put(&disk, "/a", &[7; 100], true);
        disk.set_unreadable(Path::new("/a"), 40..60).unwrap();
        let file = disk.open(Path::new("/a")).unwrap();
        let mut buffer = [0; 100];
        assert_eq!(file.read_at(0, &mut buffer).unwrap(), 40);
        assert!(file.read_at(40, &mut buffer).is_err() && file.read_at(59, &mut buffer).is_err());
        assert_eq!(file.read_at(60, &mut buffer).unwrap(), 40);
    }
}
