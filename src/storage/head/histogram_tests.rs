//! Histograms in the head: verdicts, chunks, staleness, the log.

use std::path::Path;

use super::state::{Head, HeadOptions, LogPlace};
use crate::base::metrics::Registry;
use crate::chunk::Encoding;
use crate::disk::RealDisk;
use crate::model::histogram::{
    Counts, CountsRef, Histogram, HistogramError, Layout, ResetHint, Span,
};
use crate::model::{Labels, Value, is_stale, stale_nan};
use crate::series::{
    Append, Batch, Chunk, Column, OnReject, Queryable, Select, SeriesRef, TimeRange, Verdict,
};
use crate::storage::wal::{self, RecordKind, WalMetrics, WalOptions};

const HOUR_MS: i64 = 3_600_000;

fn options() -> HeadOptions {
    HeadOptions::new(2 * HOUR_MS)
}

fn head_with(options: HeadOptions) -> Head {
    Head::empty(options, None, i64::MIN, &Registry::new())
}

fn labels(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name)]).unwrap()
}

fn integer(index: u64) -> Histogram {
    let layout = Layout { schema: 1, positive: vec![Span::new(0, 2)], ..Layout::default() };
    let buckets = vec![index as i64, 2 * index as i64];
    let counts = Counts::Integer { count: 3 * index, zero_count: 0, buckets };
    Histogram { layout: layout.into(), hint: ResetHint::Unknown, sum: index as f64, counts }
}

fn float(index: u64) -> Histogram {
    let counts = Counts::Float {
        count: 3.0 * index as f64,
        zero_count: 0.0,
        buckets: vec![index as f64, 2.0 * index as f64],
    };
    Histogram { counts, ..integer(index) }
}

