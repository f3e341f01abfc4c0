//! What queries cost: statistics, plans, limits, threads.

use std::sync::Arc;

use super::*;
use crate::promql::{ParseOptions, parse_metric};
use crate::testkit::ModelStore;

const SECOND_MS: i64 = 1000;

/// One series `one` and three series `three`, a sample every ten seconds.
fn store() -> ModelStore {
    let store = ModelStore::new();
    for metric in ["one", r#"three{a="1"}"#, r#"three{a="2"}"#, r#"three{a="3"}"#] {
        let labels = parse_metric(metric).unwrap();
        for index in 0..=100 {
            store.add(&labels, index * 10 * SECOND_MS, index as f64);
        }
    }
    store
}

fn options() -> EngineOptions {
    let parse = ParseOptions::all();
    EngineOptions { parse, per_step_stats: true, ..EngineOptions::default() }
}

fn seconds(start: i64, end: i64, step: i64) -> QueryTimes {
    let [start_ms, end_ms, step_ms] = [start, end, step].map(|seconds| seconds * SECOND_MS);
    QueryTimes::Range { start_ms, end_ms, step_ms }
}

fn samples(query: &str, times: QueryTimes) -> SampleStats {
    let (engine, store) = (Engine::new(options()), store());
    let run = RunOptions { stats: StatsWanted::All, ..RunOptions::default() };
    let answer = match times {
        QueryTimes::Instant(time_ms) => engine.instant(&store, query, time_ms, &run),
        QueryTimes::Range { start_ms, end_ms, step_ms } => {
            engine.range(&store, query, start_ms, end_ms, step_ms, &run)
        }
    };
    answer.unwrap().stats.unwrap().samples
}

#[test]
fn samples_are_counted_as_prometheus_counts_them() {
    let at = |second: i64| QueryTimes::Instant(second * SECOND_MS);
    let cases: [(&str, QueryTimes, &[u64], &[u64]); 22] = [
        ("1", at(21), &[0], &[0]),
        ("\"text\"", at(21), &[0], &[0]),
        ("one @ 15", at(21), &[1], &[1]),
        ("three[20s] @ 19", at(21), &[6], &[6]),
        ("one + on () sum(three)", at(21), &[4], &[4]),
        // What finds no partner was looked at, too.
        ("three and missing", at(21), &[3], &[3]),
        ("max_over_time(one[60s])[20s:5s]", at(201), &[24], &[8]),
        ("max_over_time(one[61s])[20s:5s]", at(201), &[26], &[8]),
        ("absent_over_time(one[60s])", at(201), &[6], &[6]),
        ("one[60s:5s] offset 10s", at(201), &[12], &[12]),
        ("max_over_time(three[60s:5s])", at(201), &[36], &[36]),
        ("rate(sum_over_time(one[30s])[1m:30s])", at(240), &[2], &[6]),
        ("one", seconds(201, 220, 5), &[1, 1, 1, 1], &[1, 1, 1, 1]),
        ("timestamp(one)", seconds(201, 220, 5), &[1, 1, 1, 1], &[1, 1, 1, 1]),
        ("max_over_time(one[10s])", seconds(991, 1021, 10), &[1, 1, 0, 0], &[1, 1, 0, 0]),
        ("max_over_time(three[1m])", seconds(201, 220, 5), &[18; 4], &[18, 0, 3, 0]),
        ("max_over_time(three[1m] @ 30)", seconds(201, 220, 5), &[12; 4], &[12, 0, 0, 0]),
        ("predict_linear(one[1m] @ 100, 60)", seconds(100, 300, 100), &[6; 3], &[6, 0, 0]),
        ("max_over_time(three[60s:5s])", seconds(201, 220, 5), &[36; 4], &[36, 3, 3, 3]),
        ("max_over_time(three[60s:10s])", seconds(200, 260, 30), &[18; 3], &[18, 9, 9]),
        // Points between the windows of a subquery count for nobody.
        ("max_over_time(one[30s:10s])", seconds(201, 261, 60), &[3, 3], &[3, 3]),
        ("start_timestamp(one) or one", seconds(201, 206, 5), &[1, 1], &[1, 1]),
    ];
    for (query, times, total, read) in cases {
        let got = samples(query, times);
        let counts = |steps: &[(i64, u64)]| steps.iter().map(|step| step.1).collect::<Vec<_>>();
        assert_eq!(counts(&got.total_queryable_samples_per_step), total, "{query}");
        assert_eq!(counts(&got.samples_read_per_step), read, "{query}");
        assert_eq!(got.total_queryable_samples, total.iter().sum::<u64>(), "{query}");
        assert_eq!(got.samples_read, read.iter().sum::<u64>(), "{query}");
    }
}

