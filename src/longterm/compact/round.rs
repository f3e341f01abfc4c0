//! A round of upkeep: a lease, a picture of the bucket, and the steps that change both.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use ulid::Ulid;

use crate::longterm::{BUCKET_INDEX, BucketBlock, Mark, MarkKind, write_mark};

use super::CompactError;
use super::compactor::Compactor;
use super::picture::Picture;
use super::quarantine::{self, Quarantined, Reason};
use super::report::Report;
use super::watch::Guard;

/// A round of upkeep. Each step can be called by itself; [`finish`](Self::finish) gives the lease
/// back.
///
/// Every step leaves the bucket in a state that is right by itself: a block is there as a whole
/// before those that it replaces are marked, and they are removed only when the marks are old. Who
/// is stopped anywhere loses nothing, and the next round goes on.
pub struct Round<'a> {
    pub(super) compactor: &'a Compactor,
    pub(super) guard: Guard<'a>,
    pub(super) picture: Picture,
    pub(super) report: Report,
    /// Blocks whose objects were looked at, and whether all are there.
    whole: RefCell<BTreeMap<Ulid, bool>>,
}

impl std::fmt::Debug for Round<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Round").field("report", &self.report).finish_non_exhaustive()
    }
}

impl<'a> Round<'a> {
    pub(super) fn new(compactor: &'a Compactor, guard: Guard<'a>, picture: Picture) -> Self {
        let whole = RefCell::default();
        Self { compactor, guard, picture, report: Report::default(), whole }
    }

    /// What is in the bucket, as far as this round knows.
    #[must_use]
    pub const fn picture(&self) -> &Picture {
        &self.picture
    }

    /// What was done so far.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// Looks at the bucket again.
    ///
    /// # Errors
    /// The bucket's answer.
    pub fn sync(&mut self) -> Result<(), CompactError> {
        self.picture = self.compactor.look()?;
        Ok(())
    }

    /// All steps, one after the other.
    ///
    /// # Errors
    /// The lease is lost, it is to end, or the blocks cannot be found out. What else goes wrong
    /// stands in the report.
    pub fn all(&mut self) -> Result<(), CompactError> {
        self.collect_garbage()?;
        self.delete_marked()?;
        self.merge_groups()?;
        if self.compactor.options.downsampling {
            self.sync()?;
            // The second time for what the first one made.
            self.downsample()?;
            self.sync()?;
            self.downsample()?;
        }
        self.sync()?;
        self.apply_retention()?;
        self.clean_partial()
    }

    /// Writes down which blocks there are, so that those who ask the bucket start with one read.
    ///
    /// # Errors
    /// The lease is lost, or it is to end. What else goes wrong stands in the report.
    pub fn write_index(&mut self) -> Result<(), CompactError> {
        self.guard.check()?;
        if let Err(error) = self.compactor.write_index(&self.picture.view) {
            tracing::warn!(%error, "the index of the bucket was not written");
            self.report.failures.push(format!("{BUCKET_INDEX}: {error}"));
        }
        Ok(())
    }

    /// Gives the lease back, and says what was done.
    pub fn finish(self) -> Report {
        self.compactor.show(&self.picture);
        self.guard.release();
        self.report
    }

    /// Writes down that something failed, and goes on, unless nothing may be done any more.
    pub(super) fn note(&mut self, about: &str, error: CompactError) -> Result<(), CompactError> {
        if error.is_end() {
            return Err(error);
        }
        tracing::warn!(about, %error, "left for the next round");
        self.report.failures.push(format!("{about}: {error}"));
        Ok(())
    }

