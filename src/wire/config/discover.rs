//! Where targets come from.

use std::path::PathBuf;

use crate::model::Labels;

use super::http::{self, Address, HttpConfig};
use super::read::{At, Fields, Read, Surroundings};
use super::tree::Kind;

/// One source of targets.
#[derive(Debug, Clone, PartialEq)]
pub enum DiscoveryConfig {
    /// Written in the configuration.
    Static(Vec<StaticGroup>),
    /// Read from files again and again.
    File(FileDiscovery),
    /// Asked of a server again and again.
    Http(Box<HttpDiscovery>),
}

/// Targets that share labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticGroup {
    /// Addresses, mostly `host:port`.
    pub targets: Vec<String>,
    /// Labels of all of them.
    pub labels: Labels,
}

/// Groups in files of JSON or YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDiscovery {
    /// Paths; the last part may hold one `*`.
    pub files: Vec<PathBuf>,
    /// Pause between two readings, beside those that a change of a file causes.
    pub refresh_interval_ms: i64,
}

/// Groups that a server answers as JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpDiscovery {
    /// Address to get.
    pub url: Address,
    /// Pause between two questions.
    pub refresh_interval_ms: i64,
    /// How to reach the server.
    pub http: HttpConfig,
}

/// Reads all `*_configs` keys that name sources.
pub(super) fn read(
    fields: &mut Fields<'_>,
    around: &Surroundings<'_>,
    relabelled: bool,
) -> Read<Vec<DiscoveryConfig>> {
    let mut found = Vec::new();
    let groups = fields.read("static_configs", |at| at.list(|at| group(at, relabelled)))?;
    found.extend(groups.map(DiscoveryConfig::Static));
    let files = fields.read("file_sd_configs", |at| at.list(|at| file(at, around)))?;
    found.extend(files.unwrap_or_default().into_iter().map(DiscoveryConfig::File));
    let servers = fields.read("http_sd_configs", |at| at.list(|at| server(at, around)))?;
    found.extend(servers.unwrap_or_default().into_iter().map(Box::new).map(DiscoveryConfig::Http));
    for at in fields.rest() {
        if at.to_string().ends_with("_sd_configs") && fields.meant_by(&at).is_none() {
            return Err(at.fail(
                "not supported yet; static_configs, file_sd_configs and http_sd_configs are",
            ));
        }
    }
    Ok(found)
}

fn group(at: &At<'_>, relabelled: bool) -> Read<StaticGroup> {
    if matches!(at.node.kind, Kind::Null) {
        return Err(at.fail("empty or null section in static_configs"));
    }
    let mut fields = Fields::of(at)?;
    let address = |at: &At<'_>| {
        let text = at.text()?;
        // With rules the address may still become one.
        if !relabelled && text.contains('/') {
            return Err(at.fail(format!("{text:?} is not a valid hostname")));
        }
        Ok(text.to_owned())
    };
    let targets = fields.read("targets", |at| at.list(address))?.unwrap_or_default();
    let labels = fields.read("labels", |at| at.labels(&str::to_owned))?.unwrap_or_default();
    fields.finish()?;
    Ok(StaticGroup { targets, labels })
}

fn file(at: &At<'_>, around: &Surroundings<'_>) -> Read<FileDiscovery> {
    let mut fields = Fields::of(at)?;
    let path = |at: &At<'_>| {
        let path = at.path(around)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_known = [".json", ".yml", ".yaml"].iter().any(|end| name.ends_with(end));
        let above = path.parent().unwrap_or(around.dir).to_string_lossy();
        if !is_known || name.matches('*').count() > 1 || above.contains('*') {
            return Err(at.fail(
                "expected a path that ends in .json, .yml or .yaml, \
                 with at most one * in its last part",
            ));
        }
        Ok(path)
    };
    let files = fields.read("files", |at| at.list(path))?.unwrap_or_default();
    if files.is_empty() {
        return Err(at.fail("file service discovery config must contain at least one path name"));
    }
    let mut refresh_interval_ms = 300_000;
    fields.set("refresh_interval", &mut refresh_interval_ms, At::positive_duration_ms)?;
    fields.finish()?;
    Ok(FileDiscovery { files, refresh_interval_ms })
}

fn server(at: &At<'_>, around: &Surroundings<'_>) -> Read<HttpDiscovery> {
    let mut fields = Fields::of(at)?;
    let url = fields.read("url", At::url)?.ok_or_else(|| at.fail("URL is missing"))?;
    let mut refresh_interval_ms = 60_000;
    fields.set("refresh_interval", &mut refresh_interval_ms, At::positive_duration_ms)?;
    let http = http::read(&mut fields, around, HttpConfig::default())?;
    fields.finish()?;
    Ok(HttpDiscovery { url, refresh_interval_ms, http })
}
