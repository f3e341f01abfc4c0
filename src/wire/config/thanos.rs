//! Where a hub keeps a year, whom it asks besides itself, and who compacts.

use std::path::PathBuf;

use crate::model::relabel::Rule;

use super::http::Secret;
use super::read::{At, Fields, Read, Surroundings};
use super::relabel;

/// What Thanos's programs are told by their flags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThanosConfig {
    /// The bucket.
    pub objstore: Option<ObjstoreSource>,
    /// Labels that tell replicas apart (`--query.replica-label`).
    pub replica_labels: Vec<String>,
    /// `host:port` of `StoreAPI` servers that are asked too (`--endpoint`).
    pub endpoints: Vec<String>,
    /// Set if this hub compacts the bucket.
    pub compact: Option<CompactConfig>,
    /// How gRPC is encrypted and compressed.
    pub grpc: GrpcConfig,
}

/// How gRPC is encrypted and compressed, where it is served and where others are asked. The files
/// are in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GrpcConfig {
    /// The server's certificate and those above it (`--grpc-server-tls-cert`); in clear without.
    pub server_cert: Option<PathBuf>,
    /// Its key (`--grpc-server-tls-key`).
    pub server_key: Option<PathBuf>,
    /// Who calls must have a certificate of this authority (`--grpc-server-tls-client-ca`).
    pub server_client_ca: Option<PathBuf>,
    /// Endpoints are asked over TLS (`--grpc-client-tls-secure`), unless they begin with `http://`.
    pub client_secure: bool,
    /// The authority of their certificates (`--grpc-client-tls-ca`); the system's ones without.
    pub client_ca: Option<PathBuf>,
    /// What they are shown (`--grpc-client-tls-cert`).
    pub client_cert: Option<PathBuf>,
    /// Its key (`--grpc-client-tls-key`).
    pub client_key: Option<PathBuf>,
    /// The name that their certificates must have (`--grpc-client-server-name`); that of the
    /// address without.
    pub client_server_name: Option<String>,
    /// Answers may be compressed with gzip, both ways (`--grpc-compression`).
    pub compression: bool,
}

/// Where the description of a bucket stands, in the schema of Thanos's `objstore` files.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjstoreSource {
    /// In the configuration itself: its text. It may hold keys.
    Inline(Secret),
    /// In a file of its own.
    File(PathBuf),
}

/// How a bucket is kept small. What is not said is left to the compactor's own default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactConfig {
    /// How long raw samples are kept (`--retention.resolution-raw`); 0 for ever.
    pub retention_raw_ms: Option<i64>,
    /// The same of windows of five minutes.
    pub retention_5m_ms: Option<i64>,
    /// The same of windows of an hour.
    pub retention_1h_ms: Option<i64>,
    /// From the mark to the deletion (`--delete-delay`).
    pub delete_delay_ms: Option<i64>,
    /// How old a block must be before it is touched (`--consistency-delay`).
    pub consistency_delay_ms: Option<i64>,
    /// From round to round (`--wait-interval`).
    pub wait_interval_ms: Option<i64>,
    /// Make windows of five minutes and an hour (not `--downsampling.disable`).
    pub downsampling: Option<bool>,
    /// `identity`, `penalty`, or empty for none (`--deduplication.func`).
    pub deduplication: Option<String>,
    /// Rules for the external labels of blocks: only those that survive them are worked with
    /// (`--selector.relabel-config`). Empty for all.
    pub selector: Vec<Rule>,
}

/// Reads `thanos` of a hub's file.
pub(super) fn read(at: &At<'_>, around: &Surroundings<'_>) -> Read<ThanosConfig> {
    let mut fields = Fields::of(at)?;
    let config = common(&mut fields, around)?;
    fields.finish()?;
    Ok(config)
}

/// Reads `thanos` of the operator's values; `skipped` gets the keys that mean nothing here.
pub(super) fn from_operator(
    at: &At<'_>,
    around: &Surroundings<'_>,
    skipped: &mut Vec<String>,
) -> Read<ThanosConfig> {
    let mut fields = Fields::of(at)?;
    let mut config = common(&mut fields, around)?;
    if let Some(at) = fields.get("object_storage_config") {
        let found = fields_of_secret(&at)?;
        config.objstore = Some(ObjstoreSource::Inline(found));
    }
    if let Some(at) = fields.get("grpc_server_tls_config") {
        let path = |at: &At<'_>| at.path(around);
        let mut tls = Fields::of(&at)?;
        config.grpc.server_cert = tls.read("cert_file", path)?;
        config.grpc.server_key = tls.read("key_file", path)?;
        config.grpc.server_client_ca = tls.read("ca_file", path)?;
        tls.finish()?;
    }
    super::helm::skip_rest(&fields, skipped)?;
    Ok(config)
}

