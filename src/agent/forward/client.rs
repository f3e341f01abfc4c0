//! One request: what is posted, and what the answer means.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    USER_AGENT,
};
use reqwest::{Response, StatusCode, Url};

use crate::base::calendar::day_of_date;
use crate::base::clock::SharedClock;
use crate::wire::remote_write::{
    CONTENT_TYPE_V1, EXEMPLARS_WRITTEN_HEADER, HISTOGRAMS_WRITTEN_HEADER, SAMPLES_WRITTEN_HEADER,
    VERSION_HEADER, VERSION_V1,
};

use super::item::ByKind;
use super::options::RemoteWriteOptions;

/// Who we are.
#[derive(Clone, Default)]
pub enum Auth {
    /// Nobody in particular.
    #[default]
    None,
    /// HTTP basic authentication.
    Basic {
        /// The user's name.
        username: String,
        /// The password, maybe empty.
        password: String,
    },
    /// `Authorization: Bearer` and this token.
    Bearer(String),
    /// Asked before each request, so that credentials may change while running.
    Source(Arc<dyn AuthSource>),
}

/// Gives the value of the `Authorization` header.
pub trait AuthSource: Send + Sync {
    /// The header's value; none to send no header.
    ///
    /// # Errors
    /// Whatever keeps it from being known. The request is tried again later.
    fn authorization(&self) -> io::Result<Option<String>>;
}

/// Secrets are not shown.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Basic { .. } => "Basic(<secret>)",
            Self::Bearer(_) => "Bearer(<secret>)",
            Self::Source(_) => "Source(<secret>)",
        })
    }
}

/// Why a sender cannot start.
#[derive(Debug)]
#[non_exhaustive]
pub enum ForwardError {
    /// The address is none; the text says what is wrong.
    Url(String),
    /// A header that cannot be sent.
    Header(String),
    /// The HTTP client could not be built.
    Client(reqwest::Error),
    /// There is no tokio runtime here.
    NoRuntime,
    /// The system gave no thread.
    Thread(io::Error),
}

impl fmt::Display for ForwardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(what) => write!(f, "remote write url: {what}"),
            Self::Header(name) => write!(f, "remote write header {name:?} cannot be sent"),
            Self::Client(error) => write!(f, "remote write client: {error}"),
            Self::NoRuntime => f.write_str("remote write needs a tokio runtime"),
            Self::Thread(error) => write!(f, "remote write thread: {error}"),
        }
    }
}

impl std::error::Error for ForwardError {}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Taken; how many of each kind the receiver stored, if it said so.
    Taken(ByKind<Option<u64>>),
    /// Refused for good, and why.
    Refused(String),
    /// To be sent again, why, and after how long at least.
    Again(String, Option<Duration>),
}

/// As much of an answer's body as is worth logging.
const MESSAGE_BYTES_MAX: usize = 1024;

#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    timeout: Duration,
    retry_on_http_429: bool,
    auth: Auth,
}

impl Client {
    pub(super) fn new(options: &RemoteWriteOptions) -> Result<Self, ForwardError> {
        let url = Url::parse(&options.url).map_err(|error| ForwardError::Url(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(ForwardError::Url("expected http:// or https:// and a host".into()));
        }
        let http = match &options.client {
            Some(client) => client.clone(),
            None => plain_client().map_err(ForwardError::Client)?,
        };
        Ok(Self {
            http,
            url,
            headers: headers(&options.headers)?,
            timeout: Duration::from_millis(options.timeout_ms.unsigned_abs()),
            retry_on_http_429: options.queue.retry_on_http_429,
            auth: options.auth.clone(),
        })
    }

    /// Posts a packed request. `attempt` is 0 for the first time.
    pub(super) async fn post(&self, body: Bytes, attempt: u32, clock: &SharedClock) -> Answer {
        let mut request = self.http.post(self.url.clone()).timeout(self.timeout);
        request = request.headers(self.headers.clone()).body(body);
        if attempt > 0 {
            request = request.header("Retry-Attempt", attempt);
        }
        request = match &self.auth {
            Auth::None => request,
            Auth::Basic { username, password } => request.basic_auth(username, Some(password)),
            Auth::Bearer(token) => request.bearer_auth(token),
            Auth::Source(source) => match source.authorization() {
                Ok(Some(value)) => request.header(AUTHORIZATION, value),
                Ok(None) => request,
                Err(error) => return Answer::Again(format!("credentials: {error}"), None),
            },
        };
        match request.send().await {
            Ok(response) => self.read(response, clock).await,
            Err(error) => Answer::Again(with_causes(&error.without_url()), None),
        }
    }

    async fn read(&self, mut response: Response, clock: &SharedClock) -> Answer {
        let status = response.status();
        let header = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let number = |name| header(name).and_then(|text| text.parse().ok());
        let written = ByKind {
            samples: number(SAMPLES_WRITTEN_HEADER),
            histograms: number(HISTOGRAMS_WRITTEN_HEADER),
            exemplars: number(EXEMPLARS_WRITTEN_HEADER),
        };
        let retry_after = header(RETRY_AFTER.as_str());
        if status.is_success() {
            // The body is read so that the connection can be used again.
            let _ = message(&mut response).await;
            return Answer::Taken(written);
        }
        let message = message(&mut response).await;
        let line = message.lines().next().unwrap_or_default();
        let why = format!("server returned HTTP status {status}: {line}");
        let limited = status == StatusCode::TOO_MANY_REQUESTS && self.retry_on_http_429;
        if status.is_server_error() || limited {
            let after = retry_after.and_then(|text| read_retry_after(&text, clock.now_ms()));
            return Answer::Again(why, after);
        }
        Answer::Refused(why)
    }
}

async fn message(response: &mut Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = MESSAGE_BYTES_MAX.saturating_sub(bytes.len());
        bytes.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
        if bytes.len() >= MESSAGE_BYTES_MAX {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An error's own text hides why a connection failed; its causes say it.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn plain_client() -> Result<reqwest::Client, reqwest::Error> {
    // The program may have chosen another one before; then it stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Like upstream: with HTTP/2 all shards would share one connection, and a proxy is used only if
    // the options ask for it.
    reqwest::Client::builder().http1_only().no_proxy().build()
}

fn headers(own: &[(String, String)]) -> Result<HeaderMap, ForwardError> {
    let mut headers = HeaderMap::new();
    for (name, value) in own {
        let broken = || ForwardError::Header(name.clone());
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| broken())?;
        headers.append(parsed, HeaderValue::from_str(value).map_err(|_| broken())?);
    }
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE_V1));
    let agent = concat!("promlite/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    // Header names are compared without regard to case, but only lower case is a constant.
    if let Ok(name) = HeaderName::from_bytes(VERSION_HEADER.as_bytes()) {
        headers.insert(name, HeaderValue::from_static(VERSION_V1));
    }
    Ok(headers)
}

