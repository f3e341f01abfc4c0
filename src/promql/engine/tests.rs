use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::model::{Labels, stale_nan};
use crate::promql::{
    Answer, Engine, EngineError, EngineOptions, ParseOptions, RunOptions, Value, parse_metric,
};
use crate::series::{Chunk, Column, QueryError, Queryable, Select, Series, SeriesSet, TimeRange};
use crate::testkit::ModelStore;

const MINUTE_MS: i64 = 60_000;

/// Series by name, one sample a minute from 0 on; `None` is a gap.
fn store(series: &[(&str, &[f64])]) -> ModelStore {
    let store = ModelStore::new();
    for (metric, values) in series {
        let labels = parse_metric(metric).unwrap();
        for (index, value) in values.iter().enumerate() {
            store.add(&labels, index as i64 * MINUTE_MS, *value);
        }
    }
    store
}

fn engine() -> Engine {
    let options = EngineOptions { parse: ParseOptions::all(), ..EngineOptions::default() };
    Engine::new(options)
}

fn delayed() -> Engine {
    let parse = ParseOptions::all();
    Engine::new(EngineOptions { delayed_name_removal: true, parse, ..EngineOptions::default() })
}

fn ask(store: &dyn Queryable, query: &str, minute: i64) -> Result<Answer, EngineError> {
    engine().instant(store, query, minute * MINUTE_MS, &RunOptions::default())
}

fn ask_range(store: &dyn Queryable, query: &str, minutes: i64) -> Result<Answer, EngineError> {
    let end_ms = minutes * MINUTE_MS;
    engine().range(store, query, 0, end_ms, MINUTE_MS, &RunOptions::default())
}

/// `{labels} value`, one a line, in the order of the answer.
fn lines(answer: &Answer) -> Vec<String> {
    match &answer.value {
        Value::Scalar(sample) => vec![sample.value.to_string()],
        Value::String { text, .. } => vec![text.to_string()],
        Value::Vector(elements) => {
            elements.iter().map(|e| format!("{} {}", e.labels, e.sample.value)).collect()
        }
        Value::Matrix(series) => series
            .iter()
            .map(|series| {
                let Column { timestamps, floats, .. } = &series.column;
                let samples = timestamps.iter().zip(floats);
                let samples: Vec<_> =
                    samples.map(|(t, v)| format!("{v}@{}", t / MINUTE_MS)).collect();
                format!("{} {}", series.labels, samples.join(" "))
            })
            .collect(),
    }
}

fn instant(store: &dyn Queryable, query: &str, minute: i64) -> Vec<String> {
    lines(&ask(store, query, minute).unwrap())
}

fn range(store: &dyn Queryable, query: &str, minutes: i64) -> Vec<String> {
    lines(&ask_range(store, query, minutes).unwrap())
}

fn error(store: &dyn Queryable, query: &str) -> String {
    ask_range(store, query, 2).unwrap_err().to_string()
}

