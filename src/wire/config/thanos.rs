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