/// Seconds, or the date until which to wait. None for a time that is past.
fn read_retry_after(text: &str, now_ms: i64) -> Option<Duration> {
    let wait_ms = match text.trim().parse::<i64>() {
        Ok(seconds) => seconds.checked_mul(1000)?,
        Err(_) => http_date_ms(text.trim())?.checked_sub(now_ms)?,
    };
    (wait_ms > 0).then(|| Duration::from_millis(wait_ms.unsigned_abs()))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the only form that may still be sent.
fn http_date_ms(text: &str) -> Option<i64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let (_, date) = text.split_once(", ")?;
    let mut words = date.strip_suffix(" GMT")?.split(' ');
    let day: i64 = words.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let month = MONTHS.find(words.next().filter(|name| name.len() == 3)?)? as i64 / 3 + 1;
    let year: i64 = words.next()?.parse().ok().filter(|year| (1970..=9999).contains(year))?;
    let mut seconds = 0;
    for (part, limit) in words.next()?.split(':').zip([24, 60, 61]) {
        let part: i64 = part.parse().ok().filter(|part| (0..limit).contains(part))?;
        seconds = seconds * 60 + part;
    }
    let days = i64::try_from(day_of_date(year.into(), month.into(), day.into())).ok()?;
    Some((days * 86_400 + seconds) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_may_be_asked_for_in_seconds_or_at_a_time() {
        let now_ms = 784_111_777_000;
        let table = [
            ("0", None),
            ("-5", None),
            ("120", Some(120)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Mon, 07 Nov 1994 08:49:37 GMT", Some(86_400)),
            ("Thu, 29 Feb 1996 00:00:00 GMT", Some(41_440_223)),
            ("soon", None),
            ("Sun, 06 Non 1994 08:50:07 GMT", None),
            ("99999999999999999999", None),
        ];
        for (text, seconds) in table {
            let want = seconds.map(Duration::from_secs);
            assert_eq!(read_retry_after(text, now_ms), want, "{text}");
        }
    }

    #[test]
    fn options_that_cannot_work_are_refused_at_once() {
        let start = |url: &str, headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|h| (h.0.to_owned(), h.1.to_owned())).collect();
            let url = url.to_owned();
            Client::new(&RemoteWriteOptions { url, headers, ..Default::default() })
        };
        for url in ["", "hub", "/api", "ftp://hub/x", "http://"] {
            assert!(matches!(start(url, &[]), Err(ForwardError::Url(_))), "{url}");
        }
        for header in [("a b", "c"), ("", "c"), ("a", "c\n")] {
            assert!(matches!(start("http://hub", &[header]), Err(ForwardError::Header(_))));
        }
        let client = start("http://hub", &[("content-type", "x"), ("X-Scope-Cluster", "eu")]);
        let headers = client.unwrap().headers;
        assert_eq!(headers["content-type"], CONTENT_TYPE_V1);
        assert_eq!(headers["x-scope-cluster"], "eu");
        assert_eq!(headers["x-prometheus-remote-write-version"], "0.1.0");
    }

    #[test]
    fn secrets_are_not_shown() {
        let auth = Auth::Basic { username: "u".into(), password: "hidden".into() };
        let options = RemoteWriteOptions { auth, ..Default::default() };
        assert!(!format!("{options:?}").contains("hidden"));
    }
}
