//! Thanos's querier over our servers, and our client over Thanos's store gateway and receiver.
//!
//! Debian has no Thanos, so that `.ci/run` leaves these tests out; `PROMLITE_THANOS` must name a
//! binary.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use promlite::base::metrics::Registry;
use promlite::disk::RealDisk;
use promlite::longterm::storeapi::{
    ClientRuntime, Component, PartialAnswers, RemoteOptions, RemoteStore, StoreInfo, StoreServer,
    StoreServerOptions, serve,
};
use promlite::model::{MatchOp, Matcher, Value};
use promlite::series::{External, Hints, TimeRange};
use promlite::storage::block::Block;
use promlite::{Column, Labels, Queryable, Select, Tsdb, TsdbOptions};
use serde_json::Value as Json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::http;
use crate::programs::{Program, free_address, now_ms, wait_until};
use crate::remote_write;

fn thanos() -> Command {
    let Some(path) = std::env::var_os("PROMLITE_THANOS") else {
        panic!("PROMLITE_THANOS must name a thanos binary");
    };
    Command::new(path)
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    Labels::from_pairs(pairs).unwrap()
}

/// Our server on a port of its own, for as long as the runtime lives.
fn serve_source(runtime: &Runtime, source: Arc<dyn Queryable>, info: StoreInfo) -> SocketAddr {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let options = StoreServerOptions::default();
    let server = StoreServer::new(source, move || info.clone(), options, &Registry::new());
    runtime.spawn(serve(listener, server, std::future::pending()));
    address
}

fn client(runtime: &Runtime, address: SocketAddr) -> RemoteStore {
    let mut options = RemoteOptions::default();
    options.partial = PartialAnswers::Refuse;
    let threads = ClientRuntime::of(runtime.handle().clone());
    RemoteStore::new(&address.to_string(), &threads, options).unwrap()
}

/// A querier over `stores` that knows all of them; its HTTP and gRPC addresses.
fn start_querier(
    mut command: Command,
    dir: &Path,
    name: &str,
    stores: &[SocketAddr],
) -> (Program, SocketAddr, SocketAddr) {
    let (http_address, grpc_address) = (free_address(), free_address());
    command.arg("query");
    command.arg(format!("--http-address={http_address}"));
    command.arg(format!("--grpc-address={grpc_address}"));
    command.arg("--query.replica-label=replica");
    for store in stores {
        command.arg(format!("--endpoint={store}"));
    }
    let mut querier = Program::start(dir, name, &mut command);
    querier.wait_ready(http_address, "/-/ready");
    wait_until("the querier knows its stores", || {
        let listed = http::get(http_address, "/api/v1/stores").unwrap().json();
        let groups = listed["data"].as_object().cloned().unwrap_or_default();
        let all = groups.values().flat_map(|group| group.as_array().cloned().unwrap_or_default());
        let healthy = all.filter(|store| store["lastError"].is_null());
        healthy.count() == stores.len()
    });
    (querier, http_address, grpc_address)
}

fn data(address: SocketAddr, path: &str) -> Json {
    let answer = http::get(address, path).unwrap();
    let json = answer.json();
    assert_eq!(json["status"], "success", "{path}: {}", answer.body);
    assert!(json["warnings"].is_null(), "{path}: {}", answer.body);
    json["data"].clone()
}

fn query(address: SocketAddr, text: &str, time_ms: i64, more: &str) -> Json {
    let time = format!("{}.{:03}", time_ms / 1000, time_ms % 1000);
    data(address, &format!("/api/v1/query?query={}&time={time}{more}", http::escape(text)))
}

/// All that a source has for a question, comparable also where it is not a number.
fn read(source: &dyn Queryable, ask: &Select) -> Vec<(Labels, Vec<String>)> {
    let set = source.select(ask).unwrap();
    assert!(set.warnings.is_empty(), "{:?}", set.warnings);
    let samples = |column: &Column| {
        let text = |(time_ms, _, value): (i64, i64, Value<'_>)| match value {
            Value::Float(value) if value.is_nan() => format!("{time_ms} NaN"),
            Value::Float(value) => format!("{time_ms} {:x}", value.to_bits()),
            Value::Histogram(histogram) => format!("{time_ms} {histogram:?}"),
        };
        let mut texts: Vec<String> = column.samples().map(text).collect();
        texts.extend(column.joins.floats().iter().map(|join| format!("{join:?}")));
        texts
    };
    let mut found = Vec::new();
    for series in set.series {
        let mut column = Column::new();
        series.read(ask.range, &mut column).unwrap();
        found.push((series.labels().clone(), samples(&column)));
    }
    found
}

