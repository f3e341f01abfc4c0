//! A whole agent between a target and a hub, all on the loopback address.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use parking_lot::Mutex;

use super::*;
use crate::base::clock::{Stopwatch, SystemClock};
use crate::disk::RealDisk;
use crate::model::{MatchOp, Matcher};
use crate::series::{Append, Batch, Column, OnReject, Queryable, Select, TimeRange};
use crate::testkit::ModelStore;
use crate::wire::config::Config;
use crate::wire::remote_write::{snappy, v1};

async fn serve_at(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// A hub that keeps what it gets and remembers the last headers.
#[derive(Clone, Default)]
struct Hub {
    store: Arc<ModelStore>,
    headers: Arc<Mutex<HeaderMap>>,
}

impl Hub {
    async fn start(&self) -> String {
        let hub = self.clone();
        let write = post(async move |headers: HeaderMap, body: Bytes| {
            let mut message = Vec::new();
            snappy::decode(&body, 1 << 24, &mut message).unwrap();
            let mut batch = Batch::new();
            v1::Decoder::new().decode_into(&message, &mut batch).unwrap();
            hub.store.append(&mut batch, OnReject::KeepRest).unwrap();
            *hub.headers.lock() = headers;
        });
        serve_at(Router::new().route("/api/v1/write", write)).await
    }

    /// Label sets of a metric, and all its values.
    fn values(&self, metric: &str) -> (Vec<String>, Vec<f64>) {
        let matcher = Matcher::new("__name__", MatchOp::Equal, metric).unwrap();
        let found = self.store.select(&Select::new(vec![matcher], TimeRange::ALL)).unwrap();
        let mut column = Column::new();
        for series in &found.series {
            series.read(TimeRange::ALL, &mut column).unwrap();
        }
        (found.series.iter().map(|series| series.labels().to_string()).collect(), column.floats)
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let watch = Stopwatch::start();
        while !is_so(self) {
            assert!(watch.seconds() < 30.0, "waited in vain: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn start_agent(config: &str, data_dir: &std::path::Path) -> Agent {
    let config = Config::parse(config, "spoke.yml".as_ref(), &|_| None).unwrap();
    Agent::start(AgentOptions {
        config,
        data_dir: data_dir.to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        disk: RealDisk::shared(),
        clock: SystemClock::shared(),
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_travel_from_a_target_to_the_hub() {
    let page = get(async || ([("content-type", "text/plain")], "a{b=\"c\"} 1\ndropped 1\n"));
    let target = serve_at(Router::new().route("/metrics", page)).await;
    let hub = Hub::default();
    let to = hub.start().await;
    let config = format!(
        "global:
  external_labels: {{cluster: prod-eu}}
scrape_configs:
  - job_name: j
    scrape_interval: 100ms
    static_configs: [{{targets: ['{target}']}}]
remote_write:
  - url: http://{to}/api/v1/write
    headers: {{X-Scope-Cluster: prod-eu}}
    basic_auth: {{username: u, password: p}}
    queue_config: {{batch_send_deadline: 50ms}}
    write_relabel_configs:
      - {{source_labels: [__name__], regex: dropped, action: drop}}
"
    );
    let dir = tempfile::tempdir().unwrap();
    let agent = start_agent(&config, dir.path()).await;
    hub.until("samples", |hub| hub.values("a").1.len() >= 3).await;
    let (series, _) = hub.values("a");
    let expected = format!(
        "{{__name__=\"a\", b=\"c\", cluster=\"prod-eu\", instance=\"{target}\", job=\"j\"}}"
    );
    assert_eq!(series, [expected]);
    assert!(hub.values("dropped").0.is_empty());
    assert!(hub.values("up").1.iter().all(|up| *up == 1.0));
    let headers = hub.headers.lock().clone();
    assert_eq!(headers["x-scope-cluster"], "prod-eu");
    assert_eq!(headers["authorization"], "Basic dTpw");

    let url = format!("http://{}/api/v1/targets", agent.address());
    let answer = reqwest::get(url).await.unwrap().text().await.unwrap();
    assert!(answer.contains("\"health\":\"up\""), "{answer}");
    let url = format!("http://{}/metrics", agent.address());
    let page = reqwest::get(url).await.unwrap().text().await.unwrap();
    assert!(page.contains("prometheus_agent_active_series"), "{page}");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_sent_is_sent_after_the_next_start() {
    let page = get(async || ([("content-type", "text/plain")], "early 1\n"));
    let target = serve_at(Router::new().route("/metrics", page)).await;
    let dir = tempfile::tempdir().unwrap();
    let jobs = format!(
        "scrape_configs:
  - {{job_name: j, scrape_interval: 100ms, static_configs: [{{targets: ['{target}']}}]}}
"
    );
    // Nobody listens at port 1.
    let to = |address: &str| {
        format!("remote_write: [{{name: hub, url: 'http://{address}/api/v1/write'}}]\n")
    };
    let agent = start_agent(&format!("{jobs}{}", to("127.0.0.1:1")), dir.path()).await;
    let watch = Stopwatch::start();
    while !std::iter::once(agent.log.stats().unwrap()).all(|stats| stats.series >= 6) {
        assert!(watch.seconds() < 30.0, "nothing was scraped");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    agent.stop().await;

    let hub = Hub::default();
    let agent = start_agent(&to(&hub.start().await), dir.path()).await;
    hub.until("the samples of the first run", |hub| !hub.values("early").1.is_empty()).await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let agent = start_agent("", dir.path()).await;
    let options = AgentOptions {
        config: Config::default(),
        data_dir: dir.path().to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        disk: RealDisk::shared(),
        clock: SystemClock::shared(),
    };
    let error = Agent::start(options).await.unwrap_err().to_string();
    assert!(error.contains("held by another process"), "{error}");
    agent.stop().await;
    let agent = start_agent("", dir.path()).await;
    agent.stop().await;
}
