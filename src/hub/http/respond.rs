//! Answers that are no data: statuses, texts, and the frame of JSON.

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, VARY};
use axum::http::{HeaderMap, Response, StatusCode};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_SNIFF: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));

/// An answer with a body of a kind.
pub(super) fn with_body(
    status: u16,
    content_type: HeaderValue,
    body: impl Into<Body>,
) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// An answer without a body.
pub(in crate::hub) fn status_only(status: u16) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    response
}

/// A text.
pub(super) fn ok_text(status: u16, text: impl Into<Body>) -> Response<Body> {
    with_body(status, TEXT, text)
}

/// A refusal in the manner of Go's `http.Error`: the text and a line break.
pub(in crate::hub) fn error_text(status: u16, text: &str) -> Response<Body> {
    let mut response = with_body(status, TEXT, format!("{text}\n"));
    response.headers_mut().insert(NO_SNIFF.0, NO_SNIFF.1);
    response
}

/// JSON.
pub(in crate::hub) fn json(status: u16, body: String) -> Response<Body> {
    with_body(status, JSON, body)
}

pub(super) fn not_found() -> Response<Body> {
    error_text(404, "404 page not found")
}

/// Lists the methods that a path takes.
pub(super) fn allow(mut response: Response<Body>, methods: &'static str) -> Response<Body> {
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

/// The storage is not there yet, or not any more.
pub(super) fn not_ready(stopping: bool) -> Response<Body> {
    let mut response = ok_text(503, "Service Unavailable");
    let value = HeaderValue::from_static(if stopping { "true" } else { "false" });
    response.headers_mut().insert("x-prometheus-stopping", value);
    response
}

/// Lets pages of any origin read the answer, as Prometheus does by default.
pub(super) fn allow_origin(request: &HeaderMap, response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = request.get("origin") else { return };
    let fixed = [
        ("access-control-allow-headers", "Accept, Authorization, Content-Type, Origin"),
        ("access-control-allow-methods", "GET, POST, OPTIONS"),
        ("access-control-expose-headers", "Date"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("access-control-allow-origin", origin.clone());
}
