//! Blocks that we write hold what they were given, and answer as a model does.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use std::collections::BTreeSet;
use ulid::Ulid;

use super::*;
use crate::chunk::{self, Encoding, XorAppender};
use crate::model::{MatchOp, Matcher};
use crate::storage::block::{Block, BlockError, BlockMeta, BlockWriter, Tombstones, WriterOptions};
use crate::testkit::ModelStore;

const ULID: Ulid = Ulid(0x0199_0000_0000_0000_0000_0000_0000_0001);

fn chunk(samples: &[(i64, f64)]) -> Chunk {
    let mut appender = XorAppender::new();
    for (time, value) in samples {
        appender.append(*time, *value).unwrap();
    }
    Chunk {
        min_time_ms: appender.min_time_ms(),
        max_time_ms: appender.max_time_ms(),
        encoding: Encoding::Xor as u8,
        data: appender.finish(),
    }
}

fn symbols<'a>(series: impl Iterator<Item = &'a Labels>) -> BTreeSet<&'a str> {
    series.flat_map(Labels::iter).flat_map(|(name, value)| [name, value]).collect()
}

/// Writes all of a model's samples, in chunks of five.
fn write(model: &ModelStore, data_dir: &Path, options: &WriterOptions) -> Option<BlockMeta> {
    let set = model.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap().series;
    let symbols = symbols(set.iter().map(|series| series.labels()));
    let mut symbols = symbols.into_iter();
    let mut writer =
        BlockWriter::with_options(disk(), data_dir, ULID, &mut symbols, options).unwrap();
    for series in &set {
        let mut column = Column::new();
        series.read(TimeRange::ALL, &mut column).unwrap();
        let samples: Vec<_> = column.timestamps.into_iter().zip(column.floats).collect();
        let chunks: Vec<Chunk> = samples.chunks(5).map(chunk).collect();
        writer.add_series(series.labels(), &chunks).unwrap();
    }
    writer.finish(BlockMeta::new(ULID, 0, 1000)).unwrap()
}

fn block_dir(data_dir: &Path) -> PathBuf {
    data_dir.join(ULID.to_string())
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        (0_u8..4).prop_map(|number| format!("v{number}")),
        (0_u8..90).prop_map(|number| format!("web-{number}")),
        Just("ü".to_owned()),
    ]
}

fn label_sets() -> impl Strategy<Value = BTreeSet<Vec<(String, String)>>> {
    let names = prop_oneof![Just("a"), Just("b"), Just("pod")].prop_map(str::to_owned);
    let pairs = btree_map(names, texts(), 1..4);
    btree_set(pairs.prop_map(|pairs| pairs.into_iter().collect::<Vec<_>>()), 0..200)
}

