//! Telling the log again after a start.
//!
//! One thread reads the log and sorts the samples by series into as many heaps as there are
//! cores; another hands full sets of heaps to all cores, which put them into the chunks. At most
//! [`SETS_MAX`] sets exist at a time, so memory does not grow with the log. A log that fits into
//! one set is not worth the threads.

use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rayon::prelude::*;

use crate::base::clock::Stopwatch;
use crate::base::metrics::Registry;
use crate::model::{LabelsBuf, Sample};
use crate::series::{SeriesRef, TimeRange};
use crate::storage::wal::{self, Position, RecordError, RecordKind, Wal, WalError};

use super::append::Tally;
use super::state::{Head, HeadOptions, LogPlace};

/// Samples in a full set of heaps: 3 MiB.
const SET_SAMPLES: usize = 1 << 17;
/// One set is filled, one waits, one is put into the chunks.
const SETS_MAX: usize = 3;
/// More cores than this hardly shorten a replay, since one of them reads.
const HEAPS_MAX: usize = 8;

type Row = (SeriesRef, Sample);
type Set = Vec<Vec<Row>>;

/// What a replay found.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ReplayStats {
    /// Series that the log names.
    pub series: u64,
    /// Samples that are in memory now.
    pub samples: u64,
    /// Samples that are older than the end of the newest block, and therefore in one.
    pub samples_in_blocks: u64,
    /// Samples that are no newer than the one before them in their series.
    pub samples_out_of_order: u64,
    /// Samples whose series the log does not name.
    pub samples_unknown: u64,
    /// Records of kinds that are not kept yet, by the name of the kind.
    pub skipped_records: BTreeMap<String, u64>,
    /// What was found damaged and set aside.
    pub corruptions: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

impl Head {
    /// Reads a log into a new head and begins a new segment of it. Samples before
    /// `min_valid_ms` are in blocks and left out.
    pub(in crate::storage) fn open(
        log: LogPlace,
        options: HeadOptions,
        min_valid_ms: i64,
        metrics: &Registry,
    ) -> Result<(Self, ReplayStats), WalError> {
        let stopwatch = Stopwatch::start();
        let head = Self::empty(options, Some(log.clone()), min_valid_ms, metrics);
        let mut stats = head.replay(&log)?;
        // Series whose samples are all in blocks need no memory.
        head.truncate_memory(min_valid_ms);
        let wal = Wal::open(log.disk, &log.dir, log.options, &log.metrics)?;
        *head.log.lock() = Some(wal);
        stats.seconds = stopwatch.seconds();
        head.metrics.replay_seconds.set(stats.seconds);
        stats.tell();
        Ok((head, stats))
    }

    fn replay(&self, log: &LogPlace) -> Result<ReplayStats, WalError> {
        thread::scope(|scope| {
            let mut loader = Loader::new(self, scope);
            let each = &mut |at: Position, record: &[u8]| loader.load(at, record);
            let recovery = wal::recover(&log.disk, &log.dir, None, each);
            let mut stats = loader.finish();
            let recovery = recovery?;
            log.metrics.count_corruptions(recovery.quarantined.len());
            for (corruption, kept) in &recovery.quarantined {
                stats.corruptions.push(format!("{corruption}; kept as {}", kept.display()));
            }
            if recovery.missing_segments > 0 {
                stats.corruptions.push(format!("{} missing segments", recovery.missing_segments));
            }
            Ok(stats)
        })
    }

    /// Puts a set of heaps into the chunks, each heap on a core of its own.
    fn apply(&self, set: &mut Set) -> Applied {
        let apply = |heap: &mut Vec<Row>| self.apply_heap(heap);
        if set.iter().map(Vec::len).sum::<usize>() < SET_SAMPLES {
            return set.iter_mut().map(apply).fold(Applied::default(), Applied::add);
        }
        set.par_iter_mut().map(apply).reduce(Applied::default, Applied::add)
    }

    fn apply_heap(&self, heap: &mut Vec<Row>) -> Applied {
        let mut applied = Applied::default();
        let options = &self.options.chunks();
        let mut tally = Tally::default();
        self.series.for_rows(
            heap,
            |row| row.0,
            |series, (_, sample)| {
                let Some(series) = series else {
                    applied.unknown += 1;
                    return;
                };
                let stored = series.store_float(sample.timestamp_ms, 0, sample.value, options);
                match tally.count(sample.timestamp_ms, stored) {
                    0 => applied.out_of_order += 1,
                    _ => applied.stored += 1,
                }
            },
        );
        heap.clear();
        applied.chunks = tally.begun;
        applied.span = tally.span;
        applied
    }
}

