use super::*;
use crate::base::clock::{ManualClock, Stopwatch, SystemClock};
use crate::base::metrics::Value;
use crate::disk::{MemoryDisk, SharedDisk};
use crate::model::relabel::Relabel;
use crate::model::{Column, Exemplar, Labels, Sample, Value as SampleValue};
use crate::series::SeriesRef;
use crate::storage::wal::{
    RowEncoder, Wal, WalMetrics, WalOptions, checkpoint, encode_samples, encode_series,
};
use crate::testkit::golden;
use crate::wire::remote_write::{MAX_DECODED_BYTES, snappy, v1};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;

/// What a receiver does with the next requests.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Accept,
    /// As Prometheus: takes nothing of a request with a sample older than its series' newest.
    Strict,
    /// Answers with this status and takes nothing.
    Answer(u16, Option<&'static str>),
    /// Takes the samples, but the answer never arrives.
    TakeInSilence,
    /// Takes nothing and never answers.
    Silence,
}

#[derive(Default)]
struct Inbox {
    /// Per label set the samples in the order of arrival.
    series: BTreeMap<String, Vec<(i64, f64)>>,
    /// The same with histograms, and the exemplars.
    columns: BTreeMap<Labels, Column>,
    exemplars: BTreeMap<Labels, Vec<Exemplar>>,
    headers: Vec<HeaderMap>,
    sizes: Vec<usize>,
}

struct Hub {
    inbox: Mutex<Inbox>,
    mood: Mutex<Mood>,
    requests: AtomicUsize,
    addr: Mutex<SocketAddr>,
    runtime: Mutex<Option<tokio::runtime::Runtime>>,
}

impl Hub {
    fn start() -> Arc<Self> {
        let hub = Arc::new(Self {
            inbox: Mutex::default(),
            mood: Mutex::new(Mood::Accept),
            requests: AtomicUsize::new(0),
            addr: Mutex::new("127.0.0.1:0".parse().unwrap()),
            runtime: Mutex::new(None),
        });
        hub.revive();
        hub
    }

    fn revive(self: &Arc<Self>) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let listener = std::net::TcpListener::bind(*self.addr.lock()).unwrap();
        listener.set_nonblocking(true).unwrap();
        *self.addr.lock() = listener.local_addr().unwrap();
        let app = axum::Router::new()
            .route("/api/v1/write", axum::routing::post(receive))
            .with_state(Arc::clone(self));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
        *self.runtime.lock() = Some(runtime);
    }

    /// Ends at once, with all connections.
    fn die(&self) {
        self.runtime.lock().take().unwrap().shutdown_background();
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock() = mood;
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn count(&self) -> usize {
        self.inbox.lock().series.values().map(Vec::len).sum()
    }

    /// Values of the series `number`, each once, in the order in which each came first.
    fn values(&self, number: u64) -> Vec<f64> {
        let mut seen = Vec::new();
        for (_, value) in self.inbox.lock().series.get(&name(number)).into_iter().flatten() {
            if !seen.contains(value) {
                seen.push(*value);
            }
        }
        seen
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_background();
        }
    }
}

