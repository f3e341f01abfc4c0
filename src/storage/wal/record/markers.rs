//! Out-of-order chunks that were mapped; only in an out-of-order log.

use crate::series::SeriesRef;

use super::super::error::RecordError;
use super::kind::{RecordKind, body};

/// Appends a record that says which chunk of each series was mapped last; 0 for none yet.
pub fn encode_mmap_markers(out: &mut Vec<u8>, rows: impl Iterator<Item = (SeriesRef, u64)>) {
    out.push(RecordKind::MmapMarkers.byte());
    for (series, chunk) in rows {
        out.extend_from_slice(&series.0.to_be_bytes());
        out.extend_from_slice(&chunk.to_be_bytes());
    }
}

/// Reads a record of mapped chunks: series, and the chunk's reference in the head's chunk files.
///
/// # Errors
/// Another kind, or bytes that are no such record; rows before them are handed out.
pub fn decode_mmap_markers(
    record: &[u8],
    mut each: impl FnMut(SeriesRef, u64),
) -> Result<(), RecordError> {
    let mut cursor = body(record, &[5])?;
    while !cursor.is_empty() {
        let series = SeriesRef(cursor.u64_be()?);
        each(series, cursor.u64_be()?);
    }
    Ok(())
}
