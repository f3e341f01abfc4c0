//! The targets of one job: who is new, who is gone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::agent::discover::{TargetGroup, Update};
use crate::base::metrics::Gauge;
use crate::model::Labels;

use super::run::{Job, run, told};
use super::target::{Made, PoolView, Target};

/// Changes that come soon after one another are taken together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) first: Duration,
    pub(crate) later: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { first: Duration::from_millis(20), later: Duration::from_secs(5) }
    }
}

struct Running {
    target: Arc<Target>,
    gone: watch::Sender<bool>,
}

/// One job's targets and the tasks that scrape them.
pub(crate) struct Pool {
    job: Arc<Job>,
    /// Targets as discovered, by source.
    groups: BTreeMap<Arc<str>, TargetGroup>,
    running: HashMap<u64, Running>,
    tasks: JoinSet<()>,
    view: Arc<RwLock<PoolView>>,
    target_count: Gauge,
}

impl Pool {
    pub(crate) fn new(job: Arc<Job>, view: Arc<RwLock<PoolView>>) -> Self {
        let name = job.config.job_name.clone();
        let registry = &job.metrics.registry;
        let limit = registry.gauge_with(
            "prometheus_target_scrape_pool_target_limit",
            "Most targets that a job may have; 0 for no limit.",
            &[("scrape_job", &name)],
        );
        limit.set(job.config.limits.target_count as f64);
        let target_count = registry.gauge_with(
            "prometheus_target_scrape_pool_targets",
            "Targets that a job has now.",
            &[("scrape_job", &name)],
        );
        let (groups, running, tasks) = Default::default();
        Self { job, groups, running, tasks, view, target_count }
    }

    /// Follows the updates until `closing` is told, then waits for all tasks to end.
    pub(crate) async fn follow(
        mut self,
        mut updates: mpsc::Receiver<Update>,
        mut closing: watch::Receiver<bool>,
        pace: Pace,
    ) {
        let mut pause = pace.first;
        loop {
            tokio::select! {
                biased;
                () = told(&mut closing) => break,
                update = updates.recv() => match update {
                    Some(update) => self.take(update),
                    // All sources have said what they know; the targets stay.
                    None => {
                        told(&mut closing).await;
                        break;
                    }
                },
                Some(_) = self.tasks.join_next() => continue,
            }
            tokio::select! {
                biased;
                () = told(&mut closing) => break,
                () = sleep(pause) => {}
            }
            while let Ok(update) = updates.try_recv() {
                self.take(update);
            }
            self.synchronize(&closing);
            pause = pace.later;
        }
        while self.tasks.join_next().await.is_some() {}
    }

    fn take(&mut self, update: Update) {
        let Update { source, group } = update;
        match group {
            Some(group) => self.groups.insert(source, group),
            None => self.groups.remove(&source),
        };
    }

    /// Starts what is new and stops what is gone.
    fn synchronize(&mut self, closing: &watch::Receiver<bool>) {
        let (made, dropped) = self.make();
        let kept_max = self.job.config.limits.kept_dropped_targets;
        let kept = if kept_max == 0 { dropped.len() } else { kept_max.min(dropped.len()) };
        self.running.retain(|hash, running| {
            let stays = made.contains_key(hash);
            if !stays {
                running.gone.send_replace(true);
            }
            stays
        });
        for (hash, target) in made {
            if self.running.contains_key(&hash) {
                continue;
            }
            let (gone, is_gone) = watch::channel(false);
            let target = Arc::new(target);
            self.tasks.spawn(run(self.job.clone(), target.clone(), is_gone, closing.clone()));
            self.running.insert(hash, Running { target, gone });
        }
        self.check_limit();
        let mut active: Vec<_> = self.running.values().map(|r| r.target.clone()).collect();
        active.sort_by(|a, b| (&a.url, &a.labels).cmp(&(&b.url, &b.labels)));
        let dropped_count = dropped.len();
        let dropped = dropped.into_iter().take(kept).collect();
        *self.view.write() = PoolView { active, dropped, dropped_count };
    }

    fn make(&self) -> (HashMap<u64, Target>, Vec<Labels>) {
        let (mut made, mut dropped) = (HashMap::new(), Vec::new());
        for (source, group) in &self.groups {
            for (index, own) in group.targets.iter().enumerate() {
                match Target::make(&self.job.config, own, &group.labels) {
                    Made::Target(target) => {
                        made.insert(target.hash(), target);
                    }
                    Made::Dropped(labels) => dropped.push(labels),
                    Made::Invalid(error) => {
                        let job = &self.job.config.job_name;
                        tracing::error!(job, %source, index, error, "creating target failed");
                    }
                }
            }
        }
        (made, dropped)
    }

    fn check_limit(&self) {
        let (count, limit) = (self.running.len(), self.job.config.limits.target_count);
        self.target_count.set(count as f64);
        let too_many = (limit > 0 && count > limit).then_some((count, limit));
        if too_many.is_some() {
            self.job.metrics.exceeded_target_limit.inc();
        }
        *self.job.too_many.write() = too_many;
    }
}
