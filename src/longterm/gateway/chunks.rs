//! Chunks of neighbouring series, fetched together when the first of them is read.
//!
//! Series are read one after the other, so that a group is let go of as soon as each of its series
//! was read: however large an answer is, little of it is in memory. Series whose samples nobody
//! reads cost no request at all.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::model::Labels;
use crate::series::{
    Aggregate, AggregateReader, Chunk, Column, QueryError, Series, TimeRange, forget_before,
    merge_runs,
};
use crate::storage::block::chunk_part;
use crate::storage::index::Part;

use super::block::{GateBlock, Segment, Shared};
use super::cache::{Key, Kind};
use super::error::GatewayError;
use super::fetch::Sliced;
use super::find::ChunkWant;
use super::limits::{Held, Meters};
use super::parallel::in_parallel;

/// Segments are cached in pages of so many bytes.
const PAGE_BYTES: u64 = 16 << 10;
/// The shortest piece of a segment that can hold a chunk.
const CHUNK_BYTES_MIN: u64 = 1;

/// What all series of one answer share.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) shared: Arc<Shared>,
    pub(super) meters: Arc<Meters>,
    /// The blocks that answer, in the order in which they win.
    pub(super) blocks: Vec<Arc<GateBlock>>,
    pub(super) wanted: Aggregate,
    /// What labels and places of chunks take.
    pub(super) _held: Held,
}

/// What one block has of a series.
#[derive(Debug)]
pub(super) struct PartOf {
    /// Number of the block in the answer.
    pub(super) block: u32,
    /// What the block answers for.
    pub(super) range: TimeRange,
    pub(super) chunks: Box<[ChunkWant]>,
}

/// Series whose chunks are fetched together.
#[derive(Debug)]
pub(super) struct Group {
    answer: Arc<Answer>,
    members: Vec<Vec<PartOf>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    fetched: Option<Arc<Fetched>>,
    /// Which members were read since it was fetched.
    was_read: Vec<bool>,
    unread_count: usize,
}

/// A chunk that was fetched: its offset, encoding and bytes.
type FetchedChunk = (u64, u8, Bytes);

impl Sliced for FetchedChunk {
    fn slice(&mut self) -> &mut Bytes {
        &mut self.2
    }
}

/// Chunks by block and segment, each list by offset.
#[derive(Debug)]
struct Fetched {
    chunks: HashMap<(u32, u32), Vec<FetchedChunk>>,
    _held: Vec<Held>,
}

impl Group {
    pub(super) fn new(answer: &Arc<Answer>, members: Vec<Vec<PartOf>>) -> Self {
        let count = members.len();
        let state = State { fetched: None, was_read: vec![false; count], unread_count: count };
        Self { answer: Arc::clone(answer), members, state: Mutex::new(state) }
    }

    /// The chunks of all members; the first who asks fetches them while the others wait.
    fn fetched(&self) -> Result<Arc<Fetched>, GatewayError> {
        let mut state = self.state.lock();
        if let Some(fetched) = &state.fetched {
            return Ok(Arc::clone(fetched));
        }
        let fetched = Arc::new(self.fetch()?);
        state.fetched = Some(Arc::clone(&fetched));
        Ok(fetched)
    }

    /// Notes that a member was read; behind the last one the chunks go.
    fn done(&self, member: usize) {
        let mut state = self.state.lock();
        match state.was_read.get_mut(member) {
            Some(was_read) if !*was_read => *was_read = true,
            _ => return,
        }
        state.unread_count -= 1;
        if state.unread_count == 0 {
            state.fetched = None;
            state.unread_count = self.members.len();
            state.was_read.fill(false);
        }
    }

    fn fetch(&self) -> Result<Fetched, GatewayError> {
        let mut by_object: BTreeMap<(u32, u32), Vec<ChunkWant>> = BTreeMap::new();
        for part in self.members.iter().flatten() {
            for chunk in &part.chunks {
                by_object.entry((part.block, chunk.segment())).or_default().push(*chunk);
            }
        }
        let mut objects: Vec<((u32, u32), Vec<ChunkWant>)> = by_object.into_iter().collect();
        for (_, wants) in &mut objects {
            wants.sort_by_key(|want| want.reference);
            wants.dedup_by_key(|want| want.reference);
        }
        let limit = self.answer.shared.options.concurrency;
        let read = in_parallel(&objects, limit, |(place, wants)| {
            self.answer.fetch_chunks(*place, wants).map(|chunks| (*place, chunks))
        });
        let mut fetched = Fetched { chunks: HashMap::new(), _held: Vec::new() };
        for one in read {
            let (place, (chunks, held)) = one?;
            fetched.chunks.insert(place, chunks);
            fetched._held.push(held);
        }
        Ok(fetched)
    }
}

