//! The head's rules, one by one, and against a store that is obviously right.

use super::state::{Head, HeadOptions};
use super::*;
use crate::base::metrics::Registry;
use crate::model::{Labels, Matcher, Sample, stale_nan};
use crate::series::{
    Append, AppendError, Batch, Chunk, Column, OnReject, Outcome, Queryable, Select, SeriesRef,
    TimeRange, Verdict,
};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const RANGE_MS: i64 = 2 * HOUR_MS;

fn options() -> HeadOptions {
    HeadOptions::new(RANGE_MS)
}

fn head() -> Head {
    Head::empty(options(), None, i64::MIN, &Registry::new())
}

fn labels(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name), ("job", "test")]).unwrap()
}

fn batch(rows: &[(&str, i64, f64)]) -> Batch {
    let mut batch = Batch::new();
    for (name, timestamp_ms, value) in rows {
        batch.push_series(SeriesRef::UNKNOWN, labels(name).as_ref());
        batch.push_sample(*timestamp_ms, *value);
    }
    batch
}

fn append(head: &Head, rows: &[(&str, i64, f64)]) -> Vec<Verdict> {
    let mut batch = batch(rows);
    let outcome = head.append(&mut batch, OnReject::KeepRest).unwrap();
    assert_eq!(outcome.accepted + outcome.rejected, rows.len());
    batch.verdicts().to_vec()
}

fn read(head: &Head, name: &str) -> Vec<(i64, f64)> {
    let ask = Select::new(vec![Matcher::equal("__name__", name)], TimeRange::ALL);
    let mut column = Column::new();
    for series in head.select(&ask).unwrap().series {
        series.read(TimeRange::ALL, &mut column).unwrap();
    }
    column.timestamps.into_iter().zip(column.floats).collect()
}

fn chunks(head: &Head, name: &str) -> Vec<Chunk> {
    let ask = Select::new(vec![Matcher::equal("__name__", name)], TimeRange::ALL);
    let mut chunks = Vec::new();
    for series in head.select(&ask).unwrap().series {
        series.chunks(TimeRange::ALL, &mut chunks).unwrap();
    }
    chunks
}

#[test]
fn samples_come_back_by_series() {
    let head = head();
    append(&head, &[("a", 1, 1.0), ("b", 1, 2.0)]);
    append(&head, &[("a", 2, 3.0)]);
    assert_eq!(read(&head, "a"), [(1, 1.0), (2, 3.0)]);
    assert_eq!(read(&head, "b"), [(1, 2.0)]);
    assert_eq!(read(&head, "c"), []);
    assert_eq!(head.span(), Some(TimeRange::new(1, 2)));
}

#[test]
fn the_same_sample_twice_is_accepted_and_stored_once() {
    let head = head();
    let ok = [Verdict::Accepted];
    assert_eq!(append(&head, &[("a", 1, stale_nan())]), ok);
    assert_eq!(append(&head, &[("a", 1, stale_nan())]), ok);
    assert_eq!(append(&head, &[("a", 1, f64::NAN)]), [Verdict::DuplicateTimestamp]);
    assert_eq!(append(&head, &[("b", 1, 0.0)]), ok);
    assert_eq!(append(&head, &[("b", 1, -0.0)]), [Verdict::DuplicateTimestamp]);
    assert_eq!(read(&head, "a").len(), 1);
}

#[test]
fn an_older_sample_is_out_of_order_and_a_much_older_one_out_of_bounds() {
    let head = head();
    append(&head, &[("a", 3 * HOUR_MS, 1.0), ("late", 3 * HOUR_MS - 10, 1.0)]);
    let refused = append(&head, &[("late", 3 * HOUR_MS - 11, 1.0), ("a", 2 * HOUR_MS - 1, 1.0)]);
    assert_eq!(refused, [Verdict::OutOfOrder, Verdict::OutOfBounds]);
    // The bound counts for the whole head: also for a series that was never seen.
    let new = append(&head, &[("x", 2 * HOUR_MS, 1.0), ("y", 2 * HOUR_MS - 1, 1.0)]);
    assert_eq!(new, [Verdict::Accepted, Verdict::OutOfBounds]);
}

#[test]
fn the_bound_of_a_batch_is_that_before_the_batch() {
    let head = head();
    append(&head, &[("a", 0, 1.0)]);
    let got = append(&head, &[("a", 5 * HOUR_MS, 1.0), ("b", 1, 1.0)]);
    assert_eq!(got, [Verdict::Accepted; 2]);
    assert_eq!(append(&head, &[("b", 2, 1.0)]), [Verdict::OutOfBounds]);
    // Of an empty head, the first sample of the batch counts as its newest.
    let head = self::head();
    let got = append(&head, &[("a", 5 * HOUR_MS, 1.0), ("b", 1, 1.0)]);
    assert_eq!(got, [Verdict::Accepted, Verdict::OutOfBounds]);
}

