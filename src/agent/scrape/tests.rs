//! Whole jobs against servers on the loopback address.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use parking_lot::{Mutex, RwLock};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::metrics::ScrapeMetrics;
use super::pool::{Pace, Pool};
use super::run::{Job, Workshop};
use super::*;
use crate::agent::client::HttpClient;
use crate::agent::discover::{TargetGroup, Update};
use crate::base::clock::{Stopwatch, SystemClock};
use crate::base::metrics::Registry;
use crate::disk::RealDisk;
use crate::model::{Labels, MatchOp, Matcher, is_stale};
use crate::series::{Column, Queryable, Select, TimeRange};
use crate::testkit::ModelStore;

const TEXT: [(&str, &str); 1] = [("content-type", "text/plain; version=0.0.4")];

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// A job under way.
struct Scene {
    store: Arc<ModelStore>,
    view: Arc<RwLock<PoolView>>,
    updates: mpsc::Sender<Update>,
    closing: watch::Sender<bool>,
    pool: JoinHandle<()>,
}

impl Scene {
    fn start(keys: &str) -> Self {
        let config = test_job(keys);
        let client = HttpClient::new(&config.http, config.enable_compression, RealDisk::shared());
        let store = Arc::new(ModelStore::new());
        let job = Job {
            client: client.unwrap(),
            config: Arc::new(config),
            sink: store.clone(),
            clock: SystemClock::shared(),
            metrics: ScrapeMetrics::new(&Registry::new()),
            workshop: Workshop::new(2),
            seed: 0,
            too_many: RwLock::default(),
        };
        let view = Arc::default();
        let (updates, receiver) = mpsc::channel(8);
        let (closing, is_closing) = watch::channel(false);
        let pace = Pace { first: Duration::from_millis(1), later: Duration::from_millis(1) };
        let pool = Pool::new(Arc::new(job), Arc::clone(&view));
        let pool = tokio::spawn(pool.follow(receiver, is_closing, pace));
        Self { store, view, updates, closing, pool }
    }

    async fn tell(&self, addresses: &[&str]) {
        let addresses: Vec<String> = addresses.iter().map(|&text| text.to_owned()).collect();
        let group = Some(TargetGroup::of(&addresses, Labels::empty()));
        self.updates.send(Update { source: "test".into(), group }).await.unwrap();
    }