/// What became of some samples.
#[derive(Debug, Clone, Copy)]
struct Applied {
    stored: u64,
    out_of_order: u64,
    unknown: u64,
    chunks: u64,
    span: TimeRange,
}

impl Default for Applied {
    fn default() -> Self {
        let span = TimeRange::new(i64::MAX, i64::MIN);
        Self { stored: 0, out_of_order: 0, unknown: 0, chunks: 0, span }
    }
}

impl Applied {
    fn add(self, other: Self) -> Self {
        let start_ms = self.span.start_ms.min(other.span.start_ms);
        let end_ms = self.span.end_ms.max(other.span.end_ms);
        Self {
            stored: self.stored + other.stored,
            out_of_order: self.out_of_order + other.out_of_order,
            unknown: self.unknown + other.unknown,
            chunks: self.chunks + other.chunks,
            span: TimeRange::new(start_ms, end_ms),
        }
    }
}

/// The thread that empties full sets; begun when the first one is full.
struct Applier<'scope> {
    full: SyncSender<Set>,
    empty: Receiver<Set>,
    thread: thread::ScopedJoinHandle<'scope, Applied>,
}

/// Takes records and hands their samples on.
struct Loader<'scope, 'env> {
    head: &'env Head,
    scope: &'scope thread::Scope<'scope, 'env>,
    applier: Option<Applier<'scope>>,
    set: Set,
    set_samples: usize,
    sets: usize,
    labels: LabelsBuf,
    /// References of series that the log named anew, and the first reference of each.
    aliases: HashMap<SeriesRef, SeriesRef>,
    /// The newest sample under each of those references.
    alias_times: HashMap<SeriesRef, i64>,
    newest_ref: SeriesRef,
    segment: Option<u32>,
    applied: Applied,
    stats: ReplayStats,
}