fn matchers() -> impl Strategy<Value = Vec<Matcher>> {
    let names = prop_oneof![Just("a"), Just("b"), Just("pod"), Just("missing")];
    let equal = (prop_oneof![Just(MatchOp::Equal), Just(MatchOp::NotEqual)], texts());
    let empty = (prop_oneof![Just(MatchOp::Equal), Just(MatchOp::NotEqual)], Just(String::new()));
    let patterns = [
        ".*",
        ".+",
        "",
        "v1|v2",
        "(v1|web-3|)",
        "web-.*",
        "web-1.",
        "w?eb-[0-9]+",
        "[^v].*",
        "v.?",
        "v[0-2]|",
        "web-1+|ü",
        "x.*",
    ];
    let pattern = (
        prop_oneof![Just(MatchOp::Regex), Just(MatchOp::NotRegex)],
        proptest::sample::select(patterns.to_vec()).prop_map(str::to_owned),
    );
    let matcher = (names, prop_oneof![equal, empty, pattern])
        .prop_map(|(name, (op, value))| Matcher::new(name, op, &value).unwrap());
    vec(matcher, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn matchers_choose_what_they_describe(
        sets in label_sets(), asks in vec(matchers(), 1..15), limit in 0_usize..5,
    ) {
        let model = ModelStore::new();
        for (time, pairs) in (0..).zip(sets) {
            model.add(&Labels::from_pairs(pairs).unwrap(), time, 1.0);
        }
        let dir = tempfile::tempdir().unwrap();
        if write(&model, dir.path(), &WriterOptions::default()).is_none() {
            return Ok(());
        }
        let block = Block::open(&disk(), &block_dir(dir.path())).unwrap();
        for matchers in asks {
            let mut ask = Select::new(matchers, TimeRange::new(0, 999));
            let labels = |source: &dyn Queryable, ask: &Select| -> Vec<Labels> {
                let set = source.select(ask).unwrap();
                set.series.iter().map(|series| series.labels().clone()).collect()
            };
            let wanted = labels(&model, &ask);
            prop_assert_eq!(&labels(&*block, &ask), &wanted, "{:?}", ask.matchers);
            let names = model.label_names(&ask).unwrap();
            prop_assert_eq!(&block.label_names(&ask).unwrap(), &names);
            for name in ["a", "pod", "missing"] {
                let values = model.label_values(name, &ask).unwrap();
                prop_assert_eq!(block.label_values(name, &ask).unwrap(), values);
            }
            ask.hints.limit = limit;
            let most = if limit == 0 { usize::MAX } else { limit };
            prop_assert_eq!(&labels(&*block, &ask)[..], &wanted[..most.min(wanted.len())]);
            prop_assert_eq!(block.label_names(&ask).unwrap(), &names[..most.min(names.len())]);
        }
    }

    #[test]
    fn samples_of_the_range_come_back_without_the_deleted(
        samples in vec(btree_map(0_i64..1000, any::<f64>(), 1..40), 1..5),
        deleted in vec((0_usize..5, 0_i64..1000, 0_i64..300), 0..5),
        start in 0_i64..1000, length in 0_i64..700, segment_bytes in 8_u64..400,
    ) {
        let labels = |index: usize| Labels::from_pairs([("i", format!("{index}"))]).unwrap();
        let model = ModelStore::new();
        for (index, samples) in samples.iter().enumerate() {
            samples.iter().for_each(|(time, value)| model.add(&labels(index), *time, *value));
        }
        let dir = tempfile::tempdir().unwrap();
        let options = WriterOptions { segment_bytes };
        let meta = write(&model, dir.path(), &options).unwrap();
        let count: usize = samples.iter().map(|samples| samples.len()).sum();
        prop_assert_eq!(meta.stats.num_samples, count as u64);
        prop_assert_eq!(&BlockMeta::read(&RealDisk, &block_dir(dir.path())).unwrap(), &meta);

        let ids: Vec<u32> = contents(&block_dir(dir.path())).1.iter().map(|raw| raw.0).collect();
        let mut tombstones = Tombstones::new();
        for (index, from, length) in &deleted {
            if let Some(id) = ids.get(*index) {
                tombstones.add(*id, TimeRange::new(*from, from + length));
            }
        }
        tombstones.write(&RealDisk, &block_dir(dir.path())).unwrap();

        let block = Block::open(&disk(), &block_dir(dir.path())).unwrap();
        let range = TimeRange::new(start, start + length);
        let is_left = |index: usize, time: i64| {
            !deleted.iter().any(|(i, from, length)| {
                *i == index && (*from..=from + length).contains(&time)
            })
        };
        let set = block.select(&Select::new(Vec::new(), range)).unwrap();
        for (index, samples) in samples.iter().enumerate() {
            let in_range = samples.range(start..=start + length);
            let wanted: Vec<(i64, u64)> = in_range
                .filter(|(time, _)| is_left(index, **time))
                .map(|(time, value)| (*time, value.to_bits()))
                .collect();
            let series = set.series.iter().find(|series| *series.labels() == labels(index));
            let (mut column, mut chunks) = (Column::new(), Vec::new());
            if let Some(series) = series {
                series.read(range, &mut column).unwrap();
                series.chunks(range, &mut chunks).unwrap();
            }
            prop_assert_eq!(bits(&column), wanted.clone());
            column.clear();
            for chunk in chunks {
                let within = (start, start + length);
                chunk::decode(chunk.encoding, &chunk.data, within, &mut column).unwrap();
            }
            prop_assert_eq!(bits(&column), wanted);
        }
    }
}

#[test]
fn long_series_are_spread_over_segments() {
    let dir = tempfile::tempdir().unwrap();
    let model = ModelStore::new();
    let labels = Labels::from_pairs([("a", "1")]).unwrap();
    (0..100).for_each(|time| model.add(&labels, time * 9, 0.1 * time as f64));
    let options = WriterOptions { segment_bytes: 200 };
    write(&model, dir.path(), &options).unwrap();
    let segments = RealDisk.list(&block_dir(dir.path()).join("chunks")).unwrap();
    assert!(segments.len() > 5);
    assert_eq!(segments[0].name, "000001");
    assert!(segments.iter().all(|segment| segment.len_bytes <= 200));
    let block = Block::open(&disk(), &block_dir(dir.path())).unwrap();
    assert_eq!(read_all(&*block), read_all(&model));
}

#[test]
fn an_unfinished_block_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let labels = Labels::from_pairs([("a", "1")]).unwrap();
    let start = || BlockWriter::new(disk(), dir.path(), ULID, &mut ["1", "a"].into_iter()).unwrap();
    let mut writer = start();
    assert_eq!(RealDisk.list(dir.path()).unwrap()[0].name, format!("{ULID}.tmp-for-creation"));
    writer.add_series(&labels, &[chunk(&[(1, 1.0)])]).unwrap();
    drop(writer);
    assert_eq!(RealDisk.list(dir.path()).unwrap(), []);
    let mut writer = start();
    writer.add_series(&labels, &[]).unwrap();
    assert_eq!(writer.finish(BlockMeta::new(ULID, 0, 1)).unwrap(), None);
    assert_eq!(RealDisk.list(dir.path()).unwrap(), []);
}

