//! What Thanos makes of replicas.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value as Json;

use super::support::{
    Store, assert_same, bits, chunks, column, decoded, floats, json_lines, labels, number, read,
    text,
};
use crate::chunk::EncodeOptions;
use crate::disk::{Disk, RealDisk};
use crate::model::histogram::{Counts, Histogram, Layout, Span};
use crate::model::{Column, Labels, stale_nan};
use crate::series::dedup::penalty::fold_columns;
use crate::series::dedup::{Dedup, merge_replica_chunks};
use crate::series::{Chunk, Queryable, Select, TimeRange};
use crate::storage::block::Block;

#[test]
fn penalty_merges_every_case_as_a_querier_does() {
    let cases: Json =
        serde_json::from_str(&text("golden/thanos/dedup-query/cases.json.zst")).unwrap();
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 65);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let replicas = case["replicas"].as_array().unwrap().iter();
        let store = replicas.zip(case["chunk_samples"].as_array().unwrap()).zip('a'..);
        let store = store.map(|((samples, lengths), replica)| {
            let lengths = lengths.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize);
            let labels = Labels::from_pairs([("replica", replica.to_string())]).unwrap();
            (labels, chunks(&floats(samples), lengths))
        });
        let range = TimeRange::new(case["mint"].as_i64().unwrap(), case["maxt"].as_i64().unwrap());
        let func = case["func"].as_str().filter(|func| !func.is_empty());
        let found = read(Store(store.collect()), Dedup::Penalty, func, range);
        assert_same(&found, &floats(&case["expected"]), name);
    }
}

#[test]
fn penalty_passes_upstreams_table_of_series() {
    let cases = json_lines("thanos/dedup/series.jsonl");
    assert_eq!(cases.len(), 6);
    for case in cases {
        let is_counter = case["is_counter"].as_bool().unwrap();
        let series = |rows: &Json| -> Vec<(Labels, Column)> {
            let rows = rows.as_array().unwrap().iter();
            rows.map(|row| (labels(&row["labels"]), floats(&row["samples"]))).collect()
        };
        let input = series(&case["input"]);
        let groups = input.chunk_by(|a, b| a.0 == b.0);
        let merged = groups.map(|group| {
            let mut into = Column::new();
            fold_columns(group.iter().map(|series| &series.1), is_counter, &mut into);
            (group[0].0.clone(), bits(&into))
        });
        let want = series(&case["expected"]).into_iter();
        let want: Vec<_> = want.map(|(labels, column)| (labels, bits(&column))).collect();
        assert_eq!(merged.collect::<Vec<_>>(), want, "{}", case["name"]);
    }
}

#[test]
fn penalty_passes_upstreams_table_of_pairs() {
    let cases = json_lines("thanos/dedup/pairs.jsonl");
    assert_eq!(cases.len(), 5);
    for (number, case) in cases.iter().enumerate() {
        let columns = [floats(&case["a"]), floats(&case["b"])];
        let mut into = Column::new();
        fold_columns(columns.iter(), false, &mut into);
        assert_eq!(bits(&into), bits(&floats(&case["expected"])), "{number}");
    }
}

#[test]
fn identity_unites_copies_as_upstreams_chain_does() {
    let cases = json_lines("thanos/dedup/union.jsonl");
    assert_eq!(cases.len(), 5);
    for case in cases {
        let input: Vec<_> = case["input"].as_array().unwrap().iter().collect();
        let groups = input.chunk_by(|a, b| a["labels"] == b["labels"]);
        for (group, want) in groups.zip(case["expected"].as_array().unwrap()) {
            let columns: Vec<_> = group.iter().map(|row| floats(&row["samples"])).collect();
            let found = read(Store::of(&columns), Dedup::Identity, None, TimeRange::ALL);
            assert_eq!(bits(&found), bits(&floats(&want["samples"])), "{}", case["name"]);
            assert!(found.joins.is_empty());
        }
    }
}

/// The histogram of upstream's tables of chunks.
fn some_histogram() -> Histogram {
    let layout = Layout {
        schema: 0,
        zero_threshold: 0.001,
        negative: vec![Span::new(0, 4), Span::new(1, 1)],
        ..Layout::default()
    };
    let counts = Counts::Integer { count: 20, zero_count: 12, buckets: vec![1, 3, 1, 2, 1] };
    Histogram { layout: Arc::new(layout), hint: Default::default(), sum: -3.5, counts }
}

fn any_column(rows: &Json) -> Column {
    let mut column = Column::new();
    for row in rows.as_array().unwrap() {
        let time_ms = row[0].as_i64().unwrap();
        if row[1].is_string() {
            column.push_histogram(time_ms, some_histogram().as_ref());
        } else {
            column.push(time_ms, number(&row[1]));
        }
    }
    column
}

