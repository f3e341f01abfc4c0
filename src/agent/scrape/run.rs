//! The life of one target: scrape, wait, scrape again, and end its series when it is gone.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::agent::client::HttpClient;
use crate::base::clock::{SharedClock, Stopwatch};
use crate::series::Append;
use crate::wire::config::ScrapeConfig;

use super::fetch::fetch;
use super::metrics::ScrapeMetrics;
use super::record::{Bench, Moment, Recorder, ScrapeError};
use super::schedule::{Grid, wait_ms};
use super::target::{Health, LastScrape, Target};

/// Page buffers that grew beyond this are given back to the system.
const PAGE_KEPT_MAX_BYTES: usize = 4 << 20;
const PAGES_KEPT_MAX: usize = 16;

/// Memory and processors that all targets share.
///
/// Pages are fetched as many at a time as there are targets, so that a slow one holds up nobody;
/// they are parsed and stored only a few at a time, which bounds the memory for batches.
pub(crate) struct Workshop {
    turns: Arc<Semaphore>,
    benches: Mutex<Vec<Bench>>,
    pages: Mutex<Vec<Vec<u8>>>,
}

impl Workshop {
    pub(crate) fn new(turn_count: usize) -> Arc<Self> {
        Arc::new(Self {
            turns: Arc::new(Semaphore::new(turn_count)),
            benches: Mutex::default(),
            pages: Mutex::default(),
        })
    }

    fn page(&self) -> Vec<u8> {
        self.pages.lock().pop().unwrap_or_default()
    }

    fn give_back(&self, page: Vec<u8>) {
        let mut pages = self.pages.lock();
        if page.capacity() <= PAGE_KEPT_MAX_BYTES && pages.len() < PAGES_KEPT_MAX {
            pages.push(page);
        }
    }
}

/// What all targets of a job share.
pub(crate) struct Job {
    pub(crate) config: Arc<ScrapeConfig>,
    pub(crate) client: HttpClient,
    pub(crate) sink: Arc<dyn Append>,
    pub(crate) clock: SharedClock,
    pub(crate) metrics: ScrapeMetrics,
    pub(crate) workshop: Arc<Workshop>,
    /// Differs between replicas.
    pub(crate) seed: u64,
    /// How many targets there are, and the limit, while there are too many.
    pub(crate) too_many: RwLock<Option<(usize, usize)>>,
}

/// Ends when the value is true, or when nobody can make it true any more.
pub(crate) async fn told(signal: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is the same message.
    let _ = signal.wait_for(|told| *told).await;
}

/// Scrapes one target until `gone` or `closing` is told. A target that is gone gets its staleness
/// markers after two more intervals; a closing program writes none, since it may come back.
pub(crate) async fn run(
    job: Arc<Job>,
    target: Arc<Target>,
    mut gone: watch::Receiver<bool>,
    mut closing: watch::Receiver<bool>,
) {
    let wait = wait_ms(job.clock.now_ms(), target.interval_ms, target.hash(), job.seed);
    tokio::select! {
        biased;
        () = told(&mut closing) => return,
        () = told(&mut gone) => return,
        () = sleep(Duration::from_millis(wait.unsigned_abs())) => {}
    }
    let mut ticker = interval(Duration::from_millis(target.interval_ms.unsigned_abs()));
    ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut grid: Option<Grid> = None;
    let mut recorder = new_recorder(&job, &target);
    loop {
        tokio::select! {
            biased;
            () = told(&mut closing) => return,
            () = told(&mut gone) => break,
            _ = ticker.tick() => {}
        }
        let now_ms = job.clock.now_ms();
        let grid = grid.get_or_insert_with(|| Grid::new(now_ms, target.interval_ms));
        let timestamp_ms = grid.timestamp_ms(now_ms);
        let moment = Moment { timestamp_ms, now_ms, watch: Stopwatch::start() };
        match scrape(&job, &target, recorder, moment, &mut closing).await {
            Some(next) => recorder = next,
            None => return,
        }
    }
    if grid.is_some() {
        end(&job, &target, recorder, &mut ticker, &mut closing).await;
    }
}

