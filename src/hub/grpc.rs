//! Thanos's gRPC, both ways: this hub's data for queriers, and stores that this hub asks.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::base::metrics::Registry;
use crate::longterm::storeapi::{
    ClientRuntime, Component, RemoteOptions, RemoteStore, RemoteStores, ServeError, StoreInfo,
    StoreServer, StoreServerOptions, serve,
};
use crate::model::Labels;
use crate::series::{Queryable, TimeRange};
use crate::storage::db::Tsdb;

use super::run::{HubError, bindable};

/// The stores at `endpoints`, asked side by side.
pub(super) fn stores(endpoints: &[String]) -> Result<Arc<dyn Queryable>, HubError> {
    let wrong = |error: &dyn std::fmt::Display| HubError::Config(error.to_string());
    let runtime = ClientRuntime::start().map_err(|error| wrong(&error))?;
    let store = |address: &String| RemoteStore::new(address, &runtime, RemoteOptions::default());
    let stores: Result<Vec<_>, _> = endpoints.iter().map(store).collect();
    Ok(Arc::new(RemoteStores::new(stores.map_err(|error| wrong(&error))?)))
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
        let server = StoreServer::new(source, about, StoreServerOptions::default(), registry);
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
