//! The thread that calls for upkeep each minute, and earlier when a block is due.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

const ROUND: Duration = Duration::from_secs(60);
/// After a failure the next round comes sooner than that, but later after each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Signal {
    wanted: Mutex<Wanted>,
    change: Condvar,
    /// A round was asked for and is not over: so that asking again costs nothing.
    is_asked: AtomicBool,
}

#[derive(Debug, Default)]
struct Wanted {
    round: bool,
    end: bool,
}

/// A thread that runs rounds of upkeep.
#[derive(Debug)]
pub(super) struct Background {
    signal: Arc<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Background {
    /// Begins the thread. `round` does the work and says whether it went well.
    pub(super) fn begin(round: impl Fn() -> bool + Send + 'static) -> io::Result<Self> {
        let signal = Arc::new(Signal::default());
        let of_thread = Arc::clone(&signal);
        let work = move || {
            let mut failures = 0_u32;
            while of_thread.wait(failures) {
                failures = if round() { 0 } else { failures.saturating_add(1) };
                of_thread.is_asked.store(false, Ordering::Release);
            }
        };
        let thread = thread::Builder::new().name("promlite-upkeep".into()).spawn(work)?;
        Ok(Self { signal, thread: Mutex::new(Some(thread)) })
    }

    /// Asks for a round now.
    pub(super) fn ask(&self) {
        if !self.signal.is_asked.swap(true, Ordering::AcqRel) {
            self.signal.wanted.lock().round = true;
            self.signal.change.notify_all();
        }
    }

    /// Ends the thread after the round that it is in.
    pub(super) fn end(&self) {
        self.signal.wanted.lock().end = true;
        self.signal.change.notify_all();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the upkeep thread has died");
        }
    }
}

impl Signal {
    /// Waits for the next round, after so many that failed; false if there is to be none.
    fn wait(&self, failures: u32) -> bool {
        let mut wanted = self.wanted.lock();
        // After a failure only the clock begins a round, so that a full disk is not asked at every
        // append.
        let idle = |wanted: &mut Wanted| !(wanted.end || wanted.round && failures == 0);
        self.change.wait_while_for(&mut wanted, idle, pause_after(failures));
        wanted.round = false;
        !wanted.end
    }
}

fn pause_after(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        Some(further) => FIRST_PAUSE.saturating_mul(1 << further.min(6)).min(ROUND),
        None => ROUND,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_round_runs_when_asked_and_the_end_is_waited_for() {
        let (done, rounds) = channel();
        let background = Background::begin(move || done.send(()).is_ok()).unwrap();
        background.ask();
        rounds.recv_timeout(Duration::from_secs(30)).unwrap();
        background.end();
        background.end();
        // The sender went with the thread.
        assert!(rounds.recv().is_err());
    }

    #[test]
    fn pauses_grow_up_to_the_usual_one() {
        let pauses = [0, 1, 2, 3, 6, 7, 99].map(|failures| pause_after(failures).as_secs());
        assert_eq!(pauses, [60, 1, 2, 4, 32, 60, 60]);
    }

    #[test]
    fn after_a_failure_asking_waits_for_the_clock() {
        let signal = Signal::default();
        signal.wanted.lock().round = true;
        assert!(signal.wait(0));
        let waited = thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                signal.wanted.lock().round = true;
                signal.wait(5)
            });
            thread::sleep(Duration::from_millis(50));
            let is_waiting = !waiter.is_finished();
            signal.wanted.lock().end = true;
            signal.change.notify_all();
            (is_waiting, waiter.join().unwrap())
        });
        assert_eq!(waited, (true, false));
    }
}
