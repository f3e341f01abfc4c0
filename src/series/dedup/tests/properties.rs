//! What holds of all replicas.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::support::{Store, bits, column, decoded, read};
use crate::chunk::EncodeOptions;
use crate::model::histogram::{Counts, Histogram, Layout, ResetHint, Span};
use crate::model::{Column, Matcher};
use crate::series::dedup::{Dedup, identity, merge_replica_chunks};
use crate::series::{Queryable, Select, TimeRange};

/// One replica: when it scrapes, and in which spans it does not.
#[derive(Debug, Clone)]
struct Replica {
    phase: i64,
    jitter: Vec<i64>,
    /// Starts and lengths, in scrapes.
    holes: Vec<(usize, usize)>,
}

const SCRAPES: usize = 200;

fn any_replica() -> impl Strategy<Value = Replica> {
    let holes = vec((0..SCRAPES, prop_oneof![3 => 1_usize..3, 1 => 3_usize..60]), 0..6);
    (0_i64..100, vec(-4_i64..=4, SCRAPES), holes).prop_map(|(phase, jitter, holes)| Replica {
        phase,
        jitter,
        holes,
    })
}

impl Replica {
    /// Times in hundredths of the interval.
    fn times(&self, interval_ms: i64) -> Vec<i64> {
        let missing = |n: usize| {
            self.holes.iter().any(|(start, length)| (*start..start + length).contains(&n))
        };
        let scrapes = (0..SCRAPES).filter(|n| !missing(*n));
        let at = |n: usize| (n as i64 * 100 + self.phase + self.jitter[n]) * interval_ms / 100;
        scrapes.map(at).collect()
    }
}

fn counter(times: &[i64], per_ms: f64, from: f64) -> Column {
    column(times.iter().map(|time_ms| (*time_ms, from + *time_ms as f64 * per_ms)))
}

fn merged(replicas: &[Column]) -> Column {
    read(Store::of(replicas), Dedup::Identity, None, TimeRange::ALL)
}

fn growth(column: &Column) -> f64 {
    let steps = (1..column.len()).map(|index| {
        let before = column.joins.before(index).unwrap_or(column.floats[index - 1]);
        let value = column.floats[index];
        if value < before { value } else { value - before }
    });
    steps.sum()
}

