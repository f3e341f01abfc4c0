//! Does everything that was scraped reach the hub?
//!
//! A [`Forward`] follows the agent's log and sends every sample to one destination with remote
//! write 1, native histograms and exemplars where that is wanted. One thread reads (`reader`), a
//! few tasks send (`sender`), each over its own share of the series, so that samples of one series
//! arrive in order.
//!
//! # What may get lost
//! Nothing that is in the log, as long as the log is kept up to [`Forward::oldest_unsent`]: a
//! request is repeated until the destination takes it or says that it never will. How far sending
//! has come is written down about every second and on stop, and reading goes on from there. After
//! a crash the samples of that second are sent twice, which receivers answer with success.
//!
//! # What it may cost
//! Each shard holds at most `capacity` samples and one request. When a shard is full, reading
//! waits; what is not read yet stays in the log.
//!
//! Useful for: sending what a log holds. Not useful for: histograms with custom bounds and start
//! times, which the protocol does not have; the former are counted as dropped.

mod client;
mod desired;
mod item;
mod metrics;
mod options;
mod position;
mod reader;
mod sender;
mod series;
mod shard;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::base::metrics::Registry;
use crate::storage::wal::Position;

pub use client::{Auth, AuthSource, ForwardError};
pub use options::{QueueOptions, RemoteWriteOptions, Source};

use client::Client;
use desired::DesiredShards;
use metrics::Metrics;
use position::{PositionFile, Tracker};
use reader::Reader;
use shard::Shards;

/// How often the position is written down.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// How often the number of shards is thought over, in rounds of [`SAVE_INTERVAL`].
const RESHARD_ROUNDS: u32 = 10;

/// A running sender. Dropping it ends it without a last word, as a crash would; see
/// [`Forward::stop`].
pub struct Forward {
    shared: Arc<Shared>,
    reader: Option<std::thread::JoinHandle<()>>,
    keeper: tokio::task::JoinHandle<()>,
}

/// What the reader, the senders and the keeper have in common.
struct Shared {
    options: RemoteWriteOptions,
    source: Source,
    client: Client,
    metrics: Metrics,
    tracker: Tracker,
    shards: Shards,
    file: PositionFile,
    /// True if nothing of the log is left to be read.
    caught_up: AtomicBool,
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Forward {
    /// Starts sending. Must be called within a tokio runtime with timers and networking.
    ///
    /// # Errors
    /// Options that cannot work, or no runtime. An unreachable destination is no error: it is
    /// tried again for ever.
    pub fn start(
        options: RemoteWriteOptions,
        source: Source,
        registry: &Registry,
    ) -> Result<Self, ForwardError> {
        let runtime = Handle::try_current().map_err(|_| ForwardError::NoRuntime)?;
        let (shared, start) = Shared::new(options, source, registry)?;
        sender::spawn_missing(&shared, &runtime);
        let reader = Reader::new(Arc::clone(&shared), start, runtime.clone());
        let name = format!("forward-{}", shared.options.name);
        let reader = std::thread::Builder::new().name(name).spawn(move || reader.run());
        let reader = Some(reader.map_err(ForwardError::Thread)?);
        let keeper = runtime.spawn(keep(Arc::clone(&shared)));
        Ok(Self { shared, reader, keeper })
    }

    /// The name in metrics, logs and the position's file name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.options.name
    }

    /// The place in the log before which everything is sent, or refused for good. Segments before
    /// it are not needed here any more.
    #[must_use]
    pub fn oldest_unsent(&self) -> Position {
        self.shared.tracker.done()
    }

    /// Ends reading, gives what is queued up to `flush` to be sent, and writes the position down.
    /// What was not sent is sent after the next start.
    pub async fn stop(mut self, flush: Duration) {
        self.shared.shards.stop_reading();
        if let Some(reader) = self.reader.take() {
            // A thread that panicked has nothing more to say than its message.
            let _ = tokio::task::spawn_blocking(move || reader.join()).await;
        }
        self.shared.shards.close();
        let drained = sender::drained(&self.shared);
        if tokio::time::timeout(flush, drained).await.is_err() {
            let name = self.name();
            tracing::info!(name, "not all samples were sent; they will be after the next start");
        }
        self.shared.shards.abort();
        self.keeper.abort();
        let shared = Arc::clone(&self.shared);
        let _ = tokio::task::spawn_blocking(move || shared.save()).await;
        self.shared.metrics.forget(&self.shared.options.name);
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.shared.shards.stop_reading();
        self.shared.shards.abort();
        self.keeper.abort();
    }
}

impl Shared {
    /// Everything but the threads and tasks, and the place up to which all is sent.
    fn new(
        options: RemoteWriteOptions,
        source: Source,
        registry: &Registry,
    ) -> Result<(Arc<Self>, Option<Position>), ForwardError> {
        let options = options.checked();
        let file = PositionFile::new(&source, &options.name);
        let start = file.load_within(&source);
        let shared = Self {
            client: Client::new(&options)?,
            metrics: Metrics::new(registry, &options),
            tracker: Tracker::at(start.unwrap_or_else(|| Position::start_of(0))),
            shards: Shards::new(&options.queue),
            file,
            caught_up: AtomicBool::new(false),
            options,
            source,
        };
        Ok((Arc::new(shared), start))
    }

    fn save(&self) {
        if let Err(error) = self.file.save(self.tracker.done()) {
            let name = &self.options.name;
            tracing::warn!(name, %error, "could not write down how far sending has come");
        }
    }
}

/// Writes the position down and decides how many shards there should be.
async fn keep(shared: Arc<Shared>) {
    let mut desired = DesiredShards::default();
    for round in 1_u32.. {
        tokio::time::sleep(SAVE_INTERVAL).await;
        let saving = Arc::clone(&shared);
        let _ = tokio::task::spawn_blocking(move || saving.save()).await;
        if round.is_multiple_of(RESHARD_ROUNDS) {
            let seconds = SAVE_INTERVAL.as_secs_f64() * f64::from(RESHARD_ROUNDS);
            let count = desired.tick(&shared, seconds);
            shared.shards.wanted.store(count, Ordering::Relaxed);
        }
    }
}
