//! One block of the bucket: its header when it is needed, series when they are asked for.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use ulid::Ulid;

use crate::longterm::BucketBlock;
use crate::longterm::bucket::Bucket;
use crate::model::Labels;
use crate::series::{QueryError, TimeRange};
use crate::storage::index::{
    IndexError, ListPlace, Part, SERIES_ALIGNMENT_BYTES, list_part, series_part,
};

use super::GatewayOptions;
use super::cache::{Cache, Expanded, Item, Key, Kind};
use super::error::GatewayError;
use super::fetch::Fetch;
use super::find::Question;
use super::folder::HeaderFolder;
use super::header::{IndexHeader, build_header};
use super::limits::{Held, Meters};
use super::metrics::GatewayMetrics;
use super::postings::{combine, defer, groups};
use super::ranges::windows;

/// Series entries are read so many at a time.
const ENTRIES_PER_BATCH: usize = 10_000;
/// A series entry is taken to be so many times as long as they are on average, between these
/// bounds; one that is longer is read twice.
const ENTRY_GUESS_FACTOR: u64 = 4;
const ENTRY_GUESS_BYTES: Range<u64> = 256..64 << 10;

/// Bytes that are read at a time.
const WINDOW_BYTES: Range<u64> = 256 << 10..8 << 20;
/// Places that are read once more together: many groups share the requests.
const CHAPTER_BYTES_MAX: u64 = 4 << 20;
/// So many groups of chunks fit into memory.
const GROUPS: u64 = 64;
/// A question whose entries are a greater part of the cache leaves it alone.
const CACHE_PART: u64 = 4;
/// What it takes to keep an entry, roughly.
const KEPT_ENTRY_BYTES: u64 = 160;

/// What all blocks of a gateway share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) bucket: Bucket,
    pub(super) options: GatewayOptions,
    pub(super) cache: Cache,
    pub(super) metrics: GatewayMetrics,
}

impl Shared {
    pub(super) fn fetch<'a>(&'a self, meters: &'a Meters) -> Fetch<'a> {
        let gap_bytes = self.options.gap_bytes;
        // Each of those that read at a time has one.
        let share = self.options.memory_bytes / (8 * self.options.concurrency.max(1) as u64);
        let window_bytes = share.clamp(WINDOW_BYTES.start, WINDOW_BYTES.end);
        Fetch { bucket: &self.bucket, meters, gap_bytes, window_bytes }
    }

    /// About so many bytes of chunks are fetched together: a group is open for each thread that
    /// reads, and one ahead of it.
    pub(super) fn group_bytes(&self) -> u64 {
        self.options.group_bytes.min(self.options.memory_bytes / GROUPS)
    }

    /// About so many bytes of places are read once more together.
    pub(super) fn chapter_bytes(&self) -> u64 {
        CHAPTER_BYTES_MAX.min(self.options.memory_bytes / GROUPS)
    }

    /// The error as whoever asked sees it; counts those that ran into a limit.
    pub(super) fn refused(&self, error: GatewayError) -> QueryError {
        if matches!(error, GatewayError::Limit(_)) {
            self.metrics.queries_dropped.inc();
        }
        error.into()
    }
}

/// Who reads entries of series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) shared: &'a Shared,
    pub(super) meters: &'a Meters,
    /// Whether they are kept in the cache.
    pub(super) keeps: bool,
}

/// What `meta.json` tells of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct About {
    pub(super) ulid: Ulid,
    /// The external labels.
    pub(super) labels: Labels,
    pub(super) range: TimeRange,
    pub(super) resolution_ms: i64,
    /// The size of the index; asked for if it is not known.
    pub(super) index_bytes: Option<u64>,
    /// The names of the chunk segments below `chunks/`, ascending, with their sizes. Listed if
    /// they are not known.
    pub(super) segments: Vec<(String, Option<u64>)>,
    /// The longest series entry and chunk; 0 if not known.
    pub(super) series_max_bytes: u64,
    pub(super) chunk_max_bytes: u64,
    pub(super) series_count: u64,
}

