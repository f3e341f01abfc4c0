//! Coarser blocks of those that are long or old enough.

use std::path::Path;
use std::sync::Arc;

use crate::base::clock::Stopwatch;
use crate::longterm::{BucketBlock, Mark, MarkKind, write_mark};
use crate::storage::block::{Block, BlockError, BlockParent};
use crate::storage::downsample::{DownsampleError, DownsampleOptions, downsample_block};

use super::CompactError;
use super::group::GroupKey;
use super::report::Derived;
use super::resample::Resampling;
use super::resolution::Resolution;
use super::round::Round;
use super::watch::Progress;
use super::work::{Trouble, trouble_with};

impl Round<'_> {
    /// Makes a coarser block of each that is due.
    ///
    /// # Errors
    /// The lease is lost, or it is to end.
    pub fn downsample(&mut self) -> Result<(), CompactError> {
        for (key, block, to) in self.due() {
            let metrics = self.compactor.metrics.group(&key.id(), key.resolution_ms);
            let stopwatch = Stopwatch::start();
            match self.downsample_one(&key, &block, to) {
                Ok(()) => {
                    metrics.downsamples.inc();
                    metrics.downsample_seconds.observe(stopwatch.seconds());
                }
                Err(Trouble::Sick { block, reason, details }) => {
                    metrics.downsample_failures.inc();
                    self.set_aside(block, reason, details)?;
                }
                Err(Trouble::Failed(error)) => {
                    metrics.downsample_failures.inc();
                    self.note(&format!("{}: downsampling", block.ulid()), error)?;
                }
            }
        }
        Ok(())
    }

    fn due(&self) -> Vec<(GroupKey, Arc<BucketBlock>, Resolution)> {
        let now_ms = self.compactor.clock.now_ms();
        let mut due = Vec::new();
        for (key, blocks) in &self.picture.groups {
            for block in blocks {
                let options = &self.compactor.options;
                let resampling = self.picture.resampling(key, block, options, now_ms);
                if let Resampling::Due(to) = resampling {
                    due.push((key.clone(), Arc::clone(block), to));
                }
            }
        }
        due
    }

    fn downsample_one(
        &mut self,
        key: &GroupKey,
        block: &Arc<BucketBlock>,
        to: Resolution,
    ) -> Result<(), Trouble> {
        self.check_room(std::slice::from_ref(block))?;
        let dir = self.work_dir(key)?;
        let done = self.downsample_in(&dir, key, block, to);
        let cleared = self.clear(&dir);
        done?;
        Ok(cleared?)
    }

    fn downsample_in(
        &mut self,
        dir: &Path,
        key: &GroupKey,
        block: &Arc<BucketBlock>,
        to: Resolution,
    ) -> Result<(), Trouble> {
        let mut local = self.bring(block, dir)?;
        let mut source = Arc::clone(block);
        if block.thanos.labels != key.labels {
            (source, local) = self.relabel(dir, key, block, &local)?;
        }
        let ulid = self.new_ulid();
        let all_series = source.meta.stats.num_series;
        let progress = |done_series: u64| {
            self.guard.progress(Progress::Downsample { block: ulid, done_series, all_series });
        };
        let is_ending = || self.guard.is_ending();
        let options = DownsampleOptions { is_ending: &is_ending, progress: &progress };
        let disk = &self.compactor.disk;
        let written = downsample_block(disk, &local, to.ms(), dir, ulid, &options);
        let written = written.map_err(|error| match error {
            DownsampleError::Ended => self.guard.end().into(),
            DownsampleError::Block(error) => trouble_with(&[source.ulid()], error),
            other => Trouble::from(CompactError::Refused(other.to_string())),
        })?;
        drop(local);
        let Some(written) = written else {
            let details = "nothing of it can be downsampled";
            self.mark(MarkKind::NoDownsample, source.ulid(), "manual", details)?;
            return Ok(());
        };
        let coarse = GroupKey { resolution_ms: to.ms(), labels: key.labels.clone() };
        let sources = std::slice::from_ref(&source);
        let made = self.publish(&dir.join(written.ulid.to_string()), &coarse, sources)?;
        tracing::info!(group = %coarse, source = %source.ulid(), block = %ulid, "downsampled");
        self.report.downsampled.push(Derived { source: source.ulid(), block: made.ulid() });
        self.remember(&made);
        Ok(())
    }

    /// The same block under the labels of its group: raw and coarser data of one set must not
    /// differ in the label of a replica, or a reader takes them for two sets and mixes them.
    fn relabel(
        &mut self,
        dir: &Path,
        key: &GroupKey,
        block: &Arc<BucketBlock>,
        local: &Arc<Block>,
    ) -> Result<(Arc<BucketBlock>, Arc<Block>), Trouble> {
        let (ulid, disk) = (self.new_ulid(), self.compactor.disk.clone());
        let target = dir.join(ulid.to_string());
        let linked = link_files(&*disk, local.dir(), &target);
        linked.map_err(|error| BlockError::Io { path: target.clone(), error })?;
        let mut meta = block.meta.clone();
        meta.ulid = ulid;
        let (min_time_ms, max_time_ms) = (meta.min_time_ms, meta.max_time_ms);
        meta.compaction.parents =
            vec![BlockParent { ulid: block.ulid(), min_time_ms, max_time_ms }];
        meta.write(&*disk, &target)?;
        // A mark that keeps the block from being merged has to be there before the block is.
        if let Some(mark) = self.picture.view.no_compact.get(&block.ulid()) {
            self.guard.check()?;
            let mark = Mark { block: ulid, ..mark.clone() };
            write_mark(&self.compactor.bucket, &mark)?;
            self.picture.view.no_compact.insert(ulid, mark);
        }
        let made = self.publish(&target, key, std::slice::from_ref(block))?;
        self.report.relabelled.push(Derived { source: block.ulid(), block: ulid });
        self.remember(&made);
        self.forget(&[block.ulid()]);
        self.mark(MarkKind::Deletion, block.ulid(), "", "replaced by one without replica label")?;
        let local = Block::open(&disk, &target)?;
        Ok((made, local))
    }
}

/// Gives the files of a block a second name.
fn link_files(disk: &dyn crate::disk::Disk, from: &Path, to: &Path) -> std::io::Result<()> {
    let chunks = from.join("chunks");
    disk.create_dir_all(&to.join("chunks"))?;
    for entry in disk.list(&chunks)? {
        disk.link(&chunks.join(&entry.name), &to.join("chunks").join(&entry.name))?;
    }
    disk.link(&from.join("index"), &to.join("index"))
}
