//! Blocks that are set aside because something is wrong with them, so that the others go on.
//!
//! `promlite/quarantine/<ULID>.json` says why. A mark that Thanos knows stands in the block as
//! well, so that its compactor leaves the block alone instead of halting. Nothing of the block is
//! changed, and it stays in answers as far as it can be read.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::longterm::bucket::{Bucket, BucketError};

/// Where the reasons are.
const QUARANTINE: &str = "promlite/quarantine/";
const VERSION: u32 = 1;
/// A reason that is longer is not read.
const RECORD_BYTES_MAX: u64 = 64 << 10;

/// What is wrong with a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// An object that the block's meta names is not there or has another size.
    ObjectMissing,
    /// A file cannot be understood.
    Damaged,
    /// Chunks outside of the block's time.
    ChunksOutside,
    /// Chunks of a series that are not in order.
    ChunksOutOfOrder,
    /// Series or labels that are not in order.
    SeriesOutOfOrder,
    /// Merging it with others was refused.
    Refused,
    /// The reason cannot be read.
    Unknown,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ObjectMissing => "object-missing",
            Self::Damaged => "damaged",
            Self::ChunksOutside => "chunks-outside",
            Self::ChunksOutOfOrder => "chunks-out-of-order",
            Self::SeriesOutOfOrder => "series-out-of-order",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        })
    }
}

/// Why a block is set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    version: u32,
    /// The block.
    pub id: String,
    /// What is wrong with it.
    pub reason: Reason,
    /// The same for people, with object and place.
    pub details: String,
    /// When it was set aside.
    pub time_ms: i64,
    /// By the holder of which token of the lease.
    pub token: u64,
}

impl Quarantined {
    /// Sets `block` aside.
    #[must_use]
    pub fn new(block: Ulid, reason: Reason, details: String, time_ms: i64, token: u64) -> Self {
        Self { version: VERSION, id: block.to_string(), reason, details, time_ms, token }
    }
}

fn key(block: Ulid) -> String {
    format!("{QUARANTINE}{block}.json")
}

/// Writes down why a block is set aside.
///
/// # Errors
/// The bucket's answer.
pub(super) fn write(bucket: &Bucket, block: Ulid, why: &Quarantined) -> Result<(), BucketError> {
    // Texts and numbers cannot be refused.
    bucket.put(&key(block), Bytes::from(serde_json::to_vec(why).unwrap_or_default()))
}

/// Lets a block take part again.
///
/// # Errors
/// The bucket's answer.
pub fn lift(bucket: &Bucket, block: Ulid) -> Result<(), BucketError> {
    bucket.delete(&key(block))
}

/// All blocks that are set aside. One whose reason cannot be read is set aside all the same.
///
/// # Errors
/// The bucket's answer.
pub(super) fn read_all(bucket: &Bucket) -> Result<BTreeMap<Ulid, Quarantined>, BucketError> {
    let mut all = BTreeMap::new();
    for object in bucket.list(QUARANTINE)? {
        let name = object.key.strip_prefix(QUARANTINE).and_then(|name| name.strip_suffix(".json"));
        let Some(block) = name.and_then(|name| Ulid::from_string(name).ok()) else { continue };
        let text = if object.size_bytes > RECORD_BYTES_MAX {
            Bytes::new()
        } else {
            match bucket.get(&object.key) {
                Ok(text) => text,
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error),
            }
        };
        let read = serde_json::from_slice::<Quarantined>(&text);
        let why = read.ok().filter(|why| why.version == VERSION).unwrap_or_else(|| {
            let details = format!("{} cannot be read", object.key);
            Quarantined::new(block, Reason::Unknown, details, object.modified_ms, 0)
        });
        all.insert(block, why);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_come_back_and_foreign_objects_do_no_harm() {
        let bucket = Bucket::memory();
        let why = Quarantined::new(Ulid(7), Reason::Damaged, "index: at 5".to_owned(), 9, 2);
        write(&bucket, Ulid(7), &why).unwrap();
        let text = bucket.get(&key(Ulid(7))).unwrap();
        let wanted = r#"{"version":1,"id":"00000000000000000000000007","reason":"damaged","#;
        assert!(text.starts_with(wanted.as_bytes()));
        bucket.put("promlite/quarantine/notes.txt", Bytes::from_static(b"hello")).unwrap();
        bucket.put(&key(Ulid(8)), Bytes::from_static(b"{")).unwrap();
        let all = read_all(&bucket).unwrap();
        assert_eq!(all.keys().copied().collect::<Vec<_>>(), [Ulid(7), Ulid(8)]);
        assert_eq!(all[&Ulid(7)], why);
        assert_eq!(all[&Ulid(8)].reason, Reason::Unknown);
        lift(&bucket, Ulid(7)).unwrap();
        assert_eq!(read_all(&bucket).unwrap().len(), 1);
    }
}
