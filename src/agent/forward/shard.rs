//! Bounded queues between the reader and the senders.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::base::clock::Stopwatch;

use super::item::Item;
use super::options::QueueOptions;

/// How long a full queue is waited for before it is looked whether to stop.
const FULL_WAIT: Duration = Duration::from_millis(100);

/// A share of the series and what waits to be sent of it.
#[derive(Debug)]
pub(super) struct Shard {
    capacity: usize,
    batch: usize,
    deadline: Duration,
    queue: Mutex<Queue>,
    /// Tells the sender that a batch is full, or that the first sample came.
    filled: Notify,
    /// Tells the reader that there is room.
    emptied: Condvar,
}

#[derive(Debug)]
struct Queue {
    items: VecDeque<Item>,
    /// Since when the oldest item waits, or a little later.
    waiting: Stopwatch,
    sending: bool,
    closed: bool,
}

impl Shard {
    fn new(options: &QueueOptions) -> Self {
        let queue = Queue {
            items: VecDeque::new(),
            waiting: Stopwatch::start(),
            sending: false,
            closed: false,
        };
        Self {
            capacity: options.capacity,
            batch: options.max_samples_per_send,
            deadline: Duration::from_millis(options.batch_send_deadline_ms.unsigned_abs()),
            queue: Mutex::new(queue),
            filled: Notify::new(),
            emptied: Condvar::new(),
        }
    }

    /// Queues all of `items`, waiting while there is no room; `full` is told each time. False if
    /// `stop` was set first; the rest is then still in `items`.
    pub(super) fn push(&self, items: &mut Vec<Item>, stop: &AtomicBool, full: impl Fn()) -> bool {
        let mut queue = self.queue.lock();
        while !items.is_empty() {
            if stop.load(Ordering::Relaxed) {
                return false;
            }
            let before = queue.items.len();
            let room = self.capacity.saturating_sub(before);
            if room == 0 {
                full();
                self.emptied.wait_for(&mut queue, FULL_WAIT);
                continue;
            }
            if before == 0 {
                queue.waiting = Stopwatch::start();
            }
            queue.items.extend(items.drain(..room.min(items.len())));
            if before == 0 || (before < self.batch && queue.items.len() >= self.batch) {
                self.filled.notify_one();
            }
        }
        true
    }

    /// Waits for the next batch and moves it to `batch`: a full one, or what there is when the
    /// deadline has passed or the shard is closed. False when it is closed and empty.
    pub(super) async fn take(&self, batch: &mut Vec<Item>) -> bool {
        loop {
            let wait = {
                let mut queue = self.queue.lock();
                queue.sending = false;
                let waited = queue.waiting.elapsed();
                let count = queue.items.len();
                let is_due = queue.closed || waited >= self.deadline;
                if count >= self.batch || (count > 0 && is_due) {
                    batch.extend(queue.items.drain(..count.min(self.batch)));
                    queue.sending = true;
                    queue.waiting = Stopwatch::start();
                    self.emptied.notify_all();
                    return true;
                }
                if queue.closed {
                    return false;
                }
                (count > 0).then(|| self.deadline.saturating_sub(waited))
            };
            match wait {
                Some(wait) => {
                    let _ = tokio::time::timeout(wait, self.filled.notified()).await;
                }
                None => self.filled.notified().await,
            }
        }
    }

    /// True if nothing waits and nothing is being sent.
    pub(super) fn is_idle(&self) -> bool {
        let queue = self.queue.lock();
        queue.items.is_empty() && !queue.sending
    }

    fn close(&self) {
        self.queue.lock().closed = true;
        self.filled.notify_one();
    }
}

/// All shards. Those behind the active ones are left over from a time with more of them.
#[derive(Debug)]
pub(super) struct Shards {
    options: QueueOptions,
    all: Mutex<Vec<Arc<Shard>>>,
    senders: Mutex<Vec<AbortHandle>>,
    active: AtomicUsize,
    /// How many there should be.
    pub(super) wanted: AtomicUsize,
    stop: AtomicBool,
}

