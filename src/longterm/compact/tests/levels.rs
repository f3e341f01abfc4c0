//! Blocks grow, get coarser ones, and go.

use super::*;
use crate::base::clock::Clock as _;
use crate::longterm::{Mark, MarkKind, write_mark};

const M5: i64 = 300_000;
const H1: i64 = 3_600_000;

#[test]
fn two_hours_become_eight_and_sources_go_when_their_marks_are_old() {
    let world = World::new();
    let blocks = two_hours(&world, 6);
    let before = world.contents();
    let report = world.run();
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.merged.len(), 1);
    assert_eq!(report.merged[0].sources, blocks[..4]);
    assert_eq!(world.spans(0), [(0, 8), (8, 10), (10, 12)]);
    assert_eq!(world.contents(), before);
    let merged = world.shown()[0].clone();
    assert_eq!(Some(merged.ulid()), report.merged[0].block);
    assert_eq!(merged.sources(), &blocks[..4]);
    assert_eq!(merged.meta.compaction.level, 2);
    assert_eq!(merged.thanos.source, Source::Compactor);
    assert_eq!(merged.thanos.labels, BTreeMap::from([("cluster".into(), "c".into())]));
    assert_eq!(merged.thanos.segment_files, ["000001"]);
    assert!(merged.thanos.index_stats.series_max_size > 0);
    let token = &merged.thanos.extensions.as_ref().unwrap()["promlite"]["compactor_token"];
    assert_eq!(token, 1);
    let marks = world.marks("deletion-mark.json");
    assert_eq!(marks.iter().map(|(block, _)| *block).collect::<Vec<_>>(), blocks[..4]);
    assert!(marks[0].1.contains("\"source of compacted block\""));
    // Nothing more is to be done, until the marks are old.
    assert!(world.run().changed_nothing());
    world.pass(48 * HOUR);
    assert!(world.run().changed_nothing());
    world.pass(1000);
    assert_eq!(world.run().deleted, blocks[..4]);
    let left: Vec<String> = world.keys().into_iter().filter(|key| key.contains('/')).collect();
    assert_eq!(left.iter().filter(|key| key.ends_with("meta.json")).count(), 3);
    assert!(!left.iter().any(|key| key.ends_with("mark.json")));
    assert_eq!(world.contents(), before);
    assert_eq!(world.number("thanos_compact_group_compactions_total"), 1.0);
    assert_eq!(world.number("thanos_compact_blocks_cleaned_total"), 4.0);
    assert_eq!(world.number("thanos_compact_halted"), 0.0);
    // Nothing is left behind on the local disk.
    assert!(!world.disk.exists(&Path::new(WORK).join("compact").join("0@x")));
    assert_eq!(world.disk.list(&Path::new(WORK).join("compact")).unwrap(), []);
}

#[test]
fn young_blocks_are_left_alone() {
    let mut world = World::new();
    two_hours(&world, 6);
    world.options.consistency_delay_ms = 90 * DAY;
    assert!(world.run().changed_nothing());
    let explained = world.compactor().explain().unwrap();
    assert!(explained[0].merging.contains("just uploaded"), "{}", explained[0]);
}

#[test]
fn streams_of_other_labels_are_never_mixed() {
    let world = World::new();
    for number in 0..8 {
        let span = (T0 + number * 2 * HOUR, T0 + (number + 1) * 2 * HOUR);
        let labels = [("cluster", if number % 2 == 0 { "a" } else { "b" })];
        world.upload(number as u64, span, &labels, 10 * MINUTE);
    }
    let before = world.contents();
    // Each has blocks 4 hours apart; of each the first two fill a window that is past.
    assert_eq!(world.run().merged.len(), 2);
    assert_eq!(world.contents(), before);
    for block in world.shown() {
        assert_eq!(block.thanos.labels.len(), 1);
    }
}

/// Raw blocks of two days, side by side.
fn days(world: &World, count: i64) -> Vec<Ulid> {
    let block = |number: i64| {
        let span = (T0 + number * 2 * DAY, T0 + (number + 1) * 2 * DAY);
        world.upload(number as u64 + 1, span, &CLUSTER, 10 * MINUTE)
    };
    (0..count).map(block).collect()
}

