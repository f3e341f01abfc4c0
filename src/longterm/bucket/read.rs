//! Reading and listing.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};

use super::handle::Parts;
use super::{Bucket, BucketError, ObjectInfo, Operation};

/// The largest object that is read as a whole into memory.
const LARGEST_WHOLE_BYTES: u64 = 512 << 20;
/// Parts of one object that are asked for at a time.
const PARTS_AT_A_TIME: usize = 16;

impl Bucket {
    /// The contents of an object, at most half a GiB.
    ///
    /// # Errors
    /// See [`BucketError`].
    pub fn get(&self, key: &str) -> Result<Bytes, BucketError> {
        let (parts, location) = (&self.0, self.0.location(key)?);
        let bytes = parts.attempt(Operation::Get, key, |_| {
            let (store, location) = (Arc::clone(&parts.store), location.clone());
            let answer = parts.wait(key, async move {
                let result = store.get_opts(&location, GetOptions::default()).await?;
                let size_bytes = result.meta.size;
                if size_bytes > LARGEST_WHOLE_BYTES {
                    return Ok((size_bytes, Bytes::new()));
                }
                Ok((size_bytes, result.bytes().await?))
            })?;
            let (size_bytes, bytes) = answer;
            if size_bytes > LARGEST_WHOLE_BYTES {
                let what = format!("{key}: {size_bytes} bytes are too much to read as a whole");
                return Err(BucketError::Unsupported(what));
            }
            parts.whole(key, bytes, size_bytes)
        })?;
        parts.counters.moved(Operation::Get, bytes.len() as u64);
        Ok(bytes)
    }

    /// A part of an object; what lies behind its end is left out.
    ///
    /// # Errors
    /// See [`BucketError`].
    pub fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, BucketError> {
        let mut bytes = self.get_ranges(key, std::slice::from_ref(&range))?;
        Ok(bytes.pop().unwrap_or_default())
    }

