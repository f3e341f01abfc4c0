//! One series: its labels, its closed chunks, and the chunk that still grows.

use parking_lot::{Mutex, MutexGuard};

use crate::chunk::{Encoding, XorAppender};
use crate::model::{Labels, Sample};
use crate::series::{Chunk, SeriesRef, TimeRange, Verdict};

use super::cut::{self, OpenChunk};

/// A series that is held in memory.
#[derive(Debug)]
pub(super) struct HeadSeries {
    pub(super) series: SeriesRef,
    pub(super) labels: Labels,
    /// Hash of the labels.
    pub(super) hash: u64,
    samples: Mutex<SeriesSamples>,
}

impl HeadSeries {
    pub(super) fn new(series: SeriesRef, labels: Labels) -> Self {
        let hash = labels.as_ref().hash();
        Self { series, labels, hash, samples: Mutex::default() }
    }

    /// Held for one look or one change, never while anything is read, written or decoded.
    pub(super) fn lock(&self) -> MutexGuard<'_, SeriesSamples> {
        self.samples.lock()
    }

    /// Bytes that the series takes in memory, without the tables that point to it.
    pub(super) fn memory_bytes(&self) -> usize {
        // The two reference counts of its `Arc`.
        let own = size_of::<Self>() + 2 * size_of::<usize>();
        own + self.labels.memory_bytes() + self.lock().memory_bytes()
    }
}

/// What the lock of a series protects.
#[derive(Debug, Default)]
pub(super) struct SeriesSamples {
    closed: Vec<Chunk>,
    open: Option<XorAppender>,
    /// Where the open chunk is to end.
    next_cut_ms: i64,
    /// The newest sample that was promised a place. It runs ahead of the open chunk while a batch
    /// is on its way through the log; only the holder of the commit lock changes it.
    newest: Option<Sample>,
    /// The log names the series. Changed by the holder of the commit lock.
    pub(super) is_logged: bool,
    /// The registry has forgotten the series; a batch that still holds it must look again. Changed
    /// by the holder of the commit lock.
    pub(super) is_removed: bool,
}

/// What is to become of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes to the log and into the chunk.
    Store,
    /// It is there already.
    Same,
    /// It is refused.
    Refuse(Verdict),
}

/// Judges a sample by the series' newest one: the rules of `memSeries.appendable`.
fn judge(newest: Option<Sample>, sample: Sample, min_valid_ms: i64) -> Fate {
    if sample.timestamp_ms < min_valid_ms {
        return Fate::Refuse(Verdict::OutOfBounds);
    }
    match newest {
        Some(newest) if sample.timestamp_ms < newest.timestamp_ms => {
            Fate::Refuse(Verdict::OutOfOrder)
        }
        Some(newest) if sample.timestamp_ms == newest.timestamp_ms => {
            // By bits: the staleness marker equals itself, and 0 is not -0.
            let is_same = sample.value.to_bits() == newest.value.to_bits();
            if is_same { Fate::Same } else { Fate::Refuse(Verdict::DuplicateTimestamp) }
        }
        _ => Fate::Store,
    }
}

impl SeriesSamples {
    /// Judges a sample by all that was promised, and promises it a place if it may have one.
    pub(super) fn promise(&mut self, sample: Sample, min_valid_ms: i64) -> Fate {
        let fate = judge(self.newest, sample, min_valid_ms);
        if fate == Fate::Store {
            self.newest = Some(sample);
        }
        fate
    }

    /// True if a sample would be refused even without those that were promised a place but are not
    /// stored yet.
    pub(super) fn refuses_as_stored(&self, sample: Sample, min_valid_ms: i64) -> bool {
        let fate = judge(self.stored_newest(), sample, min_valid_ms);
        matches!(fate, Fate::Refuse(_))
    }

    /// Takes back every promise that was not kept.
    pub(super) fn forget_promises(&mut self) {
        self.newest = self.stored_newest();
    }

    fn stored_newest(&self) -> Option<Sample> {
        let open = self.open.as_ref()?;
        Some(Sample { timestamp_ms: open.max_time_ms(), value: open.last_value() })
    }

