//! HTTP clients as the configuration asks for them.

#[cfg(test)]
mod tests;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Identity, NoProxy, Proxy, RequestBuilder};
use rustls::crypto::ring;

use crate::base::base64;
use crate::disk::SharedDisk;
use crate::wire::config::{Auth, HttpConfig, SecretSource, TlsConfig, TlsVersion};

/// What this program calls itself.
pub const USER_AGENT: &str = concat!("promlite/", env!("CARGO_PKG_VERSION"));

/// Why a client could not be made or a request not be prepared.
#[derive(Debug, Clone)]
pub struct ClientError(pub(super) String);

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ClientError {}

/// A client and the credentials it shows.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: Client,
    config: Arc<HttpConfig>,
    disk: SharedDisk,
}

impl HttpClient {
    /// Makes a client. Certificates are read now, credentials in files for each request.
    ///
    /// # Errors
    /// A certificate or proxy that cannot be used.
    pub fn new(
        config: &HttpConfig,
        compression: bool,
        disk: SharedDisk,
    ) -> Result<Self, ClientError> {
        // Somebody else in the process may have chosen another provider, which is as good.
        let _ = ring::default_provider().install_default();
        let mut builder = ClientBuilder::new()
            .user_agent(USER_AGENT)
            .connect_timeout(Duration::from_secs(30))
            .gzip(compression)
            .redirect(if config.follow_redirects {
                reqwest::redirect::Policy::limited(10)
            } else {
                reqwest::redirect::Policy::none()
            });
        if !config.enable_http2 {
            builder = builder.http1_only();
        }
        builder = with_proxy(builder, config)?;
        builder = with_tls(builder, &config.tls, config.enable_http2, &disk)?;
        let client = builder.build().map_err(|error| ClientError(chain(&error)))?;
        Ok(Self { client, config: Arc::new(config.clone()), disk })
    }

    /// Starts a GET request with credentials and extra headers.
    ///
    /// # Errors
    /// Credentials that cannot be read.
    pub fn get(&self, url: &str) -> Result<RequestBuilder, ClientError> {
        self.prepare(self.client.get(url))
    }

    /// Starts a POST request with credentials and extra headers.
    ///
    /// # Errors
    /// Credentials that cannot be read.
    pub fn post(&self, url: &str) -> Result<RequestBuilder, ClientError> {
        self.prepare(self.client.post(url))
    }

    fn prepare(&self, mut request: RequestBuilder) -> Result<RequestBuilder, ClientError> {
        for (name, value) in self.extra_headers()? {
            let name = HeaderName::try_from(&name)
                .map_err(|_| ClientError(format!("{name:?} is not a valid header name")))?;
            let value = HeaderValue::try_from(value)
                .map_err(|_| ClientError(format!("the value of header {name} is not valid")))?;
            request = request.header(name, value);
        }
        let Some(auth) = &self.config.auth else { return Ok(request) };
        let mut value = HeaderValue::try_from(self.authorization(auth)?)
            .map_err(|_| ClientError("the credentials are no valid header".into()))?;
        value.set_sensitive(true);
        Ok(request.header(AUTHORIZATION, value))
    }

    /// The client without credentials and extra headers.
    pub(super) fn inner(&self) -> Client {
        self.client.clone()
    }

    /// The extra headers as they are now.
    pub(super) fn extra_headers(&self) -> Result<Vec<(String, String)>, ClientError> {
        let mut headers = Vec::new();
        for (name, values) in &self.config.headers {
            for value in values {
                headers.push((name.clone(), self.reveal(value)?));
            }
        }
        Ok(headers)
    }

    /// The value of the `Authorization` header as it is now.
    pub(super) fn authorization(&self, auth: &Auth) -> Result<String, ClientError> {
        Ok(match auth {
            Auth::Basic { username, password } => {
                let (username, password) = (self.reveal(username)?, self.reveal(password)?);
                format!("Basic {}", base64::encode(format!("{username}:{password}").as_bytes()))
            }
            Auth::Header { scheme, credentials } => {
                format!("{scheme} {}", self.reveal(credentials)?)
            }
        })
    }

    fn reveal(&self, source: &SecretSource) -> Result<String, ClientError> {
        match (String::from_utf8(read(source, &self.disk)?), source) {
            (Ok(text), SecretSource::Inline(_)) => Ok(text),
            // A file mostly ends with a newline that is no part of the secret.
            (Ok(text), SecretSource::File(_)) => Ok(text.trim().to_owned()),
            (Err(_), _) => Err(ClientError("a secret is not valid UTF-8".into())),
        }
    }
}

fn read(source: &SecretSource, disk: &SharedDisk) -> Result<Vec<u8>, ClientError> {
    match source {
        SecretSource::Inline(text) => Ok(text.reveal().as_bytes().to_vec()),
        SecretSource::File(path) => disk.read(path).map_err(|error| {
            ClientError(format!("unable to read file {}: {error}", path.display()))
        }),
    }
}

fn with_proxy(builder: ClientBuilder, config: &HttpConfig) -> Result<ClientBuilder, ClientError> {
    if config.proxy_from_environment {
        return Ok(builder);
    }
    let builder = builder.no_proxy();
    let Some(address) = &config.proxy_url else { return Ok(builder) };
    let proxy = Proxy::all(address.reveal())
        .map_err(|_| ClientError(format!("{address} cannot be used as a proxy")))?;
    let except = config.no_proxy.as_deref().and_then(NoProxy::from_string);
    Ok(builder.proxy(proxy.no_proxy(except)))
}

fn with_tls(
    mut builder: ClientBuilder,
    tls: &TlsConfig,
    http2: bool,
    disk: &SharedDisk,
) -> Result<ClientBuilder, ClientError> {
    if !tls.insecure_skip_verify {
        if let Some(ca) = &tls.ca {
            let config = tls::trusting(&read(ca, disk)?, tls, http2, &|from| read(from, disk))?;
            return Ok(builder.tls_backend_preconfigured(config));
        }
        if tls.server_name.is_some() {
            return Err(ClientError("server_name without ca_file is not supported yet".into()));
        }
    }
    if let Some((certificate, key)) = &tls.identity {
        let mut pem = read(certificate, disk)?;
        pem.push(b'\n');
        pem.extend(read(key, disk)?);
        let identity = Identity::from_pem(&pem).map_err(|error| {
            ClientError(format!("unable to use specified client cert & key: {error}"))
        })?;
        builder = builder.identity(identity);
    }
    let version = |version: TlsVersion| match version {
        TlsVersion::Tls12 => reqwest::tls::Version::TLS_1_2,
        TlsVersion::Tls13 => reqwest::tls::Version::TLS_1_3,
    };
    if let Some(min) = tls.min_version {
        builder = builder.tls_version_min(version(min));
    }
    if let Some(max) = tls.max_version {
        builder = builder.tls_version_max(version(max));
    }
    Ok(builder.tls_danger_accept_invalid_certs(tls.insecure_skip_verify))
}

/// An error and what caused it, innermost last; the address is left out, since callers name it.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = error.source().or(Some(error));
    while let Some(error) = next {
        let text = error.to_string();
        // Many libraries repeat the cause in their own words.
        if texts.last().is_none_or(|last| !last.ends_with(&text)) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.join(": ")
}
