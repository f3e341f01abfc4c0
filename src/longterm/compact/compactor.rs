//! The compactor of a bucket.

use std::time::Duration;

use parking_lot::Mutex;

use crate::base::clock::SharedClock;
use crate::base::metrics::Registry;
use crate::disk::{ScratchDisk, SharedDisk};
use crate::longterm::bucket::Bucket;
use crate::longterm::{BucketBlock, BucketIndex, BucketView, FetchOptions, Fetcher, LongTermError};

use super::explain::{Explanation, explain};
use super::lease::Lease;
use super::metrics::Metrics;
use super::picture::Picture;
use super::report::Report;
use super::resample::Resampling;
use super::round::Round;
use super::watch::{Guard, Watch};
use super::{CompactError, CompactOptions, quarantine};

/// How often a pause looks whether it shall end.
const NAP: Duration = Duration::from_millis(200);

/// Keeps the blocks of a bucket few, large, downsampled, and not too old.
#[derive(Debug)]
pub struct Compactor {
    pub(super) bucket: Bucket,
    pub(super) disk: SharedDisk,
    pub(super) clock: SharedClock,
    pub(super) options: CompactOptions,
    pub(super) metrics: Metrics,
    fetcher: Mutex<Fetcher>,
}

impl Compactor {
    /// Does nothing yet. Blocks that are worked on are on `disk`, in the work folder of `options`.
    #[must_use]
    pub fn new(
        bucket: Bucket,
        disk: SharedDisk,
        clock: SharedClock,
        options: CompactOptions,
        registry: &Registry,
    ) -> Self {
        let fetch = FetchOptions { registry: registry.clone(), ..FetchOptions::default() };
        let fetcher = Mutex::new(Fetcher::new(bucket.clone(), &fetch));
        let metrics = Metrics::new(registry, options.delete_delay_ms);
        // A group's folder is emptied before it is used: what a crash leaves is never read.
        let disk = ScratchDisk::over(disk);
        Self { bucket, disk, clock, options, metrics, fetcher }
    }

    /// How it works.
    #[must_use]
    pub const fn options(&self) -> &CompactOptions {
        &self.options
    }

    /// What is in the bucket. Reads only.
    ///
    /// # Errors
    /// The bucket's answer: what is not seen as a whole is not acted on.
    pub fn look(&self) -> Result<Picture, CompactError> {
        let mut fetcher = self.fetcher.lock();
        let view = fetcher.fetch();
        let mut view = view.map_err(|error| CompactError::View(error.to_string()))?;
        let excluded = self.options.shard.apply(&mut view, &self.options.replica_labels);
        fetcher.show_state("label-excluded", excluded);
        drop(fetcher);
        let quarantined = quarantine::read_all(&self.bucket)
            .map_err(|error| CompactError::View(error.to_string()))?;
        Ok(Picture::new(view, quarantined, &self.options, self.clock.now_ms()))
    }

    /// Writes down for others which blocks there are, by what was seen last.
    pub(super) fn write_index(&self, view: &BucketView) -> Result<(), LongTermError> {
        BucketIndex::write(&self.fetcher.lock(), view, self.clock.now_ms())
    }

    /// What would be done with each block, and why. Reads only.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub fn explain(&self) -> Result<Vec<Explanation>, CompactError> {
        let picture = self.look()?;
        self.show(&picture);
        Ok(explain(&picture, &self.options, self.clock.now_ms()))
    }

    /// Takes the lease and looks at the bucket, for steps one by one.
    ///
    /// # Errors
    /// Somebody else has the lease, or the bucket's answer.
    pub fn begin<'a>(&'a self, watch: Watch<'a>) -> Result<Round<'a>, CompactError> {
        let options = &self.options;
        let lease = match options.lease_ms {
            0 => None,
            ttl_ms => {
                let key = options.shard.lease_key();
                Some(Lease::take(&self.bucket, &key, &self.clock, &options.holder, ttl_ms)?)
            }
        };
        let guard = Guard::new(watch, lease);
        match self.look() {
            Ok(picture) => Ok(Round::new(self, guard, picture)),
            Err(error) => {
                guard.release();
                Err(error)
            }
        }
    }

    /// One round of all steps: superfluous blocks, old marks, merging, downsampling, retention,
    /// uploads that were given up.
    ///
    /// # Errors
    /// There is no lease, it is to end, or the blocks of the bucket cannot be found out. What
    /// fails for some blocks only stands in the report, and the next round tries again.
    pub fn run_once(&self, watch: Watch<'_>) -> Result<Report, CompactError> {
        let mut round = self.begin(watch)?;
        let done = round.all().and_then(|()| round.write_index());
        let report = round.finish();
        let is_clean = done.is_ok() && report.failures.is_empty();
        let counter = if is_clean { &self.metrics.iterations } else { &self.metrics.retries };
        counter.inc();
        done.map(|()| report)
    }

    /// Rounds with pauses, until it is to end. What a round did goes to `each`.
    pub fn run(
        &self,
        pause: Duration,
        watch: Watch<'_>,
        each: &mut dyn FnMut(Result<Report, CompactError>),
    ) {
        while !(watch.is_ending)() {
            match self.run_once(watch) {
                Err(CompactError::Ended) => break,
                round => each(round),
            }
            let mut rest = pause;
            while !rest.is_zero() && !(watch.is_ending)() {
                std::thread::sleep(NAP.min(rest));
                rest = rest.saturating_sub(NAP);
            }
        }
    }

    /// Shows what is left to do.
    pub(super) fn show(&self, picture: &Picture) {
        let now_ms = self.clock.now_ms();
        let (mut merges, mut merged, mut due, mut too_old) = (0.0, 0.0, 0.0, 0.0);
        for (key, blocks) in &picture.groups {
            let (plan, _) = picture.plan(key, &self.options);
            let planned = plan.map_or_else(Vec::new, |plan| plan.blocks);
            merges += f64::from(u8::from(!planned.is_empty()));
            merged += planned.len() as f64;
            let mut waiting_since_ms = now_ms;
            for block in blocks {
                let resampling = picture.resampling(key, block, &self.options, now_ms);
                let is_due = matches!(resampling, Resampling::Due(_));
                due += f64::from(u8::from(is_due));
                if is_due || planned.contains(&block.ulid()) {
                    waiting_since_ms = waiting_since_ms.min(block.written_ms());
                }
                too_old += f64::from(u8::from(self.is_too_old(block, now_ms)));
            }
            let lag_seconds = now_ms.saturating_sub(waiting_since_ms) as f64 / 1000.0;
            self.metrics.group(&key.id(), key.resolution_ms).lag_seconds.set(lag_seconds);
        }
        self.metrics.todo_compactions.set(merges);
        self.metrics.todo_blocks.set(merged);
        self.metrics.todo_downsample.set(due);
        self.metrics.todo_deletion.set(too_old);
        self.metrics.quarantined.set(picture.quarantined.len() as f64);
    }

    fn is_too_old(&self, block: &BucketBlock, now_ms: i64) -> bool {
        let resolution = super::resolution::Resolution::of(block.resolution_ms());
        let end_ms = |resolution| self.options.retention.end_ms(resolution, block.meta.max_time_ms);
        resolution.and_then(end_ms).is_some_and(|end_ms| now_ms > end_ms)
    }
}
