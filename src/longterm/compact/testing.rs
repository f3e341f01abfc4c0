//! Blocks for tests.

use std::sync::Arc;

use ulid::Ulid;

use crate::longterm::{BucketBlock, ThanosMeta};
use crate::storage::block::BlockMeta;

/// A block without data.
pub(super) fn block(
    number: u128,
    start_ms: i64,
    end_ms: i64,
    resolution_ms: i64,
    sources: &[u128],
) -> Arc<BucketBlock> {
    let mut meta = BlockMeta::new(Ulid(number), start_ms, end_ms);
    meta.compaction.sources = sources.iter().copied().map(Ulid).collect();
    let mut thanos = ThanosMeta::default();
    thanos.labels.insert("cluster".to_owned(), "c".to_owned());
    thanos.set_resolution_ms(resolution_ms);
    Arc::new(BucketBlock { meta, thanos })
}
