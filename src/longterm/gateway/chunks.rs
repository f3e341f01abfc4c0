//! Chunks and their places: how those of one object are read, and how samples come of them.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::series::{Aggregate, AggregateReader, Column, TimeRange};
use crate::storage::block::chunk_part;
use crate::storage::index::{Part, entry_chunks};

use super::block::{GateBlock, Reading, Segment, Shared};
use super::cache::{Key, Kind};
use super::chapter::Ready;
use super::error::GatewayError;
use super::fetch::Sliced;
use super::limits::{Held, Meters};
use super::places::{self, ChunkWant};

/// Segments are cached in pages of so many bytes.
const PAGE_BYTES: u64 = 16 << 10;
/// The shortest piece of a segment that can hold a chunk.
const CHUNK_BYTES_MIN: u64 = 1;

/// What all series of one answer share.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) shared: Arc<Shared>,
    pub(super) meters: Arc<Meters>,
    /// The blocks that answer, in the order in which they win, and what each is asked for.
    pub(super) blocks: Vec<(Arc<GateBlock>, TimeRange)>,
    pub(super) wanted: Aggregate,
    /// Pages of chunks are looked for in the cache, and kept there. Those of a large answer would
    /// only drive out everything else, one another first.
    pub(super) uses_pages: bool,
    /// What labels and places of chunks take.
    pub(super) _held: Held,
}

/// A chunk that was fetched: its offset, encoding and bytes.
pub(super) type FetchedChunk = (u64, u8, Bytes);

impl Sliced for FetchedChunk {
    fn slice(&mut self) -> &mut Bytes {
        &mut self.2
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
        let block = self.blocks.get(block as usize).map(|one| &one.0);
        let block = block.ok_or_else(|| GatewayError::corrupt("", 0, "no such block"))?;
        let segments = block.segments(&self.shared)?;
        let segment = segments.get(segment as usize).cloned().ok_or_else(|| gone(block))?;
        Ok((block, segment))
    }

    /// Chunks of one segment, which ascend.
    pub(super) fn fetch_chunks(
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
        let keeps_pages = self.uses_pages;
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
        if !self.uses_pages {
            return None;
        }
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

    /// The places of the chunks of these series, which ascend, in the block of that number.
    pub(super) fn places_again(
        &self,
        block: u32,
        ids: &[u32],
    ) -> Result<Vec<Box<[u8]>>, GatewayError> {
        let Some((block, range)) = self.blocks.get(block as usize) else { return Ok(Vec::new()) };
        let header = block.header(&self.shared, &self.meters)?;
        let index = GatewayError::index(block.index_key());
        let (mut chunks, mut wants, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
        let mut all = Vec::with_capacity(ids.len());
        let guess_bytes = block.chunk_guess_bytes();
        let reading = Reading { shared: &self.shared, meters: &self.meters, keeps: false };
        block.entries(reading, &header, ids, &mut |id, body| {
            entry_chunks(id, body, &mut chunks).map_err(index)?;
            places::choose(&chunks, *range, guess_bytes, &mut wants);
            places::encode(&wants, &mut bytes);
            all.push(bytes.as_slice().into());
            Ok(true)
        })?;
        Ok(all)
    }

    /// Appends the samples of a part that lie in `range`.
    pub(super) fn read(
        &self,
        block: u32,
        chunks: &[Ready],
        range: TimeRange,
        into: &mut Column,
    ) -> Result<(), GatewayError> {
        let Some((about, _)) = self.blocks.get(block as usize) else { return Ok(()) };
        let mut reader = AggregateReader::new(self.wanted, about.about.resolution_ms);
        let (start, mut left) = (into.len(), range);
        let reach = about.about.reach(range);
        for chunk in chunks.iter().filter(|chunk| chunk.range().overlaps(reach)) {
            let pushed = reader.push_bytes(chunk.encoding, &chunk.data, left, into);
            pushed.map_err(|error| self.broken(block, &chunk.want, &error.to_string()))?;
            // Chunks that overlap, which a sound writer does not write, must not turn time back.
            if let Some(last) = into.timestamps.get(start..).and_then(<[i64]>::last) {
                left.start_ms = left.start_ms.max(last.saturating_add(1));
            }
        }
        Ok(())
    }

    fn broken(&self, block: u32, want: &ChunkWant, what: &str) -> GatewayError {
        match self.segment((block, want.segment())) {
            Ok((_, segment)) => GatewayError::corrupt(&segment.key, want.offset(), what),
            Err(error) => error,
        }
    }
}

fn page_key(block: &GateBlock, segment: u32, page: u64) -> Key {
    Key { kind: Kind::Chunks, block: block.about.ulid, segment, at: page }
}