    /// Parts of an object, in the order of `ranges`; what lies behind its end is left out. Each
    /// part is one request, several at a time: who wants neighbours in one request joins them.
    ///
    /// # Errors
    /// See [`BucketError`]; all or nothing.
    pub fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, BucketError> {
        let (parts, location) = (&self.0, self.0.location(key)?);
        let mut found: Vec<Option<Bytes>> =
            ranges.iter().map(|range| (range.start >= range.end).then(Bytes::new)).collect();
        let is_open = |found: &[Option<Bytes>]| found.iter().any(Option::is_none);
        while is_open(&found) {
            // Only what is missing is asked for again.
            parts.attempt(Operation::GetRange, key, |_| {
                let open = found.iter().enumerate().filter(|(_, bytes)| bytes.is_none());
                let wanted: Vec<_> = open
                    .filter_map(|(index, _)| Some((index, ranges.get(index)?.clone())))
                    .collect();
                let more = wanted.len().saturating_sub(1);
                (0..more).for_each(|_| parts.counters.began(Operation::GetRange));
                let requests: Vec<_> = wanted
                    .into_iter()
                    .map(|(index, range)| {
                        let store = Arc::clone(&parts.store);
                        let location = location.clone();
                        async move { (index, range_of(&*store, &location, range).await) }
                    })
                    .collect();
                let answers = parts.wait_for(key, async move {
                    let requests = stream::iter(requests).buffer_unordered(PARTS_AT_A_TIME);
                    requests.collect::<Vec<_>>().await
                })?;
                let mut refused = Ok(());
                for (index, answer) in answers {
                    match parts.part(key, answer) {
                        Ok(bytes) => found.iter_mut().skip(index).take(1).for_each(|place| {
                            parts.counters.moved(Operation::GetRange, bytes.len() as u64);
                            *place = Some(bytes.clone());
                        }),
                        Err(error) => refused = Err(error),
                    }
                }
                refused
            })?;
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Size and age of an object.
    ///
    /// # Errors
    /// See [`BucketError`].
    pub fn head(&self, key: &str) -> Result<ObjectInfo, BucketError> {
        self.look(Operation::Attributes, key)
    }

    /// True if there is such an object; false only if the store says so.
    ///
    /// # Errors
    /// See [`BucketError`]; never [`BucketError::NotFound`].
    pub fn exists(&self, key: &str) -> Result<bool, BucketError> {
        match self.look(Operation::Exists, key) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn look(&self, operation: Operation, key: &str) -> Result<ObjectInfo, BucketError> {
        let (parts, location) = (&self.0, self.0.location(key)?);
        let meta = parts.attempt(operation, key, |_| {
            let (store, location) = (Arc::clone(&parts.store), location.clone());
            parts.wait(key, async move { store.head(&location).await })
        })?;
        Ok(ObjectInfo::new(key.to_owned(), meta))
    }

    /// All objects whose names begin with the folders `prefix`, by name. Placeholders of folders,
    /// which some tools make, may be among them, without the slash at their end.
    ///
    /// # Errors
    /// See [`BucketError`].
    pub fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, BucketError> {
        let (parts, location) = (&self.0, self.0.folder_location(prefix)?);
        let mut found = parts.attempt(Operation::Iter, prefix, |_| {
            let (store, location) = (Arc::clone(&parts.store), location.clone());
            let listed = parts.wait(prefix, async move {
                store.list(location.as_ref()).try_collect::<Vec<ObjectMeta>>().await
            })?;
            let named = listed.into_iter().filter_map(|meta| {
                let key = parts.key(&meta.location)?.to_owned();
                Some(ObjectInfo::new(key, meta))
            });
            Ok(parts.listed(named.collect()))
        })?;
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    /// The folders right below the folder `prefix`, without a slash at the end, by name.
    ///
    /// # Errors
    /// See [`BucketError`].
    pub fn list_folders(&self, prefix: &str) -> Result<Vec<String>, BucketError> {
        let (parts, location) = (&self.0, self.0.folder_location(prefix)?);
        let mut folders: Vec<String> = parts.attempt(Operation::Iter, prefix, |_| {
            let (store, location) = (Arc::clone(&parts.store), location.clone());
            let listed = parts
                .wait(prefix, async move { store.list_with_delimiter(location.as_ref()).await })?;
            let folders = listed.common_prefixes.iter();
            Ok(folders.filter_map(|folder| parts.key(folder).map(str::to_owned)).collect())
        })?;
        folders.sort_unstable();
        Ok(folders)
    }
}

/// One part: what the store calls its length, and the bytes. Nothing if it lies behind the end.
async fn range_of(
    store: &dyn ObjectStore,
    location: &object_store::path::Path,
    range: Range<u64>,
) -> object_store::Result<(u64, Bytes)> {
    let start = range.start;
    let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
    let outcome = async {
        let result = store.get_opts(location, options).await?;
        let size_bytes = result.range.end.saturating_sub(result.range.start);
        Ok((size_bytes, result.bytes().await?))
    };
    match outcome.await {
        // Stores refuse a part that begins behind the end, each with words of its own.
        Err(object_store::Error::Generic { store: name, source }) => {
            match store.head(location).await {
                Ok(meta) if meta.size <= start => Ok((0, Bytes::new())),
                _ => Err(object_store::Error::Generic { store: name, source }),
            }
        }
        outcome => outcome,
    }
}

impl Parts {
    /// A folder in the store; `None` for the whole of it.
    fn folder_location(
        &self,
        prefix: &str,
    ) -> Result<Option<object_store::path::Path>, BucketError> {
        let location = self.place(prefix.trim_end_matches('/'))?;
        Ok((!location.as_ref().is_empty()).then_some(location))
    }

    fn part(
        &self,
        key: &str,
        answer: object_store::Result<(u64, Bytes)>,
    ) -> Result<Bytes, BucketError> {
        let (size_bytes, bytes) = answer.map_err(|error| self.refusal(key, &error))?;
        self.whole(key, bytes, size_bytes)
    }

    /// Refuses a body that ends early.
    fn whole(&self, key: &str, bytes: Bytes, size_bytes: u64) -> Result<Bytes, BucketError> {
        #[cfg(any(test, feature = "testkit"))]
        let bytes = match &self.faults {
            Some(faults) => faults.cut(bytes),
            None => bytes,
        };
        if bytes.len() as u64 != size_bytes {
            let what = format!("{} of {size_bytes} bytes arrived", bytes.len());
            return Err(BucketError::unavailable(key, what));
        }
        Ok(bytes)
    }

    #[cfg(any(test, feature = "testkit"))]
    fn listed(&self, found: Vec<ObjectInfo>) -> Vec<ObjectInfo> {
        match &self.faults {
            Some(faults) => faults.hide(found),
            None => found,
        }
    }

    #[cfg(not(any(test, feature = "testkit")))]
    fn listed(&self, found: Vec<ObjectInfo>) -> Vec<ObjectInfo> {
        found
    }
}
