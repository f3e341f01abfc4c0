//! Writing and deleting.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path as Location;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, PutResult};

use crate::disk::{Disk, LockGuard, RealDisk};

use super::handle::Parts;
use super::{Bucket, BucketError, Operation, PutOutcome, Version};

/// Held while an object of a folder is compared and written.
const FOLDER_LOCK: &str = "promlite/write.lock";
const LOCK_TRIES: u32 = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

impl Bucket {
    /// Writes an object; one that is there is replaced. Readers find the old or the new one whole.
    ///
    /// # Errors
    /// See [`BucketError`]; the object may be written all the same.
    pub fn put(&self, key: &str, data: Bytes) -> Result<(), BucketError> {
        let (parts, location) = (&self.0, self.0.location(key)?);
        parts.attempt(Operation::Upload, key, |_| {
            parts.put_once(key, &location, &data, PutMode::Overwrite).map(|_| ())
        })
    }

    /// Writes an object if there is none of that name.
    ///
    /// # Errors
    /// See [`BucketError`]; the object may be written all the same.
    pub fn put_if_absent(&self, key: &str, data: Bytes) -> Result<PutOutcome, BucketError> {
        let (parts, location) = (&self.0, self.0.location(key)?);
        self.put_if(key, &data, || parts.put_once(key, &location, &data, PutMode::Create))
    }

    /// Writes an object if it still has the contents `version`.
    ///
    /// # Errors
    /// See [`BucketError`]; the object may be written all the same.
    pub fn put_if_version(
        &self,
        key: &str,
        data: Bytes,
        version: &Version,
    ) -> Result<PutOutcome, BucketError> {
        let (parts, location) = (&self.0, self.0.location(key)?);
        self.put_if(key, &data, || match &parts.folder {
            Some(folder) => {
                let _lock = lock(folder)?;
                let found = parts.head_once(key, &location)?;
                if found.as_ref() != Some(version) {
                    return Ok(None);
                }
                parts.put_once(key, &location, &data, PutMode::Overwrite)
            }
            None => {
                let mode = PutMode::Update(version.to_update());
                parts.put_once(key, &location, &data, mode)
            }
        })
    }

    fn put_if(
        &self,
        key: &str,
        data: &Bytes,
        mut put: impl FnMut() -> Result<Option<PutResult>, BucketError>,
    ) -> Result<PutOutcome, BucketError> {
        let (mut is_repeated, mut done) = (false, None);
        self.0.attempt(Operation::Upload, key, |tried| {
            is_repeated |= tried > 0;
            done = put()?;
            Ok(())
        })?;
        if let Some(result) = done {
            // Some stores do not say it with the answer.
            return match Version::of_put(result) {
                Some(version) => Ok(PutOutcome::Done(version)),
                None => self.version_of(key).map(PutOutcome::Done),
            };
        }
        // An earlier try may have arrived though its answer did not.
        if is_repeated && self.get(key).is_ok_and(|found| found == data) {
            return self.version_of(key).map(PutOutcome::Done);
        }
        Ok(PutOutcome::Conflict)
    }

    fn version_of(&self, key: &str) -> Result<Version, BucketError> {
        let no_version = || BucketError::Unsupported(format!("{key}: the store has no versions"));
        self.head(key)?.version.ok_or_else(no_version)
    }

    /// Removes an object; that there is none is fine.
    ///
    /// # Errors
    /// See [`BucketError`]; never [`BucketError::NotFound`].
    pub fn delete(&self, key: &str) -> Result<(), BucketError> {
        let (parts, location) = (&self.0, self.0.location(key)?);
        let deleted = parts.attempt(Operation::Delete, key, |_| {
            let (store, location) = (Arc::clone(&parts.store), location.clone());
            parts.wait(key, async move { store.delete(&location).await })
        });
        match deleted {
            Err(error) if error.is_not_found() => Ok(()),
            deleted => deleted,
        }
    }
}

impl Parts {
    /// `None` if the condition of `mode` does not hold.
    fn put_once(
        &self,
        key: &str,
        location: &Location,
        data: &Bytes,
        mode: PutMode,
    ) -> Result<Option<PutResult>, BucketError> {
        use object_store::Error as Store;
        let is_conditional = !matches!(mode, PutMode::Overwrite);
        let (store, location, data) = (Arc::clone(&self.store), location.clone(), data.clone());
        let size_bytes = data.len() as u64;
        let attributes = self.attributes.clone();
        let answer = self.wait_for(key, async move {
            let options = PutOptions { mode, attributes, ..PutOptions::default() };
            store.put_opts(&location, PutPayload::from_bytes(data), options).await
        })?;
        match answer {
            Ok(result) => {
                self.counters.moved(Operation::Upload, size_bytes);
                Ok(Some(result))
            }
            Err(Store::AlreadyExists { .. } | Store::Precondition { .. }) if is_conditional => {
                Ok(None)
            }
            Err(error) => match self.refusal(key, &error) {
                // The object whose contents were to be replaced is gone.
                BucketError::NotFound { .. } if is_conditional => Ok(None),
                refusal => Err(refusal),
            },
        }
    }

    fn head_once(&self, key: &str, location: &Location) -> Result<Option<Version>, BucketError> {
        let (store, location) = (Arc::clone(&self.store), location.clone());
        match self.wait(key, async move { store.head(&location).await }) {
            Ok(meta) => Ok(Version::new(meta.e_tag, meta.version)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The store of folders cannot compare and write in one step, so all who do take this lock.
fn lock(folder: &Path) -> Result<Box<dyn LockGuard>, BucketError> {
    let path = folder.join(FOLDER_LOCK);
    if let Some(above) = path.parent() {
        RealDisk.create_dir_all(above).map_err(BucketError::io(above))?;
    }
    let mut tried = 0;
    loop {
        match RealDisk.lock(&path) {
            Ok(lock) => return Ok(lock),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && tried < LOCK_TRIES => {
                tried += 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(error) => return Err(BucketError::Io { path, error }),
        }
    }
}