proptest! {
    #[test]
    fn one_replica_is_the_series(samples in vec((1_i64..100_000, any::<f64>()), 0..200)) {
        let mut time_ms = 0;
        let samples = samples.into_iter().map(|(gap_ms, value)| {
            time_ms += gap_ms;
            (time_ms, value)
        });
        let column = column(samples);
        prop_assert_eq!(bits(&merged(std::slice::from_ref(&column))), bits(&column));
        // Copies of it change nothing.
        let copies = [column.clone(), column.clone(), column.clone()];
        prop_assert_eq!(bits(&merged(&copies)), bits(&column));
    }

    #[test]
    fn the_series_is_where_any_replica_is_and_as_dense_as_one(
        replicas in vec(any_replica(), 1..4),
        interval_ms in prop_oneof![Just(1000_i64), Just(15_000), Just(60_000), Just(3_600_000)],
    ) {
        let times: Vec<_> = replicas.iter().map(|one| one.times(interval_ms)).collect();
        let columns: Vec<_> = times.iter().map(|times| counter(times, 0.5, 1e6)).collect();
        let found = merged(&columns);
        prop_assert!(found.timestamps.is_sorted_by(|a, b| a < b));
        for time_ms in times.iter().flatten() {
            let at = found.timestamps.partition_point(|found_ms| found_ms <= time_ms);
            let near = found.timestamps[at.saturating_sub(1)..(at + 1).min(found.len())].iter();
            let away_ms = near.map(|near_ms| (near_ms - time_ms).abs()).min().unwrap();
            prop_assert!(away_ms <= 2 * interval_ms, "{} is {} away", time_ms, away_ms);
        }
        for pair in found.timestamps.windows(2) {
            prop_assert!(pair[1] - pair[0] >= interval_ms / 10, "{:?}", pair);
        }
        // All count the same.
        prop_assert!(found.joins.is_empty());
    }

    #[test]
    fn a_counter_grows_as_it_did_whoever_counted_from_where(
        replicas in vec(any_replica(), 2..4),
        lifts in vec(0_u32..100, 4),
    ) {
        // They are one counter or lie farther apart than they grow. In between, one may begin
        // behind a hole where the other has just come to: nobody can tell that from one counter.
        let columns: Vec<_> = replicas.iter().zip(&lifts).map(|(one, lift)| {
            counter(&one.times(15_000), 0.5, f64::from(*lift) * 1e7)
        }).collect();
        let found = merged(&columns);
        let (Some(first), Some(last)) = (found.timestamps.first(), found.timestamps.last()) else {
            return Ok(());
        };
        // Where nobody scraped, or a replica only begins, nobody knows how far it grew.
        let unknown = found.timestamps.windows(2).map(|pair| pair[1] - pair[0] - 30_000);
        let unknown: i64 = unknown.filter(|gap_ms| *gap_ms > 0).sum::<i64>() + 60_000;
        let (want, got) = ((last - first) as f64 * 0.5, growth(&found));
        let is_known = |index: &usize| {
            let time_ms = found.timestamps[index - 1];
            columns.iter().filter(|column| column.timestamps[0] <= time_ms).count() == columns.len()
        };
        if (1..found.len()).all(|index| is_known(&index)) {
            let slack = (unknown as f64 + 30_000.0) * 0.5;
            prop_assert!((want - got).abs() <= slack, "{} {} {}", want, got, slack);
        }
    }

    #[test]
    fn a_part_of_the_range_is_a_part_of_the_whole(
        replicas in vec(any_replica(), 2..4),
        from in 30_usize..170,
        length in 1_usize..60,
    ) {
        let columns: Vec<_> =
            replicas.iter().map(|one| counter(&one.times(15_000), 0.5, 1e6)).collect();
        // Holes that are longer than what is looked at around a range may look otherwise.
        let has_long = columns.iter().any(|column| {
            column.timestamps.windows(2).any(|pair| pair[1] - pair[0] > 120_000)
                || column.timestamps.len() < 150
        });
        prop_assume!(!has_long);
        let range = TimeRange::new(from as i64 * 15_000, (from + length) as i64 * 15_000);
        let part = read(Store::of(&columns), Dedup::Identity, None, range);
        let whole = merged(&columns);
        let inside = |time_ms: &i64| range.contains(*time_ms);
        let want: Vec<i64> = whole.timestamps.iter().copied().filter(inside).collect();
        prop_assert_eq!(part.timestamps, want);
    }

    #[test]
    fn a_compacted_block_says_what_a_query_said(replicas in vec(any_replica(), 1..4)) {
        let columns: Vec<_> =
            replicas.iter().map(|one| counter(&one.times(15_000), 0.5, 1e6)).collect();
        let store = Store::of(&columns);
        let chunks: Vec<_> = store.0.iter().map(|series| series.1.clone()).collect();
        let mut out = Vec::new();
        let options = EncodeOptions::default();
        merge_replica_chunks(Dedup::Identity, &chunks, &options, &mut out).unwrap();
        let compacted = decoded(&out);
        prop_assert_eq!(bits(&compacted), bits(&merged(&columns)));
        let times = |chunk: &crate::series::Chunk| (chunk.min_time_ms, chunk.max_time_ms);
        prop_assert!(out.is_sorted_by(|a, b| times(a).1 < times(b).0));
    }
}

#[test]
fn chunks_that_nothing_is_changed_of_are_passed_on() {
    let a = counter(&(0..600).map(|n| n * 15_000).collect::<Vec<_>>(), 1.0, 0.0);
    let b = counter(&(0..600).map(|n| n * 15_000 + 3000).collect::<Vec<_>>(), 1.0, 0.0);
    let mut holey = Column::new();
    holey.extend_from(&a, 0..200);
    holey.extend_from(&a, 201..600);
    let store = Store::of(&[holey, b]);
    let chunks: Vec<_> = store.0.iter().map(|series| series.1.clone()).collect();
    let mut out = Vec::new();
    let options = EncodeOptions::default();
    merge_replica_chunks(Dedup::Identity, &chunks, &options, &mut out).unwrap();
    let kept = out.iter().filter(|chunk| chunks[0].contains(chunk)).count();
    assert_eq!((kept, chunks[0].len()), (4, 5));
    assert_eq!(decoded(&out).len(), 600);
}

