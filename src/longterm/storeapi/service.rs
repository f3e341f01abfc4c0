//! A [`StoreServer`] behind a listener.
//!
//! Reading blocks, so each answer is made on a thread for that; frames go to the connection through
//! a short queue, so that a slow asker slows the reading down and not the memory up.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::codegen::http::{Request as HttpRequest, Response as HttpResponse};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{Grpc, ServerStreamingService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

use super::codec::BytesCodec;
use super::refusal::Refusal;
use super::server::{Shared, StoreServer};

/// Frames that wait for the connection.
const FRAMES_QUEUED_MAX: usize = 4;
/// Requests are matchers and lists of names.
const REQUEST_MAX_BYTES: usize = 16 << 20;
/// Requests that wait or are answered on one connection.
const STREAMS_MAX: u32 = 250;
/// How soon a connection that went away without a word is noticed.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Why serving ended before its time.
#[derive(Debug)]
pub struct ServeError(tonic::transport::Error);

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "serve gRPC: {}", self.0)
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Answers on `listener` until `stopped`; then accepts no more and ends with the requests that
/// have begun. Encrypted if the server's options say so.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(
    listener: TcpListener,
    server: StoreServer,
    stopped: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let mut builder = Server::builder();
    if let Some(tls) = &server.0.options.tls {
        builder = builder.tls_config(tls.config()).map_err(ServeError)?;
    }
    builder
        .http2_keepalive_interval(Some(KEEPALIVE))
        .max_concurrent_streams(Some(STREAMS_MAX))
        .serve_with_incoming_shutdown(
            Calls(server.0),
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            stopped,
        )
        .await
        .map_err(ServeError)
}

/// Finds out what is asked for.
#[derive(Clone)]
struct Calls(Arc<Shared>);

impl Service<HttpRequest<Body>> for Calls {
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = BoxFuture<HttpResponse<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Self::Future {
        let server = self.0.clone();
        let mut grpc = Grpc::new(BytesCodec)
            .max_decoding_message_size(REQUEST_MAX_BYTES)
            .accept_compressed(CompressionEncoding::Gzip);
        if server.options.compression {
            grpc = grpc.send_compressed(CompressionEncoding::Gzip);
        }
        Box::pin(async move {
            let (service, method, answer): (_, _, Answer) = match request.uri().path() {
                "/thanos.Store/Series" => {
                    return Ok(grpc.server_streaming(Series(server), request).await);
                }
                "/thanos.Store/LabelNames" => (STORE, "LabelNames", Shared::label_names),
                "/thanos.Store/LabelValues" => (STORE, "LabelValues", Shared::label_values),
                "/thanos.info.Info/Info" => ("thanos.info.Info", "Info", Shared::info),
                "/grpc.health.v1.Health/Check" => (HEALTH, "Check", serving),
                _ => return Ok(Status::unimplemented("no such method").into_http()),
            };
            Ok(grpc.unary(Unary { server, service, method, answer }, request).await)
        })
    }
}

const STORE: &str = "thanos.Store";
const HEALTH: &str = "grpc.health.v1.Health";

/// Makes the answer to a request.
type Answer = fn(&Shared, &Bytes) -> Result<Vec<u8>, Refusal>;

/// `HealthCheckResponse` with the status `SERVING`: who is asked here serves.
fn serving(_: &Shared, _: &Bytes) -> Result<Vec<u8>, Refusal> {
    Ok(vec![1 << 3, 1])
}

struct Unary {
    server: Arc<Shared>,
    service: &'static str,
    method: &'static str,
    answer: Answer,
}

impl UnaryService<Bytes> for Unary {
    type Response = Bytes;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let Self { server, service, method, answer } = self;
        let (server, service, method, answer) = (server.clone(), *service, *method, *answer);
        Box::pin(async move {
            // A store that is busy still tells that it is there.
            let permit = match service {
                STORE => Some(server.running.clone().acquire_owned().await),
                _ => None,
            };
            let making = tokio::task::spawn_blocking(move || {
                let result = answer(&server, request.get_ref());
                drop(permit);
                server.count(service, method, "unary", result.as_ref().err());
                result
            });
            let made = making.await.map_err(|error| Status::internal(error.to_string()))?;
            Ok(Response::new(made?.into()))
        })
    }
}

struct Series(Arc<Shared>);

/// What the thread that reads hands to the connection.
enum Piece {
    Frame(Bytes),
    /// Nothing follows. Without it the thread has died, and the answer is not whole.
    End(Result<(), Refusal>),
}

impl ServerStreamingService<Bytes> for Series {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let server = self.0.clone();
        Box::pin(async move {
            let permit = server.running.clone().acquire_owned().await;
            let (sender, receiver) = mpsc::channel(FRAMES_QUEUED_MAX);
            let runtime = Handle::current();
            tokio::task::spawn_blocking(move || {
                let pieces = Pieces { sender, runtime, stall: server.options.stall_timeout };
                let mut send = |frame| pieces.send(Piece::Frame(frame));
                let result = server.series(request.get_ref(), &mut send);
                drop(permit);
                server.count(STORE, "Series", "server_stream", result.as_ref().err());
                // Nobody is there to hear of it if this fails.
                let _ = pieces.send(Piece::End(result));
            });
            Ok(Response::new(frames_of(receiver)))
        })
    }
}

struct Pieces {
    sender: mpsc::Sender<Piece>,
    runtime: Handle,
    stall: Duration,
}

impl Pieces {
    /// False if nobody takes it.
    fn send(&self, piece: Piece) -> bool {
        match self.sender.try_send(piece) {
            Ok(()) => true,
            Err(TrySendError::Closed(_)) => false,
            Err(TrySendError::Full(piece)) => {
                self.runtime.block_on(self.sender.send_timeout(piece, self.stall)).is_ok()
            }
        }
    }
}

fn frames_of(receiver: mpsc::Receiver<Piece>) -> BoxStream<'static, Result<Bytes, Status>> {
    stream::unfold(Some(receiver), |receiver| async move {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Piece::Frame(frame)) => Some((Ok(frame), Some(receiver))),
            Some(Piece::End(Ok(()))) => None,
            Some(Piece::End(Err(refusal))) => Some((Err(refusal.into()), None)),
            None => Some((Err(Status::internal("the answer broke off")), None)),
        }
    })
    .boxed()
}

impl Shared {
    fn count(
        &self,
        service: &'static str,
        method: &'static str,
        kind: &'static str,
        refusal: Option<&Refusal>,
    ) {
        let code = refusal.map_or(Code::Ok, Refusal::code);
        let labels = [
            ("grpc_code", code_name(code)),
            ("grpc_method", method),
            ("grpc_service", service),
            ("grpc_type", kind),
        ];
        let help =
            "Total number of RPCs completed on the server, regardless of success or failure.";
        self.registry.counter_with("grpc_server_handled_total", help, &labels).inc();
    }
}

/// As Go's gRPC names those codes that a [`Refusal`] has.
const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::InvalidArgument => "InvalidArgument",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::Aborted => "Aborted",
        Code::Unavailable => "Unavailable",
        Code::Cancelled => "Canceled",
        _ => "Internal",
    }
}
