//! A bucket in memory, a clock that is moved by hand, and what is in the bucket as a reader sees
//! it.

mod crash;
mod faults;
mod golden;
mod levels;
mod replicas;
mod sick;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ulid::Ulid;

use super::*;
use crate::base::clock::{ManualClock, SharedClock};
use crate::base::metrics::{Registry, Value};
use crate::chunk::{Encoding, XorAppender};
use crate::disk::{MemoryDisk, SharedDisk};
use crate::longterm::bucket::Bucket;
use crate::longterm::{
    BucketBlock, FetchOptions, Fetcher, Source, ThanosMeta, UploadOptions, download_block,
    upload_block,
};
use crate::model::Labels;
use crate::series::{Chunk, Column, Queryable, Select, TimeRange};
use crate::storage::block::{Block, BlockMeta, BlockWriter};

pub(super) const MINUTE: i64 = 60_000;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;
/// A multiple of all lengths of blocks.
pub(super) const T0: i64 = 1_767_225_600_000 / (336 * HOUR) * (336 * HOUR);
pub(super) const WORK: &str = "work";

/// Samples by external labels and series, resolution and time.
pub(super) type Contents = BTreeMap<(String, String), BTreeMap<i64, f64>>;

/// A bucket and a compactor's surroundings.
pub(super) struct World {
    pub(super) bucket: Bucket,
    pub(super) clock: Arc<ManualClock>,
    pub(super) disk: SharedDisk,
    pub(super) registry: Registry,
    pub(super) options: CompactOptions,
}

impl World {
    pub(super) fn new() -> Self {
        Self::over(Bucket::memory(), T0 + 60 * DAY)
    }

    pub(super) fn over(bucket: Bucket, now_ms: i64) -> Self {
        let mut options = CompactOptions::new(WORK);
        // Blocks of tests are short, and all that is made of them would be in the way.
        options.downsample_age_ms = 10_000 * DAY;
        Self {
            bucket,
            clock: Arc::new(ManualClock::at(now_ms)),
            disk: MemoryDisk::shared(),
            registry: Registry::new(),
            options,
        }
    }

    pub(super) fn shared_clock(&self) -> SharedClock {
        self.clock.clone()
    }

    pub(super) fn compactor(&self) -> Compactor {
        self.compactor_on(&self.bucket)
    }

    pub(super) fn compactor_on(&self, bucket: &Bucket) -> Compactor {
        let (bucket, disk, clock) = (bucket.clone(), self.disk.clone(), self.shared_clock());
        Compactor::new(bucket, disk, clock, self.options.clone(), &self.registry)
    }

    pub(super) fn run(&self) -> Report {
        self.compactor().run_once(Watch::default()).unwrap()
    }

    pub(super) fn pass(&self, ms: i64) {
        use crate::base::clock::Clock as _;
        self.clock.set(self.clock.now_ms() + ms);
    }

    /// Uploads a block with a sample every `every_ms` of each series.
    pub(super) fn upload(
        &self,
        number: u64,
        span: (i64, i64),
        labels: &[(&str, &str)],
        every_ms: i64,
    ) -> Ulid {
        let samples = |series: i64| {
            let times = (span.0..span.1).step_by(usize::try_from(every_ms).unwrap());
            times.map(|time_ms| (time_ms, value(series, time_ms))).collect()
        };
        let series = (0..3).map(|series| (series, samples(series))).collect();
        self.upload_samples(number, span, labels, &series)
    }

    pub(super) fn upload_samples(
        &self,
        number: u64,
        span: (i64, i64),
        labels: &[(&str, &str)],
        series: &BTreeMap<i64, Vec<(i64, f64)>>,
    ) -> Ulid {
        let chunks = |samples: &Vec<(i64, f64)>| samples.chunks(120).map(chunk).collect();
        let series = series.iter().map(|(name, samples)| (*name, chunks(samples))).collect();
        self.upload_chunks(number, span, labels, &series)
    }

    pub(super) fn upload_chunks(
        &self,
        number: u64,
        span: (i64, i64),
        labels: &[(&str, &str)],
        series: &BTreeMap<i64, Vec<Chunk>>,
    ) -> Ulid {
        // Made when its time was over.
        let ulid = Ulid::from_parts(u64::try_from(span.1).unwrap(), u128::from(number));
        let dir = Path::new("made");
        let names: Vec<String> = series.keys().map(|name| format!("{name:03}")).collect();
        let symbols: BTreeSet<&str> =
            names.iter().map(String::as_str).chain(["__name__", "m", "n"]).collect();
        let mut writer =
            BlockWriter::new(self.disk.clone(), dir, ulid, &mut symbols.into_iter()).unwrap();
        for (name, chunks) in series {
            let name = format!("{name:03}");
            let labels = Labels::from_pairs([("__name__", "m"), ("n", name.as_str())]).unwrap();
            writer.add_series(&labels, chunks).unwrap();
        }
        writer.finish(BlockMeta::new(ulid, span.0, span.1)).unwrap().unwrap();
        self.send(&dir.join(ulid.to_string()), labels, 0);
        ulid
    }

