//! Thanos's blocks are read to the last bit, and made again of what they were made of.

use ulid::Ulid;

use super::*;
use crate::chunk::{
    self, AGGREGATE, AggregateChunk, Encoding, Part, XorAppender, encode_aggregate,
};
use crate::model::{Column, Value};
use crate::storage::downsample::{
    DownsampleError, DownsampleOptions, FIVE_MINUTES_MS, ONE_HOUR_MS, downsample_block,
};

const ALL: (i64, i64) = (i64::MIN, i64::MAX);
const PARTS: [(&str, Part); 5] = [
    ("count", Part::Count),
    ("sum", Part::Sum),
    ("min", Part::Min),
    ("max", Part::Max),
    ("counter", Part::Counter),
];

fn decoded(encoding: u8, data: &[u8]) -> Column {
    let mut column = Column::new();
    chunk::decode(encoding, data, ALL, &mut column).unwrap();
    column
}

#[test]
fn every_chunk_is_written_again_byte_by_byte() {
    let (mut parts_seen, mut chunks_seen) = (0, 0);
    for resolution in ["5m", "1h"] {
        for (_, chunks) in contents(&golden(resolution)) {
            for chunk in &chunks {
                assert_eq!(chunk.encoding, AGGREGATE);
                let parts = AggregateChunk::parse(&chunk.data).unwrap();
                let all = [Part::Count, Part::Sum, Part::Min, Part::Max, Part::Counter];
                let mut again: Vec<Option<(u8, Vec<u8>)>> = all
                    .map(|part| {
                        let (encoding, data) = parts.get(part)?;
                        parts_seen += 1;
                        if encoding != Encoding::Xor as u8 {
                            return Some((encoding, data.to_vec()));
                        }
                        let column = decoded(encoding, data);
                        let mut appender = XorAppender::new();
                        for (time_ms, value) in column.timestamps.iter().zip(&column.floats) {
                            appender.append(*time_ms, *value).unwrap();
                        }
                        Some((encoding, appender.bytes().to_vec()))
                    })
                    .into();
                again.push(None);
                let again: Vec<_> = again
                    .iter()
                    .map(|part| part.as_ref().map(|(e, d)| (*e, d.as_slice())))
                    .collect();
                let again = encode_aggregate(&again.try_into().unwrap());
                assert_eq!(again, chunk.data);
                chunks_seen += 1;
            }
        }
    }
    assert!(chunks_seen > 45 && parts_seen > 200, "{chunks_seen} {parts_seen}");
}

#[test]
fn every_aggregate_is_read_to_the_last_sample() {
    let blocks = [("raw", 18), ("5m", 16), ("1h", 16)];
    let blocks = blocks.map(|(name, series)| (name, series, contents(&golden(name))));
    for (name, series, contents) in &blocks {
        assert_eq!(contents.len(), *series, "{name}");
    }
    let mut samples = 0;
    for line in lines("expected") {
        let name = line["resolution"].as_str().unwrap();
        let (_, _, contents) = blocks.iter().find(|(known, ..)| *known == name).unwrap();
        let labels = labels(&line["labels"]);
        let (_, chunks) = contents.iter().find(|(known, _)| *known == labels).unwrap();
        let aggregate = line["aggregate"].as_str().unwrap();
        let part = PARTS.iter().find(|(known, _)| *known == aggregate);
        let mut column = Column::new();
        for (chunk, wanted) in chunks.iter().zip(line["chunks"].as_array().unwrap()) {
            assert_eq!(wanted["mint"].as_i64(), Some(chunk.min_time_ms));
            assert_eq!(wanted["maxt"].as_i64(), Some(chunk.max_time_ms));
            let before = column.len();
            let found = match part {
                None => Some((chunk.encoding, &*chunk.data)),
                Some((_, part)) => AggregateChunk::parse(&chunk.data).unwrap().get(*part),
            };
            if let Some((encoding, data)) = found {
                chunk::decode(encoding, data, ALL, &mut column).unwrap();
            }
            let count = wanted["samples"].as_u64().unwrap() as usize;
            assert_eq!(column.len() - before, count, "{labels} {aggregate}");
        }
        assert_eq!(column.timestamps, times(&line["t"]), "{labels} {aggregate}");
        for (wanted, (time_ms, _, found)) in
            line["v"].as_array().unwrap().iter().zip(column.samples())
        {
            let is_same = match found {
                Value::Float(value) => same(value, float(wanted)),
                Value::Histogram(one) if one.is_stale() => same(one.sum, float(&wanted["sum"])),
                Value::Histogram(one) => with_floats(one) == histogram(wanted),
            };
            assert!(is_same, "{labels} {aggregate} at {time_ms}: {found:?}, not {wanted}");
            samples += 1;
        }
    }
    assert!(samples > 30_000, "{samples}");
}

/// Downsamples a golden block, and opens the result.
fn downsampled(from: &str, resolution_ms: i64) -> Arc<Block> {
    let disk = memory();
    let dir = Path::new("/out");
    disk.create_dir_all(dir).unwrap();
    let options = DownsampleOptions::default();
    let ulid = Ulid::from_parts(7, 7);
    let made = downsample_block(&disk, &golden(from), resolution_ms, dir, ulid, &options);
    assert_eq!(made.unwrap().unwrap().ulid, ulid);
    Block::open(&disk, &dir.join(ulid.to_string())).unwrap()
}

