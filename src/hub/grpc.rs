//! Thanos's gRPC, both ways: this hub's data for queriers, and stores that this hub asks.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::base::metrics::Registry;
use crate::disk::{Disk, RealDisk};
use crate::longterm::storeapi::{
    ClientRuntime, ClientTls, Component, RemoteOptions, RemoteStore, RemoteStores, ServeError,
    ServerTls, StoreInfo, StoreServer, StoreServerOptions, TlsError, serve,
};
use crate::model::Labels;
use crate::series::{Queryable, TimeRange};
use crate::storage::db::Tsdb;
use crate::wire::config::GrpcConfig;

use super::run::{HubError, bindable};

/// How calls travel, both ways. Keys and certificates are read when it is made.
#[derive(Debug)]
pub(super) struct Transport {
    server: Option<ServerTls>,
    client: Option<ClientTls>,
    compression: bool,
}

impl Transport {
    /// As the configuration says.
    pub(super) fn read(config: &GrpcConfig) -> Result<Self, HubError> {
        let (server, client) = (server_tls(config)?, client_tls(config)?);
        Ok(Self { server, client, compression: config.compression })
    }
}

fn wrong(error: impl std::fmt::Display) -> HubError {
    HubError::Config(error.to_string())
}

fn read(path: &Path) -> Result<Vec<u8>, HubError> {
    RealDisk.read(path).map_err(|error| wrong(format!("{}: {error}", path.display())))
}

fn server_tls(config: &GrpcConfig) -> Result<Option<ServerTls>, HubError> {
    let (certificate, key) = match (&config.server_cert, &config.server_key) {
        (Some(certificate), Some(key)) => (read(certificate)?, read(key)?),
        (None, None) if config.server_client_ca.is_none() => return Ok(None),
        _ => return Err(wrong("thanos: grpc_server_tls_cert needs its grpc_server_tls_key")),
    };
    let ca = config.server_client_ca.as_deref().map(read).transpose()?;
    let made = ServerTls::new(&certificate, &key, ca.as_deref());
    made.map(Some).map_err(|error| wrong(format!("thanos: gRPC server: {error}")))
}

fn client_tls(config: &GrpcConfig) -> Result<Option<ClientTls>, HubError> {
    let GrpcConfig { client_ca, client_cert, client_key, client_server_name, .. } = config;
    if !config.client_secure {
        let is_plain = client_ca.is_none() && client_cert.is_none() && client_key.is_none();
        let what = "thanos: grpc_client_tls_* has no effect without grpc_client_tls_secure: true";
        return if is_plain { Ok(None) } else { Err(wrong(what)) };
    }
    let identity = match (client_cert, client_key) {
        (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
        (None, None) => None,
        _ => return Err(wrong("thanos: grpc_client_tls_cert needs its grpc_client_tls_key")),
    };
    let ca = client_ca.as_deref().map(read).transpose()?;
    let made = || {
        let mut tls = ClientTls::new(ca.as_deref())?;
        if let Some((certificate, key)) = &identity {
            tls = tls.with_identity(certificate, key)?;
        }
        match client_server_name {
            Some(name) => tls.with_server_name(name),
            None => Ok(tls),
        }
    };
    made().map(Some).map_err(|error: TlsError| wrong(format!("thanos: gRPC client: {error}")))
}

/// The stores at `endpoints`, asked side by side.
pub(super) fn stores(
    endpoints: &[String],
    transport: &Transport,
) -> Result<Arc<dyn Queryable>, HubError> {
    let runtime = ClientRuntime::start().map_err(wrong)?;
    let mut options = RemoteOptions::default();
    options.tls.clone_from(&transport.client);
    options.compression = transport.compression;
    let store = |address: &String| RemoteStore::new(address, &runtime, options.clone());
    let stores: Result<Vec<_>, _> = endpoints.iter().map(store).collect();
    Ok(Arc::new(RemoteStores::new(stores.map_err(wrong)?)))
}

/// A listener for queriers.
#[derive(Debug)]
pub(super) struct GrpcServer {
    pub(super) address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), ServeError>>,
}

impl GrpcServer {
    /// Listens on `listen`, for the series of `source`, all of which carry `labels`.
    pub(super) async fn start(
        listen: &str,
        source: Arc<dyn Queryable>,
        db: Tsdb,
        labels: Labels,
        transport: &Transport,
        registry: &Registry,
    ) -> Result<Self, HubError> {
        let failed = |source| HubError::Listen { address: listen.to_owned(), source };
        let listener = TcpListener::bind(bindable(listen)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let about = move || {
            // New samples come at any time, so that the newest is not the end.
            let start_ms = db.oldest_ms().unwrap_or(i64::MAX);
            let range = TimeRange::new(start_ms, i64::MAX);
            StoreInfo::of_one(Component::Receive, labels.clone(), range)
        };
        let mut options = StoreServerOptions::default();
        options.tls.clone_from(&transport.server);
        options.compression = transport.compression;
        let server = StoreServer::new(source, about, options, registry);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(serve(listener, server, async {
            // An error means that the hub was dropped, which is a stop too.
            let _ = stopped.await;
        }));
        tracing::info!(%address, "listening for Thanos queriers");
        Ok(Self { address, stop, serving })
    }

    /// Takes no more requests, and does not wait for those that have begun.
    pub(super) fn stop(self) {
        // An error means that serving has ended already.
        let _ = self.stop.send(());
        self.serving.abort();
    }
}
