//! A gateway answers as the same blocks on a disk do.

use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

use crate::disk::{MemoryDisk, RealDisk, SharedDisk};
use crate::model::MatchOp;
use crate::series::{Chunk, Hints};

use super::*;

const NAMES: [&str; 4] = ["__name__", "job", "pod", "dc"];
const VALUES: [&str; 5] = ["a", "ab", "b", "c", "näve"];

fn some_labels() -> impl Strategy<Value = Labels> {
    let pairs = btree_map(select(&NAMES[..]), select(&VALUES[..]), 1..4);
    pairs.prop_map(|pairs| Labels::from_pairs(pairs).unwrap())
}

/// External labels: one that series may have too, one that they never have.
fn external() -> impl Strategy<Value = Labels> {
    let pairs = btree_map(select(&["dc", "replica"][..]), select(&VALUES[..2]), 1..3);
    pairs.prop_map(|pairs| Labels::from_pairs(pairs).unwrap())
}

fn spec(number: u64) -> impl Strategy<Value = Spec> {
    let series = btree_map(some_labels(), vec(vec((1_i64..9, -5_i8..5), 1..9), 1..4), 1..12);
    (external(), 0_i64..4, 1_i64..4, series).prop_map(move |(external, start, length, series)| {
        let (start, end) = (start * 100, (start + length) * 100);
        let series = series.into_iter().map(|(labels, chunks)| {
            let mut time = start - 1;
            let mut samples: Samples = Vec::new();
            for steps in chunks {
                let run: Vec<(i64, f64)> = steps
                    .into_iter()
                    .map(|(step, value)| {
                        time += step;
                        (time, f64::from(value))
                    })
                    .filter(|(time, _)| *time < end)
                    .collect();
                samples.extend((!run.is_empty()).then_some(run));
            }
            (labels, samples)
        });
        let series = series.filter(|(_, samples)| !samples.is_empty()).collect();
        Spec { number, external, range: (start, end), resolution_ms: 0, series, sources: vec![] }
    })
}

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    (1_usize..5)
        .prop_flat_map(|count| (0..count).map(|number| spec(number as u64 + 1)).collect::<Vec<_>>())
}

const PATTERNS: [&str; 13] =
    ["a", "ab", "", "a.*", ".*", ".+", "a|b", "(ab|c)", "a|", "nowhere", "[ab]+", "n.*", "ab?"];
const OPS: [MatchOp; 4] = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
const ASKED: [&str; 6] = ["__name__", "job", "pod", "dc", "replica", "none"];

fn some_matcher() -> impl Strategy<Value = Matcher> {
    (select(&ASKED[..]), select(&OPS[..]), select(&PATTERNS[..]))
        .prop_map(|(name, op, value)| Matcher::new(name, op, value).unwrap())
}

#[derive(Debug, Clone)]
struct Setup {
    gap_bytes: u64,
    group_bytes: u64,
    cache_bytes: usize,
    concurrency: usize,
    has_folder: bool,
    /// What the meta says of the longest series entry and chunk, right or wrong.
    stated_bytes: u64,
    segment_bytes: u64,
    knows_segments: bool,
    /// There is room for the places of chunks.
    keeps_places: bool,
}

fn setup() -> impl Strategy<Value = Setup> {
    (
        select(&[0, 40, 512 << 10][..]),
        select(&[0, 100, 4 << 20][..]),
        select(&[0, 20_000, 64 << 20][..]),
        select(&[1, 4][..]),
        any::<bool>(),
        select(&[0, 1, 10_000][..]),
        select(&[60, 512 << 20][..]),
        any::<(bool, bool)>(),
    )
        .prop_map(|(gap, group, cache, concurrency, has_folder, stated, segment, flags)| {
            Setup {
                gap_bytes: gap,
                group_bytes: group,
                cache_bytes: cache,
                concurrency,
                has_folder,
                stated_bytes: stated,
                segment_bytes: segment,
                knows_segments: flags.0,
                keeps_places: flags.1,
            }
        })
}