impl About {
    /// The span in which chunks must lie that have a sample in `range`. A downsampled chunk is
    /// said to begin with the end of its first window, but the first sample of a counter stands
    /// before that.
    pub(super) const fn reach(&self, range: TimeRange) -> TimeRange {
        TimeRange::new(range.start_ms, range.end_ms.saturating_add(self.resolution_ms))
    }

    pub(super) fn of(block: &BucketBlock) -> Self {
        let known_size = |bytes: u64| Some(bytes).filter(|bytes| *bytes > 0);
        let files = &block.thanos.files;
        let index = files.iter().find(|file| file.rel_path == "index");
        let mut segments: Vec<(String, Option<u64>)> = files
            .iter()
            .filter_map(|file| {
                let name = file.rel_path.strip_prefix("chunks/")?;
                Some((name.to_owned(), known_size(file.size_bytes)))
            })
            .collect();
        if segments.is_empty() {
            segments = block.thanos.segment_files.iter().map(|name| (name.clone(), None)).collect();
        }
        segments.sort();
        let stats = &block.thanos.index_stats;
        let size = |stated: i64| u64::try_from(stated).unwrap_or(0);
        Self {
            ulid: block.ulid(),
            labels: block.labels(),
            range: block.range(),
            resolution_ms: block.resolution_ms(),
            index_bytes: index.and_then(|file| known_size(file.size_bytes)),
            segments,
            series_max_bytes: size(stats.series_max_size),
            chunk_max_bytes: size(stats.chunk_max_size),
            series_count: block.meta.stats.num_series,
        }
    }
}

/// A chunk segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) key: String,
    /// The largest number if it is not known.
    pub(super) size_bytes: u64,
}

/// What is shown the entries of series: the id and the body of each. False ends it.
pub(super) type EachEntry<'a> = dyn FnMut(u32, &[u8]) -> Result<bool, GatewayError> + 'a;

/// A block that can be asked.
#[derive(Debug)]
pub(super) struct GateBlock {
    pub(super) about: About,
    index_key: String,
    header: Mutex<Option<Arc<IndexHeader>>>,
    used_ms: AtomicI64,
    segments: Mutex<Option<Arc<[Segment]>>>,
    /// Why it is left out of answers.
    set_aside: Mutex<Option<String>>,
}

impl GateBlock {
    pub(super) fn new(about: About) -> Self {
        let index_key = format!("{}/index", about.ulid);
        Self {
            about,
            index_key,
            header: Mutex::default(),
            used_ms: AtomicI64::new(0),
            segments: Mutex::default(),
            set_aside: Mutex::default(),
        }
    }

    /// The header, loaded if need be; one thread at a time does that.
    pub(super) fn header(
        &self,
        shared: &Shared,
        meters: &Meters,
    ) -> Result<Arc<IndexHeader>, GatewayError> {
        self.used_ms.store(shared.options.clock.now_ms(), Ordering::Relaxed);
        let mut slot = self.header.lock();
        if let Some(header) = &*slot {
            return Ok(Arc::clone(header));
        }
        let loaded = self.load_header(shared, meters);
        let counted = if loaded.is_ok() {
            &shared.metrics.header_loads
        } else {
            &shared.metrics.header_load_failures
        };
        counted.inc();
        let header = Arc::new(loaded?);
        *slot = Some(Arc::clone(&header));
        Ok(header)
    }

    /// Lets go of a header that nobody asked for since `before_ms`; true if there was one.
    pub(super) fn drop_idle(&self, before_ms: i64) -> bool {
        // Whoever holds the lock loads it just now.
        self.used_ms.load(Ordering::Relaxed) < before_ms
            && self.header.try_lock().is_some_and(|mut slot| slot.take().is_some())
    }

    pub(super) fn index_key(&self) -> &str {
        &self.index_key
    }

