//! From matchers to the series of a block, and the places of their chunks.

use crate::model::{Labels, LabelsBuf, LabelsRef, Matcher};
use crate::series::TimeRange;
use crate::storage::index::{ChunkMeta, SERIES_ALIGNMENT_BYTES, SeriesScratch};

use super::block::{GateBlock, Reading, Shared};
use super::cache::Expanded;
use super::chapter::PartOf;
use super::error::GatewayError;
use super::limits::{Held, Meters};
use super::places::{self, ChunkWant};

/// Thanos reads so many bytes for a chunk whose length it does not know.
const CHUNK_GUESS_BYTES: u32 = 16_000;

/// A series of a block that has chunks in the wanted range.
#[derive(Debug)]
pub(super) struct Found {
    /// With the external labels.
    pub(super) labels: Labels,
    /// The number of the block is not known yet.
    pub(super) part: PartOf,
    /// Bytes of its chunks, as far as that is known.
    pub(super) chunks_bytes: u64,
}

impl GateBlock {
    /// The series that satisfy the question and have chunks in `range`. What they take in memory
    /// is added to `held`.
    pub(super) fn find(
        &self,
        shared: &Shared,
        meters: &Meters,
        question: &Question,
        range: TimeRange,
        held: &mut Held,
    ) -> Result<Vec<Found>, GatewayError> {
        let header = self.header(shared, meters)?;
        let expanded = self.expand(shared, meters, &header, question)?;
        let unchecked = question.unchecked(&expanded);
        let mut finder = Finder::new(self.chunk_guess_bytes(), range);
        let mut scratch = SeriesScratch::default();
        let mut joined = LabelsBuf::new();
        let index = GatewayError::index(self.index_key());
        let keeps = self.keeps_entries(shared, &header, expanded.ids.len());
        let reading = Reading { shared, meters, keeps };
        self.entries(reading, &header, &expanded.ids, &mut |id, body| {
            let labels = header.tables().decode_series(id, body, &mut scratch).map_err(index)?;
            let is_match = unchecked.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or("")));
            let labels = is_match.then(|| with_external(labels, &self.about.labels, &mut joined));
            finder.step_over(&scratch.chunks);
            let Some(labels) = labels else { return Ok(true) };
            let labels = labels
                .ok_or_else(|| self.corrupt(u64::from(id) * SERIES_ALIGNMENT_BYTES, "labels"))?;
            if !finder.choose(&scratch.chunks) {
                return Ok(true);
            }
            held.grow((labels.memory_bytes() + size_of::<Found>()) as u64)?;
            meters.series(1)?;
            meters.chunks(finder.wants.len())?;
            finder.take(id, labels, meters, held)
        })?;
        Ok(finder.found)
    }

    pub(super) fn chunk_guess_bytes(&self) -> u32 {
        match self.about.chunk_max_bytes {
            0 => CHUNK_GUESS_BYTES,
            // Length, encoding and checksum may or may not be in the number.
            known => u32::try_from(known.saturating_add(16)).unwrap_or(u32::MAX),
        }
    }
}

/// The matchers of a question, without those on external labels, in an order that does not depend
/// on how it was written.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) matchers: Vec<Matcher>,
    pub(super) text: Box<str>,
    pub(super) hash: u64,
}

impl Question {
    pub(super) fn new(matchers: Vec<Matcher>) -> Self {
        let mut texts: Vec<(String, Matcher)> =
            matchers.into_iter().map(|matcher| (matcher.to_string(), matcher)).collect();
        texts.sort_by(|a, b| a.0.cmp(&b.0));
        texts.dedup_by(|a, b| a.0 == b.0);
        let text: Vec<&str> = texts.iter().map(|one| &*one.0).collect();
        let text = text.join(",").into_boxed_str();
        let hash = xxhash_rust::xxh3::xxh3_64(text.as_bytes());
        Self { matchers: texts.into_iter().map(|one| one.1).collect(), text, hash }
    }