impl Fetched {
    fn chunk(&self, block: u32, want: &ChunkWant) -> Option<(u8, &Bytes)> {
        let chunks = self.chunks.get(&(block, want.segment()))?;
        let at = chunks.binary_search_by_key(&want.offset(), |one| one.0).ok()?;
        chunks.get(at).map(|(_, encoding, data)| (*encoding, data))
    }
}

/// Where the pages lie that hold a piece of a segment.
const fn pages(bytes: &Range<u64>) -> Range<u64> {
    bytes.start / PAGE_BYTES..bytes.end.div_ceil(PAGE_BYTES)
}

impl Answer {
    fn segment(&self, (block, segment): (u32, u32)) -> Result<(&GateBlock, Segment), GatewayError> {
        let gone = |block: &GateBlock| {
            let key = format!("{}/chunks", block.about.ulid);
            GatewayError::corrupt(&key, 0, format!("there is no segment number {segment}"))
        };
        let block = self.blocks.get(block as usize);
        let block = block.ok_or_else(|| GatewayError::corrupt("", 0, "no such block"))?;
        let segments = block.segments(&self.shared)?;
        let segment = segments.get(segment as usize).cloned().ok_or_else(|| gone(block))?;
        Ok((block, segment))
    }

    /// Chunks of one segment, by offset.
    fn fetch_chunks(
        &self,
        place: (u32, u32),
        wants: &[ChunkWant],
    ) -> Result<(Vec<FetchedChunk>, Held), GatewayError> {
        let (block, segment) = self.segment(place)?;
        let mut held = self.meters.memory.hold(0)?;
        let mut chunks = Vec::with_capacity(wants.len());
        let mut missing = Vec::new();
        for want in wants {
            match self.cached_chunk(block, place.1, want) {
                Some((encoding, data)) => {
                    held.grow(data.len() as u64)?;
                    chunks.push((want.offset(), encoding, data));
                }
                None => missing.push(*want),
            }
        }
        let keeps_pages = self.shared.options.cache_bytes > 0;
        let guess = |want: &ChunkWant| {
            let start = want.offset();
            let end = start + u64::from(want.guess_bytes).max(CHUNK_BYTES_MIN);
            if !keeps_pages {
                return start..end;
            }
            let pages = pages(&(start..end));
            pages.start * PAGE_BYTES..pages.end * PAGE_BYTES
        };
        let guesses: Vec<Range<u64>> = missing.iter().map(guess).collect();
        let end = segment.size_bytes;
        let keep = |bytes: &Bytes, range: &Range<u64>| {
            let numbers = pages(range).take_while(|_| keeps_pages);
            for (page, body) in numbers.zip(bytes.chunks(PAGE_BYTES as usize)) {
                // The last page of a segment is shorter; others are not kept in part.
                if body.len() as u64 == PAGE_BYTES.min(end.saturating_sub(page * PAGE_BYTES)) {
                    self.shared.cache.put_bytes_once(page_key(block, place.1, page), body);
                }
            }
        };
        let fetch = self.shared.fetch(&self.meters);
        let read = fetch.parts(&segment.key, end, &guesses, &|at, bytes| {
            let (Some(want), Some(range)) = (missing.get(at), guesses.get(at)) else {
                return Ok(Part::Short(u64::MAX));
            };
            keep(bytes, range);
            let skipped = want.offset() - range.start;
            let from = usize::try_from(skipped).unwrap_or(usize::MAX).min(bytes.len());
            let what = "chunk checksum mismatch";
            let broken = || GatewayError::corrupt(&segment.key, want.offset(), what);
            Ok(match chunk_part(bytes.get(from..).unwrap_or_default()).ok_or_else(broken)? {
                Part::Whole((encoding, data)) => {
                    Part::Whole((want.offset(), encoding, bytes.slice_ref(data)))
                }
                Part::Short(length) => Part::Short(length.saturating_add(skipped)),
            })
        })?;
        self.shared.metrics.chunk_refetches.add(read.refetched as u64);
        held.join(read.held);
        chunks.extend(read.parts);
        chunks.sort_unstable_by_key(|one| one.0);
        Ok((chunks, held))
    }

    /// A chunk all of whose pages are in the cache; a copy, which does not keep them there.
    fn cached_chunk(
        &self,
        block: &GateBlock,
        segment: u32,
        want: &ChunkWant,
    ) -> Option<(u8, Bytes)> {
        let start = want.offset();
        let mut pages = pages(&(start..start + u64::from(want.guess_bytes).max(CHUNK_BYTES_MIN)));
        let first = pages.start;
        let mut bytes = Vec::new();
        // It may be shorter than guessed, and then needs fewer pages.
        loop {
            let page = pages.next()?;
            let body = self.shared.cache.get_bytes(&page_key(block, segment, page))?;
            bytes.extend_from_slice(&body);
            let from = (start - first * PAGE_BYTES) as usize;
            // A page that lies about a chunk is not asked again: it is fetched.
            match chunk_part(bytes.get(from..).unwrap_or_default())? {
                Part::Whole((encoding, data)) => {
                    return Some((encoding, Bytes::copy_from_slice(data)));
                }
                Part::Short(_) => {}
            }
        }
    }

