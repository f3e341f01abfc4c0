//! The head itself: what its parts share.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::ThreadId;

use parking_lot::{Mutex, RwLock};
use rayon::slice::ParallelSliceMut;

use crate::base::metrics::Registry as Metrics;
use crate::chunk::{self, EncodeOptions};
use crate::disk::SharedDisk;
use crate::model::{Column, Labels, LabelsRef};
use crate::series::{AppendError, Chunk, QueryError, SeriesRef, TimeRange};
use crate::storage::wal::{Compression, Wal, WalError, WalMetrics, WalOptions};

use super::append::Work;
use super::bounds::Bounds;
use super::closed::Closed;
use super::delete::{self, HeadTombstones};
use super::exemplars::ExemplarRing;
use super::isolation::{Isolation, OpenBatch};
use super::late::{self, LateLog};
use super::limits::{LimitReached, Limits, SeriesLimits};
use super::mapped::ChunkFiles;
use super::metadata::MetadataStore;
use super::metrics::HeadMetrics;
use super::ooo::OOO_SAMPLES_MAX;
use super::page::Page;
use super::postings::Postings;
use super::registry::Registry;
use super::series::{Series, Stales};
use super::store::ChunkOptions;
use super::symbols::{SharedLabels, Symbols};

/// Samples of a chunk that is made of a column.
const SAMPLES_PER_CHUNK: u16 = 120;

/// What the user of a head decides.
#[derive(Debug, Clone)]
pub(in crate::storage) struct HeadOptions {
    /// Length of the blocks that are cut from the head; chunks end at its multiples.
    pub(in crate::storage) range_ms: i64,
    /// How many series there may be.
    pub(in crate::storage) limits: SeriesLimits,
    /// Floats are kept with the time since when they count, in chunks and records that only
    /// Prometheus 3.10 and later read.
    pub(in crate::storage) float_starts: bool,
    /// As [`HeadOptions::float_starts`], for histograms.
    pub(in crate::storage) histogram_starts: bool,
    /// How much older than the newest sample of the head late samples may be; 0 takes none.
    pub(in crate::storage) late_window_ms: i64,
    /// So many late samples of a series become a chunk; 1 to 255.
    pub(in crate::storage) late_samples_max: u8,
    /// So many exemplars are kept; 0 keeps none.
    pub(in crate::storage) exemplars_max: usize,
    /// The log keeps metadata, in records that agents of Prometheus refuse.
    pub(in crate::storage) metadata_records: bool,
    /// What is in memory is written down when the head is closed, and read when it is opened.
    pub(in crate::storage) snapshot: bool,
}

impl HeadOptions {
    /// Blocks of `range_ms`, all else as Prometheus does it by default.
    pub(in crate::storage) fn new(range_ms: i64) -> Self {
        Self {
            range_ms,
            limits: SeriesLimits::default(),
            float_starts: false,
            histogram_starts: false,
            late_window_ms: 0,
            late_samples_max: OOO_SAMPLES_MAX,
            exemplars_max: 0,
            metadata_records: false,
            snapshot: false,
        }
    }

    /// How columns become chunks.
    pub(super) const fn encode(&self) -> EncodeOptions {
        let Self { float_starts, histogram_starts, .. } = *self;
        EncodeOptions { samples_max: SAMPLES_PER_CHUNK, float_starts, histogram_starts }
    }

    pub(super) const fn chunks(&self) -> ChunkOptions {
        let Self { range_ms, float_starts, histogram_starts, .. } = *self;
        ChunkOptions { range_ms, float_starts, histogram_starts }
    }
}

/// Where the logs and the head's other files lie.
#[derive(Debug, Clone)]
pub(in crate::storage) struct LogPlace {
    pub(in crate::storage) disk: SharedDisk,
    /// The data directory, for all but the log.
    pub(in crate::storage) root: PathBuf,
    pub(in crate::storage) dir: PathBuf,
    pub(in crate::storage) options: WalOptions,
    pub(in crate::storage) metrics: WalMetrics,
}

/// Batches hold it for reading from the first judgement to the last sample stored. Who holds it
/// for writing is alone: no sample is on its way.
#[derive(Debug, Default)]
pub(super) struct Gate {
    pub(super) is_closed: bool,
}

