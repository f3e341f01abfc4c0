//! The bucket of a hub: what it ships there, what it reads from it, and how it is kept small.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::base::clock::SharedClock;
use crate::base::metrics::Registry;
use crate::disk::{Disk, SharedDisk};
use crate::longterm::bucket::{Bucket, BucketConfig};
use crate::longterm::compact::{CompactError, CompactOptions, Compactor, Report, Shard, Watch};
use crate::longterm::gateway::{Beside, Gateway, GatewayOptions};
use crate::longterm::{ShipOptions, Shipper};
use crate::series::{Dedup, Queryable};
use crate::storage::db::{BlockGuard, Tsdb};
use crate::wire::config::{CompactConfig, ObjstoreSource};

use super::HubConfig;
use super::run::HubError;

/// From round to round of the shipper, as Thanos's sidecar.
const SHIP_EVERY: Duration = Duration::from_secs(30);
/// How often new blocks in the bucket are looked for. What this hub wrote it has itself until long
/// after it was shipped.
const LOOK_EVERY: Duration = Duration::from_secs(180);
/// The compactor's pause, as Thanos's.
const COMPACT_EVERY: Duration = Duration::from_secs(300);
const WORK_DIR: &str = "promlite/compact";
const HEADER_DIR: &str = "promlite/headers";

/// A bucket that nothing is done with yet.
#[derive(Debug)]
pub(super) struct Configured {
    bucket: Bucket,
    /// Keeps blocks in the data directory until they are shipped.
    pub(super) guard: BlockGuard,
}

impl Configured {
    /// The bucket of a configuration, if there is one. Blocks; the bucket need not answer.
    pub(super) fn open(
        config: &HubConfig,
        disk: &dyn Disk,
        registry: &Registry,
    ) -> Result<Option<Self>, HubError> {
        let Some(source) = &config.thanos.objstore else { return Ok(None) };
        let wrong = |error: &dyn std::fmt::Display| HubError::Config(error.to_string());
        let (text, path) = match source {
            ObjstoreSource::Inline(text) => {
                (text.reveal().to_owned(), Path::new("thanos.objstore"))
            }
            ObjstoreSource::File(path) => {
                let bytes = disk
                    .read(path)
                    .map_err(|error| HubError::Config(format!("{}: {error}", path.display())))?;
                (String::from_utf8_lossy(&bytes).into_owned(), path.as_path())
            }
        };
        let environment = |name: &str| std::env::var(name).ok();
        let described =
            BucketConfig::parse(&text, path, &environment).map_err(|error| wrong(&error))?;
        let bucket = Bucket::open(&described).map_err(|error| wrong(&error))?;
        Ok(Some(Self { bucket: bucket.counted_in(registry), guard: BlockGuard::closed() }))
    }

    /// Begins to ship, to read and, if it is configured, to compact.
    pub(super) fn begin(
        self,
        db: &Tsdb,
        config: &HubConfig,
        (disk, data_dir): (&SharedDisk, &Path),
        clock: &SharedClock,
        registry: &Registry,
    ) -> Result<HubBucket, HubError> {
        let Self { bucket, guard } = self;
        let own = db.clone();
        let beside = Beside::new(config.external_labels.clone(), move || own.oldest_ms());
        let gateway = GatewayOptions {
            header_folder: Some((disk.clone(), data_dir.join(HEADER_DIR))),
            beside: Some(beside),
            metrics: registry.clone(),
            clock: clock.clone(),
            ..GatewayOptions::default()
        };
        let gateway = Gateway::new(bucket.clone(), gateway);
        let mut ship = ShipOptions::new(config.external_labels.clone());
        ship.guard = guard;
        ship.clock = clock.clone();
        ship.registry = registry.clone();
        let shipper = Shipper::new(bucket.clone(), disk.clone(), data_dir, ship);
        let shipper = shipper.map_err(|error| HubError::Config(error.to_string()))?;
        let ending = Arc::new(AtomicBool::new(false));
        let mut threads = vec![
            work("promlite-ship", SHIP_EVERY, &ending, ships(shipper))?,
            work("promlite-look", LOOK_EVERY, &ending, looks(gateway.clone()))?,
        ];
        if let Some(wishes) = &config.thanos.compact {
            let options = compact_options(wishes, config, data_dir)?;
            let pause = wishes.wait_interval_ms.and_then(|ms| u64::try_from(ms).ok());
            let pause = pause.map_or(COMPACT_EVERY, Duration::from_millis);
            let (disk, clock) = (disk.clone(), clock.clone());
            let compactor = Compactor::new(bucket, disk, clock, options, registry);
            threads.push(work("promlite-compact", pause, &ending, compacts(compactor))?);
        }
        Ok(HubBucket { gateway, ending, threads })
    }
}