#[test]
fn counts_of_downsampled_chunks_go_on_over_a_switch() {
    // Each chunk counts from zero; its first sample joins what was counted before.
    let stream = |phase_ms: i64, chunk: i64, misses: &dyn Fn(i64) -> bool| {
        let mut column = Column::new();
        let at = |n: i64| n * 300_000 + phase_ms;
        let mut before = None;
        for n in (0..100).filter(|n| !misses(*n)) {
            let start_ms = at(n / chunk * chunk);
            if let Some(before) = before.filter(|before| before / chunk != n / chunk) {
                column.joins.push(column.len(), (at(before) - start_ms) as f64);
            }
            column.push(at(n), (at(n) - start_ms) as f64);
            before = Some(n);
        }
        column
    };
    let dead = |n: i64| (35..52).contains(&n);
    for chunk in [7, 10, 19] {
        let replicas = [stream(0, 10, &dead), stream(100_000, chunk, &|_| false)];
        let mut found = Column::new();
        identity::merge(&replicas, TimeRange::ALL, &mut found);
        assert!(found.len() >= 99 && found.joins.floats().len() >= 10);
        let length_ms = found.timestamps.last().unwrap() - found.timestamps[0];
        assert!((growth(&found) - length_ms as f64).abs() < 1.0, "{chunk}");
    }
}

fn histogram(count: u64, hint: ResetHint) -> Histogram {
    let positive = vec![Span::new(0, 2)];
    let layout = Arc::new(Layout { positive, ..Layout::default() });
    let buckets = vec![(count / 2) as i64, (count - count / 2) as i64];
    let counts = Counts::Integer { count, zero_count: 0, buckets };
    Histogram { layout, hint, sum: count as f64, counts }
}

#[test]
fn histograms_join_where_their_counts_do_not_go_on() {
    let stream = |from_ms: i64, lift: u64, misses: &dyn Fn(i64) -> bool| {
        let mut column = Column::new();
        for n in (0..40).filter(|n| !misses(*n)) {
            let hint = if n == 0 { ResetHint::Unknown } else { ResetHint::NotReset };
            let one = histogram(lift + n as u64 * 100, hint);
            column.push_histogram(from_ms + n * 15_000, one.as_ref());
        }
        column
    };
    let dead = |n: i64| (10..20).contains(&n);
    let found = merged(&[stream(0, 1000, &dead), stream(7500, 1050, &|_| false)]);
    assert!(found.joins.is_empty() && found.histograms.len() == found.len());
    let hint = |n: i64| {
        let index = found.timestamps.iter().position(|time_ms| *time_ms == n).unwrap();
        found.histograms.get(index).unwrap().hint
    };
    // Only a sample whose neighbour is another one now knows nothing of it.
    assert_eq!((hint(300_000), hint(315_000)), (ResetHint::Unknown, ResetHint::NotReset));

    let found = merged(&[stream(0, 1000, &dead), stream(7500, 900_000, &|_| false)]);
    let joins: Vec<_> = found.joins.histograms().iter().collect();
    assert_eq!(joins.len(), 2);
    let (index, before) = joins[0];
    assert_eq!(found.timestamps[index - 1], 9 * 15_000);
    // Half of the way between the counts that its own stream had around then.
    assert_eq!(before.sum, 900_000.0 + 850.0);
}

#[test]
fn replicas_are_one_series_with_the_labels_that_remain() {
    let column = counter(&[0, 15_000, 30_000], 1.0, 0.0);
    let store = Store::of(&[column.clone(), column.clone()]);
    let source = store.merged(Dedup::Identity);
    let ask = Select::new(Vec::new(), TimeRange::ALL);
    let set = source.select(&ask).unwrap();
    assert_eq!(set.warnings, ["kept"]);
    let labels: Vec<_> = set.series.iter().map(|series| series.labels().to_string()).collect();
    assert_eq!(labels, [r#"{__name__="m_total"}"#]);
    let mut chunks = Vec::new();
    set.series[0].chunks(TimeRange::ALL, &mut chunks).unwrap();
    assert_eq!(decoded(&chunks), column);
    let texts =
        |texts: Vec<Arc<str>>| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
    assert_eq!(texts(source.label_names(&ask).unwrap()), ["__name__"]);
    assert_eq!(texts(source.label_values("__name__", &ask).unwrap()), ["m_total"]);
    assert!(source.label_values("replica", &ask).unwrap().is_empty());
    // Who asks for one replica gets that one.
    let one = Select::new(vec![Matcher::equal("replica", "b")], TimeRange::ALL);
    assert_eq!(source.select(&one).unwrap().series.len(), 1);
}
