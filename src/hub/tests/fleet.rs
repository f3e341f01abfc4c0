//! Two hubs that take the same, of which one asks the other.

use super::*;
use crate::disk::{MemoryDisk, SharedDisk};
use crate::hub::{Hub, HubConfig, HubOptions};
use crate::model::Labels;
use crate::series::{Batch, OnReject, SeriesRef};
use crate::wire::config::Config;

pub(super) const START_MS: i64 = 1_767_571_200_000;
const SCRAPE_MS: i64 = 15_000;
const MINUTE_MS: i64 = 60_000;
/// When one of the hubs was stopped, after the start.
const STOPPED_MS: std::ops::Range<i64> = 30 * MINUTE_MS..40 * MINUTE_MS;
pub(super) const ALL_MS: i64 = 60 * MINUTE_MS;

fn hub(runtime: &Runtime, text: &str) -> Hub {
    let disk: SharedDisk = Arc::new(MemoryDisk::default());
    let clock: SharedClock = Arc::new(ManualClock::at(START_MS + ALL_MS));
    let config = Config::parse(text, std::path::Path::new("hub.yml"), &|_| None).unwrap();
    let config = HubConfig::from_config(&config).unwrap();
    let grpc_listen = Some("127.0.0.1:0".to_owned());
    let options = HubOptions::new(config, "data", "127.0.0.1:0");
    runtime.block_on(Hub::start(HubOptions { disk, clock, grpc_listen, ..options })).unwrap()
}

/// A counter that grows by two each second, as a hub gets it whose agents scrape `late_ms` after
/// the others do.
pub(super) fn fill(hub: &Hub, late_ms: i64, stopped: bool) {
    let labels = [("__name__", "requests_total"), ("cluster", "north"), ("job", "shop")];
    let labels = Labels::from_pairs(labels).unwrap();
    let mut batch = Batch::new();
    batch.push_series(SeriesRef::UNKNOWN, labels.as_ref());
    for after_ms in (0..ALL_MS).step_by(SCRAPE_MS as usize) {
        if !(stopped && STOPPED_MS.contains(&after_ms)) {
            let after_ms = after_ms + late_ms;
            batch.push_sample(START_MS + after_ms, after_ms as f64 / 500.0);
        }
    }
    let outcome = hub.db().append(&mut batch, OnReject::KeepRest).unwrap();
    assert_eq!(outcome.rejected, 0);
}