    /// Why the block is left out of answers, if it is.
    pub(super) fn set_aside(&self) -> Option<String> {
        self.set_aside.lock().clone()
    }

    /// Leaves it out; false if it was already.
    pub(super) fn put_aside(&self, error: &GatewayError) -> bool {
        self.set_aside.lock().replace(error.to_string()).is_none()
    }

    /// Lets it answer again.
    pub(super) fn take_back(&self) {
        *self.set_aside.lock() = None;
    }

    /// Bytes of the header that is loaded.
    pub(super) fn header_bytes(&self) -> usize {
        self.header.lock().as_ref().map_or(0, |header| header.size_bytes())
    }

    fn load_header(&self, shared: &Shared, meters: &Meters) -> Result<IndexHeader, GatewayError> {
        let folder = shared.options.header_folder.as_ref();
        let folder = folder.map(|(disk, dir)| HeaderFolder::new(disk, dir));
        if let Some(header) = folder.as_ref().and_then(|folder| folder.load(self.about.ulid)) {
            return Ok(header);
        }
        let fetch = shared.fetch(meters);
        let size = match self.about.index_bytes {
            Some(size) => size,
            None => shared.bucket.head(&self.index_key)?.size_bytes,
        };
        let bytes = build_header(size, &|ranges| {
            let read = fetch.ranges(&self.index_key, ranges).map_err(HeaderError::Fetch)?;
            Ok(read.0)
        });
        let bytes = bytes.map_err(|error| match error {
            HeaderError::Fetch(error) => error,
            HeaderError::Index(error) => GatewayError::index(&self.index_key)(error),
        })?;
        // Without a folder, or with one that refuses, it stays in memory.
        let mapped = folder.and_then(|folder| folder.store(self.about.ulid, &bytes));
        IndexHeader::decode(&mapped.unwrap_or(bytes)).map_err(GatewayError::index(&self.index_key))
    }

    /// The chunk segments, in the order in which references count them.
    pub(super) fn segments(&self, shared: &Shared) -> Result<Arc<[Segment]>, GatewayError> {
        let mut slot = self.segments.lock();
        if let Some(segments) = &*slot {
            return Ok(Arc::clone(segments));
        }
        let prefix = format!("{}/chunks/", self.about.ulid);
        let segments: Arc<[Segment]> = if self.about.segments.is_empty() {
            let mut listed = shared.bucket.list(&prefix)?;
            listed.sort_by(|a, b| a.key.cmp(&b.key));
            listed.into_iter().map(|o| Segment { key: o.key, size_bytes: o.size_bytes }).collect()
        } else {
            let named = self.about.segments.iter().map(|(name, size)| Segment {
                key: format!("{prefix}{name}"),
                size_bytes: size.unwrap_or(u64::MAX),
            });
            named.collect()
        };
        *slot = Some(Arc::clone(&segments));
        Ok(segments)
    }

    pub(super) fn corrupt(&self, offset: u64, what: &str) -> GatewayError {
        GatewayError::corrupt(&self.index_key, offset, what)
    }

    /// The series that satisfy `matchers`, but for those that are left to be checked.
    pub(super) fn expand(
        &self,
        shared: &Shared,
        meters: &Meters,
        header: &IndexHeader,
        question: &Question,
    ) -> Result<Arc<Expanded>, GatewayError> {
        let key =
            Key { kind: Kind::Expanded, block: self.about.ulid, segment: 0, at: question.hash };
        if let Some(Item::Expanded(known)) = shared.cache.get(&key)
            && known.question == question.text
        {
            return Ok(known);
        }
        let index = GatewayError::index(&self.index_key);
        let tables = header.tables();
        let mut found =
            Expanded { question: question.text.clone(), ids: Vec::new(), unchecked: Vec::new() };
        if let Some(mut groups) = groups(tables, &question.matchers).map_err(index)? {
            let average = self.average_entry_bytes(header);
            found.unchecked = defer(&mut groups, average);
            let mut places: Vec<ListPlace> =
                groups.iter().flat_map(|group| group.places.iter().copied()).collect();
            let needs_all = !groups.iter().any(|group| group.keeps);
            if needs_all {
                places.extend(tables.place("", "").map_err(index)?);
            }
            let (lists, _held) = self.lists(shared, meters, header, &places)?;
            let all = if needs_all { lists.last() } else { None };
            found.ids = combine(&groups, all, &lists);
        }
        let found = Arc::new(found);
        shared.cache.put(key, Item::Expanded(Arc::clone(&found)));
        Ok(found)
    }