#[test]
fn long_blocks_get_five_minutes_and_an_hour_in_one_round() {
    let world = World::new();
    days(&world, 8);
    let report = world.run();
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(world.spans(0), [(0, 336), (336, 384)]);
    assert_eq!(world.spans(M5), [(0, 336), (336, 384)]);
    assert_eq!(world.spans(H1), [(0, 336)]);
    assert_eq!(report.downsampled.len(), 3);
    let shown = world.shown();
    let (raw, five) = (&shown[0], &shown[2]);
    assert_eq!(raw.sources(), five.sources());
    assert_eq!(raw.thanos.labels, five.thanos.labels);
    // A sample every ten minutes is a window each.
    assert_eq!(five.meta.stats.num_samples, raw.meta.stats.num_samples);
    assert!(world.run().changed_nothing());
}

#[test]
fn raw_data_goes_only_when_coarser_data_is_there() {
    let mut world = World::new();
    let blocks = days(&world, 2);
    world.options.retention = Retention::days([10, 0, 0]);
    world.options.downsampling = false;
    assert!(world.run().changed_nothing());
    world.options.downsampling = true;
    let report = world.run();
    assert_eq!((report.downsampled.len(), report.too_old.clone()), (2, blocks));
    assert_eq!((world.spans(0), world.spans(M5)), (vec![], vec![(0, 48), (48, 96)]));
    // For five minutes there is no end.
    world.pass(1000 * DAY);
    assert!(world.run().too_old.is_empty());
    world.options.retention = Retention::days([10, 20, 20]);
    assert_eq!(world.run().too_old.len(), 2);
    assert_eq!(world.shown(), []);
}

#[test]
fn coarser_data_whose_objects_are_gone_covers_nothing() {
    let mut world = World::new();
    let blocks = days(&world, 1);
    world.run();
    let five = world.shown()[1].clone();
    assert_eq!(five.resolution_ms(), M5);
    world.bucket.delete(&five.key("chunks/000001")).unwrap();
    world.options.retention = Retention::days([10, 0, 0]);
    assert_eq!(world.run().too_old, []);
    assert_eq!(world.shown()[0].ulid(), blocks[0]);
}

/// Upstream downsamples by length alone, and lets the raw data go by age all the same.
#[test]
fn a_short_block_is_downsampled_before_it_is_too_old() {
    let mut world = World::new();
    let block = world.upload(1, (T0, T0 + 2 * HOUR), &CLUSTER, MINUTE);
    world.options.retention = Retention::days([90, 0, 0]);
    world.options.downsample_age_ms = 365 * DAY;
    assert!(world.run().changed_nothing());
    world.pass(60 * DAY);
    let report = world.run();
    assert_eq!((report.downsampled.len(), report.too_old), (1, vec![block]));
    assert_eq!(world.spans(M5), [(0, 2)]);
}

#[test]
fn coarse_blocks_of_short_ones_give_way_to_that_of_the_merged_one() {
    let mut world = World::new();
    world.options.downsample_age_ms = 10 * DAY;
    let first = world.upload(1, (T0, T0 + 2 * HOUR), &CLUSTER, MINUTE);
    assert_eq!(world.run().downsampled.len(), 2);
    // A late one, which fills the window, and a newer one, which ends it.
    let second = world.upload(2, (T0 + 2 * HOUR, T0 + 4 * HOUR), &CLUSTER, MINUTE);
    let span = (T0 + 8 * HOUR, T0 + 10 * HOUR);
    world.upload(3, span, &CLUSTER, MINUTE);
    world.upload(4, (span.0 + 2 * HOUR, span.1 + 2 * HOUR), &CLUSTER, MINUTE);
    let report = world.run();
    assert_eq!(report.merged[0].sources, [first, second]);
    // The old coarse block is not shown any more, and marked in the next round.
    let five = world.spans(M5);
    assert_eq!(five[0], (0, 4));
    assert!(five.is_sorted_by(|a, b| a.1 <= b.0), "{five:?}");
    assert_eq!(world.run().outdated.len(), 2);
    assert_eq!(world.spans(M5), five);
}

#[test]
fn downsampled_blocks_that_share_time_are_marked_and_left() {
    let world = World::new();
    two_hours(&world, 1);
    for number in 1..4 {
        let span = (T0 + number * HOUR, T0 + (number + 2) * HOUR);
        let ulid = world.upload(number as u64 + 50, span, &[("a", "b")], MINUTE);
        let key = format!("{ulid}/meta.json");
        overwrite(&world, &key, |text| {
            let changed = String::from_utf8(text.clone()).unwrap();
            let changed = changed.replace("\"resolution\": 0", "\"resolution\": 300000");
            *text = changed.into_bytes();
        });
    }
    let report = world.run();
    assert_eq!(report.merged, []);
    let marks = world.marks("no-compact-mark.json");
    assert_eq!(marks.len(), 3);
    let reason = "\"reason\":\"downsample-vertical-compaction\"";
    assert!(marks.iter().all(|(_, text)| text.contains(reason)), "{marks:?}");
}

