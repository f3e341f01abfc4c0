//! Sending: one task a shard, one request at a time, again and again until it is settled.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;

use crate::base::clock::Stopwatch;
use crate::base::metrics::Counter;
use crate::wire::remote_write::{snappy, v1};

use super::Shared;
use super::client::Answer;
use super::item::{ByKind, Item, Kind, count};
use super::metrics::KindMetrics;
use super::position::Share;
use super::shard::Shard;

/// Starts a task for each shard that has none.
pub(super) fn spawn_missing(shared: &Arc<Shared>, runtime: &Handle) {
    shared.shards.add_senders(|shard| {
        let sender = Sender {
            shared: Arc::clone(shared),
            request: v1::Request::new(),
            fields: Vec::new(),
            encoder: snap::raw::Encoder::new(),
            shares: Vec::new(),
        };
        runtime.spawn(sender.run(shard)).abort_handle()
    });
}

/// Waits until all shards have sent what they hold.
pub(super) async fn drained(shared: &Shared) {
    while !shared.shards.are_idle() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How a request ended.
enum Settled {
    /// Taken; how many of each kind the receiver stored, if it said so.
    Taken(ByKind<Option<u64>>),
    /// Refused for good, and why.
    Refused(String),
    /// Nothing was left to send.
    Empty,
}

/// True if the receiver refused the batch because of samples that it may have from an earlier run.
fn may_be_stored(batch: &[Item], why: &str) -> bool {
    let conflicts = ["out of order sample", "duplicate sample for timestamp"];
    batch.iter().any(|item| item.is_old) && conflicts.iter().any(|text| why.contains(text))
}

/// Puts the newer half on the stack and the older one on top of it.
fn halve(mut part: Vec<Item>, parts: &mut Vec<Vec<Item>>) {
    part.sort_by_key(|item| item.payload.timestamp_ms());
    let newer = part.split_off(part.len() / 2);
    parts.extend([newer, part]);
}

struct Sender {
    shared: Arc<Shared>,
    request: v1::Request,
    /// What a request says of one series, but for its labels.
    fields: Vec<u8>,
    encoder: snap::raw::Encoder,
    shares: Vec<Share>,
}

impl Sender {
    async fn run(mut self, shard: Arc<Shard>) {
        let mut batch = Vec::new();
        while shard.take(&mut batch).await {
            self.send(&mut batch).await;
            batch.clear();
        }
    }

    /// Sends a batch until the destination has taken or refused it.
    async fn send(&mut self, batch: &mut Vec<Item>) {
        self.remember_shares(batch);
        let taken = count(batch);
        match self.settle(batch).await {
            Settled::Empty => {}
            Settled::Taken(written) => self.taken(batch, written),
            Settled::Refused(why) if may_be_stored(batch, &why) => self.send_apart(batch).await,
            Settled::Refused(why) => self.refused(batch, &why),
        }
        self.shared.tracker.acknowledge(&self.shares);
        for (kind, taken) in taken.all() {
            self.shared.metrics.of(kind).pending.add(-(*taken as f64));
        }
    }

    /// Sends a batch in parts, since the receiver has some of its samples already: what was sent
    /// shortly before the last end is sent again, and one sample that comes too late makes the
    /// receiver refuse the whole request. Older parts go first, so that none makes another late.
    async fn send_apart(&mut self, batch: &mut Vec<Item>) {
        let mut parts = Vec::new();
        halve(std::mem::take(batch), &mut parts);
        while let Some(mut part) = parts.pop() {
            match self.settle(&mut part).await {
                Settled::Empty => {}
                Settled::Taken(written) => self.taken(&part, written),
                Settled::Refused(why) if !may_be_stored(&part, &why) => {
                    self.refused(&part, &why);
                }
                Settled::Refused(_) if part.len() > 1 => halve(part, &mut parts),
                Settled::Refused(_) => {
                    let counts = count(&part);
                    self.add(&counts, |metrics| &metrics.dropped_stored);
                }
            }
        }
    }

    /// Sends one request again and again until there is an answer that counts.
    async fn settle(&mut self, batch: &mut Vec<Item>) -> Settled {
        // Samples of a series stay in their order.
        batch.sort_by_key(|item| item.series);
        let queue = &self.shared.options.queue;
        let mut backoff_ms = queue.min_backoff_ms.unsigned_abs();
        let longest_ms = queue.max_backoff_ms.unsigned_abs();
        let mut body = None;
        for attempt in 0.. {
            if self.drop_old(batch) || body.is_none() {
                body = Some(self.pack(batch));
            }
            let Some(body) = body.clone().filter(|_| !batch.is_empty()) else { break };
            let (why, after) = match self.post(body, attempt).await {
                Answer::Taken(written) => return Settled::Taken(written),
                Answer::Refused(why) => return Settled::Refused(why),
                Answer::Again(why, after) => (why, after),
            };
            let pause = after.unwrap_or(Duration::from_millis(backoff_ms));
            self.again(batch, attempt, &why, pause);
            tokio::time::sleep(pause).await;
            let doubled = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).saturating_mul(2);
            backoff_ms = doubled.min(longest_ms);
        }
        Settled::Empty
    }

    /// Notes how many samples of which record the batch holds.
    fn remember_shares(&mut self, batch: &[Item]) {
        self.shares.clear();
        for item in batch {
            match self.shares.last_mut().filter(|share| share.record == item.record) {
                Some(share) => share.count += 1,
                None => self.shares.push(Share { record: item.record, count: 1 }),
            }
        }
    }

    /// Drops samples above the age limit; true if there were any.
    fn drop_old(&self, batch: &mut Vec<Item>) -> bool {
        let limit_ms = self.shared.options.queue.sample_age_limit_ms;
        if limit_ms <= 0 {
            return false;
        }
        let before = batch.len();
        let oldest_ms = self.shared.source.clock.now_ms().saturating_sub(limit_ms);
        batch.retain(|item| {
            let is_young = item.payload.timestamp_ms() >= oldest_ms;
            if !is_young {
                self.shared.metrics.of(item.payload.kind()).dropped_old.inc();
            }
            is_young
        });
        batch.len() < before
    }

    /// The request's body, packed: what there is of one series together. A series that turns from
    /// floats to histograms or back begins anew, since receivers take the floats of a series first.
    fn pack(&mut self, batch: &[Item]) -> Bytes {
        self.request.clear();
        let is_together = |a: &Item, b: &Item| {
            let (before, kind) = (a.payload.kind(), b.payload.kind());
            a.series == b.series && (before == kind || kind == Kind::Exemplar)
        };
        for series in batch.chunk_by(is_together) {
            self.fields.clear();
            series.iter().for_each(|item| item.payload.put(&mut self.fields));
            if let Some(item) = series.first() {
                self.request.push_fields(&item.labels, &self.fields, series.len());
            }
        }
        let mut packed = Vec::new();
        if let Err(error) = snappy::encode(&mut self.encoder, self.request.message(), &mut packed) {
            // Only a message of more than 4 GiB is refused, and the receiver refuses an empty one.
            tracing::error!(%error, "request could not be packed");
        }
        Bytes::from(packed)
    }

    async fn post(&self, body: Bytes, attempt: u32) -> Answer {
        let metrics = &self.shared.metrics;
        let bytes = body.len() as u64;
        let watch = Stopwatch::start();
        let answer = self.shared.client.post(body, attempt, &self.shared.source.clock).await;
        metrics.sent_seconds.observe(watch.seconds());
        metrics.sending_micros.add(watch.elapsed().as_micros() as u64);
        if matches!(answer, Answer::Taken(_)) {
            metrics.bytes.add(bytes);
        }
        answer
    }

    fn taken(&self, batch: &[Item], written: ByKind<Option<u64>>) {
        let metrics = &self.shared.metrics;
        for (kind, sent) in count(batch).all() {
            let stored = written.of(kind).unwrap_or(*sent).min(*sent);
            metrics.of(kind).sent.add(stored);
            metrics.of(kind).failed.add(sent - stored);
        }
        let newest_ms = batch.iter().map(|item| item.payload.timestamp_ms()).max();
        let newest_ms = newest_ms.unwrap_or_default() as f64;
        metrics.highest_sent_ms.set(metrics.highest_sent_ms.get().max(newest_ms));
    }

    fn refused(&self, batch: &[Item], why: &str) {
        self.add(&count(batch), |metrics| &metrics.failed);
        let (name, count) = (&self.shared.options.name, batch.len());
        tracing::error!(name, count, error = why, "samples were refused and are dropped");
    }

    fn again(&self, batch: &[Item], attempt: u32, why: &str, pause: Duration) {
        self.add(&count(batch), |metrics| &metrics.retried);
        // An outage may last for hours.
        if attempt == 0 || attempt.is_power_of_two() || attempt.is_multiple_of(256) {
            let (name, count) = (&self.shared.options.name, batch.len());
            tracing::warn!(name, count, attempt, error = why, ?pause, "sending is tried again");
        }
    }

    fn add(&self, counts: &ByKind<u64>, which: fn(&KindMetrics) -> &Counter) {
        for (kind, count) in counts.all() {
            which(self.shared.metrics.of(kind)).add(*count);
        }
    }
}
