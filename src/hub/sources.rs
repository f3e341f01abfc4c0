//! Whom does a question reach: this hub's own data, its bucket, stores elsewhere.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::base::metrics::Registry;
use crate::series::{Dedup, External, Merged, Queryable};
use crate::storage::db::Tsdb;
use crate::wire::config::{GrpcConfig, ThanosConfig};

use super::HubConfig;
use super::api::HeadStatus;
#[cfg(feature = "longterm")]
use super::bucket::HubBucket;
#[cfg(feature = "thanos")]
use super::grpc::{self, GrpcServer, Transport};
use super::replicas::{Replicas, ReplicasWanted};
use super::run::HubError;
use super::service::Store;

/// Whom a question reaches.
pub(super) struct Sources {
    all: Arc<dyn Queryable>,
    replicas: Replicas,
    #[cfg(feature = "longterm")]
    bucket: Option<HubBucket>,
    #[cfg(feature = "thanos")]
    grpc: Option<GrpcServer>,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("replicas", &self.replicas).finish_non_exhaustive()
    }
}

impl Sources {
    /// Refuses what this build of the library cannot do, before anything is opened.
    pub(super) fn check(config: &HubConfig, grpc_listen: Option<&str>) -> Result<(), HubError> {
        let without = |what: &str, feature: &str| {
            let text =
                format!("{what} needs the feature `{feature}`, without which this was built");
            Err(HubError::Config(text))
        };
        if cfg!(not(feature = "thanos")) {
            if grpc_listen.is_some() {
                return without("gRPC", "thanos");
            }
            if !config.thanos.endpoints.is_empty() {
                return without("thanos.endpoints", "thanos");
            }
            if config.thanos.grpc != GrpcConfig::default() {
                return without("thanos.grpc_*", "thanos");
            }
        }
        #[cfg(feature = "thanos")]
        Transport::read(&config.thanos.grpc)?;
        if cfg!(not(feature = "longterm")) && config.thanos.objstore.is_some() {
            return without("a bucket", "longterm");
        }
        Ok(())
    }

    pub(super) async fn open(
        db: &Tsdb,
        config: &HubConfig,
        #[cfg_attr(not(feature = "thanos"), expect(unused_variables, reason = "gRPC's"))]
        grpc_listen: Option<&str>,
        #[cfg(feature = "longterm")] bucket: Option<HubBucket>,
        #[cfg_attr(not(feature = "thanos"), expect(unused_variables, reason = "gRPC's"))]
        registry: &Registry,
    ) -> Result<Self, HubError> {
        let labels = &config.external_labels;
        let outside: Arc<dyn Queryable> =
            Arc::new(External::new(Arc::new(db.clone()), labels.clone()));
        // Who has only its own data answers as a Prometheus does, without external labels.
        let grpc = GrpcConfig::default();
        let is_alone = ThanosConfig { grpc, ..config.thanos.clone() } == ThanosConfig::default();
        let own = if is_alone { Arc::new(db.clone()) } else { outside.clone() };
        #[cfg_attr(
            not(any(feature = "longterm", feature = "thanos")),
            expect(unused_mut, reason = "there is nobody else to ask")
        )]
        let mut all: Vec<Arc<dyn Queryable>> = vec![own];
        #[cfg(feature = "longterm")]
        all.extend(bucket.as_ref().map(HubBucket::queryable));
        #[cfg(feature = "thanos")]
        let transport = Transport::read(&config.thanos.grpc)?;
        #[cfg(feature = "thanos")]
        if !config.thanos.endpoints.is_empty() {
            all.push(grpc::stores(&config.thanos.endpoints, &transport)?);
        }
        let all = match <[_; 1]>::try_from(all) {
            Ok([only]) => only,
            Err(many) => Arc::new(Merged::new(many)),
        };
        #[cfg(feature = "thanos")]
        let grpc = match grpc_listen {
            Some(listen) => {
                let (db, labels) = (db.clone(), labels.clone());
                Some(GrpcServer::start(listen, outside, db, labels, &transport, registry).await?)
            }
            None => None,
        };
        let replicas = Replicas::new(&config.thanos.replica_labels, Dedup::Identity);
        Ok(Self {
            all,
            replicas,
            #[cfg(feature = "longterm")]
            bucket,
            #[cfg(feature = "thanos")]
            grpc,
        })
    }

    /// What the API asks.
    pub(super) fn store(&self, db: &Tsdb) -> Store {
        let status = {
            let db = db.clone();
            move || {
                let stats = db.stats();
                HeadStatus {
                    series: stats.head_series as u64,
                    chunks: stats.head_chunks as u64,
                    span: stats.head_span,
                }
            }
        };
        Store {
            query: self.all.clone(),
            replicas: self.replicas.clone(),
            local: Arc::new(db.clone()),
            append: Arc::new(db.clone()),
            status: Box::new(status),
        }
    }

    /// All of it, replicas as one.
    pub(super) fn deduplicated(&self) -> Arc<dyn Queryable> {
        self.replicas.view(&self.all, &ReplicasWanted::default())
    }

    #[cfg(feature = "thanos")]
    pub(super) fn grpc_addr(&self) -> Option<SocketAddr> {
        self.grpc.as_ref().map(|grpc| grpc.address)
    }

    #[cfg(not(feature = "thanos"))]
    pub(super) const fn grpc_addr(&self) -> Option<SocketAddr> {
        None
    }

    /// Takes no more requests of others, and ends all work on the bucket.
    pub(super) async fn stop(self) {
        #[cfg(feature = "thanos")]
        if let Some(grpc) = self.grpc {
            grpc.stop();
        }
        #[cfg(feature = "longterm")]
        if let Some(bucket) = self.bucket {
            // An error means that it died, which was logged.
            let _ = tokio::task::spawn_blocking(move || bucket.end()).await;
        }
    }
}
