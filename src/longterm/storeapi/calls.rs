//! The calls to one store, and what it last said of itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

use crate::base::clock::Stopwatch;
use crate::model::{Labels, MatchOp, Matcher};
use crate::series::Select;

use super::answer::{Answer, AnswerReader};
use super::chunks::numbers_for;
use super::client::{PartialAnswers, RemoteOptions};
use super::codec::BytesCodec;
use super::info::StoreInfo;
use super::matchers;
use super::messages::{
    InfoResponse, LabelMatcher, LabelNamesRequest, LabelNamesResponse, LabelValuesResponse,
    STRATEGY_ABORT, STRATEGY_WARN, SeriesRequest,
};

/// How soon a store that went away without a word is noticed.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// What a connection may bring before it is taken; answers are large, and distances may be long.
const WINDOW_BYTES: u32 = 4 << 20;
/// The function of a question that is about the series and not their samples, as Prometheus has it.
const ONLY_LABELS: &str = "series";
/// Series in one frame; as queriers ask.
const BATCH_SIZE: i64 = 64;

/// Why a call has no answer, in words for people.
#[derive(Debug, Clone)]
pub(super) struct Failure(pub(super) String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Failure {
    fn of(status: &Status) -> Self {
        let mut message = status.message().to_owned();
        if let Some(cause) = std::error::Error::source(status) {
            let cause = told(cause);
            message = if cause.contains(&message) { cause } else { format!("{message}: {cause}") };
        }
        Self(match status.code() {
            Code::Unknown | Code::Internal => message,
            code => format!("{code:?}: {message}"),
        })
    }
}

/// What a store last said of itself, or why it said nothing.
#[derive(Debug)]
struct LastWord {
    said: Result<Arc<StoreInfo>, Failure>,
    age: Stopwatch,
}

#[derive(Debug)]
pub(super) struct Calls {
    address: Box<str>,
    grpc: Grpc<Channel>,
    options: RemoteOptions,
    /// Locked while it is being asked for, so that many queries ask once.
    last_word: Mutex<Option<LastWord>>,
}

impl Calls {
    /// Must be called inside of the runtime that will carry the calls.
    pub(super) fn new(address: &str, endpoint: Endpoint, options: RemoteOptions) -> Self {
        let channel = endpoint
            .connect_timeout(options.info_timeout)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(2 * WINDOW_BYTES)
            .tcp_nodelay(true)
            .connect_lazy();
        let mut grpc = Grpc::new(channel).max_decoding_message_size(options.answer_max_bytes);
        if options.compression {
            // Requests stay as they are: they are small, and not every server could read them.
            grpc = grpc.accept_compressed(CompressionEncoding::Gzip);
        }
        Self { address: address.into(), grpc, options, last_word: Mutex::new(None) }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) const fn options(&self) -> &RemoteOptions {
        &self.options
    }

    const fn strategy(&self) -> i32 {
        match self.options.partial {
            PartialAnswers::Warn => STRATEGY_WARN,
            PartialAnswers::Refuse => STRATEGY_ABORT,
        }
    }

    /// What the store says of itself. One that failed lately is not asked again at once.
    pub(super) async fn info(&self) -> Result<Arc<StoreInfo>, Failure> {
        let mut last_word = self.last_word.lock().await;
        if let Some(last) = last_word.as_ref()
            && last.age.elapsed() < self.options.info_timeout
        {
            return last.said.clone();
        }
        let asked = self.unary("/thanos.info.Info/Info", Bytes::new());
        let said = within(self.options.info_timeout, asked).await.and_then(|body| {
            let message = InfoResponse::decode(body).map_err(|error| Failure(error.to_string()))?;
            let info = StoreInfo::read(message).map_err(|error| Failure(error.to_string()))?;
            info.map(Arc::new).ok_or_else(|| Failure("it offers no StoreAPI".into()))
        });
        *last_word = Some(LastWord { said: said.clone(), age: Stopwatch::start() });
        said
    }

    async fn unary(&self, path: &'static str, body: Bytes) -> Result<Bytes, Failure> {
        let mut grpc = self.grpc.clone();
        ready(&mut grpc).await?;
        let path = PathAndQuery::from_static(path);
        let answer = grpc.unary(Request::new(body), path, BytesCodec).await;
        Ok(answer.map_err(|status| Failure::of(&status))?.into_inner())
    }

    /// The conditions as the store is asked, or none if it cannot have what they describe.
    async fn conditions(&self, ask: &Select) -> Result<Option<Vec<LabelMatcher>>, Failure> {
        let info = self.info().await?;
        if !info.may_have(&ask.matchers, ask.range) {
            return Ok(None);
        }
        let mut conditions = matchers::write(&ask.matchers);
        // Stores refuse to be asked for all that they have; they are not asked whether the label
        // that tells them apart from others is one of theirs.
        let is_theirs = |labels: &Labels| !matchers::ask_beyond(&ask.matchers, labels);
        if (ask.matchers.is_empty() || info.label_sets.iter().any(is_theirs))
            && let Ok(any) = Matcher::new("__name__", MatchOp::Regex, ".*")
        {
            conditions.extend(matchers::write(&[any]));
        }
        Ok(Some(conditions))
    }

    pub(super) async fn series(&self, ask: &Select) -> Result<Answer, Failure> {
        let Some(matchers) = self.conditions(ask).await? else { return Ok(Answer::default()) };
        let request = SeriesRequest {
            min_time_ms: ask.range.start_ms,
            max_time_ms: ask.range.end_ms,
            matchers,
            max_resolution_ms: ask.hints.max_resolution_ms,
            aggregates: numbers_for(ask.hints.aggregate()).to_vec(),
            partial_response_disabled: self.options.partial == PartialAnswers::Refuse,
            partial_response_strategy: self.strategy(),
            skip_chunks: ask.hints.func.as_deref() == Some(ONLY_LABELS),
            limit: i64::try_from(ask.hints.limit).unwrap_or(0),
            response_batch_size: BATCH_SIZE,
            ..SeriesRequest::default()
        };
        within(self.options.timeout, self.read_series(request.encode_to_vec().into())).await
    }

    async fn read_series(&self, body: Bytes) -> Result<Answer, Failure> {
        let mut grpc = self.grpc.clone();
        ready(&mut grpc).await?;
        let path = PathAndQuery::from_static("/thanos.Store/Series");
        let answer = grpc.server_streaming(Request::new(body), path, BytesCodec).await;
        let mut frames: Streaming<Bytes> =
            answer.map_err(|status| Failure::of(&status))?.into_inner();
        let mut reader = AnswerReader::new(self.options.answer_max_bytes);
        while let Some(frame) = frames.message().await.map_err(|status| Failure::of(&status))? {
            reader.frame(&frame).map_err(|error| Failure(error.to_string()))?;
        }
        Ok(reader.finish())
    }

    /// The names of labels, or the values of one of them.
    pub(super) async fn texts(
        &self,
        label: Option<String>,
        ask: &Select,
    ) -> Result<Vec<Arc<str>>, Failure> {
        if !self.info().await?.may_have(&ask.matchers, ask.range) {
            return Ok(Vec::new());
        }
        let names = LabelNamesRequest {
            partial_response_disabled: self.options.partial == PartialAnswers::Refuse,
            partial_response_strategy: self.strategy(),
            start_ms: ask.range.start_ms,
            end_ms: ask.range.end_ms,
            matchers: matchers::write(&ask.matchers),
            without_replica_labels: Vec::new(),
            limit: i64::try_from(ask.hints.limit).unwrap_or(0),
        };
        let (texts, warnings) = match label {
            None => {
                let asked = self.message("/thanos.Store/LabelNames", &names);
                let answer: LabelNamesResponse = asked.await?;
                (answer.names, answer.warnings)
            }
            Some(label) => {
                let values = names.for_values_of(label);
                let asked = self.message("/thanos.Store/LabelValues", &values);
                let answer: LabelValuesResponse = asked.await?;
                (answer.values, answer.warnings)
            }
        };
        Ok(self.in_order(texts, &warnings))
    }

    async fn message<T: Message + Default>(
        &self,
        path: &'static str,
        request: &impl Message,
    ) -> Result<T, Failure> {
        let asked = self.unary(path, request.encode_to_vec().into());
        let body = within(self.options.timeout, asked).await?;
        T::decode(body).map_err(|error| Failure(error.to_string()))
    }

    fn in_order(&self, texts: Vec<String>, warnings: &[String]) -> Vec<Arc<str>> {
        for warning in warnings {
            tracing::warn!(store = self.address(), warning, "list of labels may not be whole");
        }
        let mut texts: Vec<Arc<str>> = texts.into_iter().map(Arc::from).collect();
        if !texts.is_sorted() {
            texts.sort();
        }
        texts.dedup();
        texts
    }
}

async fn ready(grpc: &mut Grpc<Channel>) -> Result<(), Failure> {
    grpc.ready().await.map_err(|error| Failure(told(&error)))
}

/// An error with its causes, each said once: the outermost says only that there was one.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let late = |_| Err(Failure(format!("no whole answer after {} s", limit.as_secs_f64())));
    timeout(limit, call).await.unwrap_or_else(late)
}
