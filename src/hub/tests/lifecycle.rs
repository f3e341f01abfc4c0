//! From start to stop: readiness, the page, its own metrics, and what happens to requests that
//! are under way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::disk::{MemoryDisk, SharedDisk};
use crate::hub::{Hub, HubConfig, HubOptions};
use crate::series::{AppendError, Batch, OnReject, Outcome, QueryError, Select, SeriesSet};

#[test]
fn before_the_store_is_open_only_what_needs_none_is_answered() {
    let hub = TestHub::not_ready(ReceiveOptions::default());
    for target in ["/-/ready", "/api/v1/query?query=1", "/api/v1/labels"] {
        let answer = hub.get(target);
        assert_eq!((answer.status, answer.text()), (503, "Service Unavailable"), "{target}");
        assert_eq!(answer.header("x-prometheus-stopping"), "false");
    }
    assert_eq!(hub.ask("POST", "/api/v1/write", &[], b"").status, 503);
    assert_eq!(hub.ask("OPTIONS", "/api/v1/query", &[], b"").status, 503);
    for target in ["/-/healthy", "/metrics", "/", "/version"] {
        assert_eq!(hub.get(target).status, 200, "{target}");
    }
    assert_eq!(hub.counted("prometheus_ready", ""), 0.0);
    let store = Arc::new(ModelStore::new());
    hub.service.open(Store::only(store.clone(), store, HeadStatus::default));
    assert_eq!(hub.get("/-/ready").status, 200);
    assert_eq!(hub.counted("prometheus_ready", ""), 1.0);
    hub.service.stop();
    let answer = hub.get("/-/ready");
    assert_eq!((answer.status, answer.header("x-prometheus-stopping")), (503, "true"));
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let hub = TestHub::over(Arc::new(ModelStore::new()));
    let page = hub.get("/graph?g0.expr=up");
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let text = page.text();
    assert!(text.starts_with("<!DOCTYPE html>") && text.trim_end().ends_with("</html>"));
    for foreign in ["https://", "src=", "@import", "url(", "innerHTML"] {
        assert!(!text.contains(foreign), "{foreign}");
    }
    assert!(page.header("content-security-policy").contains("default-src 'self'"));
}

#[test]
fn other_origins_may_read_the_api() {
    let hub = TestHub::over(Arc::new(ModelStore::new()));
    let origin = [("Origin", "http://elsewhere")];
    for (method, target) in [("GET", "/api/v1/labels"), ("OPTIONS", "/api/v1/query")] {
        let answer = hub.ask(method, target, &origin, b"");
        assert_eq!(answer.header("access-control-allow-origin"), "http://elsewhere");
        assert_eq!(answer.header("access-control-allow-methods"), "GET, POST, OPTIONS");
        assert_eq!(answer.header("vary"), "Origin");
    }
    assert_eq!(hub.get("/api/v1/labels").header("access-control-allow-origin"), "");
}

#[test]
fn head_is_taken_where_probes_use_it() {
    let hub = TestHub::over(Arc::new(ModelStore::new()));
    for target in ["/-/healthy", "/-/ready"] {
        assert_eq!(hub.ask("HEAD", target, &[], b"").status, 200);
    }
    let refused = hub.ask("HEAD", "/api/v1/query", &[], b"");
    assert_eq!((refused.status, refused.header("allow")), (405, "GET, OPTIONS, POST"));
}

