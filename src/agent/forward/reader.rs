//! Reading: one thread that follows the log and deals samples out to the shards.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::base::clock::Stopwatch;
use crate::model::{LabelsBuf, LabelsRef, Sample, Value};
use crate::series::SeriesRef;
use crate::storage::wal::{
    Position, Progress, RecordError, RecordKind, RowDecoder, Tail, WalError, decode_exemplars,
    decode_samples, decode_series, decode_times, kind, last_checkpoint,
};

use super::item::{ByKind, Item, Payload};
use super::series::{Fate, SeriesCache};
use super::shard::Shard;
use super::{Shared, sender};

/// How often the log is looked at when there was nothing new.
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// How long to wait after the disk refused.
const ERROR_WAIT: Duration = Duration::from_secs(1);
/// How often it is looked for a new checkpoint, to forget series.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(60);
/// How long a change of the number of shards may hold reading up.
const RESIZE_WAIT: Duration = Duration::from_secs(10);

pub(super) struct Reader {
    shared: Arc<Shared>,
    runtime: Handle,
    cache: SeriesCache,
    /// Samples up to here are sent; only series are read.
    sent_through: Option<Position>,
    /// The end of the log when reading began, where that is known.
    log_end: Option<Position>,
    at: Position,
    labels: LabelsBuf,
    /// What the record at hand holds.
    found: Vec<(SeriesRef, Payload)>,
    decoder: RowDecoder,
    shards: Vec<Arc<Shard>>,
    /// For each shard what the record at hand has for it.
    dealt: Vec<Vec<Item>>,
    /// The checkpoint whose series are known.
    checkpoint: Option<u32>,
    since_look: Stopwatch,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, start: Option<Position>, runtime: Handle) -> Self {
        let rules = shared.options.write_relabel.clone();
        let mut reader = Self {
            cache: SeriesCache::new(shared.source.external_labels.clone(), rules),
            runtime,
            sent_through: start,
            log_end: shared.source.progress.as_ref().map(Progress::get),
            at: Position::start_of(0),
            labels: LabelsBuf::new(),
            found: Vec::new(),
            decoder: RowDecoder::new(),
            shards: Vec::new(),
            dealt: Vec::new(),
            checkpoint: None,
            since_look: Stopwatch::start(),
            shared,
        };
        reader.use_shards();
        reader
    }

    fn use_shards(&mut self) {
        self.shards = self.shared.shards.in_use();
        self.dealt.resize_with(self.shards.len(), Vec::new);
        self.shared.metrics.shards.set(self.shards.len() as f64);
    }

    fn is_stopped(&self) -> bool {
        self.shared.shards.stop().load(Ordering::Relaxed)
    }

    /// Reads until it is told to stop. Reading begins at the log's beginning in any case, as the
    /// names of series stand there.
    pub(super) fn run(mut self) {
        let Some(mut tail) = self.open() else { return };
        let mut record = Vec::new();
        while !self.is_stopped() {
            self.resize();
            match tail.next(&mut record) {
                Ok(Some(end)) => {
                    self.shared.caught_up.store(false, Ordering::Relaxed);
                    self.record(end, &record);
                }
                Ok(None) => {
                    self.shared.caught_up.store(true, Ordering::Relaxed);
                    self.forget_series();
                    std::thread::sleep(IDLE_WAIT);
                }
                // The next call goes on behind the damage.
                Err(error @ WalError::Corrupt(_)) => self.warn(&error),
                Err(error) => {
                    self.warn(&error);
                    std::thread::sleep(ERROR_WAIT);
                }
            }
        }
    }

    fn warn(&self, error: &dyn std::fmt::Display) {
        let name = &self.shared.options.name;
        tracing::warn!(name, %error, "the log could not be read");
    }

    fn open(&self) -> Option<Tail> {
        let source = &self.shared.source;
        loop {
            match Tail::open(source.disk.clone(), &source.wal_dir, None) {
                Ok(tail) => {
                    return Some(match &source.progress {
                        Some(progress) => tail.behind(progress.clone()),
                        None => tail,
                    });
                }
                Err(error) => self.warn(&error),
            }
            if self.is_stopped() {
                return None;
            }
            std::thread::sleep(ERROR_WAIT);
        }
    }

    fn record(&mut self, end: Position, record: &[u8]) {
        self.at = end;
        if end.is_in_checkpoint() {
            self.checkpoint = Some(end.segment);
        }
        self.found.clear();
        if let Err(error) = self.decode(end, record) {
            self.warn(&error);
        }
        if self.sent_through.is_none_or(|through| end > through) {
            self.deal(end);
        }
    }

    /// Takes series into the cache and all else that is sent into `self.found`.
    fn decode(&mut self, end: Position, record: &[u8]) -> Result<(), RecordError> {
        let is_new = self.sent_through.is_none_or(|through| end > through);
        match kind(record) {
            RecordKind::Series => {
                // A checkpoint outlives the segments that it replaces.
                let segment = end.segment.saturating_add(end.is_in_checkpoint().into());
                let cache = &mut self.cache;
                decode_series(record, &mut self.labels, |series, labels| {
                    cache.store(series, labels, segment);
                })
            }
            RecordKind::Samples | RecordKind::SamplesV2 if is_new => {
                let found = &mut self.found;
                decode_samples(record, |series, sample| {
                    found.push((series, Payload::Sample(sample)));
                })
            }
            other if other.is_samples() && is_new => self.decode_histograms(record),
            RecordKind::Exemplars if is_new && self.shared.options.send_exemplars => {
                let found = &mut self.found;
                decode_exemplars(record, &mut self.labels, |row| {
                    found.push((row.series, Payload::exemplar(&row)));
                })
            }
            _ => Ok(()),
        }
    }

    fn decode_histograms(&mut self, record: &[u8]) -> Result<(), RecordError> {
        let metrics = &self.shared.metrics;
        if !self.shared.options.send_native_histograms {
            return decode_times(record, |_, _| metrics.not_enabled.inc());
        }
        let found = &mut self.found;
        let left_out = self.decoder.decode(record, |row| match row.value {
            Value::Float(value) => {
                let sample = Sample { timestamp_ms: row.timestamp_ms, value };
                found.push((row.series, Payload::Sample(sample)));
            }
            Value::Histogram(histogram) if histogram.layout.is_custom() => {
                metrics.custom_bounds.inc();
            }
            Value::Histogram(histogram) => {
                found.push((row.series, Payload::histogram(row.timestamp_ms, histogram)));
            }
        })?;
        metrics.unknown_schema.add(left_out);
        Ok(())
    }

    /// Deals the samples of a record out to the shards, waiting for those that are full.
    fn deal(&mut self, end: Position) {
        let metrics = &self.shared.metrics;
        let limit_ms = self.shared.options.queue.sample_age_limit_ms;
        let oldest_ms = match limit_ms {
            1.. => self.shared.source.clock.now_ms().saturating_sub(limit_ms),
            _ => i64::MIN,
        };
        metrics.read.add(self.found.len() as u64);
        let is_old = self.log_end.is_some_and(|log_end| end <= log_end);
        let mut queued = ByKind::<usize>::default();
        let mut newest_ms = metrics.highest_ms.get();
        let shards = self.shards.len().max(1) as u64;
        for (series, payload) in self.found.drain(..) {
            let of_kind = metrics.of(payload.kind());
            if payload.timestamp_ms() < oldest_ms {
                of_kind.dropped_old.inc();
                continue;
            }
            let labels = match self.cache.fate(series) {
                Fate::Send(labels) => Arc::clone(labels),
                Fate::Drop => {
                    of_kind.dropped_series.inc();
                    continue;
                }
                Fate::Unknown => {
                    of_kind.dropped_unknown.inc();
                    continue;
                }
            };
            if let Some(dealt) = self.dealt.get_mut((series.0 % shards) as usize) {
                newest_ms = newest_ms.max(payload.timestamp_ms() as f64);
                *queued.of_mut(payload.kind()) += 1;
                dealt.push(Item { series, labels, payload, record: 0, is_old });
            }
        }
        metrics.highest_ms.set(newest_ms);
        for (kind, count) in queued.all() {
            metrics.of(kind).pending.add(*count as f64);
        }
        let count = queued.samples + queued.histograms + queued.exemplars;
        let end = (!end.is_in_checkpoint()).then_some(end);
        let number = self.shared.tracker.open(end, count);
        for (shard, items) in self.shards.iter().zip(&mut self.dealt) {
            items.iter_mut().for_each(|item| item.record = number);
            let full = || metrics.enqueue_retries.inc();
            if !shard.push(items, self.shared.shards.stop(), full) {
                return;
            }
        }
    }

    /// Changes the number of shards, if that is wanted and all that is queued gets sent soon.
    fn resize(&mut self) {
        let shards = &self.shared.shards;
        let wanted = shards.wanted.load(Ordering::Relaxed);
        if wanted == self.shards.len() {
            return;
        }
        let watch = Stopwatch::start();
        while !shards.are_idle() {
            if self.is_stopped() || watch.elapsed() > RESIZE_WAIT {
                shards.wanted.store(self.shards.len(), Ordering::Relaxed);
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let name = &self.shared.options.name;
        tracing::info!(name, from = self.shards.len(), to = wanted, "number of shards changes");
        shards.resize(wanted);
        sender::spawn_missing(&self.shared, &self.runtime);
        self.use_shards();
    }

    /// Forgets series that a new checkpoint left out, as the log's owner has.
    fn forget_series(&mut self) {
        if self.since_look.elapsed() < CHECKPOINT_INTERVAL {
            return;
        }
        self.since_look = Stopwatch::start();
        if let Err(error) = self.try_forget_series() {
            self.warn(&error);
        }
    }

    pub(super) fn try_forget_series(&mut self) -> Result<(), WalError> {
        let source = &self.shared.source;
        let newest = last_checkpoint(&*source.disk, &source.wal_dir)?;
        let Some(mut index) = newest.filter(|index| Some(*index) > self.checkpoint) else {
            return Ok(());
        };
        let mut tail = Tail::open(source.disk.clone(), &source.wal_dir, None)?;
        let mut record = Vec::new();
        while let Some(end) = tail.next(&mut record)?.filter(|end| end.is_in_checkpoint()) {
            // A still newer one may have taken the place of the one that was found.
            index = end.segment;
            if kind(&record) == RecordKind::Series {
                let cache = &mut self.cache;
                let touch = |series, _: LabelsRef<'_>| cache.touch(series, index.saturating_add(1));
                if let Err(error) = decode_series(&record, &mut self.labels, touch) {
                    self.warn(&error);
                    return Ok(());
                }
            }
        }
        // Whoever is behind the checkpoint still needs what it left out.
        if self.at.segment > index {
            let before = self.cache.len();
            self.cache.forget_before(index.saturating_add(1));
            self.checkpoint = Some(index);
            let (name, left) = (&self.shared.options.name, self.cache.len());
            tracing::debug!(name, before, left, "series were forgotten");
        }
        Ok(())
    }
}

#[cfg(test)]
impl Reader {
    /// Reads what the log holds now.
    pub(super) fn read_all(&mut self) {
        let mut tail = self.open().unwrap();
        let mut record = Vec::new();
        while let Some(end) = tail.next(&mut record).unwrap() {
            self.record(end, &record);
        }
    }

    pub(super) fn series_count(&self) -> usize {
        self.cache.len()
    }
}
