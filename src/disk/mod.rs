//! The promises of a disk, and the disks that keep them.
//!
//! Everything that touches files goes through [`Disk`], so that tests can crash it at any step.
//!
//! # Promises
//! - **Write.** Bytes given to [`WriteFile::write_all`] are seen by every later read of this
//!   process, and survive a crash of the process. They survive a crash of the machine only after
//!   [`WriteFile::sync`].
//! - **Failed write.** Any part of the bytes may be in the file; [`WriteFile::set_len`] takes them
//!   back.
//! - **Names.** A created, renamed or removed name survives a crash of the machine only after
//!   [`Disk::sync_dir`] of its folder. A rename replaces the target in one step.
//! - **Maps.** [`Disk::map`] gives the bytes of a file that is never changed again. Who shortens a
//!   mapped file from outside kills the process; so nobody but the owner of the lock writes.
//! - **Lock.** At most one holder a path, over all processes; it ends with the process.
//!
//! Useful for: any file. Not useful for: knowing what the bytes mean.

mod atomic;
mod buffered;
mod faulty;
mod memory;
mod mmap;
mod overlay;
mod process;
mod real;
mod scratch;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

pub use atomic::{create_dir_synced, write_atomic, write_synced};
pub use buffered::BufferedFile;
pub use faulty::{Counts, Crash, FaultyDisk};
pub use memory::MemoryDisk;
pub use overlay::OverlayDisk;
pub use process::{register_process, resident_memory_bytes};
pub use real::RealDisk;
pub use scratch::ScratchDisk;

/// What [`Disk::list`] says of a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The last part of the path. Names that are not valid UTF-8 are not listed.
    pub name: String,
    /// True for a folder.
    pub is_dir: bool,
    /// Size of a file; 0 for a folder.
    pub len_bytes: u64,
}

/// A file being written, always at its end.
pub trait WriteFile: Send + Debug {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// The system's answer; a part may be written.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes what is written survive a crash of the machine.
    ///
    /// # Errors
    /// The system's answer.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts or zero-extends the file; the next write goes to the new end.
    ///
    /// # Errors
    /// The system's answer.
    fn set_len(&mut self, len_bytes: u64) -> io::Result<()>;
}

/// A file being read at any place, also while somebody else appends to it.
pub trait ReadFile: Send + Sync + Debug {
    /// Reads into `buffer` from `offset`; returns how many bytes came, 0 at the end.
    ///
    /// # Errors
    /// The system's answer.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// The file's size now.
    ///
    /// # Errors
    /// The system's answer.
    fn len_bytes(&self) -> io::Result<u64>;
}

/// Holds a lock until dropped.
pub trait LockGuard: Send + Sync + Debug {}

/// A disk.
pub trait Disk: Send + Sync + Debug {
    /// Opens a new file for writing; one that is there is emptied.
    ///
    /// # Errors
    /// The system's answer.
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;
    /// Opens a file for appending; creates it if it is not there.
    ///
    /// # Errors
    /// The system's answer.
    fn append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;
    /// Opens a file for reading.
    ///
    /// # Errors
    /// The system's answer; `NotFound` if there is none.
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>>;
    /// The whole of a small file.
    ///
    /// # Errors
    /// The system's answer; `NotFound` if there is none.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// The whole of a file that never changes again, without copying it where that can be.
    ///
    /// # Errors
    /// The system's answer; `NotFound` if there is none.
    fn map(&self, path: &Path) -> io::Result<Bytes>;
    /// What is in a folder, by name.
    ///
    /// # Errors
    /// The system's answer; `NotFound` if there is none.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    /// True if the name is there.
    fn exists(&self, path: &Path) -> bool;
    /// Makes a folder and those above it.
    ///
    /// # Errors
    /// The system's answer.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Renames a file or a folder; a file or an empty folder at the target is replaced.
    ///
    /// # Errors
    /// The system's answer.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file that never changes again a second name, which stays when the first one goes.
    /// Copies it where that cannot be.
    ///
    /// # Errors
    /// The system's answer.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// The system's answer.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder and all in it.
    ///
    /// # Errors
    /// The system's answer.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Makes names in a folder survive a crash of the machine.
    ///
    /// # Errors
    /// The system's answer.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the lock at `path`, creating the file; fails at once with `WouldBlock` if it is held.
    ///
    /// # Errors
    /// The system's answer.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>>;
}

/// A disk that several owners share.
pub type SharedDisk = Arc<dyn Disk>;
