//! The frames of a `Series` answer, read without intermediate objects; see [`super::frames`] for
//! what is in them.

use std::fmt;

use bytes::Bytes;

use crate::chunk::ChunkError;
use crate::model::{LabelError, Labels, LabelsBuf};
use crate::series::Chunk;
use crate::wire::remote_write::DecodeError;
use crate::wire::remote_write::fields::{Field, Fields};

use super::chunks::{Parts, read_parts};

/// Why an answer is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AnswerError {
    Message(DecodeError),
    Labels(LabelError),
    Text,
    Chunk(ChunkError),
    TooLarge { limit_bytes: usize },
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(error) => error.fmt(f),
            Self::Labels(error) => error.fmt(f),
            Self::Text => f.write_str("a text is not valid UTF-8"),
            Self::Chunk(error) => error.fmt(f),
            Self::TooLarge { limit_bytes } => {
                write!(f, "the answer is larger than the limit of {limit_bytes} bytes")
            }
        }
    }
}

impl From<DecodeError> for AnswerError {
    fn from(error: DecodeError) -> Self {
        Self::Message(error)
    }
}

impl From<ChunkError> for AnswerError {
    fn from(error: ChunkError) -> Self {
        Self::Chunk(error)
    }
}

/// A series of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) labels: Labels,
    pub(super) chunks: Vec<Chunk>,
}

/// What a store answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// In label order, each label set once.
    pub(super) series: Vec<Found>,
    pub(super) warnings: Vec<String>,
}

/// Gathers an answer frame by frame, up to a size.
#[derive(Debug)]
pub(super) struct AnswerReader {
    answer: Answer,
    labels: LabelsBuf,
    held_bytes: usize,
    limit_bytes: usize,
    is_sorted: bool,
}

impl AnswerReader {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self {
            answer: Answer::default(),
            labels: LabelsBuf::new(),
            held_bytes: 0,
            limit_bytes,
            is_sorted: true,
        }
    }

    /// Takes one frame. Chunks stay in its memory.
    ///
    /// # Errors
    /// See [`AnswerError`]; the answer is then void.
    pub(super) fn frame(&mut self, frame: &Bytes) -> Result<(), AnswerError> {
        self.hold(frame.len())?;
        let mut fields = Fields::of(frame);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => self.series(frame, field.bytes()?)?,
                2 => self.answer.warnings.push(text(field)?.to_owned()),
                4 => {
                    let mut batch = Fields::of(field.bytes()?);
                    while let Some(field) = batch.next()? {
                        if field.number == 1 {
                            self.series(frame, field.bytes()?)?;
                        }
                    }
                }
                // What the store tells of its own work.
                _ => {}
            }
        }
        Ok(())
    }

    fn hold(&mut self, bytes: usize) -> Result<(), AnswerError> {
        self.held_bytes = self.held_bytes.saturating_add(bytes);
        if self.held_bytes > self.limit_bytes {
            return Err(AnswerError::TooLarge { limit_bytes: self.limit_bytes });
        }
        Ok(())
    }

    fn series(&mut self, frame: &Bytes, message: &[u8]) -> Result<(), AnswerError> {
        self.labels.clear();
        let mut chunks = Vec::new();
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => read_label(field.bytes()?, &mut self.labels)?,
                2 => chunks.extend(read_chunk(frame, field.bytes()?)?),
                _ => {}
            }
        }
        let labels = self.labels.finish().map_err(AnswerError::Labels)?;
        match self.answer.series.last_mut() {
            Some(last) if last.labels.as_ref() == labels => last.chunks.append(&mut chunks),
            last => {
                self.is_sorted &= last.is_none_or(|last| last.labels.as_ref() < labels);
                let labels = labels.to_labels();
                // A frame of many empty series is small, what is made of it is not.
                let made_bytes = labels.memory_bytes() + size_of::<Found>();
                self.answer.series.push(Found { labels, chunks });
                self.hold(made_bytes)?;
            }
        }
        Ok(())
    }

    /// The whole answer.
    pub(super) fn finish(mut self) -> Answer {
        if !self.is_sorted {
            // Stores promise order; one that breaks it is still understood.
            self.answer.series.sort_by(|a, b| a.labels.cmp(&b.labels));
            self.answer.series.dedup_by(|next, kept| {
                let is_same = next.labels == kept.labels;
                if is_same {
                    kept.chunks.append(&mut next.chunks);
                }
                is_same
            });
        }
        for found in &mut self.answer.series {
            let key = |chunk: &Chunk| (chunk.min_time_ms, chunk.max_time_ms);
            if !found.chunks.is_sorted_by_key(key) {
                found.chunks.sort_by_key(key);
            }
            // Blocks that overlap, or receivers that replicate, send the same chunk twice.
            found.chunks.dedup();
        }
        self.answer
    }
}

fn text(field: Field<'_>) -> Result<&str, AnswerError> {
    std::str::from_utf8(field.bytes()?).map_err(|_| AnswerError::Text)
}

fn read_label(message: &[u8], labels: &mut LabelsBuf) -> Result<(), AnswerError> {
    let (mut name, mut value) = ("", "");
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => name = text(field)?,
            2 => value = text(field)?,
            _ => {}
        }
    }
    labels.push(name, value);
    Ok(())
}

/// None if there is nothing in it.
fn read_chunk(frame: &Bytes, message: &[u8]) -> Result<Option<Chunk>, AnswerError> {
    let (mut first_ms, mut last_ms) = (0, 0);
    let mut parts = Parts::default();
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => first_ms = field.int64()?,
            2 => last_ms = field.int64()?,
            3..=8 => parts.set(field.number, read_part(frame, field.bytes()?)?),
            _ => {}
        }
    }
    Ok(read_parts((first_ms, last_ms), &parts)?)
}

/// Encoding as on disk, and data.
fn read_part(frame: &Bytes, message: &[u8]) -> Result<(u8, Bytes), AnswerError> {
    let (mut kind, mut data) = (0, Bytes::new());
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => kind = field.uint64()?,
            2 => data = frame.slice_ref(field.bytes()?),
            _ => {}
        }
    }
    match u8::try_from(kind) {
        Ok(kind @ 0..=2) => Ok((kind + 1, data)),
        Ok(kind) => Err(ChunkError::Unknown(kind.saturating_add(1)).into()),
        Err(_) => Err(ChunkError::Malformed("an encoding that no chunk has").into()),
    }
}
