//! Encryption of calls: whom a client trusts, what a server shows, whom it lets in.

use std::fmt;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tonic::transport::{
    Certificate, ClientTlsConfig, Endpoint, Error, Identity, Server, ServerTlsConfig,
};

/// Why keys or certificates are of no use.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// There is no certificate in what should be one, in PEM.
    Certificate(&'static str),
    /// Certificate and key do not go together, or the system has no trusted authorities.
    Keys(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(whose) => write!(f, "{whose}: no certificate in PEM in it"),
            Self::Keys(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for TlsError {}

impl From<Error> for TlsError {
    fn from(error: Error) -> Self {
        Self::Keys(super::calls::told(&error))
    }
}

/// What a server shows to those who call. Cloning is cheap enough to be done now and then.
#[derive(Clone)]
pub struct ServerTls(ServerTlsConfig);

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

impl ServerTls {
    /// A certificate with those above it, and its key, all in PEM. With `client_ca`, only callers
    /// whose certificates it has signed are answered.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn new(certificate: &[u8], key: &[u8], client_ca: Option<&[u8]>) -> Result<Self, TlsError> {
        use_ring();
        check("certificate of the server", certificate)?;
        let mut config = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
        if let Some(ca) = client_ca {
            check("authority of clients", ca)?;
            config = config.client_ca_root(Certificate::from_pem(ca));
        }
        Server::builder().tls_config(config.clone())?;
        Ok(Self(config))
    }

    pub(super) fn config(&self) -> ServerTlsConfig {
        self.0.clone()
    }
}

/// Whom a client trusts, and what it shows.
#[derive(Clone)]
pub struct ClientTls(ClientTlsConfig);

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

impl ClientTls {
    /// Trusts the authorities in `ca`, in PEM; without it, those of the system.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn new(ca: Option<&[u8]>) -> Result<Self, TlsError> {
        use_ring();
        let config = ClientTlsConfig::new();
        let Some(ca) = ca else { return Self::checked(config.with_native_roots()) };
        check("authority of servers", ca)?;
        Self::checked(config.ca_certificate(Certificate::from_pem(ca)))
    }

    /// Shows a certificate to servers that want one.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn with_identity(self, certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        check("certificate of the client", certificate)?;
        Self::checked(self.0.identity(Identity::from_pem(certificate, key)))
    }

    /// Expects servers to have a certificate for this name, whatever their address.
    ///
    /// # Errors
    /// It is no name.
    pub fn with_server_name(self, name: &str) -> Result<Self, TlsError> {
        Self::checked(self.0.domain_name(name))
    }

    fn checked(config: ClientTlsConfig) -> Result<Self, TlsError> {
        Endpoint::from_static("https://localhost").tls_config(config.clone())?;
        Ok(Self(config))
    }

    pub(super) fn config(&self) -> ClientTlsConfig {
        self.0.clone()
    }
}

fn use_ring() {
    // There may be one already, ours or another's: either can encrypt.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// An authority that cannot be read would only show in every call that it refuses.
fn check(whose: &'static str, pem: &[u8]) -> Result<(), TlsError> {
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        certificate.map_err(|_| TlsError::Certificate(whose))?;
        count += 1;
    }
    if count == 0 { Err(TlsError::Certificate(whose)) } else { Ok(()) }
}
