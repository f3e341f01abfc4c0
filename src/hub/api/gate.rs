//! Lets only so many questions run at once, each on a thread of its own, and recalls them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::base::clock::Stopwatch;

use super::answer::{ApiError, ErrorKind};

/// Lets only so many questions run at once.
#[derive(Debug)]
pub(in crate::hub) struct Gate {
    slots: Arc<Semaphore>,
    running: Mutex<Vec<Arc<AtomicBool>>>,
}

/// What a question that runs must heed.
#[derive(Debug, Clone)]
pub(super) struct Leave {
    /// Set when nobody waits for the answer any more.
    pub(super) cancel: Arc<AtomicBool>,
    /// How long it waited for its turn.
    pub(super) waited: Duration,
}

impl Gate {
    pub(in crate::hub) fn new(slots: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(slots)), running: Mutex::default() }
    }

    /// Runs `work` on a thread where it may block, once it is its turn. If the caller stops
    /// waiting, the work is told, but keeps its place until it ends.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl FnOnce(Leave) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let watch = Stopwatch::start();
        let turn = tokio::time::timeout(patience, self.slots.clone().acquire_owned()).await;
        let Ok(Ok(slot)) = turn else {
            let message = "query timed out in query queue".into();
            return Err(ApiError { kind: ErrorKind::Timeout, message });
        };
        let cancel = Arc::new(AtomicBool::new(false));
        let leave = Leave { cancel: cancel.clone(), waited: watch.elapsed() };
        let _recall = Recall::new(self, cancel);
        let working = tokio::task::spawn_blocking(move || {
            let answer = work(leave);
            drop(slot);
            answer
        });
        working.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a query ended without an answer");
            let message = format!("unexpected error: {error}");
            Err(ApiError { kind: ErrorKind::Internal, message })
        })
    }

    /// Tells everything that runs to give up.
    pub(in crate::hub) fn cancel_all(&self) {
        for cancel in self.running.lock().iter() {
            cancel.store(true, Ordering::SeqCst);
        }
    }
}

/// Recalls a question when the answer is there or the client has gone.
struct Recall<'a> {
    gate: &'a Gate,
    cancel: Arc<AtomicBool>,
}

impl<'a> Recall<'a> {
    fn new(gate: &'a Gate, cancel: Arc<AtomicBool>) -> Self {
        gate.running.lock().push(cancel.clone());
        Self { gate, cancel }
    }
}

impl Drop for Recall<'_> {
    fn drop(&mut self) {
        self.cancel.store(true, Ordering::SeqCst);
        self.gate.running.lock().retain(|cancel| !Arc::ptr_eq(cancel, &self.cancel));
    }
}
