//! What do `prometheus.yml` and the Helm values say?
//!
//! Both shapes are told apart by their content and lead to one [`Config`]. Reading is strict: an
//! unknown key, a wrong type or an invalid value is an error with file, line and key; a key that
//! Prometheus knows and promlite does not is refused as not supported yet, never skipped.
//!
//! Useful for: what both roles are told by their users. Not useful for: rule files.

mod discover;
mod error;
mod helm;
mod http;
mod objstore;
mod prometheus;
mod read;
mod relabel;
mod remote_write;
mod scrape;
mod storage;
#[cfg(test)]
mod tests;
mod thanos;
mod tree;

use std::path::Path;

use crate::disk::Disk;
use crate::model::Labels;

pub use discover::{DiscoveryConfig, FileDiscovery, HttpDiscovery, StaticGroup};
pub use error::ConfigError;
pub use http::{Address, Auth, HttpConfig, Secret, SecretSource, TlsConfig, TlsVersion};
pub use objstore::{
    AzureAuth, AzureBucket, BucketConfig, BucketHttp, BucketLookup, BucketProvider, GcsBucket,
    S3Bucket, S3Encryption,
};
pub use remote_write::{MetadataConfig, QueueConfig, RemoteWriteConfig};
pub use scrape::{ScrapeConfig, ScrapeDefaults, ScrapeLimits};
pub use storage::StorageConfig;
pub use thanos::{CompactConfig, GrpcConfig, ObjstoreSource, ThanosConfig};

use read::{At, Style, Surroundings};

/// What a configuration file says.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Config {
    /// Labels that go with everything that leaves this program.
    pub external_labels: Labels,
    /// What jobs take over.
    pub scrape_defaults: ScrapeDefaults,
    /// Jobs in the order of the file, defaults filled in.
    pub scrape: Vec<ScrapeConfig>,
    /// Destinations in the order of the file.
    pub remote_write: Vec<RemoteWriteConfig>,
    /// Wishes about the storage.
    pub storage: StorageConfig,
    /// Wishes about the long term.
    pub thanos: ThanosConfig,
    /// What the user should know though it is no error: one sentence each.
    pub warnings: Vec<String>,
    file: String,
    /// Keys of all tables that lie in no list, with their lines.
    places: Vec<(String, usize)>,
}

impl Config {
    /// Reads a file. Relative paths in it start from its folder; `${NAME}` in external labels is
    /// taken from the environment.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(disk: &dyn Disk, path: &Path) -> Result<Self, ConfigError> {
        let fail = |what: String| ConfigError {
            file: path.display().to_string(),
            line: None,
            key: String::new(),
            what,
        };
        let bytes = disk.read(path).map_err(|error| fail(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| fail("not valid UTF-8".to_owned()))?;
        Self::parse(&text, path, &|name| std::env::var(name).ok())
    }

    /// Reads a text that stands, or could stand, in the file `path`.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn parse(
        text: &str,
        path: &Path,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        let tree = tree::read(text).map_err(|refusal| ConfigError {
            file: file.clone(),
            line: refusal.line,
            key: String::new(),
            what: refusal.what,
        })?;
        let around = Surroundings { dir: path.parent().unwrap_or(Path::new("")), environment };
        let top = At::top(&tree, Style::Camel);
        let config = if helm::is_meant(&top) {
            helm::read(&top, &around)
        } else {
            prometheus::read(&top.styled(Style::Snake), &around)
        };
        let mut config = config.map_err(|error| error.in_file(&file))?;
        config.places = tree.places();
        config.file = file;
        Ok(config)
    }

    /// For a role that cannot do what the file asks for: the error that names the place of the
    /// first of `keys` that is written in it.
    #[must_use]
    pub fn refuse(&self, keys: &[&str], what: &str) -> ConfigError {
        let named = |path: &str| keys.iter().any(|key| path.rsplit('.').next() == Some(key));
        let place = self.places.iter().find(|(path, _)| named(path));
        let key = place.map(|(path, _)| path.clone());
        ConfigError {
            file: self.file.clone(),
            line: place.map(|(_, line)| *line),
            key: key.or_else(|| keys.first().map(ToString::to_string)).unwrap_or_default(),
            what: what.to_owned(),
        }
    }
}
