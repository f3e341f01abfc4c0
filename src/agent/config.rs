//! What an agent needs to know to start.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::base::clock::SharedClock;
use crate::disk::SharedDisk;
use crate::wire::config::Config;

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
