//! Which queries are running, noted where it survives a crash of the process.
//!
//! The log is a text file of JSON lines: `{"id":1,"timestamp_sec":2,"query":"up"}` when a query
//! starts and `{"id":1}` when it ends. Whenever nothing runs, a long file is emptied.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::base::clock::SharedClock;
use crate::disk::{Disk, WriteFile};

/// A longer query is cut.
const QUERY_BYTES_MAX: usize = 1000;
/// A longer log is emptied when nothing runs.
const LOG_BYTES_MAX: u64 = 64 * 1024;

/// A log of the queries that are running.
#[derive(Debug)]
pub struct ActiveQueries {
    log: Mutex<Log>,
    clock: SharedClock,
    unfinished: Vec<UnfinishedQuery>,
}

/// A query that was running when the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedQuery {
    /// The query; its first thousand bytes.
    pub query: String,
    /// When it was started, in seconds since the epoch.
    pub timestamp_seconds: i64,
}

#[derive(Debug)]
struct Log {
    file: Box<dyn WriteFile>,
    len_bytes: u64,
    next_id: u64,
    running: u64,
    /// One warning is enough.
    is_broken: bool,
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    id: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timestamp_sec: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    query: Option<std::borrow::Cow<'a, str>>,
}

impl ActiveQueries {
    /// Opens the log at `path`, an empty one if there is none. What was running when the process
    /// ended is kept as [`ActiveQueries::unfinished`], and the log begins anew.
    ///
    /// # Errors
    /// The system's answer.
    pub fn open(disk: &dyn Disk, path: &Path, clock: SharedClock) -> io::Result<Arc<Self>> {
        let unfinished = match disk.read(path) {
            Ok(bytes) => unfinished(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        for UnfinishedQuery { query, timestamp_seconds } in &unfinished {
            tracing::warn!(query, timestamp_seconds, "a query did not finish in the last run");
        }
        let file = disk.create(path)?;
        let log = Log { file, len_bytes: 0, next_id: 0, running: 0, is_broken: false };
        Ok(Arc::new(Self { log: Mutex::new(log), clock, unfinished }))
    }

    /// What was running when the process ended that had the log before.
    #[must_use]
    pub fn unfinished(&self) -> &[UnfinishedQuery] {
        &self.unfinished
    }

    /// How many queries are running.
    #[must_use]
    pub fn running_count(&self) -> u64 {
        self.log.lock().running
    }

    /// Notes that a query runs until the guard is dropped. A log that cannot be written stops
    /// nothing.
    pub(super) fn enter(self: &Arc<Self>, query: &str) -> ActiveQuery {
        let query = query.get(..query.floor_char_boundary(QUERY_BYTES_MAX)).unwrap_or_default();
        let mut log = self.log.lock();
        let id = log.next_id;
        (log.next_id, log.running) = (id + 1, log.running + 1);
        let timestamp_sec = Some(self.clock.now_ms() / 1000);
        log.put(&Line { id, timestamp_sec, query: Some(query.into()) });
        ActiveQuery { queries: Arc::clone(self), id }
    }
}

impl Log {
    fn put(&mut self, line: &Line<'_>) {
        let Ok(mut bytes) = serde_json::to_vec(line) else { return };
        bytes.push(b'\n');
        match self.file.write_all(&bytes) {
            Ok(()) => self.len_bytes += bytes.len() as u64,
            Err(error) => self.complain(&error),
        }
    }

    fn empty(&mut self) {
        match self.file.set_len(0) {
            Ok(()) => self.len_bytes = 0,
            Err(error) => self.complain(&error),
        }
    }

    fn complain(&mut self, error: &io::Error) {
        if !self.is_broken {
            tracing::warn!(%error, "the log of active queries cannot be written");
            self.is_broken = true;
        }
    }
}

/// A query that runs until this is dropped.
#[derive(Debug)]
pub(super) struct ActiveQuery {
    queries: Arc<ActiveQueries>,
    id: u64,
}

impl Drop for ActiveQuery {
    fn drop(&mut self) {
        let mut log = self.queries.log.lock();
        log.running -= 1;
        log.put(&Line { id: self.id, timestamp_sec: None, query: None });
        if log.running == 0 && log.len_bytes > LOG_BYTES_MAX {
            log.empty();
        }
    }
}

/// The queries that start in a log and do not end. A line that is not whole is the last one.
fn unfinished(bytes: &[u8]) -> Vec<UnfinishedQuery> {
    let mut running = BTreeMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        match serde_json::from_slice(line) {
            Ok(Line { id, timestamp_sec, query: Some(query) }) => {
                let timestamp_seconds = timestamp_sec.unwrap_or_default();
                let query = query.into_owned();
                running.insert(id, UnfinishedQuery { query, timestamp_seconds });
            }
            Ok(Line { id, query: None, .. }) => {
                running.remove(&id);
            }
            Err(_) => {}
        }
    }
    running.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;
    use crate::disk::MemoryDisk;

    const PATH: &str = "/queries.active";

    fn open(disk: &MemoryDisk) -> Arc<ActiveQueries> {
        ActiveQueries::open(disk, Path::new(PATH), Arc::new(ManualClock::at(7_900))).unwrap()
    }

    #[test]
    fn a_query_that_did_not_end_is_told_once() {
        let disk = MemoryDisk::new();
        disk.create_dir_all(Path::new("/")).unwrap();
        let queries = open(&disk);
        drop(queries.enter("up"));
        let _running = queries.enter("rate(\"x\"[5m])\n");
        let _long = queries.enter(&"ä".repeat(600));
        assert_eq!((queries.unfinished(), queries.running_count()), (&[][..], 2));
        let again = open(&disk);
        let [first, second] = again.unfinished() else { panic!("{again:?}") };
        assert_eq!((first.query.as_str(), first.timestamp_seconds), ("rate(\"x\"[5m])\n", 7));
        assert_eq!(second.query.len(), 1000);
        assert!(open(&disk).unfinished().is_empty());
    }

    #[test]
    fn the_log_stays_short() {
        let disk = MemoryDisk::new();
        disk.create_dir_all(Path::new("/")).unwrap();
        let queries = open(&disk);
        for _ in 0..5000 {
            drop(queries.enter("sum(rate(x[5m]))"));
        }
        let length = disk.read(Path::new(PATH)).unwrap().len() as u64;
        assert!(length <= LOG_BYTES_MAX + 1000, "{length}");
    }

    #[test]
    fn a_damaged_log_is_read_as_far_as_it_makes_sense() {
        let text =
            b"{\"id\":1,\"timestamp_sec\":3,\"query\":\"a\"}\n\xff\n{\"id\":2}\n{\"id\":3,\"qu";
        let want = UnfinishedQuery { query: "a".into(), timestamp_seconds: 3 };
        assert_eq!(unfinished(text), [want]);
    }
}
