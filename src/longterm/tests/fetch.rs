//! Which blocks a bucket has.

use bytes::Bytes;

use super::*;
use crate::base::metrics::{Registry, Value};
use crate::longterm::bucket::{Fault, FaultyBucket, Operation};

fn fetcher(bucket: &Bucket) -> Fetcher {
    Fetcher::new(bucket.clone(), &FetchOptions::default())
}

fn put(bucket: &Bucket, key: &str, text: &str) {
    bucket.put(key, Bytes::from(text.to_owned())).unwrap();
}

fn names(view: &BucketView) -> Vec<Ulid> {
    view.blocks.iter().map(|block| block.ulid()).collect()
}

#[test]
fn broken_and_foreign_objects_are_named_and_stop_no_other_block() {
    let bucket = Bucket::memory();
    for number in [1, 2] {
        put_block(&bucket, number);
    }
    put(&bucket, &format!("{}/index", ulid(3)), "half of it");
    put(&bucket, &format!("{}/meta.json", ulid(4)), "{\"ulid\": ");
    let foreign = bucket.get(&format!("{}/meta.json", ulid(1))).unwrap();
    bucket.put(&format!("{}/meta.json", ulid(5)), foreign).unwrap();
    put(&bucket, "debug/metas/x.json", "{}");
    put(&bucket, "promlite/lease.json", "{}");
    put(&bucket, "README.txt", "hello");
    put(&bucket, &format!("{}/meta.json", ulid(6).to_string().to_lowercase()), "{}");
    put(&bucket, &MarkKind::NoCompact.key(ulid(1)), "{\"version\":1,\"no_compact_time\":5}");
    put(&bucket, &MarkKind::NoDownsample.key(ulid(1)), "{\"version\":2}");
    put(&bucket, &MarkKind::Deletion.key(ulid(2)), "not a mark");
    put(&bucket, &MarkKind::Deletion.key(ulid(3)), "{\"version\":1,\"deletion_time\":7}");

    let registry = Registry::new();
    let counted = FetchOptions { registry: registry.clone(), ..FetchOptions::default() };
    let view = Fetcher::new(bucket, &counted).fetch().unwrap();
    assert_eq!(names(&view), [ulid(1), ulid(2)]);
    let partial: Vec<_> = view.partial.iter().map(|partial| partial.ulid).collect();
    assert_eq!(partial, [ulid(3), ulid(4), ulid(5)]);
    assert_eq!(view.partial[0].why, PartialWhy::NoMeta);
    let why = view.partial[1].why.to_string();
    assert!(why.starts_with(&format!("{}/meta.json: EOF", ulid(4))), "{why}");
    let why = view.partial[2].why.to_string();
    assert!(why.ends_with(&format!("it is that of block {}", ulid(1))), "{why}");
    assert_eq!(view.no_compact[&ulid(1)].time_s, 5);
    assert!(view.no_downsample.contains_key(&ulid(1)), "words of the future are respected");
    let marked: Vec<_> = view.deletion_marks.keys().copied().collect();
    assert_eq!(marked, [ulid(3)]);
    assert_eq!(view.broken.len(), 4, "{:?}", view.broken);
    let families = registry.gather();
    let broken = families.iter().find(|f| f.name == "promlite_bucket_broken_objects").unwrap();
    assert_eq!(broken.members[0].1, Value::Number(4.0));
}

#[test]
fn a_second_look_reads_only_what_is_new_or_changed() {
    let bucket = Bucket::memory();
    for number in [1, 2] {
        put_block(&bucket, number);
    }
    let mut fetcher = fetcher(&bucket);
    fetcher.fetch().unwrap();
    let reads = bucket.stats().reads;
    assert_eq!(names(&fetcher.fetch().unwrap()), [ulid(1), ulid(2)]);
    assert_eq!(bucket.stats().reads, reads);
    put_block(&bucket, 3);
    delete_block(&bucket, ulid(1)).unwrap();
    let key = format!("{}/meta.json", ulid(2));
    let text = String::from_utf8(bucket.get(&key).unwrap().to_vec()).unwrap();
    put(&bucket, &key, &text.replace("receive", "ruler"));
    let reads = bucket.stats().reads;
    let view = fetcher.fetch().unwrap();
    assert_eq!(names(&view), [ulid(2), ulid(3)]);
    assert_eq!(view.blocks[0].thanos.source, Source::Ruler);
    assert_eq!(bucket.stats().reads, reads + 2);
}