async fn receive(
    State(hub): State<Arc<Hub>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, &'static str) {
    let mood = *hub.mood.lock();
    hub.inbox.lock().headers.push(headers);
    hub.requests.fetch_add(1, Ordering::SeqCst);
    let mut is_late = false;
    if matches!(mood, Mood::Accept | Mood::Strict | Mood::TakeInSilence) {
        let mut message = Vec::new();
        snappy::decode(&body, MAX_DECODED_BYTES, &mut message).unwrap();
        let mut inbox = hub.inbox.lock();
        if matches!(mood, Mood::Strict) {
            let decoded = v1::Decoder::new().decode(&message, |series| {
                let known = inbox.series.get(&series.labels.unwrap().to_string());
                let newest = known.and_then(|samples| samples.last()).map(|sample| sample.0);
                is_late |= series.samples.iter().any(|s| Some(s.timestamp_ms) < newest);
            });
            decoded.unwrap();
        }
        if is_late {
            return (StatusCode::BAD_REQUEST, HeaderMap::new(), "out of order sample\n");
        }
        let contents = v1::Decoder::new().decode(&message, |series| {
            let samples = series.samples.iter().map(|s| (s.timestamp_ms, s.value));
            let labels = series.labels.as_ref().unwrap().to_labels();
            inbox.series.entry(labels.to_string()).or_default().extend(samples);
            let column = inbox.columns.entry(labels.clone()).or_default();
            series.samples.iter().for_each(|s| column.push(s.timestamp_ms, s.value));
            column.extend_from(series.histograms, 0..series.histograms.len());
            if !series.exemplars.is_empty() {
                inbox.exemplars.entry(labels).or_default().extend_from_slice(series.exemplars);
            }
        });
        inbox.sizes.push(contents.unwrap().samples);
    }
    let mut answer = HeaderMap::new();
    match mood {
        Mood::Accept | Mood::Strict => (StatusCode::NO_CONTENT, answer, ""),
        Mood::Answer(status, retry_after) => {
            if let Some(seconds) = retry_after {
                answer.insert("Retry-After", seconds.parse().unwrap());
            }
            (StatusCode::from_u16(status).unwrap(), answer, "not today\nsecond line")
        }
        Mood::TakeInSilence | Mood::Silence => std::future::pending().await,
    }
}

fn name(number: u64) -> String {
    format!(r#"{{__name__="m", n="{number}"}}"#)
}

/// An agent's log, and a sender on it.
struct Spoke {
    disk: SharedDisk,
    registry: Registry,
    wal: Wal,
    known: u64,
    clock: crate::base::clock::SharedClock,
}

impl Spoke {
    fn new() -> Self {
        Self::on(MemoryDisk::shared())
    }

    fn on(disk: SharedDisk) -> Self {
        let registry = Registry::new();
        let metrics = WalMetrics::new(&registry);
        let wal = Wal::open(disk.clone(), "/wal".as_ref(), WalOptions::default(), &metrics);
        Self { disk, registry, wal: wal.unwrap(), known: 0, clock: SystemClock::shared() }
    }

    /// The same disk after the end of the process.
    fn restart(self) -> Self {
        let known = self.known;
        Self { known, ..Self::on(self.disk) }
    }

    /// Logs one sample of each of the series 1 to `count`; gives the place behind them.
    fn scrape(&mut self, count: u64, value: f64) -> Position {
        let labels = |number: u64| {
            Labels::from_pairs([("__name__", "m"), ("n", &number.to_string())]).unwrap()
        };
        let new: Vec<_> = (self.known + 1..=count).map(|n| (SeriesRef(n), labels(n))).collect();
        let mut series = Vec::new();
        encode_series(&mut series, new.iter().map(|(series, l)| (*series, l.as_ref())));
        let mut samples = Vec::new();
        let sample = Sample { timestamp_ms: 1_000 + value as i64, value };
        encode_samples(&mut samples, (1..=count).map(|n| (SeriesRef(n), sample)));
        self.known = self.known.max(count);
        self.wal.log(&[&series, &samples]).unwrap()
    }

    fn source(&self) -> Source {
        Source {
            disk: self.disk.clone(),
            clock: self.clock.clone(),
            wal_dir: "/wal".into(),
            progress: Some(self.wal.progress()),
            data_dir: "/data".into(),
            external_labels: Labels::empty(),
        }
    }

    fn start(&self, options: RemoteWriteOptions) -> Forward {
        Forward::start(options, self.source(), &self.registry).unwrap()
    }

    fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name.ends_with(name)).unwrap();
        let value = |member: &(_, Value)| match &member.1 {
            Value::Number(number) => *number,
            Value::Histogram { count, .. } => *count as f64,
        };
        family.members.iter().map(value).sum()
    }
}

