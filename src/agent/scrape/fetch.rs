//! Gets a target's page.

use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};

use crate::agent::client::{ClientError, HttpClient, chain};
use crate::base::gonum::format_float;
use crate::wire::config::ScrapeConfig;

use super::target::Target;

/// What is asked for. Prometheus would rather have OpenMetrics, then text 1.0.0, then this; we ask
/// only for what is read here. Text 1.0.0 is 0.0.4 with any UTF-8 in names, so that a target that
/// has such names need not rewrite them.
const ACCEPTED: &str =
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.4";

/// A page is never larger, not even without a limit: an endless one must not fill the memory.
const PAGE_MAX_BYTES: u64 = 256 << 20;

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum FetchError {
    Client(ClientError),
    /// Address, and what went wrong.
    Request(String, String),
    Status(StatusCode),
    BodyTooLarge,
    /// The page is of a kind that is not read: what to say of it.
    ContentType(String),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => error.fmt(f),
            Self::Request(url, what) => write!(f, "Get {url:?}: {what}"),
            Self::Status(status) => {
                let reason = status.canonical_reason().unwrap_or_default();
                write!(f, "server returned HTTP status {} {reason}", status.as_u16())
            }
            Self::BodyTooLarge => f.write_str("body size limit exceeded"),
            Self::ContentType(what) => f.write_str(what),
        }
    }
}

/// Gets the page into `page`, uncompressed, within the target's timeout.
pub(super) async fn fetch(
    client: &HttpClient,
    config: &ScrapeConfig,
    target: &Target,
    page: &mut Vec<u8>,
) -> Result<(), FetchError> {
    page.clear();
    let timeout = Duration::from_millis(target.timeout_ms.unsigned_abs());
    match tokio::time::timeout(timeout, get(client, config, target, page)).await {
        Ok(result) => result,
        Err(_) => {
            Err(FetchError::Request(target.url.clone(), "context deadline exceeded".to_owned()))
        }
    }
}

async fn get(
    client: &HttpClient,
    config: &ScrapeConfig,
    target: &Target,
    page: &mut Vec<u8>,
) -> Result<(), FetchError> {
    let failed = |error: &reqwest::Error| FetchError::Request(target.url.clone(), chain(error));
    let mut timeout = String::new();
    format_float(&mut timeout, target.timeout_ms as f64 / 1000.0);
    let mut request = client
        .get(&target.url)
        .map_err(FetchError::Client)?
        .header(ACCEPT, ACCEPTED)
        .header("X-Prometheus-Scrape-Timeout-Seconds", timeout);
    if !config.enable_compression {
        request = request.header(ACCEPT_ENCODING, "identity");
    }
    let mut response = request.send().await.map_err(|error| failed(&error))?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    let limit_bytes = match config.limits.body_size_bytes {
        0 => PAGE_MAX_BYTES,
        limit_bytes => limit_bytes.min(PAGE_MAX_BYTES),
    };
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
        // As upstream, a page of exactly the limit is too large.
        if (page.len() + chunk.len()) as u64 >= limit_bytes {
            return Err(FetchError::BodyTooLarge);
        }
        page.extend_from_slice(&chunk);
    }
    let content_type = response.headers().get(CONTENT_TYPE);
    // What is not even text is as good as an unknown type.
    let content_type = content_type.map(|value| value.to_str().unwrap_or("?"));
    check_content_type(content_type, page.is_empty(), config.fallback_to_text)
        .map_err(FetchError::ContentType)
}

/// Refuses pages that are not in the text format. An empty page may be of any type.
fn check_content_type(
    content_type: Option<&str>,
    page_is_empty: bool,
    fallback_to_text: bool,
) -> Result<(), String> {
    let content_type = content_type.unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if page_is_empty || media_type.eq_ignore_ascii_case("text/plain") {
        return Ok(());
    }
    let known = ["application/openmetrics-text", "application/vnd.google.protobuf"];
    if known.iter().any(|known| media_type.eq_ignore_ascii_case(known)) {
        return Err(format!("received Content-Type {content_type:?}, which is not supported yet"));
    }
    if fallback_to_text {
        return Ok(());
    }
    Err(if content_type.is_empty() {
        "non-compliant scrape target sending blank Content-Type and no \
         fallback_scrape_protocol specified for target"
            .to_owned()
    } else {
        format!(
            "received unsupported Content-Type {content_type:?} and no \
             fallback_scrape_protocol specified for target"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_pages_are_read() {
        let check = |content_type, fallback| check_content_type(content_type, false, fallback);
        for good in ["text/plain", "text/plain; version=0.0.4; charset=utf-8", "TEXT/PLAIN"] {
            assert_eq!(check(Some(good), false), Ok(()), "{good}");
        }
        assert!(check(None, false).unwrap_err().contains("blank Content-Type"));
        assert!(check(Some("text/html"), false).unwrap_err().contains("unsupported"));
        assert_eq!(check(None, true), Ok(()));
        assert_eq!(check(Some("text/html"), true), Ok(()));
        let open_metrics = Some("application/openmetrics-text; version=1.0.0");
        assert!(check(open_metrics, true).unwrap_err().contains("not supported yet"));
        assert_eq!(check_content_type(None, true, false), Ok(()));
    }
}
