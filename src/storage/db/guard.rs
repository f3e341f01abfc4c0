//! Which blocks somebody else still needs.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::RwLock;
use ulid::Ulid;

/// Keeps blocks where they are until whoever needs them, such as a shipper, is done with them:
/// they are neither merged nor removed because of their age or size. Cloning gives another handle
/// on the same guard. The default guards nothing.
#[derive(Debug, Clone, Default)]
pub struct BlockGuard(Option<Arc<RwLock<BTreeSet<Ulid>>>>);

impl BlockGuard {
    /// Guards every block until it is released.
    #[must_use]
    pub fn closed() -> Self {
        Self(Some(Arc::default()))
    }

    /// From now on, these blocks may go, and no others.
    pub fn release_only(&self, blocks: BTreeSet<Ulid>) {
        if let Some(released) = &self.0 {
            *released.write() = blocks;
        }
    }

    /// From now on, this block may go, too.
    pub fn release(&self, block: Ulid) {
        if let Some(released) = &self.0 {
            released.write().insert(block);
        }
    }

    /// True if nobody needs the block.
    #[must_use]
    pub fn may_go(&self, block: Ulid) -> bool {
        self.0.as_ref().is_none_or(|released| released.read().contains(&block))
    }
}