    /// The lists at `places`, without length, count and checksum.
    fn lists(
        &self,
        shared: &Shared,
        meters: &Meters,
        header: &IndexHeader,
        places: &[ListPlace],
    ) -> Result<(Vec<Bytes>, Held), GatewayError> {
        let key = |place: &ListPlace| Key {
            kind: Kind::Postings,
            block: self.about.ulid,
            segment: 0,
            at: place.start,
        };
        let mut lists: Vec<Option<Bytes>> =
            places.iter().map(|place| shared.cache.get_bytes(&key(place))).collect();
        let mut held = meters.memory.hold(0)?;
        let mut missing: Vec<(usize, ListPlace)> = Vec::new();
        for (index, (list, place)) in lists.iter().zip(places).enumerate() {
            match list {
                // It stays in memory even if the cache lets go of it.
                Some(list) => held.grow(list.len() as u64)?,
                None => missing.push((index, *place)),
            }
        }
        missing.sort_by_key(|(_, place)| place.start);
        let guesses: Vec<Range<u64>> =
            missing.iter().map(|(_, place)| place.start..place.end).collect();
        let end = header.tables().toc().postings_table;
        let index = GatewayError::index(&self.index_key);
        let read = shared.fetch(meters).parts(&self.index_key, end, &guesses, &|at, bytes| {
            let offset = guesses.get(at).map_or(0, |guess| guess.start);
            Ok(match list_part(bytes, offset).map_err(index)? {
                Part::Whole(ids) => Part::Whole(bytes.slice_ref(ids)),
                Part::Short(length) => Part::Short(length),
            })
        })?;
        shared.metrics.postings_refetches.add(read.refetched as u64);
        for ((at, place), list) in missing.iter().zip(read.parts) {
            shared.cache.put_bytes(key(place), &list);
            if let Some(slot) = lists.get_mut(*at) {
                *slot = Some(list);
            }
        }
        held.join(read.held);
        Ok((lists.into_iter().flatten().collect(), held))
    }

    fn average_entry_bytes(&self, header: &IndexHeader) -> u64 {
        let toc = header.tables().toc();
        toc.postings.saturating_sub(toc.series) / self.about.series_count.max(1)
    }

    fn entry_guess_bytes(&self, header: &IndexHeader) -> u64 {
        // The length before and the checksum behind an entry are not in the number.
        match self.about.series_max_bytes {
            0 => (self.average_entry_bytes(header) * ENTRY_GUESS_FACTOR)
                .clamp(ENTRY_GUESS_BYTES.start, ENTRY_GUESS_BYTES.end),
            known => known.min(ENTRY_GUESS_BYTES.end) + 16,
        }
    }

    /// True if the entries of so many series are small beside the cache.
    pub(super) fn keeps_entries(
        &self,
        shared: &Shared,
        header: &IndexHeader,
        count: usize,
    ) -> bool {
        let bytes = (self.average_entry_bytes(header) + KEPT_ENTRY_BYTES) * count as u64;
        bytes <= shared.options.cache_bytes as u64 / CACHE_PART
    }

