//! What the headers of a request must say, and Prometheus's words if they do not.

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};

const MEDIA_TYPE: &str = "application/x-protobuf";
const MESSAGE_1: &str = "prometheus.WriteRequest";
const MESSAGE_2: &str = "io.prometheus.write.v2.Request";

/// Checks that the body is a compressed message of version 1. Without headers it is taken for one.
///
/// # Errors
/// The text of the refusal, whose status is 415.
pub(super) fn check(headers: &HeaderMap) -> Result<(), String> {
    let encoding = text(headers, CONTENT_ENCODING);
    if !matches!(encoding, "" | "snappy") {
        return Err(format!(
            "{encoding} encoding (compression) is not accepted by this server; \
             only snappy is acceptable"
        ));
    }
    check_type(text(headers, CONTENT_TYPE).trim())
}

/// A header that is no text is refused like one with a strange text.
fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).map_or("", |value| value.to_str().unwrap_or("?"))
}

fn check_type(content_type: &str) -> Result<(), String> {
    if content_type.is_empty() {
        return Ok(());
    }
    let mut parts = content_type.split(';');
    if parts.next() != Some(MEDIA_TYPE) {
        return Err(format!(
            "expected {MEDIA_TYPE} as the first (media) part, got {content_type} content-type"
        ));
    }
    for part in parts {
        let Some((name, value)) = part.split_once('=').filter(|pair| !pair.1.contains('=')) else {
            return Err(format!(
                "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to \
                 be key-values, got {part} in {content_type} content-type"
            ));
        };
        // Prometheus does not trim, and so takes version 2 behind a blank for an empty version 1.
        match (name.trim(), value.trim()) {
            ("proto", MESSAGE_1) => return Ok(()),
            ("proto", MESSAGE_2) => {
                return Err(format!(
                    "{MESSAGE_2} protobuf message is not accepted by this server; \
                     only accepts {MESSAGE_1}: remote write 2.0 is not supported yet"
                ));
            }
            ("proto", other) => {
                return Err(format!(
                    "got {content_type} content type; unknown type for remote write protobuf \
                     message {other}, supported: {MESSAGE_1}, {MESSAGE_2}"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}
