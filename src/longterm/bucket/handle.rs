//! The handle, and how a request is tried.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as Location;
use object_store::{Attribute, Attributes, ObjectStore};

use crate::base::metrics::Registry;
use crate::disk::{Disk, RealDisk};

use super::runner::Runner;
use super::stats::Counters;
use super::{BucketError, BucketStats, Operation};

/// How often a request is tried while the store says that it is worth it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Retry {
    /// Tries in all, at least one.
    pub tries: u32,
    /// The pause before the second one; each further pause is twice as long.
    pub first_pause: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { tries: 4, first_pause: Duration::from_millis(200) }
    }
}

/// A handle on a bucket; cloning gives another one. Calls wait for the answer; they may come from
/// any thread, but block it.
#[derive(Clone)]
pub struct Bucket(pub(super) Arc<Parts>);

pub(super) struct Parts {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) runner: Arc<Runner>,
    /// What errors and logs call it.
    pub(super) name: String,
    /// In front of every key: empty, or ends with a slash.
    prefix: String,
    pub(super) counters: Counters,
    pub(super) retry: Retry,
    /// Objects above this are sent in parts of this size.
    pub(super) part_bytes: u64,
    /// The folder of a bucket that is one.
    pub(super) folder: Option<PathBuf>,
    /// What the store is told of how to keep new objects.
    pub(super) attributes: Attributes,
    /// Texts that no error may show.
    secrets: Vec<String>,
    #[cfg(any(test, feature = "testkit"))]
    pub(super) faults: Option<Arc<super::faulty::Faults>>,
}

/// What makes a bucket, before it is one.
pub(super) struct Store {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) runner: Runner,
    pub(super) name: String,
    pub(super) prefix: String,
    pub(super) part_bytes: u64,
    pub(super) folder: Option<PathBuf>,
    /// The store's word for the class of new objects; empty for its default.
    pub(super) storage_class: String,
    pub(super) secrets: Vec<String>,
}

/// The size of parts unless the configuration says another.
pub(super) const PART_BYTES: u64 = 16 << 20;

impl Store {
    pub(super) fn new(store: Arc<dyn ObjectStore>, runner: Runner, name: String) -> Self {
        Self {
            store,
            runner,
            name,
            prefix: String::new(),
            part_bytes: PART_BYTES,
            folder: None,
            storage_class: String::new(),
            secrets: Vec::new(),
        }
    }

    /// Objects as files below `dir`, which is made if it is not there.
    pub(super) fn folder(dir: &Path) -> Result<Self, BucketError> {
        RealDisk.create_dir_all(dir).map_err(BucketError::io(dir))?;
        let store = LocalFileSystem::new_with_prefix(dir)
            .map_err(|error| BucketError::Config(error.to_string()))?;
        let store = store.with_fsync(true).with_automatic_cleanup(true);
        let runner = Runner::threads().map_err(BucketError::io(dir))?;
        let mut folder = Self::new(Arc::new(store), runner, dir.display().to_string());
        folder.folder = Some(dir.to_owned());
        Ok(folder)
    }
}

impl From<Store> for Bucket {
    fn from(store: Store) -> Self {
        let mut prefix = store.prefix.trim_matches('/').to_owned();
        if !prefix.is_empty() {
            prefix.push('/');
        }
        let mut attributes = Attributes::new();
        if !store.storage_class.is_empty() {
            attributes.insert(Attribute::StorageClass, store.storage_class.into());
        }
        Self(Arc::new(Parts {
            store: store.store,
            runner: Arc::new(store.runner),
            name: store.name,
            prefix,
            counters: Counters::new(&Registry::new()),
            retry: Retry::default(),
            part_bytes: store.part_bytes,
            folder: store.folder,
            attributes,
            secrets: store.secrets,
            #[cfg(any(test, feature = "testkit"))]
            faults: None,
        }))
    }
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket").field("name", &self.name()).finish()
    }
}

impl Bucket {
    /// An empty bucket in memory, for tests and simulations. Clones share the objects.
    #[must_use]
    pub fn memory() -> Self {
        Store::new(Arc::new(InMemory::new()), Runner::InPlace, "memory".to_owned()).into()
    }