pub(super) fn get(hub: &Hub, target: &str) -> serde_json::Value {
    let answer = ask(hub.local_addr(), "GET", target, &[], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

pub(super) fn range(hub: &Hub, query: &str, more: &str) -> Vec<serde_json::Value> {
    let (start, end) = (START_MS / 1000 + 300, (START_MS + ALL_MS) / 1000 - 60);
    let target = format!("/api/v1/query_range?query={query}&start={start}&end={end}&step=15{more}");
    let answer = get(hub, &target);
    assert!(answer.get("warnings").is_none(), "{answer}");
    answer["data"]["result"].as_array().unwrap().clone()
}

/// The values of the only series of an answer, which has a value at each step.
pub(super) fn values(series: &[serde_json::Value]) -> Vec<f64> {
    let [one] = series else { panic!("{} series", series.len()) };
    let values: Vec<f64> = one["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| pair[1].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(values.len(), ((ALL_MS / 1000 - 360) / 15 + 1) as usize, "a step without a value");
    values
}

fn fleet(runtime: &Runtime) -> (Hub, Hub) {
    let other = hub(runtime, "global: {external_labels: {replica: b}}\n");
    let address = other.grpc_addr().unwrap();
    let first = hub(
        runtime,
        &format!(
            "global: {{external_labels: {{replica: a}}}}\n\
             thanos: {{replica_labels: [replica], endpoints: ['{address}']}}\n"
        ),
    );
    (first, other)
}

#[test]
fn a_hub_that_was_stopped_leaves_no_gap_and_no_double_rate() {
    for stopped_is_asked in [true, false] {
        let runtime = Runtime::new().unwrap();
        let (first, other) = fleet(&runtime);
        fill(&first, 0, stopped_is_asked);
        fill(&other, 3_000, !stopped_is_asked);
        for (rate, step) in
            values(&range(&first, "rate(requests_total%5B1m%5D)", "")).into_iter().zip(0..)
        {
            // Where one takes over from the other, the distance of two samples is 18 s once.
            assert!((rate - 2.0).abs() < 0.4, "{rate} at step {step}, {stopped_is_asked}");
        }
        for count in values(&range(&first, "count_over_time(requests_total%5B1m%5D)", "")) {
            assert!((3.0..=5.0).contains(&count), "{count} samples in a minute");
        }
        assert!(
            values(&range(&first, "resets(requests_total%5B1h%5D)", "")).iter().all(|n| *n == 0.0)
        );
        let labels = &range(&first, "requests_total", "")[0]["metric"];
        assert!(labels.get("replica").is_none() && labels["cluster"] == "north", "{labels}");
        let apart = range(&first, "requests_total", "&dedup=false");
        let replicas: Vec<_> = apart.iter().map(|one| &one["metric"]["replica"]).collect();
        assert_eq!(replicas, ["a", "b"]);
        let one = range(&first, "requests_total", "&replicaLabels%5B%5D=nothing");
        assert_eq!(one.len(), 2, "the question's labels take the place of the hub's");
        runtime.block_on(first.stop()).unwrap();
        runtime.block_on(other.stop()).unwrap();
    }
}

#[test]
fn a_store_that_is_away_is_told_of() {
    let runtime = Runtime::new().unwrap();
    let (first, other) = fleet(&runtime);
    fill(&first, 0, false);
    runtime.block_on(other.stop()).unwrap();
    let answer =
        get(&first, &format!("/api/v1/query?query=requests_total&time={}", START_MS / 1000));
    assert_eq!(answer["data"]["result"].as_array().unwrap().len(), 1);
    let warning = answer["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("store 127.0.0.1:"), "{warning}");
    let names = get(&first, "/api/v1/labels");
    assert_eq!(names["data"], serde_json::json!(["__name__", "cluster", "job"]));
    let values = get(&first, "/api/v1/label/replica/values?dedup=false");
    assert_eq!(values["data"], serde_json::json!(["a"]));
}

#[test]
fn a_bucket_without_external_labels_is_refused() {
    let text = "thanos: {objstore: {type: FILESYSTEM, config: {directory: a}}}\n";
    let config = Config::parse(text, std::path::Path::new("hub.yml"), &|_| None).unwrap();
    assert_eq!(
        HubConfig::from_config(&config).unwrap_err().to_string(),
        "hub.yml:1: thanos: a bucket is shared: this hub needs external_labels that no other has"
    );
}

/// Where a test certificate lies.
fn pem(name: &str) -> String {
    format!("{}/testdata/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn hubs_ask_one_another_over_tls() {
    let runtime = Runtime::new().unwrap();
    let other = hub(
        &runtime,
        &format!(
            "global: {{external_labels: {{replica: b}}}}\n\
             thanos: {{grpc_server_tls_cert: '{}', grpc_server_tls_key: '{}', \
             grpc_server_tls_client_ca: '{}'}}\n",
            pem("issued.pem"),
            pem("issued.key"),
            pem("ca.pem")
        ),
    );
    fill(&other, 0, false);
    let asking = |ca: &str| {
        let text = format!(
            "global: {{external_labels: {{replica: a}}}}\n\
             thanos: {{replica_labels: [replica], endpoints: ['{}'], grpc_client_tls_secure: true, \
             grpc_client_tls_ca: '{}', grpc_client_tls_cert: '{}', grpc_client_tls_key: '{}', \
             grpc_compression: gzip}}\n",
            other.grpc_addr().unwrap(),
            pem(ca),
            pem("issued.pem"),
            pem("issued.key")
        );
        hub(&runtime, &text)
    };
    let first = asking("ca.pem");
    values(&range(&first, "requests_total", ""));
    runtime.block_on(first.stop()).unwrap();
    let first = asking("self.pem");
    let target = format!("/api/v1/query?query=requests_total&time={}", START_MS / 1000 + 60);
    let answer = get(&first, &target).to_string();
    assert!(answer.contains("invalid peer certificate: UnknownIssuer"), "{answer}");
    runtime.block_on(first.stop()).unwrap();
    runtime.block_on(other.stop()).unwrap();
}

#[test]
fn keys_that_are_not_there_or_do_not_fit_are_told_before_anything_is_opened() {
    let runtime = Runtime::new().unwrap();
    let (certificate, key) = (pem("issued.pem"), pem("self.key"));
    let cases = [
        ("grpc_server_tls_cert: a".to_owned(), "needs its grpc_server_tls_key"),
        ("grpc_client_tls_ca: a".to_owned(), "without grpc_client_tls_secure: true"),
        (format!("grpc_server_tls_cert: '{certificate}', grpc_server_tls_key: gone"), "gone: "),
        (
            format!("grpc_server_tls_cert: '{certificate}', grpc_server_tls_key: '{key}'"),
            "gRPC server: ",
        ),
    ];
    for (keys, wanted) in cases {
        let text = format!("global: {{external_labels: {{a: b}}}}\nthanos: {{{keys}}}\n");
        let config = Config::parse(&text, std::path::Path::new("hub.yml"), &|_| None).unwrap();
        let config = HubConfig::from_config(&config).unwrap();
        let options = HubOptions::new(config, "/nowhere", "127.0.0.1:0");
        let error = runtime.block_on(Hub::start(options)).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}
