//! A hub from start to stop.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::base::clock::{SharedClock, SystemClock};
use crate::base::metrics::Registry;
use crate::disk::{RealDisk, SharedDisk, register_process};
use crate::promql::Engine;
use crate::series::Queryable;
use crate::storage::db::{Tsdb, TsdbError};

use super::HubConfig;
#[cfg(feature = "longterm")]
use super::bucket::{Configured, HubBucket};
use super::http;
use super::metrics::register_build;
use super::service::Service;
use super::sources::Sources;

/// How long requests that have begun may take when the hub stops, and how long the queries among
/// them may take to notice that they are recalled.
const FINISH: Duration = Duration::from_secs(10);
const GIVE_UP: Duration = Duration::from_secs(5);

/// What a hub needs to start.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HubOptions {
    /// Settings.
    pub config: HubConfig,
    /// Folder of its data; made if there is none.
    pub data_dir: PathBuf,
    /// `host:port`; `:port` for all addresses of this machine, port 0 for any free one.
    pub listen: String,
    /// `host:port` for Thanos queriers; none if they are not served.
    pub grpc_listen: Option<String>,
    /// Where the folder lies.
    pub disk: SharedDisk,
    /// What time it is.
    pub clock: SharedClock,
}

impl HubOptions {
    /// Options with the machine's own disk and clock.
    pub fn new(config: HubConfig, data_dir: impl Into<PathBuf>, listen: impl Into<String>) -> Self {
        Self {
            config,
            data_dir: data_dir.into(),
            listen: listen.into(),
            grpc_listen: None,
            disk: RealDisk::shared(),
            clock: SystemClock::shared(),
        }
    }
}

/// Why a hub did not start or stop.
#[derive(Debug)]
#[non_exhaustive]
pub enum HubError {
    /// The address cannot be listened on.
    Listen {
        /// The address as it was given.
        address: String,
        /// The system's answer.
        source: io::Error,
    },
    /// What is configured cannot be done.
    Config(String),
    /// The data directory cannot be opened or closed.
    Tsdb(TsdbError),
    /// A part of the hub ended before its time.
    Broken(String),
}

impl fmt::Display for HubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { address, source } => write!(f, "listen on {address}: {source}"),
            Self::Tsdb(error) => error.fmt(f),
            Self::Config(what) | Self::Broken(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for HubError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen { source, .. } => Some(source),
            Self::Tsdb(error) => Some(error),
            Self::Config(_) | Self::Broken(_) => None,
        }
    }
}

impl From<TsdbError> for HubError {
    fn from(error: TsdbError) -> Self {
        Self::Tsdb(error)
    }
}

/// A running hub. Dropping it stops it without waiting; [`Hub::stop`] waits.
#[derive(Debug)]
pub struct Hub {
    address: SocketAddr,
    db: Tsdb,
    service: Arc<Service>,
    registry: Registry,
    sources: Sources,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
}

impl Hub {
    /// Listens, opens the data directory and answers. While the directory is being opened, which
    /// may take long, requests are told that the hub is not ready.
    ///
    /// Must be called inside of a tokio runtime with its timer and I/O.
    ///
    /// # Errors
    /// See [`HubError`].
    pub async fn start(options: HubOptions) -> Result<Self, HubError> {
        let HubOptions { config, data_dir, listen, grpc_listen, disk, clock } = options;
        Sources::check(&config, grpc_listen.as_deref())?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let registry = Registry::new();
        register_build(&registry);
        register_process(&registry, &disk);
        let listening = |source| HubError::Listen { address: listen.clone(), source };
        let listener = TcpListener::bind(bindable(&listen)).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let engine = Engine::new(config.engine.clone());
        let service =
            Arc::new(Service::new(engine, clock.clone(), registry.clone(), config.receive.clone()));
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(http::serve(listener, service.clone(), async {
            // An error means that the hub was dropped, which is a stop too.
            let _ = stopped.await;
        }));
        tracing::info!(%address, "listening");
        let opening = {
            let (registry, config) = (registry.clone(), config.clone());
            tokio::task::spawn_blocking(move || open(disk, clock, &data_dir, &config, &registry))
        };
        let opened = opening.await.map_err(|error| HubError::Broken(error.to_string()))??;
        let db = opened.db;
        let sources = Sources::open(
            &db,
            &config,
            grpc_listen.as_deref(),
            #[cfg(feature = "longterm")]
            opened.bucket,
            &registry,
        );
        let sources = sources.await?;
        service.open(sources.store(&db));
        tracing::info!("ready");
        Ok(Self { address, db, service, registry, sources, stop, serving })
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for Thanos queriers, if it does.
    #[must_use]
    pub fn grpc_addr(&self) -> Option<SocketAddr> {
        self.sources.grpc_addr()
    }

    /// What its users ask: its own data and that of all others that it asks, replicas as one.
    #[must_use]
    pub fn queryable(&self) -> Arc<dyn Queryable> {
        self.sources.deduplicated()
    }

    /// Its own data.
    #[must_use]
    pub const fn db(&self) -> &Tsdb {
        &self.db
    }

    /// What it counts; what its user adds appears at `/metrics`.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Refuses new requests, waits some seconds for those that have begun, recalls the queries
    /// that are left, and closes the data directory.
    ///
    /// # Errors
    /// See [`HubError`]; the hub is stopped all the same.
    pub async fn stop(self) -> Result<(), HubError> {
        let Self { db, service, sources, stop, mut serving, .. } = self;
        service.stop();
        sources.stop().await;
        // An error means that serving has ended already.
        let _ = stop.send(());
        if tokio::time::timeout(FINISH, &mut serving).await.is_err() {
            tracing::warn!("recalling queries that have not finished");
            service.cancel_all();
            if tokio::time::timeout(GIVE_UP, &mut serving).await.is_err() {
                tracing::warn!("closing with requests unanswered");
                serving.abort();
            }
        }
        let closing = tokio::task::spawn_blocking(move || db.close());
        closing.await.map_err(|error| HubError::Broken(error.to_string()))??;
        tracing::info!("stopped");
        Ok(())
    }
}

/// What is opened where waiting is allowed.
struct Opened {
    db: Tsdb,
    #[cfg(feature = "longterm")]
    bucket: Option<HubBucket>,
}

#[cfg(feature = "longterm")]
fn open(
    disk: SharedDisk,
    clock: SharedClock,
    data_dir: &Path,
    config: &HubConfig,
    registry: &Registry,
) -> Result<Opened, HubError> {
    let bucket = Configured::open(config, &*disk, registry)?;
    let mut options = config.db.clone();
    if let Some(bucket) = &bucket {
        options.guard = bucket.guard.clone();
    }
    let db = Tsdb::open(disk.clone(), clock.clone(), data_dir, options, registry)?;
    let begin = |bucket: Configured| bucket.begin(&db, config, (&disk, data_dir), &clock, registry);
    let bucket = bucket.map(begin).transpose()?;
    Ok(Opened { db, bucket })
}

#[cfg(not(feature = "longterm"))]
fn open(
    disk: SharedDisk,
    clock: SharedClock,
    data_dir: &Path,
    config: &HubConfig,
    registry: &Registry,
) -> Result<Opened, HubError> {
    Ok(Opened { db: Tsdb::open(disk, clock, data_dir, config.db.clone(), registry)? })
}

/// `:9090` is all addresses, as with Prometheus.
pub(super) fn bindable(listen: &str) -> String {
    if listen.starts_with(':') { format!("0.0.0.0{listen}") } else { listen.to_owned() }
}
