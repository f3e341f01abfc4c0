//! Which targets are there?
//!
//! Each source of a job runs as a task and tells the job's pool about groups of targets. A group is
//! known by its source's name: a new word about it replaces the old one.
//!
//! Useful for: targets written down, in files, or answered by a server. Not useful for: deciding
//! which of them are scraped, and how; see [`super::scrape`].

mod file;
mod fixed;
mod group;
mod http;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::agent::client::{ClientError, HttpClient};
use crate::base::metrics::Registry;
use crate::disk::SharedDisk;
use crate::wire::config::DiscoveryConfig;

pub(crate) use group::TargetGroup;

/// How many updates may wait for a pool.
const WAITING_MAX: usize = 64;

/// A word about one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Update {
    /// Names the group.
    pub(crate) source: Arc<str>,
    /// What is in it; nothing if it is gone.
    pub(crate) group: Option<TargetGroup>,
}

/// Starts all sources of a job.
pub(crate) fn start(
    configs: &[DiscoveryConfig],
    disk: &SharedDisk,
    registry: &Registry,
    closing: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> Result<mpsc::Receiver<Update>, ClientError> {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    for (index, config) in configs.iter().enumerate() {
        let sender = Sender { sender: sender.clone(), told: BTreeMap::new() };
        match config {
            DiscoveryConfig::Static(groups) => {
                tasks.spawn(fixed::run(index, groups.clone(), sender));
            }
            DiscoveryConfig::File(config) => {
                let source = file::Files::new(config.clone(), disk.clone(), registry);
                tasks.spawn(file::run(source, sender, closing.clone()));
            }
            DiscoveryConfig::Http(config) => {
                let client = HttpClient::new(&config.http, true, disk.clone())?;
                let source = http::Server::new((**config).clone(), client, registry);
                tasks.spawn(http::run(source, sender, closing.clone()));
            }
        }
    }
    Ok(receiver)
}

/// Tells a pool what changed.
#[derive(Debug)]
struct Sender {
    sender: mpsc::Sender<Update>,
    told: BTreeMap<Arc<str>, TargetGroup>,
}

impl Sender {
    /// Tells the difference between `now` and what was told before. False if nobody listens.
    async fn tell(&mut self, now: BTreeMap<Arc<str>, TargetGroup>) -> bool {
        let gone = self.told.keys().filter(|source| !now.contains_key(*source));
        let mut updates: Vec<Update> =
            gone.map(|source| Update { source: source.clone(), group: None }).collect();
        for (source, group) in &now {
            if self.told.get(source) != Some(group) {
                updates.push(Update { source: source.clone(), group: Some(group.clone()) });
            }
        }
        self.told = now;
        for update in updates {
            if self.sender.send(update).await.is_err() {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_changes_are_told() {
        let (sender, mut receiver) = mpsc::channel(8);
        let mut sender = Sender { sender, told: BTreeMap::new() };
        let group = |target: &str| TargetGroup::of(&[target.to_owned()], Default::default());
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, target)| (Arc::from(*name), group(target))).collect()
        };
        assert!(sender.tell(map(&[("a", "1"), ("b", "1")])).await);
        assert!(sender.tell(map(&[("a", "1"), ("c", "2")])).await);
        assert!(sender.tell(map(&[("a", "3"), ("c", "2")])).await);
        drop(sender);
        let mut told = Vec::new();
        while let Some(update) = receiver.recv().await {
            told.push((update.source.to_string(), update.group));
        }
        let expected = [
            ("a", Some(group("1"))),
            ("b", Some(group("1"))),
            ("b", None),
            ("c", Some(group("2"))),
            ("a", Some(group("3"))),
        ];
        assert_eq!(told, expected.map(|(source, group)| (source.to_owned(), group)));
    }
}