    fn read(
        &self,
        part: &PartOf,
        fetched: &Fetched,
        range: TimeRange,
        into: &mut Column,
    ) -> Result<(), GatewayError> {
        let Some(block) = self.blocks.get(part.block as usize) else { return Ok(()) };
        let mut reader = AggregateReader::new(self.wanted, block.about.resolution_ms);
        let (start, mut left) = (into.len(), range);
        let reach = block.about.reach(range);
        for want in part.chunks.iter().filter(|want| want.range().overlaps(reach)) {
            let (encoding, data) = self.found(part, fetched, want)?;
            let pushed = reader.push_bytes(encoding, data, left, into);
            pushed.map_err(|error| self.broken(part, want, &error.to_string()))?;
            // Chunks that overlap, which a sound writer does not write, must not turn time back.
            if let Some(last) = into.timestamps.get(start..).and_then(<[i64]>::last) {
                left.start_ms = left.start_ms.max(last.saturating_add(1));
            }
        }
        Ok(())
    }

    fn found<'f>(
        &self,
        part: &PartOf,
        fetched: &'f Fetched,
        want: &ChunkWant,
    ) -> Result<(u8, &'f Bytes), GatewayError> {
        let chunk = fetched.chunk(part.block, want);
        chunk.ok_or_else(|| self.broken(part, want, "chunk that was not fetched"))
    }

    fn broken(&self, part: &PartOf, want: &ChunkWant, what: &str) -> GatewayError {
        match self.segment((part.block, want.segment())) {
            Ok((_, segment)) => GatewayError::corrupt(&segment.key, want.offset(), what),
            Err(error) => error,
        }
    }
}

fn page_key(block: &GateBlock, segment: u32, page: u64) -> Key {
    Key { kind: Kind::Chunks, block: block.about.ulid, segment, at: page }
}

/// A series of the answer.
#[derive(Debug)]
pub(super) struct GatewaySeries {
    pub(super) labels: Labels,
    pub(super) group: Arc<Group>,
    pub(super) member: usize,
}

impl GatewaySeries {
    fn parts(&self) -> &[PartOf] {
        self.group.members.get(self.member).map_or(&[], Vec::as_slice)
    }

    fn try_read(&self, range: TimeRange, into: &mut Column) -> Result<(), GatewayError> {
        let fetched = self.group.fetched()?;
        let mut runs = Vec::new();
        for part in self.parts() {
            let range = TimeRange::new(
                range.start_ms.max(part.range.start_ms),
                range.end_ms.min(part.range.end_ms),
            );
            let start = into.len();
            self.group.answer.read(part, &fetched, range, into)?;
            if into.len() > start {
                runs.push(start);
            }
        }
        if self.parts().len() > 1 {
            // What a histogram says of the one before it was said in its own block.
            runs.iter().for_each(|run| forget_before(into, *run));
        }
        merge_runs(into, &runs);
        self.group.done(self.member);
        Ok(())
    }

    fn try_chunks(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), GatewayError> {
        let fetched = self.group.fetched()?;
        let start = into.len();
        for part in self.parts() {
            let is_wanted = |want: &&ChunkWant| {
                want.range().overlaps(range) && want.range().overlaps(part.range)
            };
            for want in part.chunks.iter().filter(is_wanted) {
                let (encoding, data) = self.group.answer.found(part, &fetched, want)?;
                let (min_time_ms, max_time_ms) = (want.min_time_ms, want.max_time_ms);
                into.push(Chunk { min_time_ms, max_time_ms, encoding, data: data.clone() });
            }
        }
        into.get_mut(start..).unwrap_or_default().sort_by_key(|chunk| chunk.min_time_ms);
        self.group.done(self.member);
        Ok(())
    }
}

impl Series for GatewaySeries {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn resolution_ms(&self) -> i64 {
        let parts = self.group.members.get(self.member).into_iter().flatten();
        let blocks = parts.filter_map(|part| self.group.answer.blocks.get(part.block as usize));
        blocks.map(|block| block.about.resolution_ms).max().unwrap_or(0)
    }

    fn read(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError> {
        let start = into.len();
        self.try_read(range, into).map_err(|error| {
            into.truncate(start);
            self.group.answer.shared.refused(error)
        })
    }

    fn chunks(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), QueryError> {
        let start = into.len();
        self.try_chunks(range, into).map_err(|error| {
            into.truncate(start);
            self.group.answer.shared.refused(error)
        })
    }
}
