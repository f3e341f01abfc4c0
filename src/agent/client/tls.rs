//! Trust in the certificates of one file, as Go gives it.
//!
//! Two things differ from what rustls does by itself. A certificate that stands in the file is
//! trusted as it is: self-signed ones, as `openssl req -x509` makes them, call themselves an
//! authority and would be refused as a server's; since they are trusted to the byte, their
//! expiry is not looked at. And another name than the address's can be expected; that name is
//! not sent, as the connection still belongs to the address.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::wire::config::{SecretSource, TlsConfig, TlsVersion};

use super::ClientError;

const BAD_CA: &str = "unable to use specified CA cert";
const BAD_IDENTITY: &str = "unable to use specified client cert & key";

fn bad<E: fmt::Display>(what: &str) -> impl Fn(E) -> ClientError + '_ {
    move |error| ClientError(format!("{what}: {error}"))
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(bad(what))?;
    if found.is_empty() { Err(bad(what)("none found")) } else { Ok(found) }
}

/// A client's settings that trust nothing but `ca`, which is PEM.
pub(super) fn trusting(
    ca: &[u8],
    tls: &TlsConfig,
    http2: bool,
    read: &dyn Fn(&SecretSource) -> Result<Vec<u8>, ClientError>,
) -> Result<ClientConfig, ClientError> {
    let trusted = certificates(ca, BAD_CA)?;
    let mut roots = RootCertStore::empty();
    for certificate in &trusted {
        roots.add(certificate.clone()).map_err(bad(BAD_CA))?;
    }
    let provider = Arc::new(ring::default_provider());
    let authorities =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(bad(BAD_CA))?;
    let name = tls.server_name.clone().map(ServerName::try_from).transpose();
    let name = name.map_err(bad("server_name cannot be used"))?;
    let verifier = Arc::new(Verifier { authorities, trusted, name });
    let newest = tls.max_version.unwrap_or(TlsVersion::Tls13);
    let oldest = tls.min_version.unwrap_or(TlsVersion::Tls12);
    let versions = [
        (TlsVersion::Tls13, &rustls::version::TLS13),
        (TlsVersion::Tls12, &rustls::version::TLS12),
    ];
    let wanted = |version: &TlsVersion| (oldest..=newest).contains(version);
    let versions: Vec<_> =
        versions.into_iter().filter(|(version, _)| wanted(version)).map(|pair| pair.1).collect();
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(bad("TLS cannot be set up"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(&read(certificate)?, BAD_IDENTITY)?;
            let key = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(bad(BAD_IDENTITY))?;
            builder.with_client_auth_cert(chain, key).map_err(bad(BAD_IDENTITY))?
        }
    };
    config.enable_sni = tls.server_name.is_none();
    let protocols: &[&[u8]] = if http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

#[derive(Debug)]
struct Verifier {
    authorities: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
    /// The name to expect instead of the address's.
    name: Option<ServerName<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        address: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let name = self.name.as_ref().unwrap_or(address);
        if self.trusted.iter().any(|trusted| trusted.as_ref() == end_entity.as_ref()) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        let authorities = &self.authorities;
        authorities.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}
