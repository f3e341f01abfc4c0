//! The entry of one series: its labels and the places of its chunks.

use crate::base::varint::{Cursor, Truncated, from_zigzag, uvarint_bytes};

use super::reader::ChunkMeta;
use super::{IndexError, SERIES_ALIGNMENT_BYTES};

const SERIES: &str = "series entry";
const LIST: &str = "postings list";

/// A part of a file that was read without knowing how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<T> {
    /// All of it was there, and its checksum is right.
    Whole(T),
    /// So many bytes from its start on are needed.
    Short(u64),
}

/// For `map_err` behind a read of the entry of a series.
pub(super) fn entry_error(id: u32) -> impl Fn(Truncated) -> IndexError + Copy {
    IndexError::cut(SERIES, u64::from(id) * SERIES_ALIGNMENT_BYTES)
}

/// The body of the entry of a series that starts where `bytes` do.
///
/// # Errors
/// A checksum that is not right.
pub fn series_part(bytes: &[u8], id: u32) -> Result<Part<&[u8]>, IndexError> {
    let mut cursor = Cursor::new(bytes);
    let Ok(length) = cursor.uvarint() else {
        return Ok(Part::Short((bytes.len() as u64).saturating_add(16)));
    };
    let whole = length.saturating_add(uvarint_bytes(length) as u64 + 4);
    let parts = usize::try_from(length).ok().and_then(|length| {
        let body = cursor.take(length).ok()?;
        Some((body, cursor.u32_be().ok()?))
    });
    let Some((body, checksum)) = parts else { return Ok(Part::Short(whole)) };
    if checksum != crc32c::crc32c(body) {
        return Err(entry_error(id)(Truncated));
    }
    Ok(Part::Whole(body))
}

/// The ids in a list that starts where `bytes` do, which is at `offset` of the index.
///
/// # Errors
/// A checksum or a count that is not right.
pub fn list_part(bytes: &[u8], offset: u64) -> Result<Part<&[u8]>, IndexError> {
    let mut cursor = Cursor::new(bytes);
    let Ok(length) = cursor.u32_be() else { return Ok(Part::Short(12)) };
    let whole = u64::from(length) + 8;
    let Ok(body) = cursor.take(length as usize) else { return Ok(Part::Short(whole)) };
    let Ok(checksum) = cursor.u32_be() else { return Ok(Part::Short(whole)) };
    let mut ids = Cursor::new(body);
    let count = ids.u32_be().map_err(IndexError::cut(LIST, offset))? as usize;
    if checksum != crc32c::crc32c(body) || ids.len() != count * 4 {
        return Err(IndexError::corrupt(LIST, offset));
    }
    Ok(Part::Whole(ids.rest()))
}

/// Puts the chunks of a series into `chunks`, from the body of its entry, without its labels.
///
/// # Errors
/// An entry that is not what it should be.
pub fn entry_chunks(id: u32, body: &[u8], chunks: &mut Vec<ChunkMeta>) -> Result<(), IndexError> {
    let corrupt = entry_error(id);
    let mut cursor = Cursor::new(body);
    for _ in 0..cursor.uvarint().map_err(corrupt)? {
        label_numbers(&mut cursor).ok_or_else(|| corrupt(Truncated))?;
    }
    chunks.clear();
    read_chunks(&mut cursor, chunks).ok_or_else(|| corrupt(Truncated))
}

pub(super) fn label_numbers(cursor: &mut Cursor<'_>) -> Option<(u32, u32)> {
    let mut number = || u32::try_from(cursor.uvarint().ok()?).ok();
    Some((number()?, number()?))
}

/// Reads how many chunks there are, and them. Deltas are read as they are; who reads the samples
/// does not rely on the order.
pub(super) fn read_chunks(cursor: &mut Cursor<'_>, into: &mut Vec<ChunkMeta>) -> Option<()> {
    let count = cursor.uvarint().ok()?;
    if count == 0 {
        return Some(());
    }
    let min_time_ms = cursor.varint().ok()?;
    let max_time_ms = min_time_ms.wrapping_add_unsigned(cursor.uvarint().ok()?);
    let reference = cursor.uvarint().ok()?;
    let mut chunk = ChunkMeta { min_time_ms, max_time_ms, reference };
    into.push(chunk);
    for _ in 1..count {
        // For a question to few samples this loop is most of the work.
        let [gap_ms, length_ms, distance] = match cursor.three_uvarints() {
            Some(three) => three,
            None => [cursor.uvarint().ok()?, cursor.uvarint().ok()?, cursor.uvarint().ok()?],
        };
        chunk.min_time_ms = chunk.max_time_ms.wrapping_add_unsigned(gap_ms);
        chunk.max_time_ms = chunk.min_time_ms.wrapping_add_unsigned(length_ms);
        chunk.reference = chunk.reference.wrapping_add_signed(from_zigzag(distance));
        into.push(chunk);
    }
    Some(())
}
