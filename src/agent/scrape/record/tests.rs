use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::*;
use crate::agent::scrape::target::Made;
use crate::agent::scrape::test_job;
use crate::base::metrics::Registry;
use crate::model::is_stale;
use crate::series::{Outcome, SeriesRef};

/// A storage as the agent's: it names series and refuses samples that are not newer.
#[derive(Default)]
struct Ledger {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    series: BTreeMap<Labels, (u64, i64)>,
    rows: Vec<(String, i64, f64)>,
    broken: bool,
    created: usize,
}

impl Append for Ledger {
    fn append(&self, batch: &mut Batch, _: OnReject) -> Result<Outcome, AppendError> {
        let mut state = self.state.lock();
        if state.broken {
            return Err(AppendError::Log("no space left".into()));
        }
        let mut outcome = Outcome::default();
        batch.reset_verdicts();
        for index in 0..batch.series_count() {
            let labels = batch.labels(index).to_labels();
            let next = state.series.len() as u64 + 1;
            let is_new = !state.series.contains_key(&labels);
            state.created += usize::from(is_new);
            let (name, last_ms) = *state.series.get(&labels).unwrap_or(&(next, i64::MIN));
            batch.set_series_ref(index, SeriesRef(name));
            for at in batch.sample_range(index) {
                let sample = batch.samples()[at];
                if sample.timestamp_ms <= last_ms {
                    batch.set_verdict(at, Verdict::OutOfOrder);
                    outcome.rejected += 1;
                    continue;
                }
                outcome.accepted += 1;
                state.series.insert(labels.clone(), (name, sample.timestamp_ms));
                state.rows.push((labels.to_string(), sample.timestamp_ms, sample.value));
            }
        }
        Ok(outcome)
    }
}

impl Ledger {
    /// Rows since the last call, reports left out, as `labels value @time`.
    fn take(&self) -> Vec<String> {
        self.rows(|labels| !labels.contains("\"scrape_") && !labels.contains("\"up\""))
    }

    fn take_reports(&self) -> Vec<String> {
        self.rows(|labels| labels.contains("\"scrape_s") || labels.contains("\"up\""))
    }

    fn rows(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let rows = std::mem::take(&mut self.state.lock().rows);
        let shown = |(labels, time, value): (String, i64, f64)| {
            let labels = labels.replace("instance=\"h:1\", job=\"j\"", "…");
            let labels = labels.replace("__name__=", "");
            let value = if is_stale(value) { "stale".to_owned() } else { value.to_string() };
            format!("{labels} {value} @{time}")
        };
        rows.into_iter().filter(|row| is_wanted(&row.0)).map(shown).collect()
    }
}

struct Scene {
    recorder: Recorder,
    bench: Bench,
    ledger: Ledger,
    registry: Registry,
    now_ms: i64,
}

impl Scene {
    fn new(keys: &str) -> Self {
        let config = test_job(keys);
        let own = Labels::empty().with("__address__", "h:1");
        let Made::Target(target) = Target::make(&config, &own, &Labels::empty()) else {
            panic!("no target")
        };
        let registry = Registry::new();
        let metrics = ScrapeMetrics::new(&registry);
        let recorder = Recorder::new(Arc::new(config), Arc::new(target), metrics);
        let (bench, ledger) = Default::default();
        Self { recorder, bench, ledger, registry, now_ms: 0 }
    }

    fn record(&mut self, fetched: Result<&[u8], ScrapeError>) -> String {
        self.now_ms += 1000;
        let now_ms = self.now_ms;
        let moment = Moment { timestamp_ms: now_ms, now_ms, watch: Stopwatch::start() };
        let failed = self.recorder.record(&mut self.bench, &self.ledger, fetched, moment);
        failed.map_or_else(String::new, |error| error.to_string())
    }

    fn page(&mut self, page: &str) -> String {
        self.record(Ok(page.as_bytes()))
    }

    fn failure(&mut self) -> String {
        self.record(Err(ScrapeError::Fetch(FetchError::BodyTooLarge)))
    }

