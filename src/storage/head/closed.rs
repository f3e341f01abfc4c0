//! A chunk that takes no more samples: in memory, or in a chunk file.

use crate::series::{Chunk, QueryError, SeriesRef, TimeRange};

use super::mapped::{ChunkFiles, ChunkRef, Entry, FilesView, MappedError};

/// A finished chunk of a series.
#[derive(Debug, Clone)]
pub(super) enum Closed {
    Memory(Chunk),
    /// In a chunk file, under this reference.
    Mapped {
        range: TimeRange,
        encoding: u8,
        at: ChunkRef,
    },
}

impl Closed {
    /// From its first to its last sample.
    pub(super) const fn range(&self) -> TimeRange {
        match self {
            Self::Memory(chunk) => chunk.range(),
            Self::Mapped { range, .. } => *range,
        }
    }

    pub(super) const fn encoding(&self) -> u8 {
        match self {
            Self::Memory(chunk) => chunk.encoding,
            Self::Mapped { encoding, .. } => *encoding,
        }
    }

    /// Where it lies, if it is in a file.
    pub(super) const fn place(&self) -> Option<ChunkRef> {
        match self {
            Self::Memory(_) => None,
            Self::Mapped { at, .. } => Some(*at),
        }
    }

    /// Bytes that it takes in memory besides itself.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Memory(chunk) => chunk.data.len(),
            Self::Mapped { .. } => 0,
        }
    }

    /// Moves it to a file. After an error it is in memory as before.
    pub(super) fn map(
        &mut self,
        series: SeriesRef,
        is_out_of_order: bool,
        files: &ChunkFiles,
    ) -> Result<(), MappedError> {
        let Self::Memory(chunk) = self else { return Ok(()) };
        let Chunk { min_time_ms, max_time_ms, encoding, .. } = *chunk;
        let data = &chunk.data;
        let entry = Entry { series, min_time_ms, max_time_ms, encoding, is_out_of_order, data };
        let at = files.write(&entry)?;
        *self = Self::Mapped { range: chunk.range(), encoding, at };
        Ok(())
    }

    /// The chunk, read from its file if it lies in one.
    pub(super) fn load(self, files: Option<&FilesView>) -> Result<Chunk, QueryError> {
        match self {
            Self::Memory(chunk) => Ok(chunk),
            Self::Mapped { range, at, .. } => {
                let none = || QueryError::Unavailable("head chunk files are closed".into());
                let (encoding, data) = files.ok_or_else(none)?.read(at).map_err(refused)?;
                let TimeRange { start_ms: min_time_ms, end_ms: max_time_ms } = range;
                Ok(Chunk { min_time_ms, max_time_ms, encoding, data })
            }
        }
    }
}

fn refused(error: MappedError) -> QueryError {
    match error {
        MappedError::Damaged(damage) => QueryError::Corrupt(damage.to_string()),
        other => QueryError::Io(other.to_string()),
    }
}