fn fields_of_secret(at: &At<'_>) -> Read<Secret> {
    let mut fields = Fields::of(at)?;
    if let Some(at) = fields.get("existing_secret") {
        return Err(at.fail("mount the secret and name its file as objstoreConfigFile"));
    }
    let secret = fields.read("secret", |at| Ok(Secret::new(at.node.to_flow_text())))?;
    fields.finish()?;
    secret.ok_or_else(|| at.fail("expected secret, with type and config of the bucket"))
}

fn common(fields: &mut Fields<'_>, around: &Surroundings<'_>) -> Read<ThanosConfig> {
    let inline = fields.read("objstore", |at| Ok(Secret::new(at.node.to_flow_text())))?;
    let file = fields.read("objstore_config_file", |at| at.path(around))?;
    let objstore = match (inline, file) {
        (Some(_), Some(_)) => {
            let what = "the bucket is described twice: objstore and objstore_config_file";
            return Err(fields.place().fail(what));
        }
        (Some(text), None) => Some(ObjstoreSource::Inline(text)),
        (None, file) => file.map(ObjstoreSource::File),
    };
    let texts = |at: &At<'_>| at.list(At::string);
    Ok(ThanosConfig {
        objstore,
        replica_labels: fields.read("replica_labels", texts)?.unwrap_or_default(),
        endpoints: fields.read("endpoints", texts)?.unwrap_or_default(),
        compact: fields.written("compact").map(|at| compact(&at)).transpose()?,
        grpc: grpc(fields, around)?,
    })
}

fn grpc(fields: &mut Fields<'_>, around: &Surroundings<'_>) -> Read<GrpcConfig> {
    let path = |at: &At<'_>| at.path(around);
    let compression = |at: &At<'_>| match at.text()? {
        "none" => Ok(false),
        "gzip" => Ok(true),
        other => Err(at.fail(format!("expected none or gzip, found {other:?}"))),
    };
    Ok(GrpcConfig {
        server_cert: fields.read("grpc_server_tls_cert", path)?,
        server_key: fields.read("grpc_server_tls_key", path)?,
        server_client_ca: fields.read("grpc_server_tls_client_ca", path)?,
        client_secure: fields.read("grpc_client_tls_secure", At::boolean)?.unwrap_or(false),
        client_ca: fields.read("grpc_client_tls_ca", path)?,
        client_cert: fields.read("grpc_client_tls_cert", path)?,
        client_key: fields.read("grpc_client_tls_key", path)?,
        client_server_name: fields.read("grpc_client_server_name", At::string)?,
        compression: fields.read("grpc_compression", compression)?.unwrap_or(false),
    })
}

fn compact(at: &At<'_>) -> Read<CompactConfig> {
    let mut fields = Fields::of(at)?;
    let mut config = fields.read("retention", retention)?.unwrap_or_default();
    config.delete_delay_ms = fields.read("delete_delay", At::duration_ms)?;
    config.consistency_delay_ms = fields.read("consistency_delay", At::duration_ms)?;
    config.wait_interval_ms = fields.read("wait_interval", At::positive_duration_ms)?;
    config.downsampling = fields.read("downsampling", At::boolean)?;
    config.deduplication = fields.read("deduplication", |at| match at.text()? {
        known @ ("identity" | "penalty" | "none") => Ok(known.to_owned()),
        other => Err(at.fail(format!("expected identity, penalty or none, found {other:?}"))),
    })?;
    config.selector =
        fields.read("selector_relabel_configs", relabel::written)?.unwrap_or_default();
    fields.finish()?;
    Ok(config)
}

fn retention(at: &At<'_>) -> Read<CompactConfig> {
    let mut fields = Fields::of(at)?;
    let config = CompactConfig {
        retention_raw_ms: fields.read("raw", At::duration_ms)?,
        retention_5m_ms: fields.read("5m", At::duration_ms)?,
        retention_1h_ms: fields.read("1h", At::duration_ms)?,
        ..CompactConfig::default()
    };
    fields.finish()?;
    Ok(config)
}