#[test]
fn a_series_or_chunk_out_of_order_is_refused_and_spoils_the_block() {
    let labels = |value: &str| Labels::from_pairs([("a", value)]).unwrap();
    let unknown = Chunk { encoding: 9, ..chunk(&[(1, 1.0)]) };
    let cases = [
        (labels("1"), vec![chunk(&[(1, 1.0)])]),
        (labels("0"), vec![chunk(&[(1, 1.0)])]),
        (labels("not a symbol"), vec![chunk(&[(1, 1.0)])]),
        (labels("2"), vec![chunk(&[(5, 1.0)]), chunk(&[(5, 1.0)])]),
        (labels("2"), vec![unknown]),
    ];
    for (second, chunks) in cases {
        let dir = tempfile::tempdir().unwrap();
        let mut symbols = ["0", "1", "2", "a"].into_iter();
        let mut writer = BlockWriter::new(disk(), dir.path(), ULID, &mut symbols).unwrap();
        writer.add_series(&labels("1"), &[chunk(&[(1, 1.0)])]).unwrap();
        let refused = writer.add_series(&second, &chunks).unwrap_err();
        assert!(matches!(refused, BlockError::Refused(_)), "{refused}");
        assert!(writer.finish(BlockMeta::new(ULID, 0, 1000)).is_err());
        assert_eq!(RealDisk.list(dir.path()).unwrap(), []);
    }
}

#[test]
fn a_meta_keeps_what_others_wrote_into_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut meta = BlockMeta::new(ULID, 0, 1000);
    let thanos = serde_json::json!({"labels": {"cluster": "eu"}, "downsample": {"resolution": 0}});
    meta.other.insert("thanos".into(), thanos.clone());
    meta.write(&RealDisk, dir.path()).unwrap();
    let mut read = BlockMeta::read(&RealDisk, dir.path()).unwrap();
    assert_eq!(read, meta);
    read.compaction.deletable = true;
    read.write(&RealDisk, dir.path()).unwrap();
    let read = BlockMeta::read(&RealDisk, dir.path()).unwrap();
    assert_eq!((read.compaction.deletable, &read.other["thanos"]), (true, &thanos));
}
