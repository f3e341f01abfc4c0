//! Chunks as they are stored, and as they travel.
//!
//! On the wire there are only the encodings 1 to 3, and a downsampled chunk is taken apart into
//! those of its aggregates that were asked for.

use std::fmt;

use bytes::Bytes;

use crate::chunk::{AGGREGATE, AggregateChunk, ChunkError, Encoding, Part, encode_aggregate};
use crate::model::Column;
use crate::series::{Aggregate, Chunk};
use crate::storage::block::encode_plain;

use super::frames::{self, FrameWriter};
use super::refusal::Refusal;

/// The field of raw samples in `AggrChunk`.
const RAW_FIELD: u32 = 3;

/// The aggregates: their number in a request, their field in `AggrChunk`, their place in a chunk.
const AGGREGATES: [(i32, u32, Part); 5] = [
    (1, 4, Part::Count),
    (2, 5, Part::Sum),
    (3, 6, Part::Min),
    (4, 7, Part::Max),
    (5, 8, Part::Counter),
];

/// The numbers with which a request asks for an aggregate.
pub(super) const fn numbers_for(wanted: Aggregate) -> &'static [i32] {
    match wanted {
        Aggregate::Average => &[1, 2],
        Aggregate::Count => &[1],
        Aggregate::Sum => &[2],
        Aggregate::Min => &[3],
        Aggregate::Max => &[4],
        Aggregate::Counter => &[5],
    }
}

/// A function that wants what a request asks for, for sources that must know it before they read.
pub(super) fn function_for(numbers: &[i32]) -> Option<&'static str> {
    let wanted = numbers.iter().copied().max()?;
    match wanted {
        1 => Some("count_over_time"),
        2 if !numbers.contains(&1) => Some("sum_over_time"),
        3 => Some("min_over_time"),
        4 => Some("max_over_time"),
        5 => Some("increase"),
        _ => None,
    }
}

/// Writes stored chunks as those of an answer.
pub(super) struct ChunkWriter<'a> {
    /// Numbers of the aggregates that were asked for.
    numbers: &'a [i32],
    /// Where a chunk is decoded that must be encoded anew, and what becomes of it.
    column: Column,
    plain: Vec<Chunk>,
}

impl<'a> ChunkWriter<'a> {
    pub(super) fn new(numbers: &'a [i32]) -> Self {
        Self { numbers, column: Column::new(), plain: Vec::new() }
    }

    /// Adds a chunk to the series that was begun.
    pub(super) fn write(
        &mut self,
        chunk: &Chunk,
        into: &mut FrameWriter<'_>,
    ) -> Result<(), WriteError> {
        let span_ms = (chunk.min_time_ms, chunk.max_time_ms);
        match chunk.encoding {
            1..=3 => {
                let data = &*chunk.data;
                into.chunk(span_ms, &[raw(chunk.encoding, data)])?;
            }
            AGGREGATE => self.write_aggregates(chunk, into)?,
            _ => self.write_anew(chunk, into)?,
        }
        Ok(())
    }

    fn write_aggregates(
        &self,
        chunk: &Chunk,
        into: &mut FrameWriter<'_>,
    ) -> Result<(), WriteError> {
        let stored = AggregateChunk::parse(&chunk.data)?;
        let mut parts = Vec::with_capacity(AGGREGATES.len());
        for (number, field, part) in AGGREGATES {
            // Histograms have no lowest and no highest.
            let asked = stored.get(part).filter(|_| self.numbers.contains(&number));
            parts.extend(asked.map(|(encoding, data)| frames::Part { field, encoding, data }));
        }
        if parts.is_empty() {
            return Err(WriteError::NotAsked);
        }
        Ok(into.chunk((chunk.min_time_ms, chunk.max_time_ms), &parts)?)
    }

    /// Start timestamps do not travel.
    fn write_anew(&mut self, chunk: &Chunk, into: &mut FrameWriter<'_>) -> Result<(), WriteError> {
        self.plain.clear();
        encode_plain(chunk, &mut self.column, &mut self.plain)?;
        for chunk in &self.plain {
            let span_ms = (chunk.min_time_ms, chunk.max_time_ms);
            into.chunk(span_ms, &[raw(chunk.encoding, &chunk.data)])?;
        }
        Ok(())
    }
}

const fn raw(encoding: u8, data: &[u8]) -> frames::Part<'_> {
    frames::Part { field: RAW_FIELD, encoding, data }
}

/// Why a chunk is not in the answer.
#[derive(Debug)]
pub(super) enum WriteError {
    Chunk(ChunkError),
    /// It is downsampled and has nothing of what was asked for.
    NotAsked,
    /// The whole answer came to an end.
    Refusal(Refusal),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chunk(error) => error.fmt(f),
            Self::NotAsked => f.write_str("no aggregate that was asked for is there"),
            Self::Refusal(_) => f.write_str("the answer ended"),
        }
    }
}

impl From<ChunkError> for WriteError {
    fn from(error: ChunkError) -> Self {
        Self::Chunk(error)
    }
}

impl From<Refusal> for WriteError {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

/// What an `AggrChunk` held: encoding and data of the raw samples or of aggregates.
#[derive(Debug, Default)]
pub(super) struct Parts {
    raw: Option<(u8, Bytes)>,
    aggregates: [Option<(u8, Bytes)>; AGGREGATES.len()],
}

impl Parts {
    /// Takes the value of a field of `AggrChunk`.
    pub(super) fn set(&mut self, field: u32, part: (u8, Bytes)) {
        if field == RAW_FIELD {
            self.raw = Some(part);
        } else {
            let fields = AGGREGATES.iter().map(|(_, field, _)| *field);
            let place = fields.zip(&mut self.aggregates).find(|(known, _)| *known == field);
            if let Some((_, place)) = place {
                *place = Some(part);
            }
        }
    }
}

/// A chunk as it would be stored; none if it is empty.
///
/// # Errors
/// Aggregates in an encoding that they never have.
pub(super) fn read_parts(
    (min_time_ms, max_time_ms): (i64, i64),
    parts: &Parts,
) -> Result<Option<Chunk>, ChunkError> {
    if let Some((encoding, data)) = &parts.raw {
        Encoding::try_from(*encoding)?;
        let (encoding, data) = (*encoding, data.clone());
        return Ok(Some(Chunk { min_time_ms, max_time_ms, encoding, data }));
    }
    if parts.aggregates.iter().all(Option::is_none) {
        return Ok(None);
    }
    let mut stored = [None; AGGREGATES.len() + 1];
    for ((_, _, part), value) in AGGREGATES.iter().zip(&parts.aggregates) {
        if let Some(place) = stored.get_mut(*part as usize) {
            *place = value.as_ref().map(|(encoding, data)| (*encoding, &**data));
        }
    }
    let data = encode_aggregate(&stored);
    AggregateChunk::parse(&data)?;
    Ok(Some(Chunk { min_time_ms, max_time_ms, encoding: AGGREGATE, data }))
}
