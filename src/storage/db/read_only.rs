//! Looking at a data directory that belongs to somebody else.

use std::io;
use std::path::Path;
use std::sync::Arc;

use ulid::Ulid;

use crate::base::clock::{SharedClock, SystemClock};
use crate::base::metrics::Registry;
use crate::disk::{Disk, OverlayDisk, RealDisk, SharedDisk};
use crate::model::Matcher;
use crate::series::{
    Exemplars, QueryError, Queryable, Select, SeriesExemplars, SeriesSet, TimeRange,
};

use super::{Tsdb, TsdbError, TsdbOptions, TsdbStats};

/// The owner may remove a file between the look at a folder and the look at the file. So often it
/// is tried again.
const TRIES: usize = 5;

/// A data directory at the moment of its opening, with what the log holds. It may be open
/// elsewhere and go on changing; nothing in it is changed from here, and no lock is taken.
#[derive(Debug, Clone)]
pub struct ReadOnlyTsdb(Tsdb);

impl ReadOnlyTsdb {
    /// Opens the directory `dir`, which must be there. Of the options only those count that say
    /// how long blocks are.
    ///
    /// # Errors
    /// As [`Tsdb::open`], but that a lock does not matter.
    pub fn open(
        disk: &SharedDisk,
        clock: SharedClock,
        dir: &Path,
        options: &TsdbOptions,
    ) -> Result<Self, TsdbError> {
        if !disk.exists(dir) {
            let (path, source) = (dir.to_owned(), io::ErrorKind::NotFound.into());
            return Err(TsdbError::Io { what: "open", path, source });
        }
        let mut options = options.clone();
        options.background = false;
        options.retention_ms = 0;
        options.retention_bytes = 0;
        let mut tries = 1;
        loop {
            // Whatever opening does to a directory, such as beginning a new segment of the log,
            // it does to this layer.
            let layer = OverlayDisk::shared(Arc::clone(disk), is_of_block);
            let opened =
                Tsdb::open(layer, Arc::clone(&clock), dir, options.clone(), &Registry::new());
            match opened {
                Err(_) if tries < TRIES => tries += 1,
                Ok(db) if tries < TRIES && has_lost_block(&db, &**disk) => tries += 1,
                opened => return opened.map(Self),
            }
        }
    }

    /// [`ReadOnlyTsdb::open`] on the machine's own disk.
    ///
    /// # Errors
    /// As there.
    pub fn open_at(dir: impl AsRef<Path>, options: &TsdbOptions) -> Result<Self, TsdbError> {
        Self::open(&RealDisk::shared(), SystemClock::shared(), dir.as_ref(), options)
    }

    /// The directory in numbers.
    #[must_use]
    pub fn stats(&self) -> TsdbStats {
        self.0.stats()
    }
}

/// True if a block could not be opened because it was just removed: what took its place was not
/// there yet.
fn has_lost_block(db: &Tsdb, disk: &dyn Disk) -> bool {
    let dir = &db.0.inner.dir;
    let unreadable = &db.0.inner.block_list().unreadable;
    unreadable.keys().any(|ulid| !disk.exists(&dir.join(ulid.to_string())))
}

/// Files of blocks stay as they are until they go.
fn is_of_block(path: &Path) -> bool {
    path.iter().any(|part| part.to_str().is_some_and(|part| Ulid::from_string(part).is_ok()))
}

impl Exemplars for ReadOnlyTsdb {
    fn exemplars(
        &self,
        any_of: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>, QueryError> {
        self.0.exemplars(any_of, range)
    }
}

impl Queryable for ReadOnlyTsdb {
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
        self.0.select(ask)
    }

    fn label_names(&self, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        self.0.label_names(ask)
    }

    fn label_values(&self, name: &str, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        self.0.label_values(name, ask)
    }
}
