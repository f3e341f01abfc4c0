//! The server through a socket, by our client and by messages that another implementation packs
//! and unpacks; the tables are Thanos's.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use prost::Message;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::answer::AnswerReader;
use super::codec::BytesCodec;
use super::frames::{FrameWriter, Part};
use super::messages::{
    Label, LabelMatcher, LabelNamesRequest, LabelNamesResponse, LabelValuesRequest,
    LabelValuesResponse, STRATEGY_ABORT, SeriesRequest, ShardInfo,
};
use super::*;
use crate::base::clock::{ManualClock, SharedClock};
use crate::base::metrics::Registry;
use crate::chunk::{
    AGGREGATE, EncodeOptions, Encoding, XorAppender, decode, encode_aggregate, encode_column,
};
use crate::disk::{MemoryDisk, RealDisk};
use crate::model::histogram::Histogram;
use crate::model::{Column, Labels, MatchOp, Matcher, Value};
use crate::series::{
    Chunk, External, Merged, QueryError, Queryable, Select, Series, SeriesSet, TimeRange,
};
use crate::storage::block::Block;
use crate::storage::db::{Tsdb, TsdbOptions};

/// What a `Series` answer is made of, as the protocol's description has it.
#[derive(Clone, PartialEq, Message)]
struct SeriesResponse {
    #[prost(oneof = "Frame", tags = "1, 2, 4")]
    frame: Option<Frame>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Frame {
    #[prost(message, tag = "1")]
    Series(SeriesMessage),
    #[prost(string, tag = "2")]
    Warning(String),
    #[prost(message, tag = "4")]
    Batch(SeriesBatch),
}

#[derive(Clone, PartialEq, Message)]
struct SeriesBatch {
    #[prost(message, repeated, tag = "1")]
    series: Vec<SeriesMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct SeriesMessage {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    chunks: Vec<AggrChunk>,
}

#[derive(Clone, PartialEq, Message)]
struct AggrChunk {
    #[prost(int64, tag = "1")]
    min_time: i64,
    #[prost(int64, tag = "2")]
    max_time: i64,
    #[prost(message, optional, tag = "3")]
    raw: Option<ChunkMessage>,
    #[prost(message, optional, tag = "4")]
    count: Option<ChunkMessage>,
    #[prost(message, optional, tag = "5")]
    sum: Option<ChunkMessage>,
    #[prost(message, optional, tag = "6")]
    min: Option<ChunkMessage>,
    #[prost(message, optional, tag = "7")]
    max: Option<ChunkMessage>,
    #[prost(message, optional, tag = "8")]
    counter: Option<ChunkMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct ChunkMessage {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(bytes = "vec", tag = "2")]
    data: Vec<u8>,
    #[prost(uint64, tag = "3")]
    hash: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Health {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// Threads for all servers and clients of the tests.
static THREADS: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// A server on a port of its own, until it is dropped.
struct Served {
    address: SocketAddr,
    serving: tokio::task::JoinHandle<Result<(), ServeError>>,
    registry: Registry,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Served {
    fn new(source: Arc<dyn Queryable>, info: StoreInfo) -> Self {
        Self::with(source, info, StoreServerOptions::default())
    }

    fn with(source: Arc<dyn Queryable>, info: StoreInfo, options: StoreServerOptions) -> Self {
        let registry = Registry::new();
        let server = StoreServer::new(source, move || info.clone(), options, &registry);
        let listener = THREADS.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = THREADS.spawn(serve(listener, server, std::future::pending()));
        Self { address, serving, registry }
    }

    fn client(&self) -> RemoteStore {
        self.client_with(RemoteOptions::default())
    }

    fn client_with(&self, options: RemoteOptions) -> RemoteStore {
        let runtime = ClientRuntime::of(THREADS.handle().clone());
        RemoteStore::new(&self.address.to_string(), &runtime, options).unwrap()
    }

    fn grpc(&self) -> Grpc<Channel> {
        let _inside = THREADS.enter();
        Grpc::new(Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect_lazy())
            .max_decoding_message_size(64 << 20)
    }

    fn unary<T: Message + Default>(
        &self,
        path: &'static str,
        message: &impl Message,
    ) -> Result<T, Status> {
        let mut grpc = self.grpc();
        let request = Request::new(Bytes::from(message.encode_to_vec()));
        let path = PathAndQuery::from_static(path);
        let answer = THREADS.block_on(async {
            grpc.ready().await.unwrap();
            grpc.unary(request, path, BytesCodec).await
        })?;
        Ok(T::decode(answer.into_inner()).unwrap())
    }

    fn frames(&self, message: &SeriesRequest) -> Result<Vec<Frame>, Status> {
        let mut grpc = self.grpc();
        let request = Request::new(Bytes::from(message.encode_to_vec()));
        let path = PathAndQuery::from_static("/thanos.Store/Series");
        THREADS.block_on(async {
            grpc.ready().await.unwrap();
            let answer = grpc.server_streaming(request, path, BytesCodec).await?;
            let mut stream = answer.into_inner();
            let mut frames = Vec::new();
            while let Some(frame) = stream.message().await? {
                frames.push(SeriesResponse::decode(frame).unwrap().frame.unwrap());
            }
            Ok(frames)
        })
    }

    /// Series and warnings, whatever frames they came in.
    fn series(&self, message: &SeriesRequest) -> Result<(Vec<SeriesMessage>, Vec<String>), Status> {
        let (mut series, mut warnings) = (Vec::new(), Vec::new());
        for frame in self.frames(message)? {
            match frame {
                Frame::Series(one) => series.push(one),
                Frame::Batch(batch) => series.extend(batch.series),
                Frame::Warning(text) => warnings.push(text),
            }
        }
        Ok((series, warnings))
    }
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    Labels::from_pairs(pairs).unwrap()
}

fn labels_of(series: &SeriesMessage) -> Labels {
    let names = series.labels.iter().map(|label| &*label.name);
    assert!(names.is_sorted(), "{series:?}");
    Labels::from_pairs(series.labels.iter().map(|label| (&label.name, &label.value))).unwrap()
}

fn all(matchers: Vec<Matcher>) -> Select {
    Select::new(matchers, TimeRange::ALL)
}

fn asking(conditions: &[(&str, i32, &str)]) -> SeriesRequest {
    SeriesRequest {
        min_time_ms: i64::MIN,
        max_time_ms: i64::MAX,
        matchers: conditions
            .iter()
            .map(|(name, kind, value)| LabelMatcher {
                kind: *kind,
                name: (*name).into(),
                value: (*value).into(),
            })
            .collect(),
        ..SeriesRequest::default()
    }
}

fn texts(found: Vec<Arc<str>>) -> Vec<String> {
    found.iter().map(|text| text.to_string()).collect()
}

// ---- a storage behind the server

const NOW_MS: i64 = 1_767_571_200_000;
const HOUR_MS: i64 = 3_600_000;

fn tsdb() -> Tsdb {
    let clock: SharedClock = Arc::new(ManualClock::at(NOW_MS));
    let options = TsdbOptions { background: false, ..TsdbOptions::default() };
    let dir = std::path::Path::new("data");
    Tsdb::open(MemoryDisk::shared(), clock, dir, options, &Registry::new()).unwrap()
}

fn leaf(db: &Tsdb, external: &Labels) -> Served {
    let source = External::new(Arc::new(db.clone()), external.clone());
    let range = TimeRange::new(i64::MIN, i64::MAX);
    Served::new(Arc::new(source), StoreInfo::of_one(Component::Receive, external.clone(), range))
}

// ---- chunks behind the server

/// Series with chunks, in label order; counts what is asked of it.
#[derive(Default)]
struct Shelf {
    series: Vec<(Labels, Vec<Chunk>)>,
    warnings: Vec<String>,
    selects: AtomicUsize,
    reads: Arc<AtomicUsize>,
}

struct Shelved {
    labels: Labels,
    chunks: Vec<Chunk>,
    reads: Arc<AtomicUsize>,
}

impl Series for Shelved {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn read(&self, _: TimeRange, _: &mut Column) -> Result<(), QueryError> {
        Err(QueryError::Unavailable("chunks only".into()))
    }

    fn chunks(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), QueryError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.labels.get("broken").is_some() {
            return Err(QueryError::Corrupt("segment 1 at 8".into()));
        }
        into.extend(self.chunks.iter().filter(|chunk| chunk.range().overlaps(range)).cloned());
        Ok(())
    }
}

impl Queryable for Shelf {
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
        self.selects.fetch_add(1, Ordering::SeqCst);
        let matches = |labels: &Labels| {
            ask.matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or_default()))
        };
        let mut set = SeriesSet { warnings: self.warnings.clone(), ..SeriesSet::default() };
        for (labels, chunks) in self.series.iter().filter(|(labels, _)| matches(labels)) {
            let (labels, chunks, reads) = (labels.clone(), chunks.clone(), self.reads.clone());
            set.series.push(Box::new(Shelved { labels, chunks, reads }));
        }
        Ok(set)
    }

