//! What does a person see who opens the hub's address in a browser?
//!
//! Useful for: a first look at the data. Not useful for: dashboards; that is Grafana's.

use axum::body::Body;
use axum::http::Response;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};

/// All of the page: style and code stand in it, so that it works without any other server.
const PAGE: &str = include_str!("page.html");

/// Answers the page.
pub(super) fn page() -> Response<Body> {
    let mut response = Response::new(Body::from(PAGE));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    let policy = HeaderValue::from_static("default-src 'self' 'unsafe-inline'");
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    response
}