/// A storage with two series that was scraped from `start_ms` on for ten minutes.
fn replica(dir: &Path, start_ms: i64) -> Tsdb {
    let db = Tsdb::open_at(dir, TsdbOptions::default()).unwrap();
    let mut appender = db.appender();
    for (name, factor) in [("hits_total", 2.0), ("load", 0.5)] {
        let series = labels([("__name__", name), ("job", "x"), ("replica", "inside")]);
        let series = appender.series(&series).unwrap();
        for step in 0..40_i64 {
            appender.push(series, start_ms + step * 15_000, step as f64 * factor);
        }
    }
    appender.commit().unwrap();
    db
}

#[test]
#[ignore = "needs thanos"]
fn a_real_querier_reads_two_replicas_of_us_as_one() {
    let command = thanos();
    let dir = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    let start_ms = now_ms() / 15_000 * 15_000 - 3_600_000;
    let mut sources: Vec<Arc<dyn Queryable>> = Vec::new();
    let mut stores = Vec::new();
    for (name, offset_ms) in [("a", 0), ("b", 5_000)] {
        let db = replica(&dir.path().join(name), start_ms + offset_ms);
        let external = labels([("cluster", "c1"), ("replica", name)]);
        let source = Arc::new(External::new(Arc::new(db), external.clone()));
        let info =
            StoreInfo::of_one(Component::Receive, external, TimeRange::new(start_ms, i64::MAX));
        stores.push(serve_source(&runtime, source.clone(), info));
        sources.push(source);
    }
    let (_querier, http_address, grpc_address) =
        start_querier(command, dir.path(), "query", &stores);

    let listed = data(http_address, "/api/v1/stores");
    let first = &listed["receive"][0];
    assert_eq!(first["minTime"], start_ms, "{listed}");
    assert_eq!(first["labelSets"][0]["cluster"], "c1", "{listed}");

    let end_ms = start_ms + 600_000;
    let plain = query(http_address, "load", end_ms, "&dedup=false");
    let rows = plain["result"].as_array().unwrap();
    let seen: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| {
            let value = row["value"][1].as_str().unwrap();
            (row["metric"]["replica"].as_str().unwrap(), value)
        })
        .collect();
    assert_eq!(seen, [("a", "19.5"), ("b", "19.5")], "{plain}");
    let one = query(http_address, "hits_total", end_ms, "");
    let rows = one["result"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{one}");
    let metric = &rows[0]["metric"];
    assert_eq!(*metric, serde_json::json!({"__name__": "hits_total", "cluster": "c1", "job": "x"}));
    let rate = query(http_address, "sum(rate(hits_total[5m]))", end_ms, "");
    let rate: f64 = rate["result"][0]["value"][1].as_str().unwrap().parse().unwrap();
    // The replicas take turns at most once or twice.
    assert!((rate - 2.0 / 15.0).abs() < 0.01, "{rate}");

    let names = data(http_address, "/api/v1/labels");
    // Queriers take replica labels out of series only.
    assert_eq!(names, serde_json::json!(["__name__", "cluster", "job", "replica"]));
    let values = data(http_address, "/api/v1/label/replica/values");
    assert_eq!(values, serde_json::json!(["a", "b"]));
    let values = data(http_address, "/api/v1/label/__name__/values");
    assert_eq!(values, serde_json::json!(["hits_total", "load"]));
    let listed = data(http_address, "/api/v1/series?match[]=load&dedup=false");
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    assert_eq!(data(http_address, "/api/v1/series?match[]=load").as_array().unwrap().len(), 1);
    let other = query(http_address, "load{cluster=\"c2\"}", end_ms, "");
    assert!(other["result"].as_array().unwrap().is_empty());

    // And back: the querier is a store too.
    let ask = Select::new(vec![Matcher::equal("job", "x")], TimeRange::new(start_ms, end_ms));
    let through = read(&client(&runtime, grpc_address), &ask);
    let mut direct: Vec<_> = sources.iter().flat_map(|source| read(&**source, &ask)).collect();
    direct.sort();
    assert_eq!(through.len(), 4);
    assert_eq!(through, direct);
}