#[test]
fn one_bad_sample_refuses_the_batch_if_asked_to() {
    let head = head();
    append(&head, &[("a", 10, 1.0)]);
    let mut batch = batch(&[("a", 11, 1.0), ("b", 11, 1.0), ("a", 9, 1.0)]);
    let outcome = head.append(&mut batch, OnReject::RejectAll).unwrap();
    assert_eq!(outcome, Outcome { rejected: 1, created_series: 1, ..Outcome::default() });
    let verdicts = [Verdict::Accepted, Verdict::Accepted, Verdict::OutOfOrder];
    assert_eq!(batch.verdicts(), verdicts);
    assert_eq!((read(&head, "a").len(), read(&head, "b").len()), (1, 0));
    // What was promised is taken back: the same times are free.
    assert_eq!(append(&head, &[("a", 11, 2.0), ("b", 11, 2.0)]), [Verdict::Accepted; 2]);
}

#[test]
fn disorder_inside_a_batch_refuses_only_the_late_sample() {
    let head = head();
    let mut batch = batch(&[("a", 20, 1.0), ("a", 10, 1.0), ("a", 20, 2.0), ("a", 30, 1.0)]);
    let outcome = head.append(&mut batch, OnReject::RejectAll).unwrap();
    assert_eq!(
        outcome,
        Outcome { accepted: 2, rejected: 2, created_series: 1, ..Outcome::default() }
    );
    assert_eq!(read(&head, "a"), [(20, 1.0), (30, 1.0)]);
}

#[test]
fn a_reference_is_remembered_and_a_wrong_one_is_no_harm() {
    let head = head();
    let mut first = batch(&[("a", 1, 1.0), ("b", 1, 1.0)]);
    head.append(&mut first, OnReject::KeepRest).unwrap();
    let (a, b) = (first.series_ref(0), first.series_ref(1));
    assert_eq!((a, b), (SeriesRef(1), SeriesRef(2)));
    let mut second = Batch::new();
    for (known, name) in [(a, "a"), (a, "b"), (SeriesRef(99), "a")] {
        second.push_series(known, labels(name).as_ref());
        second.push_sample(second.series_count() as i64 + 1, 2.0);
    }
    let outcome = head.append(&mut second, OnReject::KeepRest).unwrap();
    assert_eq!(outcome, Outcome { accepted: 3, ..Outcome::default() });
    assert_eq!([0, 1, 2].map(|entry| second.series_ref(entry)), [a, b, a]);
    assert_eq!(read(&head, "a"), [(1, 1.0), (2, 2.0), (4, 2.0)]);
    assert_eq!(read(&head, "b"), [(1, 1.0), (3, 2.0)]);
}

#[test]
fn batches_in_any_order_find_their_series() {
    let head = head();
    let orders = [["a", "b", "c"], ["a", "b", "c"], ["b", "a", "c"], ["c", "a", "b"]];
    for (time_ms, order) in orders.iter().enumerate() {
        append(&head, &order.map(|name| (name, time_ms as i64, time_ms as f64)));
    }
    let expected = [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0)];
    assert_eq!(["a", "b", "c"].map(|name| read(&head, name)), [expected; 3]);
    assert_eq!(head.series_count(), 3);
}

#[test]
fn a_series_without_labels_and_one_too_many_are_refused() {
    let limits = SeriesLimits { max_series: 1, by_label: Vec::new() };
    let limited = HeadOptions { limits, ..options() };
    let head = Head::empty(limited, None, i64::MIN, &Registry::new());
    let mut empty = Batch::new();
    empty.push_series(SeriesRef::UNKNOWN, Labels::empty().as_ref());
    let refused = head.append(&mut empty, OnReject::KeepRest);
    assert!(matches!(refused, Err(AppendError::EmptyLabels)));
    append(&head, &[("a", 1, 1.0)]);
    let mut batch = batch(&[("b", 2, 1.0), ("a", 2, 1.0), ("b", 3, 1.0)]);
    // Also where nothing may be refused: what is there goes on.
    let outcome = head.append(&mut batch, OnReject::RejectAll).unwrap();
    assert_eq!(outcome, Outcome { accepted: 1, rejected: 2, ..Outcome::default() });
    let verdicts = [Verdict::SeriesLimit, Verdict::Accepted, Verdict::SeriesLimit];
    assert_eq!((batch.verdicts(), read(&head, "a").len()), (&verdicts[..], 2));
    let refused = head.resolve(&labels("b"));
    assert!(matches!(refused, Err(AppendError::TooManySeries { limit: 1 })));
}