    /// Objects as files below `dir`, which is made if it is not there. What a call has written
    /// survives a crash of the machine.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn folder(dir: &Path) -> Result<Self, BucketError> {
        Store::folder(dir).map(Self::from)
    }

    /// The bucket's name, with its prefix, for people.
    #[must_use]
    pub fn name(&self) -> String {
        let prefix = self.0.prefix.trim_end_matches('/');
        if prefix.is_empty() { self.0.name.clone() } else { format!("{}/{prefix}", self.0.name) }
    }

    /// The same bucket, with requests counted in `registry`. Clones made before count on as before.
    #[must_use]
    pub fn counted_in(&self, registry: &Registry) -> Self {
        self.with(|parts| parts.counters = Counters::new(registry))
    }

    /// The same bucket with other patience.
    #[must_use]
    pub fn with_retry(&self, retry: Retry) -> Self {
        self.with(|parts| parts.retry = retry)
    }

    /// The same bucket, with objects above this size sent in parts of it. S3 takes none below
    /// 5 MiB.
    #[must_use]
    pub fn with_part_bytes(&self, part_bytes: u64) -> Self {
        self.with(|parts| parts.part_bytes = part_bytes.max(1))
    }

    pub(super) fn with(&self, change: impl FnOnce(&mut Parts)) -> Self {
        let old = &self.0;
        let mut parts = Parts {
            store: Arc::clone(&old.store),
            runner: Arc::clone(&old.runner),
            name: old.name.clone(),
            prefix: old.prefix.clone(),
            counters: old.counters.clone(),
            retry: old.retry,
            part_bytes: old.part_bytes,
            folder: old.folder.clone(),
            attributes: old.attributes.clone(),
            secrets: old.secrets.clone(),
            #[cfg(any(test, feature = "testkit"))]
            faults: old.faults.clone(),
        };
        change(&mut parts);
        Self(Arc::new(parts))
    }

    /// What was asked of this bucket so far.
    #[must_use]
    pub fn stats(&self) -> BucketStats {
        self.0.counters.stats()
    }
}

impl Parts {
    /// Where the object `key` is in the store.
    pub(super) fn location(&self, key: &str) -> Result<Location, BucketError> {
        if key.is_empty() {
            return Err(BucketError::Config("\"\" is no object name".to_owned()));
        }
        self.place(key)
    }

    /// As [`location`](Self::location), where the whole of the bucket has the empty name.
    pub(super) fn place(&self, key: &str) -> Result<Location, BucketError> {
        Location::parse(format!("{}{key}", self.prefix))
            .map_err(|error| BucketError::Config(format!("{key:?} is no object name: {error}")))
    }

    /// The key of the object at a place in the store; `None` for the objects of others.
    pub(super) fn key<'a>(&self, location: &'a Location) -> Option<&'a str> {
        location.as_ref().strip_prefix(self.prefix.as_str())
    }

    /// Waits for the answer to a request about `key`.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        key: &str,
        request: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<T, BucketError> {
        self.wait_for(key, request)?.map_err(|error| self.refusal(key, &error))
    }

    pub(super) fn wait_for<T: Send + 'static>(
        &self,
        key: &str,
        request: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, BucketError> {
        let answer = self.runner.run(request);
        answer.ok_or_else(|| BucketError::unavailable(key, "the request was broken off"))
    }

    pub(super) fn refusal(&self, key: &str, error: &object_store::Error) -> BucketError {
        BucketError::of_store(&self.name, key, error).without(&self.secrets)
    }

    /// Tries until it goes well, is refused for good, or was tried often enough.
    pub(super) fn attempt<T>(
        &self,
        operation: Operation,
        key: &str,
        mut once: impl FnMut(u32) -> Result<T, BucketError>,
    ) -> Result<T, BucketError> {
        let mut pause = self.retry.first_pause;
        let mut tried = 0;
        loop {
            self.counters.began(operation);
            let outcome = self.try_once(operation, key, || once(tried));
            tried += 1;
            let Err(error) = outcome else { return outcome };
            if !error.is_not_found() {
                self.counters.failed(operation);
            }
            if !error.is_transient() || tried >= self.retry.tries {
                return Err(error);
            }
            tracing::debug!(bucket = %self.name, %operation, key, %error, tried, "trying again");
            std::thread::sleep(pause);
            pause = pause.saturating_mul(2);
        }
    }

    #[cfg(not(any(test, feature = "testkit")))]
    fn try_once<T>(
        &self,
        _: Operation,
        _: &str,
        once: impl FnOnce() -> Result<T, BucketError>,
    ) -> Result<T, BucketError> {
        once()
    }

    #[cfg(any(test, feature = "testkit"))]
    fn try_once<T>(
        &self,
        operation: Operation,
        key: &str,
        once: impl FnOnce() -> Result<T, BucketError>,
    ) -> Result<T, BucketError> {
        match &self.faults {
            None => once(),
            Some(faults) => faults.around(operation, key, once),
        }
    }
}
