//! Blocks on their way into a bucket, in it, and out of it again, with everything failing.

mod fetch;
mod move_blocks;
mod ship;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ulid::Ulid;

use crate::base::clock::ManualClock;
use crate::chunk::{EncodeOptions, encode_column};
use crate::disk::{MemoryDisk, SharedDisk};
use crate::model::{Column, Labels};
use crate::series::Chunk;
use crate::storage::block::{BlockMeta, BlockWriter};

use super::bucket::Bucket;
use super::*;

const RANGE_MS: i64 = 7_200_000;
const NOW_MS: i64 = 1_767_323_045_000;
const DATA: &str = "/data";

fn ulid(number: u64) -> Ulid {
    Ulid::from_parts(1_767_312_000_000 + number, u128::from(number))
}

fn labels() -> Labels {
    Labels::from_pairs([("cluster", "a"), ("replica", "0")]).unwrap()
}

fn disk() -> SharedDisk {
    Arc::new(MemoryDisk::new())
}

fn clock() -> crate::base::clock::SharedClock {
    Arc::new(ManualClock::at(NOW_MS))
}

/// A block of one series for the range of that number; `change` may change its meta and options.
fn write_block_as(
    disk: &SharedDisk,
    number: u64,
    options: &EncodeOptions,
    change: impl FnOnce(&mut BlockMeta),
) -> PathBuf {
    disk.create_dir_all(Path::new(DATA)).unwrap();
    let start_ms = i64::try_from(number).unwrap() * RANGE_MS;
    let mut column = Column::new();
    for index in 0..200 {
        column.timestamps.push(start_ms + index * 15_000);
        column.floats.push((index * 7 % 13) as f64);
        if options.float_starts {
            column.starts_ms.push(start_ms);
        }
    }
    let mut chunks = Vec::new();
    encode_column(&column, 0..column.len(), options, &mut |chunk| {
        chunks.push(Chunk {
            min_time_ms: chunk.min_time_ms,
            max_time_ms: chunk.max_time_ms,
            encoding: chunk.encoding,
            data: chunk.data,
        });
    })
    .unwrap();
    let mut meta = BlockMeta::new(ulid(number), start_ms, start_ms + RANGE_MS);
    change(&mut meta);
    let mut symbols = ["__name__", "up"].into_iter();
    let mut writer =
        BlockWriter::new(disk.clone(), Path::new(DATA), meta.ulid, &mut symbols).unwrap();
    writer.add_series(&Labels::from_pairs([("__name__", "up")]).unwrap(), &chunks).unwrap();
    let meta = writer.finish(meta).unwrap().unwrap();
    Path::new(DATA).join(meta.ulid.to_string())
}

fn write_block(disk: &SharedDisk, number: u64) -> PathBuf {
    write_block_as(disk, number, &EncodeOptions::default(), |_| ())
}

/// Sends block `number` without more ado.
fn put_block(bucket: &Bucket, number: u64) -> BucketBlock {
    let disk = disk();
    let dir = write_block(&disk, number);
    let options = UploadOptions { clock: clock(), ..UploadOptions::default() };
    upload_block(bucket, &disk, &dir, &ThanosMeta::new(&labels(), Source::Receive), &options)
        .unwrap()
}

fn contents(bucket: &Bucket) -> Vec<(String, bytes::Bytes)> {
    let objects = bucket.list("").unwrap().into_iter();
    objects.map(|object| (object.key.clone(), bucket.get(&object.key).unwrap())).collect()
}

fn keys(bucket: &Bucket) -> Vec<String> {
    bucket.list("").unwrap().into_iter().map(|object| object.key).collect()
}

/// A block that shows itself is whole: its meta is there only with all files that it names.
fn assert_whole_or_hidden(bucket: &Bucket) {
    let view = Fetcher::new(bucket.clone(), &FetchOptions::default()).fetch().unwrap();
    for block in &view.blocks {
        for file in block.thanos.files.iter().filter(|file| file.rel_path != "meta.json") {
            let bytes = bucket.get(&block.key(&file.rel_path)).unwrap();
            assert!(verify::is_as_told(&bytes, file), "{}", file.rel_path);
        }
    }
}
