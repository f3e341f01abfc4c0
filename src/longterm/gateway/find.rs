//! From matchers to the series of a block, and the places of their chunks.

use crate::model::{Labels, LabelsBuf, LabelsRef, Matcher};
use crate::series::TimeRange;
use crate::storage::index::{SERIES_ALIGNMENT_BYTES, SeriesScratch};

use super::block::{GateBlock, Shared};
use super::cache::Expanded;
use super::error::GatewayError;
use super::limits::{Held, Meters};

/// Thanos reads so many bytes for a chunk whose length it does not know.
const CHUNK_GUESS_BYTES: u64 = 16_000;
/// What lies between two chunks of a series is the first of them, unless it is absurdly much.
const CHUNK_LENGTH_BYTES_MAX: u64 = 1 << 20;

/// Where a chunk is, and how long it is at most as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkWant {
    pub(super) reference: u64,
    pub(super) min_time_ms: i64,
    pub(super) max_time_ms: i64,
    pub(super) guess_bytes: u32,
}

impl ChunkWant {
    pub(super) const fn range(&self) -> TimeRange {
        TimeRange::new(self.min_time_ms, self.max_time_ms)
    }

    pub(super) const fn segment(&self) -> u32 {
        (self.reference >> 32) as u32
    }

    pub(super) const fn offset(&self) -> u64 {
        self.reference & u32::MAX as u64
    }
}

/// A series of a block, and those of its chunks that are in the wanted range.
#[derive(Debug)]
pub(super) struct Found {
    /// With the external labels.
    pub(super) labels: Labels,
    pub(super) chunks: Box<[ChunkWant]>,
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
        let mut finder =
            Finder { guess_bytes: self.chunk_guess_bytes(), range, found: Vec::new(), open: None };
        let mut scratch = SeriesScratch::default();
        let mut joined = LabelsBuf::new();
        let index = GatewayError::index(self.index_key());
        self.entries(shared, meters, &header, &expanded.ids, &mut |id, body| {
            let labels = header.tables().decode_series(id, body, &mut scratch).map_err(index)?;
            if !unchecked.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or(""))) {
                finder.step_over(&scratch);
                return Ok(true);
            }
            let labels = with_external(labels, &self.about.labels, &mut joined)
                .ok_or_else(|| self.corrupt(u64::from(id) * SERIES_ALIGNMENT_BYTES, "labels"))?;
            if let Some(bytes) = finder.take(labels, &scratch) {
                held.grow(bytes)?;
                meters.series(1)?;
                meters.chunks(finder.found.last().map_or(0, |found| found.chunks.len()))?;
            }
            Ok(true)
        })?;
        Ok(finder.found)
    }

    fn chunk_guess_bytes(&self) -> u64 {
        match self.about.chunk_max_bytes {
            0 => CHUNK_GUESS_BYTES,
            // Length, encoding and checksum may or may not be in the number.
            known => known.saturating_add(16).min(u64::from(u32::MAX)),
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
    guess_bytes: u64,
    range: TimeRange,
    found: Vec<Found>,
    /// The number of the series whose last chunk waits for the next one.
    open: Option<usize>,
}

impl Finder {
    /// Closes the last chunk before that at `reference`.
    fn close(&mut self, reference: u64) {
        let guess_bytes = self.guess_bytes;
        let last = self.open.take().and_then(|at| self.found.get_mut(at));
        if let Some(chunk) = last.and_then(|found| found.chunks.last_mut()) {
            let is_same_segment =
                chunk.reference >> 32 == reference >> 32 && chunk.reference < reference;
            let distance = if is_same_segment { reference - chunk.reference } else { guess_bytes };
            chunk.guess_bytes = distance.min(guess_bytes) as u32;
        }
    }

    /// How long a chunk is by where the next chunk of its series is, which lies right behind it.
    fn length(&self, from: u64, next: Option<u64>) -> u32 {
        let known = next.and_then(|next| next.checked_sub(from));
        let known = known.filter(|length| (1..=CHUNK_LENGTH_BYTES_MAX).contains(length));
        known.unwrap_or(self.guess_bytes) as u32
    }

    fn step_over(&mut self, scratch: &SeriesScratch) {
        if let Some(first) = scratch.chunks.first() {
            self.close(first.reference);
        }
    }

    /// Takes a series if it has chunks in the range; tells what it takes in memory.
    fn take(&mut self, labels: Labels, scratch: &SeriesScratch) -> Option<u64> {
        self.step_over(scratch);
        let mut chunks = Vec::new();
        let mut is_last = false;
        for (at, chunk) in scratch.chunks.iter().enumerate() {
            if !TimeRange::new(chunk.min_time_ms, chunk.max_time_ms).overlaps(self.range) {
                continue;
            }
            let next = scratch.chunks.get(at + 1).map(|next| next.reference);
            is_last = next.is_none();
            chunks.push(ChunkWant {
                reference: chunk.reference,
                min_time_ms: chunk.min_time_ms,
                max_time_ms: chunk.max_time_ms,
                guess_bytes: self.length(chunk.reference, next),
            });
        }
        if chunks.is_empty() {
            return None;
        }
        if is_last {
            self.open = Some(self.found.len());
        }
        let chunks_bytes = chunks.len() * size_of::<ChunkWant>();
        let bytes = labels.memory_bytes() + chunks_bytes + size_of::<Found>();
        self.found.push(Found { labels, chunks: chunks.into() });
        Some(bytes as u64)
    }
}
