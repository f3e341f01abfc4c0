//! The program ends between any two requests, and goes on afterwards.

use super::*;
use crate::longterm::bucket::{Fault, FaultyBucket, Operation};
use parking_lot::Mutex;

/// Blocks of two replicas, one of which has a block less, and blocks of two hours; all of them too
/// old as they are, so that they are downsampled and go.
fn prepared() -> World {
    let mut world = World::over(Bucket::memory(), T0 + 60 * DAY);
    world.options.replica_labels = vec!["replica".to_owned()];
    world.options.retention = Retention::days([50, 0, 0]);
    for number in 0..3_i64 {
        let span = (T0 + number * 2 * DAY, T0 + (number + 1) * 2 * DAY);
        for (place, replica) in ["a", "b"].into_iter().enumerate() {
            if number == 2 && place == 1 {
                continue;
            }
            let labels = [("cluster", "c"), ("replica", replica)];
            world.upload(number as u64 * 2 + place as u64, span, &labels, 2 * HOUR);
        }
    }
    for number in 0..6 {
        let span = (T0 + number * 2 * HOUR, T0 + (number + 1) * 2 * HOUR);
        world.upload(number as u64 + 10, span, &[("cluster", "d")], 30 * MINUTE);
    }
    world
}

/// Samples by time, of whatever block they are: replicas have the same ones here.
fn samples(world: &World) -> BTreeMap<(String, i64), f64> {
    let mut all = BTreeMap::new();
    for block in world.shown().iter().filter(|block| block.resolution_ms() == 0) {
        let open = world.open(block);
        for series in open.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap().series {
            let name = series.labels().get("n").unwrap().to_owned();
            let mut column = Column::new();
            series.read(TimeRange::ALL, &mut column).unwrap();
            for (time_ms, value) in column.timestamps.iter().zip(&column.floats) {
                all.insert((name.clone(), *time_ms), *value);
            }
        }
    }
    all
}

/// What has to be there: each raw sample, or a coarser one of its time.
fn assert_nothing_is_lost(world: &World, wanted: &BTreeMap<(String, i64), f64>, story: &str) {
    let found = samples(world);
    let shown = world.shown();
    let coarse: Vec<TimeRange> =
        shown.iter().filter(|b| b.resolution_ms() != 0).map(|b| b.range()).collect();
    for (sample, value) in wanted {
        let is_coarse = coarse.iter().any(|range| range.contains(sample.1));
        match found.get(sample) {
            Some(found) => assert_eq!(found, value, "{story}"),
            None => assert!(is_coarse, "{story}: {sample:?} is lost"),
        }
    }
    assert!(found.keys().all(|sample| wanted.contains_key(sample)), "{story}: invented");
}

type Shape = Vec<(i64, i64, i64, usize, BTreeMap<String, String>)>;

/// What the bucket looks like, but for names.
fn shape(world: &World) -> Shape {
    let shown = world.shown().into_iter();
    let shape = shown.map(|block| {
        let series = block.meta.stats.num_samples as usize;
        let (start, end) = (block.meta.min_time_ms, block.meta.max_time_ms);
        (block.resolution_ms(), start, end, series, block.thanos.labels.clone())
    });
    let mut shape: Shape = shape.collect();
    shape.sort();
    shape
}

/// Runs until nothing changes any more, and until marked blocks are gone.
fn settle(world: &World) {
    // Whoever crashed had the lease.
    world.pass(10 * MINUTE);
    for _ in 0..10 {
        let report = world.run();
        assert_eq!(report.failures, Vec::<String>::new());
        if report.changed_nothing() {
            break;
        }
    }
    world.pass(49 * HOUR);
    world.run();
    assert!(world.run().changed_nothing());
}

#[test]
fn a_crash_between_any_two_requests_loses_and_doubles_nothing() {
    let prepared = prepared();
    let wanted = samples(&prepared);
    let whole = prepared.copy();
    let changes = Arc::new(Mutex::new(Vec::new()));
    let noted = changes.clone();
    let counted = FaultyBucket::new(&whole.bucket, move |request| {
        if matches!(request.operation, Operation::Upload | Operation::Delete) {
            noted.lock().push(request.number);
        }
        Fault::None
    });
    let report = whole.compactor_on(&counted.bucket()).run_once(Watch::default()).unwrap();
    assert!(report.merged.len() >= 3 && report.downsampled.len() >= 2, "{report:?}");
    assert!(!report.relabelled.is_empty() && !report.too_old.is_empty(), "{report:?}");
    settle(&whole);
    let wanted_shape = shape(&whole);
    let (requests, changes) = (counted.requests(), changes.lock().clone());
    assert!(changes.len() > 40, "{}", changes.len());
    // Between two that change something the bucket is the same.
    for count in changes {
        let world = prepared.copy();
        let faulty = FaultyBucket::crashing_after(&world.bucket, count);
        let _ = world.compactor_on(&faulty.bucket()).run_once(Watch::default());
        let story = format!("crash after request {count} of {requests}");
        assert_nothing_is_lost(&world, &wanted, &story);
        settle(&world);
        assert_nothing_is_lost(&world, &wanted, &story);
        assert_eq!(shape(&world), wanted_shape, "{story}");
        assert_eq!(world.marks("mark.json"), [], "{story}");
    }
}
