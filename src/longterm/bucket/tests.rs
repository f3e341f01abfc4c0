//! What all buckets do alike, and what a store may do to them.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::base::metrics::Registry;
use crate::disk::{MemoryDisk, SharedDisk};

/// What any bucket must do alike; `bucket` is empty.
pub(crate) fn behaves_as_a_bucket(bucket: &Bucket) {
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
    assert_eq!(bucket.get_ranges("a/b", &[]).unwrap(), [Bytes::new(); 0]);

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
    let bucket = bucket.with(|parts| parts.part_bytes = 5 << 20);
    let disk: SharedDisk = Arc::new(MemoryDisk::new());
    for size in [0, 1000, 5 << 20, (11 << 20) + 7] {
        let contents: Vec<u8> = (0..size).map(|index| (index * 7 / 3) as u8).collect();
        disk.create(Path::new("/from")).unwrap().write_all(&contents).unwrap();
        let told = std::sync::atomic::AtomicU64::new(0);
        let progress = |bytes| {
            told.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
        };
        bucket.put_file("moved", &disk, Path::new("/from"), &progress).unwrap();
        assert_eq!(bucket.head("moved").unwrap().size_bytes, size);
        bucket.download("moved", &disk, Path::new("/to"), &progress).unwrap();
        assert!(disk.read(Path::new("/to")).unwrap() == contents);
        assert_eq!(told.into_inner(), 2 * size);
    }
    bucket.delete("moved").unwrap();
}

#[test]
fn memory_behaves_as_a_bucket() {
    behaves_as_a_bucket(&Bucket::memory());
}

#[test]
fn a_folder_behaves_as_a_bucket() {
    let folder = tempfile::tempdir().unwrap();
    behaves_as_a_bucket(&Bucket::folder(&folder.path().join("made")).unwrap());
}

#[test]
fn a_bucket_may_be_used_and_dropped_inside_a_task() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Bucket::folder(folder.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let bytes = runtime.block_on(async move {
        bucket.put("a", Bytes::from_static(b"x")).unwrap();
        bucket.get("a").unwrap()
    });
    assert_eq!(bytes, "x");
}

/// The same fault for every third request.
fn every_third(bucket: &Bucket, fault: Fault) -> FaultyBucket {
    FaultyBucket::new(
        bucket,
        move |request| {
            if request.number % 3 == 0 { fault } else { Fault::None }
        },
    )
}

#[test]
fn faults_that_pass_are_not_seen() {
    for fault in [Fault::Refused, Fault::AnswerLost, Fault::CutShort] {
        let memory = Bucket::memory();
        behaves_as_a_bucket(&every_third(&memory, fault).bucket());
    }
}

#[test]
fn a_fault_that_stays_is_an_error_that_names_the_object() {
    let memory = Bucket::memory();
    memory.put("a/b", Bytes::from_static(b"hello")).unwrap();
    for fault in [Fault::Refused, Fault::AnswerLost, Fault::CutShort] {
        let faulty = FaultyBucket::new(&memory, move |_| fault);
        let error = faulty.bucket().get("a/b").unwrap_err();
        assert!(error.is_transient() && error.to_string().starts_with("a/b: "), "{error}");
        assert_eq!(faulty.requests(), 4);
    }
    let crashed = FaultyBucket::crashing_after(&memory, 1);
    crashed.bucket().put("a/c", Bytes::new()).unwrap();
    assert!(crashed.bucket().put("a/d", Bytes::new()).is_err() && crashed.is_crashed());
    assert!(crashed.bucket().exists("a/c").is_err());
    assert!(memory.exists("a/c").unwrap() && !memory.exists("a/d").unwrap());
}

#[test]
fn a_condition_whose_answer_was_lost_is_no_conflict_with_oneself() {
    let memory = Bucket::memory();
    let lost_first = |request: &Request| match request.number {
        0 => Fault::AnswerLost,
        _ => Fault::None,
    };
    let bucket = FaultyBucket::new(&memory, lost_first).bucket();
    let outcome = bucket.put_if_absent("lease", Bytes::from_static(b"mine")).unwrap();
    assert!(matches!(outcome, PutOutcome::Done(_)));
}

#[test]
fn a_late_listing_lacks_what_was_written_last() {
    let memory = Bucket::memory();
    let late = FaultyBucket::new(&memory, |request| match request.number {
        2 => Fault::ListedLate,
        _ => Fault::None,
    });
    memory.put("a", Bytes::new()).unwrap();
    late.bucket().put("b", Bytes::new()).unwrap();
    late.bucket().put("c", Bytes::new()).unwrap();
    let keys = || -> Vec<String> {
        late.bucket().list("").unwrap().into_iter().map(|object| object.key).collect()
    };
    assert_eq!(keys(), ["a"]);
    assert_eq!(keys(), ["a", "b", "c"]);
}

#[test]
fn requests_are_counted_under_the_names_of_thanos() {
    let registry = Registry::new();
    let bucket = Bucket::memory().counted_in(&registry);
    bucket.put("a", Bytes::from_static(b"hello")).unwrap();
    assert_eq!(bucket.get("a").unwrap(), "hello");
    bucket.get_ranges("a", &[0..1, 2..4]).unwrap();
    assert!(!bucket.exists("b").unwrap());
    let stats = bucket.stats();
    assert_eq!((stats.requests, stats.reads, stats.writes, stats.failures), (5, 3, 1, 0));
    assert_eq!((stats.read_bytes, stats.written_bytes), (8, 5));
    let names: Vec<_> = registry.gather().iter().map(|family| family.name).collect();
    assert_eq!(
        names,
        [
            "thanos_objstore_bucket_operation_failures_total",
            "thanos_objstore_bucket_operation_transferred_bytes_total",
            "thanos_objstore_bucket_operations_total",
        ]
    );
}
