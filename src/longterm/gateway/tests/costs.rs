//! What questions cost: requests, bytes, memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::base::clock::ManualClock;
use crate::disk::{MemoryDisk, SharedDisk};
use crate::longterm::bucket::BucketStats;

use super::*;

const HOUR_MS: i64 = 3_600_000;

/// Two hours of 10 000 series, 30 s apart: 100 metrics of 100 pods. Written once, in a bucket of
/// its own for each.
fn large() -> Fixture {
    static WRITTEN: OnceLock<Fixture> = OnceLock::new();
    let written = WRITTEN.get_or_init(write_large);
    let bucket = Bucket::memory();
    for object in written.bucket.list("").unwrap() {
        bucket.put(&object.key, written.bucket.get(&object.key).unwrap()).unwrap();
    }
    Fixture { disk: Arc::clone(&written.disk), bucket, blocks: written.blocks.clone() }
}

fn write_large() -> Fixture {
    let mut series = BTreeMap::new();
    for metric in 0..100 {
        for pod in 0..100 {
            let labels = Labels::from_pairs([
                ("__name__", format!("metric_{metric:02}_total")),
                ("job", format!("job-{}", pod % 4)),
                ("namespace", format!("namespace-{}", pod % 7)),
                ("pod", format!("service-{pod:02}-7d9f8b6c5")),
            ]);
            let value = |step: i64| f64::from((step * (pod + 3) + metric) as i32);
            let samples = (0..240).map(|step| (step * 30_000, value(step)));
            series.insert(labels.unwrap(), vec![samples.collect()]);
        }
    }
    let external = labels(&[("cluster", "c1")]);
    let range = (0, 2 * HOUR_MS);
    Fixture::of(&[Spec { number: 1, external, range, resolution_ms: 0, series, sources: vec![] }])
}

fn ask(matchers: Vec<Matcher>, start_ms: i64) -> Select {
    Select::new(matchers, TimeRange::new(start_ms, 2 * HOUR_MS))
}

/// What the work costs in requests and bytes.
fn cost(bucket: &Bucket, work: impl FnOnce()) -> (u64, u64) {
    let before: BucketStats = bucket.stats();
    work();
    let after = bucket.stats();
    (after.requests - before.requests, after.read_bytes - before.read_bytes)
}

#[test]
fn a_question_costs_a_few_requests_of_a_few_kilobytes() {
    let fixture = large();
    let bucket = &fixture.bucket;
    let whole: u64 = bucket.list("").unwrap().iter().map(|object| object.size_bytes).sum();
    let gateway = fixture.gateway(GatewayOptions { cache_bytes: 0, ..GatewayOptions::default() });
    let one_metric = Matcher::equal("__name__", "metric_42_total");
    let one_pod = Matcher::equal("pod", "service-42-7d9f8b6c5");
    let header = cost(bucket, || {
        gateway.label_values("job", &ask(vec![], 0)).unwrap();
    });
    let questions = [
        ("one series", vec![one_metric.clone(), one_pod.clone()], 1),
        ("one metric", vec![one_metric], 100),
        ("one pod", vec![one_pod], 100),
        ("all", vec![], 10_000),
    ];
    let mut costs = Vec::new();
    for (name, matchers, series) in questions {
        let ask = ask(matchers, 0);
        let one = cost(bucket, || assert_eq!(read(&gateway, &ask).len(), series));
        let labels = cost(bucket, || drop(gateway.select(&ask).unwrap()));
        println!("{name}: {one:?}, labels alone {labels:?}, header {header:?}, block {whole}");
        costs.push((one, labels));
    }
    assert!(header.0 == 3 && header.1 < 12 << 10, "{header:?}");
    let [one_series, one_metric, one_pod, all] = costs[..] else { panic!() };
    // The lists, the entries, the chunks. The two lists are joined over others between them.
    assert!(one_series.0.0 <= 3 && one_series.0.1 < 150 << 10, "{one_series:?}");
    assert!(one_metric.0.0 <= 3 && one_metric.0.1 < 80 << 10, "{one_metric:?}");
    // One series in a hundred: holes are read with them, as requests cost more.
    assert!(one_pod.0.0 <= 4 && one_pod.0.1 < whole, "{one_pod:?}");
    assert!(all.0.0 <= 8 && all.0.1 < whole, "{all:?}");
    // Who only looks at labels reads no chunk.
    assert!(all.1.0 == 2 && all.1.1 < whole / 10, "{all:?}");
    assert!(one_metric.1.0 == 2 && one_metric.1.1 < 8 << 10, "{one_metric:?}");
}

