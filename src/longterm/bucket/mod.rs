//! Where are objects, and how are they put, read and listed?
//!
//! A [`Bucket`] is a blocking handle: requests run on threads of its own, so that it may be used
//! from any thread. Every request is tried a few times while the store says that it is worth it;
//! "not there" is only said when the store said exactly that.
//!
//! Useful for: S3, GCS, Azure, a folder, memory, all alike.
//! Not useful for: knowing what the objects mean.

mod error;
#[cfg(any(test, feature = "testkit"))]
mod faulty;
mod handle;
mod object;
mod read;
mod runner;
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
