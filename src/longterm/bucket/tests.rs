//! What all buckets do alike, and what a store may do to them.

use bytes::Bytes;

use super::*;
use crate::base::metrics::Registry;
use crate::testkit::bucket::behaves_as_a_bucket;

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