#[test]
fn without_gaps_little_more_is_read_than_is_wanted() {
    let fixture = large();
    let options = GatewayOptions { gap_bytes: 0, cache_bytes: 0, ..GatewayOptions::default() };
    let gateway = fixture.gateway(options);
    let matchers = vec![
        Matcher::equal("__name__", "metric_42_total"),
        Matcher::equal("pod", "service-42-7d9f8b6c5"),
    ];
    gateway.label_names(&ask(vec![], 0)).unwrap();
    let one = cost(&fixture.bucket, || {
        assert_eq!(read(&gateway, &ask(matchers, 0)).len(), 1);
    });
    // Two lists, one entry, two chunks, of which only the first has a length that is known.
    assert!(one.0 <= 4 && one.1 < 20 << 10, "{one:?}");
}

#[test]
fn holes_do_not_stay_in_memory() {
    let fixture = large();
    let gateway = fixture.gateway(GatewayOptions { cache_bytes: 0, ..GatewayOptions::default() });
    let one_pod = Matcher::equal("pod", "service-42-7d9f8b6c5");
    let set = gateway.select(&ask(vec![one_pod], 0)).unwrap();
    let selected = gateway.stats().held_bytes;
    set.series[0].read(TimeRange::ALL, &mut Column::new()).unwrap();
    let chunks = gateway.stats().held_bytes - selected;
    // A hundred series of half a kilobyte, out of five megabytes.
    assert!(chunks < 128 << 10, "{chunks}");
}

#[test]
fn what_was_read_before_costs_nothing() {
    let fixture = large();
    let gateway = fixture.gateway(GatewayOptions::default());
    let ask = ask(vec![Matcher::equal("__name__", "metric_07_total")], 0);
    let first = read(&gateway, &ask);
    assert_eq!(first.len(), 100);
    assert_eq!(cost(&fixture.bucket, || assert_eq!(read(&gateway, &ask), first)), (0, 0));
    assert!(gateway.stats().cache_bytes > 0);
}

#[test]
fn chunks_are_held_group_by_group_and_given_back() {
    let fixture = large();
    let options =
        GatewayOptions { group_bytes: 64 << 10, cache_bytes: 0, ..GatewayOptions::default() };
    let gateway = fixture.gateway(options);
    let set = gateway.select(&ask(vec![], 0)).unwrap();
    let selected = gateway.stats().held_bytes;
    let (mut most, mut column) = (0, Column::new());
    for series in &set.series {
        column.clear();
        series.read(TimeRange::ALL, &mut column).unwrap();
        assert_eq!(column.len(), 240);
        most = most.max(gateway.stats().held_bytes);
    }
    assert!(most - selected < 256 << 10, "{} bytes of chunks at a time", most - selected);
    assert_eq!(gateway.stats().held_bytes, selected);
    drop(set);
    assert_eq!(gateway.stats().held_bytes, 0);
}

/// 300 series of 600 short chunks.
fn many_chunks() -> Fixture {
    let run = |chunk: i64| (0..2).map(|at| (chunk * 100 + at, chunk as f64)).collect();
    let samples: Samples = (0..600).map(run).collect();
    let name = |pod: usize| labels(&[("__name__", "up"), ("pod", &format!("pod-{pod:03}"))]);
    let series = (0..300).map(|pod| (name(pod), samples.clone())).collect();
    let (external, range) = (labels(&[("cluster", "c1")]), (0, 60_000));
    Fixture::of(&[Spec { number: 1, external, range, resolution_ms: 0, series, sources: vec![] }])
}

