//! Memory for requests that are being read, and the buffers they are read into.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::series::Batch;
use crate::wire::remote_write::v1;

/// Memory is counted in pieces of this size, so that their number fits.
const PIECE_BYTES: usize = 4096;
/// Buffers kept for the next requests, and the largest that is kept.
const KEPT_MAX: usize = 8;
const KEPT_BYTES_MAX: usize = 4 << 20;

/// Memory for requests that are being read. A request takes all that it may need before its first
/// byte is read, so that none waits for another that waits itself.
#[derive(Debug)]
pub(super) struct Budget {
    pieces: Arc<Semaphore>,
    pieces_max: usize,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        let pieces_max = bytes.div_ceil(PIECE_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        Self { pieces: Arc::new(Semaphore::new(pieces_max)), pieces_max }
    }

    /// Waits for `bytes` of memory, or for all there is if that is less.
    pub(super) async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let pieces = bytes.div_ceil(PIECE_BYTES).min(self.pieces_max);
        let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
        self.pieces.clone().acquire_many_owned(pieces).await.ok()
    }
}

/// The buffers that one request needs.
#[derive(Debug, Default)]
pub(super) struct Bench {
    /// The body as it came.
    pub(super) body: Vec<u8>,
    /// The message.
    pub(super) message: Vec<u8>,
    pub(super) decoder: v1::Decoder,
    pub(super) batch: Batch,
}

/// Benches that wait for the next request.
#[derive(Debug, Default)]
pub(super) struct Benches(Mutex<Vec<Bench>>);

impl Benches {
    pub(super) fn take(&self) -> Bench {
        self.0.lock().pop().unwrap_or_default()
    }

    pub(super) fn give_back(&self, mut bench: Bench) {
        if bench.body.capacity().max(bench.message.capacity()) > KEPT_BYTES_MAX {
            return;
        }
        bench.body.clear();
        bench.message.clear();
        bench.batch.clear();
        let mut kept = self.0.lock();
        if kept.len() < KEPT_MAX {
            kept.push(bench);
        }
    }
}