#[test]
fn metrics_tell_of_requests_and_of_the_build() {
    let hub = TestHub::over(Arc::new(ModelStore::new()));
    hub.get("/api/v1/labels");
    hub.get("/api/v1/labels?limit=x");
    hub.get("/nowhere");
    let page = hub.get("/metrics");
    assert_eq!(page.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let has = |line: &str| assert!(page.text().lines().any(|one| one == line), "{line}");
    has(r#"prometheus_http_requests_total{code="200",handler="/api/v1/labels"} 1"#);
    has(r#"prometheus_http_requests_total{code="400",handler="/api/v1/labels"} 1"#);
    has(r#"prometheus_http_request_duration_seconds_count{handler="/api/v1/labels"} 2"#);
    has("prometheus_ready 1");
}

/// Answers no question until it is let go, and counts those that wait.
#[derive(Default)]
struct Stuck {
    waiting: AtomicUsize,
    released: AtomicUsize,
}

impl Stuck {
    fn wait(&self) -> QueryError {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        while self.released.load(Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        QueryError::Corrupt("released".into())
    }

    fn await_waiting(&self, count: usize) {
        for _ in 0..10_000 {
            if self.waiting.load(Ordering::SeqCst) == count {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("never {count} at once");
    }
}

impl Queryable for Stuck {
    fn select(&self, _: &Select) -> Result<SeriesSet, QueryError> {
        Err(self.wait())
    }

    fn label_names(&self, _: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        Err(self.wait())
    }

    fn label_values(&self, _: &str, _: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        Err(self.wait())
    }
}

impl Append for Stuck {
    fn append(&self, _: &mut Batch, _: OnReject) -> Result<Outcome, AppendError> {
        Err(AppendError::Unavailable("stuck".into()))
    }
}

#[test]
fn only_so_many_questions_run_at_once() {
    let store = Arc::new(Stuck::default());
    let hub = TestHub::with(store.clone(), ReceiveOptions::default());
    let lookups: Vec<_> =
        (0..25).map(|_| client::send(hub.address, "GET", "/api/v1/labels", &[], b"")).collect();
    store.await_waiting(20);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(store.waiting.load(Ordering::SeqCst), 20);
    // The others are queries, which have places of their own.
    let query = client::send(hub.address, "GET", "/api/v1/query?query=a", &[], b"");
    store.await_waiting(21);
    assert_eq!(hub.get("/-/healthy").status, 200, "the server itself does not wait");
    store.released.store(1, Ordering::SeqCst);
    drop((lookups, query));
    store.await_waiting(0);
}

#[test]
fn a_query_that_waits_too_long_for_its_turn_is_refused() {
    let store = Arc::new(Stuck::default());
    let hub = TestHub::with(store.clone(), ReceiveOptions::default());
    let target = "/api/v1/query?query=a";
    let running: Vec<_> =
        (0..20).map(|_| client::send(hub.address, "GET", target, &[], b"")).collect();
    store.await_waiting(20);
    let answer = hub.get("/api/v1/query?query=a&timeout=10ms");
    let want =
        r#"{"status":"error","errorType":"timeout","error":"query timed out in query queue"}"#;
    assert_eq!((answer.status, answer.text()), (503, want));
    store.released.store(1, Ordering::SeqCst);
    drop(running);
}

#[test]
fn a_client_that_goes_away_is_not_waited_for() {
    let store = Arc::new(Stuck::default());
    let hub = TestHub::with(store.clone(), ReceiveOptions::default());
    let client = client::send(hub.address, "GET", "/api/v1/query?query=a", &[], b"");
    store.await_waiting(1);
    assert_eq!(hub.service.queries.running_count(), 1);
    drop(client);
    for _ in 0..5_000 {
        if hub.service.queries.running_count() == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(hub.service.queries.running_count(), 0, "the query was not recalled");
    store.released.store(1, Ordering::SeqCst);
}

fn options(disk: &MemoryDisk) -> HubOptions {
    let disk: SharedDisk = Arc::new(disk.clone());
    HubOptions { disk, ..HubOptions::new(HubConfig::default(), "data", "127.0.0.1:0") }
}

#[test]
fn a_hub_starts_answers_and_stops() {
    let disk = MemoryDisk::default();
    let runtime = Runtime::new().unwrap();
    let hub = runtime.block_on(Hub::start(options(&disk))).unwrap();
    let address = hub.local_addr();
    let get = |target| ask(address, "GET", target, &[], b"");
    assert_eq!(get("/-/ready").status, 200);
    let metrics = get("/metrics");
    let wanted = ["promlite_build_info{", "prometheus_tsdb_head_series ", "prometheus_ready 1"];
    for wanted in wanted {
        assert!(metrics.text().contains(wanted), "{wanted}");
    }
    let status = get("/api/v1/status/tsdb");
    assert!(status.text().contains(r#""numSeries":0"#), "{}", status.text());
    let twice = runtime.block_on(Hub::start(options(&disk))).unwrap_err();
    assert!(twice.to_string().contains("in use"), "{twice}");
    runtime.block_on(hub.stop()).unwrap();
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
    let again = runtime.block_on(Hub::start(options(&disk))).unwrap();
    runtime.block_on(again.stop()).unwrap();
}

#[test]
fn an_address_that_is_taken_is_named() {
    let runtime = Runtime::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let wanted = HubOptions { listen: address.clone(), ..options(&MemoryDisk::default()) };
    let error = runtime.block_on(Hub::start(wanted)).unwrap_err().to_string();
    assert!(error.starts_with(&format!("listen on {address}: ")), "{error}");
}