    pub(super) fn send(&self, dir: &Path, labels: &[(&str, &str)], resolution_ms: i64) {
        let labels = Labels::from_pairs(labels.iter().copied()).unwrap();
        let mut thanos = ThanosMeta::new(&labels, Source::Sidecar);
        thanos.set_resolution_ms(resolution_ms);
        let clock: SharedClock = Arc::new(ManualClock::at(T0));
        let options = UploadOptions { clock, ..UploadOptions::default() };
        upload_block(&self.bucket, &self.disk, dir, &thanos, &options).unwrap();
    }

    /// The blocks that a store shows: whole, not marked, not superfluous.
    pub(super) fn shown(&self) -> Vec<Arc<BucketBlock>> {
        let mut view = Fetcher::new(self.bucket.clone(), &FetchOptions::default()).fetch().unwrap();
        let marked: Vec<Ulid> = view.deletion_marks.keys().copied().collect();
        view.blocks.retain(|block| !marked.contains(&block.ulid()));
        let replica_labels: Vec<Arc<str>> =
            self.options.replica_labels.iter().map(|name| Arc::from(name.as_str())).collect();
        view.remove_replica_labels(&replica_labels);
        view.remove_duplicates();
        view.blocks.sort_by_key(|block| (block.resolution_ms(), block.meta.min_time_ms));
        view.blocks
    }

    /// Spans of the shown blocks of a resolution, in hours since the beginning.
    pub(super) fn spans(&self, resolution_ms: i64) -> Vec<(i64, i64)> {
        let blocks = self.shown();
        let of = blocks.iter().filter(|block| block.resolution_ms() == resolution_ms);
        let hours = |time_ms: i64| (time_ms - T0) / HOUR;
        of.map(|block| (hours(block.meta.min_time_ms), hours(block.meta.max_time_ms))).collect()
    }

    pub(super) fn open(&self, block: &BucketBlock) -> Arc<Block> {
        let dir = PathBuf::from("read").join(block.ulid().to_string());
        if !self.disk.exists(&dir) {
            download_block(&self.bucket, block, &self.disk, Path::new("read"), &|_| ()).unwrap();
        }
        Block::open(&self.disk, &dir).unwrap()
    }

    /// All raw samples that are shown; none may be there twice.
    pub(super) fn contents(&self) -> Contents {
        let mut contents = Contents::new();
        for block in self.shown().iter().filter(|block| block.resolution_ms() == 0) {
            let labels = format!("{:?}", block.thanos.labels);
            let open = self.open(block);
            for series in open.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap().series {
                let name = series.labels().get("n").unwrap().to_owned();
                let samples = contents.entry((labels.clone(), name)).or_default();
                let mut column = Column::new();
                series.read(TimeRange::ALL, &mut column).unwrap();
                for (time_ms, value) in column.timestamps.iter().zip(&column.floats) {
                    assert_eq!(samples.insert(*time_ms, *value), None, "{time_ms} is there twice");
                }
            }
        }
        contents
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.bucket.list("").unwrap().into_iter().map(|object| object.key).collect()
    }

    pub(super) fn marks(&self, name: &str) -> Vec<(Ulid, String)> {
        let keys = self.keys().into_iter().filter(|key| key.ends_with(name));
        let mark = |key: String| {
            let text = self.bucket.get(&key).unwrap();
            (Ulid::from_string(&key[..26]).unwrap(), String::from_utf8(text.to_vec()).unwrap())
        };
        keys.map(mark).collect()
    }

    pub(super) fn number(&self, metric: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name == metric).unwrap();
        let number = |value: &Value| match value {
            Value::Number(number) => *number,
            Value::Histogram { .. } => panic!("{metric} is a histogram"),
        };
        family.members.iter().map(|(_, value)| number(value)).sum()
    }

    /// The same objects in a bucket of their own.
    pub(super) fn copy(&self) -> Self {
        use crate::base::clock::Clock as _;
        let mut copy = Self::over(Bucket::memory(), self.clock.now_ms());
        copy.options = self.options.clone();
        for key in self.keys() {
            copy.bucket.put(&key, self.bucket.get(&key).unwrap()).unwrap();
        }
        copy
    }
}

pub(super) fn value(series: i64, time_ms: i64) -> f64 {
    ((time_ms / MINUTE) % 1000 + series) as f64
}

pub(super) fn chunk(samples: &[(i64, f64)]) -> Chunk {
    let mut appender = XorAppender::new();
    for (time_ms, value) in samples {
        appender.append(*time_ms, *value).unwrap();
    }
    Chunk {
        min_time_ms: appender.min_time_ms(),
        max_time_ms: appender.max_time_ms(),
        encoding: Encoding::Xor as u8,
        data: appender.finish(),
    }
}

pub(super) const CLUSTER: [(&str, &str); 1] = [("cluster", "c")];

/// Two-hour blocks from the beginning on.
pub(super) fn two_hours(world: &World, count: i64) -> Vec<Ulid> {
    let block = |number: i64| {
        let span = (T0 + number * 2 * HOUR, T0 + (number + 1) * 2 * HOUR);
        world.upload(number as u64 + 1, span, &CLUSTER, 10 * MINUTE)
    };
    (0..count).map(block).collect()
}

pub(super) fn overwrite(world: &World, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = world.bucket.get(key).unwrap().to_vec();
    change(&mut bytes);
    world.bucket.put(key, Bytes::from(bytes)).unwrap();
}
