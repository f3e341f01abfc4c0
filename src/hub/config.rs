//! What a hub is told by its file.

use std::path::Path;

use crate::disk::Disk;
use crate::model::Labels;
use crate::promql::EngineOptions;
use crate::storage::db::TsdbOptions;
use crate::storage::wal::Compression;
use crate::wire::config::{Config, ConfigError, ThanosConfig};

use super::receive::ReceiveOptions;

/// Settings of a hub. `Default` is a hub without a file.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct HubConfig {
    /// Labels that tell this hub from others.
    pub external_labels: Labels,
    /// How long to keep what.
    pub db: TsdbOptions,
    /// Where a year is kept, who is asked too, and which labels tell replicas apart. If any of
    /// it is set, questions are answered with the external labels, as a Thanos querier does.
    pub thanos: ThanosConfig,
    /// What to take from senders.
    pub receive: ReceiveOptions,
    /// How queries run.
    pub engine: EngineOptions,
    /// What the user should know though it is no error: one sentence each.
    pub warnings: Vec<String>,
}

impl HubConfig {
    /// Reads a file: a `prometheus.yml`, or Helm values with `prometheus.prometheusSpec`.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(disk: &dyn Disk, path: &Path) -> Result<Self, ConfigError> {
        Self::from_config(&Config::load(disk, path)?)
    }

    /// Takes from a configuration what concerns a hub.
    ///
    /// # Errors
    /// What a hub does not do, or not yet.
    pub fn from_config(config: &Config) -> Result<Self, ConfigError> {
        let storage = &config.storage;
        if !config.scrape.is_empty() {
            let keys = ["scrape_configs", "additionalScrapeConfigs"];
            return Err(config.refuse(&keys, "not supported yet: run an agent beside the hub"));
        }
        if !config.remote_write.is_empty() {
            let keys = ["remote_write", "remoteWrite"];
            return Err(config.refuse(&keys, "not supported yet: a hub does not forward"));
        }
        if storage.remote_write_receiver == Some(false) {
            let what = "a hub receives; set it to true or leave it out";
            return Err(config.refuse(&["enableRemoteWriteReceiver"], what));
        }
        let mut hub = Self {
            external_labels: config.external_labels.clone(),
            thanos: config.thanos.clone(),
            warnings: config.warnings.clone(),
            ..Self::default()
        };
        if let Some(retention_ms) = storage.retention_ms {
            hub.db.retention_ms = retention_ms;
        }
        if let Some(retention_bytes) = storage.retention_bytes {
            hub.db.retention_bytes = retention_bytes;
        }
        if let Some(window_ms) = storage.out_of_order_window_ms {
            hub.db.out_of_order_window_ms = window_ms;
        }
        if let Some(count) = storage.max_exemplars {
            hub.db.max_exemplars = usize::try_from(count).unwrap_or(usize::MAX);
            if count > 0 {
                let what = "exemplars are stored, but /api/v1/query_exemplars is not there yet";
                hub.warnings.push(what.to_owned());
            }
        }
        if hub.thanos.objstore.is_some() && hub.external_labels.is_empty() {
            let what = "a bucket is shared: this hub needs external_labels that no other has";
            return Err(config.refuse(&["thanos"], what));
        }
        if storage.wal_compression == Some(false) {
            hub.db.wal.compression = Compression::None;
        }
        Ok(hub)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<HubConfig, String> {
        let config = Config::parse(text, Path::new("hub.yml"), &|_| None);
        let config = config.map_err(|error| error.to_string())?;
        HubConfig::from_config(&config).map_err(|error| error.to_string())
    }

    #[test]
    fn both_shapes_say_how_long_to_keep() {
        let plain = "global: {external_labels: {cluster: a}}\n\
                     storage: {tsdb: {retention: {time: 3d, size: 1GB}}}\n";
        let helm = "prometheus: {prometheusSpec: {externalLabels: {cluster: a}, \
                    retention: 3d, retentionSize: 1GB, enableRemoteWriteReceiver: true}}\n";
        for text in [plain, helm] {
            let hub = read(text).unwrap();
            assert_eq!(hub.db.retention_ms, 3 * 86_400_000);
            assert_eq!(hub.db.retention_bytes, 1 << 30);
            assert_eq!(hub.external_labels.get("cluster"), Some("a"));
        }
        let usual = read("global: {}\n").unwrap().db;
        assert_eq!(usual.retention_ms, 15 * 86_400_000);
        assert_eq!(usual.wal.compression, Compression::Snappy);
        let plain_log = read("prometheus: {prometheusSpec: {walCompression: false}}\n").unwrap();
        assert_eq!(plain_log.db.wal.compression, Compression::None);
    }

    #[test]
    fn both_shapes_say_what_else_is_kept() {
        let plain =
            "storage: {tsdb: {out_of_order_time_window: 30m}, exemplars: {max_exemplars: 9}}\n";
        let helm = "prometheus: {prometheusSpec: {tsdb: {outOfOrderTimeWindow: 30m}, \
                    exemplars: {maxSize: 9}}}\n";
        for text in [plain, helm] {
            let hub = read(text).unwrap();
            assert_eq!((hub.db.out_of_order_window_ms, hub.db.max_exemplars), (1_800_000, 9));
        }
    }

    #[test]
    fn what_a_hub_does_not_do_is_refused() {
        let rows = [
            (
                "global: {}\nscrape_configs: [{job_name: a, static_configs: [{targets: ['b:80']}]}]\n",
                "hub.yml:2: scrape_configs: not supported yet: run an agent beside the hub",
            ),
            (
                "remote_write: [{url: 'http://a/b'}]\n",
                "hub.yml:1: remote_write: not supported yet: a hub does not forward",
            ),
            (
                "prometheus: {prometheusSpec: {enableRemoteWriteReceiver: false}}\n",
                "hub.yml:1: prometheus.prometheusSpec.enableRemoteWriteReceiver: a hub receives; set it to true or leave it out",
            ),
        ];
        for (text, want) in rows {
            assert_eq!(read(text).unwrap_err(), want);
        }
        assert!(read("nonsense: 1\n").unwrap_err().starts_with("hub.yml:1:"));
    }
}
