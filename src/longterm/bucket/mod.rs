//! Where are objects, and how are they put, read and listed?
//!
//! A [`Bucket`] is a blocking handle: requests run on threads of its own, so that it may be used
//! from any thread. Every request is tried a few times while the store says that it is worth it;
//! "not there" is only said when the store said exactly that.
//!
//! Useful for: S3, GCS, Azure, a folder, memory, all alike.
//! Not useful for: knowing what the objects mean.

#[cfg(feature = "azure")]
mod azure;
#[cfg(any(feature = "aws", feature = "gcp", feature = "azure"))]
mod cloud;
mod error;
#[cfg(any(test, feature = "testkit"))]
mod faulty;
#[cfg(feature = "gcp")]
mod gcs;
mod handle;
mod object;
mod open;
mod read;
mod runner;
#[cfg(feature = "aws")]
mod s3;
mod stats;
#[cfg(test)]
mod tests;
mod transfer;
mod write;

pub use error::BucketError;
#[cfg(any(test, feature = "testkit"))]
pub use faulty::{Fault, FaultyBucket, Request};
pub use handle::{Bucket, Retry};
pub use object::{ObjectInfo, PutOutcome, Version};
pub use stats::{BucketStats, Operation};

pub use crate::wire::config::{BucketConfig, BucketProvider};