fn new_recorder(job: &Job, target: &Arc<Target>) -> Recorder {
    Recorder::new(job.config.clone(), target.clone(), job.metrics.clone())
}

/// One scrape. Nothing if the program closes before the page has come.
async fn scrape(
    job: &Arc<Job>,
    target: &Arc<Target>,
    recorder: Recorder,
    moment: Moment,
    closing: &mut watch::Receiver<bool>,
) -> Option<Recorder> {
    let too_many = *job.too_many.read();
    let mut page = job.workshop.page();
    let fetched = match too_many {
        Some((count, limit)) => Err(ScrapeError::TargetLimit(count, limit)),
        None => tokio::select! {
            biased;
            () = told(closing) => return None,
            fetched = fetch(&job.client, &job.config, target, &mut page) => {
                fetched.map_err(ScrapeError::Fetch)
            }
        },
    };
    if let Err(ScrapeError::Fetch(super::fetch::FetchError::BodyTooLarge)) = &fetched {
        job.metrics.exceeded_body_size_limit.inc();
    }
    let (recorder, page, failed) = {
        let sink = job.sink.clone();
        let work = move |mut recorder: Recorder, bench: &mut Bench| {
            let fetched = fetched.map(|()| page.as_slice());
            let failed = recorder.record(bench, &*sink, fetched, moment);
            (recorder, page, failed)
        };
        in_turn(job, recorder, work).await?
    };
    job.workshop.give_back(page);
    let error = failed.map(|error| error.to_string());
    if let Some(error) = &error {
        tracing::debug!(target = target.url, error, "scrape failed");
    }
    target.report(LastScrape {
        health: if error.is_none() { Health::Up } else { Health::Down },
        error: error.unwrap_or_default(),
        time_ms: Some(moment.now_ms),
        duration_seconds: moment.watch.seconds(),
    });
    Some(recorder)
}

/// Does work that keeps a processor busy, beside the tasks that wait for the network.
async fn in_turn<T: Send + 'static>(
    job: &Arc<Job>,
    recorder: Recorder,
    work: impl FnOnce(Recorder, &mut Bench) -> T + Send + 'static,
) -> Option<T> {
    // The semaphore is never closed.
    let turn = job.workshop.turns.clone().acquire_owned().await.ok()?;
    let workshop = job.workshop.clone();
    let done = tokio::task::spawn_blocking(move || {
        let mut bench = workshop.benches.lock().pop().unwrap_or_default();
        let done = work(recorder, &mut bench);
        if bench.is_worth_keeping() {
            workshop.benches.lock().push(bench);
        }
        drop(turn);
        done
    });
    match done.await {
        Ok(done) => Some(done),
        Err(error) => {
            tracing::error!(%error, "a scrape broke off; its target is not scraped any more");
            None
        }
    }
}

/// Waits two more intervals, in which the target may come back under another loop, and ends what
/// it exposed.
async fn end(
    job: &Arc<Job>,
    target: &Arc<Target>,
    recorder: Recorder,
    ticker: &mut tokio::time::Interval,
    closing: &mut watch::Receiver<bool>,
) {
    let tenth = Duration::from_millis(target.interval_ms.unsigned_abs() / 10);
    let mut timestamp_ms = 0;
    let wait = async {
        ticker.tick().await;
        timestamp_ms = job.clock.now_ms();
        ticker.tick().await;
        sleep(tenth).await;
    };
    tokio::select! {
        biased;
        () = told(closing) => return,
        () = wait => {}
    }
    let sink = job.sink.clone();
    in_turn(job, recorder, move |mut recorder, bench| {
        recorder.end(bench, &*sink, timestamp_ms);
    })
    .await;
}
