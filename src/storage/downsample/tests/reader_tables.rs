//! Thanos's tables of what is read of aggregates, and of blocks that are not as they should be.

use super::super::again::Again;
use super::super::raw::Raw;
use super::histogram_tables::encode;
use super::read::totals;
use super::tables::{NAMES, PARTS, Samples, aggregates, array, part, samples, xor};
use super::*;
use crate::chunk::{AGGREGATE, AggregateChunk, ChunkError, EncodeOptions, Part, encode_aggregate};
use crate::model::Column;
use crate::series::{Aggregate, AggregateReader, Dedup, TimeRange, merge_replica_chunks};
use crate::storage::downsample::{FIVE_MINUTES_MS, ONE_HOUR_MS};

pub(super) fn tables() -> Json {
    let text = include_str!("../../../../testdata/thanos/downsample/readers.json");
    serde_json::from_str(text).unwrap()
}

fn read(chunk: &Chunk, wanted: Aggregate, range: TimeRange) -> Column {
    let mut column = Column::new();
    AggregateReader::new(wanted, FIVE_MINUTES_MS).push(chunk, range, &mut column).unwrap();
    column
}

/// A chunk with some of the parts.
fn chunk_of(parts: [Option<&Samples>; 5]) -> Chunk {
    let encoded = parts.map(|part| part.map(|samples| xor(samples)));
    let [a, b, c, d, e] = encoded.each_ref().map(|part| part.as_ref().map(|one| (1, &*one.data)));
    let times = parts.into_iter().flatten().flatten().map(|sample| sample.0);
    Chunk {
        min_time_ms: times.clone().min().unwrap(),
        max_time_ms: times.max().unwrap(),
        encoding: AGGREGATE,
        data: encode_aggregate(&[a, b, c, d, e, None]),
    }
}

#[test]
fn an_average_is_the_sum_divided_by_the_count() {
    let case = &tables()["average"];
    let (sum, count) = (samples(&case["sum"]), samples(&case["count"]));
    let chunk = chunk_of([Some(&count), Some(&sum), None, None, None]);
    let found = read(&chunk, Aggregate::Average, TimeRange::ALL);
    let found: Samples = found.timestamps.into_iter().zip(found.floats).collect();
    assert_eq!(found, samples(&case["expected"]));
}

#[test]
fn a_counter_is_read_from_where_the_question_begins() {
    let tables = tables();
    let cases = array(&tables["seek"]);
    for case in cases {
        let counter = samples(&case["counter"]);
        let count: Samples = counter.iter().map(|sample| (sample.0, 1.0)).collect();
        let chunk = chunk_of([Some(&count), None, None, None, Some(&counter)]);
        let range = TimeRange::new(case["from"].as_i64().unwrap(), i64::MAX);
        let found = read(&chunk, Aggregate::Counter, range);
        // We keep what the counter showed; how far it grew is to be the same.
        let totals: Samples = found.timestamps.iter().copied().zip(totals(&found)).collect();
        assert_eq!(totals, samples(&case["expected"]), "{}", case["name"]);
    }
    assert_eq!(cases.len(), 3);
}

#[test]
fn histograms_are_read_as_they_are() {
    let mut all = Column::new();
    let mut chunks = Vec::new();
    for number in 0_i64..4 {
        let mut column = Column::new();
        for index in number * 10..number * 10 + 10 {
            let side = [index + 1, index + 2, index + 1, index + 1];
            let spans = vec![Span::new(0, 2), Span::new(1, 2)];
            let layout = Layout {
                schema: 1,
                zero_threshold: 0.001,
                positive: spans.clone(),
                negative: spans,
                custom_bounds: Vec::new(),
            };
            let counts = Counts::Integer {
                count: 12 + index as u64 * 9,
                zero_count: 2 + index as u64,
                buckets: [side, side].concat(),
            };
            let (hint, sum) = (ResetHint::Unknown, 18.4 * (index + 1) as f64);
            let one = Histogram { layout: Arc::new(layout), hint, sum, counts };
            column.push_histogram(index * 100, one.as_ref());
            all.push_histogram(index * 100, one.as_ref());
        }
        encode(&column, &mut chunks);
    }
    assert_eq!(chunks.len(), 4);
    let mut found = Column::new();
    let mut reader = AggregateReader::new(Aggregate::Counter, 0);
    for chunk in &chunks {
        reader.push(chunk, TimeRange::ALL, &mut found).unwrap();
    }
    assert_eq!(found.timestamps, all.timestamps);
    for ((_, found), (_, wanted)) in found.histograms.iter().zip(all.histograms.iter()) {
        let hint = ResetHint::Unknown;
        assert_eq!(Histogram { hint, ..found.to_owned() }, wanted.to_owned());
    }
}

