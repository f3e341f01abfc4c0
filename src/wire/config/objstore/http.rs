//! How a store is talked to.

use std::path::PathBuf;

use super::super::read::{At, Fields, Read, Surroundings};
use super::refuse_set;

/// How a store is talked to; `None` leaves it to the defaults of Thanos.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BucketHttp {
    /// How long a connection may be idle.
    pub idle_timeout_ms: Option<i64>,
    /// How long the store may be silent.
    pub silence_timeout_ms: Option<i64>,
    /// How long making a connection may take.
    pub connect_timeout_ms: Option<i64>,
    /// Idle connections to one host.
    pub max_idle_per_host: Option<usize>,
    /// Certificates to trust beside those of the system, as PEM.
    pub ca_file: Option<PathBuf>,
    /// Accept any certificate.
    pub insecure_skip_verify: bool,
}

pub(super) fn read(at: &At<'_>, around: &Surroundings<'_>) -> Read<BucketHttp> {
    let mut fields = Fields::of(at)?;
    let mut http = BucketHttp {
        idle_timeout_ms: fields.read("idle_conn_timeout", At::duration_ms)?,
        silence_timeout_ms: fields.read("response_header_timeout", At::duration_ms)?,
        connect_timeout_ms: fields.read("tls_handshake_timeout", At::duration_ms)?,
        max_idle_per_host: fields.read("max_idle_conns_per_host", At::count)?,
        ca_file: None,
        insecure_skip_verify: fields.read("insecure_skip_verify", At::boolean)?.unwrap_or(false),
    };
    // Without effect here: no request asks before it sends its body, connections are pooled per
    // host, and bodies are never compressed.
    fields.read("expect_continue_timeout", At::duration_ms)?;
    fields.read("max_idle_conns", At::count)?;
    fields.read("disable_compression", At::boolean)?;
    refuse_set(&mut fields, &[("max_conns_per_host", "requests at a time are bounded already")])?;
    if let Some(at) = fields.get("tls_config") {
        let mut tls = Fields::of(&at)?;
        http.ca_file = tls.read("ca_file", |at| at.path(around))?;
        http.insecure_skip_verify |=
            tls.read("insecure_skip_verify", At::boolean)?.unwrap_or(false);
        let refused = [
            ("cert_file", "clients do not show certificates"),
            ("key_file", "clients do not show certificates"),
            ("server_name", "the name in the address is the one that counts"),
        ];
        refuse_set(&mut tls, &refused)?;
        tls.finish()?;
    }
    fields.finish()?;
    Ok(http)
}
