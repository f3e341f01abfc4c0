//! When what was logged survives a crash of the machine.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::base::clock::Stopwatch;
use crate::base::metrics::Histogram;
use crate::disk::WriteFile;

use super::error::{Context, WalError};
use super::segment::Position;
use super::writer::Progress;

/// When what was logged survives a crash of the machine. A crash of the process alone loses
/// nothing that was acknowledged, whatever is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When its segment is full, or the log is closed. What Prometheus does.
    #[default]
    Process,
    /// At most about this long after it was acknowledged.
    Interval {
        /// Time from one sync to the next, in milliseconds; 0 is taken as 1.
        ms: u32,
    },
    /// Before it is acknowledged. Commits that come while a sync is under way share the next one.
    EachCommit,
}

/// Makes what was logged survive, beside the writer: it needs no lock on it. Clones share all.
#[derive(Clone)]
pub struct Syncer(Arc<Shared>);

struct Shared {
    durability: Durability,
    progress: Progress,
    fsync_seconds: Histogram,
    /// Who holds it may sync; the others wait and find most often that it was done for them.
    turn: Mutex<Turn>,
    /// A sync of the segment being written has failed. The system may have dropped what it could
    /// not write, and a later sync may say that all is well, so the segment is never called
    /// synced again.
    has_failed: AtomicBool,
    /// Ends the waiting of the thread that syncs in intervals.
    closed: Mutex<bool>,
    wake: Condvar,
}

struct Turn {
    /// The segment being written, and a handle on it for syncing alone.
    segment: u32,
    path: PathBuf,
    file: Box<dyn WriteFile>,
    /// Everything before it is on disk.
    synced: Position,
}

impl fmt::Debug for Syncer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Syncer").field("durability", &self.0.durability).finish_non_exhaustive()
    }
}

impl Syncer {
    pub(super) fn new(
        durability: Durability,
        progress: Progress,
        fsync_seconds: Histogram,
        (segment, path, file): (u32, PathBuf, Box<dyn WriteFile>),
    ) -> Result<Self, WalError> {
        let synced = Position::start_of(segment);
        let turn = Turn { segment, path: path.clone(), file, synced };
        let syncer = Self(Arc::new(Shared {
            durability,
            progress,
            fsync_seconds,
            turn: Mutex::new(turn),
            has_failed: AtomicBool::new(false),
            closed: Mutex::new(false),
            wake: Condvar::new(),
        }));
        if let Durability::Interval { ms } = durability {
            let shared = Arc::downgrade(&syncer.0);
            let pause = Duration::from_millis(u64::from(ms.max(1)));
            let thread = std::thread::Builder::new().name("promlite-sync".to_owned());
            thread.spawn(move || sync_in_intervals(&shared, pause)).context("start", &path)?;
        }
        Ok(syncer)
    }

    /// Called with the place that [`super::Wal::log_packed`] gave, before the batch is
    /// acknowledged and without a lock on the log. Returns when the batch is as durable as was
    /// chosen: at once, but for [`Durability::EachCommit`].
    ///
    /// # Errors
    /// The disk's answer. The batch is in the log all the same and will be read again, but may
    /// not survive a crash of the machine.
    pub fn commit(&self, position: Position) -> Result<(), WalError> {
        match self.0.durability {
            Durability::EachCommit => self.sync_to(position),
            Durability::Process | Durability::Interval { .. } => Ok(()),
        }
    }

    /// Makes everything acknowledged until now survive a crash of the machine.
    ///
    /// # Errors
    /// As of [`commit`](Self::commit).
    pub fn sync(&self) -> Result<(), WalError> {
        self.sync_to(self.0.progress.get())
    }

    fn sync_to(&self, position: Position) -> Result<(), WalError> {
        let mut turn = self.0.turn.lock();
        if turn.synced >= position {
            return Ok(());
        }
        let path = turn.path.clone();
        if self.has_failed() {
            let before = "an earlier sync of this segment has failed";
            return Err(std::io::Error::other(before)).context("sync", &path);
        }
        // Everything logged until here is taken along, also of those who wait behind us. A later
        // segment means that this one was synced when it was ended.
        let reached = self.0.progress.get();
        let clock = Stopwatch::start();
        let synced = turn.file.sync().context("sync", &path);
        self.0.fsync_seconds.observe(clock.seconds());
        if synced.is_err() {
            self.0.has_failed.store(true, Ordering::Relaxed);
        }
        synced?;
        if reached.segment == turn.segment {
            turn.synced = turn.synced.max(reached);
        }
        Ok(())
    }

    /// True if the segment being written can never be called synced any more.
    pub(super) fn has_failed(&self) -> bool {
        self.0.has_failed.load(Ordering::Relaxed)
    }

    /// A new segment was begun; those before it are on disk.
    pub(super) fn begin_segment(&self, segment: u32, path: PathBuf, file: Box<dyn WriteFile>) {
        let synced = Position::start_of(segment);
        let mut turn = self.0.turn.lock();
        *turn = Turn { segment, path, file, synced };
        self.0.has_failed.store(false, Ordering::Relaxed);
    }

    /// Ends the thread that syncs in intervals.
    pub(super) fn close(&self) {
        *self.0.closed.lock() = true;
        self.0.wake.notify_all();
    }
}

fn sync_in_intervals(shared: &Weak<Shared>, pause: Duration) {
    while let Some(shared) = shared.upgrade() {
        let mut closed = shared.closed.lock();
        if !*closed {
            shared.wake.wait_for(&mut closed, pause);
        }
        if *closed {
            return;
        }
        drop(closed);
        if let Err(error) = Syncer(shared).sync() {
            tracing::error!(%error, "the log may not survive a crash of the machine");
        }
    }
}