impl Gate {
    pub(super) fn check(&self) -> Result<(), AppendError> {
        let closed = || AppendError::Unavailable("the data directory is closed".into());
        if self.is_closed { Err(closed()) } else { Ok(()) }
    }
}

/// The newest samples of a data directory.
///
/// Locks are taken in this order: gate, stripe of labels, label index, list of pages, page; the
/// log and the batches' numbers alone, under the gate. Readers take neither gate nor log.
#[derive(Debug)]
pub(in crate::storage) struct Head {
    pub(super) options: HeadOptions,
    pub(super) series: Registry,
    pub(super) symbols: Symbols,
    pub(super) postings: Postings,
    next_ref: AtomicU64,
    pub(super) limits: Limits,
    pub(super) bounds: Bounds,
    pub(super) gate: RwLock<Gate>,
    pub(super) isolation: Isolation,
    /// Without a log, samples live as long as the process.
    pub(super) log: Mutex<Option<Wal>>,
    pub(super) log_place: Option<LogPlace>,
    /// Closed chunks; without files they stay in memory.
    pub(super) files: Option<Arc<ChunkFiles>>,
    /// Chunks that were begun since closed ones were last moved to files.
    pub(super) begun: AtomicU64,
    /// Held by whoever moves closed chunks to files.
    pub(super) mapping: Mutex<()>,
    /// Locked before any page by whoever changes late samples.
    pub(super) late_log: Mutex<LateLog>,
    pub(super) exemplars: ExemplarRing,
    pub(super) metadata: MetadataStore,
    pub(super) tombstones: Arc<HeadTombstones>,
    /// Series that are gone from memory, and the newest time for which the log may still hold
    /// samples of them: until it is truncated beyond, a checkpoint keeps their names.
    pub(super) expiries: Mutex<HashMap<SeriesRef, i64>>,
    /// With the thread that had it last.
    pub(super) spare_work: Mutex<Vec<(ThreadId, Box<Work>)>>,
    pub(super) stales: Stales,
    pub(super) metrics: HeadMetrics,
}

impl Head {
    /// A head without samples that takes none before `min_valid_ms`.
    pub(super) fn empty(
        options: HeadOptions,
        log_place: Option<LogPlace>,
        min_valid_ms: i64,
        metrics: &Metrics,
    ) -> Self {
        let compression = log_place.as_ref().map(|place| place.options.compression);
        let late_log = LateLog::new(
            compression.unwrap_or(Compression::None),
            options.float_starts || options.histogram_starts,
        );
        Self {
            limits: Limits::new(&options.limits, metrics),
            files: None,
            begun: AtomicU64::new(0),
            mapping: Mutex::default(),
            late_log: Mutex::new(late_log),
            exemplars: ExemplarRing::new(options.exemplars_max, options.late_window_ms, metrics),
            metadata: MetadataStore::default(),
            tombstones: Arc::default(),
            options,
            series: Registry::new(),
            symbols: Symbols::default(),
            postings: Postings::new(),
            next_ref: AtomicU64::new(1),
            bounds: Bounds::new(min_valid_ms),
            gate: RwLock::default(),
            isolation: Isolation::new(),
            log: Mutex::default(),
            log_place,
            expiries: Mutex::default(),
            spare_work: Mutex::default(),
            stales: Stales::new(),
            metrics: HeadMetrics::new(metrics),
        }
    }

    /// How records are packed.
    pub(super) fn compression(&self) -> Compression {
        let place = self.log_place.as_ref();
        place.map_or(Compression::None, |place| place.options.compression)
    }

    /// First and last time of what is stored, late samples aside.
    pub(in crate::storage) fn span(&self) -> Option<TimeRange> {
        self.bounds.span()
    }

    /// How many series there are.
    pub(in crate::storage) fn series_count(&self) -> usize {
        self.series.len()
    }

    /// How many chunks there are. Looks at every series.
    pub(in crate::storage) fn chunk_count(&self) -> usize {
        let mut count = 0;
        self.series.for_each(|_, series| count += series.chunk_count());
        count
    }

