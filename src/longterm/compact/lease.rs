//! At most one compactor works on a bucket, or on the part of it that is its own.
//!
//! The object `promlite/compactor-lease.json` says who holds the lease and until when; parts have
//! names of their own. It is only ever changed under the condition that it still is what the
//! writer has read, so that of two who want it one gets it. Each holder has a larger token than all
//! before it: whoever was held up so long that another one took over finds that out before it does
//! harm, and what it has written carries its token.
//!
//! Thanos knows nothing of it. That it and we do not both compact a bucket is up to the operator.

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::base::clock::SharedClock;
use crate::longterm::bucket::{Bucket, BucketError, PutOutcome, Version};

/// Where the lease is.
pub const LEASE_KEY: &str = "promlite/compactor-lease.json";
const VERSION: u32 = 1;

/// What the object says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    version: u32,
    holder: String,
    token: u64,
    expires_ms: i64,
}

/// Why there is no lease, or no longer.
#[derive(Debug)]
#[non_exhaustive]
pub enum LeaseError {
    /// Somebody else has it.
    Held {
        /// What it calls itself.
        holder: String,
        /// When it can be taken over unless it is renewed.
        expires_ms: i64,
    },
    /// It was taken over.
    Lost {
        /// The token that we had.
        token: u64,
    },
    /// The object is no lease.
    Damaged {
        /// Its name.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// The bucket refused.
    Bucket(BucketError),
}

impl std::fmt::Display for LeaseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Held { holder, expires_ms } => {
                write!(f, "{holder} compacts these blocks, until {expires_ms} at least")
            }
            Self::Lost { token } => {
                write!(f, "another compactor took over from the one with token {token}")
            }
            Self::Damaged { key, what } => write!(f, "{key}: not a lease: {what}"),
            Self::Bucket(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LeaseError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bucket(error) => Some(error),
            _ => None,
        }
    }
}

impl From<BucketError> for LeaseError {
    fn from(error: BucketError) -> Self {
        Self::Bucket(error)
    }
}

#[derive(Debug)]
struct Held {
    version: Version,
    expires_ms: i64,
}

/// The right to change the blocks of a bucket. Has to be [renewed](Self::keep) while it is used,
/// and [given back](Self::release).
#[derive(Debug)]
pub struct Lease {
    bucket: Bucket,
    key: String,
    clock: SharedClock,
    holder: String,
    token: u64,
    ttl_ms: i64,
    held: Mutex<Held>,
}

impl Lease {
    /// Takes the lease `key` for `ttl_ms`, if nobody has it.
    ///
    /// # Errors
    /// Somebody has it, or the bucket's answer.
    pub fn take(
        bucket: &Bucket,
        key: &str,
        clock: &SharedClock,
        holder: &str,
        ttl_ms: i64,
    ) -> Result<Self, LeaseError> {
        let now_ms = clock.now_ms();
        let expires_ms = now_ms.saturating_add(ttl_ms);
        let record =
            |token| Record { version: VERSION, holder: holder.to_owned(), token, expires_ms };
        let (token, outcome) = match read(bucket, key)? {
            None => (1, bucket.put_if_absent(key, encode(&record(1)))?),
            Some((found, _)) if found.expires_ms > now_ms => {
                let Record { holder, expires_ms, .. } = found;
                return Err(LeaseError::Held { holder, expires_ms });
            }
            Some((found, version)) => {
                let token = found.token.saturating_add(1);
                (token, bucket.put_if_version(key, encode(&record(token)), &version)?)
            }
        };
        let PutOutcome::Done(version) = outcome else {
            let holder = read(bucket, key)?.map(|(found, _)| (found.holder, found.expires_ms));
            let (holder, expires_ms) = holder.unwrap_or_else(|| ("somebody".to_owned(), now_ms));
            return Err(LeaseError::Held { holder, expires_ms });
        };
        tracing::debug!(bucket = %bucket.name(), holder, token, "lease taken");
        let held = Mutex::new(Held { version, expires_ms });
        let (bucket, key, clock) = (bucket.clone(), key.to_owned(), clock.clone());
        Ok(Self { bucket, key, clock, holder: holder.to_owned(), token, ttl_ms, held })
    }

    /// Larger than that of every holder before.
    #[must_use]
    pub const fn token(&self) -> u64 {
        self.token
    }

    /// Renews the lease if half of its time is over; does nothing before. For long work, often.
    ///
    /// # Errors
    /// It was taken over, or the bucket's answer.
    pub fn keep(&self) -> Result<(), LeaseError> {
        let mut held = self.held.lock();
        if self.clock.now_ms() < held.expires_ms.saturating_sub(self.ttl_ms / 2) {
            return Ok(());
        }
        self.write(&mut held, self.clock.now_ms().saturating_add(self.ttl_ms))
    }

