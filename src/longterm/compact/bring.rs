//! Blocks of the bucket onto the local disk, several at a time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use crate::disk::SharedDisk;
use crate::longterm::bucket::{Bucket, BucketError};
use crate::longterm::{BucketBlock, LongTermError, download_block};
use crate::storage::block::Block;

use super::CompactError;
use super::health::examine;
use super::quarantine::Reason;
use super::round::Round;
use super::watch::Progress;
use super::work::{Trouble, reason_of, sick, size_bytes, trouble_with};

/// Blocks that come at a time: most of the time of a small one is waiting for answers.
const AT_A_TIME: usize = 4;
/// The longest time that the lease is not looked at.
const NAP: Duration = Duration::from_millis(200);

/// What a thread says about the block at a place.
enum Said {
    Arrived(usize, u64),
    Brought(usize, Result<Arc<Block>, Trouble>),
}

/// What all threads share.
struct Bringing<'a> {
    bucket: &'a Bucket,
    disk: &'a SharedDisk,
    blocks: &'a [Arc<BucketBlock>],
    dir: &'a Path,
    next: AtomicUsize,
    /// No further block is begun.
    is_enough: AtomicBool,
    /// Those that are begun are given up as well.
    is_ending: AtomicBool,
}

impl Bringing<'_> {
    /// Brings one block after the other.
    fn bring(&self, say: &SyncSender<Said>) {
        while !self.is_enough.load(Ordering::Relaxed) {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(block) = self.blocks.get(place) else { return };
            // Somebody listens until this thread is done.
            let progress = |bytes| drop(say.send(Said::Arrived(place, bytes)));
            let brought = self.bring_one(block, &progress);
            if brought.is_err() {
                self.is_enough.store(true, Ordering::Relaxed);
            }
            drop(say.send(Said::Brought(place, brought)));
        }
    }

    fn bring_one(
        &self,
        block: &BucketBlock,
        progress: &dyn Fn(u64),
    ) -> Result<Arc<Block>, Trouble> {
        let ulid = block.ulid();
        match download_block(self.bucket, block, self.disk, self.dir, progress) {
            Ok(_) => {}
            Err(LongTermError::Corrupt { key, what }) => {
                return Err(sick(ulid, Reason::ObjectMissing, format!("{key}: {what}")));
            }
            Err(LongTermError::Bucket(BucketError::NotFound { key })) => {
                // Somebody may have removed the whole block meanwhile.
                return Err(if self.bucket.exists(&block.key("meta.json"))? {
                    sick(ulid, Reason::ObjectMissing, format!("{key}: no such object"))
                } else {
                    CompactError::Refused(format!("{ulid}: the block is gone")).into()
                });
            }
            Err(error) => return Err(error.into()),
        }
        let local = Block::open(self.disk, &self.dir.join(ulid.to_string()));
        let local = local.map_err(|error| trouble_with(&[ulid], error))?;
        let health = examine(&local, &|| self.is_ending.load(Ordering::Relaxed));
        let health = health.map_err(|error| trouble_with(&[ulid], error))?;
        match health.map(|health| health.sickness()) {
            Ok(None) => Ok(local),
            Ok(Some(sickness)) | Err(sickness) => {
                Err(sick(ulid, reason_of(&sickness), format!("{ulid}/index: {sickness}")))
            }
        }
    }
}

impl Round<'_> {
    /// Brings a block to `dir`, and looks whether it is what others rely on.
    pub(super) fn bring(
        &self,
        block: &Arc<BucketBlock>,
        dir: &Path,
    ) -> Result<Arc<Block>, Trouble> {
        let mut brought = self.bring_all(std::slice::from_ref(block), dir)?;
        let missing = || CompactError::Refused(format!("{}: it did not come", block.ulid()));
        Ok(brought.pop().ok_or_else(missing)?)
    }

    /// Brings blocks to `dir`, and looks whether they are what others rely on. Of several that are
    /// not, the trouble is about the first.
    pub(super) fn bring_all(
        &self,
        blocks: &[Arc<BucketBlock>],
        dir: &Path,
    ) -> Result<Vec<Arc<Block>>, Trouble> {
        if self.guard.is_ending() {
            return Err(self.guard.end().into());
        }
        let (bucket, disk) = (&self.compactor.bucket, &self.compactor.disk);
        let bringing = Bringing {
            bucket,
            disk,
            blocks,
            dir,
            next: AtomicUsize::new(0),
            is_enough: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
        };
        let mut brought: Vec<Option<Result<Arc<Block>, Trouble>>> = Vec::new();
        brought.resize_with(blocks.len(), || None);
        std::thread::scope(|scope| {
            let (sender, said) = sync_channel(AT_A_TIME);
            for _ in 0..AT_A_TIME.min(blocks.len()) {
                let (sender, bringing) = (sender.clone(), &bringing);
                scope.spawn(move || bringing.bring(&sender));
            }
            drop(sender);
            let mut done_bytes = vec![0_u64; blocks.len()];
            loop {
                match said.recv_timeout(NAP) {
                    Ok(Said::Arrived(place, bytes)) => {
                        self.tell(blocks, &mut done_bytes, place, bytes);
                    }
                    Ok(Said::Brought(place, result)) => {
                        if let Some(slot) = brought.get_mut(place) {
                            *slot = Some(result);
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                if self.guard.is_ending() {
                    bringing.is_enough.store(true, Ordering::Relaxed);
                    bringing.is_ending.store(true, Ordering::Relaxed);
                }
            }
        });
        if bringing.is_ending.into_inner() {
            return Err(self.guard.end().into());
        }
        brought.into_iter().flatten().collect()
    }

    fn tell(&self, blocks: &[Arc<BucketBlock>], done_bytes: &mut [u64], place: usize, bytes: u64) {
        let (Some(block), Some(done)) = (blocks.get(place), done_bytes.get_mut(place)) else {
            return;
        };
        *done = done.saturating_add(bytes);
        let (block, all_bytes) = (block.ulid(), size_bytes(block));
        self.guard.progress(Progress::Download { block, done_bytes: *done, all_bytes });
    }
}
