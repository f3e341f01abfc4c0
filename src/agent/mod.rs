//! A spoke: scrape here, keep a log, send to the hub.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use promlite::agent::{Agent, AgentOptions};
//! use promlite::base::clock::SystemClock;
//! use promlite::disk::RealDisk;
//! use promlite::wire::config::Config;
//!
//! let disk = RealDisk::shared();
//! let agent = Agent::start(AgentOptions {
//!     config: Config::load(&*disk, "spoke.yml".as_ref())?,
//!     data_dir: "data".into(),
//!     listen: "127.0.0.1:0".parse()?,
//!     disk,
//!     clock: SystemClock::shared(),
//! })
//! .await?;
//! println!("http://{}/targets", agent.address());
//! agent.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! Useful for: the whole of an agent in one call. Not useful for: asking what was scraped; an
//! agent keeps samples only until they are sent.

pub mod client;
mod config;
mod discover;
mod error;
pub mod forward;
pub mod host;
pub mod log;
mod page;
pub mod scrape;
#[cfg(test)]
mod tests;
mod upkeep;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::base::metrics::Registry;
use crate::disk::register_process;
use crate::wire::config::ThanosConfig;

pub use config::AgentOptions;
pub use error::AgentError;

use forward::{Forward, Source};
use log::AgentLog;
use scrape::{Jobs, Means, told};

/// An agent under way. Dropping it ends it as a crash would; see [`Agent::stop`].
#[derive(Debug)]
pub struct Agent {
    address: SocketAddr,
    log: Arc<AgentLog>,
    jobs: Jobs,
    /// Told first: no scrape begins any more.
    closing: watch::Sender<bool>,
    /// Told when the last sample is in the log.
    ending: watch::Sender<bool>,
    upkeep: JoinHandle<()>,
    server: JoinHandle<()>,
}

impl Agent {
    /// Starts everything: the log, the senders, the jobs, the pages. Must be called within a tokio
    /// runtime with timers and networking.
    ///
    /// # Errors
    /// See [`AgentError`]; nothing is left running then.
    pub async fn start(options: AgentOptions) -> Result<Self, AgentError> {
        let AgentOptions { config, data_dir, listen, disk, clock } = options;
        if config.thanos != ThanosConfig::default() {
            tracing::warn!("thanos: no effect on an agent, which keeps no blocks; set it on a hub");
        }
        let refused = |error| AgentError::Listen(listen, error);
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let registry = Registry::new();
        register_process(&registry, &disk);
        let log_options = config::log_options(&config.storage);
        let log = AgentLog::open(disk.clone(), clock.clone(), &data_dir, log_options, &registry)?;
        let log = Arc::new(log);
        let source = Source {
            disk: disk.clone(),
            clock: clock.clone(),
            wal_dir: config::wal_dir(&data_dir),
            progress: Some(log.progress()?),
            data_dir,
            external_labels: config.external_labels.clone(),
        };
        let mut forwards = Vec::new();
        for destination in &config.remote_write {
            let options = config::forward_options(destination, &disk)?;
            forwards.push(Forward::start(options, source.clone(), &registry)?);
        }
        let (closing, is_closing) = watch::channel(false);
        let (ending, is_ending) = watch::channel(false);
        let means = Means {
            sink: log.clone(),
            clock: clock.clone(),
            disk: disk.clone(),
            registry: registry.clone(),
        };
        let jobs = Jobs::start(&config, &means, &is_closing)?;
        let shown = page::Shown {
            registry,
            disk,
            clock,
            pools: jobs.views.clone(),
            destinations: config.remote_write.iter().map(|to| to.url.to_string()).collect(),
            external_labels: config.external_labels,
        };
        let upkeep = tokio::spawn(upkeep::run(log.clone(), forwards, is_ending.clone()));
        let server = tokio::spawn(serve(listener, page::router(shown), is_ending));
        Ok(Self { address, log, jobs, closing, ending, upkeep, server })
    }

    /// Where the pages are served.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends scraping, gives the senders a few seconds to finish, and closes the log. What was not
    /// sent by then is sent after the next start.
    pub async fn stop(self) {
        self.closing.send_replace(true);
        self.jobs.join().await;
        self.ending.send_replace(true);
        for task in [self.upkeep, self.server] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a part of the agent broke off");
            }
        }
        let log = self.log;
        match tokio::task::spawn_blocking(move || log.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the log was not closed well"),
            Err(error) => tracing::error!(%error, "closing the log broke off"),
        }
    }
}

async fn serve(listener: TcpListener, router: axum::Router, mut ending: watch::Receiver<bool>) {
    // Somebody who keeps a connection open must not keep the agent from ending.
    tokio::select! {
        () = told(&mut ending) => {}
        served = async { axum::serve(listener, router).await } => {
            if let Err(error) = served {
                tracing::error!(%error, "the pages are not served any more");
            }
        }
    }
}