    /// The values of a metric, of all its series, in time order within each.
    fn values(&self, metric: &str) -> Vec<f64> {
        let matcher = Matcher::new("__name__", MatchOp::Equal, metric).unwrap();
        let found = self.store.select(&Select::new(vec![matcher], TimeRange::ALL)).unwrap();
        let mut column = Column::new();
        for series in found.series {
            series.read(TimeRange::ALL, &mut column).unwrap();
        }
        column.floats
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let watch = Stopwatch::start();
        while !is_so(self) {
            assert!(watch.seconds() < 20.0, "waited in vain: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn error(&self) -> String {
        let view = self.view.read();
        view.active.first().map(|target| target.last().error).unwrap_or_default()
    }

    async fn stop(self) {
        self.closing.send_replace(true);
        self.pool.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_is_asked_as_prometheus_asks() {
    let seen: Arc<Mutex<Option<HeaderMap>>> = Arc::default();
    let keep = seen.clone();
    let page = get(async move |headers: HeaderMap| {
        *keep.lock() = Some(headers);
        (TEXT, "a{b=\"c\"} 1\n")
    });
    let address = serve(Router::new().route("/metrics", page)).await;
    let scene = Scene::start(
        "job_name: j
scrape_interval: 100ms
basic_auth: {username: u, password: p}
http_headers: {X-Extra: {values: [one, two]}}",
    );
    scene.tell(&[&address]).await;
    scene.until("samples", |scene| scene.values("a").len() >= 3).await;
    let headers = seen.lock().take().unwrap();
    assert_eq!(headers["accept"].to_str().unwrap().split(',').count(), 3);
    assert!(headers["accept"].to_str().unwrap().contains("text/plain;version=0.0.4;q=0.5"));
    assert_eq!(headers["accept-encoding"], "gzip");
    assert_eq!(headers["authorization"], "Basic dTpw");
    assert_eq!(headers["x-prometheus-scrape-timeout-seconds"], "0.1");
    assert!(headers["user-agent"].to_str().unwrap().starts_with("promlite/"));
    let extra: Vec<_> = headers.get_all("x-extra").iter().collect();
    assert_eq!(extra, ["one", "two"]);
    assert!(scene.values("up").iter().all(|up| *up == 1.0));
    let target = scene.view.read().active[0].clone();
    assert_eq!((target.last().health, target.last().error.as_str()), (Health::Up, ""));
    assert_eq!(target.labels.get("instance"), Some(address.as_str()));
    let store = scene.store.clone();
    scene.stop().await;
    let matcher = Matcher::new("__name__", MatchOp::Equal, "a").unwrap();
    let found = store.select(&Select::new(vec![matcher], TimeRange::ALL)).unwrap();
    let mut column = Column::new();
    found.series[0].read(TimeRange::ALL, &mut column).unwrap();
    assert!(column.floats.iter().all(|value| !is_stale(*value)), "closing ends no series");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_gone_is_ended_after_two_intervals() {
    let address = serve(Router::new().route("/metrics", get(async || (TEXT, "a 1\n")))).await;
    let scene = Scene::start("{job_name: j, scrape_interval: 100ms}");
    scene.tell(&[&address]).await;
    scene.until("samples", |scene| scene.values("a").len() >= 2).await;
    scene.tell(&[]).await;
    let watch = Stopwatch::start();
    let ended = |scene: &Scene| scene.values("a").last().copied().is_some_and(is_stale);
    scene.until("the marker", ended).await;
    assert!(watch.seconds() > 0.1, "another loop had no time to take over");
    assert!(scene.values("up").last().copied().is_some_and(is_stale));
    assert!(scene.view.read().active.is_empty());
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_target_holds_up_nobody() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let slow = get(async move || {
        counter.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    let slow = serve(Router::new().route("/metrics", slow)).await;
    let quick = serve(Router::new().route("/metrics", get(async || (TEXT, "a 1\n")))).await;
    let scene = Scene::start("{job_name: j, scrape_interval: 200ms, scrape_timeout: 200ms}");
    scene.tell(&[&slow, &quick]).await;
    scene.until("samples", |scene| scene.values("a").len() >= 4).await;
    let timed_out = |scene: &Scene| {
        let active = scene.view.read().active.clone();
        let mut errors = active.iter().map(|target| target.last().error);
        errors.any(|error| error.ends_with("/metrics\": context deadline exceeded"))
    };
    scene.until("the timeout", timed_out).await;
    assert!(asked.load(Ordering::SeqCst) >= 1);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_answers_fail_the_scrape_and_nothing_else() {
    let html = [("content-type", "text/html")];
    let router = Router::new()
        .route("/html", get(async move || (html, "a 1\n")))
        .route("/missing", get(async || (StatusCode::NOT_FOUND, "no")))
        .route("/large", get(async || (TEXT, "a 1\n".repeat(100_000))))
        .route("/garbage", get(async || (TEXT, "a{b=\"c\" 1\n")));
    let address = serve(router).await;
    for (path, expected) in [
        ("/html", "received unsupported Content-Type \"text/html\""),
        ("/missing", "server returned HTTP status 404 Not Found"),
        ("/large", "body size limit exceeded"),
        ("/garbage", "while parsing: \"a{b=\\\"c\\\""),
    ] {
        let scene = Scene::start(&format!(
            "{{job_name: j, scrape_interval: 100ms, body_size_limit: 1KB, metrics_path: {path}}}"
        ));
        scene.tell(&[&address]).await;
        scene.until("a failure", |scene| !scene.error().is_empty()).await;
        let error = scene.error();
        assert!(error.contains(expected), "{path}: {error}");
        assert!(scene.values("a").is_empty(), "{path}");
        scene.until("two reports", |scene| scene.values("up").len() >= 2).await;
        assert!(scene.values("up").iter().all(|up| *up == 0.0), "{path}");
        scene.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_connection_is_told_as_such() {
    let scene = Scene::start("{job_name: j, scrape_interval: 100ms}");
    // Port 1 is nobody's.
    scene.tell(&["127.0.0.1:1"]).await;
    scene.until("a failure", |scene| !scene.error().is_empty()).await;
    let error = scene.error();
    assert!(error.starts_with("Get \"http://127.0.0.1:1/metrics\": "), "{error}");
    assert!(error.to_lowercase().contains("connection refused"), "{error}");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_targets_fail_all_scrapes() {
    let address = serve(Router::new().route("/metrics", get(async || (TEXT, "a 1\n")))).await;
    let scene = Scene::start("{job_name: j, scrape_interval: 100ms, target_limit: 1}");
    scene.tell(&[&address, "127.0.0.1:1"]).await;
    let expected = "target_limit exceeded (number of targets: 2, limit: 1)";
    scene.until("the limit", |scene| scene.error() == expected).await;
    assert!(scene.values("a").is_empty());
    scene.tell(&[&address]).await;
    scene.until("samples", |scene| !scene.values("a").is_empty()).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_that_rules_drop_are_shown() {
    let scene = Scene::start(
        "job_name: j
keep_dropped_targets: 1
relabel_configs: [{source_labels: [__address__], regex: 'no.*', action: drop}]",
    );
    scene.tell(&["no1", "no2", "127.0.0.1:1"]).await;
    scene.until("targets", |scene| scene.view.read().dropped_count == 2).await;
    let view = scene.view.read().clone();
    assert_eq!((view.active.len(), view.dropped.len()), (1, 1));
    assert_eq!(view.dropped[0].get("__address__"), Some("no1"));
    scene.stop().await;
}