#[test]
fn penalty_passes_upstreams_table_of_chunks() {
    let cases = json_lines("thanos/dedup/chunks.jsonl");
    assert_eq!(cases.len(), 14);
    for case in cases {
        let each = |rows: &Json| -> Vec<Chunk> {
            let rows = rows.as_array().unwrap().iter().map(any_column);
            rows.flat_map(|column| chunks(&column, [column.len()])).collect()
        };
        let input: Vec<_> = case["input"].as_array().unwrap().iter().map(each).collect();
        let mut found = Vec::new();
        let options = EncodeOptions::default();
        merge_replica_chunks(Dedup::Penalty, &input, &options, &mut found).unwrap();
        assert_eq!(found, each(&case["expected"]), "{}", case["name"]);
    }
}

fn golden_block(which: &str, ulid: &str) -> Vec<(Labels, Vec<Chunk>)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    contents(&root.join("testdata/golden/thanos/dedup-compact").join(which).join(ulid))
}

fn contents(dir: &std::path::Path) -> Vec<(Labels, Vec<Chunk>)> {
    let block = Block::open(&RealDisk::shared(), dir).unwrap();
    let set = block.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap();
    let series = set.series.iter().map(|series| {
        let mut chunks = Vec::new();
        series.chunks(TimeRange::ALL, &mut chunks).unwrap();
        (series.labels().clone(), chunks)
    });
    series.collect()
}

fn two_blocks() -> [Vec<(Labels, Vec<Chunk>)>; 2] {
    [("a", "01KEAW1RW8DZ7SZC99HMHABP6M"), ("b", "01KEAW1SVG22RFABQN1ZR8N7W4")]
        .map(|(which, ulid)| golden_block(which, ulid))
}

#[test]
fn penalty_merges_blocks_as_the_compactor_does() {
    let sources = two_blocks();
    let want = golden_block("penalty", "01KEAW1TTRKM1D9TM3D7P21ZKD");
    assert_eq!(want.len(), 7);
    for (labels, want) in want {
        let of = |block: &Vec<(Labels, Vec<Chunk>)>| {
            let same = block.iter().filter(|series| series.0 == labels);
            same.flat_map(|series| series.1.clone()).collect::<Vec<_>>()
        };
        let sources: Vec<_> = sources.iter().map(of).collect();
        let mut found = Vec::new();
        let options = EncodeOptions::default();
        merge_replica_chunks(Dedup::Penalty, &sources, &options, &mut found).unwrap();
        assert_same(&decoded(&found), &decoded(&want), &labels.to_string());
        assert_eq!(found, want, "{labels}");
    }
}

fn downsampled(resolution: &str) -> Vec<(Labels, Vec<Chunk>)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = root.join("testdata/golden/thanos/downsample").join(resolution);
    let [ulid] = RealDisk.list(&dir).unwrap().try_into().unwrap();
    contents(&dir.join(ulid.name))
}

/// Of downsampled replicas a query reads the number that it wants, be they copies or halves.
#[test]
fn penalty_reads_aggregates_as_a_querier_does() {
    let mut compared = 0;
    let blocks = ["5m", "1h"].map(|resolution| (resolution, downsampled(resolution)));
    for line in json_lines("golden/thanos/downsample/query.jsonl.zst") {
        let (_, block) = blocks.iter().find(|block| line["resolution"] == block.0).unwrap();
        let series = labels(&line["labels"]);
        let Some((_, chunks)) = block.iter().find(|one| one.0 == series) else { continue };
        let values = line["v"].as_array().unwrap();
        if values.iter().any(Json::is_object) {
            continue;
        }
        let func = line["func"].as_str().filter(|func| !func.is_empty());
        let (first, second) = chunks.split_at(chunks.len() / 2);
        for replicas in [[&chunks[..], &chunks[..]], [first, second], [&chunks[..], second]] {
            let replica = |(name, chunks): (&str, &[Chunk])| {
                (Labels::from_pairs([("replica", name)]).unwrap(), chunks.to_vec())
            };
            let store = Store(["a", "b"].into_iter().zip(replicas).map(replica).collect());
            let found = read(store, Dedup::Penalty, func, TimeRange::ALL);
            let times = line["t"].as_array().unwrap().iter().map(|time| time.as_i64().unwrap());
            assert!(times.eq(found.timestamps.iter().copied()), "{series} {func:?}");
            for (value, wanted) in found.floats.iter().zip(values.iter().map(number)) {
                let near = (wanted - value).abs() <= 1e-12 * wanted.abs();
                let is_same = near || wanted.to_bits() == value.to_bits();
                assert!(is_same, "{series} {func:?}: {value}, not {wanted}");
                compared += 1;
            }
        }
    }
    assert!(compared > 5000, "{compared}");
}

