//! Blocks that come and go.

use std::sync::Arc;

use crate::base::clock::ManualClock;
use crate::base::metrics::Registry;
use crate::longterm::bucket::{Fault, FaultyBucket};
use crate::longterm::{
    BUCKET_INDEX, BucketIndex, FetchOptions, Fetcher, Mark, MarkKind, delete_block, write_mark,
};

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
fn a_start_is_one_read_and_forgets_no_header() {
    let spec = |number: u64| block(number, (number as i64 * 100, number as i64 * 100 + 100), &[]);
    let specs: Vec<Spec> = (1..=100).map(spec).collect();
    let mut fixture = Fixture::of(&specs);
    let bucket = fixture.bucket.clone();
    let clock = Arc::new(ManualClock::at(10 * DAY_MS));
    let folder: SharedDisk = MemoryDisk::shared();
    let options = || GatewayOptions {
        clock: Arc::<ManualClock>::clone(&clock),
        header_folder: Some((Arc::clone(&folder), "headers".into())),
        ..GatewayOptions::default()
    };
    let requests = || bucket.stats().requests;
    // There is none yet: what is asked for in vain, the listing, a meta for each block.
    let before = requests();
    let listed = Gateway::open(bucket.clone(), options()).unwrap();
    assert_eq!(requests() - before, 102);
    let mut fetcher = Fetcher::new(bucket.clone(), &FetchOptions::default());
    let view = fetcher.fetch().unwrap();
    BucketIndex::write(&fetcher, &view, 10 * DAY_MS).unwrap();

    let before = requests();
    let started = Gateway::open(bucket.clone(), options()).unwrap();
    assert_eq!(requests() - before, 1);
    assert_eq!(started.block_set().blocks.len(), 100);
    let abouts = |gateway: &Gateway| -> Vec<About> {
        gateway.block_set().blocks.iter().map(|block| block.about.clone()).collect()
    };
    assert_eq!(abouts(&started), abouts(&listed));
    let first = Select::new(Vec::new(), TimeRange::new(100, 199));
    let before = requests();
    assert_eq!(read(&started, &first), fixture.model(&first));
    // The header in three, lists, entries, chunks.
    assert!(requests() - before <= 6, "{}", requests() - before);

    // A block that came later is known to who lists; who starts from the index lets it be.
    fixture.add(&spec(101), 512 << 20);
    listed.refresh().unwrap();
    let last = Select::new(Vec::new(), TimeRange::new(10_100, 10_199));
    assert_eq!(read(&listed, &last).len(), 1);
    let header = Path::new("headers").join(Ulid::from_parts(101, 0).to_string());
    assert!(folder.exists(&header));
    let started = Gateway::open(bucket.clone(), options()).unwrap();
    assert_eq!(started.stats().blocks, 100);
    assert!(folder.exists(&header));
    started.refresh().unwrap();
    assert_eq!(read(&started, &last), fixture.model(&last));

    // An old one is not believed, and neither is a damaged one.
    clock.set(10 * DAY_MS + 600_001);
    assert_eq!(Gateway::open(bucket.clone(), options()).unwrap().stats().blocks, 101);
    clock.set(10 * DAY_MS);
    bucket.put(BUCKET_INDEX, Bytes::from_static(b"no frame")).unwrap();
    assert_eq!(Gateway::open(bucket.clone(), options()).unwrap().stats().blocks, 101);
}

#[test]
fn a_bucket_that_keeps_its_index_to_itself_is_listed() {
    let fixture = Fixture::of(&[block(1, (0, 100), &[])]);
    let faulty = FaultyBucket::new(&fixture.bucket, |request| {
        if request.key == BUCKET_INDEX { Fault::Refused } else { Fault::None }
    });
    let gateway = Gateway::open(faulty.bucket(), GatewayOptions::default()).unwrap();
    assert_eq!(gateway.stats().blocks, 1);
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
