//! All jobs of a configuration, under way.

use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::agent::client::{ClientError, HttpClient};
use crate::agent::{discover, host};
use crate::base::clock::SharedClock;
use crate::base::metrics::Registry;
use crate::disk::SharedDisk;
use crate::series::Append;
use crate::wire::config::Config;

use super::metrics::ScrapeMetrics;
use super::pool::{Pace, Pool};
use super::run::{Job, Workshop};
use super::schedule::StableHash;
use super::target::PoolView;

/// What all jobs need from outside.
#[derive(Clone)]
pub(crate) struct Means {
    pub(crate) sink: Arc<dyn Append>,
    pub(crate) clock: SharedClock,
    pub(crate) disk: SharedDisk,
    pub(crate) registry: Registry,
}

/// All jobs of a configuration, under way.
#[derive(Debug)]
pub(crate) struct Jobs {
    /// Their targets, by the job's name.
    pub(crate) views: Vec<(String, Arc<RwLock<PoolView>>)>,
    tasks: JoinSet<()>,
}

impl Jobs {
    /// Starts all jobs; they end when `closing` is told.
    ///
    /// # Errors
    /// A certificate or proxy that cannot be used; nothing is scraped then.
    pub(crate) fn start(
        config: &Config,
        means: &Means,
        closing: &watch::Receiver<bool>,
    ) -> Result<Self, ClientError> {
        let name = host::name(&*means.disk).unwrap_or_default();
        let seed = StableHash::new().add(&name).add_labels(&config.external_labels).value();
        let metrics = ScrapeMetrics::new(&means.registry);
        let turns = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        let workshop = Workshop::new(turns);
        let (mut views, mut tasks) = (Vec::new(), JoinSet::new());
        for config in &config.scrape {
            let job = Job {
                client: HttpClient::new(
                    &config.http,
                    config.enable_compression,
                    means.disk.clone(),
                )?,
                config: Arc::new(config.clone()),
                sink: means.sink.clone(),
                clock: means.clock.clone(),
                metrics: metrics.clone(),
                workshop: workshop.clone(),
                seed,
                too_many: RwLock::default(),
            };
            let (disk, registry) = (&means.disk, &means.registry);
            let updates = discover::start(&config.discovery, disk, registry, closing, &mut tasks)?;
            let view = Arc::<RwLock<PoolView>>::default();
            views.push((config.job_name.clone(), view.clone()));
            let pool = Pool::new(Arc::new(job), view);
            tasks.spawn(pool.follow(updates, closing.clone(), Pace::default()));
        }
        Ok(Self { views, tasks })
    }

    /// Waits until all jobs have ended.
    pub(crate) async fn join(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}
