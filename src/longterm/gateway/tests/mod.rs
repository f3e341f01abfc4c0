//! Blocks in a bucket, and what is asked of them.

mod answers;
mod costs;
mod faults;
mod refreshes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ulid::Ulid;

use crate::chunk::{EncodeOptions, encode_column};
use crate::disk::{MemoryDisk, SharedDisk};
use crate::longterm::bucket::Bucket;
use crate::longterm::{BucketBlock, FileInfo, Source, ThanosMeta};
use crate::model::{Labels, LabelsBuf, Matcher};
use crate::series::{Chunk, Column, Queryable, Select, TimeRange};
use crate::storage::block::{Block, BlockMeta, BlockWriter, WriterOptions};

use super::block::About;
use super::{Gateway, GatewayOptions};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

/// Samples of one series: each inner list becomes chunks of its own.
type Samples = Vec<Vec<(i64, f64)>>;

/// A block to be written.
#[derive(Debug, Clone)]
struct Spec {
    number: u64,
    external: Labels,
    /// First millisecond, first millisecond behind.
    range: (i64, i64),
    resolution_ms: i64,
    series: BTreeMap<Labels, Samples>,
    /// The blocks that it was merged from; itself if there are none.
    sources: Vec<u64>,
}

impl Spec {
    fn ulid(&self) -> Ulid {
        Ulid::from_parts(self.number, 0)
    }
}

/// Blocks on a disk, and the same in a bucket.
struct Fixture {
    disk: SharedDisk,
    bucket: Bucket,
    blocks: Vec<(About, Arc<Block>)>,
}

const DIR: &str = "data";

fn chunks_of(samples: &Samples) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    for run in samples {
        let mut column = Column::new();
        run.iter().for_each(|(time, value)| column.push(*time, *value));
        let options = EncodeOptions::default();
        encode_column(&column, 0..column.len(), &options, &mut |chunk| {
            chunks.push(Chunk {
                min_time_ms: chunk.min_time_ms,
                max_time_ms: chunk.max_time_ms,
                encoding: chunk.encoding,
                data: chunk.data,
            });
        })
        .unwrap();
    }
    chunks
}

impl Fixture {
    fn new() -> Self {
        Self { disk: MemoryDisk::shared(), bucket: Bucket::memory(), blocks: Vec::new() }
    }

    fn of(specs: &[Spec]) -> Self {
        let mut fixture = Self::new();
        specs.iter().for_each(|spec| fixture.add(spec, 512 << 20));
        fixture
    }

    /// Writes a block in segments of about `segment_bytes` and puts it into the bucket.
    fn add(&mut self, spec: &Spec, segment_bytes: u64) {
        let ulid = spec.ulid();
        let symbols: BTreeSet<&str> = spec
            .series
            .keys()
            .flat_map(|labels| labels.iter().flat_map(|(name, value)| [name, value]))
            .collect();
        let options = WriterOptions { segment_bytes };
        let (dir, mut symbols) = (Path::new(DIR), symbols.into_iter());
        let disk = Arc::clone(&self.disk);
        let mut writer =
            BlockWriter::with_options(disk, dir, ulid, &mut symbols, &options).unwrap();
        for (labels, samples) in &spec.series {
            writer.add_series(labels, &chunks_of(samples)).unwrap();
        }
        let meta = BlockMeta::new(ulid, spec.range.0, spec.range.1);
        writer.finish(meta).unwrap();
        self.put(spec, &dir.join(ulid.to_string()));
    }

    fn put(&mut self, spec: &Spec, dir: &Path) {
        let ulid = spec.ulid();
        let put = |name: &str| {
            let data = Bytes::from(self.disk.read(&dir.join(name)).unwrap());
            let size = data.len() as u64;
            self.bucket.put(&format!("{ulid}/{name}"), data).unwrap();
            size
        };
        let index_bytes = put("index");
        let segments = self.disk.list(&dir.join("chunks")).unwrap();
        let segments = segments
            .into_iter()
            .map(|entry| (entry.name.clone(), Some(put(&format!("chunks/{}", entry.name)))))
            .collect();
        let block = Block::open(&self.disk, dir).unwrap();
        let about = About {
            ulid,
            labels: spec.external.clone(),
            range: TimeRange::new(spec.range.0, spec.range.1 - 1),
            resolution_ms: spec.resolution_ms,
            index_bytes: Some(index_bytes),
            segments,
            series_max_bytes: 0,
            chunk_max_bytes: 0,
            series_count: block.meta().stats.num_series,
        };
        self.put_meta(spec, block.meta().clone());
        self.blocks.push((about, block));
    }