fn options(hub: &Hub) -> RemoteWriteOptions {
    RemoteWriteOptions {
        name: "hub".into(),
        url: format!("http://{}/api/v1/write", hub.addr.lock()),
        timeout_ms: 500,
        queue: QueueOptions {
            batch_send_deadline_ms: 20,
            min_backoff_ms: 5,
            max_backoff_ms: 50,
            ..QueueOptions::default()
        },
        ..RemoteWriteOptions::default()
    }
}

async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let watch = Stopwatch::start();
    while !condition() {
        assert!(watch.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const FLUSH: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_logged_arrives_with_external_labels_and_rules_applied() {
    let (hub, mut spoke) = (Hub::start(), Spoke::new());
    spoke.scrape(3, 1.0);
    let drop_two = r#"{"source_labels":["n"],"regex":"2","action":"drop"}"#;
    let forward = Forward::start(
        RemoteWriteOptions {
            headers: vec![("X-Scope-Cluster".into(), "eu".into())],
            auth: Auth::Bearer("token".into()),
            write_relabel: vec![serde_json::from_str::<Relabel>(drop_two).unwrap()],
            ..options(&hub)
        },
        Source {
            external_labels: Labels::from_pairs([("cluster", "eu"), ("n", "x")]).unwrap(),
            ..spoke.source()
        },
        &spoke.registry,
    );
    let forward = forward.unwrap();
    spoke.scrape(3, 2.0);
    eventually("four samples", || hub.count() == 4).await;
    let series = |n| format!(r#"{{__name__="m", cluster="eu", n="{n}"}}"#);
    let samples = vec![(1_001, 1.0), (1_002, 2.0)];
    let want = BTreeMap::from([(series(1), samples.clone()), (series(3), samples)]);
    assert_eq!(hub.inbox.lock().series, want);
    let headers = hub.inbox.lock().headers[0].clone();
    let wanted = [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", "0.1.0"),
        ("x-scope-cluster", "eu"),
        ("authorization", "Bearer token"),
        ("user-agent", concat!("promlite/", env!("CARGO_PKG_VERSION"))),
    ];
    for (name, value) in wanted {
        assert_eq!(headers[name], value);
    }
    assert!(!headers.contains_key("retry-attempt"));
    eventually("acknowledged", || forward.oldest_unsent() == spoke.wal.current()).await;
    assert_eq!(spoke.metric("storage_samples_total"), 4.0);
    assert_eq!(spoke.metric("samples_dropped_total"), 2.0);
    assert_eq!(spoke.metric("samples_pending"), 0.0);
    assert_eq!(spoke.metric("queue_highest_sent_timestamp_seconds"), 1.002);
    forward.stop(FLUSH).await;
    assert!(!spoke.registry.gather().iter().any(|family| {
        family.name.starts_with("prometheus_remote") && !family.members.is_empty()
    }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_server_is_asked_again_until_it_takes_all() {
    let (hub, mut spoke) = (Hub::start(), Spoke::new());
    hub.set(Mood::Answer(500, None));
    let forward = spoke.start(options(&hub));
    let first = spoke.scrape(10, 1.0);
    for value in 2..=5 {
        spoke.scrape(10, f64::from(value));
    }
    eventually("retries", || hub.requests() >= 4).await;
    assert_eq!(hub.inbox.lock().headers[2]["retry-attempt"], "2");
    assert!(forward.oldest_unsent() < first);
    hub.set(Mood::Accept);
    eventually("all samples", || hub.count() == 50).await;
    for number in 1..=10 {
        assert_eq!(hub.values(number), [1.0, 2.0, 3.0, 4.0, 5.0]);
    }
    assert!(spoke.metric("samples_retried_total") >= 30.0);
    assert_eq!(spoke.metric("samples_failed_total"), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_refuses_for_good_is_dropped_and_counted() {
    for status in [400, 404, 413, 429] {
        let (hub, mut spoke) = (Hub::start(), Spoke::new());
        hub.set(Mood::Answer(status, None));
        let forward = spoke.start(options(&hub));
        spoke.scrape(7, 1.0);
        eventually("done", || forward.oldest_unsent() == spoke.wal.current()).await;
        assert_eq!((hub.requests(), spoke.metric("samples_failed_total")), (1, 7.0));
        hub.set(Mood::Accept);
        spoke.scrape(7, 2.0);
        eventually("the next", || hub.count() == 7).await;
        assert_eq!(hub.values(1), [2.0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limited_sender_waits_as_long_as_it_is_asked_to() {
    let (hub, mut spoke) = (Hub::start(), Spoke::new());
    hub.set(Mood::Answer(429, Some("1")));
    let mut options = options(&hub);
    options.queue.retry_on_http_429 = true;
    let _forward = spoke.start(options);
    spoke.scrape(1, 1.0);
    eventually("first", || hub.requests() == 1).await;
    hub.set(Mood::Accept);
    let watch = Stopwatch::start();
    eventually("second", || hub.count() == 1).await;
    assert!(watch.elapsed() > Duration::from_millis(400));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_killed_while_the_hub_is_down_loses_nothing() {
    let (hub, mut spoke) = (Hub::start(), Spoke::new());
    let forward = spoke.start(options(&hub));
    spoke.scrape(5, 1.0);
    eventually("the first scrape", || hub.count() == 5).await;
    let position = || spoke_file(&spoke.disk);
    eventually("position on disk", || position().is_some_and(|p| p.contains("offset"))).await;
    hub.die();
    for value in 2..=20 {
        spoke.scrape(5, f64::from(value));
    }
    eventually("pending", || spoke.metric("samples_pending") > 0.0).await;
    // The process ends without a word, twice; the second life never reaches the hub at all.
    drop(forward);
    let mut spoke = spoke.restart();
    let forward = spoke.start(options(&hub));
    spoke.scrape(5, 21.0);
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(forward);
    let mut spoke = spoke.restart();
    hub.revive();
    let forward = spoke.start(options(&hub));
    spoke.scrape(6, 22.0);
    eventually("all", || forward.oldest_unsent() == spoke.wal.current()).await;
    let want: Vec<f64> = (1..=22).map(f64::from).collect();
    for number in 1..=5 {
        assert_eq!(hub.values(number), want, "series {number}");
    }
    assert_eq!(hub.values(6), [22.0]);
    assert_eq!(spoke.metric("samples_dropped_total"), 0.0);
}

fn spoke_file(disk: &SharedDisk) -> Option<String> {
    let bytes = disk.read("/data/remote_write/hub.json".as_ref()).ok()?;
    Some(String::from_utf8(bytes).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_lost_means_twice_and_not_never() {
    let (hub, mut spoke) = (Hub::start(), Spoke::new());
    hub.set(Mood::TakeInSilence);
    let forward = spoke.start(RemoteWriteOptions { timeout_ms: 50, ..options(&hub) });
    let first = spoke.scrape(3, 1.0);
    eventually("repeated", || hub.count() >= 6).await;
    assert!(forward.oldest_unsent() < first);
    hub.set(Mood::Accept);
    eventually("done", || forward.oldest_unsent() == spoke.wal.current()).await;
}

/// The agent dies before it has written down what the hub took last. After the restart that goes
/// out again together with what is new, and a hub that refuses requests with late samples must get
/// the new ones all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_samples_arrive_though_old_ones_in_their_request_are_refused() {
    let (hub, mut spoke) = (Hub::start(), Spoke::new());
    hub.set(Mood::Strict);
    let forward = spoke.start(options(&hub));
    for value in 1..=5 {
        spoke.scrape(3, f64::from(value));
    }
    eventually("the first samples", || hub.count() == 15).await;
    drop(forward);
    let position = std::path::Path::new("/data/remote_write/hub.json");
    if spoke.disk.exists(position) {
        spoke.disk.remove_file(position).unwrap();
    }
    for value in 6..=9 {
        spoke.scrape(3, f64::from(value));
    }
    let spoke = spoke.restart();
    let _forward = spoke.start(options(&hub));
    eventually("all new samples", || (1..=3).all(|number| hub.values(number).len() == 9)).await;
    for number in 1..=3 {
        assert_eq!(hub.values(number), (1..=9).map(f64::from).collect::<Vec<_>>());
    }
    assert_eq!(spoke.metric("samples_failed_total"), 0.0);
    assert!(spoke.metric("samples_dropped_total") > 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_was_stopped_goes_on_where_it_was() {
    let (hub, mut spoke) = (Hub::start(), Spoke::new());
    let mut slow = options(&hub);
    slow.queue.batch_send_deadline_ms = 60_000;
    let forward = spoke.start(slow);
    spoke.scrape(5, 1.0);
    eventually("queued", || spoke.metric("samples_pending") == 5.0).await;
    assert_eq!(hub.count(), 0);
    forward.stop(FLUSH).await;
    assert_eq!(hub.count(), 5);
    let mut spoke = spoke.restart();
    let forward = spoke.start(options(&hub));
    spoke.scrape(5, 2.0);
    eventually("done", || forward.oldest_unsent() == spoke.wal.current()).await;
    assert_eq!(hub.count(), 10);
    forward.stop(FLUSH).await;
    // A log that was removed is another log: the place in the old one means nothing.
    let mut other = Spoke::new();
    let position = spoke.disk.read("/data/remote_write/hub.json".as_ref()).unwrap();
    other.disk.create_dir_all("/data/remote_write".as_ref()).unwrap();
    let path = "/data/remote_write/hub.json".as_ref();
    other.disk.create(path).unwrap().write_all(&position).unwrap();
    other.scrape(1, 9.0);
    let _forward = other.start(options(&hub));
    eventually("the other log", || hub.values(1).contains(&9.0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_server_does_not_grow_memory() {
    let (hub, mut spoke) = (Hub::start(), Spoke::new());
    hub.set(Mood::Silence);
    let mut options = options(&hub);
    options.queue.capacity = 100;
    options.queue.max_samples_per_send = 40;
    options.queue.min_shards = 3;
    let forward = spoke.start(options);
    let first = spoke.scrape(50, 0.0);
    for value in 1..200 {
        spoke.scrape(50, f64::from(value));
    }
    eventually("full", || spoke.metric("enqueue_retries_total") > 2.0).await;
    // Three full queues, three requests, and the record that is being dealt out.
    assert!(spoke.metric("samples_pending") <= 3.0 * (100.0 + 40.0) + 50.0);
    assert!(forward.oldest_unsent() < first);
    hub.set(Mood::Accept);
    eventually("all", || forward.oldest_unsent() == spoke.wal.current()).await;
    let want: Vec<f64> = (0..200).map(f64::from).collect();
    for number in 1..=50 {
        assert_eq!(hub.values(number), want);
    }
    assert!(hub.inbox.lock().sizes.iter().all(|size| *size <= 40));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_stay_in_order_while_shards_come_and_go() {
    let (hub, mut spoke) = (Hub::start(), Spoke::new());
    let forward = spoke.start(options(&hub));
    let counts = [5, 2, 7, 1, 3];
    for value in 0..100 {
        spoke.scrape(20, f64::from(value));
        if value % 20 == 10 {
            let count = counts[value as usize / 20];
            forward.shared.shards.wanted.store(count, Ordering::Relaxed);
            eventually("resized", || forward.shared.shards.active() == count).await;
            assert_eq!(spoke.metric("storage_shards"), count as f64);
        }
    }
    eventually("all", || forward.oldest_unsent() == spoke.wal.current()).await;
    let inbox = hub.inbox.lock();
    for number in 1..=20 {
        let got: Vec<f64> = inbox.series[&name(number)].iter().map(|sample| sample.1).collect();
        assert_eq!(got, (0..100).map(f64::from).collect::<Vec<_>>(), "series {number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_above_the_age_limit_are_dropped_before_and_between_attempts() {
    let (hub, mut spoke) = (Hub::start(), Spoke::new());
    let clock = Arc::new(ManualClock::at(1_100));
    spoke.clock = clock.clone();
    hub.set(Mood::Answer(503, None));
    let mut options = options(&hub);
    options.queue.sample_age_limit_ms = 100;
    let forward = spoke.start(options);
    // Samples lie at 1000 ms and their value: the first is too old when it is read.
    for value in [-1.0, 0.0, 50.0] {
        spoke.scrape(1, value);
    }
    eventually("tried", || hub.requests() > 0).await;
    assert_eq!(spoke.metric("samples_dropped_total"), 1.0);
    clock.set(1_101);
    eventually("dropped", || spoke.metric("samples_dropped_total") == 2.0).await;
    hub.set(Mood::Accept);
    eventually("done", || forward.oldest_unsent() == spoke.wal.current()).await;
    assert_eq!(hub.values(1), [50.0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsent_samples_are_found_in_a_checkpoint_too() {
    let (hub, mut spoke) = (Hub::start(), Spoke::new());
    spoke.scrape(3, 1.0);
    spoke.wal.cut().unwrap();
    spoke.scrape(3, 2.0);
    spoke.wal.cut().unwrap();
    spoke.scrape(3, 3.0);
    fold(&mut spoke, 1, &|_| true);
    let forward = spoke.start(options(&hub));
    eventually("all", || forward.oldest_unsent() == spoke.wal.current()).await;
    assert_eq!(hub.values(2), [1.0, 2.0, 3.0]);
}

/// Replaces the segments up to `last` by a checkpoint of the series that `keep` names.
fn fold(spoke: &mut Spoke, last: u32, keep: &dyn Fn(SeriesRef) -> bool) {
    checkpoint(&spoke.disk, "/wal".as_ref(), last, spoke.wal.options(), keep, 0).unwrap();
    spoke.wal.remove_before(last + 1).unwrap();
}

#[tokio::test]
async fn series_that_a_checkpoint_leaves_out_are_forgotten() {
    let (hub, mut spoke) = (Hub::start(), Spoke::new());
    spoke.scrape(3, 1.0);
    spoke.wal.cut().unwrap();
    spoke.scrape(5, 2.0);
    let (shared, start) = Shared::new(options(&hub), spoke.source(), &spoke.registry).unwrap();
    let mut reader = Reader::new(shared, start, Handle::current());
    reader.read_all();
    assert_eq!(reader.series_count(), 5);
    fold(&mut spoke, 0, &|series| series.0 == 2);
    reader.try_forget_series().unwrap();
    // Series 2 stands in the checkpoint, 4 and 5 in the segment behind it.
    assert_eq!(reader.series_count(), 3);
}

#[tokio::test]
async fn answers_and_their_absence_are_told_apart() {
    let (hub, mut spoke) = (Hub::start(), Spoke::new());
    spoke.scrape(1, 1.0);
    let (shared, _) = Shared::new(options(&hub), spoke.source(), &spoke.registry).unwrap();
    hub.set(Mood::Answer(500, Some("7")));
    let answer = shared.client.post(Bytes::new(), 3, &spoke.clock).await;
    let why = "server returned HTTP status 500 Internal Server Error: not today".to_owned();
    let wait = Some(Duration::from_secs(7));
    assert_eq!(answer, client::Answer::Again(why, wait));
    hub.die();
    let answer = shared.client.post(Bytes::new(), 0, &spoke.clock).await;
    assert!(matches!(answer, client::Answer::Again(_, None)), "{answer:?}");
}

/// Histograms that a sender on the log of Prometheus's agent drops, once all else has arrived.
async fn forwarded(options: RemoteWriteOptions) -> [u64; 2] {
    let registry = Registry::new();
    let disk = MemoryDisk::shared();
    golden::copy_to(&*disk, &golden::data(golden::AGENT), "/data".as_ref());
    let source = Source {
        disk,
        clock: SystemClock::shared(),
        wal_dir: "/data/wal".into(),
        progress: None,
        data_dir: "/data".into(),
        external_labels: Labels::empty(),
    };
    let forward = Forward::start(options, source, &registry).unwrap();
    let read = || forward.shared.caught_up.load(Ordering::Relaxed);
    eventually("the log is read", read).await;
    let metrics = &forward.shared.metrics;
    let dropped = [metrics.custom_bounds.get(), metrics.not_enabled.get()];
    forward.stop(FLUSH).await;
    dropped
}

/// Prometheus's agent wrote the log; `expected` is what was appended to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_an_agent_of_prometheus_logged_arrives() {
    let hub = Hub::start();
    let dropped = forwarded(RemoteWriteOptions {
        send_native_histograms: true,
        send_exemplars: true,
        ..options(&hub)
    })
    .await;
    let mut inbox = hub.inbox.lock();
    let (mut histograms, mut custom, mut floats) = (0, 0, 0);
    for golden::ExpectedSeries { labels, column: want } in golden::expected(golden::AGENT) {
        let got = inbox.columns.remove(&labels).unwrap_or_default();
        let mut got = got.samples();
        for (time, _, value) in want.samples() {
            let is_custom =
                |value| matches!(value, SampleValue::Histogram(one) if one.layout.is_custom());
            // The protocol cannot carry them; a staleness marker has no bounds.
            if is_custom(value) {
                custom += 1;
                continue;
            }
            let Some((got_time, _, got_value)) = got.next() else {
                panic!("{labels} ends before {time}");
            };
            let is_same = match (got_value, value) {
                (SampleValue::Float(got), SampleValue::Float(want)) => {
                    floats += 1;
                    got.to_bits() == want.to_bits()
                }
                (SampleValue::Histogram(got), SampleValue::Histogram(want)) => {
                    histograms += 1;
                    (got.is_stale() && want.is_stale()) || golden::same_meaning(got, want)
                }
                _ => false,
            };
            assert!(is_same && got_time == time, "{labels} at {time}: {got_value:?} {value:?}");
        }
        assert!(got.next().is_none(), "{labels}");
    }
    assert!(inbox.columns.is_empty(), "{:?}", inbox.columns.keys());
    assert_eq!(dropped, [custom, 0]);
    assert!(floats > 1000 && histograms > 500 && custom > 100, "{floats} {histograms} {custom}");
    let expected = golden::exemplars(golden::AGENT);
    assert!(!expected.is_empty());
    for series in expected {
        assert_eq!(inbox.exemplars.remove(&series.labels), Some(series.exemplars));
    }
    assert!(inbox.exemplars.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histograms_and_exemplars_are_sent_only_if_that_is_wanted() {
    let hub = Hub::start();
    let dropped = forwarded(options(&hub)).await;
    assert!(dropped[0] == 0 && dropped[1] > 500, "{dropped:?}");
    let inbox = hub.inbox.lock();
    assert!(!inbox.columns.is_empty() && inbox.exemplars.is_empty());
    assert!(inbox.columns.values().all(|column| column.histograms.is_empty()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_series_that_turns_to_histograms_arrives_in_its_order() {
    let (hub, mut spoke) = (Hub::start(), Spoke::new());
    spoke.scrape(1, 1.0);
    let histogram = crate::model::histogram::Histogram::stale(false);
    let mut rows = RowEncoder::new(false);
    for time in 1_002..1_005 {
        rows.push_histogram(SeriesRef(1), time, 0, histogram.as_ref());
    }
    let mut records = Vec::new();
    rows.finish(|record| records.push(record.to_vec()));
    spoke.wal.log(&[&records[0]]).unwrap();
    spoke.scrape(1, 5.0);
    let options = RemoteWriteOptions { send_native_histograms: true, ..options(&hub) };
    let forward = spoke.start(options);
    eventually("five samples", || {
        let inbox = hub.inbox.lock();
        inbox.columns.values().map(Column::len).sum::<usize>() == 5
    })
    .await;
    let times = hub.inbox.lock().columns.values().next().unwrap().timestamps.clone();
    assert_eq!(times, [1_001, 1_002, 1_003, 1_004, 1_005]);
    eventually("counted", || spoke.metric("storage_histograms_total") == 3.0).await;
    forward.stop(FLUSH).await;
}
