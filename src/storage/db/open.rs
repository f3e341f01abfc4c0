//! Opening and closing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::base::clock::{SharedClock, SystemClock};
use crate::base::metrics::Registry;
use crate::disk::{LockGuard, RealDisk, SharedDisk, create_dir_synced};
use crate::storage::head::{Head, LogPlace, ReplayStats};
use crate::storage::wal::{Retry, WalMetrics};

use super::background::Background;
use super::blocks::BlockList;
use super::files;
use super::metrics::DbMetrics;
use super::{TsdbError, TsdbOptions};

/// A data directory that is open. Cloning gives another handle; the last one closes it.
///
/// ```
/// use promlite::base::{clock::SystemClock, metrics::Registry};
/// use promlite::disk::MemoryDisk;
/// use promlite::model::Labels;
/// use promlite::series::{Append, Batch, OnReject, Queryable, Select, SeriesRef, TimeRange};
/// use promlite::storage::db::{Tsdb, TsdbOptions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (disk, clock) = (MemoryDisk::shared(), SystemClock::shared());
/// let dir = std::path::Path::new("data");
/// let db = Tsdb::open(disk, clock, dir, TsdbOptions::default(), &Registry::new())?;
///
/// let labels = Labels::from_pairs([("__name__", "up"), ("job", "node")])?;
/// let mut batch = Batch::new();
/// batch.push_series(SeriesRef::UNKNOWN, labels.as_ref());
/// batch.push_sample(1_767_571_200_000, 1.0);
/// let outcome = db.append(&mut batch, OnReject::KeepRest)?;
/// assert_eq!(outcome.accepted, 1);
///
/// let found = db.select(&Select::new(Vec::new(), TimeRange::ALL))?;
/// assert_eq!(found.series[0].labels(), &labels);
/// db.close()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Tsdb(pub(super) Arc<Handle>);

/// What the handles of a directory share.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) inner: Arc<Inner>,
    pub(super) background: Option<Background>,
}

/// What the handles and the thread share.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) disk: SharedDisk,
    pub(super) clock: SharedClock,
    pub(super) dir: PathBuf,
    pub(super) options: TsdbOptions,
    pub(super) head: Head,
    /// The list is replaced, never changed: whoever holds one keeps it.
    pub(super) blocks: RwLock<Arc<BlockList>>,
    /// Held for a round of upkeep, and to close; then without the lock on the directory.
    pub(super) upkeep: Mutex<Option<Box<dyn LockGuard>>>,
    /// Set before the directory is closed, so that upkeep ends early.
    pub(super) is_ending: AtomicBool,
    /// When the log is truncated again after a failure.
    pub(super) log_retry: Mutex<Retry>,
    pub(super) metrics: DbMetrics,
    pub(super) replay: ReplayStats,
}

/// Says on the way up what was tried, and where.
pub(super) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TsdbError {
    move |source| TsdbError::Io { what, path: path.to_owned(), source }
}

impl Tsdb {
    /// Opens the data directory `dir`, and makes it if there is none: removes what a crash left of
    /// unfinished blocks, opens the blocks, and tells the log again. A block that cannot be read
    /// is left out and left alone; what is damaged in the log is set aside. [`Tsdb::stats`] says
    /// so, and a warning.
    ///
    /// # Errors
    /// Options without meaning; a directory that is in use; the disk's answer.
    pub fn open(
        disk: SharedDisk,
        clock: SharedClock,
        dir: &Path,
        options: TsdbOptions,
        registry: &Registry,
    ) -> Result<Self, TsdbError> {
        options.check()?;
        create_dir_synced(&*disk, dir).map_err(io_error("create", dir))?;
        let lock_path = dir.join(files::LOCK);
        let was_clean = !disk.exists(&lock_path);
        let lock = disk.lock(&lock_path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => TsdbError::Locked(dir.to_owned()),
            _ => io_error("lock", &lock_path)(error),
        })?;
        files::remove_leftovers(&*disk, dir).map_err(io_error("list", dir))?;
        let blocks = BlockList::load(&disk, dir, &BlockList::default());
        let blocks = blocks.map_err(io_error("list", dir))?;
        let log = LogPlace {
            disk: disk.clone(),
            root: dir.to_owned(),
            dir: dir.join(files::LOG),
            options: options.wal,
            metrics: WalMetrics::new(registry),
        };
        let head = options.head();
        let min_valid_ms = blocks.head_start_ms().unwrap_or(i64::MIN);
        let (head, replay) = Head::open(log, head, min_valid_ms, registry)?;
        let metrics = DbMetrics::new(registry, &options);
        metrics.clean_start.set(f64::from(u8::from(was_clean)));
        let with_thread = options.background;
        let inner = Arc::new(Inner {
            disk,
            clock,
            dir: dir.to_owned(),
            options,
            head,
            blocks: RwLock::new(Arc::new(blocks)),
            upkeep: Mutex::new(Some(lock)),
            is_ending: AtomicBool::new(false),
            log_retry: Mutex::default(),
            metrics,
            replay,
        });
        inner.reload()?;
        let of_thread = Arc::clone(&inner);
        let background = with_thread.then(|| Background::begin(move || of_thread.round()));
        let background = background.transpose().map_err(io_error("begin a thread for", dir))?;
        Ok(Self(Arc::new(Handle { inner, background })))
    }

    /// [`Tsdb::open`] on the machine's own disk and clock, for users who look at no metrics.
    ///
    /// # Errors
    /// As [`Tsdb::open`].
    pub fn open_at(dir: impl AsRef<Path>, options: TsdbOptions) -> Result<Self, TsdbError> {
        let (disk, clock) = (RealDisk::shared(), SystemClock::shared());
        Self::open(disk, clock, dir.as_ref(), options, &Registry::new())
    }

    /// Ends upkeep, makes the log survive a crash of the machine and gives the directory free.
    /// Later appends and upkeep fail; questions are still answered. A second call does nothing.
    ///
    /// # Errors
    /// The disk's answer; the directory is free all the same.
    pub fn close(&self) -> Result<(), TsdbError> {
        self.0.close()
    }
}

impl Handle {
    fn close(&self) -> Result<(), TsdbError> {
        self.inner.is_ending.store(true, Ordering::Relaxed);
        if let Some(background) = &self.background {
            background.end();
        }
        let inner = &self.inner;
        let Some(lock) = inner.upkeep.lock().take() else { return Ok(()) };
        inner.head.close()?;
        // Removed as long as it is held, so that nobody else's is.
        let path = inner.dir.join(files::LOCK);
        inner.disk.remove_file(&path).map_err(io_error("remove", &path))?;
        drop(lock);
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(dir = %self.inner.dir.display(), %error, "data directory not closed");
        }
    }
}