    /// Asks the bucket whether the lease is still ours: before each step that cannot be taken back.
    ///
    /// # Errors
    /// It was taken over, or the bucket's answer.
    pub fn check(&self) -> Result<(), LeaseError> {
        self.keep()?;
        let found = self.bucket.head(&self.key);
        let is_ours = match found {
            Ok(found) => found.version.as_ref() == Some(&self.held.lock().version),
            Err(error) if error.is_not_found() => false,
            Err(error) => return Err(error.into()),
        };
        if is_ours { Ok(()) } else { Err(LeaseError::Lost { token: self.token }) }
    }

    /// Lets others have it at once.
    ///
    /// # Errors
    /// It was taken over, or the bucket's answer; then it ends by itself.
    pub fn release(self) -> Result<(), LeaseError> {
        // The object stays, so that tokens go on growing.
        let mut held = self.held.lock();
        self.write(&mut held, i64::MIN)
    }

    fn write(&self, held: &mut Held, expires_ms: i64) -> Result<(), LeaseError> {
        let (holder, token) = (self.holder.clone(), self.token);
        let record = Record { version: VERSION, holder, token, expires_ms };
        match self.bucket.put_if_version(&self.key, encode(&record), &held.version)? {
            PutOutcome::Done(version) => {
                *held = Held { version, expires_ms };
                Ok(())
            }
            PutOutcome::Conflict => Err(LeaseError::Lost { token }),
        }
    }
}

fn encode(record: &Record) -> Bytes {
    // Numbers and texts cannot be refused.
    serde_json::to_vec(record).unwrap_or_default().into()
}

fn read(bucket: &Bucket, key: &str) -> Result<Option<(Record, Version)>, LeaseError> {
    // The version first: if somebody writes in between, the conditional write fails.
    let info = match bucket.head(key) {
        Ok(info) => info,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let no_version = || BucketError::Unsupported(format!("{key}: the store has no versions"));
    let version = info.version.ok_or_else(no_version)?;
    let damaged = |what: String| LeaseError::Damaged { key: key.to_owned(), what };
    let text = bucket.get(key)?;
    let record: Record =
        serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    if record.version != VERSION {
        return Err(damaged(format!("version {}", record.version)));
    }
    Ok(Some((record, version)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;
    use std::sync::Arc;

    const TTL_MS: i64 = 1000;

    fn take(bucket: &Bucket, clock: &Arc<ManualClock>, who: &str) -> Result<Lease, LeaseError> {
        let clock: SharedClock = clock.clone();
        Lease::take(bucket, LEASE_KEY, &clock, who, TTL_MS)
    }

    fn buckets() -> (tempfile::TempDir, [Bucket; 2]) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Bucket::folder(dir.path()).unwrap();
        (dir, [Bucket::memory(), folder])
    }

    #[test]
    fn one_has_it_until_it_gives_it_back_or_is_late() {
        let (_dir, buckets) = buckets();
        for bucket in buckets {
            let clock = Arc::new(ManualClock::at(10_000));
            let first = take(&bucket, &clock, "first").unwrap();
            assert_eq!(first.token(), 1);
            let refused = take(&bucket, &clock, "second").unwrap_err();
            let LeaseError::Held { holder, expires_ms } = refused else { panic!("{refused}") };
            assert_eq!((holder.as_str(), expires_ms), ("first", 11_000));
            // Renewed in time, it lasts.
            clock.set(10_600);
            first.keep().unwrap();
            clock.set(11_200);
            first.check().unwrap();
            assert!(take(&bucket, &clock, "second").is_err());
            first.release().unwrap();
            let second = take(&bucket, &clock, "second").unwrap();
            assert_eq!(second.token(), 2);
            // Held up for too long, it is taken over.
            clock.set(20_000);
            let third = take(&bucket, &clock, "third").unwrap();
            assert_eq!(third.token(), 3);
            assert!(matches!(second.check(), Err(LeaseError::Lost { token: 2 })));
            assert!(matches!(second.release(), Err(LeaseError::Lost { token: 2 })));
            third.check().unwrap();
        }
    }

    #[test]
    fn who_was_late_goes_on_if_nobody_wanted_it() {
        let bucket = Bucket::memory();
        let clock = Arc::new(ManualClock::at(0));
        let lease = take(&bucket, &clock, "a").unwrap();
        clock.set(1_000_000);
        lease.check().unwrap();
        assert!(take(&bucket, &clock, "b").is_err());
    }

    #[test]
    fn what_is_no_lease_is_named_and_not_replaced() {
        let bucket = Bucket::memory();
        let clock = Arc::new(ManualClock::at(0));
        for text in ["", "{}", r#"{"version":2,"holder":"x","token":1,"expires_ms":0}"#] {
            bucket.put(LEASE_KEY, Bytes::from(text)).unwrap();
            let error = take(&bucket, &clock, "a").unwrap_err();
            assert!(matches!(error, LeaseError::Damaged { .. }));
            assert!(error.to_string().starts_with(LEASE_KEY));
            assert_eq!(bucket.get(LEASE_KEY).unwrap(), text);
        }
    }
}