    /// Puts a sample that is newer than all stored ones into the open chunk; an older one is left
    /// out. Returns how many chunks were begun, and whether the sample is stored.
    pub(super) fn store(&mut self, sample: Sample, range_ms: i64) -> (usize, bool) {
        let Sample { timestamp_ms, value } = sample;
        let mut begun = 0;
        if let Some(open) = &self.open {
            if open.max_time_ms() >= timestamp_ms {
                return (0, false);
            }
            let chunk = OpenChunk {
                min_time_ms: open.min_time_ms(),
                max_time_ms: open.max_time_ms(),
                sample_count: open.sample_count(),
                len_bytes: open.bytes().len(),
            };
            if cut::is_due(chunk, timestamp_ms, &mut self.next_cut_ms) {
                self.close_chunk();
            }
        }
        let open = self.open.get_or_insert_with(|| {
            begun = 1;
            self.next_cut_ms = cut::range_end_ms(timestamp_ms, range_ms);
            XorAppender::new()
        });
        let is_stored = open.append(timestamp_ms, value).is_ok();
        if self.newest.is_none_or(|newest| newest.timestamp_ms < timestamp_ms) {
            self.newest = Some(sample);
        }
        (begun, is_stored)
    }

    fn close_chunk(&mut self) {
        let Some(open) = self.open.take() else { return };
        // There are few, and a doubled vector would often take more than the chunk.
        self.closed.reserve_exact(1);
        self.closed.push(Chunk {
            min_time_ms: open.min_time_ms(),
            max_time_ms: open.max_time_ms(),
            encoding: Encoding::Xor as u8,
            data: open.finish(),
        });
    }

    /// Appends the chunks that overlap `range`; the open one as a copy.
    pub(super) fn copy_chunks(&self, range: TimeRange, into: &mut Vec<Chunk>) {
        into.extend(self.closed.iter().filter(|chunk| chunk.range().overlaps(range)).cloned());
        if let Some(open) = self.open_in(range) {
            into.push(Chunk {
                min_time_ms: open.min_time_ms(),
                max_time_ms: open.max_time_ms(),
                encoding: Encoding::Xor as u8,
                data: bytes::Bytes::copy_from_slice(open.bytes()),
            });
        }
    }

    fn open_in(&self, range: TimeRange) -> Option<&XorAppender> {
        let range_of = |open: &XorAppender| TimeRange::new(open.min_time_ms(), open.max_time_ms());
        self.open.as_ref().filter(|open| range_of(open).overlaps(range))
    }

    /// True if a chunk overlaps `range`.
    pub(super) fn overlaps(&self, range: TimeRange) -> bool {
        self.open_in(range).is_some() || self.closed.iter().any(|c| c.range().overlaps(range))
    }

    /// Time of the first and of the last stored sample.
    pub(super) fn time_span(&self) -> Option<TimeRange> {
        let open = self.open.as_ref()?;
        let first_ms = self.closed.first().map_or(open.min_time_ms(), |chunk| chunk.min_time_ms);
        Some(TimeRange::new(first_ms, open.max_time_ms()))
    }

    /// Drops the chunks that end before `min_time_ms`; returns how many.
    pub(super) fn drop_before(&mut self, min_time_ms: i64) -> usize {
        let before = self.chunk_count();
        self.closed.retain(|chunk| chunk.max_time_ms >= min_time_ms);
        if self.open.as_ref().is_some_and(|open| open.max_time_ms() < min_time_ms) {
            self.open = None;
        }
        if self.open.is_none() {
            // Whatever comes next is newer than the bound, so nothing need be remembered. A
            // promise that is on its way stays.
            self.closed = Vec::new();
            self.newest = self.newest.filter(|newest| newest.timestamp_ms >= min_time_ms);
        }
        before - self.chunk_count()
    }

    /// How many chunks there are.
    pub(super) fn chunk_count(&self) -> usize {
        self.closed.len() + usize::from(self.open.is_some())
    }

    fn memory_bytes(&self) -> usize {
        let closed: usize = self.closed.iter().map(|chunk| chunk.data.len()).sum();
        // The appender itself is part of the series' own size.
        let open = self.open.as_ref().map_or(0, |open| open.memory_bytes() - size_of_val(open));
        self.closed.capacity() * size_of::<Chunk>() + closed + open
    }
}
