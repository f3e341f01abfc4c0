//! From a request to the code that answers it, and back.

use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Response};
use tokio::net::TcpListener;

use crate::base::clock::Stopwatch;
use crate::hub::service::Service;
use crate::hub::{api, page};
use crate::wire::exposition;

use super::listen::LimitedListener;
use super::respond;
use super::routes::{Endpoint, ROUTES, Route, find};

/// Connections at once; Prometheus's `--web.max-connections`.
const CONNECTIONS_MAX: usize = 512;
const API_PREFIX: &str = "/api/v1/";
const METRICS_TYPE: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Answers requests until `stop` is done, then finishes those that have begun.
pub(in crate::hub) async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = Router::new().fallback(handle).with_state(service);
    let listener = LimitedListener::new(listener, CONNECTIONS_MAX);
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

async fn handle(State(service): State<Arc<Service>>, request: Request) -> Response<Body> {
    let watch = Stopwatch::start();
    let (parts, body) = request.into_parts();
    let Some(path) = api::unescape_path(parts.uri.path()) else { return respond::not_found() };
    if parts.method == Method::OPTIONS && path.starts_with(API_PREFIX) {
        let mut response = match service.store() {
            Some(_) => respond::status_only(204),
            None => respond::not_ready(service.is_stopping()),
        };
        respond::allow_origin(&parts.headers, &mut response);
        return response;
    }
    let Some((index, name)) = find(&path) else { return respond::not_found() };
    let Some(route) = ROUTES.get(index) else { return respond::not_found() };
    let response = answer(&service, route, name, &parts, body).await;
    service.http.observe(index, &response, watch.seconds());
    response
}

async fn answer(
    service: &Arc<Service>,
    route: &Route,
    name: &str,
    parts: &Parts,
    body: Body,
) -> Response<Body> {
    if parts.method == Method::OPTIONS {
        return respond::allow(respond::status_only(200), route.methods.text());
    }
    if !route.methods.take(&parts.method) {
        let refusal = respond::error_text(405, "Method Not Allowed");
        return respond::allow(refusal, route.methods.text());
    }
    if !route.needs_store {
        return without_store(service, route.endpoint);
    }
    let Some(store) = service.store() else { return respond::not_ready(service.is_stopping()) };
    match route.endpoint {
        Endpoint::Ready => respond::ok_text(200, "promlite is Ready.\n"),
        Endpoint::Write => service.receiver.receive(store, parts, body).await,
        endpoint => {
            let mut response = api::answer(service, store, (endpoint, name), parts, body).await;
            respond::allow_origin(&parts.headers, &mut response);
            response
        }
    }
}

fn without_store(service: &Service, endpoint: Endpoint) -> Response<Body> {
    match endpoint {
        Endpoint::Page => page::page(),
        Endpoint::Metrics => {
            let text = exposition::write::render(&service.registry.gather());
            respond::with_body(200, METRICS_TYPE, text)
        }
        Endpoint::Version => respond::ok_text(200, api::build_info()),
        _ => respond::ok_text(200, "promlite is Healthy.\n"),
    }
}
