//! Answers of the HTTP API, in Prometheus's shapes.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::agent::scrape::{PoolView, Target};
use crate::base::duration::format_duration;
use crate::model::Labels;

use super::Shown;
use super::time::rfc3339;

#[derive(Serialize)]
struct Envelope<T> {
    status: &'static str,
    data: T,
}

fn success<T: Serialize>(data: T) -> String {
    // Only maps with other keys than texts cannot be written, and there are none.
    serde_json::to_string(&Envelope { status: "success", data }).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Targets<'a> {
    active_targets: Vec<ActiveTarget<'a>>,
    dropped_targets: Vec<DroppedTarget<'a>>,
    dropped_target_counts: Option<BTreeMap<&'a str, usize>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ActiveTarget<'a> {
    #[serde(serialize_with = "pairs")]
    discovered_labels: &'a Labels,
    #[serde(serialize_with = "pairs")]
    labels: &'a Labels,
    scrape_pool: &'a str,
    scrape_url: &'a str,
    global_url: &'a str,
    last_error: String,
    last_scrape: String,
    last_scrape_duration: f64,
    health: &'static str,
    scrape_interval: String,
    scrape_timeout: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DroppedTarget<'a> {
    #[serde(serialize_with = "pairs")]
    discovered_labels: &'a Labels,
    scrape_pool: &'a str,
}

fn pairs<S: Serializer>(labels: &&Labels, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.iter())
}

fn active<'a>(pool: &'a str, target: &'a Target) -> ActiveTarget<'a> {
    let last = target.last();
    ActiveTarget {
        discovered_labels: &target.discovered,
        labels: &target.labels,
        scrape_pool: pool,
        scrape_url: &target.url,
        global_url: &target.url,
        last_error: last.error,
        last_scrape: last.time_ms.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), rfc3339),
        last_scrape_duration: last.duration_seconds,
        health: last.health.text(),
        scrape_interval: format_duration(target.interval_ms),
        scrape_timeout: format_duration(target.timeout_ms),
    }
}

/// `/api/v1/targets`
pub(super) fn targets(shown: &Shown, params: &[(String, String)]) -> String {
    let param = |name: &str| {
        let found = params.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    };
    let (state, wanted) = (param("state").to_lowercase(), param("scrapePool"));
    let shows = |part: &str| state.is_empty() || state == "any" || state == part;
    // Copied first, so that no lock is held while the answer is written.
    let mut pools: Vec<(&str, PoolView)> =
        shown.pools.iter().map(|(name, view)| (name.as_str(), view.read().clone())).collect();
    pools.sort_by_key(|pool| pool.0);
    let mut active_targets = Vec::new();
    let mut dropped_targets = Vec::new();
    for (name, view) in pools.iter().filter(|pool| wanted.is_empty() || wanted == pool.0) {
        if shows("active") {
            active_targets.extend(view.active.iter().map(|target| active(name, target)));
        }
        if shows("dropped") {
            let dropped = |labels| DroppedTarget { discovered_labels: labels, scrape_pool: name };
            dropped_targets.extend(view.dropped.iter().map(dropped));
        }
    }
    let counts = pools.iter().map(|(name, view)| (*name, view.dropped_count));
    let dropped_target_counts = shows("dropped").then(|| counts.collect());
    success(Targets { active_targets, dropped_targets, dropped_target_counts })
}

/// `/api/v1/scrape_pools`
pub(super) fn scrape_pools(shown: &Shown) -> String {
    let mut names: Vec<&str> = shown.pools.iter().map(|pool| pool.0.as_str()).collect();
    names.sort_unstable();
    success(BTreeMap::from([("scrapePools", names)]))
}

/// `/api/v1/status/buildinfo`
pub(super) fn build_info() -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct BuildInfo {
        version: &'static str,
        revision: &'static str,
        branch: &'static str,
        build_user: &'static str,
        build_date: &'static str,
        go_version: &'static str,
    }
    let (revision, branch, build_user, build_date, go_version) = Default::default();
    let version = env!("CARGO_PKG_VERSION");
    success(BuildInfo { version, revision, branch, build_user, build_date, go_version })
}