#[test]
fn places_for_which_there_is_no_room_are_read_once_more() {
    let fixture = many_chunks();
    let ask = Select::new(Vec::new(), TimeRange::ALL);
    let wanted = fixture.model(&ask);
    let answer = |memory_bytes: u64, taken_bytes: u64| {
        let options = GatewayOptions { cache_bytes: 0, memory_bytes, ..GatewayOptions::default() };
        let gateway = fixture.gateway(options);
        gateway.label_names(&ask).unwrap();
        let taken = gateway.memory().hold(taken_bytes).unwrap();
        let mut selected = 0;
        let cost = cost(&fixture.bucket, || {
            let set = gateway.select(&ask).unwrap();
            selected = gateway.stats().held_bytes - taken_bytes;
            drop(set);
            assert_eq!(read(&gateway, &ask), wanted);
        });
        drop(taken);
        assert_eq!(gateway.stats().held_bytes, 0);
        (selected, cost.0)
    };
    // 180,000 chunks of five bytes or less; labels and handles of 300 series.
    let (kept_bytes, requests) = answer(64 << 20, 0);
    assert!((400_000..1_000_000).contains(&kept_bytes), "{kept_bytes}");
    let (unkept_bytes, more_requests) = answer(64 << 20, 32 << 20);
    assert!(unkept_bytes < 64 << 10, "{unkept_bytes}");
    assert!((requests + 1..requests + 6).contains(&more_requests), "{more_requests}, {requests}");
    // Some are kept, some are not.
    let (some_bytes, _) = answer(1 << 20, 0);
    assert!((unkept_bytes..600 << 10).contains(&some_bytes), "{some_bytes}");
}

#[test]
fn chunks_that_nobody_uses_go_before_a_question_is_refused() {
    let fixture = large();
    let options =
        GatewayOptions { memory_bytes: 7 << 20, cache_bytes: 0, ..GatewayOptions::default() };
    let gateway = fixture.gateway(options);
    let set = gateway.select(&ask(vec![], 0)).unwrap();
    let mut column = Column::new();
    // Of each group, chunks of some five megabytes in all, a few series are left to be read.
    for series in set.series.iter().step_by(50) {
        column.clear();
        series.read(TimeRange::ALL, &mut column).unwrap();
        assert_eq!(column.len(), 240);
    }
    let set = gateway.select(&ask(vec![Matcher::equal("__name__", "metric_42_total")], 0));
    assert_eq!(set.unwrap().series.len(), 100);
    let taken = gateway.memory().hold(4 << 20);
    assert!(taken.is_ok(), "{} bytes are held", gateway.stats().held_bytes);
}

#[test]
fn groups_that_are_read_in_order_are_fetched_ahead() {
    let fixture = large();
    let options =
        GatewayOptions { group_bytes: 64 << 10, cache_bytes: 0, ..GatewayOptions::default() };
    let gateway = fixture.gateway(options);
    let set = gateway.select(&ask(vec![], 0)).unwrap();
    let mut column = Column::new();
    let requests = || fixture.bucket.stats().requests;
    let before = requests();
    let mut next = 0;
    let mut read_until = |count: u64| {
        while requests() < before + count {
            column.clear();
            set.series[next].read(TimeRange::ALL, &mut column).unwrap();
            next += 1;
        }
    };
    // The first group alone; the second one, and then the third one without having been asked.
    read_until(1);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    read_until(2);
    while requests() < before + 3 {
        assert!(std::time::Instant::now() < deadline, "nothing was fetched ahead");
        std::thread::yield_now();
    }
}