#[test]
fn blocks_that_need_more_disk_than_there_may_be_wait() {
    let mut world = World::new();
    two_hours(&world, 6);
    world.options.disk_bytes_max = 1000;
    let report = world.run();
    assert!(report.changed_nothing());
    assert!(report.failures[0].contains("bytes of disk"), "{:?}", report.failures);
    assert!(world.number("promlite_compact_group_lag_seconds") > 0.0);
    world.options.disk_bytes_max = 1 << 20;
    assert_eq!(world.run().merged.len(), 1);
    assert_eq!(world.number("promlite_compact_group_lag_seconds"), 0.0);
}

#[test]
fn a_round_leaves_an_index_of_the_bucket_as_it_is_then() {
    let mut world = World::new();
    two_hours(&world, 6);
    world.options.retention = Retention::days([1, 0, 0]);
    for _ in 0..3 {
        world.run();
        let now_ms = world.clock.now_ms();
        let fetcher = || Fetcher::new(world.bucket.clone(), &FetchOptions::default());
        let told = fetcher().start_from_index(now_ms, 0).unwrap().unwrap();
        let found = fetcher().fetch().unwrap();
        assert_eq!(told.blocks, found.blocks);
        assert_eq!(told.deletion_marks, found.deletion_marks);
        world.pass(49 * HOUR);
    }
}

#[test]
fn every_block_is_explained_and_nothing_is_written() {
    let mut world = World::new();
    let blocks = two_hours(&world, 6);
    world.options.retention = Retention::days([1, 0, 0]);
    let before = world.keys();
    let explained = world.compactor().explain().unwrap();
    assert_eq!(world.keys(), before);
    assert_eq!(explained.len(), 6);
    assert_eq!(explained[0].block, blocks[0]);
    assert!(explained[0].merging.contains(&blocks[3].to_string()), "{}", explained[0]);
    assert!(explained[0].merging.contains("window of 8 h"), "{}", explained[0]);
    assert!(explained[0].retention.contains("coarser blocks do not have all"), "{}", explained[0]);
    assert!(explained[5].merging.contains("others of its group come first"), "{}", explained[5]);
    assert!(explained[5].downsampling.contains("to be downsampled to 5m"), "{}", explained[5]);
    world.run();
    let explained = world.compactor().explain().unwrap();
    let marked = explained.iter().find(|one| one.block == blocks[0]).unwrap();
    assert!(marked.deletion.contains("source of compacted block"), "{marked}");
}

/// Two compactors, of which each has its clusters.
#[test]
fn shards_leave_the_blocks_of_others_alone_and_do_not_wait_for_them() {
    let mut world = World::new();
    for number in 0..6 {
        let span = (T0 + number * 2 * HOUR, T0 + (number + 1) * 2 * HOUR);
        world.upload(number as u64, span, &[("cluster", "a")], 30 * MINUTE);
        world.upload(number as u64 + 10, span, &[("cluster", "b")], 30 * MINUTE);
    }
    let marked = world.upload(20, (T0 + 12 * HOUR, T0 + 14 * HOUR), &[("cluster", "b")], HOUR);
    let (details, reason) = (String::new(), String::new());
    let mark = Mark { kind: MarkKind::Deletion, block: marked, details, time_s: 0, reason };
    write_mark(&world.bucket, &mark).unwrap();
    let before = world.contents();
    let rule = |cluster| format!("[{{source_labels: [cluster], regex: {cluster}, action: keep}}]");
    world.options.shard = Shard::parse(&rule("a")).unwrap();
    let first = world.compactor();
    let mut round = first.begin(Watch::default()).unwrap();
    world.options.shard = Shard::parse(&rule("b")).unwrap();
    let second = world.compactor();
    let mut other = second.begin(Watch::default()).unwrap();
    round.all().unwrap();
    let report = round.finish();
    assert_eq!((report.merged.len(), report.deleted.len()), (1, 0));
    other.all().unwrap();
    let report = other.finish();
    assert_eq!((report.merged.len(), report.deleted), (1, vec![marked]));
    assert_eq!(world.contents(), before);
}