#[test]
fn chunks_end_where_prometheus_ends_them() {
    let head = head();
    // 15 s for two hours and a bit: chunks of 120 samples that end with the range.
    for index in 0..500 {
        append(&head, &[("even", index * 15_000, index as f64)]);
    }
    let even = chunks(&head, "even");
    let starts: Vec<_> = even.iter().map(|chunk| chunk.min_time_ms).collect();
    assert_eq!(starts, [0, 30 * MINUTE_MS, HOUR_MS, 90 * MINUTE_MS, RANGE_MS]);
    // A burst after the estimate: twice the wanted count ends the chunk.
    for index in 0..30 {
        append(&head, &[("burst", RANGE_MS + index * 60_000, 0.0)]);
    }
    for index in 0..300 {
        append(&head, &[("burst", RANGE_MS + 30 * 60_000 + index, 0.0)]);
    }
    let burst = chunks(&head, "burst");
    let counts: Vec<_> = burst.iter().map(|c| crate::chunk::sample_count(1, &c.data)).collect();
    assert_eq!(counts, [Ok(240), Ok(90)]);
}

#[test]
fn a_chunk_of_wild_values_ends_at_a_kibibyte() {
    let head = head();
    let mut bits = 1_u64;
    for index in 0..400 {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Slow at first, so that the estimate allows for more than the bytes do.
        let time_ms = if index < 30 { index * MINUTE_MS } else { 29 * MINUTE_MS + index };
        append(&head, &[("wild", time_ms, f64::from_bits(bits >> 2))]);
    }
    let wild = chunks(&head, "wild");
    assert!((1006..=1024).contains(&wild[0].data.len()), "{} bytes", wild[0].data.len());
    assert!(wild.len() > 2);
}

#[test]
fn an_answer_does_not_change_after_the_question() {
    let head = head();
    append(&head, &[("a", 1, 1.0)]);
    let set = head.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap();
    append(&head, &[("a", 2, 2.0)]);
    let mut column = Column::new();
    set.series[0].read(TimeRange::ALL, &mut column).unwrap();
    assert_eq!(column.timestamps, [1]);
}

#[test]
fn threads_that_append_the_same_series_lose_and_invent_nothing() {
    let head = head();
    let accepted = parking_lot::Mutex::new(Vec::<Sample>::new());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (head, accepted) = (&head, &accepted);
            scope.spawn(move || {
                for index in 0..500_i64 {
                    let (timestamp_ms, value) = (index * 4, f64::from(thread));
                    let own = ["w", "x", "y", "z"][thread as usize];
                    let mut batch =
                        batch(&[("shared", timestamp_ms, value), (own, timestamp_ms, value)]);
                    head.append(&mut batch, OnReject::KeepRest).unwrap();
                    assert!(batch.verdicts()[1].is_accepted());
                    if batch.verdicts()[0].is_accepted() {
                        accepted.lock().push(Sample { timestamp_ms, value });
                    }
                }
            });
        }
    });
    let mut accepted: Vec<_> =
        accepted.into_inner().iter().map(|sample| (sample.timestamp_ms, sample.value)).collect();
    accepted.sort_unstable_by_key(|sample| sample.0);
    assert_eq!(read(&head, "shared"), accepted);
    for own in ["w", "x", "y", "z"] {
        assert_eq!(read(&head, own).len(), 500);
    }
}

#[test]
fn a_refused_batch_takes_back_what_was_stored_when_it_was_judged() {
    let head = head();
    let times = |head: &Head, name: &str| {
        read(head, name).into_iter().map(|sample| sample.0).collect::<Vec<_>>()
    };
    append(&head, &[("a", 10, 1.0), ("a", 20, 2.0), ("b", 10, 1.0)]);
    // The third is refused for the sake of what was stored before, and the batch with it.
    let mut refused = batch(&[("b", 30, 3.0), ("a", 40, 4.0), ("a", 15, 5.0)]);
    let outcome = head.append(&mut refused, OnReject::RejectAll).unwrap();
    assert_eq!((outcome.accepted, outcome.rejected), (0, 1));
    assert_eq!(times(&head, "a"), [10, 20]);
    assert_eq!(times(&head, "b"), [10]);
    // Here it is refused for the sake of its neighbour alone.
    let mut kept = batch(&[("b", 30, 3.0), ("a", 40, 4.0), ("a", 35, 5.0)]);
    let outcome = head.append(&mut kept, OnReject::RejectAll).unwrap();
    assert_eq!((outcome.accepted, outcome.rejected), (2, 1));
    assert_eq!(times(&head, "a"), [10, 20, 40]);
    assert_eq!(times(&head, "b"), [10, 30]);
}
