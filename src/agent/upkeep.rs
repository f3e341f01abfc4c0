//! Keeps the log no longer than its readers need it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::forward::Forward;
use super::log::AgentLog;
use super::scrape::told;

const ROUND: Duration = Duration::from_secs(60);
/// What is not sent by then is sent after the next start.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// Looks after the log until `ending` is told, then lets the senders finish.
pub(super) async fn run(
    log: Arc<AgentLog>,
    forwards: Vec<Forward>,
    mut ending: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            biased;
            () = told(&mut ending) => break,
            () = tokio::time::sleep(ROUND) => {}
        }
        let oldest_unsent = forwards.iter().map(Forward::oldest_unsent).min();
        let log = log.clone();
        let done = tokio::task::spawn_blocking(move || log.maintain(oldest_unsent)).await;
        match done {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(truncated))) => tracing::info!(?truncated, "the log was shortened"),
            Ok(Err(error)) => tracing::error!(%error, "the log could not be shortened"),
            Err(error) => tracing::error!(%error, "shortening the log broke off"),
        }
    }
    let mut stopping: JoinSet<()> =
        forwards.into_iter().map(|forward| forward.stop(FLUSH_MAX)).collect();
    while stopping.join_next().await.is_some() {}
}