fn hex(text: &str) -> Bytes {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

/// The replicas of a real series.
fn real(case: &Json) -> Store {
    let chunk = |row: &Json| Chunk {
        min_time_ms: row[0].as_i64().unwrap(),
        max_time_ms: row[1].as_i64().unwrap(),
        encoding: 1,
        data: hex(row[2].as_str().unwrap()),
    };
    let series = case["series"].as_array().unwrap().iter().map(|series| {
        let mut chunks: Vec<Chunk> =
            series["chunks"].as_array().unwrap().iter().map(chunk).collect();
        chunks.sort_by_key(|chunk| chunk.min_time_ms);
        chunks.dedup();
        (labels(&series["labels"]), chunks)
    });
    Store(series.collect())
}

#[test]
fn penalty_reads_the_real_counter_as_a_querier_does() {
    let case: Json = serde_json::from_str(&text("thanos/dedup/issue2401.json")).unwrap();
    let range =
        TimeRange::new(case["range"][0].as_i64().unwrap(), case["range"][1].as_i64().unwrap());
    for (func, want) in [(None, "expected"), (Some("rate"), "expected_for_rate")] {
        let found = read(real(&case), Dedup::Penalty, func, range);
        let want = floats(&case[want]);
        let marked = |value: f64| if value < 0.0 { stale_nan() } else { value };
        let want = want.timestamps.into_iter().zip(want.floats.into_iter().map(marked));
        assert_same(&found, &column(want), &format!("{func:?}"));
    }
}

#[cfg(feature = "promql")]
mod queries {
    use super::{Dedup, Json, Store, assert_same, floats, real, text};
    use crate::model::Column;
    use crate::promql::{Engine, EngineOptions, RunOptions, Value};

    fn ask(store: Store, query: &str, grid: (i64, i64, i64), lookback_ms: i64) -> Column {
        let source = store.merged(Dedup::Penalty);
        let run = RunOptions { lookback_ms: Some(lookback_ms), ..RunOptions::default() };
        let engine = Engine::new(EngineOptions::default());
        let answer = engine.range(&source, query, grid.0, grid.1, grid.2, &run).unwrap();
        let Value::Matrix(mut series) = answer.value else { panic!("no matrix") };
        assert_eq!(series.len(), 1);
        series.remove(0).column
    }

    #[test]
    fn rates_of_the_real_counter_are_those_of_a_querier() {
        let case: Json = serde_json::from_str(&text("thanos/dedup/issue2401.json")).unwrap();
        let (start_ms, end_ms) = (1_587_690_000_000, 1_587_693_600_000);
        let grids = [("[5m]", 300_000, 100_000), ("[30m]", 1_800_000, 500_000)];
        for (query, want) in case["rates"].as_object().unwrap() {
            let grid = grids.iter().find(|(range, _, _)| query.contains(range)).unwrap();
            let found = ask(real(&case), query, (start_ms + grid.1, end_ms, grid.2), 300_000);
            assert_same(&found, &floats(want), query);
        }
    }

    #[test]
    fn replicas_that_follow_one_another_leave_no_hole_within_the_lookback() {
        let case: Json = serde_json::from_str(&text("thanos/dedup/issue2890.json")).unwrap();
        let number = |json: &Json| json.as_i64().unwrap();
        let grid = (number(&case["range"][0]), number(&case["range"][1]), number(&case["step_ms"]));
        let query = case["query"].as_str().unwrap();
        let found = ask(real(&case), query, grid, number(&case["lookback_ms"]));
        let want = &case["expected"];
        assert_eq!(found.len(), want["points"].as_u64().unwrap() as usize);
        assert_eq!(found.timestamps.first(), Some(&(number(&want["first_s"]) * 1000)));
        assert_eq!(found.timestamps.last(), Some(&(number(&want["last_s"]) * 1000)));
        let value: f64 = want["value"].as_str().unwrap().parse().unwrap();
        assert!(found.floats.iter().all(|found| *found == value));
    }
}

#[test]
fn identity_of_the_golden_blocks_is_what_a_query_reads() {
    let sources = two_blocks();
    let mut all: Vec<_> = sources.iter().flatten().map(|series| series.0.clone()).collect();
    all.sort();
    all.dedup();
    for labels in all {
        let of = |block: &Vec<(Labels, Vec<Chunk>)>| {
            let same = block.iter().filter(|series| series.0 == labels);
            same.flat_map(|series| series.1.clone()).collect::<Vec<_>>()
        };
        let sources: Vec<_> = sources.iter().map(of).collect();
        let mut compacted = Vec::new();
        let options = EncodeOptions::default();
        merge_replica_chunks(Dedup::Identity, &sources, &options, &mut compacted).unwrap();
        let columns: Vec<_> = sources.iter().map(|chunks| decoded(chunks)).collect();
        let queried = read(Store::of(&columns), Dedup::Identity, None, TimeRange::ALL);
        let compacted = decoded(&compacted);
        assert_eq!(bits(&compacted), bits(&queried), "{labels}");
        assert_eq!(compacted.histograms.len(), queried.histograms.len());
        assert!(queried.len() >= columns.iter().map(Column::len).max().unwrap_or_default());
    }
}
