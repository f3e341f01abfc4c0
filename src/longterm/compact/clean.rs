//! What leaves the bucket: superfluous, marked, too old, and given up.

use ulid::Ulid;

use crate::base::clock::Stopwatch;
use crate::longterm::{MarkKind, PartialWhy, delete_block};

use super::CompactError;
use super::group::GroupKey;
use super::quarantine::Reason;
use super::retention::fate;
use super::round::Round;

/// In the first fetch a listing may have been late.
const ROUNDS_TO_GIVE_UP: u32 = 2;

impl Round<'_> {
    /// Marks blocks that another one makes superfluous.
    ///
    /// # Errors
    /// The lease is lost, or it is to end.
    pub fn collect_garbage(&mut self) -> Result<(), CompactError> {
        let stopwatch = Stopwatch::start();
        self.compactor.metrics.garbage_collections.inc();
        let collected = self.collect_all();
        self.compactor.metrics.garbage_seconds.observe(stopwatch.seconds());
        collected
    }

    fn collect_all(&mut self) -> Result<(), CompactError> {
        for outdated in self.picture.outdated.clone() {
            let collected = self.collect(outdated.block, outdated.by);
            if let Err(error) = collected {
                self.compactor.metrics.garbage_failures.inc();
                self.note(&format!("{}: outdated", outdated.block), error)?;
            }
        }
        Ok(())
    }

    fn collect(&mut self, block: Ulid, by: Ulid) -> Result<(), CompactError> {
        let Some(shelter) = self.picture.block(by).cloned() else { return Ok(()) };
        // What the other one says it has must be there.
        if !self.is_whole(&shelter)? {
            if !self.picture.quarantined.contains_key(&by) {
                let details = format!("{by}: not all objects of meta.json are there");
                self.set_aside(by, Reason::ObjectMissing, details)?;
            }
            return Ok(());
        }
        self.mark(MarkKind::Deletion, block, "", "outdated block")?;
        self.compactor.metrics.garbage.inc();
        self.report.outdated.push(block);
        Ok(())
    }

    /// Removes blocks whose marks are old enough.
    ///
    /// # Errors
    /// The lease is lost, or it is to end.
    pub fn delete_marked(&mut self) -> Result<(), CompactError> {
        let now_ms = self.compactor.clock.now_ms();
        let delay_ms = self.compactor.options.delete_delay_ms;
        let marks = self.picture.view.deletion_marks.values();
        let is_due = |time_s: i64| now_ms > time_s.saturating_mul(1000).saturating_add(delay_ms);
        let due = marks.filter(|mark| is_due(mark.time_s)).map(|mark| mark.block);
        for block in due.collect::<Vec<Ulid>>() {
            if self.delete(block)? {
                self.picture.view.deletion_marks.remove(&block);
                self.report.deleted.push(block);
            }
        }
        Ok(())
    }

    /// Removes a block; says whether it went well.
    fn delete(&mut self, block: Ulid) -> Result<bool, CompactError> {
        self.guard.check()?;
        let (bucket, metrics) = (&self.compactor.bucket, &self.compactor.metrics);
        if let Err(error) = delete_block(bucket, block) {
            metrics.clean_failures.inc();
            self.note(&format!("{block}: deletion"), error.into())?;
            return Ok(false);
        }
        tracing::info!(%block, "block removed");
        metrics.cleaned.inc();
        // Nobody needs to know any more what was wrong with it.
        if self.picture.quarantined.remove(&block).is_some() {
            super::quarantine::lift(bucket, block)?;
        }
        self.picture.view.blocks.retain(|known| known.ulid() != block);
        Ok(true)
    }

    /// Marks blocks that are too old, and whose data is there in coarser blocks.
    ///
    /// # Errors
    /// The lease is lost, or it is to end.
    pub fn apply_retention(&mut self) -> Result<(), CompactError> {
        let now_ms = self.compactor.clock.now_ms();
        let keys: Vec<GroupKey> = self.picture.groups.keys().cloned().collect();
        for key in keys {
            let coarser = self.picture.coarser(&key);
            let blocks = self.picture.groups.get(&key).cloned().unwrap_or_default();
            for block in blocks {
                let retention = &self.compactor.options.retention;
                let mut is_whole = |other: &_| self.is_whole(other);
                match fate(&block, &coarser, retention, now_ms, &mut is_whole) {
                    Ok(fate) if fate.is_end() => {
                        let details = format!("block exceeding retention: {fate}");
                        self.mark(MarkKind::Deletion, block.ulid(), "", &details)?;
                        self.report.too_old.push(block.ulid());
                        self.forget(&[block.ulid()]);
                    }
                    Ok(_) => {}
                    Err(error) => self.note(&format!("{}: retention", block.ulid()), error)?,
                }
            }
        }
        Ok(())
    }

    /// Removes blocks whose upload was given up long ago. One with a `meta.json` that cannot be
    /// read stays: it may be all that is left of some data.
    ///
    /// # Errors
    /// The lease is lost, or it is to end.
    pub fn clean_partial(&mut self) -> Result<(), CompactError> {
        let now_ms = self.compactor.clock.now_ms();
        let age_ms = self.compactor.options.partial_age_ms;
        let marked = &self.picture.view.deletion_marks;
        let given_up = self.picture.view.partial.iter().filter(|partial| {
            let is_old = now_ms.saturating_sub(partial.newest_ms) > age_ms;
            let is_sure = partial.rounds >= ROUNDS_TO_GIVE_UP && partial.why == PartialWhy::NoMeta;
            is_old && is_sure && !marked.contains_key(&partial.ulid)
        });
        for block in given_up.map(|partial| partial.ulid).collect::<Vec<Ulid>>() {
            self.compactor.metrics.partial_deletions.inc();
            // The upload may have gone on after all.
            if self.compactor.bucket.exists(&format!("{block}/meta.json"))? {
                continue;
            }
            if self.delete(block)? {
                self.report.given_up.push(block);
            }
        }
        Ok(())
    }
}
