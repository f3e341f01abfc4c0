//! Blocks out of the bucket, onto the disk or for good.

use super::*;
use crate::longterm::bucket::FaultyBucket;
use crate::storage::block::Block;

fn fetch(
    bucket: &Bucket,
    block: &BucketBlock,
    disk: &SharedDisk,
) -> Result<PathBuf, LongTermError> {
    download_block(bucket, block, disk, Path::new("/into"), &|_| ())
}

#[test]
fn a_block_comes_back_as_it_was() {
    let bucket = Bucket::memory();
    let block = put_block(&bucket, 1);
    let disk = disk();
    let dir = fetch(&bucket, &block, &disk).unwrap();
    let opened = Block::open(&disk, &dir).unwrap();
    assert_eq!(opened.meta().stats.num_samples, 200);
    assert_eq!(ThanosMeta::of(opened.meta()).unwrap().unwrap(), block.thanos);
    let reads = bucket.stats().reads;
    let stray = dir.join("chunks/000002");
    disk.create(&stray).unwrap().write_all(b"x").unwrap();
    fetch(&bucket, &block, &disk).unwrap();
    assert_eq!(bucket.stats().reads, reads, "what is there and right is kept");
    assert!(!disk.exists(&stray));
}

#[test]
fn a_broken_off_download_goes_on() {
    let bucket = Bucket::memory();
    let block = put_block(&bucket, 1);
    for count in 0.. {
        let disk = disk();
        let faulty = FaultyBucket::crashing_after(&bucket, count);
        let broken_off = fetch(&faulty.bucket(), &block, &disk);
        if !faulty.is_crashed() {
            assert!(count > 3);
            break;
        }
        let dir = Path::new("/into").join(ulid(1).to_string());
        assert!(broken_off.is_err() && !disk.exists(&dir.join("meta.json")));
        Block::open(&disk, &fetch(&bucket, &block, &disk).unwrap()).unwrap();
    }
}

#[test]
fn an_object_that_is_not_what_the_meta_says_is_named() {
    let bucket = Bucket::memory();
    let block = put_block(&bucket, 1);
    let key = block.key("index");
    let mut bytes = bucket.get(&key).unwrap().to_vec();
    bytes[9] ^= 1;
    bucket.put(&key, bytes.into()).unwrap();
    let error = fetch(&bucket, &block, &disk()).unwrap_err().to_string();
    assert_eq!(error, format!("{key}: not what meta.json says"));
    bucket.delete(&key).unwrap();
    let error = fetch(&bucket, &block, &disk()).unwrap_err().to_string();
    assert_eq!(error, format!("{key}: no such object"));
}

#[test]
fn paths_that_leave_the_block_are_not_followed() {
    let bucket = Bucket::memory();
    let mut block = put_block(&bucket, 1);
    let mut evil = block.thanos.files[0].clone();
    for rel_path in ["../../evil", "chunks/../../evil", "/evil", "chunks/", "tombstones"] {
        evil.rel_path = rel_path.to_owned();
        block.thanos.files.push(evil.clone());
    }
    let disk = disk();
    fetch(&bucket, &block, &disk).unwrap();
    assert_eq!(disk.list(Path::new("/")).unwrap().len(), 1);
}

#[test]
fn a_block_of_an_old_thanos_names_no_files() {
    let bucket = Bucket::memory();
    let mut block = put_block(&bucket, 1);
    block.thanos.files.clear();
    let disk = disk();
    Block::open(&disk, &fetch(&bucket, &block, &disk).unwrap()).unwrap();
}

#[test]
fn a_removal_that_is_broken_off_leaves_a_partial_block_with_its_mark() {
    for count in 0.. {
        let bucket = Bucket::memory();
        put_block(&bucket, 1);
        put_block(&bucket, 2);
        let (kind, block) = (MarkKind::Deletion, ulid(1));
        let (details, reason) = (String::new(), String::new());
        write_mark(&bucket, &Mark { kind, block, details, time_s: 1, reason }).unwrap();
        let faulty = FaultyBucket::crashing_after(&bucket, count);
        let broken_off = delete_block(&faulty.bucket(), ulid(1));
        assert_eq!(broken_off.is_err(), faulty.is_crashed());
        let left = bucket.list(&ulid(1).to_string()).unwrap();
        assert!(left.is_empty() || bucket.exists(&kind.key(ulid(1))).unwrap());
        assert_whole_or_hidden(&bucket);
        delete_block(&bucket, ulid(1)).unwrap();
        assert_eq!(bucket.list_folders("").unwrap(), [ulid(2).to_string()]);
        if !faulty.is_crashed() {
            assert!(count > 4);
            break;
        }
    }
}
