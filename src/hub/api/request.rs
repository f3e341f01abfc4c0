//! From a request to its parameters and on to the code of its path.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{Method, Response};

use crate::hub::http::{self, BodyError, Endpoint};
use crate::hub::service::{Service, Store};

use super::answer::ApiError;
use super::form::Form;
use super::{lookup, query, status};

/// Longest form, as in Go.
const FORM_BYTES_MAX: usize = 10 << 20;
const FORM_PATIENCE: Duration = Duration::from_secs(60);

/// Answers a request below `/api/v1`; `name` is the part of the path that names a label.
pub(in crate::hub) async fn answer(
    service: &Arc<Service>,
    store: Arc<Store>,
    (endpoint, name): (Endpoint, &str),
    parts: &Parts,
    body: Body,
) -> Response<Body> {
    let answered = match read_form(parts, body).await {
        Err(error) => Err(error),
        Ok(form) => match endpoint {
            Endpoint::Query => query::instant(service, store, &form).await,
            Endpoint::QueryRange => query::range(service, store, &form).await,
            Endpoint::FormatQuery => query::format(&form),
            Endpoint::Series => lookup::series(service, store, &form).await,
            Endpoint::Labels => lookup::names(service, store, &form).await,
            Endpoint::LabelValues => lookup::values(service, store, &form, name).await,
            Endpoint::TsdbStatus => status::tsdb(service, store, &form).await,
            _ => Ok(status::build()),
        },
    };
    match answered {
        Ok(body) => http::json(200, body),
        Err(error) => {
            let (status, body) = error.answer();
            http::json(status, body)
        }
    }
}

async fn read_form(parts: &Parts, body: Body) -> Result<Form, ApiError> {
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    let is_form = media_type.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded");
    let mut bytes = Vec::new();
    if parts.method == Method::POST && is_form {
        let read = http::read_body(body, FORM_BYTES_MAX, FORM_PATIENCE, &mut bytes).await;
        read.map_err(|error| {
            let what = match error {
                BodyError::TooLarge => "http: POST too large",
                BodyError::TooSlow => "the body did not arrive in time",
                BodyError::Broken(_) => "unexpected EOF",
            };
            ApiError::bad_data(format!("error parsing form values: {what}"))
        })?;
    }
    let body = String::from_utf8_lossy(&bytes);
    Ok(Form::read(parts.uri.query().unwrap_or_default(), &body))
}
