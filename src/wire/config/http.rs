//! How to reach a server: authorization, TLS, proxy, headers.

use std::fmt;
use std::path::PathBuf;

use super::read::{At, Fields, Read, Style, Surroundings};

/// A text that must not be shown. Its `Debug` form hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// An address, whose password, if it holds one, is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// Wraps an address.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The whole address.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, host)) => {
                let user = user.split(':').next().unwrap_or_default();
                write!(f, "{scheme}://{user}:xxxxx@{host}{path}")
            }
            None => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a secret text is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In the configuration.
    Inline(Secret),
    /// In a file that is read for each request, so that it may be replaced while running.
    File(PathBuf),
}

/// How a client says who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// HTTP basic authentication.
    Basic {
        /// The user's name.
        username: SecretSource,
        /// The password; empty if none is given.
        password: SecretSource,
    },
    /// An `Authorization` header of scheme and credentials.
    Header {
        /// `Bearer` unless given.
        scheme: String,
        /// What follows the scheme.
        credentials: SecretSource,
    },
}

/// Versions of TLS that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// Whom to trust, and who we are, on an encrypted connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// The only authorities to trust, as PEM; without it those of the system.
    pub ca: Option<SecretSource>,
    /// Our certificate and its key, as PEM.
    pub identity: Option<(SecretSource, SecretSource)>,
    /// The name to expect in the server's certificate instead of the one in the address.
    pub server_name: Option<String>,
    /// Accept any certificate.
    pub insecure_skip_verify: bool,
    /// The lowest version to accept.
    pub min_version: Option<TlsVersion>,
    /// The highest version to offer.
    pub max_version: Option<TlsVersion>,
}

/// How to reach a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Who we are.
    pub auth: Option<Auth>,
    /// Encryption.
    pub tls: TlsConfig,
    /// Follow redirects.
    pub follow_redirects: bool,
    /// Offer HTTP/2 on encrypted connections.
    pub enable_http2: bool,
    /// The proxy to go through.
    pub proxy_url: Option<Address>,
    /// Hosts to reach without the proxy, separated by commas.
    pub no_proxy: Option<String>,
    /// Take the proxy from the environment.
    pub proxy_from_environment: bool,
    /// Extra headers: name and values in order.
    pub headers: Vec<(String, Vec<SecretSource>)>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            auth: None,
            tls: TlsConfig::default(),
            follow_redirects: true,
            enable_http2: true,
            proxy_url: None,
            no_proxy: None,
            proxy_from_environment: false,
            headers: Vec::new(),
        }
    }
}

/// Reads the keys of [`HttpConfig`] that stand among the keys of a job or a destination.
pub(super) fn read(
    fields: &mut Fields<'_>,
    around: &Surroundings<'_>,
    mut config: HttpConfig,
) -> Read<HttpConfig> {
    config.auth = auth(fields, around)?;
    fields.set("tls_config", &mut config.tls, |at| tls(at, around))?;
    fields.set("follow_redirects", &mut config.follow_redirects, At::boolean)?;
    fields.set("enable_http2", &mut config.enable_http2, At::boolean)?;
    if fields.place().is_camel() {
        // The one key of the operator's that keeps its acronym.
        if let Some(at) = fields.exactly("enableHTTP2".to_owned()) {
            config.enable_http2 = at.boolean()?;
        }
    }
    proxy(fields, &mut config)?;
    fields.set("http_headers", &mut config.headers, |at| headers(at, around))?;
    fields.not_supported_yet(&["oauth2", "proxy_connect_header"])?;
    Ok(config)
}

fn proxy(fields: &mut Fields<'_>, config: &mut HttpConfig) -> Read<()> {
    config.proxy_url = fields.read("proxy_url", At::url)?;
    config.no_proxy = fields.read("no_proxy", At::string)?.filter(|text| !text.is_empty());
    fields.set("proxy_from_environment", &mut config.proxy_from_environment, At::boolean)?;
    let at = fields.place();
    if config.proxy_from_environment && (config.proxy_url.is_some() || config.no_proxy.is_some()) {
        return Err(
            at.fail("if proxy_from_environment is configured, proxy_url and no_proxy must not be")
        );
    }
    if config.no_proxy.is_some() && config.proxy_url.is_none() {
        return Err(at.fail("if no_proxy is configured, proxy_url must also be configured"));
    }
    Ok(())
}

/// A secret that stands under `key`, or in the file under `key` + `_file`.
fn source(
    fields: &mut Fields<'_>,
    around: &Surroundings<'_>,
    key: &str,
) -> Read<Option<SecretSource>> {
    let inline = fields.read(key, |at| {
        if is_reference(at) {
            return Err(at.fail(
                "a reference to a Kubernetes secret is not supported yet; \
                 give the text or the key of the same name with File behind it",
            ));
        }
        at.secret()
    })?;
    let file_key = format!("{key}_file");
    let file = fields.read(&file_key, |at| at.path(around))?;
    fields.not_supported_yet(&[&format!("{key}_ref")])?;
    match (inline, file) {
        (Some(_), Some(_)) => Err(fields
            .place()
            .fail(format!("at most one of {key} & {file_key} must be configured"))),
        (Some(text), None) => Ok(Some(SecretSource::Inline(text))),
        (None, Some(path)) => Ok(Some(SecretSource::File(path))),
        (None, None) => Ok(None),
    }
}

