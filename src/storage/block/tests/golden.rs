//! What Prometheus wrote is read as Prometheus reads it, and written again byte by byte.

use std::sync::Arc;

use super::*;
use crate::chunk::{Encoding, XorAppender, decode_xor, sample_count};
use crate::series::Merged;
use crate::storage::block::{Block, BlockMeta, BlockWriter, Tombstones};
use crate::testkit::golden::{self, ExpectedChunk};

/// The samples before a time.
fn before(column: &Column, end_ms: i64) -> Column {
    let mut part = Column::new();
    part.extend_from(column, 0..column.timestamps.partition_point(|time_ms| *time_ms < end_ms));
    part
}

#[test]
fn every_sample_of_the_blocks_is_read_as_prometheus_reads_it() {
    for name in ["blocks", "checkpoint", "start-timestamps"] {
        let open = |dir: &PathBuf| Block::open(&disk(), dir).unwrap();
        let blocks: Vec<Arc<Block>> = golden::blocks(name).iter().map(open).collect();
        // From there on the head has samples too, and those of late blocks once more.
        let late = |block: &&Arc<Block>| !block.meta().compaction.hints.is_empty();
        let ends = blocks.iter().map(|block| block.meta().max_time_ms).max();
        let starts = blocks.iter().filter(late).map(|block| block.meta().min_time_ms).min();
        let end_ms = starts.into_iter().chain(ends).min().unwrap();
        let blocks = blocks.into_iter().map(|block| block as Arc<dyn Queryable>).collect();
        let found = Merged::new(blocks);
        let set = found.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap();
        assert!(set.series.is_sorted_by(|a, b| a.labels() < b.labels()));
        let (mut samples, mut histograms) = (0, 0);
        for expected in golden::expected(name) {
            let series = set.series.iter().find(|series| *series.labels() == expected.labels);
            let mut column = Column::new();
            if let Some(series) = series {
                series.read(TimeRange::ALL, &mut column).unwrap();
            }
            let column = before(&column, end_ms);
            samples += column.len();
            histograms += column.histograms.len();
            let difference = golden::difference(&before(&expected.column, end_ms), &column);
            assert_eq!(difference, None, "{name}: {}", expected.labels);
        }
        assert!(samples > 1000 && histograms > 100, "{name}: {samples}, {histograms}");
    }
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
                assert_eq!(appender.to_bytes(), chunk.data, "{labels} at {}", chunk.min_time_ms);
                encoded += 1;
            }
        }
    }
    assert_eq!(encoded, 99);
}

#[test]
fn a_block_is_written_again_byte_by_byte() {
    let target = tempfile::tempdir().unwrap();
    let names = ["blocks", "checkpoint", "start-timestamps"];
    for block in names.iter().flat_map(|name| golden::blocks(name)) {
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