    fn put_meta(&self, spec: &Spec, mut meta: BlockMeta) {
        let mut thanos = ThanosMeta::new(&spec.external, Source::Sidecar);
        thanos.set_resolution_ms(spec.resolution_ms);
        for object in self.bucket.list(&spec.ulid().to_string()).unwrap() {
            let rel_path = object.key.split_once('/').unwrap().1.to_owned();
            thanos.files.push(FileInfo { rel_path, size_bytes: object.size_bytes, hash: None });
        }
        if !spec.sources.is_empty() {
            let sources = spec.sources.iter().map(|number| Ulid::from_parts(*number, 0));
            meta.compaction.sources = sources.collect();
        }
        let block = BucketBlock { meta, thanos };
        self.bucket.put(&block.key("meta.json"), block.encode().into()).unwrap();
    }

    fn abouts(&self) -> Vec<About> {
        self.blocks.iter().map(|(about, _)| about.clone()).collect()
    }

    fn gateway(&self, options: GatewayOptions) -> Gateway {
        self.gateway_over(self.bucket.clone(), options)
    }

    /// The same over another way to the objects.
    fn gateway_over(&self, bucket: Bucket, options: GatewayOptions) -> Gateway {
        let gateway = Gateway::new(bucket, options);
        gateway.replace_blocks(self.abouts());
        gateway
    }

    /// What the blocks have, read from the disk and put together in the simplest way.
    fn model(&self, ask: &Select) -> BTreeMap<Labels, BTreeMap<i64, u64>> {
        let mut order: Vec<_> = self.blocks.iter().collect();
        order.sort_by_key(|(about, _)| (about.range.start_ms, about.ulid));
        let mut all: BTreeMap<Labels, BTreeMap<i64, u64>> = BTreeMap::new();
        for (about, block) in order.into_iter().filter(|(a, _)| a.range.overlaps(ask.range)) {
            for (labels, samples) in matching(about, block, &ask.matchers) {
                let known = all.entry(labels).or_default();
                for (time, bits) in samples {
                    known.entry(time).or_insert(bits);
                }
            }
        }
        for samples in all.values_mut() {
            samples.retain(|time, _| ask.range.contains(*time));
        }
        all
    }
}

type Series = (Labels, Vec<(i64, u64)>);

/// All series of a block, with its external labels, that match.
fn matching(about: &About, block: &Block, matchers: &[Matcher]) -> Vec<Series> {
    let mut found = Vec::new();
    for series in block.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap().series {
        let mut joined = LabelsBuf::new();
        for (name, value) in series.labels().iter() {
            if about.labels.get(name).is_none() {
                joined.push(name, value);
            }
        }
        about.labels.iter().for_each(|(name, value)| joined.push(name, value));
        let labels = joined.finish().unwrap().to_labels();
        if matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or(""))) {
            let mut column = Column::new();
            series.read(TimeRange::ALL, &mut column).unwrap();
            found.push((labels, bits(&column)));
        }
    }
    found
}

fn bits(column: &Column) -> Vec<(i64, u64)> {
    let floats = column.floats.iter().map(|value| value.to_bits());
    column.timestamps.iter().copied().zip(floats).collect()
}

/// The answer, series without samples left out.
fn read(source: &dyn Queryable, ask: &Select) -> BTreeMap<Labels, BTreeMap<i64, u64>> {
    let set = source.select(ask).unwrap();
    assert!(set.series.is_sorted_by(|a, b| a.labels() < b.labels()), "each label set once");
    let mut all = BTreeMap::new();
    let mut column = Column::new();
    for series in &set.series {
        column.clear();
        series.read(ask.range, &mut column).unwrap();
        assert!(column.timestamps.is_sorted_by(|a, b| a < b));
        if !column.is_empty() {
            all.insert(series.labels().clone(), bits(&column).into_iter().collect());
        }
    }
    all
}
