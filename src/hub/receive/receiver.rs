//! A request from its first header to its answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::Response;
use axum::http::request::Parts;
use tokio::sync::Semaphore;

use crate::base::clock::SharedClock;
use crate::base::metrics::Registry;
use crate::hub::http::{self, BodyError};
use crate::hub::service::Store;

use super::ReceiveOptions;
use super::budget::{Benches, Budget};
use super::headers;
use super::metrics::ReceiveMetrics;
use super::store::store;

/// How long a sender may take to hand over the body.
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes remote write requests.
#[derive(Debug)]
pub(in crate::hub) struct Receiver {
    budget: Budget,
    parallel: Arc<Semaphore>,
    desk: Arc<Desk>,
}

/// What the requests that are being stored share.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) options: ReceiveOptions,
    pub(super) clock: SharedClock,
    pub(super) metrics: ReceiveMetrics,
    benches: Benches,
}

/// Why a request was not stored, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) text: String,
    /// True if a part of the request is stored all the same.
    pub(super) is_partial: bool,
}

impl Refusal {
    pub(super) fn new(status: u16, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), is_partial: false }
    }
}

impl Receiver {
    pub(in crate::hub) fn new(
        options: ReceiveOptions,
        clock: SharedClock,
        registry: &Registry,
    ) -> Self {
        Self {
            budget: Budget::new(options.waiting_bytes_max),
            parallel: Arc::new(Semaphore::new(options.parallel_max.max(1))),
            desk: Arc::new(Desk {
                options,
                clock,
                metrics: ReceiveMetrics::new(registry),
                benches: Benches::default(),
            }),
        }
    }

    /// Answers 204 once all samples are in the log of the store.
    pub(in crate::hub) async fn receive(
        &self,
        into: Arc<Store>,
        parts: &Parts,
        body: Body,
    ) -> Response<Body> {
        let stored = self.try_receive(into, parts, body).await;
        let metrics = &self.desk.metrics;
        match stored {
            Ok(()) => {
                metrics.requests_stored.inc();
                http::status_only(204)
            }
            Err(Refusal { status, text, is_partial }) => {
                let outcome = match status {
                    _ if is_partial => &metrics.requests_partial,
                    500.. => &metrics.requests_failed,
                    _ => &metrics.requests_refused,
                };
                outcome.inc();
                tracing::warn!(status, error = text, "remote write request was not stored");
                http::error_text(status, &text)
            }
        }
    }

    async fn try_receive(
        &self,
        into: Arc<Store>,
        parts: &Parts,
        body: Body,
    ) -> Result<(), Refusal> {
        headers::check(&parts.headers).map_err(|text| Refusal::new(415, text))?;
        let bytes_max = self.desk.options.request_bytes_max;
        let hint = body.size_hint();
        let wanted = hint.upper().unwrap_or(u64::MAX).min(bytes_max as u64);
        let memory = self.budget.take(wanted as usize).await;
        let mut bench = self.desk.benches.take();
        let read = http::read_body(body, bytes_max, PATIENCE, &mut bench.body).await;
        read.map_err(|error| match error {
            BodyError::TooLarge => {
                Refusal::new(413, format!("request body exceeds the {bytes_max} bytes limit"))
            }
            BodyError::TooSlow => Refusal::new(408, "the body did not arrive in time"),
            BodyError::Broken(what) => Refusal::new(400, what),
        })?;
        let turn = self.parallel.clone().acquire_owned().await;
        let desk = self.desk.clone();
        let storing = tokio::task::spawn_blocking(move || {
            let stored = store(&desk, &mut bench, &*into.append);
            desk.benches.give_back(bench);
            drop((turn, memory));
            stored
        });
        storing.await.unwrap_or_else(|error| Err(Refusal::new(500, error.to_string())))
    }
}