impl Shards {
    pub(super) fn new(options: &QueueOptions) -> Self {
        let all = (0..options.min_shards).map(|_| Arc::new(Shard::new(options))).collect();
        Self {
            options: options.clone(),
            all: Mutex::new(all),
            senders: Mutex::new(Vec::new()),
            active: AtomicUsize::new(options.min_shards),
            wanted: AtomicUsize::new(options.min_shards),
            stop: AtomicBool::new(false),
        }
    }

    pub(super) fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// The shards that take samples now.
    pub(super) fn in_use(&self) -> Vec<Arc<Shard>> {
        self.all.lock().iter().take(self.active()).cloned().collect()
    }

    /// Sets how many are active. All must be idle, so that samples of a series stay in order.
    pub(super) fn resize(&self, count: usize) {
        let mut all = self.all.lock();
        while all.len() < count {
            all.push(Arc::new(Shard::new(&self.options)));
        }
        self.active.store(count, Ordering::Relaxed);
    }

    pub(super) fn are_idle(&self) -> bool {
        self.all.lock().iter().all(|shard| shard.is_idle())
    }

    /// Gives each shard that has no sender yet to `spawn`.
    pub(super) fn add_senders(&self, mut spawn: impl FnMut(Arc<Shard>) -> AbortHandle) {
        let mut senders = self.senders.lock();
        for shard in self.all.lock().iter().skip(senders.len()) {
            senders.push(spawn(Arc::clone(shard)));
        }
    }

    /// Tells the reader to end.
    pub(super) fn stop_reading(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) const fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// Tells the senders to end when they have sent what is queued.
    pub(super) fn close(&self) {
        for shard in self.all.lock().iter() {
            shard.close();
        }
    }

    /// Ends the senders in the middle of what they do.
    pub(super) fn abort(&self) {
        for sender in self.senders.lock().iter() {
            sender.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::item::Payload;
    use super::*;
    use crate::model::Sample;
    use crate::series::SeriesRef;

    fn items(count: usize) -> Vec<Item> {
        let item = |index| Item {
            series: SeriesRef(1),
            labels: Arc::from(&b""[..]),
            payload: Payload::Sample(Sample { timestamp_ms: index as i64, value: 0.0 }),
            record: 0,
            is_old: false,
        };
        (0..count).map(item).collect()
    }

    fn shard(deadline_ms: i64) -> Shard {
        Shard::new(&QueueOptions {
            capacity: 10,
            max_samples_per_send: 4,
            batch_send_deadline_ms: deadline_ms,
            ..QueueOptions::default()
        })
    }

    #[tokio::test]
    async fn a_full_batch_goes_at_once_and_a_part_after_the_deadline() {
        let stop = AtomicBool::new(false);
        let mut batch = Vec::new();
        let patient = shard(600_000);
        assert!(patient.push(&mut items(6), &stop, || {}));
        assert!(patient.take(&mut batch).await);
        assert_eq!(batch.len(), 4);
        assert!(!patient.is_idle());
        let hasty = shard(50);
        let watch = Stopwatch::start();
        assert!(hasty.push(&mut items(2), &stop, || {}));
        assert!(hasty.take(&mut batch).await);
        assert_eq!(batch.len(), 6);
        assert!(watch.elapsed() >= Duration::from_millis(50));
    }

    #[tokio::test]
    async fn a_closed_shard_gives_the_rest_and_ends() {
        let (shard, stop) = (shard(60_000), AtomicBool::new(false));
        assert!(shard.push(&mut items(5), &stop, || {}));
        shard.close();
        let mut batch = Vec::new();
        assert!(shard.take(&mut batch).await && shard.take(&mut batch).await);
        assert_eq!(batch.len(), 5);
        assert!(!shard.take(&mut batch).await);
        assert!(shard.is_idle());
    }

    #[test]
    fn a_full_shard_holds_the_reader_back_until_it_is_stopped() {
        let (shard, stop) = (shard(60_000), AtomicBool::new(false));
        let mut more = items(25);
        let full = || stop.store(true, Ordering::Relaxed);
        assert!(!shard.push(&mut more, &stop, full));
        assert_eq!((shard.queue.lock().items.len(), more.len()), (10, 15));
        assert_eq!(more[0].payload.timestamp_ms(), 10);
    }
}
