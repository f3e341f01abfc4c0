//! What the programs share.

/// Ends with Ctrl-C and, where there are such signals, with SIGTERM.
pub(crate) async fn told_to_stop() {
    let interrupted = async {
        // Without a handler the signal ends the program at once, which is safe too.
        let _ = tokio::signal::ctrl_c().await;
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                () = interrupted => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    interrupted.await;
}