    fn label_names(&self, _: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        Err(QueryError::Unavailable("names".into()))
    }

    fn label_values(&self, _: &str, _: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        Err(QueryError::Corrupt("values".into()))
    }
}

fn xor(samples: &[(i64, f64)]) -> Bytes {
    let mut appender = XorAppender::new();
    for (time_ms, value) in samples {
        appender.append(*time_ms, *value).unwrap();
    }
    appender.finish()
}

fn chunk(encoding: u8, samples: &[(i64, f64)]) -> Chunk {
    let (min_time_ms, max_time_ms) = (samples[0].0, samples[samples.len() - 1].0);
    Chunk { min_time_ms, max_time_ms, encoding, data: xor(samples) }
}

/// Five windows of five minutes, and what stands for them.
fn aggregates() -> Chunk {
    let times: Vec<i64> = (1..6).map(|window| window * 300_000 - 1).collect();
    let part = |value: fn(f64) -> f64| {
        let samples = times.iter().enumerate().map(|(at, time)| (*time, value(at as f64)));
        xor(&samples.collect::<Vec<_>>())
    };
    let counts = part(|_| 10.0);
    let (sums, lows, highs) = (part(|at| at * 10.0), part(|at| at - 1.0), part(|at| at + 1.0));
    let mut counter = vec![(7, 100.0)];
    counter.extend(times.iter().enumerate().map(|(at, time)| (*time, 101.0 + at as f64)));
    counter.push((times[4], 105.0));
    let counter = xor(&counter);
    let parts = [&counts, &sums, &lows, &highs, &counter].map(|part| Some((1, &**part)));
    let [a, b, c, d, e] = parts;
    let data = encode_aggregate(&[a, b, c, d, e, None]);
    Chunk { min_time_ms: times[0], max_time_ms: times[4], encoding: AGGREGATE, data }
}

fn shelf(series: Vec<(Labels, Vec<Chunk>)>) -> Shelf {
    Shelf { series, ..Shelf::default() }
}

fn anything() -> StoreInfo {
    StoreInfo::of_one(Component::Store, Labels::empty(), TimeRange::ALL)
}

// ---- Thanos's tables

#[derive(Deserialize)]
struct Group {
    desc: String,
    samples: Vec<SampleRow>,
    label_names: Vec<Call>,
    label_values: Vec<Call>,
    series: Vec<SeriesCall>,
}

#[derive(Deserialize)]
struct SampleRow {
    labels: std::collections::BTreeMap<String, String>,
    time: String,
}

#[derive(Deserialize)]
struct Call {
    start: String,
    end: String,
    #[serde(default)]
    label: String,
    matchers: Vec<(String, String, String)>,
    #[serde(default)]
    expect: Vec<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct SeriesCall {
    start: String,
    end: String,
    matchers: Vec<(String, String, String)>,
    skip_chunks: bool,
    expect: Vec<std::collections::BTreeMap<String, String>>,
}

fn time_ms(text: &str) -> i64 {
    match text {
        "min" => i64::MIN,
        "max" => i64::MAX,
        "now" => NOW_MS,
        "now-4h" => NOW_MS - 4 * HOUR_MS,
        "epoch" => 0,
        other => panic!("{other}"),
    }
}

fn op(text: &str) -> MatchOp {
    let all = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
    all.into_iter().find(|op| op.text() == text).unwrap()
}

fn conditions(rows: &[(String, String, String)]) -> (Vec<Matcher>, Vec<LabelMatcher>) {
    let matcher = |(name, text, value): &(String, String, String)| {
        Matcher::new(name, op(text), value).unwrap()
    };
    let matchers: Vec<Matcher> = rows.iter().map(matcher).collect();
    let kind = |op| match op {
        MatchOp::Equal => 0,
        MatchOp::NotEqual => 1,
        MatchOp::Regex => 2,
        MatchOp::NotRegex => 3,
    };
    let written = rows.iter().map(|(name, text, value)| LabelMatcher {
        kind: kind(op(text)),
        name: name.clone(),
        value: value.clone(),
    });
    (matchers, written.collect())
}

fn acceptance() -> Vec<Group> {
    let text = include_str!("../../../testdata/thanos/storeapi/acceptance.json");
    serde_json::from_str(text).unwrap()
}

fn fill(group: &Group) -> Tsdb {
    let db = tsdb();
    let mut appender = db.appender();
    for sample in &group.samples {
        let labels = Labels::from_pairs(&sample.labels).unwrap();
        let series = appender.series(&labels).unwrap();
        appender.push(series, time_ms(&sample.time), 1.0);
    }
    appender.commit().unwrap();
    db
}

/// The groups of Thanos's acceptance suite for every kind of store, asked as that suite asks.
fn accept(served: &Served, group: &Group) -> usize {
    let replica = vec!["replica".to_owned()];
    for call in &group.label_names {
        let request = LabelNamesRequest {
            start_ms: time_ms(&call.start),
            end_ms: time_ms(&call.end),
            matchers: conditions(&call.matchers).1,
            without_replica_labels: replica.clone(),
            ..LabelNamesRequest::default()
        };
        let answer = served.unary("/thanos.Store/LabelNames", &request);
        let answer: LabelNamesResponse = answer.unwrap();
        assert_eq!(answer.names, call.expect, "{}: {request:?}", group.desc);
    }
    for call in &group.label_values {
        let request = LabelValuesRequest {
            label: call.label.clone(),
            start_ms: time_ms(&call.start),
            end_ms: time_ms(&call.end),
            matchers: conditions(&call.matchers).1,
            without_replica_labels: replica.clone(),
            ..LabelValuesRequest::default()
        };
        let answer = served.unary::<LabelValuesResponse>("/thanos.Store/LabelValues", &request);
        match (answer, &call.error) {
            (Ok(answer), None) => {
                assert_eq!(answer.values, call.expect, "{}: {request:?}", group.desc);
            }
            (Err(status), Some(error)) => {
                let told =
                    format!("rpc error: code = {:?} desc = {}", status.code(), status.message());
                assert_eq!(told, *error);
            }
            (answer, error) => panic!("{}: {answer:?}, not {error:?}", group.desc),
        }
    }
    for call in &group.series {
        let request = SeriesRequest {
            min_time_ms: time_ms(&call.start),
            max_time_ms: time_ms(&call.end),
            matchers: conditions(&call.matchers).1,
            skip_chunks: call.skip_chunks,
            without_replica_labels: replica.clone(),
            ..SeriesRequest::default()
        };
        let (series, warnings) = served.series(&request).unwrap();
        let found: Vec<Labels> = series.iter().map(labels_of).collect();
        let expect = call.expect.iter().map(|set| Labels::from_pairs(set).unwrap());
        assert_eq!(found, expect.collect::<Vec<_>>(), "{}: {request:?}", group.desc);
        assert!(warnings.is_empty());
        assert!(series.iter().all(|one| one.chunks.is_empty() == call.skip_chunks));
    }
    group.label_names.len() + group.label_values.len() + group.series.len()
}

#[test]
fn a_storage_is_accepted_as_a_store() {
    let external = labels([("region", "eu-west")]);
    let calls: usize =
        acceptance().iter().map(|group| accept(&leaf(&fill(group), &external), group)).sum();
    assert_eq!(calls, 72);
}

/// As Thanos's suite for queriers: two replicas of the same data, merged.
#[test]
fn two_replicas_are_accepted_as_one_store() {
    let mut calls = 0;
    for group in acceptance() {
        let replica = |name| labels([("region", "eu-west"), ("replica", name)]);
        let source = |labels: &Labels| -> Arc<dyn Queryable> {
            Arc::new(External::new(Arc::new(fill(&group)), labels.clone()))
        };
        let sets = vec![replica("r1"), replica("r2")];
        let merged = Merged::new(sets.iter().map(source).collect());
        let info = StoreInfo { label_sets: sets, ..anything() };
        let served = Served::new(Arc::new(merged), info);
        // Who has several sets of labels does not know the values of one without a look.
        if group.samples.is_empty() {
            continue;
        }
        let mut group = group;
        for call in &mut group.series {
            // Both replicas are there, side by side.
            let twice = call.expect.iter().flat_map(|set| [set.clone(), set.clone()]);
            let twice = if call.skip_chunks { call.expect.clone() } else { twice.collect() };
            call.expect = twice;
        }
        calls += accept(&served, &group);
    }
    assert_eq!(calls, 68);
}

#[test]
fn our_client_gets_what_the_suite_expects() {
    let external = labels([("region", "eu-west")]);
    for group in acceptance() {
        let served = leaf(&fill(&group), &external);
        let client = served.client();
        let ask = |call: &Call| {
            let range = TimeRange::new(time_ms(&call.start), time_ms(&call.end));
            Select::new(conditions(&call.matchers).0, range)
        };
        for call in &group.label_names {
            assert_eq!(texts(client.label_names(&ask(call)).unwrap()), call.expect);
        }
        for call in group.label_values.iter().filter(|call| call.error.is_none()) {
            let values = client.label_values(&call.label, &ask(call)).unwrap();
            assert_eq!(texts(values), call.expect, "{}", group.desc);
        }
        for call in &group.series {
            let found = client.select(&all(conditions(&call.matchers).0)).unwrap();
            let labels = found.series.iter().map(|series| series.labels().clone());
            let expect = call.expect.iter().map(|set| Labels::from_pairs(set).unwrap());
            assert!(labels.eq(expect), "{}: {found:?}", group.desc);
            let mut column = Column::new();
            for series in &found.series {
                series.read(TimeRange::ALL, &mut column).unwrap();
            }
            assert_eq!(column.floats, vec![1.0; found.series.len()]);
        }
    }
}

#[test]
fn samples_come_in_chunks_of_120() {
    let db = tsdb();
    let mut appender = db.appender();
    let series = appender.series(&labels([("a", "b")])).unwrap();
    let count: i64 = 2 * 65_535 + 5;
    for index in 0..count {
        appender.push(series, NOW_MS + index, 1.0);
    }
    appender.commit().unwrap();
    let served = leaf(&db, &labels([("region", "eu-west")]));
    let request = asking(&[("a", 0, "b"), ("region", 0, "eu-west")]);
    let (series, _) = served.series(&request).unwrap();
    assert_eq!(labels_of(&series[0]), labels([("a", "b"), ("region", "eu-west")]));
    let chunks: Vec<&AggrChunk> = series.iter().flat_map(|series| &series.chunks).collect();
    let counts = chunks.iter().map(|chunk| {
        let raw = chunk.raw.as_ref().unwrap();
        assert_eq!(raw.hash, xxhash_rust::xxh64::xxh64(&raw.data, 0));
        u16::from_be_bytes([raw.data[0], raw.data[1]])
    });
    let counts: Vec<u16> = counts.collect();
    assert_eq!((counts.len(), counts[1092]), (1093, 35));
    assert!(counts[..1092].iter().all(|count| *count == 120));
}

#[derive(Deserialize)]
struct ShardCase {
    name: String,
    matches: bool,
    series: std::collections::BTreeMap<String, String>,
    shard: Option<ShardRow>,
}

#[derive(Deserialize)]
struct ShardRow {
    index: i64,
    total: i64,
    by: bool,
    labels: Vec<String>,
}

#[test]
fn series_fall_into_the_shards_of_thanos() {
    let text = include_str!("../../../testdata/thanos/storeapi/shards.json");
    let cases: Vec<ShardCase> = serde_json::from_str(text).unwrap();
    assert_eq!(cases.len(), 8);
    for case in cases {
        let series = Labels::from_pairs(&case.series).unwrap();
        let info = case.shard.map(|row| ShardInfo {
            shard_index: row.index,
            total_shards: row.total,
            by: row.by,
            labels: row.labels,
        });
        let served = Served::new(
            Arc::new(shelf(vec![(series.clone(), vec![chunk(1, &[(1, 1.0)])])])),
            anything(),
        );
        let mut request = asking(&[("any", 2, ".*")]);
        request.shard_info = info;
        let (found, _) = served.series(&request).unwrap();
        assert_eq!(!found.is_empty(), case.matches, "{}", case.name);
    }
    let mut request = asking(&[("any", 2, ".*")]);
    let wrong = ShardInfo { shard_index: 2, total_shards: 2, ..ShardInfo::default() };
    request.shard_info = Some(wrong);
    let served = Served::new(Arc::new(Shelf::default()), anything());
    assert_eq!(served.series(&request).unwrap_err().code(), Code::InvalidArgument);
}

// ---- what is particular to us

#[test]
fn a_store_tells_of_itself() {
    let info = StoreInfo {
        component: Component::Store,
        label_sets: vec![labels([("a", "1")]), labels([("b", "2")])],
        range: TimeRange::new(-5, 10),
        tsdbs: vec![TsdbInfo { labels: labels([("a", "1")]), range: TimeRange::new(0, 3) }],
    };
    let served = Served::new(Arc::new(Shelf::default()), info.clone());
    assert_eq!(*served.client().info().unwrap(), info);
    let health: Result<Health, _> = served.unary("/grpc.health.v1.Health/Check", &Label::default());
    assert_eq!(health.unwrap(), Health { status: 1 });
    let missing: Result<Label, _> = served.unary("/thanos.Rules/Rules", &Label::default());
    assert_eq!(missing.unwrap_err().code(), Code::Unimplemented);
}

#[test]
fn a_request_for_everything_is_refused() {
    let db = tsdb();
    let served = leaf(&db, &labels([("region", "eu-west")]));
    let status = served.series(&asking(&[("region", 0, "eu-west")])).unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "no matchers specified (excluding external labels)");
    assert_eq!(served.series(&asking(&[("region", 0, "other")])).unwrap(), (vec![], vec![]));
    let bad = served.series(&asking(&[("a", 2, "(")])).unwrap_err();
    assert_eq!(bad.code(), Code::InvalidArgument);
    assert_eq!(served.series(&asking(&[("a", 4, "")])).unwrap_err().code(), Code::InvalidArgument);
    // Our client gets around it: the label that tells stores apart is enough for it.
    let found = served.client().select(&all(vec![Matcher::equal("region", "eu-west")])).unwrap();
    assert!(found.series.is_empty() && found.warnings.is_empty(), "{:?}", found.warnings);
    let page = served.registry.gather();
    let handled = page.iter().find(|family| family.name == "grpc_server_handled_total").unwrap();
    assert!(handled.members.len() >= 3, "{handled:?}");
}

fn replicas() -> Shelf {
    let one = |a, replica| {
        let chunk = chunk(1, &[(1, 1.0), (5, 2.0)]);
        (labels([("a", a), ("replica", replica)]), vec![chunk])
    };
    shelf(vec![one("1", "x"), one("1", "y"), one("2", "x"), one("2", "y"), one("3", "x")])
}

#[test]
fn without_replica_labels_the_order_is_that_of_the_labels_left() {
    let one = |pod, z| (labels([("pod", pod), ("z", z)]), vec![chunk(1, &[(1, 1.0)])]);
    let served =
        Served::new(Arc::new(shelf(vec![one("a", "2"), one("b", "1"), one("c", "2")])), anything());
    let mut request = asking(&[("pod", 1, "")]);
    request.without_replica_labels = vec!["pod".into(), "unknown".into()];
    for batch_size in [0, 2, 64] {
        request.response_batch_size = batch_size;
        let (series, _) = served.series(&request).unwrap();
        let z: Vec<&str> = series.iter().map(|one| &*one.labels[0].value).collect();
        assert_eq!(z, ["1", "2", "2"]);
    }
}

#[test]
fn series_travel_in_frames_of_the_size_asked_for() {
    let served = Served::new(Arc::new(replicas()), anything());
    let mut request = asking(&[("a", 1, "")]);
    assert_eq!(served.frames(&request).unwrap().len(), 5);
    request.response_batch_size = 2;
    let frames = served.frames(&request).unwrap();
    let sizes = frames.iter().map(|frame| match frame {
        Frame::Batch(batch) => batch.series.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!(sizes.collect::<Vec<_>>(), [2, 2, 1]);
    let options = StoreServerOptions { frame_bytes: 1, ..StoreServerOptions::default() };
    let chunks: Vec<Chunk> = (0..3).map(|at| chunk(1, &[(at * 10, 1.0)])).collect();
    let tiny = shelf(vec![(labels([("a", "1")]), chunks)]);
    let served = Served::with(Arc::new(tiny), anything(), options);
    let frames = served.frames(&request).unwrap();
    assert_eq!(frames.len(), 3, "a long series takes several frames");
    let read = served.client().select(&all(vec![Matcher::equal("a", "1")])).unwrap();
    assert_eq!(read.series.len(), 1);
    let mut chunks = Vec::new();
    read.series[0].chunks(TimeRange::ALL, &mut chunks).unwrap();
    assert_eq!(chunks.len(), 3);
}

#[test]
fn limits_count_label_sets() {
    let served = Served::new(Arc::new(replicas()), anything());
    let mut request = asking(&[("a", 1, "")]);
    request.limit = 2;
    assert_eq!(served.series(&request).unwrap().0.len(), 2);
    request.without_replica_labels = vec!["replica".into()];
    assert_eq!(served.series(&request).unwrap().0.len(), 4);
    request.skip_chunks = true;
    let (series, _) = served.series(&request).unwrap();
    assert_eq!(
        series.iter().map(labels_of).collect::<Vec<_>>(),
        [labels([("a", "1")]), labels([("a", "2")])]
    );
    let options = StoreServerOptions { series_max: 2, ..StoreServerOptions::default() };
    let served = Served::with(Arc::new(replicas()), anything(), options);
    let status = served.series(&asking(&[("a", 1, "")])).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let options = StoreServerOptions { chunks_max_bytes: 40, ..StoreServerOptions::default() };
    let served = Served::with(Arc::new(replicas()), anything(), options);
    let status = served.series(&asking(&[("a", 1, "")])).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
}

#[test]
fn chunks_travel_in_encodings_that_thanos_reads() {
    let mut column = Column::new();
    for at in 0..5_i64 {
        column.push_value(at, 1 + at / 3, Value::Float(at as f64));
    }
    for at in 5..9 {
        column.push_histogram(at, Histogram::stale(at < 7).as_ref());
        column.set_last_start(2);
    }
    let mut stored = Vec::new();
    encode_column(&column, 0..column.len(), &EncodeOptions::default(), &mut |one| {
        let (min_time_ms, max_time_ms) = (one.min_time_ms, one.max_time_ms);
        stored.push(Chunk { min_time_ms, max_time_ms, encoding: one.encoding, data: one.data });
    })
    .unwrap();
    let encodings: Vec<u8> = stored.iter().map(|chunk| chunk.encoding).collect();
    assert!(encodings.iter().all(|encoding| *encoding >= Encoding::Xor2 as u8), "{encodings:?}");
    let served = Served::new(Arc::new(shelf(vec![(labels([("a", "1")]), stored)])), anything());
    let (series, warnings) = served.series(&asking(&[("a", 0, "1")])).unwrap();
    let kinds = series[0].chunks.iter().map(|chunk| chunk.raw.as_ref().unwrap().kind);
    let mut kinds: Vec<i32> = kinds.collect();
    kinds.dedup();
    kinds.sort_unstable();
    assert_eq!((kinds, warnings), (vec![0, 1, 2], vec![]));
    let found = served.client().select(&all(vec![Matcher::equal("a", "1")])).unwrap();
    let mut read = Column::new();
    found.series[0].read(TimeRange::ALL, &mut read).unwrap();
    assert_eq!(read.timestamps, column.timestamps);
    assert_eq!(read.floats[..5], column.floats[..5]);
    assert_eq!(read.histograms.len(), 4);
}

#[test]
fn downsampled_chunks_travel_as_the_aggregates_asked_for() {
    let stored = aggregates();
    let series = vec![(labels([("a", "1")]), vec![stored.clone()])];
    let served = Served::new(Arc::new(shelf(series)), anything());
    let mut request = asking(&[("a", 0, "1")]);
    request.aggregates = vec![1, 2];
    let (found, warnings) = served.series(&request).unwrap();
    let one = &found[0].chunks[0];
    assert!(one.raw.is_none() && one.count.is_some() && one.sum.is_some() && one.min.is_none());
    assert!(warnings.is_empty());
    // Nothing of what is there was asked for.
    request.aggregates = vec![0];
    let (found, warnings) = served.series(&request).unwrap();
    assert_eq!((found.len(), warnings.len()), (0, 1), "{warnings:?}");
    request.partial_response_strategy = STRATEGY_ABORT;
    assert_eq!(served.series(&request).unwrap_err().code(), Code::Aborted);

    let client = served.client();
    let cases: [(Option<&str>, [f64; 5]); 6] = [
        (None, [0.0, 1.0, 2.0, 3.0, 4.0]),
        (Some("sum_over_time"), [0.0, 10.0, 20.0, 30.0, 40.0]),
        (Some("min_over_time"), [-1.0, 0.0, 1.0, 2.0, 3.0]),
        (Some("max"), [1.0, 2.0, 3.0, 4.0, 5.0]),
        (Some("count_over_time"), [10.0; 5]),
        (Some("rate"), [101.0, 102.0, 103.0, 104.0, 105.0]),
    ];
    for (func, expected) in cases {
        let mut ask = all(vec![Matcher::equal("a", "1")]);
        ask.hints.func = func.map(Arc::from);
        ask.hints.range_ms = 600_000;
        ask.hints.max_resolution_ms = 300_000;
        let found = client.select(&ask).unwrap();
        let mut column = Column::new();
        found.series[0].read(TimeRange::ALL, &mut column).unwrap();
        // The counter begins with a raw sample before the first window.
        let values = &column.floats[column.len() - 5..];
        assert_eq!(values, expected, "{func:?}: {column:?}");
        assert_eq!(column.summary(column.len() - 1).resolution_ms, 300_000, "{func:?}");
        assert_eq!(found.series[0].resolution_ms(), 300_000, "{func:?}");
    }
}

#[test]
fn a_broken_series_is_a_warning_or_the_end() {
    let series = vec![
        (labels([("a", "1"), ("broken", "yes")]), vec![]),
        (labels([("a", "2")]), vec![chunk(1, &[(1, 1.0)])]),
        (labels([("a", "3")]), vec![Chunk { encoding: 77, ..chunk(1, &[(1, 1.0)]) }]),
    ];
    let warnings = vec!["a block is missing".to_owned()];
    let source = Arc::new(Shelf { warnings, ..shelf(series) });
    let served = Served::new(source, anything());
    let mut request = asking(&[("a", 1, "")]);
    let (found, warnings) = served.series(&request).unwrap();
    assert_eq!(found.iter().map(labels_of).collect::<Vec<_>>(), [labels([("a", "2")])]);
    assert_eq!(
        warnings,
        [
            "a block is missing",
            "series {a=\"1\", broken=\"yes\"}: corrupt data: segment 1 at 8",
            "series {a=\"3\"}: unknown chunk encoding 77",
        ]
    );
    request.partial_response_disabled = true;
    assert_eq!(served.series(&request).unwrap_err().code(), Code::Aborted);
    let ask = all(vec![Matcher::new("a", MatchOp::NotEqual, "").unwrap()]);
    let found = served.client().select(&ask).unwrap();
    assert_eq!((found.series.len(), found.warnings.len()), (1, 3));
    assert!(found.warnings[0].starts_with("store 127.0.0.1:"), "{:?}", found.warnings);
    let options = RemoteOptions { partial: PartialAnswers::Refuse, ..RemoteOptions::default() };
    let error = served.client_with(options).select(&ask).unwrap_err();
    assert!(error.to_string().ends_with("Aborted: a block is missing"), "{error}");
}

#[test]
fn a_store_that_is_not_there_is_a_warning_or_the_end() {
    let runtime = ClientRuntime::of(THREADS.handle().clone());
    let served = Served::new(Arc::new(replicas()), anything());
    let there = served.client();
    // Reserved for programs that do not exist.
    let gone = |partial| {
        let options = RemoteOptions { partial, ..RemoteOptions::default() };
        RemoteStore::new("127.0.0.1:1", &runtime, options).unwrap()
    };
    let ask = all(vec![Matcher::equal("a", "1")]);
    let stores = RemoteStores::new(vec![gone(PartialAnswers::Warn), there.clone()]);
    let found = stores.select(&ask).unwrap();
    assert_eq!((found.series.len(), found.warnings.len()), (2, 1), "{:?}", found.warnings);
    assert!(found.warnings[0].contains("127.0.0.1:1: "), "{:?}", found.warnings);
    let stores = RemoteStores::new(vec![gone(PartialAnswers::Refuse), there]);
    assert!(matches!(stores.select(&ask), Err(QueryError::Unavailable(_))));
    assert!(gone(PartialAnswers::Warn).label_names(&ask).unwrap().is_empty());
    assert!(gone(PartialAnswers::Refuse).label_values("a", &ask).is_err());
    assert!(RemoteStore::new("https://a:1", &runtime, RemoteOptions::default()).is_err());
    assert!(RemoteStore::new("a b", &runtime, RemoteOptions::default()).is_err());
}

#[test]
fn a_store_is_not_asked_for_what_it_cannot_have() {
    let source = Arc::new(replicas());
    let info = StoreInfo::of_one(Component::Store, labels([("a", "1")]), TimeRange::new(0, 100));
    let served = Served::new(source.clone(), info);
    let client = served.client();
    let beyond = TimeRange::new(101, 200);
    let asks = [
        Select::new(vec![Matcher::equal("replica", "x")], beyond),
        all(vec![Matcher::equal("a", "2")]),
        all(vec![Matcher::new("a", MatchOp::NotRegex, "1|2").unwrap()]),
    ];
    for ask in asks {
        assert!(client.select(&ask).unwrap().series.is_empty());
        assert!(client.label_names(&ask).unwrap().is_empty());
    }
    assert_eq!(source.selects.load(Ordering::SeqCst), 0);
    assert_eq!(client.select(&all(vec![Matcher::equal("a", "1")])).unwrap().series.len(), 2);
}

#[test]
fn an_answer_that_is_too_large_is_refused() {
    let served = Served::new(Arc::new(replicas()), anything());
    let options = RemoteOptions { partial: PartialAnswers::Refuse, ..RemoteOptions::default() };
    // Of a frame, and of what is made of them.
    let cases = [(300, "the limit is: 300 bytes"), (400, "larger than the limit of 400 bytes")];
    for (answer_max_bytes, told) in cases {
        let options = RemoteOptions { answer_max_bytes, ..options.clone() };
        let error = served.client_with(options).select(&all(vec![])).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
}

/// A source that blocks longer than anybody waits.
struct Slow;

impl Queryable for Slow {
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
        assert!(ask.matchers.iter().all(|matcher| matcher.name() != "panic"), "a defect");
        std::thread::sleep(Duration::from_millis(800));
        Ok(SeriesSet::default())
    }

    fn label_names(&self, _: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        panic!("a defect");
    }

    fn label_values(&self, _: &str, _: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        Ok(vec!["x".into()])
    }
}

#[test]
fn a_slow_store_is_left_and_a_defect_is_told() {
    let served = Served::new(Arc::new(Slow), anything());
    let options = RemoteOptions {
        partial: PartialAnswers::Refuse,
        timeout: Duration::from_millis(50),
        ..RemoteOptions::default()
    };
    let client = served.client_with(options);
    let error = client.select(&all(vec![])).unwrap_err();
    assert!(error.to_string().contains("no whole answer after 0.05 s"), "{error}");
    let options = RemoteOptions { partial: PartialAnswers::Refuse, ..RemoteOptions::default() };
    let client = served.client_with(options);
    let error = client.label_names(&all(vec![])).unwrap_err();
    assert!(error.to_string().contains("panic"), "{error}");
    let error = client.select(&all(vec![Matcher::equal("panic", "yes")])).unwrap_err();
    assert!(error.to_string().contains("the answer broke off"), "{error}");
    assert_eq!(texts(client.label_values("a", &all(vec![])).unwrap()), ["x"]);
}

#[test]
fn a_slow_asker_slows_the_reading_down() {
    let one = |at: usize| {
        let noise: Vec<(i64, f64)> =
            (0..120).map(|time| (time, (at * 1000) as f64 + (time as f64).sin())).collect();
        let chunks = (0..100_i64).map(|_| chunk(1, &noise)).collect();
        (labels([("a", &*format!("{at:04}"))]), chunks)
    };
    let source = Arc::new(shelf((0..500).map(one).collect()));
    let reads = source.reads.clone();
    let served = Served::new(source, anything());
    let mut grpc = served.grpc();
    let body = Bytes::from(asking(&[("a", 1, "")]).encode_to_vec());
    THREADS.block_on(async {
        grpc.ready().await.unwrap();
        let path = PathAndQuery::from_static("/thanos.Store/Series");
        let answer = grpc.server_streaming(Request::new(body), path, BytesCodec).await.unwrap();
        let mut stream = answer.into_inner();
        assert!(stream.message().await.unwrap().is_some());
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = reads.load(Ordering::SeqCst);
        assert!(before < 100, "{before} of 500 series were read for one frame taken");
        let mut frames = 1;
        while stream.message().await.unwrap().is_some() {
            frames += 1;
        }
        assert_eq!(frames, 500);
    });
    assert_eq!(reads.load(Ordering::SeqCst), 500);
}

/// Chunks that overlap, as of blocks that were not compacted yet.
#[test]
fn overlapping_chunks_are_one_series_of_samples() {
    let chunks = vec![
        chunk(1, &[(1, 1.0), (3, 3.0), (5, 5.0)]),
        chunk(1, &[(2, 2.0), (3, 30.0), (4, 4.0)]),
        chunk(1, &[(1, 1.0), (3, 3.0), (5, 5.0)]),
        chunk(1, &[(9, 9.0)]),
    ];
    let series = vec![(labels([("a", "1")]), chunks)];
    let served = Served::new(Arc::new(shelf(series)), anything());
    let found = served.client().select(&all(vec![])).unwrap();
    let mut column = Column::new();
    found.series[0].read(TimeRange::new(2, 9), &mut column).unwrap();
    assert_eq!(column.timestamps, [2, 3, 4, 5, 9]);
    assert_eq!(column.floats, [2.0, 3.0, 4.0, 5.0, 9.0]);
    let mut chunks = Vec::new();
    found.series[0].chunks(TimeRange::ALL, &mut chunks).unwrap();
    assert!(chunks.is_sorted_by_key(|chunk| chunk.min_time_ms));
    let mut only_labels = all(vec![]);
    only_labels.hints.func = Some("series".into());
    let found = served.client().select(&only_labels).unwrap();
    let mut none = Column::new();
    found.series[0].read(TimeRange::ALL, &mut none).unwrap();
    assert!(none.is_empty());
    let mut read = Column::new();
    decode(chunks[0].encoding, &chunks[0].data, (i64::MIN, i64::MAX), &mut read).unwrap();
    assert_eq!(read.floats, [1.0, 3.0, 5.0]);
}

/// Stores send chunks without the length of their windows.
#[test]
fn the_length_of_windows_is_found_out_from_chunks_that_thanos_wrote() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/golden/thanos/downsample");
    let blocks =
        [("5m/01KEAW1NYG5JS0QEK8EA8X6NE9", 300_000), ("1h/01KEAW1PXRPNW60KZ77TEBVMT9", HOUR_MS)];
    for (folder, resolution_ms) in blocks {
        let dir = std::path::Path::new(root).join(folder);
        let block = Block::open(&RealDisk::shared(), &dir).unwrap();
        let served = Served::new(block, anything());
        let client = served.client();
        let mut known = 0;
        for func in ["", "sum_over_time", "count_over_time", "rate"] {
            let mut ask = all(vec![Matcher::equal("job", "demo")]);
            ask.hints.func = (!func.is_empty()).then(|| func.into());
            ask.hints.range_ms = 1;
            ask.hints.max_resolution_ms = HOUR_MS;
            let found = client.select(&ask).unwrap();
            assert!(found.series.len() > 10, "{:?}", found.warnings);
            for series in &found.series {
                let mut column = Column::new();
                series.read(TimeRange::ALL, &mut column).unwrap();
                // Of few windows nothing can be said.
                if column.len() > 3 {
                    known += 1;
                    let found = series.resolution_ms();
                    assert_eq!(found, resolution_ms, "{func} {}", series.labels());
                }
            }
        }
        assert!(known > 40, "{known}");
    }
}

// ---- frames against another implementation of protobuf

type Row = (Vec<(String, String)>, Vec<(i64, i64, i32, Vec<u8>)>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let pairs = btree_map("[a-z]{1,5}", "\\PC{1,140}", 0..4);
    let chunk = (any::<i64>(), any::<i64>(), 0..3_i32, vec(any::<u8>(), 0..200));
    let row = (pairs, vec(chunk, 0..4));
    vec(row, 0..6).prop_map(|rows| {
        // Each label set once.
        let rows: std::collections::BTreeMap<Vec<_>, _> =
            rows.into_iter().map(|(pairs, chunks)| (pairs.into_iter().collect(), chunks)).collect();
        rows.into_iter().collect()
    })
}

fn message((pairs, chunks): &Row) -> SeriesMessage {
    let label =
        |(name, value): &(String, String)| Label { name: name.clone(), value: value.clone() };
    let chunk = |(min_time, max_time, kind, data): &(i64, i64, i32, Vec<u8>)| AggrChunk {
        min_time: *min_time,
        max_time: *max_time,
        raw: Some(ChunkMessage {
            kind: *kind,
            data: data.clone(),
            hash: xxhash_rust::xxh64::xxh64(data, 0),
        }),
        ..AggrChunk::default()
    };
    SeriesMessage {
        labels: pairs.iter().map(label).collect(),
        chunks: chunks.iter().map(chunk).collect(),
    }
}

fn read_frames<'a>(frames: impl Iterator<Item = &'a Bytes>) -> Vec<(Labels, Vec<Chunk>)> {
    let mut reader = AnswerReader::new(usize::MAX);
    frames.for_each(|frame| reader.frame(frame).unwrap());
    let series = reader.finish().series.into_iter();
    series.map(|found| (found.labels, found.chunks)).collect()
}

proptest! {
    #[test]
    fn frames_are_what_another_implementation_reads_and_writes(
        rows in rows(),
        batch_size in 0_usize..4,
        frame_bytes in 0_usize..400,
    ) {
        let mut frames = Vec::new();
        let mut send = |frame| {
            frames.push(frame);
            true
        };
        let mut writer = FrameWriter::new(&mut send, batch_size, frame_bytes);
        for (pairs, chunks) in &rows {
            writer.begin(&Labels::from_pairs(pairs.iter().map(|(a, b)| (a, b))).unwrap());
            for (first_ms, last_ms, kind, data) in chunks {
                let part = Part { field: 3, encoding: *kind as u8 + 1, data };
                writer.chunk((*first_ms, *last_ms), &[part]).unwrap();
            }
            writer.end_series().unwrap();
        }
        writer.flush().unwrap();
        let mut read: Vec<SeriesMessage> = Vec::new();
        for frame in &frames {
            let mut series = match SeriesResponse::decode(frame.clone()).unwrap().frame.unwrap() {
                Frame::Series(one) => vec![one],
                Frame::Batch(batch) => batch.series,
                Frame::Warning(text) => panic!("{text}"),
            };
            prop_assert!(series.len() <= batch_size.max(1));
            // A series may go on in the next frame.
            for mut one in series.drain(..) {
                match read.last_mut().filter(|last| last.labels == one.labels) {
                    Some(last) => last.chunks.append(&mut one.chunks),
                    None => read.push(one),
                }
            }
        }
        let wanted: Vec<SeriesMessage> = rows.iter().map(message).collect();
        prop_assert_eq!(&read, &wanted);
        let theirs = |one: &SeriesMessage| {
            let frame = Some(Frame::Series(one.clone()));
            Bytes::from(SeriesResponse { frame }.encode_to_vec())
        };
        let theirs: Vec<Bytes> = wanted.iter().map(theirs).collect();
        prop_assert_eq!(read_frames(frames.iter()), read_frames(theirs.iter()));
    }

    #[test]
    fn any_bytes_are_a_frame_or_an_error(
        noise in vec(any::<u8>(), 0..80),
        rows in rows(),
        at in any::<prop::sample::Index>(),
    ) {
        let _ = AnswerReader::new(1 << 20).frame(&Bytes::from(noise.clone()));
        let series = rows.iter().map(message).collect();
        let frame = Some(Frame::Batch(SeriesBatch { series }));
        let mut bytes = SeriesResponse { frame }.encode_to_vec();
        let at = at.index(bytes.len() + 1).min(bytes.len());
        bytes.truncate(at);
        bytes.extend(noise);
        let mut reader = AnswerReader::new(1 << 20);
        if reader.frame(&Bytes::from(bytes)).is_ok() {
            reader.finish();
        }
    }
}
