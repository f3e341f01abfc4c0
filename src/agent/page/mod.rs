//! What does the agent show of itself?
//!
//! Useful for: its metrics, its targets as Prometheus's API and as a page for people, and whether
//! it lives. Not useful for: queries; an agent keeps nothing that could be asked for.

mod api;
mod html;
mod time;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use parking_lot::RwLock;

use crate::agent::host;
use crate::agent::scrape::PoolView;
use crate::base::clock::SharedClock;
use crate::base::metrics::Registry;
use crate::disk::SharedDisk;
use crate::model::Labels;
use crate::wire::exposition::write::{CONTENT_TYPE as METRICS_TYPE, render};

const HTML_TYPE: &str = "text/html; charset=utf-8";

/// What the pages show.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) registry: Registry,
    pub(crate) disk: SharedDisk,
    pub(crate) clock: SharedClock,
    /// Jobs by name, with their targets.
    pub(crate) pools: Vec<(String, Arc<RwLock<PoolView>>)>,
    /// Where samples are sent, without passwords.
    pub(crate) destinations: Vec<String>,
    pub(crate) external_labels: Labels,
}

/// All pages.
pub(crate) fn router(shown: Shown) -> Router {
    let mut router = Router::new()
        .route("/", get(overview))
        .route("/targets", get(targets_page))
        .route("/metrics", get(metrics))
        .route("/host/metrics", get(host_metrics))
        .route("/-/healthy", get(async || "promlite Agent is Healthy.\n"))
        .route("/-/ready", get(async || "promlite Agent is Ready.\n"))
        .route("/api/v1/targets", get(targets))
        .route("/api/v1/scrape_pools", get(scrape_pools))
        .route("/api/v1/status/buildinfo", get(build_info));
    for path in UNAVAILABLE {
        router = router.route(&format!("/api/v1/{path}"), any(unavailable));
    }
    router.with_state(Arc::new(shown))
}

/// What Prometheus's agent answers with an error too.
const UNAVAILABLE: [&str; 16] = [
    "query",
    "query_range",
    "query_exemplars",
    "format_query",
    "parse_query",
    "labels",
    "label/{name}/values",
    "series",
    "alertmanagers",
    "alerts",
    "rules",
    "status/tsdb",
    "status/tsdb/blocks",
    "admin/tsdb/delete_series",
    "admin/tsdb/clean_tombstones",
    "admin/tsdb/snapshot",
];

fn json(status: StatusCode, body: String) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

async fn unavailable() -> Response {
    let body = concat!(
        r#"{"status":"error","errorType":"execution","#,
        r#""error":"unavailable with Prometheus Agent"}"#
    );
    json(StatusCode::UNPROCESSABLE_ENTITY, body.to_owned())
}

async fn metrics(State(shown): State<Arc<Shown>>) -> Response {
    ([(CONTENT_TYPE, METRICS_TYPE)], render(&shown.registry.gather())).into_response()
}

/// What the machine says of itself, for those who run no node exporter.
async fn host_metrics(State(shown): State<Arc<Shown>>) -> Response {
    let page = host::page(&*shown.disk, &*shown.clock);
    ([(CONTENT_TYPE, METRICS_TYPE)], page).into_response()
}

async fn targets(
    State(shown): State<Arc<Shown>>,
    Query(params): Query<Vec<(String, String)>>,
) -> Response {
    json(StatusCode::OK, api::targets(&shown, &params))
}

async fn scrape_pools(State(shown): State<Arc<Shown>>) -> Response {
    json(StatusCode::OK, api::scrape_pools(&shown))
}

async fn build_info() -> Response {
    json(StatusCode::OK, api::build_info())
}

async fn overview(State(shown): State<Arc<Shown>>) -> Response {
    ([(CONTENT_TYPE, HTML_TYPE)], html::overview(&shown)).into_response()
}

async fn targets_page(State(shown): State<Arc<Shown>>) -> Response {
    ([(CONTENT_TYPE, HTML_TYPE)], html::targets(&shown)).into_response()
}

#[cfg(test)]
mod tests;