#[test]
fn steps_are_told_only_if_the_engine_and_the_run_allow_it() {
    let store = store();
    let run = |stats| RunOptions { stats, ..RunOptions::default() };
    let quiet = Engine::new(EngineOptions { per_step_stats: false, ..options() });
    let answer = quiet.instant(&store, "three", 0, &run(StatsWanted::All)).unwrap();
    let samples = answer.stats.unwrap().samples;
    assert_eq!((samples.samples_read, samples.samples_read_per_step), (3, Vec::new()));
    let engine = Engine::new(options());
    let answer = engine.instant(&store, "three", 0, &run(StatsWanted::Totals)).unwrap();
    assert!(answer.stats.unwrap().samples.total_queryable_samples_per_step.is_empty());
    let answer = engine.instant(&store, "three", 0, &run(StatsWanted::None)).unwrap();
    assert_eq!((answer.stats, answer.samples_read), (None, 3));
}

const QUERY: &str = r#"sum by (a) (rate(three{a!="3"}[1m] offset 5s)) / on (a) group_left three
    + scalar(max_over_time(one[1m:10s] @ 100))"#;

#[test]
fn a_plan_is_a_tree_of_operations() {
    let engine = Engine::new(options());
    let explain =
        |query| engine.explain(query, seconds(200, 300, 10), &RunOptions::default()).unwrap();
    let want = "\
+
|-- / on (a) group_left
|   |-- sum by (a)
|   |   `-- rate [1m] offset 5s #0
|   `-- newest #1
`-- once for all steps
    `-- scalar
        `-- max_over_time [1m:10s] @ 100.000
            `-- newest #2
#0 {a!=\"3\",__name__=\"three\"} from 135001 to 295000
#1 {__name__=\"three\"} from -99999 to 300000
#2 {__name__=\"one\"} from -249999 to 100000
11 steps
";
    assert_eq!(explain(QUERY).to_string(), want);
    let shared = explain("three / three").to_string();
    assert!(shared.contains("from -99999 to 300000, shared by 2"), "{shared}");
    assert_eq!(
        explain("1").to_json(),
        r#"{"plan":{"children":[],"operation":"number 1","span":[0,1],"steps":11},"#.to_owned()
            + r#""query":"1","reads":[],"steps":11}"#
    );
    let times = QueryTimes::Instant(0);
    let text = engine.explain("(\"a\")", times, &RunOptions::default()).unwrap();
    assert_eq!(text.to_string(), "\"a\"\n1 steps\n");
}

#[test]
fn what_was_run_is_measured() {
    let (engine, store) = (Engine::new(options()), store());
    let times = seconds(200, 300, 10);
    let run = RunOptions::default();
    let (answer, analyzed) = engine.analyze(&store, QUERY, times, &run).unwrap();
    let plain = engine.range(&store, QUERY, 200_000, 300_000, 10_000, &run).unwrap();
    assert_eq!(answer.value, plain.value);
    let root = analyzed.root.measured.unwrap();
    assert_eq!((root.series, root.samples), (2, 22));
    let rate = &analyzed.root.children[0].children[0].children[0];
    let measured = rate.measured.unwrap();
    assert_eq!(
        (rate.operation.as_str(), measured.series, measured.samples),
        ("rate [1m] offset 5s", 2, 22)
    );
    let read = analyzed.reads[0].measured.unwrap();
    // The model store keeps no chunks.
    assert_eq!((read.series, read.reads, read.samples, read.chunks), (2, 2, 32, None));
    assert!(analyzed.spent.is_some() && analyzed.to_json().contains("\"selectSeconds\""));
    let (_, text) = engine.analyze(&store, "\"a\"", QueryTimes::Instant(0), &run).unwrap();
    assert_eq!(text.root.operation, "\"a\"");
}

