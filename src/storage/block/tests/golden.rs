//! What Prometheus wrote is read as Prometheus reads it, and written again byte by byte.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::chunk::{Encoding, XorAppender, decode_xor, sample_count};
use crate::model::Value;
use crate::series::Merged;
use crate::storage::block::{Block, BlockMeta, BlockWriter, Tombstones};
use crate::testkit::golden::{self, ExpectedChunk, ExpectedSeries};

/// From here on the head has samples too.
const HEAD_START_MS: i64 = 1_767_614_400_000;

#[test]
fn float_series_are_read_as_prometheus_reads_them() {
    let open = |dir: &PathBuf| Block::open(&disk(), dir).unwrap() as Arc<dyn Queryable>;
    let blocks = Merged::new(golden_blocks().iter().map(open).collect());
    let mut wanted = BTreeMap::new();
    for ExpectedSeries { labels, column } in golden::expected("blocks") {
        let samples = column.samples().filter_map(|(time_ms, _, value)| match value {
            Value::Float(value) => Some((time_ms, value.to_bits())),
            Value::Histogram(_) => None,
        });
        wanted.insert(labels, samples.collect::<BTreeMap<_, _>>());
    }
    let mut column = Column::new();
    let (mut floats, mut others, mut samples) = (0, 0, 0);
    let set = blocks.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap();
    assert!(set.series.is_sorted_by(|a, b| a.labels() < b.labels()));
    for series in set.series {
        let mut chunks = Vec::new();
        series.chunks(TimeRange::ALL, &mut chunks).unwrap_or_default();
        let is_float = |chunk: &Chunk| chunk.encoding == Encoding::Xor as u8;
        column.clear();
        if chunks.is_empty() || !chunks.iter().all(is_float) {
            series.read(TimeRange::ALL, &mut column).unwrap();
            assert!(chunks.is_empty() || !column.histograms.is_empty());
            others += 1;
            continue;
        }
        series.read(TimeRange::ALL, &mut column).unwrap();
        let wanted = &wanted[series.labels()];
        let got = bits(&column);
        samples += got.len();
        let until_head: Vec<_> = got.iter().filter(|s| s.0 < HEAD_START_MS).copied().collect();
        let wanted_until_head: Vec<_> =
            wanted.range(..HEAD_START_MS).map(|(time, bits)| (*time, *bits)).collect();
        assert_eq!(until_head, wanted_until_head, "{}", series.labels());
        assert!(got.iter().all(|(time, bits)| wanted[time] == *bits), "{}", series.labels());
        floats += 1;
    }
    assert_eq!((floats, others, samples), (16, 7, 8254));
}

#[test]
fn chunks_are_where_prometheus_lists_them() {
    let mut listed = 0;
    for line in golden::chunks("blocks") {
        let (_, series) = contents(&golden::data("blocks").join(line.block.to_string()));
        let (id, _, chunks) = series.iter().find(|(_, found, _)| *found == line.labels).unwrap();
        assert_eq!(u64::from(*id), line.series_ref);
        let found = chunks.iter().map(|chunk| ExpectedChunk {
            min_time_ms: chunk.min_time_ms,
            max_time_ms: chunk.max_time_ms,
            samples: sample_count(chunk.encoding, &chunk.data).unwrap(),
            encoding: Encoding::try_from(chunk.encoding).unwrap().to_string(),
            bytes: chunk.data.len(),
        });
        assert_eq!(found.collect::<Vec<_>>(), line.chunks, "{} in {}", line.labels, line.block);
        listed += line.chunks.len();
    }
    assert_eq!(listed, 241);
}

#[test]
fn float_chunks_are_encoded_again_byte_by_byte() {
    let mut encoded = 0;
    for block in golden_blocks() {
        for (_, labels, chunks) in contents(&block).1 {
            for chunk in chunks.iter().filter(|chunk| chunk.encoding == Encoding::Xor as u8) {
                let mut column = Column::new();
                let all = (i64::MIN, i64::MAX);
                let Column { timestamps, floats, .. } = &mut column;
                decode_xor(&chunk.data, all, timestamps, floats).unwrap();
                assert_eq!(timestamps.first(), Some(&chunk.min_time_ms));
                assert_eq!(timestamps.last(), Some(&chunk.max_time_ms));
                let mut appender = XorAppender::new();
                for (time, value) in timestamps.iter().zip(floats) {
                    appender.append(*time, *value).unwrap();
                }
                assert_eq!(appender.bytes(), chunk.data, "{labels} at {}", chunk.min_time_ms);
                encoded += 1;
            }
        }
    }
    assert_eq!(encoded, 99);
}

#[test]
fn a_block_is_written_again_byte_by_byte() {
    let target = tempfile::tempdir().unwrap();
    for block in golden_blocks() {
        let (symbols, series) = contents(&block);
        let meta = BlockMeta::read(&RealDisk, &block).unwrap();
        let mut symbols = symbols.iter().map(String::as_str);
        let mut writer = BlockWriter::new(disk(), target.path(), meta.ulid, &mut symbols).unwrap();
        for (_, labels, chunks) in &series {
            writer.add_series(labels, chunks).unwrap();
        }
        let written = writer.finish(meta.clone()).unwrap().unwrap();
        // Deletions come later, and are counted then.
        let mut stats = meta.stats;
        stats.num_tombstones = 0;
        assert_eq!(written.stats, stats);
        let copy = target.path().join(meta.ulid.to_string());
        let (tombstones, size_bytes) = Tombstones::read(&RealDisk, &block).unwrap();
        meta.write(&RealDisk, &copy).unwrap();
        tombstones.write(&RealDisk, &copy).unwrap();
        assert_eq!(tombstones.count() as u64, meta.stats.num_tombstones);
        let copied = Tombstones::read(&RealDisk, &copy).unwrap();
        assert_eq!(copied, (tombstones.clone(), size_bytes));
        for name in ["meta.json", "index", "chunks/000001", "tombstones"] {
            let is_same = RealDisk.read(&block.join(name)).unwrap()
                == RealDisk.read(&copy.join(name)).unwrap();
            // Prometheus writes the rows of several series in the order of a hash table.
            let is_unordered = name == "tombstones" && tombstones.count() > 1;
            assert!(is_same || is_unordered, "{name} of {}", meta.ulid);
        }
        let (ours, theirs) = (Block::open(&disk(), &copy), Block::open(&disk(), &block));
        assert_eq!(ours.unwrap().size_bytes(), theirs.unwrap().size_bytes());
    }
}
