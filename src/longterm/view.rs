//! All blocks of a bucket at one moment.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ulid::Ulid;

use super::{BucketBlock, Mark};

/// All blocks of a bucket at one moment, or those of them that the filters have left.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct BucketView {
    /// Whole blocks, by name.
    pub blocks: Vec<Arc<BucketBlock>>,
    /// Folders of blocks that are none yet, or no more.
    pub partial: Vec<PartialBlock>,
    /// Blocks, whole or partial, that will be removed.
    pub deletion_marks: BTreeMap<Ulid, Mark>,
    /// Blocks that are not merged.
    pub no_compact: BTreeMap<Ulid, Mark>,
    /// Blocks that are not downsampled.
    pub no_downsample: BTreeMap<Ulid, Mark>,
    /// When the `meta.json` of a block was written, by the store's clock.
    pub modified_ms: BTreeMap<Ulid, i64>,
    /// Objects that cannot be read, and why: one sentence each.
    pub broken: Vec<String>,
}

/// The folder of a block without a `meta.json` that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialBlock {
    /// The folder's name.
    pub ulid: Ulid,
    /// Why it is no block.
    pub why: PartialWhy,
    /// When anything in it was written last, by the store's clock; else the time of its name.
    pub newest_ms: i64,
    /// In how many fetches in a row it was found so. In the first one, the listing may have been
    /// late; nothing is to be concluded from one alone.
    pub rounds: u32,
}

/// Why a folder is no block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartialWhy {
    /// The store says that there is no `meta.json`.
    NoMeta,
    /// There is one that cannot be read, and why.
    CorruptMeta(String),
}

impl fmt::Display for PartialWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMeta => f.write_str("no meta.json"),
            Self::CorruptMeta(what) => f.write_str(what),
        }
    }
}

impl BucketView {
    /// The block of that name.
    #[must_use]
    pub fn block(&self, ulid: Ulid) -> Option<&Arc<BucketBlock>> {
        let place = self.blocks.binary_search_by_key(&ulid, |block| block.ulid()).ok()?;
        self.blocks.get(place)
    }
}