#[test]
fn the_newest_sample_counts_until_it_is_too_old_or_marked_stale() {
    let store = store(&[("a", &[1.0, 2.0]), ("b", &[1.0, stale_nan()])]);
    let got = range(&store, "{__name__=~\"a|b\"}", 7);
    let expected = [r#"{__name__="a"} 1@0 2@1 2@2 2@3 2@4 2@5"#, r#"{__name__="b"} 1@0"#];
    assert_eq!(got, expected);
}

#[test]
fn names_go_at_each_operation_unless_that_is_delayed() {
    let store = store(&[(r#"a{x="1"}"#, &[1.0, 2.0])]);
    assert_eq!(instant(&store, "a", 0), [r#"{__name__="a", x="1"} 1"#]);
    assert_eq!(instant(&store, "-a", 0), [r#"{x="1"} -1"#]);
    assert_eq!(instant(&store, "last_over_time(a[1m])", 1), [r#"{__name__="a", x="1"} 2"#]);
    assert_eq!(instant(&store, "count by (__name__) (-a)", 0), ["{} 1"]);
    let answer = delayed().instant(&store, "count by (__name__) (-a)", 0, &RunOptions::default());
    assert_eq!(lines(&answer.unwrap()), ["{} 1"]);
    let query = r#"label_replace(-a, "y", "$1", "__name__", "(.*)")"#;
    assert_eq!(instant(&store, query, 0), [r#"{x="1"} -1"#]);
    let answer = delayed().instant(&store, query, 0, &RunOptions::default()).unwrap();
    assert_eq!(lines(&answer), [r#"{x="1", y="a"} -1"#]);
}

#[test]
fn of_series_that_merge_the_earliest_value_says_whether_the_name_goes() {
    let gone = stale_nan();
    let ask = |values: &[f64], query: &str| {
        let store = store(&[("a", values)]);
        let run = RunOptions::default();
        lines(&delayed().range(&store, query, 0, MINUTE_MS, MINUTE_MS, &run).unwrap())
    };
    assert_eq!(ask(&[1.0, 2.0], "a > 1 or -a"), ["{} -1@0 2@1"]);
    assert_eq!(ask(&[2.0, 1.0], "a > 1 or -a"), [r#"{__name__="a"} 2@0 -1@1"#]);
    assert_eq!(ask(&[gone, 1.0], "a > 1 or -a"), ["{} -1@1"]);
}

#[test]
fn series_that_become_equal_are_merged_only_if_they_never_meet() {
    let gone = stale_nan();
    let apart = store(&[("a", &[1.0, gone, gone]), ("b", &[gone, 2.0, 3.0])]);
    assert_eq!(range(&apart, "-{__name__=~\"a|b\"}", 2), ["{} -1@0 -2@1 -3@2"]);
    let together = store(&[("a", &[1.0, 2.0]), ("b", &[1.0, 2.0])]);
    let same = "vector cannot contain metrics with the same labelset";
    assert_eq!(error(&together, "-{__name__=~\"a|b\"}"), same);
    assert_eq!(error(&together, "abs({__name__=~\"a|b\"})"), same);
    // Functions over windows do not look at when the series are there.
    assert_eq!(error(&apart, "count_over_time({__name__=~\"a|b\"}[5m])"), same);
}

#[test]
fn aggregations_group_by_the_labels_that_are_there() {
    let store = store(&[
        (r#"a{x="1",y="1"}"#, &[1.0]),
        (r#"a{x="1",y="2"}"#, &[2.0]),
        (r#"a{x="2",y="1"}"#, &[4.0]),
    ]);
    assert_eq!(instant(&store, "sum by (x) (a)", 0), [r#"{x="1"} 3"#, r#"{x="2"} 4"#]);
    assert_eq!(instant(&store, "sum without (x) (a)", 0), [r#"{y="1"} 5"#, r#"{y="2"} 2"#]);
    assert_eq!(instant(&store, "avg by (nothing) (a)", 0), [r#"{} 2.3333333333333335"#]);
    let top = [r#"{__name__="a", x="2", y="1"} 4"#, r#"{__name__="a", x="1", y="2"} 2"#];
    assert_eq!(instant(&store, "topk(2, a)", 0), top);
    assert_eq!(instant(&store, "count_values(\"v\", a > 1)", 0), [r#"{v="2"} 1"#, r#"{v="4"} 1"#]);
}

#[test]
fn a_group_appears_with_its_first_sample() {
    let store = store(&[
        (r#"a{x="1"}"#, &[stale_nan()]),
        (r#"a{x="1",y="2"}"#, &[1.0]),
        (r#"a{w="0",x="2"}"#, &[1.0]),
    ]);
    assert_eq!(instant(&store, "sum by (x) (a)", 0), [r#"{x="2"} 1"#, r#"{x="1"} 1"#]);
}

#[test]
fn partners_are_found_by_labels() {
    let store = store(&[
        (r#"a{i="1",m="x"}"#, &[1.0]),
        (r#"a{i="2",m="x"}"#, &[2.0]),
        (r#"b{i="1",n="p"}"#, &[10.0]),
        (r#"b{i="2",n="q"}"#, &[20.0]),
        (r#"c{m="x",info="yes"}"#, &[1.0]),
    ]);
    assert_eq!(instant(&store, "a + on (i) b", 0), [r#"{i="1"} 11"#, r#"{i="2"} 22"#]);
    assert_eq!(instant(&store, "a + b", 0), [""; 0]);
    let joined = [r#"{i="1", info="yes", m="x"} 1"#, r#"{i="2", info="yes", m="x"} 2"#];
    assert_eq!(instant(&store, "a * on (m) group_left (info) c", 0), joined);
    assert_eq!(instant(&store, "c * on (m) group_right (info) a", 0), joined);
    assert_eq!(instant(&store, "a > on (i) b", 0), [""; 0]);
    assert_eq!(instant(&store, "b > on (i) a", 0), [r#"{i="1"} 10"#, r#"{i="2"} 20"#]);
    let kept = [r#"{__name__="b", i="2"} 20"#];
    assert_eq!(instant(&store, "b == ignoring (n, m) (a * a * 5)", 0), kept);
    let kept = [r#"{__name__="b", i="2", n="q"} 20"#];
    assert_eq!(instant(&store, "b and on (i) a{i=\"2\"}", 0), kept);
    assert_eq!(instant(&store, "b unless on (i) a{i=\"1\"}", 0), kept);
}

#[test]
fn partners_that_are_not_unique_are_refused_in_prometheus_words() {
    let store = store(&[
        (r#"a{i="1"}"#, &[1.0]),
        (r#"a{i="2"}"#, &[2.0]),
        (r#"b{i="1"}"#, &[1.0]),
        (r#"b{i="2"}"#, &[2.0]),
    ]);
    assert_eq!(
        error(&store, "a + on () b"),
        "found duplicate series for the match group {} on the right hand-side of the operation: \
         [{__name__=\"b\", i=\"1\"}, {__name__=\"b\", i=\"2\"}];many-to-many matching not \
         allowed: matching labels must be unique on one side"
    );
    assert_eq!(
        error(&store, "a + on () b{i=\"1\"}"),
        "multiple matches for labels: many-to-one matching must be explicit \
         (group_left/group_right)"
    );
    assert_eq!(
        error(&store, "{__name__=~\"a|b\"} + on () group_left (i) b{i=\"1\"}"),
        "multiple matches for labels: grouping labels must ensure unique matches"
    );
    assert_eq!(instant(&store, "nothing + on () b", 0), [""; 0]);
}

#[test]
fn partners_may_change_from_step_to_step() {
    let gone = stale_nan();
    let store = store(&[
        ("a", &[1.0, 2.0, 3.0]),
        (r#"b{i="1"}"#, &[10.0, gone, gone]),
        (r#"b{i="2"}"#, &[gone, 20.0, 30.0]),
    ]);
    assert_eq!(range(&store, "a + on () b", 2), ["{} 11@0 22@1 33@2"]);
    let got = range(&store, "b - on () group_left a", 2);
    assert_eq!(got, [r#"{i="1"} 9@0"#, r#"{i="2"} 18@1 27@2"#]);
    assert_eq!(range(&store, "b or on () a", 2), range(&store, "b", 2));
}

#[test]
fn subqueries_run_on_a_grid_of_their_own() {
    let store = store(&[("a", &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])]);
    assert_eq!(instant(&store, "count_over_time(a[3m:1m])", 5), ["{} 3"]);
    assert_eq!(instant(&store, "sum_over_time((a * 2)[2m:1m] offset 1m)", 5), ["{} 14"]);
    assert_eq!(instant(&store, "max_over_time(rate(a[2m])[3m:1m])", 5).len(), 1);
    let got = lines(&ask(&store, "a[2m:1m]", 5).unwrap());
    assert_eq!(got, [r#"{__name__="a"} 4@4 5@5"#]);
}

#[test]
fn what_is_pinned_is_the_same_at_every_step() {
    let store = store(&[("a", &[0.0, 1.0, 2.0, 3.0])]);
    assert_eq!(range(&store, "a @ 60", 2), [r#"{__name__="a"} 1@0 1@1 1@2"#]);
    assert_eq!(range(&store, "a @ end() - a", 2), ["{} 2@0 1@1 0@2"]);
    assert_eq!(range(&store, "sum(a @ 60 offset 1m)", 1), ["{} 0@0 0@1"]);
    let got = range(&store, "timestamp(a @ 60)", 1);
    assert_eq!(got, ["{} 60@0 60@1"]);
}

#[test]
fn notes_tell_what_is_doubtful_and_where() {
    let store = store(&[("a", &[1.0, 2.0]), (r#"h{le="x"}"#, &[1.0, 2.0])]);
    let answer = ask(&store, "sum(rate(a[5m]))", 1).unwrap();
    assert_eq!(
        answer.infos,
        ["PromQL info: metric might not be a counter, name does not end in \
          _total/_sum/_count/_bucket: \"a\" (1:10)"]
    );
    let answer = ask(&store, "histogram_quantile(1.5, h)", 1).unwrap();
    assert_eq!(
        answer.warnings,
        [
            "PromQL warning: quantile value should be between 0 and 1, got 1.5 (1:20)",
            "PromQL warning: bucket label \"le\" is missing or has a malformed value of \"x\" \
             (1:25)",
        ]
    );
    let answer = ask_range(&store, "sort(a)", 1).unwrap();
    assert_eq!(answer.warnings.len(), 1);
}

#[test]
fn limits_end_a_query() {
    let store = store(&[("a", &[1.0; 50])]);
    let few = Engine::new(EngineOptions { max_samples: 40, ..EngineOptions::default() });
    let run = RunOptions::default();
    let got = few.range(&store, "a", 0, 49 * MINUTE_MS, MINUTE_MS, &run);
    assert!(matches!(got, Err(EngineError::TooManySamples)));
    assert!(few.range(&store, "a", 0, 30 * MINUTE_MS, MINUTE_MS, &run).is_ok());
    let got = few.instant(&store, "sum_over_time(a[50m])", 49 * MINUTE_MS, &run);
    assert!(matches!(got, Err(EngineError::TooManySamples)));
    let cancel = Some(Arc::new(AtomicBool::new(true)));
    let got = few.instant(&store, "a", 0, &RunOptions { cancel, ..RunOptions::default() });
    assert_eq!(got.unwrap_err().to_string(), "query was canceled in expression evaluation");
    let late = RunOptions { timeout_ms: Some(-1), ..RunOptions::default() };
    let got = few.instant(&store, "a", 0, &late);
    assert_eq!(got.unwrap_err().to_string(), "query timed out in expression evaluation");
}

#[test]
fn a_grid_without_end_is_refused_before_it_is_built() {
    let store = store(&[("a", &[1.0])]);
    let run = RunOptions::default();
    let got = engine().range(&store, "a", i64::MIN, i64::MAX, 1, &run);
    assert!(matches!(got, Err(EngineError::TooManySamples)));
    let got = engine().instant(&store, "sum_over_time(a[290y:1ms])", 0, &run);
    assert!(matches!(got, Err(EngineError::TooManySamples)));
}

#[test]
fn times_at_the_ends_of_time_do_not_overflow() {
    let store = store(&[("a", &[1.0])]);
    for time_ms in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
        for query in ["a offset 290y", "a offset -290y", "rate(a[290y])", "a[5m:1m]"] {
            let _ = engine().instant(&store, query, time_ms, &RunOptions::default());
        }
    }
}

#[test]
fn ranges_of_windows_and_texts_are_refused() {
    let store = store(&[]);
    assert_eq!(
        error(&store, "a[5m]"),
        "invalid expression type \"range vector\" for range query, must be Scalar or instant \
         Vector"
    );
    assert!(error(&store, "\"text\"").starts_with("invalid expression type \"string\""));
    assert_eq!(instant(&store, "(\"text\")", 0), ["text"]);
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_is_read() {
    struct Untouched;
    impl Queryable for Untouched {
        fn select(&self, _: &Select) -> Result<SeriesSet, QueryError> {
            panic!("the source was asked");
        }
        fn label_names(&self, _: &Select) -> Result<Vec<Arc<str>>, QueryError> {
            Ok(Vec::new())
        }
        fn label_values(&self, _: &str, _: &Select) -> Result<Vec<Arc<str>>, QueryError> {
            Ok(Vec::new())
        }
    }
    let cases = [
        ("deriv(a[1m] smoothed)", "smoothed modifier can only be used with: delta, increase, rate"),
        ("a + vector(1 </ 2)", "operator \"</\" not allowed for Scalar operations"),
        (r#"label_replace(a, "", "", "", "")"#, "invalid destination label name"),
        (r#"label_join(a, "x", "", "\xff")"#, "invalid source label name in label_join()"),
        (r#"count_values("\xff", a)"#, r#"invalid label name "\xff""#),
        (r#"label_replace(a, "x", "\xff", "y", "")"#, "labels are UTF-8"),
    ];
    for (query, want) in cases {
        let got = ask(&Untouched, query, 0).unwrap_err().to_string();
        assert!(got.starts_with(want), "{query}: {got}");
    }
}

/// Counts how often series are asked for and read.
#[derive(Default)]
struct Counting {
    store: ModelStore,
    selects: AtomicUsize,
    reads: Arc<AtomicUsize>,
}

struct CountedSeries(Box<dyn Series>, Arc<AtomicUsize>);

impl Series for CountedSeries {
    fn labels(&self) -> &Labels {
        self.0.labels()
    }
    fn read(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read(range, into)
    }
    fn chunks(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), QueryError> {
        self.0.chunks(range, into)
    }
}

impl Queryable for Counting {
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
        self.selects.fetch_add(1, Ordering::Relaxed);
        let SeriesSet { series, warnings } = self.store.select(ask)?;
        let count =
            |series| Box::new(CountedSeries(series, Arc::clone(&self.reads))) as Box<dyn Series>;
        Ok(SeriesSet { series: series.into_iter().map(count).collect(), warnings })
    }
    fn label_names(&self, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        self.store.label_names(ask)
    }
    fn label_values(&self, name: &str, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        self.store.label_values(name, ask)
    }
}

#[test]
fn a_selector_that_is_used_twice_is_read_once() {
    let series: Vec<String> = (0..10).map(|i| format!("a{{i=\"{i}\"}}")).collect();
    let series: Vec<(&str, &[f64])> =
        series.iter().map(|s| (s.as_str(), &[1.0, 2.0][..])).collect();
    let counting = Counting { store: store(&series), ..Counting::default() };
    let query = "sum(rate(a[5m])) / count(a) + sum(a offset 1m)";
    assert_eq!(range(&counting, query, 2).len(), 1);
    assert_eq!(counting.selects.load(Ordering::Relaxed), 1);
    assert_eq!(counting.reads.load(Ordering::Relaxed), 10);
}

#[test]
fn long_chains_of_set_operations_compute_each_part_once() {
    let counting =
        Counting { store: store(&[("a", &[1.0]), ("b", &[1.0])]), ..Counting::default() };
    let names: Vec<String> = (0..40).map(|i| format!("(a{{x!=\"{i}\"}} > 5)")).collect();
    assert_eq!(range(&counting, &format!("{} or b", names.join(" or ")), 2).len(), 1);
    assert_eq!(counting.reads.load(Ordering::Relaxed), 41);
    assert_eq!(range(&counting, &format!("b unless ({})", names.join(" and ")), 2).len(), 1);
}

#[test]
fn answers_do_not_depend_on_threads() {
    let store = ModelStore::new();
    for series in 0..200_i64 {
        let name = format!("a{{i=\"{series}\",g=\"{}\"}}", series % 7);
        let labels = parse_metric(&name).unwrap();
        for step in 0..300_i64 {
            let wild = ((series * 7919 + step * 104_729) % 1_000_003) as f64;
            store.add(&labels, step * 15_000 + series, (wild * 1e-4).exp());
        }
    }
    let queries = [
        "sum(rate(a[5m]))",
        "avg by (g) (a)",
        "stddev by (g) (a) / on (g) group_right () a",
        "topk by (g) (3, avg_over_time(a[7m]))",
        "quantile(0.9, a)",
        "a - a offset 1m",
    ];
    let threads = |count: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap();
        Engine::new(EngineOptions { pool: Some(Arc::new(pool)), ..EngineOptions::default() })
    };
    let engines = [threads(1), threads(3)];
    for query in queries {
        let [one, many] = engines.each_ref().map(|engine| {
            let run = RunOptions::default();
            engine.range(&store, query, 600_000, 4_500_000, 10_000, &run).unwrap().value
        });
        assert!(one == many, "{query}");
    }
}

#[test]
fn the_deepest_query_that_parses_can_be_run() {
    let store = store(&[("a", &[1.0, 2.0])]);
    let depth = crate::promql::NESTING_MAX - 2;
    let deep = format!("{}a{}", "abs(".repeat(depth), ")".repeat(depth));
    let chain = format!("a{}", " + a".repeat(depth));
    let run = move || {
        for query in [&deep, &chain] {
            match ask_range(&store, query, 1) {
                Ok(answer) => assert_eq!(lines(&answer).len(), 1),
                Err(error) => assert!(matches!(error, EngineError::Parse(_)), "{error}"),
            }
        }
    };
    // What a thread of its own has if nothing else is asked for.
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
}

/// A range query whose start is its end was answered as a vector, which no client of a range
/// query expects.
#[test]
fn a_range_of_one_step_is_a_matrix() {
    let store = store(&[("b", &[1.0]), ("a", &[2.0])]);
    for (query, wanted) in [("{__name__=~'a|b'}", 2), ("1 + 1", 1), ("topk(1, a)", 1)] {
        let answer = ask_range(&store, query, 0).unwrap();
        assert!(matches!(&answer.value, Value::Matrix(series) if series.len() == wanted));
    }
    assert_eq!(
        range(&store, "{__name__=~'a|b'}", 0),
        [r#"{__name__="a"} 2@0"#, r#"{__name__="b"} 1@0"#]
    );
}
