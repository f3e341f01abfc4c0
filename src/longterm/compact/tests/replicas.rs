//! Two replicas become one series.

use super::*;

fn replica(name: &str) -> [(&str, &str); 2] {
    [("cluster", "c"), ("replica", name)]
}

/// A counter that is scraped every 30 s, some seconds behind the minute, but not in a hole.
fn scrapes(offset_ms: i64, hole: std::ops::Range<i64>) -> BTreeMap<i64, Vec<(i64, f64)>> {
    let times = (0..240).map(|n| T0 + n * 30_000 + offset_ms);
    let seen = times.filter(|time_ms| !hole.contains(&(time_ms - T0)));
    BTreeMap::from([(0, seen.map(|time_ms| (time_ms, (time_ms - T0) as f64)).collect())])
}

fn with_replicas() -> World {
    let mut world = World::new();
    world.options.replica_labels = vec!["replica".to_owned()];
    world.options.downsampling = false;
    world
}

#[test]
fn holes_of_one_are_filled_from_the_other() {
    let world = with_replicas();
    let span = (T0, T0 + 2 * HOUR);
    world.upload_samples(1, span, &replica("a"), &scrapes(0, 10 * MINUTE..20 * MINUTE));
    world.upload_samples(2, span, &replica("b"), &scrapes(7_000, 40 * MINUTE..50 * MINUTE));
    let report = world.run();
    assert_eq!(report.merged.len(), 1);
    let shown = world.shown();
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].thanos.labels, BTreeMap::from([("cluster".into(), "c".into())]));
    let contents = world.contents();
    let samples: Vec<(i64, f64)> =
        contents.values().next().unwrap().iter().map(|(t, v)| (*t, *v)).collect();
    assert!((238..=241).contains(&samples.len()), "{}", samples.len());
    for pair in samples.windows(2) {
        let gap_ms = pair[1].0 - pair[0].0;
        assert!((15_000..=45_000).contains(&gap_ms), "{pair:?}");
        assert_eq!(pair[1].1 - pair[0].1, gap_ms as f64);
    }
    assert_eq!(world.number("thanos_compact_group_vertical_compactions_total"), 1.0);
}

#[test]
fn a_replica_that_has_several_blocks_stays_one_stream() {
    let world = with_replicas();
    let half = |series: BTreeMap<i64, Vec<(i64, f64)>>, is_first: bool| {
        let kept = |time_ms: i64| (time_ms < T0 + HOUR) == is_first;
        let cut = |samples: Vec<(i64, f64)>| samples.into_iter().filter(|s| kept(s.0)).collect();
        series.into_iter().map(|(name, samples)| (name, cut(samples))).collect()
    };
    let none = || 0..0;
    let (first, second) = ((T0, T0 + HOUR), (T0 + HOUR, T0 + 2 * HOUR));
    world.upload_samples(1, first, &replica("a"), &half(scrapes(0, none()), true));
    world.upload_samples(2, second, &replica("a"), &half(scrapes(0, none()), false));
    world.upload_samples(3, (T0, T0 + 2 * HOUR), &replica("b"), &scrapes(7_000, none()));
    assert_eq!(world.run().merged.len(), 1);
    let contents = world.contents();
    let times: Vec<i64> = contents.values().next().unwrap().keys().copied().collect();
    // The first replica has everything.
    assert_eq!(times, (0..240).map(|n| T0 + n * 30_000).collect::<Vec<_>>());
}

#[test]
fn blocks_of_one_replica_that_share_time_keep_all_samples() {
    let world = World::new();
    let span = (T0, T0 + 2 * HOUR);
    world.upload_samples(1, span, &CLUSTER, &scrapes(0, 0..0));
    world.upload_samples(2, span, &CLUSTER, &scrapes(7_000, 0..0));
    assert_eq!(world.run().merged.len(), 1);
    assert_eq!(world.contents().values().next().unwrap().len(), 480);
}

#[test]
fn a_block_without_other_labels_keeps_a_name() {
    let world = with_replicas();
    let span = (T0, T0 + 2 * HOUR);
    for (number, name) in [(1, "a"), (2, "b")] {
        world.upload(number, span, &[("replica", name)], 10 * MINUTE);
    }
    world.run();
    let labels = BTreeMap::from([("replica".to_owned(), "deduped".to_owned())]);
    assert_eq!(world.shown()[0].thanos.labels, labels);
    assert!(world.run().changed_nothing());
}

/// With a compactor of Thanos, the raw block keeps the label and the coarser one loses it.
#[test]
fn raw_and_coarser_blocks_of_a_lone_replica_have_the_same_labels() {
    let mut world = with_replicas();
    world.options.downsampling = true;
    let old = world.upload(1, (T0, T0 + 2 * DAY), &replica("a"), 10 * MINUTE);
    let before: Vec<_> = world.contents().into_values().collect();
    let report = world.run();
    assert_eq!((report.relabelled.len(), report.downsampled.len()), (1, 1));
    assert_eq!(world.contents().into_values().collect::<Vec<_>>(), before);
    let shown = world.shown();
    let [raw, five] = &shown[..] else { panic!("{} blocks", shown.len()) };
    let metas = |ulid: Ulid| {
        let text = world.bucket.get(&format!("{ulid}/meta.json")).unwrap();
        BucketBlock::parse("meta.json", &text).unwrap()
    };
    for block in [raw, five] {
        assert_eq!(metas(block.ulid()).thanos.labels.len(), 1);
    }
    // A Thanos compactor, which looks at sources alone, takes the old one for the superfluous one.
    assert!(raw.sources().len() > metas(old).sources().len());
    assert!(raw.sources().contains(&old));
    assert_eq!(world.marks("deletion-mark.json")[0].0, old);
    assert!(world.run().changed_nothing());
}