#[test]
fn limits_end_a_question_and_name_the_option() {
    let fixture = large();
    let read_all = |options: GatewayOptions| {
        let gateway = fixture.gateway(options);
        let set = gateway.select(&ask(vec![], 0));
        let result = set.and_then(|set| {
            let mut column = Column::new();
            set.series.iter().try_for_each(|series| series.read(TimeRange::ALL, &mut column))
        });
        assert_eq!(gateway.stats().held_bytes, 0);
        let error = result.unwrap_err();
        assert!(matches!(error, crate::series::QueryError::Limit(_)), "{error}");
        error.to_string()
    };
    let options = GatewayOptions::default;
    let refused = read_all(GatewayOptions { series_max: 9_999, ..options() });
    assert!(refused.contains("series_max (9999)"), "{refused}");
    let refused = read_all(GatewayOptions { samples_max: 1_000_000, ..options() });
    assert!(refused.contains("samples_max (1000000)"), "{refused}");
    let refused = read_all(GatewayOptions { fetched_bytes_max: 1 << 20, ..options() });
    assert!(refused.contains("fetched_bytes_max (1048576)"), "{refused}");
    let refused = read_all(GatewayOptions { memory_bytes: 1 << 20, ..options() });
    assert!(refused.contains("memory_bytes (1048576)"), "{refused}");
}

#[test]
fn headers_come_from_the_folder_and_damaged_ones_are_made_anew() {
    let fixture = large();
    let folder: SharedDisk = Arc::new(MemoryDisk::new());
    let options = || GatewayOptions {
        header_folder: Some((Arc::clone(&folder), "headers".into())),
        ..GatewayOptions::default()
    };
    let ask = ask(vec![], 0);
    let names = || {
        let gateway = fixture.gateway(options());
        cost(&fixture.bucket, || assert_eq!(gateway.label_names(&ask).unwrap().len(), 5)).0
    };
    assert_eq!(names(), 3);
    assert_eq!(names(), 0);
    let path = Path::new("headers").join(Ulid::from_parts(1, 0).to_string()).join("index-header");
    let mut bytes = folder.read(&path).unwrap();
    let sound = bytes.clone();
    bytes[100] ^= 1;
    crate::disk::write_atomic(&*folder, &path, &bytes).unwrap();
    assert_eq!(names(), 3);
    assert_eq!(folder.read(&path).unwrap(), sound);
    // A block that is gone takes its header along, but not what somebody else keeps there.
    let foreign = Path::new("headers").join(Ulid::from_parts(9, 0).to_string());
    folder.create_dir_all(&foreign).unwrap();
    crate::disk::write_atomic(&*folder, &foreign.join("meta.json"), b"{}").unwrap();
    let emptied = fixture.gateway(options());
    emptied.replace_blocks(Vec::new());
    assert!(folder.exists(&path));
    emptied.forget_headers();
    assert!(!folder.exists(&path) && folder.exists(&foreign.join("meta.json")));
}

#[test]
fn many_readers_fetch_a_group_once() {
    let fixture = large();
    let gateway = fixture.gateway(GatewayOptions { cache_bytes: 0, ..GatewayOptions::default() });
    let set = gateway.select(&ask(vec![], 0)).unwrap();
    let next = AtomicUsize::new(0);
    let chunks = cost(&fixture.bucket, || {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut column = Column::new();
                    while let Some(series) = set.series.get(next.fetch_add(1, Ordering::Relaxed)) {
                        column.clear();
                        series.read(TimeRange::ALL, &mut column).unwrap();
                        assert_eq!(column.len(), 240);
                    }
                });
            }
        });
    });
    // Five megabytes in groups of four.
    assert!(chunks.0 <= 4 && chunks.1 < 6 << 20, "{chunks:?}");
}

#[test]
fn idle_headers_are_let_go_of() {
    let fixture = large();
    let clock = Arc::new(ManualClock::at(1_000_000));
    let gateway = fixture.gateway(GatewayOptions {
        clock: Arc::<ManualClock>::clone(&clock),
        header_idle_ms: 1000,
        ..GatewayOptions::default()
    });
    assert_eq!(gateway.stats().header_bytes, 0);
    gateway.label_names(&ask(vec![], 0)).unwrap();
    let loaded = gateway.stats().header_bytes;
    assert!(loaded > 1000);
    let before = ask(vec![], 0);
    clock.set(1_001_000);
    gateway.drop_idle_headers();
    assert_eq!(gateway.stats().header_bytes, loaded);
    clock.set(1_001_001);
    gateway.drop_idle_headers();
    assert_eq!(gateway.stats().header_bytes, 0);
    assert_eq!(gateway.label_names(&before).unwrap().len(), 5);
}
