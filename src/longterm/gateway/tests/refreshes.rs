//! Blocks that come and go.

use std::sync::Arc;

use crate::base::clock::ManualClock;
use crate::base::metrics::Registry;
use crate::longterm::{Mark, MarkKind, delete_block, write_mark};

use super::*;

const DAY_MS: i64 = 24 * 3_600_000;

/// A block with a sample each 10 ms of its range.
fn block(number: u64, range: (i64, i64), sources: &[u64]) -> Spec {
    let samples = (range.0..range.1).step_by(10).map(|time| (time, time as f64)).collect();
    let series = [(labels(&[("__name__", "up")]), vec![samples])].into();
    let external = labels(&[("cluster", "c")]);
    Spec { number, external, range, resolution_ms: 0, series, sources: sources.to_vec() }
}

fn all() -> Select {
    Select::new(Vec::new(), TimeRange::ALL)
}

fn times(gateway: &Gateway) -> Vec<i64> {
    read(gateway, &all()).into_values().flat_map(BTreeMap::into_keys).collect()
}

fn every_10(start: i64, end: i64) -> Vec<i64> {
    (start..end).step_by(10).collect()
}

fn remove(fixture: &Fixture, number: u64) {
    delete_block(&fixture.bucket, Ulid::from_parts(number, 0)).unwrap();
}

#[test]
fn metas_tell_all_that_a_gateway_needs() {
    let fixture = Fixture::of(&[block(1, (0, 100), &[]), block(2, (100, 200), &[])]);
    let gateway = Gateway::open(fixture.bucket.clone(), GatewayOptions::default()).unwrap();
    let set = gateway.block_set();
    let abouts: Vec<About> = set.blocks.iter().map(|block| block.about.clone()).collect();
    assert_eq!(abouts, fixture.abouts());
    assert_eq!(times(&gateway), every_10(0, 200));
}

#[test]
fn a_question_finds_what_took_the_place_of_vanished_blocks() {
    let mut fixture = Fixture::of(&[block(1, (0, 100), &[]), block(2, (100, 200), &[])]);
    // Nothing of the first answer may be left in memory.
    let options = GatewayOptions { cache_bytes: 0, ..GatewayOptions::default() };
    let gateway = Gateway::open(fixture.bucket.clone(), options).unwrap();
    fixture.add(&block(3, (0, 200), &[1, 2]), 512 << 20);
    remove(&fixture, 1);
    remove(&fixture, 2);
    assert_eq!(gateway.stats().blocks, 2);
    assert_eq!(times(&gateway), every_10(0, 200));
    assert_eq!(gateway.stats().blocks, 1);
}

#[test]
fn a_block_without_its_index_is_left_out_in_the_second_try() {
    let fixture = Fixture::of(&[block(1, (0, 100), &[]), block(2, (100, 200), &[])]);
    let gateway = Gateway::open(fixture.bucket.clone(), GatewayOptions::default()).unwrap();
    fixture.bucket.delete(&format!("{}/index", Ulid::from_parts(1, 0))).unwrap();
    let set = gateway.select(&all()).unwrap();
    assert!(set.warnings[0].contains("index: no such object"), "{:?}", set.warnings);
    assert_eq!(times(&gateway), every_10(100, 200));
}

#[test]
fn merged_blocks_take_the_place_of_their_sources_in_one_step() {
    let mut fixture = Fixture::of(&[block(1, (0, 100), &[]), block(2, (100, 200), &[])]);
    let registry = Registry::new();
    let options = GatewayOptions { metrics: registry.clone(), ..GatewayOptions::default() };
    let gateway = Gateway::open(fixture.bucket.clone(), options).unwrap();
    fixture.add(&block(3, (0, 200), &[1, 2]), 512 << 20);
    fixture.add(&block(4, (200, 300), &[]), 512 << 20);
    gateway.refresh().unwrap();
    assert_eq!(gateway.stats().blocks, 2);
    assert_eq!(times(&gateway), every_10(0, 300));
    let drops = registry.counter("thanos_bucket_store_block_drops_total", "");
    assert_eq!(drops.get(), 2);
}

#[test]
fn a_block_that_is_marked_is_served_until_the_delay() {
    let fixture = Fixture::of(&[block(1, (0, 100), &[])]);
    let clock = Arc::new(ManualClock::at(10 * DAY_MS));
    let options =
        GatewayOptions { clock: Arc::<ManualClock>::clone(&clock), ..GatewayOptions::default() };
    let gateway = Gateway::open(fixture.bucket.clone(), options).unwrap();
    let mark = Mark {
        kind: MarkKind::Deletion,
        block: Ulid::from_parts(1, 0),
        details: String::new(),
        time_s: 10 * DAY_MS / 1000,
        reason: String::new(),
    };
    write_mark(&fixture.bucket, &mark).unwrap();
    clock.set(11 * DAY_MS);
    gateway.refresh().unwrap();
    assert_eq!(gateway.stats().blocks, 1);
    clock.set(11 * DAY_MS + 1);
    gateway.refresh().unwrap();
    assert_eq!(gateway.stats().blocks, 0);
}

#[test]
fn blocks_out_of_range_are_not_served() {
    let fixture = Fixture::of(&[block(1, (0, 100), &[]), block(2, (500, 600), &[])]);
    let range = TimeRange::new(0, 300);
    let options = GatewayOptions { range, ..GatewayOptions::default() };
    let gateway = Gateway::open(fixture.bucket.clone(), options).unwrap();
    assert_eq!(gateway.time_range(), Some(TimeRange::new(0, 99)));
}