fn gateway(fixture: &mut Fixture, setup: &Setup) -> Gateway {
    for (about, _) in &mut fixture.blocks {
        about.series_max_bytes = setup.stated_bytes;
        about.chunk_max_bytes = setup.stated_bytes;
        if !setup.knows_segments {
            about.segments.clear();
            about.index_bytes = None;
        }
    }
    let folder: SharedDisk = MemoryDisk::shared();
    fixture.gateway(GatewayOptions {
        gap_bytes: setup.gap_bytes,
        group_bytes: setup.group_bytes,
        cache_bytes: setup.cache_bytes,
        concurrency: setup.concurrency,
        header_folder: setup.has_folder.then(|| (folder, "headers".into())),
        ..GatewayOptions::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn answers_are_those_of_the_blocks_on_a_disk(
        specs in specs(), setup in setup(),
        questions in vec((vec(some_matcher(), 0..4), -20_i64..720, 0_i64..500), 1..4),
    ) {
        let mut fixture = Fixture::new();
        specs.iter().for_each(|spec| fixture.add(spec, setup.segment_bytes));
        let gateway = gateway(&mut fixture, &setup);
        let taken_bytes = if setup.keeps_places { 0 } else { 128 << 20 };
        let _taken = gateway.memory().hold(taken_bytes).unwrap();
        // Every question twice: the second time the caches have something to say.
        for (matchers, start, length) in questions.iter().chain(&questions) {
            let range = TimeRange::new(*start, start + length);
            let ask = Select::new(matchers.clone(), range);
            let mut wanted = fixture.model(&ask);
            wanted.retain(|_, samples| !samples.is_empty());
            prop_assert_eq!(read(&gateway, &ask), wanted);
            prop_assert_eq!(gateway.stats().held_bytes, taken_bytes);
        }
    }

    #[test]
    fn names_and_values_are_those_of_the_blocks_on_a_disk(
        specs in specs(), setup in setup(), matchers in vec(some_matcher(), 0..3),
        start in -20_i64..720, name in select(&["__name__", "pod", "dc", "replica", "none"][..]),
    ) {
        let mut fixture = Fixture::new();
        specs.iter().for_each(|spec| fixture.add(spec, setup.segment_bytes));
        let gateway = gateway(&mut fixture, &setup);
        let ask = Select::new(matchers, TimeRange::new(start, start + 50));
        let (mut names, mut values) = (BTreeSet::new(), BTreeSet::new());
        for (about, block) in &fixture.blocks {
            if about.range.overlaps(ask.range) {
                for (labels, _) in matching(about, block, &ask.matchers) {
                    names.extend(labels.iter().map(|(name, _)| name.to_owned()));
                    values.extend(labels.get(name).map(str::to_owned));
                }
            }
        }
        let texts = |found: Vec<Arc<str>>| found.iter().map(|text| text.to_string()).collect();
        let found: Vec<String> = texts(gateway.label_names(&ask).unwrap());
        prop_assert_eq!(found, names.into_iter().collect::<Vec<_>>());
        let found: Vec<String> = texts(gateway.label_values(name, &ask).unwrap());
        prop_assert_eq!(found, values.into_iter().collect::<Vec<_>>());
    }
}

fn counter(name: &str, times: &[i64]) -> (Labels, Samples) {
    let samples = times.iter().map(|time| (*time, *time as f64)).collect();
    (labels(&[("__name__", name)]), vec![samples])
}

fn plain(number: u64, range: (i64, i64), resolution_ms: i64, times: &[i64]) -> Spec {
    let series = [counter("up", times)].into();
    Spec {
        number,
        external: labels(&[("cluster", "c")]),
        range,
        resolution_ms,
        series,
        sources: vec![],
    }
}

#[test]
fn each_span_is_answered_in_one_resolution_and_fallbacks_are_told() {
    let fixture = Fixture::of(&[
        plain(1, (100, 200), 0, &[110, 150, 190]),
        plain(2, (0, 200), 300_000, &[20, 60, 120, 160]),
    ]);
    let gateway = fixture.gateway(GatewayOptions::default());
    let mut ask = Select::new(Vec::new(), TimeRange::new(0, 300));
    let times = |ask: &Select| -> Vec<i64> {
        read(&gateway, ask).into_values().flat_map(BTreeMap::into_keys).collect()
    };
    assert_eq!(times(&ask), [20, 60, 110, 150, 190]);
    let warnings = gateway.select(&ask).unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("from 0 to 99 ms, 1 blocks"), "{warnings:?}");
    ask.hints = Hints { max_resolution_ms: 300_000, ..Hints::default() };
    assert_eq!(times(&ask), [20, 60, 120, 160]);
    assert!(gateway.select(&ask).unwrap().warnings.is_empty());
    let strict = GatewayOptions { coarser_fallback: false, ..GatewayOptions::default() };
    let set = fixture.gateway(strict).select(&Select::new(Vec::new(), TimeRange::new(0, 90)));
    assert!(set.unwrap().series.is_empty());
}

#[test]
fn chunks_are_handed_on_as_they_are_stored() {
    let spec = plain(1, (0, 200), 0, &[10, 20, 30]);
    let fixture = Fixture::of(std::slice::from_ref(&spec));
    let gateway = fixture.gateway(GatewayOptions::default());
    let set = gateway.select(&Select::new(Vec::new(), TimeRange::new(15, 25))).unwrap();
    let mut chunks: Vec<Chunk> = Vec::new();
    set.series[0].chunks(TimeRange::new(15, 25), &mut chunks).unwrap();
    assert_eq!(chunks, chunks_of(spec.series.values().next().unwrap()));
    assert_eq!(*set.series[0].labels(), labels(&[("__name__", "up"), ("cluster", "c")]));
}

#[test]
fn a_gateway_tells_what_it_has() {
    let other = Spec { external: labels(&[("cluster", "d")]), ..plain(3, (900, 950), 0, &[910]) };
    let fixture = Fixture::of(&[
        plain(1, (0, 200), 0, &[10]),
        plain(2, (200, 300), 0, &[210]),
        plain(4, (500, 600), 300_000, &[510]),
        other,
    ]);
    let gateway = fixture.gateway(GatewayOptions::default());
    assert_eq!(gateway.time_range(), Some(TimeRange::new(0, 949)));
    let (c, d) = (labels(&[("cluster", "c")]), labels(&[("cluster", "d")]));
    assert_eq!(gateway.label_sets(), [c.clone(), d.clone()]);
    let infos: Vec<_> =
        gateway.tsdb_infos().into_iter().map(|one| (one.labels, one.range)).collect();
    let wanted = [
        (c.clone(), TimeRange::new(0, 299)),
        (c, TimeRange::new(500, 599)),
        (d, TimeRange::new(900, 949)),
    ];
    assert_eq!(infos, wanted);
}

#[test]
fn a_limit_cuts_the_answer_in_label_order() {
    let names = ["c", "a", "d", "b"];
    let series = names.map(|name| counter(name, &[1, 2, 3])).into();
    let (external, range) = (labels(&[("cluster", "c")]), (0, 100));
    let fixture = Fixture::of(&[Spec {
        number: 1,
        external,
        range,
        resolution_ms: 0,
        series,
        sources: vec![],
    }]);
    let gateway = fixture.gateway(GatewayOptions::default());
    let mut ask = Select::new(Vec::new(), TimeRange::ALL);
    ask.hints.limit = 2;
    let found: Vec<_> = read(&gateway, &ask).into_keys().collect();
    let wanted = ["a", "b"].map(|name| labels(&[("__name__", name), ("cluster", "c")]));
    assert_eq!(found, wanted);
    let values = gateway.label_values("__name__", &ask).unwrap();
    assert!(values.iter().map(|value| &**value).eq(["a", "b"]));
}

/// Puts the blocks that Thanos wrote in three resolutions into a bucket.
fn golden() -> (Bucket, BTreeMap<i64, Arc<Block>>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden/thanos/downsample");
    let (bucket, disk) = (Bucket::memory(), RealDisk::shared());
    let mut blocks = BTreeMap::new();
    for (resolution_ms, folder) in [
        (0, "raw/01KEAW1MZ8E1KX7MBCGQ75ENHQ"),
        (300_000, "5m/01KEAW1NYG5JS0QEK8EA8X6NE9"),
        (3_600_000, "1h/01KEAW1PXRPNW60KZ77TEBVMT9"),
    ] {
        let dir = root.join(folder);
        let (_, ulid) = folder.split_once('/').unwrap();
        for name in ["meta.json", "index", "chunks/000001"] {
            let data = disk.read(&dir.join(name)).unwrap();
            bucket.put(&format!("{ulid}/{name}"), data.into()).unwrap();
        }
        blocks.insert(resolution_ms, Block::open(&disk, &dir).unwrap());
    }
    (bucket, blocks)
}

#[test]
fn blocks_of_thanos_answer_in_each_resolution_as_they_do_on_a_disk() {
    let (bucket, blocks) = golden();
    let options = GatewayOptions { group_bytes: 2000, ..GatewayOptions::default() };
    let gateway = Gateway::open(bucket, options).unwrap();
    let whole = blocks[&0].meta().range();
    let external = labels(&[("cluster", "c1"), ("replica", "a")]);
    let (start_ms, middle_ms) = (whole.start_ms, whole.start_ms + 100_000_000);
    let ranges =
        [TimeRange::ALL, TimeRange::new(start_ms, middle_ms), TimeRange::new(middle_ms, i64::MAX)];
    let mut count = 0;
    for (max_resolution_ms, block) in &blocks {
        for func in
            [None, Some("rate"), Some("count_over_time"), Some("min"), Some("sum_over_time")]
        {
            for range in ranges {
                let hints = Hints {
                    func: func.map(Arc::from),
                    max_resolution_ms: *max_resolution_ms,
                    ..Hints::default()
                };
                let ask = Select { matchers: Vec::new(), range, hints };
                let (ours, theirs) = (gateway.select(&ask).unwrap(), block.select(&ask).unwrap());
                assert!(ours.warnings.is_empty());
                assert_eq!(ours.series.len(), theirs.series.len());
                for (ours, theirs) in ours.series.iter().zip(&theirs.series) {
                    let joined = theirs.labels().iter().chain(external.iter());
                    assert_eq!(*ours.labels(), Labels::from_pairs(joined).unwrap());
                    let (mut found, mut wanted) = (Column::new(), Column::new());
                    ours.read(range, &mut found).unwrap();
                    theirs.read(range, &mut wanted).unwrap();
                    // As text, in which a NaN equals itself.
                    assert_eq!(format!("{found:?}"), format!("{wanted:?}"), "{func:?} {range:?}");
                    count += found.len();
                }
            }
        }
    }
    assert!(count > 100_000, "{count}");
}