fn golden(folder: &str) -> std::path::PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden/thanos/downsample");
    let entry = fs::read_dir(root.join(folder)).unwrap().next().unwrap();
    entry.unwrap().path()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

fn start_store_gateway(mut command: Command, dir: &Path, bucket: &Path) -> (Program, SocketAddr) {
    let (http_address, grpc_address) = (free_address(), free_address());
    let bucket = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", bucket.display());
    command.arg("store");
    command.arg(format!("--http-address={http_address}"));
    command.arg(format!("--grpc-address={grpc_address}"));
    command.arg(format!("--data-dir={}", dir.join("store").display()));
    command.arg(format!("--objstore.config={bucket}"));
    let mut program = Program::start(dir, "store", &mut command);
    program.wait_ready(http_address, "/-/ready");
    (program, grpc_address)
}

/// Series whose downsampled samples have no lowest and no highest; asked for these, Thanos fails.
const HISTOGRAMS: &str =
    "demo_(latency_seconds|queue_sizes|float_latency_seconds|mixed_types|nhcb_seconds)";

fn compare_with_store_gateway(folder: &str, resolution_ms: i64) {
    let (store, first, second) = (thanos(), thanos(), thanos());
    let dir = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    let bucket = dir.path().join("bucket");
    let block_dir = golden(folder);
    copy(&block_dir, &bucket.join(block_dir.file_name().unwrap()));
    let (_store, store_address) = start_store_gateway(store, dir.path(), &bucket);

    let block = Block::open(&RealDisk::shared(), &block_dir).unwrap();
    let range = TimeRange::new(block.meta().min_time_ms, block.meta().max_time_ms - 1);
    let external = labels([("cluster", "c1"), ("replica", "a")]);
    let source = Arc::new(External::new(block, external.clone()));
    let info = StoreInfo::of_one(Component::Store, external, range);
    let our_address = serve_source(&runtime, source.clone(), info);

    let (theirs, ours) = (client(&runtime, store_address), client(&runtime, our_address));
    assert_eq!(theirs.info().unwrap().label_sets, ours.info().unwrap().label_sets);
    let mut samples = 0;
    for func in ["", "sum_over_time", "count_over_time", "min_over_time", "max_over_time", "rate"] {
        let mut matchers = vec![Matcher::equal("job", "demo")];
        if func.starts_with('m') {
            let floats = Matcher::new("__name__", MatchOp::NotRegex, HISTOGRAMS).unwrap();
            matchers.push(floats);
        }
        let mut ask = Select::new(matchers, range);
        ask.hints = Hints {
            func: (!func.is_empty()).then(|| func.into()),
            range_ms: i64::from(!func.is_empty()),
            max_resolution_ms: resolution_ms,
            ..Hints::default()
        };
        let direct = read(&*source, &ask);
        for (remote, found) in [("theirs", read(&theirs, &ask)), ("ours", read(&ours, &ask))] {
            assert_eq!(found.len(), direct.len(), "{remote} {func}");
            for (found, direct) in found.iter().zip(&direct) {
                assert_eq!(found, direct, "{remote} {func}");
            }
        }
        samples += direct.iter().map(|(_, samples)| samples.len()).sum::<usize>();
    }
    assert!(samples > 100, "{samples}");
    let ask = Select::new(vec![Matcher::equal("job", "demo")], range);
    for label in ["__name__", "kind", "cluster", "nothing"] {
        let values = |store: &RemoteStore| store.label_values(label, &ask).unwrap();
        assert_eq!(values(&theirs), values(&ours), "{label}");
        assert_eq!(values(&theirs), source.label_values(label, &ask).unwrap(), "{label}");
    }
    assert_eq!(theirs.label_names(&ask).unwrap(), ours.label_names(&ask).unwrap());

    let (_first, of_theirs, _) = start_querier(first, dir.path(), "query-1", &[store_address]);
    let (_second, of_ours, _) = start_querier(second, dir.path(), "query-2", &[our_address]);
    let queries = [
        "{job=\"demo\"}",
        "rate(demo_requests_total[2h])",
        "sum by (job) (increase(demo_requests_total[6h]))",
        "avg_over_time(demo_temperature_celsius[3h])",
        "count_over_time(demo_requests_total[6h])",
        "max_over_time(demo_cpu_seconds_total[3h])",
        "histogram_quantile(0.9, rate(demo_latency_seconds[4h]))",
        "demo_float_latency_seconds",
    ];
    for text in queries {
        for hours in [3, 11, 24, 40, 47] {
            for dedup in ["true", "false"] {
                let more =
                    format!("&dedup={dedup}&max_source_resolution={}s", resolution_ms / 1000);
                let time_ms = range.start_ms + hours * 3_600_000;
                let (a, b) =
                    (query(of_theirs, text, time_ms, &more), query(of_ours, text, time_ms, &more));
                assert_eq!(a, b, "{text} after {hours} h, {more}");
            }
        }
    }
}