#[test]
fn a_query_that_would_take_too_much_memory_is_stopped() {
    let engine = |max_memory_bytes| Engine::new(EngineOptions { max_memory_bytes, ..options() });
    let run = RunOptions::default();
    let ask = |engine: Engine| engine.range(&store(), "-three", 0, 900_000, 10_000, &run);
    let error = ask(engine(Some(2000))).unwrap_err();
    assert!(matches!(error, EngineError::TooMuchMemory(2000)));
    assert_eq!(error.to_string(), "query processing would need more than 2000 bytes of memory");
    ask(engine(Some(10_000))).unwrap();
    ask(engine(None)).unwrap();
}

#[test]
fn running_queries_are_noted() {
    use crate::base::clock::ManualClock;
    use crate::disk::MemoryDisk;
    let (disk, clock) = (MemoryDisk::new(), Arc::new(ManualClock::at(0)));
    let active = ActiveQueries::open(&disk, std::path::Path::new("active"), clock).unwrap();
    let engine = Engine::new(EngineOptions { active_queries: Some(active.clone()), ..options() });
    engine.instant(&store(), "one", 0, &RunOptions::default()).unwrap();
    assert_eq!(active.running_count(), 0);
}

/// Enough series and steps that all pools share the work.
fn crowd() -> ModelStore {
    let store = ModelStore::new();
    for index in 0..300_i64 {
        let (job, instance) = (index % 7, index);
        let labels = parse_metric(&format!("m{{job=\"{job}\",instance=\"{instance}\"}}")).unwrap();
        let mut value = 0.1 * index as f64;
        for step in 0..80 {
            // Sums of these depend on their order.
            value += ((index * 31 + step * 17) % 101) as f64 * 1e-3 + 1e9 / (step + 1) as f64;
            store.add(&labels, step * 15_000 + index % 5, value);
        }
    }
    store
}

#[test]
fn answers_do_not_depend_on_the_number_of_threads() {
    let store = crowd();
    let pool = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        Engine::new(EngineOptions { pool: Some(Arc::new(pool)), ..options() })
    };
    let engines = [1, 2, 8].map(pool);
    let queries = [
        "m",
        "sum(m)",
        "avg by (job) (rate(m[2m]))",
        "stddev(m) + stdvar without (instance) (m)",
        "quantile by (job) (0.3, m)",
        "topk(3, m)",
        "bottomk by (job) (2, rate(m[1m]))",
        "limitk(5, m)",
        "limit_ratio(0.3, m)",
        "count_values(\"v\", m > bool 1e9)",
        "sum by (job) (m) / on (job) group_right m",
        "m and on (job) m{instance=~\".*1\"}",
        "m or on (instance) -m",
        "max_over_time(avg(m)[5m:1m])",
        "scalar(sum(m)) + m",
        "sort_desc(m)",
        "absent(m > 1e99)",
        "histogram_quantile(0.9, label_replace(m, \"le\", \"$1\", \"instance\", \"(.*)\"))",
    ];
    for query in queries {
        let run = RunOptions { stats: StatsWanted::All, ..RunOptions::default() };
        let answers = engines.each_ref().map(|engine| {
            let answer = engine.range(&store, query, 0, 1_200_000, 5_000, &run).unwrap();
            let stats = answer.stats.unwrap().samples;
            let counts = (stats.total_queryable_samples_per_step, stats.samples_read_per_step);
            // Bit by bit, as NaN is not equal to itself.
            (format!("{:?}", answer.value), answer.warnings, answer.infos, counts)
        });
        assert_eq!(answers[0], answers[1], "{query}");
        assert_eq!(answers[0], answers[2], "{query}");
    }
}
