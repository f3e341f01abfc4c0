//! What every bucket must do alike, for buckets of any store.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that tests elsewhere call")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::disk::{MemoryDisk, SharedDisk};
use crate::longterm::bucket::{Bucket, BucketError, PutOutcome};

/// What any bucket must do alike; `bucket` is empty, and is so again in the end.
///
/// # Panics
/// It does something else.
pub fn behaves_as_a_bucket(bucket: &Bucket) {
    assert!(bucket.get("a/b").unwrap_err().is_not_found());
    assert!(bucket.head("a/b").unwrap_err().is_not_found());
    assert!(bucket.get_range("a/b", 0..1).unwrap_err().is_not_found());
    assert!(!bucket.exists("a/b").unwrap());
    bucket.delete("a/b").unwrap();
    assert_eq!(bucket.list("").unwrap(), []);
    assert_eq!(bucket.list_folders("").unwrap(), [""; 0]);

    bucket.put("a/b", Bytes::from_static(b"hello")).unwrap();
    bucket.put("a/c/d", Bytes::from_static(b"old")).unwrap();
    bucket.put("a/c/d", Bytes::from_static(b"new!")).unwrap();
    bucket.put("ab/e", Bytes::new()).unwrap();
    assert_eq!(bucket.get("a/b").unwrap(), "hello");
    assert_eq!(bucket.get("ab/e").unwrap(), "");
    assert!(bucket.exists("a/c/d").unwrap() && !bucket.exists("a/c").unwrap());
    let info = bucket.head("a/c/d").unwrap();
    assert_eq!((info.key.as_str(), info.size_bytes), ("a/c/d", 4));
    assert!(info.modified_ms > 1_500_000_000_000);

    assert_eq!(bucket.get_range("a/b", 1..3).unwrap(), "el");
    assert_eq!(bucket.get_range("a/b", 3..99).unwrap(), "lo", "cut at the end");
    assert_eq!(bucket.get_range("a/b", 5..99).unwrap(), "", "behind the end");
    assert_eq!(bucket.get_range("ab/e", 0..9).unwrap(), "");
    assert_eq!(bucket.get_range("a/b", 2..2).unwrap(), "");
    let parts = bucket.get_ranges("a/b", &[4..5, 0..1, 1..1, 0..5, 7..9]).unwrap();
    assert_eq!(parts, ["o", "h", "", "hello", ""]);
    assert!(bucket.get_ranges("a/b", &[]).unwrap().is_empty());

    let keys = |prefix: &str| -> Vec<String> {
        bucket.list(prefix).unwrap().into_iter().map(|object| object.key).collect()
    };
    assert_eq!(keys(""), ["a/b", "a/c/d", "ab/e"]);
    assert_eq!(keys("a"), ["a/b", "a/c/d"]);
    assert_eq!(keys("a/"), ["a/b", "a/c/d"]);
    assert_eq!(keys("a/c"), ["a/c/d"]);
    assert_eq!(bucket.list_folders("").unwrap(), ["a", "ab"]);
    assert_eq!(bucket.list_folders("a").unwrap(), ["a/c"]);

    bucket.delete("a/c/d").unwrap();
    bucket.delete("a/c/d").unwrap();
    assert!(bucket.get("a/c/d").unwrap_err().is_not_found());
    assert_eq!(keys("a/c"), [""; 0]);
    for key in ["", "a//b", "../b"] {
        assert!(matches!(bucket.get(key), Err(BucketError::Config(_))), "{key:?}");
    }
    writes_on_conditions(bucket);
    moves_files(bucket);
    bucket.delete("a/b").unwrap();
    bucket.delete("ab/e").unwrap();
}

fn writes_on_conditions(bucket: &Bucket) {
    let data = |text: &'static str| Bytes::from_static(text.as_bytes());
    let PutOutcome::Done(first) = bucket.put_if_absent("lease", data("1")).unwrap() else {
        panic!("there was none");
    };
    assert_eq!(bucket.put_if_absent("lease", data("2")).unwrap(), PutOutcome::Conflict);
    assert_eq!(bucket.head("lease").unwrap().version.as_ref(), Some(&first));
    let PutOutcome::Done(second) = bucket.put_if_version("lease", data("3"), &first).unwrap()
    else {
        panic!("nobody wrote meanwhile");
    };
    assert_eq!(bucket.head("lease").unwrap().version.as_ref(), Some(&second));
    let late = bucket.put_if_version("lease", data("4"), &first).unwrap();
    assert_eq!(late, PutOutcome::Conflict);
    assert_eq!(bucket.get("lease").unwrap(), "3");
    bucket.delete("lease").unwrap();
    let gone = bucket.put_if_version("lease", data("5"), &second).unwrap();
    assert_eq!(gone, PutOutcome::Conflict);
    assert!(!bucket.exists("lease").unwrap());
}

fn moves_files(bucket: &Bucket) {
    // S3 takes no smaller parts.
    let bucket = bucket.with_part_bytes(5 << 20);
    let disk: SharedDisk = Arc::new(MemoryDisk::new());
    for size in [0, 1000, 5 << 20, (11 << 20) + 7] {
        let contents: Vec<u8> = (0..size).map(|index| (index * 7 / 3) as u8).collect();
        disk.create(Path::new("/from")).unwrap().write_all(&contents).unwrap();
        let told = AtomicU64::new(0);
        let progress = |bytes| {
            told.fetch_add(bytes, Ordering::Relaxed);
        };
        bucket.put_file("moved", &disk, Path::new("/from"), &progress).unwrap();
        assert_eq!(bucket.head("moved").unwrap().size_bytes, size);
        let mut arrived = |bytes: &[u8]| progress(bytes.len() as u64);
        bucket.download("moved", &disk, Path::new("/to"), &mut arrived).unwrap();
        assert!(disk.read(Path::new("/to")).unwrap() == contents);
        // Failed tries are told as well.
        assert!(told.into_inner() >= 2 * size);
    }
    bucket.delete("moved").unwrap();
}