    /// The matchers that `expanded` was not chosen by.
    pub(super) fn unchecked(&self, expanded: &Expanded) -> Vec<&Matcher> {
        expanded.unchecked.iter().filter_map(|number| self.matchers.get(*number)).collect()
    }
}

/// Labels of a series with those of its block, which win.
fn with_external(
    labels: LabelsRef<'_>,
    external: &Labels,
    joined: &mut LabelsBuf,
) -> Option<Labels> {
    if external.is_empty() {
        return Some(labels.to_labels());
    }
    joined.clear();
    let mut others = external.iter().peekable();
    for (name, value) in labels.iter() {
        while let Some((other, text)) = others.next_if(|(other, _)| *other < name) {
            joined.push(other, text);
        }
        if others.peek().is_none_or(|(other, _)| *other != name) {
            joined.push(name, value);
        }
    }
    others.for_each(|(other, text)| joined.push(other, text));
    joined.finish().ok().map(LabelsRef::to_labels)
}

/// Gathers series. The chunks of a block lie in the order of its series, so that each one ends
/// before the next that is known: that of the same series, or the first of a later one.
struct Finder {
    guess_bytes: u32,
    range: TimeRange,
    found: Vec<Found>,
    /// Where the last chunk of the series found last is, if it waits for the next one.
    open: Option<u64>,
    /// Those of the series at hand, and whether the last one of all is among them.
    wants: Vec<ChunkWant>,
    ends_open: bool,
    /// Memory for their places.
    bytes: Vec<u8>,
}

impl Finder {
    const fn new(guess_bytes: u32, range: TimeRange) -> Self {
        Self {
            guess_bytes,
            range,
            found: Vec::new(),
            open: None,
            wants: Vec::new(),
            ends_open: false,
            bytes: Vec::new(),
        }
    }

    /// Closes the chunk that is open before those of the next series.
    fn step_over(&mut self, chunks: &[ChunkMeta]) {
        let Some(next) = chunks.first().map(|chunk| chunk.reference) else { return };
        let Some(from) = self.open.take() else { return };
        let is_same_segment = from >> 32 == next >> 32 && from < next;
        if let Some(found) = self.found.last_mut().filter(|_| is_same_segment) {
            let known = u32::try_from(next - from).unwrap_or(u32::MAX).min(self.guess_bytes);
            let less = found.part.last_guess_bytes.saturating_sub(known);
            found.part.last_guess_bytes = known;
            found.chunks_bytes = found.chunks_bytes.saturating_sub(u64::from(less));
        }
    }

    /// True if some of the chunks are wanted.
    fn choose(&mut self, chunks: &[ChunkMeta]) -> bool {
        self.ends_open = places::choose(chunks, self.range, self.guess_bytes, &mut self.wants);
        !self.wants.is_empty()
    }

    /// Takes the series at hand. Its places are kept if there is room for them.
    fn take(
        &mut self,
        id: u32,
        labels: Labels,
        meters: &Meters,
        held: &mut Held,
    ) -> Result<bool, GatewayError> {
        places::encode(&self.wants, &mut self.bytes);
        let mut kept = None;
        if meters.memory.is_half_free(self.bytes.len() as u64) {
            held.grow(self.bytes.len() as u64)?;
            kept = Some(self.bytes.as_slice().into());
        }
        let last = self.wants.last();
        let part = PartOf {
            block: 0,
            id,
            last_guess_bytes: last.map_or(0, |last| last.guess_bytes),
            places_bytes: u32::try_from(self.bytes.len()).unwrap_or(u32::MAX),
            places: kept,
        };
        self.open = last.map(|last| last.reference).filter(|_| self.ends_open);
        let chunks_bytes = self.wants.iter().map(|want| u64::from(want.guess_bytes)).sum();
        self.found.push(Found { labels, part, chunks_bytes });
        Ok(true)
    }
}
