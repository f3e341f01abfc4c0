//! The server through a socket, by our client and by messages that another implementation packs
//! and unpacks; the tables are Thanos's.

mod acceptance;
mod client;
mod frames;
mod secure;
mod server;

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

/// Two series of two replicas, and one of one.
fn replicas() -> Shelf {
    let one = |a, replica| {
        let chunk = chunk(1, &[(1, 1.0), (5, 2.0)]);
        (labels([("a", a), ("replica", replica)]), vec![chunk])
    };
    shelf(vec![one("1", "x"), one("1", "y"), one("2", "x"), one("2", "y"), one("3", "x")])
}

fn anything() -> StoreInfo {
    StoreInfo::of_one(Component::Store, Labels::empty(), TimeRange::ALL)
}