#[test]
#[ignore = "needs thanos"]
fn raw_blocks_are_the_same_from_us_and_from_a_real_store_gateway() {
    compare_with_store_gateway("raw", 0);
}

#[test]
#[ignore = "needs thanos"]
fn blocks_of_five_minutes_are_the_same_from_us_and_from_a_real_store_gateway() {
    compare_with_store_gateway("5m", 300_000);
}

#[test]
#[ignore = "needs thanos"]
fn blocks_of_one_hour_are_the_same_from_us_and_from_a_real_store_gateway() {
    compare_with_store_gateway("1h", 3_600_000);
}

#[test]
#[ignore = "needs thanos"]
fn our_client_reads_what_a_real_receiver_took() {
    let mut command = thanos();
    let dir = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    let (http_address, grpc_address, write_address) =
        (free_address(), free_address(), free_address());
    command.arg("receive");
    command.arg(format!("--http-address={http_address}"));
    command.arg(format!("--grpc-address={grpc_address}"));
    command.arg(format!("--remote-write.address={write_address}"));
    command.arg(format!("--receive.local-endpoint={grpc_address}"));
    command.arg(format!("--tsdb.path={}", dir.path().join("receive").display()));
    command.arg("--label=receive_replica=\"0\"");
    let mut program = Program::start(dir.path(), "receive", &mut command);
    program.wait_ready(http_address, "/-/ready");

    let start_ms = now_ms() - 1_000_000;
    let samples: Vec<(i64, f64)> =
        (0..500).map(|step| (start_ms + step * 1000, (step as f64).sin())).collect();
    let body = remote_write::body(vec![remote_write::series(
        &[("__name__", "wave"), ("job", "x")],
        &samples,
    )]);
    wait_until("the receiver takes samples", || {
        let headers = [("Content-Encoding", "snappy"), ("Content-Type", "application/x-protobuf")];
        let path = "/api/v1/receive";
        http::send(write_address, "POST", path, &headers, &body).is_ok_and(|a| a.status == 200)
    });

    let store = client(&runtime, grpc_address);
    let ask = Select::new(vec![Matcher::equal("__name__", "wave")], TimeRange::ALL);
    let info = store.info().unwrap();
    assert_eq!(info.component, Component::Receive);
    let found = read(&store, &ask);
    assert_eq!(found.len(), 1, "{found:?} of {info:?}");
    assert_eq!(found[0].0.get("receive_replica"), Some("0"));
    assert_eq!(found[0].0.get("tenant_id"), Some("default-tenant"));
    let expected = samples.iter().map(|(time, value)| format!("{time} {:x}", value.to_bits()));
    assert_eq!(found[0].1, expected.collect::<Vec<_>>());
    // By external labels alone, which the receiver itself refuses.
    let ask = Select::new(vec![Matcher::equal("receive_replica", "0")], TimeRange::ALL);
    assert_eq!(read(&store, &ask), found);
}