#[test]
fn a_store_that_does_not_answer_is_no_empty_store() {
    let bucket = Bucket::memory();
    put_block(&bucket, 1);
    for operation in [Operation::Iter, Operation::Get] {
        let faulty = FaultyBucket::new(&bucket, move |request| {
            if request.operation == operation { Fault::Refused } else { Fault::None }
        });
        let error = fetcher(&faulty.bucket()).fetch().unwrap_err();
        assert!(error.is_transient(), "{error}");
    }
}

#[test]
fn a_late_listing_makes_no_partial_block() {
    let bucket = Bucket::memory();
    let late = FaultyBucket::new(&bucket, |request| match request.operation {
        Operation::Iter => Fault::ListedLate,
        _ => Fault::None,
    });
    put_block(&late.bucket(), 1);
    put(&late.bucket(), "x", "");
    let mut fetcher = fetcher(&late.bucket());
    // The index and meta.json are not listed, but the chunks are.
    let view = fetcher.fetch().unwrap();
    assert_eq!((names(&view), view.partial), (vec![ulid(1)], vec![]));
}

#[test]
fn a_block_is_partial_for_sure_only_when_it_was_twice() {
    let bucket = Bucket::memory();
    put(&bucket, &format!("{}/index", ulid(3)), "half of it");
    let mut fetcher = fetcher(&bucket);
    assert_eq!(fetcher.fetch().unwrap().partial[0].rounds, 1);
    assert_eq!(fetcher.fetch().unwrap().partial[0].rounds, 2);
    put_block(&bucket, 3);
    assert!(fetcher.fetch().unwrap().partial.is_empty());
    bucket.delete(&format!("{}/meta.json", ulid(3))).unwrap();
    assert_eq!(fetcher.fetch().unwrap().partial[0].rounds, 1);
}

#[test]
fn a_start_is_one_read_of_the_index() {
    let bucket = Bucket::memory();
    for number in 1..=20 {
        put_block(&bucket, number);
    }
    let (kind, block) = (MarkKind::NoCompact, ulid(4));
    let mark = Mark { kind, block, details: "x".into(), time_s: 9, reason: "manual".to_owned() };
    write_mark(&bucket, &mark).unwrap();
    let mut writer = fetcher(&bucket);
    let written = writer.fetch().unwrap();
    BucketIndex::write(&writer, &written, NOW_MS).unwrap();

    let before = bucket.stats().requests;
    let mut reader = fetcher(&bucket);
    let read = reader.start_from_index(NOW_MS + 500, 1000).unwrap().unwrap();
    assert_eq!(bucket.stats().requests, before + 1);
    assert_eq!(read.blocks, written.blocks);
    assert_eq!(read.no_compact, written.no_compact);
    assert_eq!(read.modified_ms, written.modified_ms);

    delete_block(&bucket, ulid(1)).unwrap();
    put_block(&bucket, 21);
    let before = bucket.stats().reads;
    let view = reader.fetch().unwrap();
    assert_eq!(names(&view), (2..=21).map(ulid).collect::<Vec<_>>());
    assert_eq!(bucket.stats().reads, before + 2, "the new block and the mark");
}

#[test]
fn an_index_that_is_missing_old_or_damaged_is_no_help_and_no_harm() {
    let bucket = Bucket::memory();
    put_block(&bucket, 1);
    assert!(fetcher(&bucket).start_from_index(NOW_MS, 1000).unwrap().is_none());
    let mut writer = fetcher(&bucket);
    let view = writer.fetch().unwrap();
    BucketIndex::write(&writer, &view, NOW_MS).unwrap();
    for now_ms in [NOW_MS + 1001, NOW_MS - 1] {
        let mut reader = fetcher(&bucket);
        assert!(reader.start_from_index(now_ms, 1000).unwrap().is_none());
        assert_eq!(names(&reader.fetch().unwrap()), [ulid(1)]);
    }
    let whole = bucket.get(BUCKET_INDEX).unwrap();
    for length in 0..whole.len() {
        bucket.put(BUCKET_INDEX, whole.slice(..length)).unwrap();
        assert!(fetcher(&bucket).start_from_index(NOW_MS, 1000).unwrap().is_none());
    }
    let other = zstd::bulk::compress(br#"{"version":2,"updated_ms":0,"blocks":[],"marks":[]}"#, 3);
    bucket.put(BUCKET_INDEX, other.unwrap().into()).unwrap();
    assert!(fetcher(&bucket).start_from_index(NOW_MS, 1000).unwrap().is_none());
}
