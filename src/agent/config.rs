//! What an agent needs to know to start, and what its parts make of the configuration.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::clock::SharedClock;
use crate::disk::SharedDisk;
use crate::storage::wal::{Compression, WalOptions};
use crate::wire::config::{Auth as AuthConfig, Config, RemoteWriteConfig, StorageConfig};

use super::client::{ClientError, HttpClient};
use super::forward::{Auth, AuthSource, QueueOptions, RemoteWriteOptions};
use super::log::AgentLogOptions;

/// What an agent needs to know to start.
#[derive(Debug)]
pub struct AgentOptions {
    /// What to scrape and where to send it.
    pub config: Config,
    /// The folder of the log; made if it is not there.
    pub data_dir: PathBuf,
    /// Where the agent's own pages are served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where files are.
    pub disk: SharedDisk,
    /// What time it is.
    pub clock: SharedClock,
}

/// The folder of the log's segments.
pub(super) fn wal_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("wal")
}

pub(super) fn log_options(storage: &StorageConfig) -> AgentLogOptions {
    let mut options = AgentLogOptions::default();
    if storage.wal_compression == Some(false) {
        options.wal = WalOptions { compression: Compression::None, ..WalOptions::default() };
    }
    options.out_of_order_window_ms = storage.out_of_order_window_ms.unwrap_or_default();
    options
}

/// What one destination's sender is told.
pub(super) fn forward_options(
    config: &RemoteWriteConfig,
    disk: &SharedDisk,
) -> Result<RemoteWriteOptions, ClientError> {
    let client = HttpClient::new(&config.http, false, disk.clone())?;
    let mut headers = config.headers.clone();
    headers.extend(client.extra_headers()?);
    let queue = config.queue;
    Ok(RemoteWriteOptions {
        name: config.name.clone().unwrap_or_default(),
        url: config.url.reveal().to_owned(),
        headers,
        timeout_ms: config.remote_timeout_ms,
        queue: QueueOptions {
            capacity: queue.capacity,
            min_shards: queue.min_shards,
            max_shards: queue.max_shards,
            max_samples_per_send: queue.max_samples_per_send,
            batch_send_deadline_ms: queue.batch_send_deadline_ms,
            min_backoff_ms: queue.min_backoff_ms,
            max_backoff_ms: queue.max_backoff_ms,
            retry_on_http_429: queue.retry_on_http_429,
            sample_age_limit_ms: queue.sample_age_limit_ms,
        },
        write_relabel: config.write_relabel.clone(),
        send_exemplars: config.send_exemplars,
        send_native_histograms: config.send_native_histograms,
        auth: match &config.http.auth {
            None => Auth::None,
            Some(auth) => {
                Auth::Source(Arc::new(Credentials { auth: auth.clone(), client: client.clone() }))
            }
        },
        client: Some(client.inner()),
    })
}

/// Credentials that may change in their files while running.
struct Credentials {
    auth: AuthConfig,
    client: HttpClient,
}

impl AuthSource for Credentials {
    fn authorization(&self) -> io::Result<Option<String>> {
        self.client.authorization(&self.auth).map(Some).map_err(io::Error::other)
    }
}