/// True for `{name: …, key: …}`, how the operator's values point at a secret.
fn is_reference(at: &At<'_>) -> bool {
    at.node.get("key").is_some() && at.node.get("name").is_some()
}

fn auth(fields: &mut Fields<'_>, around: &Surroundings<'_>) -> Read<Option<Auth>> {
    let basic = fields.read("basic_auth", |at| basic(at, around))?;
    let header = fields.read("authorization", |at| authorization(at, around))?;
    let bearer = source(fields, around, "bearer_token")?;
    let bearer = bearer.map(|credentials| Auth::Header { scheme: "Bearer".into(), credentials });
    let mut given = [basic, header, bearer].into_iter().flatten();
    let first = given.next();
    if given.next().is_some() {
        return Err(fields.place().fail(
            "at most one of basic_auth, authorization, bearer_token & bearer_token_file \
             must be configured",
        ));
    }
    Ok(first)
}

fn basic(at: &At<'_>, around: &Surroundings<'_>) -> Read<Auth> {
    let mut fields = Fields::of(at)?;
    let nothing = || SecretSource::Inline(Secret::new(""));
    let username = source(&mut fields, around, "username")?.unwrap_or_else(nothing);
    let password = source(&mut fields, around, "password")?.unwrap_or_else(nothing);
    fields.finish()?;
    Ok(Auth::Basic { username, password })
}

fn authorization(at: &At<'_>, around: &Surroundings<'_>) -> Read<Auth> {
    let mut fields = Fields::of(at)?;
    let scheme = fields.read("type", |at| {
        let scheme = at.text()?.trim();
        if scheme.eq_ignore_ascii_case("basic") {
            return Err(
                at.fail("authorization type cannot be set to \"basic\", use basic_auth instead")
            );
        }
        Ok(scheme.to_owned())
    })?;
    let credentials = source(&mut fields, around, "credentials")?;
    fields.finish()?;
    Ok(Auth::Header {
        scheme: scheme.filter(|scheme| !scheme.is_empty()).unwrap_or_else(|| "Bearer".into()),
        credentials: credentials.unwrap_or_else(|| SecretSource::Inline(Secret::new(""))),
    })
}

fn tls(at: &At<'_>, around: &Surroundings<'_>) -> Read<TlsConfig> {
    let mut fields = Fields::of(at)?;
    let ca = source(&mut fields, around, "ca")?;
    let cert = source(&mut fields, around, "cert")?;
    let key = source(&mut fields, around, "key")?;
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => {
            return Err(at.fail(
                "exactly one of key or key_file must be configured when a client certificate is \
                 configured",
            ));
        }
        (None, Some(_)) => {
            return Err(at.fail(
                "exactly one of cert or cert_file must be configured when a client key is \
                 configured",
            ));
        }
    };
    fields.not_supported_yet(&["key_secret"])?;
    let server_name = fields.read("server_name", At::string)?.filter(|name| !name.is_empty());
    let mut insecure_skip_verify = false;
    fields.set("insecure_skip_verify", &mut insecure_skip_verify, At::boolean)?;
    let min_version = fields.read("min_version", tls_version)?;
    let max_version = fields.read("max_version", tls_version)?;
    if min_version.zip(max_version).is_some_and(|(min, max)| max < min) {
        return Err(at.fail(
            "tls_config.max_version must be greater than or equal to tls_config.min_version",
        ));
    }
    fields.finish()?;
    Ok(TlsConfig { ca, identity, server_name, insecure_skip_verify, min_version, max_version })
}

fn tls_version(at: &At<'_>) -> Read<TlsVersion> {
    match at.text()? {
        "TLS12" => Ok(TlsVersion::Tls12),
        "TLS13" => Ok(TlsVersion::Tls13),
        "TLS10" | "TLS11" => Err(at.fail("not supported: TLS 1.2 is the oldest that is spoken")),
        other => Err(at.fail(format!("unknown TLS version {other:?}, expected TLS12 or TLS13"))),
    }
}

fn headers(at: &At<'_>, around: &Surroundings<'_>) -> Read<Vec<(String, Vec<SecretSource>)>> {
    at.table(|name, at| {
        if is_reserved(name) || name.eq_ignore_ascii_case("authorization") {
            return Err(at.fail(format!("setting header {name:?} is not allowed")));
        }
        check_header_name(name, at)?;
        let at = at.styled(Style::Snake);
        let mut fields = Fields::of(&at)?;
        let mut sources = Vec::new();
        for key in ["values", "secrets"] {
            let texts = fields.read(key, |at| at.list(At::secret))?.unwrap_or_default();
            sources.extend(texts.into_iter().map(SecretSource::Inline));
        }
        let files = fields.read("files", |at| at.list(|at| at.path(around)))?;
        sources.extend(files.unwrap_or_default().into_iter().map(SecretSource::File));
        fields.finish()?;
        Ok(sources)
    })
}

/// Refuses a name that no header can have.
pub(super) fn check_header_name(name: &str, at: &At<'_>) -> Read<()> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(at.fail(format!("{name:?} is not a valid header name")));
    }
    Ok(())
}

/// Headers that the protocol itself sets.
pub(super) fn is_reserved(name: &str) -> bool {
    const RESERVED: [&str; 17] = [
        "host",
        "content-encoding",
        "content-length",
        "content-type",
        "user-agent",
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "www-authenticate",
        "accept-encoding",
        "x-prometheus-remote-write-version",
        "x-prometheus-remote-read-version",
        "x-prometheus-scrape-timeout-seconds",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-content-sha256",
    ];
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}
