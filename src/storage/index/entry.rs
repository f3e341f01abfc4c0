//! The entry of one series: its labels and the places of its chunks.

use crate::base::varint::{Cursor, Truncated, from_zigzag, uvarint_bytes};
use crate::series::TimeRange;

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
    let mut small = || u32::try_from(number(cursor)?).ok();
    Some((small()?, small()?))
}

/// Reads how many chunks there are, and them. Deltas are read as they are; who reads the samples
/// does not rely on the order.
pub(super) fn read_chunks(cursor: &mut Cursor<'_>, into: &mut Vec<ChunkMeta>) -> Option<()> {
    read_chunks_in(cursor, TimeRange::ALL, into)
}

/// So many chunks are skipped at once: first many, then fewer.
const SKIPPED: [usize; 2] = [64, 16];

/// As [`read_chunks`], but only those that overlap `range`. What lies behind the first one that
/// begins after it is not looked at.
pub(super) fn read_chunks_in(
    cursor: &mut Cursor<'_>,
    range: TimeRange,
    into: &mut Vec<ChunkMeta>,
) -> Option<()> {
    let mut left = number(cursor)?;
    if left == 0 {
        return Some(());
    }
    let min_time_ms = from_zigzag(number(cursor)?);
    let max_time_ms = min_time_ms.wrapping_add_unsigned(number(cursor)?);
    let reference = number(cursor)?;
    let mut chunk = ChunkMeta { min_time_ms, max_time_ms, reference };
    // How many are walked one by one before some are skipped again.
    let mut walked = 0;
    loop {
        if chunk.min_time_ms > range.end_ms {
            return Some(());
        }
        if chunk.max_time_ms >= range.start_ms {
            into.push(chunk);
        }
        left -= 1;
        if left == 0 {
            return Some(());
        }
        // For a question to few samples this loop is most of the work.
        if walked == 0 && chunk.max_time_ms < range.start_ms {
            for count in SKIPPED {
                while let Some(behind) = skipped(cursor, &chunk, range.start_ms, (count, left)) {
                    (chunk, left) = (behind, left - count as u64);
                }
                walked = count;
            }
        }
        walked = walked.saturating_sub(1);
        let [gap_ms, length_ms, distance] = match cursor.three_uvarints() {
            Some(three) => three,
            None => [number(cursor)?, number(cursor)?, number(cursor)?],
        };
        chunk.min_time_ms = chunk.max_time_ms.wrapping_add_unsigned(gap_ms);
        chunk.max_time_ms = chunk.min_time_ms.wrapping_add_unsigned(length_ms);
        chunk.reference = chunk.reference.wrapping_add_signed(from_zigzag(distance));
    }
}

/// One number. Not inlined: where an entry is read after other work, most of the time goes into
/// fetching code.
#[inline(never)]
fn number(cursor: &mut Cursor<'_>) -> Option<u64> {
    cursor.uvarint().ok()
}

/// The last of the next `count` chunks, if all of them end before `start_ms`, their numbers are
/// laid out alike, and they are fewer than are left. Else nothing is read.
#[inline]
fn skipped(
    cursor: &mut Cursor<'_>,
    chunk: &ChunkMeta,
    start_ms: i64,
    (count, left): (usize, u64),
) -> Option<ChunkMeta> {
    if left <= count as u64 {
        return None;
    }
    let mut behind = *cursor;
    let [gaps_ms, lengths_ms, distances] = behind.sum_threes(count)?;
    let max_time_ms = chunk.max_time_ms.checked_add_unsigned(gaps_ms.checked_add(lengths_ms)?)?;
    if max_time_ms >= start_ms {
        return None;
    }
    *cursor = behind;
    // The sum of zig-zag values that are all even is that of the sum. Where the last chunk begins
    // does not matter: it ends too early.
    let reference = chunk.reference.wrapping_add(distances >> 1);
    Some(ChunkMeta { min_time_ms: max_time_ms, max_time_ms, reference })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::varint::{put_uvarint, put_varint};
    use proptest::prelude::*;

    fn entry(chunks: &[ChunkMeta]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_uvarint(&mut bytes, chunks.len() as u64);
        let mut last: Option<&ChunkMeta> = None;
        for chunk in chunks {
            match last {
                None => put_varint(&mut bytes, chunk.min_time_ms),
                Some(last) => {
                    put_uvarint(&mut bytes, chunk.min_time_ms.abs_diff(last.max_time_ms));
                }
            }
            put_uvarint(&mut bytes, chunk.max_time_ms.abs_diff(chunk.min_time_ms));
            match last {
                None => put_uvarint(&mut bytes, chunk.reference),
                Some(last) => {
                    put_varint(&mut bytes, chunk.reference.wrapping_sub(last.reference) as i64);
                }
            }
            last = Some(chunk);
        }
        bytes
    }

    proptest! {
        #[test]
        fn chunks_of_a_range_are_those_of_all_that_overlap_it(
            start_ms in -1_000_000_i64..1_000_000,
            shape in prop::collection::vec((1_i64..20_000, 0_i64..3_000_000, 1_u64..5000), 0..90),
            uneven in prop::collection::vec((0_usize..90, 1_i64..90_000_000, any::<u32>()), 0..3),
            places in [0.0_f64..1.1, 0.0_f64..1.1],
        ) {
            // Gaps and lengths of real chunks are nearly all of the same number of bytes.
            let (mut now_ms, mut reference) = (start_ms, 8_u64);
            let mut chunks = Vec::new();
            for (index, (gap_ms, length_ms, size)) in shape.iter().enumerate() {
                let odd = uneven.iter().find(|odd| odd.0 == index);
                let gap_ms = odd.map_or(gap_ms % 100 + 10_000, |odd| odd.1);
                let min_time_ms = now_ms + gap_ms;
                now_ms = min_time_ms + length_ms % 1000 + 1_100_000;
                reference = match odd {
                    Some(odd) => u64::from(odd.2) << 20,
                    None => reference + size % 50 + 300,
                };
                chunks.push(ChunkMeta { min_time_ms, max_time_ms: now_ms, reference });
            }
            let span = (now_ms - start_ms) as f64;
            let mut ends = places.map(|place| start_ms + (place * span) as i64);
            ends.sort_unstable();
            let range = TimeRange::new(ends[0], ends[1]);
            let bytes = entry(&chunks);
            let (mut all, mut some) = (Vec::new(), Vec::new());
            read_chunks(&mut Cursor::new(&bytes), &mut all).unwrap();
            prop_assert_eq!(&all, &chunks);
            read_chunks_in(&mut Cursor::new(&bytes), range, &mut some).unwrap();
            all.retain(|c| c.min_time_ms <= range.end_ms && c.max_time_ms >= range.start_ms);
            prop_assert_eq!(some, all);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, start_ms: i64) {
            let range = TimeRange::new(start_ms, i64::MAX);
            let mut chunks = Vec::new();
            let _ = read_chunks_in(&mut Cursor::new(&bytes), range, &mut chunks);
            prop_assert!(chunks.len() <= bytes.len());
        }
    }
}
