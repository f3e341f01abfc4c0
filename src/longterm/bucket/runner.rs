//! Runs requests to their end for callers that wait.

use std::future::Future;
use std::io;
use std::sync::mpsc;

use futures_util::FutureExt;
use tokio::runtime::{Builder, Runtime};

/// Requests wait for the network, so that few threads do.
const THREADS: usize = 2;

/// Where requests run.
#[derive(Debug)]
pub(super) enum Runner {
    /// On the caller's thread, for stores that answer at once.
    InPlace,
    /// On threads of their own. A caller never drives a request itself, since it may be a thread
    /// of another runtime, which would refuse. `None` only while it is dropped.
    Threads(Option<Runtime>),
}

impl Runner {
    pub(super) fn threads() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(THREADS).thread_name("promlite-bucket").enable_all();
        Ok(Self::Threads(Some(runtime.build()?)))
    }

    /// Waits for the answer; `None` if there will be none.
    pub(super) fn run<T: Send + 'static>(
        &self,
        request: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        match self {
            Self::InPlace => request.now_or_never(),
            Self::Threads(runtime) => {
                let (sender, answer) = mpsc::sync_channel(1);
                runtime.as_ref()?.spawn(async move {
                    // The caller waits until the sender is gone, so that somebody listens.
                    let _ = sender.send(request.await);
                });
                answer.recv().ok()
            }
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Self::Threads(runtime) = self
            && let Some(runtime) = runtime.take()
        {
            // The last handle may go on a thread of another runtime, which must not wait.
            runtime.shutdown_background();
        }
    }
}
