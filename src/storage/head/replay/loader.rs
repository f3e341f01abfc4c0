//! Reading the log and handing on what it says.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use roaring::RoaringTreemap;

use crate::model::{Exemplar, LabelsBuf, Sample, Value};
use crate::series::{SeriesRef, TimeRange};
use crate::storage::wal::{self, Position, RecordError, RecordKind, RowDecoder};

use super::super::mapped::MappedChunk;
use super::super::page::page_of;
use super::super::rows::Row;
use super::super::series::Series;
use super::super::state::Head;
use super::heaps::{Applied, HeapSet};
use super::mapped::{MappedIndex, attach};
use super::stats::ReplayStats;

/// One set is filled, one waits, one is put into the chunks.
const SETS_MAX: usize = 3;

/// The thread that empties full sets; begun when the first one is full.
struct Applier<'scope> {
    full: SyncSender<HeapSet>,
    empty: Receiver<HeapSet>,
    thread: thread::ScopedJoinHandle<'scope, Applied>,
}

/// References of series that the log named anew.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    /// The first reference of each.
    first: HashMap<SeriesRef, SeriesRef>,
    /// The newest sample under each.
    newest_ms: HashMap<SeriesRef, i64>,
}

impl Aliases {
    /// The reference under which a series is in memory; notes that the log has something of
    /// `time_ms` under another.
    #[inline]
    fn resolve(&mut self, series: SeriesRef, time_ms: i64) -> SeriesRef {
        if self.first.is_empty() {
            return series;
        }
        let Some(first) = self.first.get(&series) else { return series };
        let newest_ms = self.newest_ms.entry(series).or_insert(time_ms);
        *newest_ms = time_ms.max(*newest_ms);
        *first
    }

    /// As above, without a note.
    pub(super) fn find(&self, series: SeriesRef) -> SeriesRef {
        self.first.get(&series).copied().unwrap_or(series)
    }
}

/// Takes records and hands their samples on.
pub(super) struct Loader<'scope, 'env> {
    head: &'env Head,
    scope: &'scope thread::Scope<'scope, 'env>,
    mapped: &'env mut MappedIndex,
    has_holes: bool,
    /// What stands before it was in a snapshot.
    after: Option<Position>,
    applier: Option<Applier<'scope>>,
    set: HeapSet,
    sets: usize,
    labels: LabelsBuf,
    rows: RowDecoder,
    aliases: Aliases,
    newest_ref: SeriesRef,
    segment: Option<u32>,
    applied: Applied,
    stats: ReplayStats,
}

impl<'scope, 'env> Loader<'scope, 'env> {
    pub(super) fn new(
        head: &'env Head,
        scope: &'scope thread::Scope<'scope, 'env>,
        mapped: &'env mut MappedIndex,
        after: Option<Position>,
    ) -> Self {
        Self {
            head,
            scope,
            has_holes: mapped.has_holes,
            newest_ref: mapped.newest_series(),
            mapped,
            after,
            applier: None,
            set: HeapSet::new(),
            sets: 1,
            labels: LabelsBuf::new(),
            rows: RowDecoder::new(),
            aliases: Aliases::default(),
            segment: None,
            applied: Applied::default(),
            stats: ReplayStats::default(),
        }
    }

    pub(super) fn load(&mut self, at: Position, record: &[u8]) -> Result<(), RecordError> {
        if self.segment != Some(at.segment) {
            self.segment = Some(at.segment);
            tracing::info!(segment = at.segment, "replaying log");
        }
        if self.after.is_some_and(|after| at <= after) {
            return Ok(());
        }
        match wal::kind(record) {
            RecordKind::Series => self.load_series(record),
            RecordKind::Samples => self.load_floats(record),
            RecordKind::Tombstones => self.load_tombstones(record),
            RecordKind::Exemplars => self.load_exemplars(record),
            RecordKind::Metadata => self.load_metadata(record),
            // They belong into the log of late samples and say nothing here.
            RecordKind::MmapMarkers => Ok(()),
            kind if kind.is_samples() => self.load_rows(record),
            other => {
                *self.stats.skipped_records.entry(format!("{other:?}")).or_default() += 1;
                Ok(())
            }
        }
    }