impl<'scope, 'env> Loader<'scope, 'env> {
    fn new(head: &'env Head, scope: &'scope thread::Scope<'scope, 'env>) -> Self {
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            head,
            scope,
            applier: None,
            set: vec![Vec::new(); cores.min(HEAPS_MAX)],
            set_samples: 0,
            sets: 1,
            labels: LabelsBuf::new(),
            aliases: HashMap::new(),
            alias_times: HashMap::new(),
            newest_ref: SeriesRef::UNKNOWN,
            segment: None,
            applied: Applied::default(),
            stats: ReplayStats::default(),
        }
    }

    fn load(&mut self, at: Position, record: &[u8]) -> Result<(), RecordError> {
        if self.segment != Some(at.segment) {
            self.segment = Some(at.segment);
            tracing::info!(segment = at.segment, samples = self.stats.samples, "replaying log");
        }
        match wal::kind(record) {
            RecordKind::Series => self.load_series(record),
            RecordKind::Samples | RecordKind::SamplesV2 => self.load_samples(record),
            // They help a reader of head chunks and say nothing about samples.
            RecordKind::MmapMarkers => Ok(()),
            other => {
                *self.stats.skipped_records.entry(format!("{other:?}")).or_default() += 1;
                Ok(())
            }
        }
    }

    fn load_series(&mut self, record: &[u8]) -> Result<(), RecordError> {
        let Self { head, labels, aliases, newest_ref, stats, .. } = self;
        let mut named_before = None;
        wal::decode_series(record, labels, |series, labels| {
            *newest_ref = (*newest_ref).max(series);
            let known = head.series.with(series, |known| known.hash);
            if known.is_some_and(|hash| hash != labels.hash()) {
                // Samples that follow could belong to either: they go to neither.
                aliases.insert(series, SeriesRef::UNKNOWN);
                named_before = Some(series);
                return;
            }
            let (known, is_new) = head.find_or_restore(series, labels);
            stats.series += u64::from(is_new);
            if known == series {
                aliases.remove(&series);
            } else {
                aliases.insert(series, known);
            }
        })?;
        let clash = |series: SeriesRef| format!("reference {} names two series", series.0);
        named_before.map_or(Ok(()), |series| Err(RecordError::Refused(clash(series))))
    }

    fn load_samples(&mut self, record: &[u8]) -> Result<(), RecordError> {
        let Self { head, aliases, alias_times, newest_ref, set, set_samples, stats, .. } = self;
        let min_valid_ms = head.bounds.min_valid_ms();
        let heaps = set.len().max(1) as u64;
        wal::decode_samples(record, |mut series, sample| {
            *newest_ref = (*newest_ref).max(series);
            if sample.timestamp_ms < min_valid_ms {
                stats.samples_in_blocks += 1;
                return;
            }
            if let Some(first) = aliases.get(&series) {
                let newest_ms = alias_times.entry(series).or_insert(sample.timestamp_ms);
                *newest_ms = sample.timestamp_ms.max(*newest_ms);
                series = *first;
            }
            if let Some(heap) = set.get_mut((series.0 % heaps) as usize) {
                heap.push((series, sample));
                *set_samples += 1;
            }
        })?;
        if self.set_samples >= SET_SAMPLES {
            self.hand_on();
        }
        Ok(())
    }

    /// Hands the set to the other thread and goes on with an empty one.
    fn hand_on(&mut self) {
        let (head, scope) = (self.head, self.scope);
        let applier = self.applier.get_or_insert_with(|| Applier::begin(head, scope));
        let empty = if self.sets < SETS_MAX {
            self.sets += 1;
            Some(vec![Vec::new(); self.set.len()])
        } else {
            applier.empty.recv().ok()
        };
        let Some(empty) = empty else { return };
        let full = std::mem::replace(&mut self.set, empty);
        self.set_samples = 0;
        // It fails only if the thread has died, which the end of the scope tells.
        let _ = applier.full.send(full);
    }

    fn finish(mut self) -> ReplayStats {
        if let Some(Applier { full, thread, .. }) = self.applier.take() {
            drop(full);
            // A thread that died has said so itself; the scope passes it on.
            self.applied = thread.join().unwrap_or_default();
        }
        let applied = self.applied.add(self.head.apply(&mut self.set));
        let head = self.head;
        if applied.stored > 0 {
            head.bounds.widen(applied.span);
        }
        head.metrics.chunks_created.add(applied.chunks);
        head.metrics.chunks.add(applied.chunks as f64);
        head.metrics.unknown_refs.add(applied.unknown);
        head.skip_refs(self.newest_ref);
        head.expiries.lock().extend(self.alias_times);
        self.stats.samples = applied.stored;
        self.stats.samples_out_of_order = applied.out_of_order;
        self.stats.samples_unknown = applied.unknown;
        self.stats
    }
}

impl<'scope> Applier<'scope> {
    fn begin<'env>(head: &'env Head, scope: &'scope thread::Scope<'scope, 'env>) -> Self {
        let (full, full_sets) = sync_channel::<Set>(1);
        let (empty_sets, empty) = sync_channel::<Set>(SETS_MAX);
        let thread = scope.spawn(move || {
            let mut applied = Applied::default();
            for mut set in full_sets {
                applied = applied.add(head.apply(&mut set));
                // Nobody waits for it any more at the end of the log.
                let _ = empty_sets.send(set);
            }
            applied
        });
        Self { full, empty, thread }
    }
}

impl ReplayStats {
    /// Kinds of skipped records that hold samples or take some away: a block that is cut without
    /// them would hide or revive those for every reader.
    pub(in crate::storage) fn unread_samples(&self) -> Vec<&str> {
        let kinds = self.skipped_records.keys().map(String::as_str);
        kinds.filter(|kind| !matches!(*kind, "Exemplars" | "Metadata")).collect()
    }

    fn tell(&self) {
        let Self { series, samples, seconds, .. } = self;
        tracing::info!(series, samples, seconds, "log replayed");
        for (kind, count) in &self.skipped_records {
            tracing::warn!(kind, count, "records of a kind that is not supported were skipped");
        }
        for corruption in &self.corruptions {
            tracing::warn!(corruption, "damage in the log was set aside");
        }
        if self.samples_unknown > 0 {
            tracing::warn!(samples = self.samples_unknown, "samples of series without a name");
        }
    }
}
