//! Which blocks readers find: new ones in, old ones out.

use std::sync::Arc;

use ulid::Ulid;

use super::blocks::BlockList;
use super::open::{Inner, io_error};
use super::{TsdbError, files, plan};

impl Inner {
    /// Takes over what is in the directory now. Removes blocks that others have replaced; returns
    /// how many.
    pub(super) fn reload(&self) -> Result<usize, TsdbError> {
        self.reload_changed(&[])
    }

    /// As [`reload`](Self::reload), and opens the blocks `changed` anew.
    pub(super) fn reload_changed(&self, changed: &[Ulid]) -> Result<usize, TsdbError> {
        self.metrics.reloads.inc();
        let mut known = BlockList::clone(&self.block_list());
        known.take(|ulid| changed.contains(&ulid));
        let list = BlockList::load(&self.disk, &self.dir, &known);
        let list = list.inspect_err(|_| self.metrics.reloads_failed.inc());
        let mut list = list.map_err(io_error("list", &self.dir))?;
        let superseded = list.take_superseded();
        self.publish(list);
        Ok(self.remove(&superseded))
    }

    /// Lets readers find the block that was just written. If it cannot be read, it is removed.
    pub(super) fn take_over(&self, written: Ulid) -> Result<usize, TsdbError> {
        let removed = self.reload()?;
        if self.block_list().contains(written) {
            return Ok(removed);
        }
        self.metrics.compactions_failed.inc();
        self.remove(&[written]);
        Err(TsdbError::LostBlock(written))
    }

    /// Removes the blocks that are too old or too many; returns how many.
    pub(super) fn retain(&self) -> Result<usize, TsdbError> {
        let known = self.block_list();
        let newest_first = known.newest_first();
        let ends_ms: Vec<i64> = newest_first.iter().map(|b| b.meta().max_time_ms).collect();
        let sizes_bytes: Vec<u64> = newest_first.iter().map(|b| b.size_bytes()).collect();
        // What is in memory takes room too, and blocks make way for it.
        let log_bytes = self.head.log_bytes()? + files::head_chunk_bytes(&*self.disk, &self.dir);
        let by_time = plan::kept_by_time(&ends_ms, self.options.retention_ms);
        let by_size = plan::kept_by_size(&sizes_bytes, log_bytes, self.options.retention_bytes);
        if by_time < newest_first.len() {
            self.metrics.time_retentions.inc();
        }
        if by_size < newest_first.len() {
            self.metrics.size_retentions.inc();
        }
        let expired = newest_first.iter().skip(by_time.min(by_size));
        let expired: Vec<Ulid> = expired.map(|block| block.meta().ulid).collect();
        let guard = &self.options.guard;
        let (expired, needed): (Vec<_>, Vec<_>) =
            expired.into_iter().partition(|ulid| guard.may_go(*ulid));
        if let Some(first) = needed.first() {
            let count = needed.len();
            tracing::warn!(%first, count, "old blocks stay, since somebody still needs them");
        }
        if expired.is_empty() {
            return Ok(0);
        }
        let mut list = BlockList::clone(&known);
        list.take(|ulid| expired.contains(&ulid));
        self.publish(list);
        Ok(self.remove(&expired))
    }

    /// From now on, readers find these blocks.
    fn publish(&self, list: BlockList) {
        *self.blocks.write() = Arc::new(list);
        self.show();
    }

    pub(super) fn show(&self) {
        let head_start_ms = self.head.span().map(|span| span.start_ms);
        self.metrics.show(&self.block_list(), head_start_ms);
    }

    /// Removes blocks that are published no more; readers that still have one keep it.
    fn remove(&self, blocks: &[Ulid]) -> usize {
        let remove = |ulid: &&Ulid| {
            let removed = files::remove_block(&*self.disk, &self.dir, **ulid);
            match &removed {
                Ok(()) => tracing::info!(block = %ulid, "block removed"),
                // It comes back with the next look at the directory, and is removed then.
                Err(error) => tracing::warn!(block = %ulid, %error, "block could not be removed"),
            }
            removed.is_ok()
        };
        blocks.iter().filter(remove).count()
    }
}