    fn load_series(&mut self, record: &[u8]) -> Result<(), RecordError> {
        let Self { head, labels, aliases, newest_ref, stats, mapped, set, .. } = self;
        let mut named_before = None;
        let mut named_again = Vec::new();
        wal::decode_series(record, labels, |series, labels| {
            *newest_ref = (*newest_ref).max(series);
            let known = head.series.with(series, |known| known.hash);
            if known.is_some_and(|hash| hash != labels.hash()) {
                // Samples that follow could belong to either: they go to neither.
                aliases.first.insert(series, SeriesRef::UNKNOWN);
                named_before = Some(series);
                return;
            }
            let (known, made) = head.find_or_restore(series, labels);
            let is_new = made.is_some();
            stats.series += u64::from(is_new);
            set.created.extend(made.map(|labels| (known, labels)));
            if known == series {
                aliases.first.remove(&series);
            } else {
                aliases.first.insert(series, known);
            }
            let chunks = mapped.of(series);
            if is_new && !chunks.is_empty() {
                head.attach(known, chunks);
            } else if !chunks.is_empty() {
                named_again.push((series, known));
            }
        })?;
        if !named_again.is_empty() {
            // What was read of it so far is older than these chunks.
            self.drain();
            for (series, known) in named_again {
                let chunks = self.mapped.of(series);
                self.head.attach(known, chunks);
            }
        }
        // Their labels are in no index before the set is applied.
        if self.set.created.len() >= CREATED_MAX {
            self.hand_on();
        }
        let clash = |series: SeriesRef| format!("reference {} names two series", series.0);
        named_before.map_or(Ok(()), |series| Err(RecordError::Refused(clash(series))))
    }

    fn load_floats(&mut self, record: &[u8]) -> Result<(), RecordError> {
        let Self { head, aliases, newest_ref, set, stats, .. } = self;
        let min_valid_ms = head.bounds.min_valid_ms();
        wal::decode_samples(record, |series, sample| {
            *newest_ref = (*newest_ref).max(series);
            if sample.timestamp_ms < min_valid_ms {
                stats.samples_in_blocks += 1;
                return;
            }
            let series = aliases.resolve(series, sample.timestamp_ms);
            set.push_float(Row { series, sample, start_ms: 0 });
        })?;
        self.hand_on_if_full();
        Ok(())
    }

    fn load_rows(&mut self, record: &[u8]) -> Result<(), RecordError> {
        let Self { head, aliases, newest_ref, set, stats, rows, .. } = self;
        let min_valid_ms = head.bounds.min_valid_ms();
        let left_out = rows.decode(record, |mut row| {
            *newest_ref = (*newest_ref).max(row.series);
            if row.timestamp_ms < min_valid_ms {
                stats.samples_in_blocks += 1;
                return;
            }
            row.series = aliases.resolve(row.series, row.timestamp_ms);
            row.start_ms = head.kept_start_ms(row.start_ms, &row.value);
            match row.value {
                Value::Float(value) => {
                    let sample = Sample { timestamp_ms: row.timestamp_ms, value };
                    set.push_float(Row { series: row.series, sample, start_ms: row.start_ms });
                }
                Value::Histogram(_) => set.push_histogram(&row),
            }
        })?;
        self.stats.samples_invalid += left_out;
        self.hand_on_if_full();
        Ok(())
    }

    fn load_tombstones(&mut self, record: &[u8]) -> Result<(), RecordError> {
        let Self { head, aliases, newest_ref, .. } = self;
        let min_valid_ms = head.bounds.min_valid_ms();
        let mut evicted = Vec::new();
        wal::decode_tombstones(record, |series, start_ms, end_ms| {
            *newest_ref = (*newest_ref).max(series);
            let span = TimeRange::new(start_ms, end_ms);
            if span == TimeRange::ALL {
                evicted.push(aliases.find(series));
            } else if end_ms >= min_valid_ms {
                let series = aliases.resolve(series, end_ms);
                if head.series.contains(series) {
                    head.tombstones.add(series, span);
                } else {
                    head.metrics.replay.unknown_tombstones.inc();
                }
            }
        })?;
        evicted.into_iter().for_each(|series| self.evict(series));
        Ok(())
    }

    /// Forgets a series whose samples went into a block before their time: all that the log said
    /// of it until here.
    fn evict(&mut self, series: SeriesRef) {
        let Some(labels) = self.head.series.with(series, |known| known.labels.clone()) else {
            return;
        };
        self.drain();
        let Some(page) = self.head.series.page(page_of(series)) else { return };
        let pages = [(page_of(series), page)];
        let gone = self.head.series.retain(&pages, |known| known.labels != labels);
        let numbers: RoaringTreemap = gone.iter().map(|gone| gone.series.0).collect();
        let labels: Vec<_> = gone.into_iter().map(|gone| gone.labels).collect();
        labels.iter().for_each(|labels| self.head.limits.leave(labels));
        self.head.metrics.series_removed.add(labels.len() as u64);
        self.head.metrics.series.add(-(labels.len() as f64));
        self.head.postings.remove(&numbers, &labels);
        self.head.tombstones.remove(series);
        self.head.metadata.remove(series);
    }

    fn load_exemplars(&mut self, record: &[u8]) -> Result<(), RecordError> {
        let Self { head, aliases, labels, .. } = self;
        if !head.exemplars.is_enabled() {
            return Ok(());
        }
        let min_valid_ms = head.bounds.min_valid_ms();
        wal::decode_exemplars(record, labels, |row| {
            if row.timestamp_ms < min_valid_ms {
                return;
            }
            let series = aliases.resolve(row.series, row.timestamp_ms);
            let labels = row.labels.to_labels();
            let exemplar = Exemplar { labels, value: row.value, timestamp_ms: row.timestamp_ms };
            match head.series.with(series, |series| series.labels.clone()) {
                Some(series) => {
                    head.exemplars.add(&series.to_labels(), &exemplar);
                }
                None => head.metrics.replay.unknown_exemplars.inc(),
            }
        })
    }