fn push(batch: &mut Batch, name: &str, samples: &[(i64, Value<'_>)]) {
    batch.push_series(SeriesRef::UNKNOWN, labels(name).as_ref());
    for (timestamp_ms, value) in samples {
        batch.push_value(*timestamp_ms, 0, *value);
    }
}

fn append(head: &Head, name: &str, samples: &[(i64, Value<'_>)]) -> Vec<Verdict> {
    let mut batch = Batch::new();
    push(&mut batch, name, samples);
    head.append(&mut batch, OnReject::KeepRest).unwrap();
    batch.verdicts().to_vec()
}

fn read(head: &Head, name: &str) -> (Column, Vec<Chunk>) {
    let ask = Select::new(vec![crate::model::Matcher::equal("__name__", name)], TimeRange::ALL);
    let (mut column, mut chunks) = (Column::new(), Vec::new());
    for series in head.select(&ask).unwrap().series {
        series.read(TimeRange::ALL, &mut column).unwrap();
        series.chunks(TimeRange::ALL, &mut chunks).unwrap();
    }
    (column, chunks)
}

fn encodings(chunks: &[Chunk]) -> Vec<Encoding> {
    chunks.iter().map(|chunk| Encoding::try_from(chunk.encoding).unwrap()).collect()
}

#[test]
fn a_series_may_change_its_kind_and_begins_a_chunk_each_time() {
    let head = head_with(options());
    let (one, two, three) = (integer(1), integer(2), float(3));
    let samples = [
        (1, Value::Float(1.0)),
        (2, Value::Histogram(one.as_ref())),
        (3, Value::Histogram(two.as_ref())),
        (4, Value::Histogram(three.as_ref())),
        (5, Value::Float(5.0)),
    ];
    assert_eq!(append(&head, "m", &samples), [Verdict::Accepted; 5]);
    let (column, chunks) = read(&head, "m");
    let kinds = [Encoding::Xor, Encoding::Histogram, Encoding::FloatHistogram, Encoding::Xor];
    assert_eq!(encodings(&chunks), kinds);
    let found: Vec<_> = column.samples().map(|(time, _, value)| (time, value)).collect();
    // What follows in a chunk is known not to be a reset.
    let not_reset = Histogram { hint: ResetHint::NotReset, ..two.clone() };
    let mut wanted = samples;
    wanted[2].1 = Value::Histogram(not_reset.as_ref());
    assert_eq!(found, wanted);
}

#[test]
fn the_same_histogram_twice_is_accepted_and_stored_once() {
    let head = head_with(options());
    let (one, other) = (integer(1), integer(2));
    let (one, other) = (Value::Histogram(one.as_ref()), Value::Histogram(other.as_ref()));
    use Verdict::{Accepted, DuplicateTimestamp, OutOfOrder};
    // In one batch and in two.
    let verdicts = append(&head, "m", &[(5, one), (5, one), (5, other), (4, other)]);
    assert_eq!(verdicts, [Accepted, Accepted, DuplicateTimestamp, OutOfOrder]);
    let verdicts = append(&head, "m", &[(5, one), (5, other), (5, Value::Float(1.0)), (4, one)]);
    assert_eq!(verdicts, [Accepted, DuplicateTimestamp, DuplicateTimestamp, OutOfOrder]);
    assert_eq!(read(&head, "m").0.timestamps, [5]);
    append(&head, "f", &[(5, Value::Float(1.0))]);
    assert_eq!(append(&head, "f", &[(5, one)]), [DuplicateTimestamp]);
}

#[test]
fn what_is_no_histogram_is_refused_with_its_batch() {
    let head = head_with(options());
    let mut wrong = integer(1);
    wrong.counts = Counts::Integer { count: 7, zero_count: 0, buckets: vec![1, 2] };
    let mut batch = Batch::new();
    push(&mut batch, "m", &[(1, Value::Histogram(wrong.as_ref()))]);
    push(&mut batch, "ok", &[(1, Value::Float(1.0))]);
    let outcome = head.append(&mut batch, OnReject::RejectAll).unwrap();
    assert_eq!((outcome.accepted, outcome.rejected), (0, 1));
    let refused = Verdict::InvalidHistogram(HistogramError::CountMismatch);
    assert_eq!(batch.verdicts(), [refused, Verdict::Accepted]);
    assert_eq!(head.append(&mut batch, OnReject::KeepRest).unwrap().accepted, 1);
}

#[test]
fn a_float_that_says_stale_becomes_a_stale_histogram_of_the_series_kind() {
    let head = head_with(options());
    let stale = Value::Float(stale_nan());
    for (name, histogram, is_float) in [("i", integer(1), false), ("f", float(1), true)] {
        append(&head, name, &[(1, Value::Histogram(histogram.as_ref()))]);
        let verdicts = append(&head, name, &[(2, stale), (2, stale)]);
        assert_eq!(verdicts, [Verdict::Accepted; 2]);
        let (column, _) = read(&head, name);
        assert_eq!(column.timestamps, [1, 2]);
        let last = column.histograms.get(1).unwrap();
        assert!(is_stale(column.floats[1]) && last.is_stale());
        assert_eq!(last.counts.is_float(), is_float);
        // It stays a series of histograms.
        append(&head, name, &[(3, stale)]);
        assert!(read(&head, name).0.histograms.get(2).is_some());
    }
    append(&head, "new", &[(1, stale)]);
    assert!(read(&head, "new").0.histograms.is_empty());
}

#[test]
fn starts_are_kept_where_the_options_say_so() {
    let mut with = options();
    (with.float_starts, with.histogram_starts) = (true, true);
    let wanted = [Encoding::Xor2, Encoding::HistogramSt, Encoding::Xor, Encoding::Histogram];
    let mut found = Vec::new();
    for options in [with, options()] {
        let is_kept = options.float_starts;
        let head = head_with(options);
        let (mut batch, histogram) = (Batch::new(), integer(1));
        for (name, value) in [("f", Value::Float(1.0)), ("h", Value::Histogram(histogram.as_ref()))]
        {
            batch.push_series(SeriesRef::UNKNOWN, labels(name).as_ref());
            batch.push_value(100, 40, value);
        }
        head.append(&mut batch, OnReject::KeepRest).unwrap();
        for name in ["f", "h"] {
            let (column, chunks) = read(&head, name);
            assert_eq!(column.start_ms(0), if is_kept { 40 } else { 0 });
            found.extend(encodings(&chunks));
        }
    }
    assert_eq!(found, wanted);
}

#[test]
fn the_log_has_the_kinds_apart_and_a_series_that_changes_its_kind_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let place = |dir: &Path| LogPlace {
        disk: RealDisk::shared(),
        dir: dir.join("wal"),
        root: dir.to_owned(),
        options: WalOptions::default(),
        metrics: WalMetrics::new(&Registry::new()),
    };
    let log = place(dir.path());
    let (head, _) = Head::open(log.clone(), options(), i64::MIN, &Registry::new()).unwrap();
    let (one, two) = (integer(1), float(2));
    let mut batch = Batch::new();
    push(&mut batch, "a", &[(1, Value::Float(1.0)), (2, Value::Histogram(one.as_ref()))]);
    push(&mut batch, "b", &[(1, Value::Histogram(two.as_ref()))]);
    push(&mut batch, "a", &[(3, Value::Float(3.0))]);
    assert_eq!(head.append(&mut batch, OnReject::KeepRest).unwrap().accepted, 4);
    head.close().unwrap();
    let mut kinds = Vec::new();
    wal::replay(&log.disk, &log.dir, None, &mut |_, record| {
        kinds.push(wal::kind(record));
        Ok(())
    })
    .unwrap();
    use RecordKind::{FloatHistogramSamples, HistogramSamples, Samples, Series};
    assert_eq!(kinds, [Series, Samples, HistogramSamples, FloatHistogramSamples, Samples]);
}

#[test]
fn large_histograms_make_chunks_of_at_least_ten() {
    let head = head_with(options());
    let length = 400;
    for index in 0..60_i64 {
        let positive = vec![Span::new(0, length)];
        let layout = Layout { schema: 3, positive, ..Layout::default() };
        let buckets: Vec<i64> =
            (0..i64::from(length)).map(|n| (n + 1) * (index + 1) * 1_000_003).collect();
        let count = buckets.iter().sum::<i64>() as u64;
        let counts = Counts::Integer { count, zero_count: 0, buckets };
        let hint = ResetHint::Unknown;
        let histogram = Histogram { layout: layout.into(), hint, sum: 1.0, counts };
        let sample = (index * 15_000, Value::Histogram(histogram.as_ref()));
        assert_eq!(append(&head, "large", &[sample]), [Verdict::Accepted]);
    }
    let (column, chunks) = read(&head, "large");
    let counts: Vec<_> = chunks
        .iter()
        .map(|chunk| crate::chunk::sample_count(chunk.encoding, &chunk.data).unwrap())
        .collect();
    assert_eq!(counts, [10; 6]);
    let CountsRef::Integer { buckets, .. } = column.histograms.get(59).unwrap().counts else {
        panic!("whole numbers were stored")
    };
    assert_eq!(buckets[399], 400 * 60 * 1_000_003);
}