    /// Hands the entries of series to `each`, in order, in bounded batches, until it returns false.
    pub(super) fn entries(
        &self,
        reading: Reading<'_>,
        header: &IndexHeader,
        ids: &[u32],
        each: &mut EachEntry<'_>,
    ) -> Result<(), GatewayError> {
        for batch in ids.chunks(ENTRIES_PER_BATCH) {
            if !self.batch_of_entries(reading, header, batch, each)? {
                break;
            }
        }
        Ok(())
    }

    fn batch_of_entries(
        &self,
        Reading { shared, meters, keeps }: Reading<'_>,
        header: &IndexHeader,
        batch: &[u32],
        each: &mut EachEntry<'_>,
    ) -> Result<bool, GatewayError> {
        let key = |id: u32| Key {
            kind: Kind::Series,
            block: self.about.ulid,
            segment: 0,
            at: u64::from(id),
        };
        let mut entries: Vec<Option<Bytes>> =
            batch.iter().map(|id| shared.cache.get_bytes(&key(*id))).collect();
        let (missing, guesses) = self.missing_entries(header, batch, &entries)?;
        let end = header.tables().toc().postings;
        let index = GatewayError::index(&self.index_key);
        let fetch = shared.fetch(meters);
        let mut next = 0;
        let mut windows = windows(&guesses, fetch.gap_bytes, fetch.window_bytes).into_iter();
        // What a window brought is gone before the next one comes.
        while next < batch.len() {
            let window = windows.next().unwrap_or(0..0);
            let (missing, guesses) = (
                missing.get(window.clone()).unwrap_or_default(),
                guesses.get(window).unwrap_or_default(),
            );
            let read = fetch.parts(&self.index_key, end, guesses, &|at, bytes| {
                let id = missing.get(at).map_or(0, |one| one.1);
                Ok(match series_part(bytes, id).map_err(index)? {
                    Part::Whole(body) => Part::Whole(bytes.slice_ref(body)),
                    Part::Short(length) => Part::Short(length),
                })
            })?;
            shared.metrics.series_refetches.add(read.refetched as u64);
            for ((at, id), entry) in missing.iter().zip(read.parts) {
                if keeps {
                    shared.cache.put_bytes(key(*id), &entry);
                }
                if let Some(slot) = entries.get_mut(*at) {
                    *slot = Some(entry);
                }
            }
            let until = missing.last().map_or(batch.len(), |(at, _)| at + 1);
            for (id, entry) in batch.iter().zip(&mut entries).take(until).skip(next) {
                if !each(*id, &entry.take().unwrap_or_default())? {
                    return Ok(false);
                }
            }
            next = until;
        }
        Ok(true)
    }

    /// Which of `batch` have no entry, and where those are.
    fn missing_entries(
        &self,
        header: &IndexHeader,
        batch: &[u32],
        entries: &[Option<Bytes>],
    ) -> Result<Missing, GatewayError> {
        let guess_bytes = self.entry_guess_bytes(header);
        let toc = header.tables().toc();
        let (mut missing, mut guesses) = (Vec::new(), Vec::new());
        for (at, id) in batch.iter().enumerate() {
            if entries.get(at).is_some_and(Option::is_some) {
                continue;
            }
            let start = u64::from(*id) * SERIES_ALIGNMENT_BYTES;
            if !(toc.series..toc.postings).contains(&start) {
                return Err(self.corrupt(start, "a series outside of the series"));
            }
            // An entry ends before the next one.
            let next = batch.get(at + 1).map(|next| u64::from(*next) * SERIES_ALIGNMENT_BYTES);
            let end = (start + guess_bytes).min(next.unwrap_or(u64::MAX)).min(toc.postings);
            missing.push((at, *id));
            guesses.push(start..end.max(start));
        }
        Ok((missing, guesses))
    }
}

/// Places in a batch, with the ids there, and where the entries are.
type Missing = (Vec<(usize, u32)>, Vec<Range<u64>>);

/// Why a header was not made.
enum HeaderError {
    Fetch(GatewayError),
    Index(IndexError),
}

impl From<IndexError> for HeaderError {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}