    /// Marks a block, unless it is marked.
    pub(super) fn mark(
        &mut self,
        kind: MarkKind,
        block: Ulid,
        reason: &str,
        details: &str,
    ) -> Result<(), CompactError> {
        let view = &mut self.picture.view;
        let marks = match kind {
            MarkKind::Deletion => &mut view.deletion_marks,
            MarkKind::NoCompact => &mut view.no_compact,
            MarkKind::NoDownsample => &mut view.no_downsample,
        };
        if marks.contains_key(&block) {
            return Ok(());
        }
        self.guard.check()?;
        let time_s = self.compactor.clock.now_ms() / 1000;
        let (details, reason) = (details.to_owned(), reason.to_owned());
        let mark = Mark { kind, block, details, time_s, reason };
        write_mark(&self.compactor.bucket, &mark)?;
        tracing::info!(%block, mark = kind.file_name(), details = mark.details, "marked");
        marks.insert(block, mark);
        let metrics = &self.compactor.metrics;
        match kind {
            MarkKind::Deletion => metrics.marked_for_deletion.inc(),
            MarkKind::NoCompact => metrics.marked_no_compact.inc(),
            MarkKind::NoDownsample => metrics.marked_no_downsample.inc(),
        }
        Ok(())
    }

    /// Takes blocks that are replaced by others out of the picture, after their marks are written.
    pub(super) fn forget(&mut self, blocks: &[Ulid]) {
        for group in self.picture.groups.values_mut() {
            group.retain(|block| !blocks.contains(&block.ulid()));
        }
    }

    /// Sets a block aside: from now on it is neither merged nor downsampled, by Thanos neither.
    pub(super) fn set_aside(
        &mut self,
        block: Ulid,
        reason: Reason,
        details: String,
    ) -> Result<(), CompactError> {
        tracing::error!(%block, %reason, details, "block set aside");
        self.guard.check()?;
        let (now_ms, token) = (self.compactor.clock.now_ms(), self.guard.token());
        let why = Quarantined::new(block, reason, details.clone(), now_ms, token);
        quarantine::write(&self.compactor.bucket, block, &why)?;
        self.picture.quarantined.insert(block, why);
        let known = match reason {
            Reason::ChunksOutOfOrder => "block-index-out-of-order-chunk",
            _ => "manual",
        };
        let words = format!("promlite: {reason}: {details}");
        self.mark(MarkKind::NoCompact, block, known, &words)?;
        self.mark(MarkKind::NoDownsample, block, "manual", &words)?;
        self.report.quarantined.push((block, reason, details));
        Ok(())
    }

    /// True if every object that the block's meta names is there with its size.
    pub(super) fn is_whole(&self, block: &BucketBlock) -> Result<bool, CompactError> {
        let ulid = block.ulid();
        if let Some(known) = self.whole.borrow().get(&ulid) {
            return Ok(*known);
        }
        let bucket = &self.compactor.bucket;
        let objects = bucket.list(&format!("{ulid}/"))?;
        let files = block.thanos.files.iter().map(|file| (file.rel_path.clone(), file.size_bytes));
        let segments = block.thanos.segment_files.iter();
        let segments = segments.map(|name| (format!("chunks/{name}"), 0));
        let needed = [("index".to_owned(), 0), ("meta.json".to_owned(), 0)];
        let mut is_whole = true;
        for (rel_path, size_bytes) in needed.into_iter().chain(files).chain(segments) {
            let key = block.key(&rel_path);
            let listed = objects.iter().find(|object| object.key == key);
            let size = match listed.map(|object| object.size_bytes) {
                // A listing may be late.
                None => match bucket.head(&key) {
                    Ok(object) => Some(object.size_bytes),
                    Err(error) if error.is_not_found() => None,
                    Err(error) => return Err(error.into()),
                },
                listed => listed,
            };
            is_whole &= size.is_some_and(|size| size_bytes == 0 || size == size_bytes);
        }
        self.whole.borrow_mut().insert(ulid, is_whole);
        Ok(is_whole)
    }

    /// Puts a new block into the picture.
    pub(super) fn remember(&mut self, block: &Arc<BucketBlock>) {
        let replica_labels = &self.compactor.options.replica_labels;
        let key = super::group::GroupKey::of(block, replica_labels);
        let group = self.picture.groups.entry(key).or_default();
        group.push(Arc::clone(block));
        group.sort_by_key(|block| (block.meta.min_time_ms, block.ulid()));
        self.picture.view.blocks.push(Arc::clone(block));
    }
}
