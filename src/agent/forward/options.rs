//! What a sender must be told.

use std::path::{Path, PathBuf};

use crate::agent::log::{AgentLog, AgentLogError};
use crate::base::clock::SharedClock;
use crate::disk::SharedDisk;
use crate::model::Labels;
use crate::model::relabel::Relabel;
use crate::storage::wal::Progress;

use super::client::Auth;

/// One destination. Start from the default and set what differs.
#[derive(Debug, Clone)]
pub struct RemoteWriteOptions {
    /// Name in metrics, logs and the position's file name; one that is empty is derived from the
    /// address. Two senders of one agent must not have the same.
    pub name: String,
    /// Address to post to, such as `http://hub:9090/api/v1/write`.
    pub url: String,
    /// More headers, such as `X-Scope-Cluster`. Those that the protocol needs cannot be changed.
    pub headers: Vec<(String, String)>,
    /// When a request without an answer is given up, to be sent again.
    pub timeout_ms: i64,
    /// Buffering, batching and retries.
    pub queue: QueueOptions,
    /// Applied once to each series, external labels included, before it is sent.
    pub write_relabel: Vec<Relabel>,
    /// Send exemplars too; default no.
    pub send_exemplars: bool,
    /// Send native histograms too; default no. Those with custom bounds cannot be sent in any
    /// case, as the protocol does not have them.
    pub send_native_histograms: bool,
    /// Who we are.
    pub auth: Auth,
    /// The client to use, for TLS and proxy settings of its own; without one a plain client is
    /// built. Its timeout is overruled by `timeout_ms`.
    pub client: Option<reqwest::Client>,
}

impl Default for RemoteWriteOptions {
    fn default() -> Self {
        Self {
            name: String::new(),
            url: String::new(),
            headers: Vec::new(),
            timeout_ms: 30_000,
            queue: QueueOptions::default(),
            write_relabel: Vec::new(),
            send_exemplars: false,
            send_native_histograms: false,
            auth: Auth::None,
            client: None,
        }
    }
}

/// Buffering, batching and retries; Prometheus's `queue_config` with its defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueOptions {
    /// Samples that one shard may hold.
    pub capacity: usize,
    /// Fewest requests at a time.
    pub min_shards: usize,
    /// Most requests at a time.
    pub max_shards: usize,
    /// Most samples in one request.
    pub max_samples_per_send: usize,
    /// How long a sample may wait for its request to fill up.
    pub batch_send_deadline_ms: i64,
    /// First pause before a retry; each further one is twice as long.
    pub min_backoff_ms: i64,
    /// Longest pause before a retry, unless the server asks for a longer one.
    pub max_backoff_ms: i64,
    /// Retry what the server answered with 429, instead of dropping it.
    pub retry_on_http_429: bool,
    /// Samples that are older are dropped; 0 for no limit.
    pub sample_age_limit_ms: i64,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            capacity: 10_000,
            min_shards: 1,
            max_shards: 50,
            max_samples_per_send: 2_000,
            batch_send_deadline_ms: 5_000,
            min_backoff_ms: 30,
            max_backoff_ms: 5_000,
            retry_on_http_429: false,
            sample_age_limit_ms: 0,
        }
    }
}

impl RemoteWriteOptions {
    /// With a name, and with numbers that can work: at least one shard, one sample, one
    /// millisecond, and no upper bound below its lower one.
    pub(super) fn checked(mut self) -> Self {
        if self.name.is_empty() {
            let hash = xxhash_rust::xxh64::xxh64(self.url.as_bytes(), 0);
            self.name = format!("{:06x}", hash >> 40);
        }
        let queue = &mut self.queue;
        queue.capacity = queue.capacity.max(1);
        queue.min_shards = queue.min_shards.max(1);
        queue.max_shards = queue.max_shards.max(queue.min_shards);
        queue.max_samples_per_send = queue.max_samples_per_send.clamp(1, queue.capacity);
        queue.batch_send_deadline_ms = queue.batch_send_deadline_ms.max(1);
        queue.min_backoff_ms = queue.min_backoff_ms.max(1);
        queue.max_backoff_ms = queue.max_backoff_ms.max(queue.min_backoff_ms);
        self.timeout_ms = self.timeout_ms.max(1);
        self
    }
}

/// Where samples come from, and where the position is kept.
#[derive(Debug, Clone)]
pub struct Source {
    /// The disk with the log.
    pub disk: SharedDisk,
    /// Tells how old a sample is.
    pub clock: SharedClock,
    /// Folder of the log.
    pub wal_dir: PathBuf,
    /// How far the log's writer has come, if it is of this process: nothing is read that may still
    /// be taken back.
    pub progress: Option<Progress>,
    /// Folder of the agent's data; the position goes to `remote_write/<name>.json` in it.
    pub data_dir: PathBuf,
    /// Labels that every series gets unless it has them.
    pub external_labels: Labels,
}

impl Source {
    /// The log of an agent whose data lie in `data_dir`, without external labels.
    ///
    /// # Errors
    /// The log is closed.
    pub fn new(
        log: &AgentLog,
        disk: SharedDisk,
        clock: SharedClock,
        data_dir: &Path,
    ) -> Result<Self, AgentLogError> {
        Ok(Self {
            disk,
            clock,
            wal_dir: data_dir.join("wal"),
            progress: Some(log.progress()?),
            data_dir: data_dir.to_owned(),
            external_labels: Labels::empty(),
        })
    }
}