#[test]
fn what_is_no_number_and_what_turns_time_back_is_not_counted() {
    let case = &tables()["expand"];
    let raw = samples(&case["raw"]);
    let mut out = Vec::new();
    // Upstream leaves samples out of a chunk whose times go back; here such a chunk is damaged.
    let made = Raw::default().series(&[xor(&raw)], 1000, &mut out);
    assert_eq!(made, Err(ChunkError::Malformed("time goes back")));
    let chunks: Vec<Chunk> = raw.chunk_by(|a, b| a.0 < b.0).map(xor).collect();
    assert_eq!(chunks.len(), 3);
    Raw::default().series(&chunks, 1000, &mut out).unwrap();
    // A time that comes twice is a marker in a counter, and among raw samples a mistake.
    let mut once = samples(&case["expected"]);
    once.dedup_by_key(|sample| sample.0);
    let values = || once.iter().map(|sample| sample.1);
    assert_eq!(out.len(), 1);
    assert_eq!(part(&out[0], Part::Count), [(500, once.len() as f64)]);
    assert_eq!(part(&out[0], Part::Sum), [(500, values().sum())]);
}

#[test]
fn samples_that_are_mostly_no_numbers_are_downsampled_twice() {
    let raw = samples(&tables()["with_nans"]);
    let (mut five, mut hour) = (Vec::new(), Vec::new());
    Raw::default().series(&[xor(&raw)], FIVE_MINUTES_MS, &mut five).unwrap();
    Again::default().series(&five, FIVE_MINUTES_MS, ONE_HOUR_MS, &mut hour).unwrap();
    let alive = raw.iter().filter(|sample| !sample.1.is_nan()).count() as f64;
    for chunks in [five, hour] {
        let mut count = 0.0;
        for chunk in &chunks {
            let parts = AggregateChunk::parse(&chunk.data).unwrap();
            assert!(PARTS.iter().all(|kind| parts.get(*kind).is_some()));
            let found = read(chunk, Aggregate::Average, TimeRange::ALL);
            let counts = part(chunk, Part::Count);
            assert_eq!(found.len(), counts.len());
            assert!(found.floats.iter().all(|value| (0.9..=1.0).contains(value)));
            count += counts.iter().map(|sample| sample.1).sum::<f64>();
        }
        assert_eq!(count, alive);
    }
    assert!(alive > 100.0 && alive < raw.len() as f64);
}

/// Some downsampled blocks have chunks without samples, see Thanos's issue 5272.
#[test]
fn an_empty_raw_chunk_among_windows_does_no_harm() {
    let mut empty = xor(&[]);
    (empty.min_time_ms, empty.max_time_ms) = (i64::MAX, i64::MIN);
    let fine = aggregates(&tables()["empty_chunk"]);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    let chunks = [fine.clone(), empty];
    Again::default().series(&chunks, FIVE_MINUTES_MS, ONE_HOUR_MS, &mut with).unwrap();
    Again::default().series(&[fine], FIVE_MINUTES_MS, ONE_HOUR_MS, &mut without).unwrap();
    assert_eq!(with, without);
    assert_eq!(with.iter().flat_map(|c| part(c, Part::Count)).map(|s| s.1).sum::<f64>(), 236.0);
}

/// Upstream makes windows of it that all have one time, and counts the sample a second time.
#[test]
fn a_raw_chunk_within_the_time_of_windows_is_refused() {
    let case = &tables()["raw_chunk"];
    let chunks = [aggregates(&case["aggregates"]), xor(&samples(&case["raw"]))];
    let mut out = Vec::new();
    let made = Again::default().series(&chunks, FIVE_MINUTES_MS, ONE_HOUR_MS, &mut out);
    assert!(matches!(made, Err(ChunkError::Malformed(_))));
    let upstream = &case["expected_upstream"];
    for name in &NAMES[..4] {
        let times: Vec<i64> = samples(&upstream[*name]).iter().map(|sample| sample.0).collect();
        assert!(times.len() > 2 && times.iter().all(|time_ms| *time_ms == times[0]), "{name}");
    }
}

/// Of replicas that overlap upstream makes windows of which one says that the counter ended twice
/// at once. Raw samples are merged before they become windows, and windows that overlap never.
#[test]
fn windows_of_replicas_are_put_together_but_never_into_one_another() {
    let text = include_str!("../../../../testdata/thanos/dedup/downsampled.json");
    let cases: Json = serde_json::from_str(text).unwrap();
    let windows = |starts: &Json| -> Vec<Chunk> {
        let mut out = Vec::new();
        for start_ms in array(starts) {
            let start_ms = start_ms.as_i64().unwrap();
            let times = (0..10).map(|minute| start_ms + minute * 60_000);
            let raw: Samples = times.map(|time_ms| (time_ms, time_ms as f64)).collect();
            Raw::default().series(&[xor(&raw)], FIVE_MINUTES_MS, &mut out).unwrap();
        }
        out
    };
    for case in array(&cases) {
        let sources: Vec<Vec<Chunk>> = array(&case["input"]).iter().map(windows).collect();
        let mut found = Vec::new();
        let options = EncodeOptions::default();
        let merged = merge_replica_chunks(Dedup::Penalty, &sources, &options, &mut found);
        if case["expected"].is_null() {
            assert!(merged.is_err(), "{}", case["name"]);
            continue;
        }
        merged.unwrap();
        assert_eq!(found, windows(&case["expected"]), "{}", case["name"]);
    }
    assert_eq!(array(&cases).len(), 6);
}