/// What differs between the samples of two histogram parts.
fn difference(ours: &Column, theirs: &Column) -> Option<String> {
    let pairs = ours.samples().zip(theirs.samples());
    let mut differing = pairs.filter(|(a, b)| a != b);
    if ours.len() != theirs.len() {
        return Some(format!("{} samples, not {}", ours.len(), theirs.len()));
    }
    differing.next().map(|(a, b)| format!("{a:?}\nnot {b:?}"))
}

fn compare(from: &str, to: &str, resolution_ms: i64) {
    let (ours, theirs) = (downsampled(from, resolution_ms), golden(to));
    let symbols =
        |block: &Block| block.symbols().map(|s| s.unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(symbols(&ours), symbols(&theirs));
    let (ours_in, theirs_in) = (contents(&ours), contents(&theirs));
    let names = |all: &[(Labels, Vec<Chunk>)]| all.iter().map(|s| s.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&ours_in), names(&theirs_in));
    let mut problems = Vec::new();
    for ((labels, ours), (_, theirs)) in ours_in.iter().zip(&theirs_in) {
        let bounds =
            |all: &[Chunk]| all.iter().map(|c| (c.min_time_ms, c.max_time_ms)).collect::<Vec<_>>();
        assert_eq!(bounds(ours), bounds(theirs), "{labels}");
        for (chunk, wanted) in ours.iter().zip(theirs) {
            let ours = AggregateChunk::parse(&chunk.data).unwrap();
            let theirs = AggregateChunk::parse(&wanted.data).unwrap();
            if !theirs.is_histogram() {
                assert_eq!(chunk.data, wanted.data, "{labels} at {}", chunk.min_time_ms);
                continue;
            }
            for (name, part) in PARTS {
                let read = |chunk: &AggregateChunk<'_>| {
                    chunk.get(part).map(|(encoding, data)| decoded(encoding, data))
                };
                let (Some(ours), Some(theirs)) = (read(&ours), read(&theirs)) else {
                    assert_eq!(ours.get(part).is_some(), theirs.get(part).is_some());
                    continue;
                };
                // Thanos takes every chunk of a finer schema than the coarsest of the batch for a
                // reset. What is true is told by `read`.
                let is_wrong = part == Part::Counter
                    && labels.metric_name() == Some("demo_float_latency_seconds");
                if let Some(what) = difference(&ours, &theirs)
                    && !is_wrong
                {
                    problems.push(format!("{labels} {name} at {}: {what}", chunk.min_time_ms));
                }
            }
            if ours.get(Part::LastRaw).is_none() {
                assert_eq!(chunk.data, wanted.data, "{labels} at {}", chunk.min_time_ms);
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let (ours, theirs) = (ours.meta(), theirs.meta());
    assert_eq!(ours.stats, theirs.stats);
    assert_eq!((ours.range(), &ours.compaction), (theirs.range(), &theirs.compaction));
    assert_eq!(ours.resolution_ms(), resolution_ms);
    assert_eq!(ours.other["thanos"]["labels"], theirs.other["thanos"]["labels"]);
    assert_eq!(ours.other["thanos"]["source"], theirs.other["thanos"]["source"]);
}

#[test]
fn raw_samples_become_the_five_minutes_of_thanos() {
    compare("raw", "5m", FIVE_MINUTES_MS);
}

#[test]
fn five_minutes_become_the_hours_of_thanos() {
    compare("5m", "1h", ONE_HOUR_MS);
}

#[test]
fn windows_do_not_become_shorter_ones() {
    let (disk, options) = (memory(), DownsampleOptions::default());
    let made = downsample_block(
        &disk,
        &golden("5m"),
        FIVE_MINUTES_MS,
        Path::new("/"),
        Ulid::nil(),
        &options,
    );
    assert!(matches!(made, Err(DownsampleError::Resolution { .. })));
}

#[test]
fn who_wants_it_to_end_gets_no_block() {
    let disk = memory();
    let dir = Path::new("/out");
    disk.create_dir_all(dir).unwrap();
    let options = DownsampleOptions { is_ending: &|| true, ..DownsampleOptions::default() };
    let block = golden("raw");
    let made = downsample_block(&disk, &block, FIVE_MINUTES_MS, dir, Ulid::nil(), &options);
    assert!(matches!(made, Err(DownsampleError::Ended)));
    assert_eq!(disk.list(dir).unwrap().len(), 0);
}

/// Our own blocks of five minutes and, made of that, of one hour.
pub(super) fn own() -> (Arc<Block>, Arc<Block>) {
    let disk = memory();
    let dir = Path::new("/out");
    disk.create_dir_all(dir).unwrap();
    let options = DownsampleOptions::default();
    let made = |block: &Arc<Block>, resolution_ms: i64| {
        let ulid = Ulid::from_parts(resolution_ms as u64, 1);
        downsample_block(&disk, block, resolution_ms, dir, ulid, &options).unwrap();
        Block::open(&disk, &dir.join(ulid.to_string())).unwrap()
    };
    let five = made(&golden("raw"), FIVE_MINUTES_MS);
    let hour = made(&five, ONE_HOUR_MS);
    (five, hour)
}
