//! Readers beside batches: a batch is seen whole or not at all.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use proptest::prelude::*;

use super::state::{Head, HeadOptions};
use crate::base::metrics::Registry;
use crate::chunk::OpenChunk;
use crate::model::histogram::{Counts, Histogram, Layout, ResetHint, Span};
use crate::model::{Labels, Matcher};
use crate::series::{
    Append, Batch, Chunk, Column, OnReject, Queryable, Select, SeriesRef, TimeRange, Verdict,
};
use crate::storage::head::closed::Closed;
use crate::storage::head::series::hide_newest;

const HOUR_MS: i64 = 3_600_000;
/// More than a page holds.
const GROUP_SERIES: usize = 100;

fn head() -> Head {
    Head::empty(HeadOptions::new(2 * HOUR_MS), None, i64::MIN, &Registry::new())
}

fn labels(group: &str, number: usize) -> Labels {
    Labels::from_pairs([("group", group.to_owned()), ("n", number.to_string())]).unwrap()
}

fn batch(group: &str, timestamp_ms: i64, value: f64) -> Batch {
    let mut batch = Batch::new();
    for number in 0..GROUP_SERIES {
        batch.push_series(SeriesRef::UNKNOWN, labels(group, number).as_ref());
        batch.push_sample(timestamp_ms, value);
    }
    batch
}

fn columns(head: &Head, group: &str) -> Vec<Column> {
    let ask = Select::new(vec![Matcher::equal("group", group)], TimeRange::ALL);
    let read = |series: Box<dyn crate::series::Series>| {
        let mut column = Column::new();
        series.read(TimeRange::ALL, &mut column).unwrap();
        column
    };
    head.select(&ask).unwrap().series.into_iter().map(read).collect()
}

/// Reads the group until `is_over`, and once more: all series look alike at any time.
fn watch(head: &Head, group: &str, is_over: &AtomicBool) -> usize {
    let (mut looks, mut seen) = (0, 0);
    loop {
        let was_over = is_over.load(Ordering::Acquire);
        let found = columns(head, group);
        assert!(found.is_empty() || found.len() == GROUP_SERIES, "{} series", found.len());
        if let Some((first, others)) = found.split_first() {
            assert!(others.iter().all(|other| other == first), "group {group}");
            assert!(first.len() >= seen, "a sample was seen and is gone");
            seen = first.len();
        }
        looks += 1;
        if was_over {
            return looks;
        }
    }
}

