//! A hub over real sockets, with a store that is obviously right behind it.

mod api;
mod client;
#[cfg(feature = "thanos")]
mod fleet;
mod lifecycle;
#[cfg(feature = "thanos")]
mod longterm;
mod receive;
mod replicas;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::base::clock::{ManualClock, SharedClock};
use crate::base::metrics::{Registry, Value};
use crate::promql::{Engine, EngineOptions};
use crate::series::{Append, Queryable};
use crate::testkit::ModelStore;

use super::api::HeadStatus;
use super::receive::ReceiveOptions;
use super::service::{Service, Store};
use client::{Answer, ask};

const NOW_MS: i64 = 1_700_000_100_000;

/// The HTTP side of a hub. Requests are answered until it is dropped.
struct TestHub {
    address: SocketAddr,
    service: Arc<Service>,
    runtime: Option<Runtime>,
}

/// Does not wait for work that is stuck, so that a test that fails ends.
impl Drop for TestHub {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl TestHub {
    fn not_ready(receive: ReceiveOptions) -> Self {
        let runtime = Runtime::new().unwrap();
        let clock: SharedClock = Arc::new(ManualClock::at(NOW_MS));
        let engine = Engine::new(EngineOptions::default());
        let service = Arc::new(Service::new(engine, clock, Registry::new(), receive));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = super::http::serve(listener, service.clone(), std::future::pending());
        runtime.spawn(serving);
        Self { address, service, runtime: Some(runtime) }
    }

    fn with<S: Queryable + Append + 'static>(store: Arc<S>, receive: ReceiveOptions) -> Self {
        let hub = Self::not_ready(receive);
        let status = || HeadStatus { series: 17, chunks: 17, span: None };
        hub.service.open(Store::only(store.clone(), store, status));
        hub
    }

    fn over(store: Arc<ModelStore>) -> Self {
        Self::with(store, ReceiveOptions::default())
    }

    fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        ask(self.address, method, target, headers, body)
    }

    fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[], b"")
    }

    /// The value of a counter or gauge of which some label has the value `label`.
    fn counted(&self, name: &str, label: &str) -> f64 {
        let families = self.service.registry.gather();
        let family = families.iter().find(|family| family.name == name).unwrap();
        let has = |labels: &[(&str, String)]| {
            label.is_empty() || labels.iter().any(|pair| pair.1 == label)
        };
        let member = family.members.iter().find(|member| has(&member.0)).unwrap();
        match member.1 {
            Value::Number(value) => value,
            Value::Histogram { .. } => panic!("{name} is a histogram"),
        }
    }
}
