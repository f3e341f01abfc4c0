//! The blocks that are open: an immutable list, replaced as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use ulid::Ulid;

use crate::disk::SharedDisk;
use crate::storage::block::Block;

use super::{files, levels};

/// Blocks as they are at one time. Readers hold the list as long as they need it.
#[derive(Debug, Clone, Default)]
pub(super) struct BlockList {
    /// By start time.
    pub(super) blocks: Vec<Arc<Block>>,
    /// Blocks that could not be opened, and why. They stay where they are.
    pub(super) unreadable: BTreeMap<Ulid, String>,
}

impl BlockList {
    /// The list of what is in `dir` now. Blocks that `known` has open are not opened again.
    pub(super) fn load(disk: &SharedDisk, dir: &Path, known: &Self) -> io::Result<Self> {
        let mut list = Self::default();
        for ulid in files::list_blocks(&**disk, dir)? {
            if let Some(open) = known.blocks.iter().find(|open| open.meta().ulid == ulid) {
                list.blocks.push(Arc::clone(open));
                continue;
            }
            let path = dir.join(ulid.to_string());
            match Block::open(disk, &path) {
                Ok(block) => list.blocks.push(block),
                Err(error) => {
                    if !known.unreadable.contains_key(&ulid) {
                        tracing::warn!(block = %ulid, %error, "unreadable block is left out");
                    }
                    list.unreadable.insert(ulid, error.to_string());
                }
            }
        }
        list.blocks.sort_by_key(|open| (open.meta().min_time_ms, open.meta().ulid));
        Ok(list)
    }

    /// Takes out of the list what others have replaced, and blocks that say of themselves that
    /// they can go.
    pub(super) fn take_superseded(&mut self) -> Vec<Ulid> {
        let parents = self.blocks.iter().flat_map(|open| &open.meta().compaction.parents);
        let mut gone: BTreeSet<Ulid> = parents.map(|parent| parent.ulid).collect();
        let deletable = self.blocks.iter().filter(|open| open.meta().compaction.deletable);
        gone.extend(deletable.map(|open| open.meta().ulid));
        self.take(|ulid| gone.contains(&ulid))
    }

    /// Takes the blocks that `is_wanted` names out of the list.
    pub(super) fn take(&mut self, is_wanted: impl Fn(Ulid) -> bool) -> Vec<Ulid> {
        let ulids = self.blocks.iter().map(|open| open.meta().ulid);
        let taken: Vec<Ulid> = ulids.filter(|ulid| is_wanted(*ulid)).collect();
        self.blocks.retain(|open| !is_wanted(open.meta().ulid));
        taken
    }

    pub(super) fn contains(&self, ulid: Ulid) -> bool {
        self.blocks.iter().any(|open| open.meta().ulid == ulid)
    }

    /// The end of what was cut from the head: samples before it are in blocks.
    pub(super) fn head_start_ms(&self) -> Option<i64> {
        let before_head = |open: &&Arc<Block>| !levels::is_beside_the_head(open.meta());
        self.blocks.iter().filter(before_head).map(|open| open.meta().max_time_ms).max()
    }

    /// Bytes of all blocks.
    pub(super) fn size_bytes(&self) -> u64 {
        self.blocks.iter().map(|open| open.size_bytes()).sum()
    }

    /// The blocks by their end, newest first.
    pub(super) fn newest_first(&self) -> Vec<&Block> {
        let mut newest_first: Vec<&Block> = self.blocks.iter().map(|open| &**open).collect();
        newest_first.sort_by_key(|open| std::cmp::Reverse(open.meta().max_time_ms));
        newest_first
    }
}