#[test]
fn a_reader_never_sees_a_part_of_a_batch() {
    const BATCHES: i64 = 300;
    let head = head();
    let is_over = AtomicBool::new(false);
    let next_ms = AtomicI64::new(0);
    std::thread::scope(|scope| {
        let (head, is_over, next_ms) = (&head, &is_over, &next_ms);
        let own = |group: &'static str| {
            move || {
                for step in 0..BATCHES {
                    let mut batch = batch(group, step * 15_000, step as f64);
                    let outcome = head.append(&mut batch, OnReject::KeepRest).unwrap();
                    assert_eq!(outcome.accepted, GROUP_SERIES);
                }
            }
        };
        // Two that meet in every series: each batch comes in for all of them or for none.
        let shared = |thread: i64| {
            move || {
                for _ in 0..BATCHES {
                    let step = next_ms.fetch_add(1, Ordering::Relaxed);
                    let mut batch = batch("shared", step * 7_500, thread as f64);
                    let outcome = head.append(&mut batch, OnReject::KeepRest).unwrap();
                    assert!([0, GROUP_SERIES].contains(&outcome.accepted), "{outcome:?}");
                    let first = batch.verdicts()[0];
                    assert!(matches!(first, Verdict::Accepted | Verdict::OutOfOrder));
                }
            }
        };
        let writers = [
            scope.spawn(own("a")),
            scope.spawn(own("b")),
            scope.spawn(shared(1)),
            scope.spawn(shared(2)),
        ];
        let readers =
            ["a", "b", "shared"].map(|group| scope.spawn(move || watch(head, group, is_over)));
        for writer in writers {
            writer.join().unwrap();
        }
        is_over.store(true, Ordering::Release);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
    assert_eq!(columns(&head, "a")[0].len() as i64, BATCHES);
    assert_eq!(columns(&head, "b")[GROUP_SERIES - 1].len() as i64, BATCHES);
}

#[test]
fn a_reader_that_began_before_sees_nothing_of_what_came_after() {
    let head = head();
    for step in 0..130_i64 {
        head.append(&mut batch("a", step * 15_000, step as f64), OnReject::KeepRest).unwrap();
    }
    let before = columns(&head, "a");
    // Registered as a select is while it copies.
    let reader = head.isolation.reader();
    for step in 130..250_i64 {
        head.append(&mut batch("a", step * 15_000, step as f64), OnReject::KeepRest).unwrap();
    }
    let mut seen = Vec::new();
    head.series.for_each(|_, series| {
        let mut chunks = Vec::new();
        let hidden = series.copy_for(&reader, TimeRange::ALL, &mut chunks);
        assert_eq!(hidden, 120);
        hide_newest(&mut chunks, hidden, None).unwrap();
        assert_eq!(chunks.last().unwrap().range().end_ms, 129 * 15_000);
        let mut column = Column::new();
        for chunk in chunks {
            let chunk = chunk.load(None).unwrap();
            let all = (i64::MIN, i64::MAX);
            crate::chunk::decode(chunk.encoding, &chunk.data, all, &mut column).unwrap();
        }
        seen.push(column);
    });
    assert_eq!(seen, before);
    drop(reader);
    // What had to be remembered for the reader is forgotten with the next batch.
    let remembered = |head: &Head| {
        let mut bytes = 0;
        head.series.for_each(|_, series| bytes += series.remembered_batches());
        bytes
    };
    // All but the last, which every series knows as such.
    assert_eq!(remembered(&head), 119 * GROUP_SERIES);
    head.append(&mut batch("a", HOUR_MS * 2, 0.0), OnReject::KeepRest).unwrap();
    assert_eq!(remembered(&head), 0);
}

fn histogram(index: i64) -> Histogram {
    let layout = Layout { schema: 1, positive: vec![Span::new(0, 2)], ..Layout::default() };
    let buckets = vec![index, 2 * index];
    let counts = Counts::Integer { count: 3 * index as u64, zero_count: 0, buckets };
    Histogram { layout: layout.into(), hint: ResetHint::Unknown, sum: index as f64, counts }
}

/// A chunk of histograms with starts, whose count shares its bytes with two other bits.
fn histograms(count: i64) -> Chunk {
    let first = histogram(1);
    let begun = crate::chunk::HistogramAppender::begin(1, 1, first.as_ref(), None, true).unwrap();
    let mut open = OpenChunk::Histogram(Box::new(begun));
    for index in 2..=count {
        let OpenChunk::Histogram(appender) = &mut open else { unreachable!() };
        assert!(appender.append(index, 1, histogram(index).as_ref()).unwrap().is_none());
    }
    let (min_time_ms, max_time_ms) = (open.min_time_ms(), open.max_time_ms());
    Chunk { min_time_ms, max_time_ms, encoding: open.encoding() as u8, data: open.finish() }
}

proptest! {
    #[test]
    fn the_newest_samples_are_hidden_whatever_chunk_they_are_in(
        counts in prop::collection::vec((1_i64..20, any::<bool>()), 1..4), hidden in 0_usize..60,
    ) {
        let mut chunks = Vec::new();
        let mut wanted = Column::new();
        for (part, (count, is_histogram)) in counts.into_iter().enumerate() {
            let base_ms = part as i64 * 100;
            let mut chunk = histograms(count);
            if !is_histogram {
                let mut floats = crate::chunk::XorAppender::new();
                (1..=count).for_each(|index| floats.append(base_ms + index, 1.0).unwrap());
                chunk = Chunk {
                    min_time_ms: base_ms + 1,
                    max_time_ms: base_ms + count,
                    encoding: 1,
                    data: floats.finish(),
                };
            }
            let all = (i64::MIN, i64::MAX);
            crate::chunk::decode(chunk.encoding, &chunk.data, all, &mut wanted).unwrap();
            chunks.push(Closed::Memory(chunk));
        }
        let kept = wanted.len().saturating_sub(hidden);
        let all = std::mem::take(&mut wanted);
        wanted.extend_from(&all, 0..kept);
        hide_newest(&mut chunks, hidden, None).unwrap();
        let chunks: Vec<Chunk> = chunks.into_iter().map(|c| c.load(None).unwrap()).collect();
        let mut found = Column::new();
        for chunk in &chunks {
            let all = (i64::MIN, i64::MAX);
            crate::chunk::decode(chunk.encoding, &chunk.data, all, &mut found).unwrap();
        }
        prop_assert_eq!(chunks.last().map(|c| c.max_time_ms), wanted.timestamps.last().copied());
        prop_assert_eq!(found, wanted);
    }
}