    /// Bytes that series, chunks and postings take in memory, about. Looks at every series.
    pub(in crate::storage) fn memory_bytes(&self) -> usize {
        self.postings.memory_bytes() + self.series.memory_bytes() + self.symbols.memory_bytes()
    }

    /// Finds or creates a series, so that batches can name it without its labels. Until it has a
    /// sample, a truncation may forget it.
    ///
    /// # Errors
    /// An empty label set, a series too many, a head that is closed.
    pub(in crate::storage) fn resolve(&self, labels: &Labels) -> Result<SeriesRef, AppendError> {
        let mut found = Vec::with_capacity(1);
        self.resolve_all(std::slice::from_ref(labels), &mut found)?;
        found.pop().ok_or(AppendError::EmptyLabels)
    }

    /// As [`Head::resolve`] for many at once, appending to `into`: the label index is changed
    /// once. After an error those before it are found.
    ///
    /// # Errors
    /// As [`Head::resolve`].
    pub(in crate::storage) fn resolve_all(
        &self,
        labels: &[Labels],
        into: &mut Vec<SeriesRef>,
    ) -> Result<(), AppendError> {
        let gate = self.gate.read();
        gate.check()?;
        // Until it is dropped nobody appends to a series that the label index does not have.
        let open = self.isolation.begin();
        let mut created = Vec::new();
        let found = labels.iter().try_for_each(|labels| {
            if labels.is_empty() {
                return Err(AppendError::EmptyLabels);
            }
            let found = self.find_or_create(labels.as_ref(), &open);
            let too_many =
                |reached: LimitReached| AppendError::TooManySeries { limit: reached.limit };
            let (series, new) = found.map_err(too_many)?;
            created.extend(new.map(|labels| (series, labels)));
            into.push(series);
            Ok(())
        });
        self.postings.add_all(&created);
        found
    }

    /// Finds or creates a series. A new one belongs to the batch, which must enter it into the
    /// label index before it is whole; its labels are returned.
    pub(super) fn find_or_create(
        &self,
        labels: LabelsRef<'_>,
        open: &OpenBatch<'_>,
    ) -> Result<(SeriesRef, Option<SharedLabels>), LimitReached> {
        let name = || {
            self.limits.enter(labels)?;
            Ok(SeriesRef(self.next_ref.fetch_add(1, Ordering::Relaxed)))
        };
        let mut made = None;
        let make = || {
            let shared = made.insert(self.symbols.share(labels));
            let mut series = Series::new(labels.hash(), shared.clone());
            series.claim(open);
            series
        };
        let (series, is_new) = self.series.find_or_enter(labels, name, make, |_| {})?;
        if is_new {
            self.metrics.series_created.inc();
            self.metrics.series.add(1.0);
        }
        Ok((series, made))
    }

    /// Finds or creates a series that the log calls `series` and therefore knows. Of a new one the
    /// labels are returned, to be entered into the label index.
    pub(super) fn find_or_restore(
        &self,
        series: SeriesRef,
        labels: LabelsRef<'_>,
    ) -> (SeriesRef, Option<SharedLabels>) {
        let mut made = None;
        let make = || {
            let shared = made.insert(self.symbols.share(labels));
            let mut series = Series::new(labels.hash(), shared.clone());
            series.is_logged = true;
            series
        };
        let name = || Ok::<_, Infallible>(series);
        let Ok((series, is_new)) = self.series.find_or_enter(labels, name, make, |_| {});
        if is_new {
            self.limits.restore(labels);
            self.metrics.series_created.inc();
            self.metrics.series.add(1.0);
        }
        (series, made)
    }

    /// Later series get references above `used`.
    pub(super) fn skip_refs(&self, used: SeriesRef) {
        self.next_ref.fetch_max(used.0.saturating_add(1), Ordering::Relaxed);
    }

    /// From now on no sample before `time_ms` is taken; when the call returns, none is on its way.
    pub(in crate::storage) fn refuse_before(&self, time_ms: i64) {
        let _alone = self.gate.write();
        self.bounds.refuse_before(time_ms);
    }

    /// From now on only samples that are newer than all stored ones are taken; returns the first
    /// such time.
    pub(in crate::storage) fn refuse_before_newest(&self) -> i64 {
        let _alone = self.gate.write();
        let end_ms = self.bounds.max_time_ms().map_or(i64::MIN, |max| max.saturating_add(1));
        self.bounds.refuse_before(end_ms);
        end_ms
    }

