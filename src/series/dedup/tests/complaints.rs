//! What users of Thanos complain about, one test a complaint: each shows what `penalty` makes of
//! the replicas, and what `identity` does.

use super::support::{Store, bits, column, read};
use crate::model::{Column, stale_nan};
use crate::series::TimeRange;
use crate::series::dedup::Dedup;
use crate::series::dedup::Dedup::{Identity, Penalty};

const SECOND: i64 = 1000;

/// What a counter counts by an instant: one a second.
fn counted(time_ms: i64) -> f64 {
    1e6 + time_ms as f64 / 1000.0
}

/// A replica that scrapes a counter `every_s` seconds from `from_s` on, but not where `misses`.
fn scraper(from_s: i64, every_s: i64, to_s: i64, misses: impl Fn(i64) -> bool) -> Column {
    let times = (0..).map(|n| from_s + n * every_s).take_while(|time_s| *time_s < to_s);
    let times = times.filter(|time_s| !misses(*time_s));
    column(times.map(|time_s| (time_s * SECOND, counted(time_s * SECOND))))
}

fn merged(replicas: &[Column], kind: Dedup, func: Option<&str>) -> Column {
    read(Store::of(replicas), kind, func, TimeRange::ALL)
}

/// The longest distance between two samples, in seconds.
fn longest_s(column: &Column) -> i64 {
    let distances = column.timestamps.windows(2).map(|pair| pair[1] - pair[0]);
    distances.max().unwrap_or_default() / SECOND
}

fn shortest_s(column: &Column) -> i64 {
    let distances = column.timestamps.windows(2).map(|pair| pair[1] - pair[0]);
    distances.min().unwrap_or_default() / SECOND
}

/// What a rate would add up.
fn growth(column: &Column) -> f64 {
    let mut sum = 0.0;
    for index in 1..column.len() {
        let before = column.joins.before(index).unwrap_or(column.floats[index - 1]);
        let value = column.floats[index];
        sum += if value < before { value } else { value - before };
    }
    sum
}

#[test]
fn a_missed_scrape_is_taken_from_the_other_replica() {
    // 331, 1744, 2736
    let a = scraper(0, 15, 900, |time_s| time_s == 450);
    let b = scraper(3, 15, 900, |_| false);
    assert_eq!(longest_s(&merged(&[a.clone(), b.clone()], Penalty, None)), 30);
    let found = merged(&[a, b], Identity, None);
    assert_eq!((longest_s(&found), shortest_s(&found), found.len()), (18, 12, 60));
    assert!(found.joins.is_empty() && found.timestamps.contains(&(453 * SECOND)));
}

#[test]
fn a_failed_scrape_that_left_a_marker_is_taken_from_the_other_replica() {
    for offset_s in [1, 3, 7, 11, 14] {
        let mut a = scraper(0, 15, 900, |_| false);
        a.floats[30] = stale_nan();
        let b = scraper(offset_s, 15, 900, |_| false);
        let is_stale = |column: &Column| column.floats.iter().any(|value| value.is_nan());
        let by_penalty = merged(&[a.clone(), b.clone()], Penalty, None);
        assert!(offset_s > 5 || is_stale(&by_penalty));
        let found = merged(&[a, b], Identity, None);
        assert!(!is_stale(&found) && longest_s(&found) <= 26, "{offset_s}");
        assert_eq!((found.len(), found.joins.is_empty()), (60, true));
    }
    // The target is gone for both.
    let mut gone = [scraper(0, 15, 900, |_| false), scraper(3, 15, 900, |_| false)];
    gone.iter_mut().for_each(|column| *column.floats.last_mut().unwrap() = stale_nan());
    assert!(merged(&gone, Identity, None).floats.last().unwrap().is_nan());
}

#[test]
fn the_penalty_does_not_grow_with_the_hole() {
    // 981, 7364: both are down for ten minutes, and a minute later one of them dies.
    let a = scraper(0, 15, 1260, |time_s| (600..1200).contains(&time_s));
    let b = scraper(3, 15, 3600, |time_s| (600..1200).contains(&time_s));
    let behind = |column: &Column| {
        let from = column.timestamps.partition_point(|time_ms| *time_ms < 1200 * SECOND);
        let mut tail = Column::new();
        tail.extend_from(column, from..column.len());
        longest_s(&tail)
    };
    let replicas = [a, b];
    assert!(behind(&merged(&replicas, Penalty, None)) > 1000);
    assert!(behind(&merged(&replicas, Identity, None)) <= 18);
}

#[test]
fn a_replica_that_returns_does_not_double_the_density() {
    for offset_s in 1..15 {
        let a = scraper(0, 15, 3600, |time_s| (600..1200).contains(&time_s));
        let b = scraper(offset_s, 15, 3600, |_| false);
        let found = merged(&[a, b], Identity, None);
        assert!(longest_s(&found) <= 26 && shortest_s(&found) >= 5, "{offset_s}");
        assert!((239..=241).contains(&found.len()) && found.joins.is_empty(), "{offset_s}");
        let length_s = (found.timestamps.last().unwrap() - found.timestamps[0]) / SECOND;
        assert_eq!(growth(&found), length_s as f64, "{offset_s}");
    }
}

#[test]
fn a_switch_to_a_replica_that_counts_from_elsewhere_is_no_spike() {
    // 2401, 1326, 1788, 7623
    for lift in [-5e5, 5e5] {
        let a = scraper(0, 15, 3600, |time_s| (600..1200).contains(&time_s));
        let mut b = scraper(3, 15, 3600, |_| false);
        b.floats.iter_mut().for_each(|value| *value += lift);
        let replicas = [a, b];
        if lift > 0.0 {
            let found = merged(&replicas, Penalty, Some("rate"));
            assert!(growth(&found) > 4e5);
        }
        let found = merged(&replicas, Identity, Some("rate"));
        assert_eq!(found.joins.floats().len(), 2);
        assert_eq!(growth(&found), 3585.0);
    }
}

