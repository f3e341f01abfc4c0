//! The tables of Thanos's own tests, and what is not in them.

use proptest::prelude::*;
use ulid::Ulid;

use super::super::again::{Again, undo_resets};
use super::super::floats::Floats;
use super::super::raw::{Raw, remove_markers};
use super::*;
use crate::chunk::{
    self, AGGREGATE, AggregateChunk, ChunkError, EncodeOptions, Encoding, Part, XorAppender,
    encode_aggregate, encode_column,
};
use crate::model::Column;
use crate::series::{Aggregate, AggregateReader, Queryable, Select, TimeRange};
use crate::storage::block::{BlockMeta, BlockWriter};
use crate::storage::downsample::{
    DownsampleOptions, FIVE_MINUTES_MS, ONE_HOUR_MS, downsample_block,
};

pub(super) type Samples = Vec<(i64, f64)>;

pub(super) const NAMES: [&str; 5] = ["count", "sum", "min", "max", "counter"];
pub(super) const PARTS: [Part; 5] = [Part::Count, Part::Sum, Part::Min, Part::Max, Part::Counter];

fn cases() -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/thanos/downsample/cases.json");
    serde_json::from_slice(&RealDisk.read(&path).unwrap()).unwrap()
}

pub(super) fn array(json: &Json) -> &[Json] {
    json.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn samples(json: &Json) -> Samples {
    array(json).iter().map(|pair| (pair[0].as_i64().unwrap(), float(&pair[1]))).collect()
}

pub(super) fn xor(samples: &[(i64, f64)]) -> Chunk {
    let mut appender = XorAppender::new();
    for (time_ms, value) in samples {
        appender.append(*time_ms, *value).unwrap();
    }
    let times = || samples.iter().map(|sample| sample.0);
    let (min, max) = (times().min().unwrap_or(i64::MAX), times().max().unwrap_or(i64::MIN));
    let encoding = Encoding::Xor as u8;
    Chunk { min_time_ms: min, max_time_ms: max, encoding, data: appender.finish() }
}

pub(super) fn aggregates(json: &Json) -> Chunk {
    let parts = NAMES.map(|name| xor(&samples(&json[name])));
    let times = || parts.iter().filter(|part| part.min_time_ms != i64::MAX);
    let min_time_ms = times().map(|part| part.min_time_ms).min().unwrap();
    let max_time_ms = times().map(|part| part.max_time_ms).max().unwrap();
    let [a, b, c, d, e] = parts.each_ref().map(|part| Some((1, &*part.data)));
    let data = encode_aggregate(&[a, b, c, d, e, None]);
    Chunk { min_time_ms, max_time_ms, encoding: AGGREGATE, data }
}

pub(super) fn part(chunk: &Chunk, part: Part) -> Samples {
    let parts = AggregateChunk::parse(&chunk.data).unwrap();
    let Some((encoding, data)) = parts.get(part) else { return Vec::new() };
    let mut column = Column::new();
    chunk::decode(encoding, data, (i64::MIN, i64::MAX), &mut column).unwrap();
    column.timestamps.into_iter().zip(column.floats).collect()
}

#[test]
fn the_cases_of_thanos_come_out_as_there() {
    let mut compared = 0;
    for case in array(&cases()["downsample"]) {
        let name = case["name"].as_str().unwrap();
        let resolution_ms = case["resolution"].as_i64().unwrap();
        let raw: Vec<Chunk> = array(&case["raw"]).iter().map(|one| xor(&samples(one))).collect();
        let fine: Vec<Chunk> = array(&case["aggregates"]).iter().map(aggregates).collect();
        let mut out = Vec::new();
        let made = if raw.is_empty() {
            Again::default().series(&fine, resolution_ms - 1, resolution_ms, &mut out)
        } else {
            Raw::default().series(&raw, resolution_ms, &mut out)
        };
        if case["overlaps"] == true {
            // Of raw samples each time is taken once; of windows nobody can tell.
            assert_eq!(made.is_err(), raw.is_empty(), "{name}");
            compared += 1;
            continue;
        }
        made.unwrap();
        let expected = array(&case["expected"]);
        assert_eq!(out.len(), expected.len(), "{name}");
        for (chunk, wanted) in out.iter().zip(expected) {
            for (key, kind) in NAMES.iter().zip(PARTS) {
                assert_eq!(part(chunk, kind), samples(&wanted[key]), "{name}: {key}");
            }
        }
        compared += 1;
    }
    assert_eq!(compared, 11);
}

fn totals(chunks: impl Iterator<Item = Samples>) -> Samples {
    let (mut times, mut totals, mut last) = (Vec::new(), Vec::new(), None);
    for samples in chunks {
        let mut column = Column::new();
        samples.iter().for_each(|(time_ms, value)| column.push(*time_ms, *value));
        remove_markers(&mut column, 0);
        last = undo_resets(&column, last, &mut times, &mut totals);
    }
    times.into_iter().zip(totals).collect()
}

#[test]
fn resets_are_undone_as_there() {
    let cases = cases();
    for case in array(&cases["resets"]) {
        let found = totals(array(&case["chunks"]).iter().map(samples));
        assert_eq!(found, samples(&case["expected"]), "{}", case["name"]);
    }
    assert_eq!(array(&cases["resets"]).len(), 4);
}

#[test]
fn restarts_between_chunks_are_not_lost() {
    let case = &cases()["boundary"];
    let (mut floats, mut chunks) = (Floats::default(), Vec::new());
    for batch in array(&case["raw"]) {
        let (times, values): (Vec<i64>, Vec<f64>) = samples(batch).into_iter().unzip();
        let resolution_ms = case["resolution"].as_i64().unwrap();
        floats.raw(&times, &values, resolution_ms, &mut chunks).unwrap();
    }
    let counters = |chunks: &[Chunk]| -> Vec<Samples> {
        chunks.iter().map(|chunk| part(chunk, Part::Counter)).collect()
    };
    assert_eq!(counters(&chunks).concat(), samples(&case["counter"]));
    assert_eq!(totals(counters(&chunks).into_iter()), samples(&case["totals"]));
    let parsed: Vec<_> =
        chunks.iter().map(|chunk| (chunk, AggregateChunk::parse(&chunk.data).unwrap())).collect();
    let (mut again, mut next) = (Again::default(), Vec::new());
    for group in parsed.chunks(2) {
        let resolution_ms = case["next_resolution"].as_i64().unwrap();
        again.floats(group, resolution_ms, &mut next).unwrap();
    }
    assert_eq!(counters(&next).concat(), samples(&case["next_counter"]));
    assert_eq!(totals(counters(&next).into_iter()), samples(&case["next_totals"]));
}

/// Downsampled blocks of old have raw chunks in them.
#[test]
fn raw_chunks_among_windows_are_taken_along() {
    let mut fine = Vec::new();
    let first: Samples = (0..20).map(|index| (index * 60_000, index as f64)).collect();
    Raw::default().series(&[xor(&first)], FIVE_MINUTES_MS, &mut fine).unwrap();
    fine.push(xor(&[]));
    let second: Samples = (20..60).map(|index| (index * 60_000, index as f64)).collect();
    fine.push(xor(&second));
    let mut out = Vec::new();
    Again::default().series(&fine, FIVE_MINUTES_MS, ONE_HOUR_MS, &mut out).unwrap();
    let count: f64 = out.iter().flat_map(|chunk| part(chunk, Part::Count)).map(|s| s.1).sum();
    assert_eq!(count, 60.0);
    let counters = out.iter().map(|chunk| part(chunk, Part::Counter));
    assert_eq!(totals(counters).last(), Some(&(59 * 60_000, 59.0)));
}

/// A block of these series, by name.
fn block(disk: &SharedDisk, series: &[(&str, Vec<Chunk>)]) -> Arc<Block> {
    let dir = Path::new("/blocks");
    disk.create_dir_all(dir).unwrap();
    let mut symbols: Vec<&str> = series.iter().map(|(name, _)| *name).collect();
    symbols.push("__name__");
    symbols.sort_unstable();
    let ulid = Ulid::from_parts(1, 1);
    let mut writer = BlockWriter::new(disk.clone(), dir, ulid, &mut symbols.into_iter()).unwrap();
    for (name, chunks) in series {
        let labels = Labels::from_pairs([("__name__", *name)]).unwrap();
        writer.add_series(&labels, chunks).unwrap();
    }
    writer.finish(BlockMeta::new(ulid, 0, 100 * ONE_HOUR_MS)).unwrap().unwrap();
    Block::open(disk, &dir.join(ulid.to_string())).unwrap()
}

fn coarser(disk: &SharedDisk, block: &Arc<Block>, resolution_ms: i64) -> Arc<Block> {
    let (dir, options) = (Path::new("/blocks"), DownsampleOptions::default());
    let ulid = Ulid::from_parts(resolution_ms as u64, 1);
    downsample_block(disk, block, resolution_ms, dir, ulid, &options).unwrap().unwrap();
    Block::open(disk, &dir.join(ulid.to_string())).unwrap()
}

#[test]
fn a_series_that_is_broken_does_not_hold_up_the_others() {
    let disk = memory();
    let good = xor(&[(1000, 1.0), (2000, 2.0)]);
    let mut bad = good.clone();
    // It says that it has more samples than bits.
    bad.data = bytes::Bytes::from_static(&[0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let series = [("a", vec![good.clone()]), ("b", vec![bad]), ("c", vec![good])];
    let found = coarser(&disk, &block(&disk, &series), FIVE_MINUTES_MS);
    let names: Vec<String> = contents(&found)
        .iter()
        .map(|(labels, _)| labels.metric_name().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["a", "c"]);
}

#[test]
fn other_listed_bounds_begin_another_chunk() {
    let mut column = Column::new();
    let mut truth = 0.0;
    for index in 0..40_i64 {
        let bounds = if index < 17 { vec![1.0, 2.0] } else { vec![1.0, 3.0] };
        let layout = Arc::new(Layout {
            schema: crate::model::histogram::CUSTOM_SCHEMA,
            positive: vec![Span::new(0, 3)],
            custom_bounds: bounds,
            ..Layout::default()
        });
        let count = (index + 1) as f64;
        let counts = Counts::Float {
            count: count * 3.0,
            zero_count: 0.0,
            buckets: vec![count, count, count],
        };
        truth = count * 3.0;
        let hint = ResetHint::Unknown;
        let one = Histogram { layout, hint, sum: count, counts };
        column.push_histogram(index * 60_000, one.as_ref());
    }
    let mut chunks = Vec::new();
    encode_column(&column, 0..column.len(), &EncodeOptions::default(), &mut |chunk| {
        let (min_time_ms, max_time_ms) = (chunk.min_time_ms, chunk.max_time_ms);
        chunks.push(Chunk { min_time_ms, max_time_ms, encoding: chunk.encoding, data: chunk.data });
    })
    .unwrap();
    let (mut five, mut hour) = (Vec::new(), Vec::new());
    Raw::default().series(&chunks, FIVE_MINUTES_MS, &mut five).unwrap();
    Again::default().series(&five, FIVE_MINUTES_MS, ONE_HOUR_MS, &mut hour).unwrap();
    for out in [five, hour] {
        assert_eq!(out.len(), 2);
        assert!(out[0].max_time_ms < out[1].min_time_ms);
        let count: f64 = out.iter().flat_map(|chunk| part(chunk, Part::Count)).map(|s| s.1).sum();
        assert_eq!(count, 40.0);
        let mut read = Column::new();
        let mut reader = AggregateReader::new(Aggregate::Counter, FIVE_MINUTES_MS);
        for chunk in &out {
            reader.push(chunk, TimeRange::ALL, &mut read).unwrap();
        }
        let (_, last) = read.histograms.iter().last().unwrap();
        let CountsRef::Float { count, .. } = last.counts else { panic!() };
        assert_eq!(count, truth);
    }
}

#[test]
fn deleted_windows_are_gone_from_every_aggregate() {
    let disk = memory();
    let long: Samples = (0..600).map(|index| (index * 60_000, index as f64)).collect();
    let five = coarser(&disk, &block(&disk, &[("a", vec![xor(&long)])]), FIVE_MINUTES_MS);
    let gone = TimeRange::new(3_000_000, 5_999_999);
    let dir = five.dir().to_owned();
    let mut tombstones = crate::storage::block::Tombstones::new();
    for (id, range) in five.deletions(&[], gone).unwrap() {
        tombstones.add(id, range);
    }
    tombstones.write(&*disk, &dir).unwrap();
    let five = Block::open(&disk, &dir).unwrap();
    let kept = |samples: Samples| samples.iter().all(|(time_ms, _)| !gone.contains(*time_ms));
    for (_, chunks) in contents(&five) {
        for kind in PARTS {
            let found: Samples = chunks.iter().flat_map(|chunk| part(chunk, kind)).collect();
            assert!(found.len() > 100 && kept(found), "{kind:?}");
        }
    }
    let set = five.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap();
    let mut column = Column::new();
    set.series[0].read(TimeRange::ALL, &mut column).unwrap();
    assert_eq!(column.len(), 110);
    let hour = coarser(&disk, &five, ONE_HOUR_MS);
    let chunks = &contents(&hour)[0].1;
    let count: f64 = chunks.iter().flat_map(|chunk| part(chunk, Part::Count)).map(|s| s.1).sum();
    assert_eq!(count, 550.0);
}

#[test]
fn a_broken_chunk_of_aggregates_is_an_error() {
    let mut reader = AggregateReader::new(Aggregate::Average, 1);
    let mut column = Column::new();
    column.push(1, 1.0);
    let counts = xor(&[(5, 1.0), (9, 1.0)]);
    let sums = xor(&[(5, 1.0), (8, 1.0)]);
    let mut parts = [None; 6];
    parts[0] = Some((1, &*counts.data));
    parts[1] = Some((1, &*sums.data));
    let data = encode_aggregate(&parts);
    let read = reader.push_bytes(AGGREGATE, &data, TimeRange::ALL, &mut column);
    assert!(matches!(read, Err(ChunkError::Malformed(_))));
    let read = reader.push_bytes(AGGREGATE, &data[..9], TimeRange::ALL, &mut column);
    assert_eq!(read, Err(ChunkError::Truncated));
    assert_eq!((column.len(), column.summaries.len()), (1, 0));
}

proptest! {
    /// Whatever the samples: the numbers of the windows are those of the samples, and the counter
    /// grows as far.
    #[test]
    fn windows_tell_the_truth_about_any_samples(
        steps in prop::collection::vec((1_i64..400_000, 0_u16..300, 0_u8..20), 1..400),
        chunk_len in 5_usize..130,
    ) {
        let (mut time_ms, mut value) = (0, 0.0);
        let mut all = Samples::new();
        for (step, grown, luck) in steps {
            time_ms += step;
            value = if luck == 0 { 1.0 } else { value + f64::from(grown) };
            all.push((time_ms, value));
        }
        let chunks: Vec<Chunk> = all.chunks(chunk_len).map(xor).collect();
        let (mut five, mut hour) = (Vec::new(), Vec::new());
        Raw::default().series(&chunks, FIVE_MINUTES_MS, &mut five).unwrap();
        Again::default().series(&five, FIVE_MINUTES_MS, ONE_HOUR_MS, &mut hour).unwrap();
        let values = || all.iter().map(|sample| sample.1);
        let mut before = all[0].1;
        let mut growth = 0.0;
        for value in values() {
            growth += if value < before { value } else { value - before };
            before = value;
        }
        for (out, resolution_ms) in [(five, FIVE_MINUTES_MS), (hour, ONE_HOUR_MS)] {
            let of = |kind| out.iter().flat_map(move |chunk| part(chunk, kind)).map(|s| s.1);
            prop_assert_eq!(of(Part::Count).sum::<f64>(), all.len() as f64);
            prop_assert_eq!(of(Part::Sum).sum::<f64>(), values().sum::<f64>());
            let (low, high) = (f64::MAX, f64::MIN);
            let lowest = of(Part::Min).fold(low, f64::min);
            let highest = of(Part::Max).fold(high, f64::max);
            prop_assert_eq!(lowest, values().fold(low, f64::min));
            prop_assert_eq!(highest, values().fold(high, f64::max));
            let mut column = Column::new();
            let mut reader = AggregateReader::new(Aggregate::Counter, resolution_ms);
            for chunk in &out {
                reader.push(chunk, TimeRange::ALL, &mut column).unwrap();
            }
            prop_assert!(column.timestamps.is_sorted_by(|a, b| a < b));
            let mut grown = 0.0;
            for index in 1..column.len() {
                let value = column.floats[index];
                let base = column.joins.before(index).unwrap_or(column.floats[index - 1]);
                grown += if value < base { value } else { value - base };
            }
            prop_assert_eq!(grown, growth);
            prop_assert_eq!(column.floats.last().copied(), Some(all[all.len() - 1].1));
        }
    }
}