    fn counted(&self, name: &str) -> f64 {
        let family = self.registry.gather().into_iter().find(|family| family.name == name);
        match family.unwrap().members[0].1 {
            crate::base::metrics::Value::Number(number) => number,
            ref other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_page_is_stored_with_the_targets_labels() {
    let mut scene = Scene::new("job_name: j");
    let page = "# TYPE a counter\na 1\nb{x=\"y\",} 2.5 # no\n";
    assert_eq!(
        scene.page(page),
        "expected timestamp or new record, got \"#\" (\"INVALID\") \
         while parsing: \"b{x=\\\"y\\\",} 2.5 #\""
    );
    assert!(scene.ledger.take().is_empty());
    assert_eq!(scene.page("a 1\nb{x=\"y\",} 2.5\nc NaN 1500\n"), "");
    let expected = ["{\"a\", …} 1 @2000", "{\"b\", …, x=\"y\"} 2.5 @2000", "{\"c\", …} NaN @1500"];
    assert_eq!(scene.ledger.take(), expected);
}

#[test]
fn every_scrape_reports_itself() {
    let mut scene = Scene::new(
        "job_name: j
sample_limit: 9
extra_scrape_metrics: true
metric_relabel_configs: [{source_labels: [__name__], regex: drop, action: drop}]",
    );
    scene.page("a 1\na{b=\"c\"} 1\ndrop 1\n");
    let expected = [
        "{\"up\", …} 1 @1000",
        "{\"scrape_samples_scraped\", …} 3 @1000",
        "{\"scrape_samples_post_metric_relabeling\", …} 2 @1000",
        "{\"scrape_series_added\", …} 2 @1000",
        "{\"scrape_sample_limit\", …} 9 @1000",
    ];
    assert_eq!(scene.ledger.take_reports(), expected);
    scene.failure();
    let reports = scene.ledger.rows(|labels| labels.contains("up") || labels.contains("body"));
    assert_eq!(reports, ["{\"up\", …} 0 @2000", "{\"scrape_body_size_bytes\", …} -1 @2000"]);
}

#[test]
fn a_series_that_left_the_page_is_ended_once() {
    let mut scene = Scene::new("job_name: j");
    scene.page("a 1\nb 1\n");
    scene.ledger.take();
    scene.page("a 2\n");
    assert_eq!(scene.ledger.take(), ["{\"a\", …} 2 @2000", "{\"b\", …} stale @2000"]);
    scene.page("a 3\n");
    assert_eq!(scene.ledger.take(), ["{\"a\", …} 3 @3000"]);
    scene.page("b 4\n");
    assert_eq!(scene.ledger.take(), ["{\"b\", …} 4 @4000", "{\"a\", …} stale @4000"]);
    scene.page("");
    assert_eq!(scene.ledger.take(), ["{\"b\", …} stale @5000"]);
}

#[test]
fn a_failed_scrape_ends_all_series_and_stores_nothing_of_its_page() {
    for broken in ["a 9\nb x\n", "a 9\nb{c=\"\u{0}\n", "a 9\nb{a=\"1\",a=\"2\"} 1\n"] {
        let mut scene = Scene::new("job_name: j");
        scene.page("a 1\nb 1\n");
        scene.ledger.take();
        assert_ne!(scene.page(broken), "", "{broken}");
        let expected = ["{\"a\", …} stale @2000", "{\"b\", …} stale @2000"];
        assert_eq!(scene.ledger.take(), expected, "{broken}");
        assert_ne!(scene.page(broken), "");
        assert!(scene.ledger.take().is_empty(), "ended only once");
        scene.page("a 1\nb 1\n");
        assert_eq!(scene.ledger.take(), ["{\"a\", …} 1 @4000", "{\"b\", …} 1 @4000"]);
    }
}

#[test]
fn bytes_that_are_no_text_fail_the_scrape() {
    let mut scene = Scene::new("job_name: j");
    let error = scene.record(Ok(b"a{b=\"\xff\"} 1\n"));
    assert!(error.starts_with("invalid UTF-8 label value"), "{error}");
}

#[test]
fn the_same_labels_under_another_text_go_on() {
    let mut scene = Scene::new("job_name: j");
    scene.page("a{x=\"1\",y=\"2\"} 1\nb 1\n");
    scene.ledger.take();
    scene.page("a{y=\"2\", x=\"1\"} 2\n");
    let expected = ["{\"a\", …, x=\"1\", y=\"2\"} 2 @2000", "{\"b\", …} stale @2000"];
    assert_eq!(scene.ledger.take(), expected);
    assert_eq!(scene.page("a{y=\"2\", x=\"1\"} 3\n"), "");
    assert_eq!(scene.ledger.take(), ["{\"a\", …, x=\"1\", y=\"2\"} 3 @3000"]);
}

#[test]
fn explicit_timestamps_are_taken_and_not_ended() {
    let mut scene = Scene::new("job_name: j");
    scene.page("a 1 500\n");
    scene.page("b 1\n");
    assert_eq!(scene.ledger.take(), ["{\"a\", …} 1 @500", "{\"b\", …} 1 @2000"]);

    let mut scene = Scene::new("{job_name: j, track_timestamps_staleness: true}");
    scene.page("a 1 500\n");
    scene.page("b 1\n");
    let expected = ["{\"a\", …} 1 @500", "{\"b\", …} 1 @2000", "{\"a\", …} stale @2000"];
    assert_eq!(scene.ledger.take(), expected);

    let mut scene = Scene::new("{job_name: j, honor_timestamps: false}");
    scene.page("a 1 500\n");
    assert_eq!(scene.ledger.take(), ["{\"a\", …} 1 @1000"]);
}

#[test]
fn a_series_that_takes_to_explicit_timestamps_is_ended() {
    let mut scene = Scene::new("job_name: j");
    scene.page("a 1\n");
    scene.page("a 1 1500\n");
    let expected = ["{\"a\", …} 1 @1000", "{\"a\", …} 1 @1500", "{\"a\", …} stale @2000"];
    assert_eq!(scene.ledger.take(), expected);
}

#[test]
fn a_series_twice_on_a_page_is_stored_once() {
    let mut scene = Scene::new("job_name: j");
    assert_eq!(scene.page("a 1\na 2\n"), "");
    assert_eq!(scene.ledger.take(), ["{\"a\", …} 1 @1000"]);
    let name = "prometheus_target_scrapes_sample_duplicate_timestamp_total";
    assert_eq!(scene.counted(name), 1.0);
    assert_eq!(scene.page("a 1 1500\na 2 1600\n"), "");
    assert_eq!(scene.ledger.take().len(), 3);
}

#[test]
fn refused_samples_are_counted_and_do_not_fail_the_scrape() {
    let mut scene = Scene::new("job_name: j");
    scene.page("a 1 5000\n");
    assert_eq!(scene.page("a 1 4000\nb 1\n"), "");
    assert_eq!(scene.counted("prometheus_target_scrapes_sample_out_of_order_total"), 1.0);
    assert_eq!(scene.page("a 1 700000\n"), "");
    assert_eq!(scene.counted("prometheus_target_scrapes_sample_out_of_bounds_total"), 1.0);
}

#[test]
fn too_many_samples_fail_the_scrape() {
    let mut scene = Scene::new("{job_name: j, sample_limit: 2}");
    assert_eq!(scene.page("a 1\nb 1\n"), "");
    scene.ledger.take();
    assert_eq!(scene.page("a 1\nb 1\nc 1\nd 1\n"), "sample limit exceeded");
    let rows = scene.ledger.rows(|labels| !labels.contains("duration"));
    let expected = [
        "{\"a\", …} stale @2000",
        "{\"b\", …} stale @2000",
        "{\"up\", …} 0 @2000",
        "{\"scrape_samples_scraped\", …} 4 @2000",
        "{\"scrape_samples_post_metric_relabeling\", …} 4 @2000",
        "{\"scrape_series_added\", …} 0 @2000",
    ];
    assert_eq!(rows, expected);
    assert_eq!(scene.counted("prometheus_target_scrapes_exceeded_sample_limit_total"), 1.0);
}

#[test]
fn label_limits_fail_the_scrape() {
    let mut scene = Scene::new("{job_name: j, label_limit: 3}");
    assert_eq!(scene.page("a 1\n"), "");
    let expected = "label_limit exceeded (metric: a, number of labels: 4, limit: 3)";
    assert_eq!(scene.page("a{b=\"c\"} 1\n"), expected);
    assert_eq!(scene.counted("prometheus_target_scrape_pool_exceeded_label_limits_total"), 1.0);
}

#[test]
fn a_log_that_cannot_be_written_fails_the_scrape() {
    let mut scene = Scene::new("job_name: j");
    scene.page("a 1\n");
    scene.ledger.take();
    scene.ledger.state.lock().broken = true;
    assert_eq!(scene.page("b 1\n"), "write to WAL: no space left");
    scene.ledger.state.lock().broken = false;
    scene.page("b 1\n");
    let expected = ["{\"b\", …} 1 @3000", "{\"a\", …} stale @3000"];
    assert_eq!(scene.ledger.take(), expected, "the end of a is made up for");
}

#[test]
fn the_end_of_a_target_ends_reports_too() {
    let mut scene = Scene::new("job_name: j");
    scene.recorder.end(&mut scene.bench, &scene.ledger, 500);
    assert!(scene.ledger.rows(|_| true).is_empty(), "nothing was ever scraped");
    scene.page("a 1\n");
    scene.ledger.take();
    scene.recorder.end(&mut scene.bench, &scene.ledger, 5000);
    let rows = scene.ledger.rows(|_| true);
    assert_eq!(rows.len(), 6, "{rows:?}");
    assert!(rows.iter().all(|row| row.ends_with(" stale @5000")), "{rows:?}");
}

#[test]
fn a_steady_page_creates_nothing_after_the_first_time() {
    let mut scene = Scene::new("job_name: j");
    let page: String = (0..500).map(|i| format!("m{{i=\"{i}\"}} {i}\n")).collect();
    for _ in 0..3 {
        assert_eq!(scene.page(&page), "");
    }
    assert_eq!(scene.ledger.state.lock().created, 505);
    let added = scene.ledger.rows(|labels| labels.contains("series_added"));
    let expected = [500, 0, 0].iter().zip(1..);
    let expected: Vec<String> = expected
        .map(|(count, i)| format!("{{\"scrape_series_added\", …}} {count} @{i}000"))
        .collect();
    assert_eq!(added, expected);
}