#[test]
fn streams_are_not_mixed_where_chunks_of_one_begin_in_holes_of_another() {
    // 2890: whoever begins the next chunk first takes the place of the other one.
    let values = |lift: f64| move |time_s: &i64| (*time_s * SECOND, lift);
    let a = column([0, 10, 250, 260, 270, 280, 290, 300].iter().map(values(0.0)));
    let b = column([50, 100, 150, 200, 220, 270, 320, 350].iter().map(values(1000.0)));
    let stored = |column: &Column, name: &str, lengths: [usize; 2]| {
        let labels = crate::model::Labels::from_pairs([("replica", name)]).unwrap();
        (labels, super::support::chunks(column, lengths))
    };
    let store = Store(vec![stored(&a, "a", [2, 6]), stored(&b, "b", [4, 4])]);
    let found = read(store.clone(), Penalty, None, TimeRange::ALL);
    let switches =
        |column: &Column| column.floats.windows(2).filter(|pair| pair[0] != pair[1]).count();
    // What is read of b goes to a's stream, and the rest of a is left out.
    assert!(!found.timestamps.contains(&(260 * SECOND)));
    let found = read(store, Identity, None, TimeRange::ALL);
    let of_a = found.floats.iter().filter(|value| **value == 0.0).count();
    assert_eq!((of_a, switches(&found)), (a.len(), 3));
}

#[test]
fn scrapes_faster_than_five_seconds_are_not_skipped() {
    // 7341, 7498
    let a = scraper(0, 1, 2, |_| false);
    let b = column((0..30).map(|n| (n * SECOND + 400, n as f64)));
    let replicas = [a, b];
    assert_eq!(longest_s(&merged(&replicas, Penalty, None)), 4);
    let found = merged(&replicas, Identity, None);
    assert!(longest_s(&found) <= 1 && found.len() >= 29);
}

#[test]
fn a_slow_scrape_that_is_missed_is_filled_too() {
    // 5094, 2547: the distance between samples has to be known.
    let a = scraper(0, 600, 36_000, |time_s| time_s == 6000 || time_s > 20_000);
    let b = scraper(4, 600, 36_000, |_| false);
    let replicas = [a, b];
    assert!(longest_s(&merged(&replicas, Penalty, None)) >= 1200);
    let found = merged(&replicas, Identity, None);
    assert!(longest_s(&found) <= 1000 && (59..=61).contains(&found.len()));
}

#[test]
fn the_function_makes_no_difference() {
    // 8061: the extended functions were not known to be of counters.
    let mut a = scraper(0, 15, 900, |time_s| (300..500).contains(&time_s));
    let mut b = scraper(3, 15, 900, |_| false);
    for column in [&mut a, &mut b] {
        let from = column.timestamps.partition_point(|time_ms| *time_ms < 600 * SECOND);
        column.floats[from..].iter_mut().for_each(|value| *value -= 1e6 + 600.0);
    }
    let replicas = [a, b];
    let of = |kind, func| bits(&merged(&replicas, kind, func));
    assert_ne!(of(Penalty, Some("rate")), of(Penalty, Some("xrate_of_tomorrow")));
    assert_eq!(of(Identity, Some("rate")), of(Identity, Some("xrate_of_tomorrow")));
}

#[test]
fn what_one_copy_of_a_stream_lost_is_taken_from_the_other() {
    // 7656, 7807
    let lost_by_a = |time_s: i64| [150, 300, 315, 330, 600, 615].contains(&time_s);
    let a = scraper(0, 15, 900, lost_by_a);
    let b = scraper(0, 15, 900, |time_s| [0, 15, 45, 450, 465, 885].contains(&time_s));
    let replicas = [a, b];
    assert!(merged(&replicas, Penalty, None).len() < 58);
    assert_eq!(merged(&replicas, Identity, None), scraper(0, 15, 900, |_| false));
}

#[test]
fn resets_are_seen() {
    // 3644
    let fallen = |from_s: i64| {
        let mut column = scraper(from_s, 15, 900, |_| false);
        let from = column.timestamps.partition_point(|time_ms| *time_ms < 450 * SECOND);
        column.floats[from..].iter_mut().for_each(|value| *value -= 1e6 + 450.0);
        column
    };
    let replicas = [fallen(0), fallen(3)];
    let falls = |column: &Column| column.floats.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert_eq!(falls(&merged(&replicas, Penalty, Some("resets"))), 0);
    assert_eq!(falls(&merged(&replicas, Identity, Some("resets"))), 1);
}

#[test]
fn a_reset_that_only_one_replica_saw_the_end_of_counts_once() {
    // 2401: the first replica dies before the counter starts again.
    for dies_s in [440, 449, 452, 460] {
        let value = |time_s: i64| if time_s < 450 { time_s as f64 } else { (time_s - 450) as f64 };
        let times = |from_s: i64| (0..60).map(move |n| from_s + 15 * n);
        let samples = |from_s| times(from_s).map(move |at_s| (at_s * SECOND, value(at_s)));
        let a = column(samples(0).filter(|(time_ms, _)| *time_ms < dies_s * SECOND));
        let found = merged(&[a, column(samples(7))], Identity, None);
        assert!((growth(&found) - 895.0).abs() <= 30.0, "{dies_s}: {}", growth(&found));
        assert!(longest_s(&found) <= 26, "{dies_s}");
    }
}