    /// Every series with samples in `range`, late ones aside, in label order, with its chunks of
    /// that time. The chunks are copied when the series' turn comes.
    pub(in crate::storage) fn series_in(&self, range: TimeRange) -> Vec<SeriesChunks> {
        let mut found = Vec::new();
        for (number, page) in self.series.pages() {
            for (series, samples) in page.lock().iter_mut(number) {
                if samples.overlaps(range) {
                    let labels = samples.labels.clone();
                    let page = Arc::clone(&page);
                    let (files, options) = (self.files.clone(), self.options.encode());
                    let tombstones = Arc::clone(&self.tombstones);
                    found.push(SeriesChunks { series, labels, page, files, tombstones, options });
                }
            }
        }
        found.par_sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        found
    }

    /// Bytes of the logs on disk.
    pub(in crate::storage) fn log_bytes(&self) -> Result<u64, WalError> {
        let late_bytes = self.late_log.lock().size_bytes()?;
        Ok(late_bytes + self.log.lock().as_ref().map_or(Ok(0), Wal::size_bytes)?)
    }

    /// Takes no more samples and makes the logs survive a crash of the machine. Writes down what
    /// is in memory, if the options say so.
    pub(in crate::storage) fn close(&self) -> Result<(), WalError> {
        let was_closed = std::mem::replace(&mut self.gate.write().is_closed, true);
        let log = self.log.lock().take();
        let end = log.as_ref().map(Wal::current);
        let closed = log.map_or(Ok(()), Wal::close);
        let late_closed = self.late_log.lock().close();
        if was_closed {
            return closed.and(late_closed);
        }
        self.close_files();
        if let Some(end) = end.filter(|_| closed.is_ok() && self.options.snapshot) {
            self.write_snapshot(end);
        }
        closed.and(late_closed)
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        self.metrics.leave(self.series_count(), self.chunk_count());
    }
}

/// Memory that copying chunks needs, reused from series to series.
#[derive(Debug, Default)]
pub(in crate::storage) struct SpareChunks(Vec<Closed>);

/// A series whose chunks are wanted.
#[derive(Debug)]
pub(in crate::storage) struct SeriesChunks {
    series: SeriesRef,
    labels: SharedLabels,
    page: Arc<Page>,
    files: Option<Arc<ChunkFiles>>,
    tombstones: Arc<HeadTombstones>,
    options: EncodeOptions,
}

impl SeriesChunks {
    pub(in crate::storage) const fn labels(&self) -> &SharedLabels {
        &self.labels
    }

    /// Appends the chunks that overlap `range`, without deleted samples.
    ///
    /// # Errors
    /// A chunk in a file that cannot be read.
    pub(in crate::storage) fn copy_into(
        &self,
        range: TimeRange,
        spare: &mut SpareChunks,
        into: &mut Vec<Chunk>,
    ) -> Result<(), QueryError> {
        if let Some(series) = self.page.lock().get(self.series) {
            series.copy_chunks(range, &mut spare.0);
        }
        let files = self.files.as_ref().map(|files| files.view());
        let deleted = self.tombstones.of(self.series);
        for chunk in spare.0.drain(..) {
            let chunk = chunk.load(files.as_ref())?;
            if deleted.iter().any(|span| span.overlaps(chunk.range())) {
                self.copy_rest(&chunk, &deleted, into)?;
            } else {
                into.push(chunk);
            }
        }
        Ok(())
    }

    /// Appends what is left of a chunk.
    fn copy_rest(
        &self,
        chunk: &Chunk,
        deleted: &[TimeRange],
        into: &mut Vec<Chunk>,
    ) -> Result<(), QueryError> {
        let corrupt = |error| QueryError::Corrupt(format!("chunk of {}: {error}", self.labels));
        let mut column = Column::new();
        let all = (i64::MIN, i64::MAX);
        chunk::decode(chunk.encoding, &chunk.data, all, &mut column).map_err(corrupt)?;
        delete::apply(&mut column, 0, deleted);
        late::encode(&column, &self.options, into).map_err(corrupt)
    }
}
