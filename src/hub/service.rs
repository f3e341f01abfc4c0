//! What all requests share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::base::clock::SharedClock;
use crate::base::metrics::Registry;
use crate::promql::Engine;
use crate::series::{Append, Queryable};

use super::api::{Gate, HeadStatus, ReplicaOptions};
use super::http::ROUTES;
use super::metrics::HttpMetrics;
use super::receive::{ReceiveOptions, Receiver};

/// Queries that run at once; Prometheus's `--query.max-concurrency`.
const QUERIES_MAX: usize = 20;
/// Questions about names and values that run at once, beside the queries.
const LOOKUPS_MAX: usize = 20;

/// Where the samples are.
pub(super) struct Store {
    /// Answers.
    pub(super) query: Arc<dyn Queryable>,
    /// Takes samples.
    pub(super) append: Arc<dyn Append>,
    /// Tells how much there is.
    pub(super) status: Box<dyn Fn() -> HeadStatus + Send + Sync>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// What all requests share. The store is set once it is open; until then they are refused.
#[derive(Debug)]
pub(super) struct Service {
    store: OnceLock<Arc<Store>>,
    stopping: AtomicBool,
    pub(super) engine: Arc<Engine>,
    pub(super) clock: SharedClock,
    pub(super) registry: Registry,
    pub(super) http: HttpMetrics,
    pub(super) queries: Gate,
    pub(super) lookups: Gate,
    /// Set before requests are answered; without it there are no replicas.
    pub(super) replicas: OnceLock<ReplicaOptions>,
    pub(super) receiver: Receiver,
}

impl Service {
    pub(super) fn new(
        engine: Engine,
        clock: SharedClock,
        registry: Registry,
        receive: ReceiveOptions,
    ) -> Self {
        Self {
            store: OnceLock::new(),
            stopping: AtomicBool::new(false),
            engine: Arc::new(engine),
            http: HttpMetrics::new(&registry, ROUTES.iter().map(|route| route.pattern)),
            queries: Gate::new(QUERIES_MAX),
            lookups: Gate::new(LOOKUPS_MAX),
            replicas: OnceLock::new(),
            receiver: Receiver::new(receive, clock.clone(), &registry),
            clock,
            registry,
        }
    }

    /// From now on requests are answered.
    pub(super) fn open(&self, store: Store) {
        if self.store.set(Arc::new(store)).is_ok() {
            self.http.ready.set(1.0);
        }
    }

    /// From now on requests are refused.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.http.ready.set(0.0);
    }

    /// Tells all queries that run to give up.
    pub(super) fn cancel_all(&self) {
        self.queries.cancel_all();
        self.lookups.cancel_all();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The store, if it is open and not closing.
    pub(super) fn store(&self) -> Option<Arc<Store>> {
        if self.is_stopping() { None } else { self.store.get().cloned() }
    }
}