fn compact_options(
    wishes: &CompactConfig,
    config: &HubConfig,
    data_dir: &Path,
) -> Result<CompactOptions, HubError> {
    let mut options = CompactOptions::new(data_dir.join(WORK_DIR));
    options.dedup = match wishes.deduplication.as_deref() {
        // With `none` there are no replica labels, and so no replicas.
        None | Some("identity" | "none") => Dedup::Identity,
        Some("penalty") => Dedup::Penalty,
        Some(other) => return Err(HubError::Config(format!("no such deduplication: {other}"))),
    };
    if wishes.deduplication.as_deref() != Some("none") {
        options.replica_labels.clone_from(&config.thanos.replica_labels);
    }
    options.shard =
        Shard::new(&wishes.selector).map_err(|error| HubError::Config(error.to_string()))?;
    let set = |place: &mut i64, wish: Option<i64>| *place = wish.unwrap_or(*place);
    set(&mut options.retention.raw_ms, wishes.retention_raw_ms);
    set(&mut options.retention.five_minutes_ms, wishes.retention_5m_ms);
    set(&mut options.retention.hour_ms, wishes.retention_1h_ms);
    set(&mut options.delete_delay_ms, wishes.delete_delay_ms);
    set(&mut options.consistency_delay_ms, wishes.consistency_delay_ms);
    options.downsampling = wishes.downsampling.unwrap_or(options.downsampling);
    let name: Vec<&str> = config.external_labels.iter().map(|(_, value)| value).collect();
    options.holder = format!("{}-{}", name.join("-"), std::process::id());
    Ok(options)
}

fn ships(mut shipper: Shipper) -> impl FnMut(&AtomicBool) + Send + 'static {
    move |ending| {
        let is_ending = || ending.load(Ordering::Relaxed);
        match shipper.sync(&|_| {}, &is_ending) {
            Ok(_) => {}
            Err(_) if is_ending() => {}
            Err(error) => tracing::warn!(%error, "blocks were not shipped, will try again"),
        }
    }
}

fn looks(gateway: Gateway) -> impl FnMut(&AtomicBool) + Send + 'static {
    let mut has_begun = false;
    move |_| {
        let found = if has_begun { gateway.refresh() } else { gateway.start() };
        match found {
            Ok(()) => has_begun = true,
            Err(error) => {
                tracing::warn!(%error, "the bucket's blocks could not be listed, will try again");
            }
        }
    }
}

fn compacts(compactor: Compactor) -> impl FnMut(&AtomicBool) + Send + 'static {
    move |ending| {
        let is_ending = || ending.load(Ordering::Relaxed);
        let watch = Watch { is_ending: &is_ending, progress: &|_| {} };
        match compactor.run_once(watch) {
            Ok(report) => tell(&report),
            Err(CompactError::Ended) => {}
            Err(error) => tracing::warn!(%error, "the bucket was not compacted, will try again"),
        }
    }
}

fn tell(report: &Report) {
    for failure in &report.failures {
        tracing::warn!("{failure}");
    }
    if !report.changed_nothing() {
        tracing::info!(
            merged = report.merged.len(),
            downsampled = report.downsampled.len(),
            too_old = report.too_old.len(),
            deleted = report.deleted.len(),
            "the bucket was compacted"
        );
    }
}

/// Does `round` now and after each pause, until it is to end.
fn work(
    name: &str,
    pause: Duration,
    ending: &Arc<AtomicBool>,
    mut round: impl FnMut(&AtomicBool) + Send + 'static,
) -> Result<JoinHandle<()>, HubError> {
    let ending = ending.clone();
    let rounds = move || {
        while !ending.load(Ordering::Relaxed) {
            round(&ending);
            if !ending.load(Ordering::Relaxed) {
                thread::park_timeout(pause);
            }
        }
    };
    let begun = thread::Builder::new().name(name.into()).spawn(rounds);
    begun.map_err(|error| HubError::Broken(format!("start {name}: {error}")))
}

/// A bucket that is worked with. Dropping it ends the work without waiting.
#[derive(Debug)]
pub(super) struct HubBucket {
    gateway: Gateway,
    ending: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl HubBucket {
    /// What is asked: the blocks in the bucket, but for what the hub has itself.
    pub(super) fn queryable(&self) -> Arc<dyn Queryable> {
        Arc::new(self.gateway.clone())
    }

    fn call_end(&self) {
        self.ending.store(true, Ordering::Relaxed);
        self.threads.iter().for_each(|thread| thread.thread().unpark());
    }

    /// Ends the work and waits for it. Blocks.
    pub(super) fn end(mut self) {
        self.call_end();
        for thread in std::mem::take(&mut self.threads) {
            if thread.join().is_err() {
                tracing::error!("a thread of the bucket has died");
            }
        }
    }
}

impl Drop for HubBucket {
    fn drop(&mut self) {
        self.call_end();
    }
}
