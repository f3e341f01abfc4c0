//! From a configuration to a bucket.

use crate::wire::config::{BucketConfig, BucketProvider};

use super::handle::Store;
use super::{Bucket, BucketError};

impl Bucket {
    /// The bucket that a configuration describes. Nothing is asked of it yet, except that a folder
    /// is made if it is not there; [`check`](Self::check) asks.
    ///
    /// # Errors
    /// A file that the configuration names cannot be read, a value that the store's client refuses,
    /// or a store that this build does not know.
    pub fn open(config: &BucketConfig) -> Result<Self, BucketError> {
        let mut store = match &config.provider {
            BucketProvider::Filesystem(dir) => Store::folder(dir)?,
            #[cfg(feature = "aws")]
            BucketProvider::S3(bucket) => super::s3::open(bucket)?,
            #[cfg(feature = "gcp")]
            BucketProvider::Gcs(bucket) => super::gcs::open(bucket)?,
            #[cfg(feature = "azure")]
            BucketProvider::Azure(bucket) => super::azure::open(bucket)?,
            #[cfg(not(all(feature = "aws", feature = "gcp", feature = "azure")))]
            other => return Err(not_built(other)),
        };
        store.prefix.clone_from(&config.prefix);
        Ok(store.into())
    }

    /// Asks for the names of folders, as the first question of a program should be: wrong
    /// credentials and a bucket that is not there show at once.
    ///
    /// # Errors
    /// See [`BucketError`]; it names the bucket.
    pub fn check(&self) -> Result<(), BucketError> {
        self.list_folders("").map(|_| ()).map_err(|error| match error {
            BucketError::Denied { what, .. } => BucketError::Denied { key: self.name(), what },
            BucketError::Unavailable { what, .. } => {
                BucketError::Unavailable { key: self.name(), what }
            }
            BucketError::Config(what) => BucketError::Config(format!("{}: {what}", self.name())),
            BucketError::NotFound { .. } => {
                BucketError::NoBucket { name: self.name(), what: "it answers 404".to_owned() }
            }
            other => other,
        })
    }
}

#[cfg(not(all(feature = "aws", feature = "gcp", feature = "azure")))]
fn not_built(provider: &BucketProvider) -> BucketError {
    let (kind, feature) = match provider {
        BucketProvider::S3(_) => ("S3", "aws"),
        BucketProvider::Gcs(_) => ("GCS", "gcp"),
        _ => ("AZURE", "azure"),
    };
    let what = format!("buckets of {kind}: promlite was built without its feature {feature}");
    BucketError::Unsupported(what)
}