    fn load_metadata(&mut self, record: &[u8]) -> Result<(), RecordError> {
        let Self { head, aliases, .. } = self;
        wal::decode_metadata(record, |row| {
            let series = aliases.find(row.series);
            if head.series.contains(series) {
                head.metadata.set(series, &row.to_metadata());
            } else {
                head.metrics.replay.unknown_metadata.inc();
            }
        })
    }

    fn hand_on_if_full(&mut self) {
        if self.set.is_full() {
            self.hand_on();
        }
    }

    /// Hands the set to the other thread and goes on with an empty one.
    fn hand_on(&mut self) {
        let (head, scope, has_holes) = (self.head, self.scope, self.has_holes);
        let applier = self.applier.get_or_insert_with(|| Applier::begin(head, scope, has_holes));
        let empty = if self.sets < SETS_MAX {
            self.sets += 1;
            Some(HeapSet::new())
        } else {
            applier.empty.recv().ok()
        };
        let Some(empty) = empty else { return };
        let full = std::mem::replace(&mut self.set, empty);
        // It fails only if the thread has died, which the end of the scope tells.
        let _ = applier.full.send(full);
    }

    /// Waits until all that was read is in the chunks.
    fn drain(&mut self) {
        if let Some(applier) = &self.applier {
            // All sets but the one that is being filled are on their way.
            for _ in 1..self.sets {
                if applier.empty.recv().is_err() {
                    break;
                }
            }
            self.sets = 1;
        }
        let applied = self.head.apply(&mut self.set, self.has_holes);
        self.applied = self.applied.add(applied);
    }

    pub(super) fn finish(mut self) -> (ReplayStats, Aliases) {
        if let Some(Applier { full, thread, .. }) = self.applier.take() {
            drop(full);
            // A thread that died has said so itself; the scope passes it on.
            self.applied = self.applied.add(thread.join().unwrap_or_default());
        }
        let applied = self.applied.add(self.head.apply(&mut self.set, self.has_holes));
        let head = self.head;
        if applied.floats + applied.histograms > 0 {
            head.bounds.widen(applied.span);
        }
        if applied.late > 0 {
            head.bounds.widen_late(applied.late_span);
            head.close_all_late();
        }
        head.metrics.chunks_created.add(applied.chunks);
        head.metrics.chunks.add(applied.chunks as f64);
        head.metrics.replay.unknown_refs.add(applied.unknown);
        head.skip_refs(self.newest_ref);
        head.expiries.lock().extend(self.aliases.newest_ms.iter().map(|(k, v)| (*k, *v)));
        self.stats.samples = applied.floats + applied.histograms + applied.late;
        self.stats.samples_out_of_order = applied.out_of_order;
        self.stats.samples_unknown = applied.unknown;
        (self.stats, self.aliases)
    }
}

/// So many series wait for the label index at most.
const CREATED_MAX: usize = 1 << 14;

impl<'scope> Applier<'scope> {
    fn begin<'env>(
        head: &'env Head,
        scope: &'scope thread::Scope<'scope, 'env>,
        has_holes: bool,
    ) -> Self {
        let (full, full_sets) = sync_channel::<HeapSet>(1);
        let (empty_sets, empty) = sync_channel::<HeapSet>(SETS_MAX);
        let thread = scope.spawn(move || {
            let mut applied = Applied::default();
            for mut set in full_sets {
                applied = applied.add(head.apply(&mut set, has_holes));
                // Nobody waits for it any more at the end of the log.
                let _ = empty_sets.send(set);
            }
            applied
        });
        Self { full, empty, thread }
    }
}

impl Head {
    /// Since when a sample counts, as far as the options keep that.
    pub(super) const fn kept_start_ms(&self, start_ms: i64, value: &Value<'_>) -> i64 {
        let is_kept = match value {
            Value::Float(_) => self.options.float_starts,
            Value::Histogram(_) => self.options.histogram_starts,
        };
        if is_kept { start_ms } else { 0 }
    }

    /// Gives a series chunks that lie in files.
    pub(super) fn attach(&self, name: SeriesRef, chunks: &[MappedChunk]) {
        let files = self.files.as_deref();
        let attach = |series: &mut Series| attach(name, series, chunks, files);
        let attached = self.series.with(name, attach).unwrap_or_default();
        if let Some(span) = attached.span {
            self.bounds.widen(span);
        }
        attached.late_span.into_iter().for_each(|span| self.bounds.widen_late(span));
        self.metrics.chunks_created.add(attached.chunks as u64);
        self.metrics.chunks.add(attached.chunks as f64);
    }
}
