//! Which finished chunks of which series lie in files.

use crate::chunk::{Encoding, OpenChunk};
use crate::series::{SeriesRef, TimeRange};

use super::super::closed::Closed;
use super::super::mapped::{ChunkFiles, ChunkRef, MappedChunk};
use super::super::series::Series;

/// The chunks of the files, by series, until the series is there to take them.
#[derive(Debug, Default)]
pub(super) struct MappedIndex {
    /// By series, in-order chunks first, those by time.
    chunks: Vec<MappedChunk>,
    /// Where in `chunks` the series behind the last one begins: names come in their order.
    next: usize,
    /// Chunks may be missing between two that are there.
    pub(super) has_holes: bool,
}

impl MappedIndex {
    /// Notes a chunk, unless it is of no use: its samples are before `min_valid_ms`, or a later
    /// version wrote it.
    pub(super) fn add(&mut self, chunk: MappedChunk, min_valid_ms: i64) {
        if !chunk.is_out_of_order && chunk.max_time_ms < min_valid_ms {
            return;
        }
        let is_sound = chunk.sample_count > 0 && chunk.min_time_ms <= chunk.max_time_ms;
        if !is_sound || Encoding::try_from(chunk.encoding).is_err() {
            // The logs have what is in it.
            self.has_holes = true;
            return;
        }
        self.chunks.push(chunk);
    }

    /// To be called when all chunks are noted.
    pub(super) fn finish(&mut self) {
        let key = |chunk: &MappedChunk| {
            let time_ms = if chunk.is_out_of_order { i64::MIN } else { chunk.min_time_ms };
            (chunk.series, chunk.is_out_of_order, time_ms, chunk.at)
        };
        self.chunks.sort_unstable_by_key(key);
        self.chunks.shrink_to_fit();
    }

    /// How many chunks there are.
    pub(super) fn len(&self) -> usize {
        self.chunks.len()
    }

    /// The highest reference of a series.
    pub(super) fn newest_series(&self) -> SeriesRef {
        self.chunks.last().map_or(SeriesRef::UNKNOWN, |chunk| chunk.series)
    }

    /// The chunks that were written under the reference `series`.
    pub(super) fn of(&mut self, series: SeriesRef) -> &[MappedChunk] {
        let before = self.next.checked_sub(1).and_then(|before| self.chunks.get(before));
        let is_behind = before.is_none_or(|before| before.series < series);
        let at_next = self.chunks.get(self.next).is_none_or(|next| next.series >= series);
        let start = if is_behind && at_next {
            self.next
        } else {
            self.chunks.partition_point(|chunk| chunk.series < series)
        };
        let rest = self.chunks.get(start..).unwrap_or_default();
        let count = rest.iter().take_while(|chunk| chunk.series == series).count();
        self.next = start + count;
        self.chunks.get(start..self.next).unwrap_or_default()
    }
}

const fn closed(chunk: &MappedChunk) -> Closed {
    let range = TimeRange::new(chunk.min_time_ms, chunk.max_time_ms);
    Closed::Mapped { range, encoding: chunk.encoding, at: chunk.at }
}

/// What came of giving chunks to a series.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Attached {
    pub(super) chunks: usize,
    pub(super) span: Option<TimeRange>,
    pub(super) late_span: Option<TimeRange>,
}

fn wider(a: Option<TimeRange>, b: TimeRange) -> Option<TimeRange> {
    let a = a.unwrap_or(b);
    Some(TimeRange::new(a.start_ms.min(b.start_ms), a.end_ms.max(b.end_ms)))
}

/// Gives a series its chunks, once. Those that overlap what it has become late ones.
pub(super) fn attach(
    name: SeriesRef,
    series: &mut Series,
    chunks: &[MappedChunk],
    files: Option<&ChunkFiles>,
) -> Attached {
    let mut attached = Attached::default();
    for chunk in chunks {
        if has(series, chunk.at) {
            continue;
        }
        let range = TimeRange::new(chunk.min_time_ms, chunk.max_time_ms);
        if chunk.is_out_of_order {
            series.late_mut().chunks.push(closed(chunk));
            attached.late_span = wider(attached.late_span, range);
        } else if insert(series, chunk) {
            attached.span = wider(attached.span, range);
        } else {
            let late = as_late(name, closed(chunk), files);
            series.late_mut().chunks.push(late);
            attached.late_span = wider(attached.late_span, range);
        }
        attached.chunks += 1;
    }
    if attached.chunks > 0 {
        series.closed.shrink_to_fit();
        series.refresh_newest();
    }
    attached
}

/// Puts a chunk where its time is; false if something is there. A series that was forgotten and
/// came back has chunks under two references, in any order.
fn insert(series: &mut Series, chunk: &MappedChunk) -> bool {
    let held = |open: &OpenChunk| TimeRange::new(open.min_time_ms(), open.max_time_ms());
    let range = TimeRange::new(chunk.min_time_ms, chunk.max_time_ms);
    if let Some(open) = series.open.as_ref().map(held) {
        if open.overlaps(range) {
            return false;
        }
        if open.end_ms < range.start_ms {
            series.close_chunk();
        }
    }
    let place = series.closed.partition_point(|known| known.range().end_ms < range.start_ms);
    if series.closed.get(place).is_some_and(|next| next.range().overlaps(range)) {
        return false;
    }
    series.closed.insert(place, closed(chunk));
    true
}

/// The chunk as a late one. It is written anew as such, since the file says that it came in order:
/// then a block of its time would be taken to hold it.
fn as_late(name: SeriesRef, chunk: Closed, files: Option<&ChunkFiles>) -> Closed {
    let view = files.map(ChunkFiles::view);
    let Ok(loaded) = chunk.clone().load(view.as_ref()) else { return chunk };
    let mut late = Closed::Memory(loaded);
    if let Some(Err(error)) = files.map(|files| late.map(name, true, files)) {
        tracing::warn!(%error, "a chunk of late samples stays in memory");
    }
    late
}

/// A log may name a series twice by the same reference.
fn has(series: &Series, at: ChunkRef) -> bool {
    let late = series.late().into_iter().flat_map(|late| &late.chunks);
    series.closed.iter().chain(late).any(|closed| closed.place() == Some(at))
}
