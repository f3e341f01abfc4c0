//! The frames of a `Series` answer, written without intermediate objects.
//!
//! | message          | fields                                                             |
//! |------------------|--------------------------------------------------------------------|
//! | `SeriesResponse` | one of: 1 `Series`, 2 warning, 3 hints, 4 `SeriesBatch`              |
//! | `SeriesBatch`    | 1 `Series`, repeated                                                |
//! | `Series`         | 1 `Label`, repeated; 2 `AggrChunk`, repeated                         |
//! | `Label`          | 1 name, 2 value                                                     |
//! | `AggrChunk`      | 1 first time, 2 last time, then `Chunk`s: 3 raw, or aggregates:     |
//! |                  | 4 count, 5 sum, 6 min, 7 max, 8 counter                             |
//! | `Chunk`          | 1 encoding less one, 2 data, 3 xxhash64 of the data                 |
//!
//! Field 1 of `SeriesBatch` is written as field 1 of `SeriesResponse` is, so that a frame of one
//! series is a batch of one without its head.

use bytes::Bytes;

use crate::base::varint::{MAX_VARINT_BYTES, put_uvarint, uvarint_bytes};
use crate::model::Labels;

use super::refusal::Refusal;

/// Hands a frame on; false if nobody takes it any more.
pub(super) type Send<'a> = &'a mut dyn FnMut(Bytes) -> bool;

/// The samples of one `AggrChunk`, or one of its aggregates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    /// Its field in `AggrChunk`.
    pub(super) field: u32,
    /// 1 to 3 as chunks are on disk.
    pub(super) encoding: u8,
    pub(super) data: &'a [u8],
}

/// Tag and length of the batch are written before its series, once these are known.
const HEAD_BYTES: usize = 1 + MAX_VARINT_BYTES;
const BATCH_TAG: u8 = 4 << 3 | 2;
/// Raw samples, or five aggregates.
const PARTS_MAX: usize = 5;

/// Packs series into frames. All frames of a series follow one another.
pub(super) struct FrameWriter<'a> {
    send: Send<'a>,
    /// At most so many series in a frame.
    batch_size: usize,
    /// A frame is sent once it is longer.
    frame_bytes: usize,
    /// Labels of the series that was begun, as fields of `Series`.
    labels: Vec<u8>,
    /// The series that was begun.
    series: Vec<u8>,
    /// Room for the head, then whole series.
    frame: Vec<u8>,
    series_in_frame: usize,
}

impl<'a> FrameWriter<'a> {
    pub(super) fn new(send: Send<'a>, batch_size: usize, frame_bytes: usize) -> Self {
        let mut writer = Self {
            send,
            batch_size: batch_size.max(1),
            frame_bytes,
            labels: Vec::new(),
            series: Vec::new(),
            frame: Vec::new(),
            series_in_frame: 0,
        };
        writer.begin_frame();
        writer
    }

    fn begin_frame(&mut self) {
        self.frame.resize(HEAD_BYTES, 0);
        self.series_in_frame = 0;
    }

    /// Begins a series.
    pub(super) fn begin(&mut self, labels: &Labels) {
        self.labels.clear();
        for (name, value) in labels.iter() {
            self.labels.push(1 << 3 | 2);
            put_uvarint(&mut self.labels, (text_bytes(name) + text_bytes(value)) as u64);
            put_bytes(&mut self.labels, 1, name.as_bytes());
            put_bytes(&mut self.labels, 2, value.as_bytes());
        }
        self.series.clear();
        self.series.extend_from_slice(&self.labels);
    }

    /// Adds a chunk to the series that was begun.
    pub(super) fn chunk(&mut self, span_ms: (i64, i64), parts: &[Part<'_>]) -> Result<(), Refusal> {
        // Only a series that goes on is cut, so that none ends with a frame without chunks.
        if !self.is_bare() && self.series.len() > self.frame_bytes {
            self.end_series()?;
            self.series.extend_from_slice(&self.labels);
        }
        put_chunk(&mut self.series, span_ms, parts);
        Ok(())
    }

    /// True if the series that was begun has no chunk.
    pub(super) fn is_bare(&self) -> bool {
        self.series.len() == self.labels.len()
    }

    /// Ends the series that was begun.
    pub(super) fn end_series(&mut self) -> Result<(), Refusal> {
        put_bytes(&mut self.frame, 1, &self.series);
        self.series.clear();
        self.series_in_frame += 1;
        if self.series_in_frame >= self.batch_size || self.frame.len() > self.frame_bytes {
            self.flush()?;
        }
        Ok(())
    }

    /// Sends a warning.
    pub(super) fn warn(&mut self, text: &str) -> Result<(), Refusal> {
        let mut frame = Vec::with_capacity(text_bytes(text));
        put_bytes(&mut frame, 2, text.as_bytes());
        if (self.send)(frame.into()) { Ok(()) } else { Err(Refusal::Gone) }
    }

    /// Sends what is left.
    pub(super) fn flush(&mut self) -> Result<(), Refusal> {
        if self.series_in_frame == 0 {
            return Ok(());
        }
        let mut start = HEAD_BYTES;
        if self.batch_size > 1 {
            let mut head = vec![BATCH_TAG];
            put_uvarint(&mut head, (self.frame.len() - HEAD_BYTES) as u64);
            start -= head.len();
            if let Some(place) = self.frame.get_mut(start..HEAD_BYTES) {
                place.copy_from_slice(&head);
            }
        }
        let frame = Bytes::from(std::mem::take(&mut self.frame)).slice(start..);
        self.begin_frame();
        if (self.send)(frame) { Ok(()) } else { Err(Refusal::Gone) }
    }
}

fn put_chunk(out: &mut Vec<u8>, (first_ms, last_ms): (i64, i64), parts: &[Part<'_>]) {
    let mut hashes = [0; PARTS_MAX];
    for (hash, part) in hashes.iter_mut().zip(parts) {
        *hash = xxhash_rust::xxh64::xxh64(part.data, 0);
    }
    let parts = parts.iter().zip(hashes);
    let part_bytes = |part: &Part<'_>, hash: u64| {
        let kind_bytes = if part.encoding > 1 { 2 } else { 0 };
        kind_bytes + bytes_bytes(part.data.len()) + 1 + uvarint_bytes(hash)
    };
    let mut length: usize =
        parts.clone().map(|(part, hash)| bytes_bytes(part_bytes(part, hash))).sum();
    let times = [(1, first_ms), (2, last_ms)].into_iter().filter(|(_, time_ms)| *time_ms != 0);
    length += times.clone().map(|(_, time_ms)| 1 + uvarint_bytes(time_ms as u64)).sum::<usize>();
    out.push(2 << 3 | 2);
    put_uvarint(out, length as u64);
    for (field, time_ms) in times {
        out.push(field << 3);
        // As protobuf has it: a negative time is a large number.
        put_uvarint(out, time_ms as u64);
    }
    for (part, hash) in parts {
        out.push((part.field as u8) << 3 | 2);
        put_uvarint(out, part_bytes(part, hash) as u64);
        if part.encoding > 1 {
            out.extend([1 << 3, part.encoding - 1]);
        }
        put_bytes(out, 2, part.data);
        out.push(3 << 3);
        put_uvarint(out, hash);
    }
}

const fn text_bytes(text: &str) -> usize {
    bytes_bytes(text.len())
}

/// The length of a field with so many bytes, whose number is below 16.
const fn bytes_bytes(length: usize) -> usize {
    1 + uvarint_bytes(length as u64) + length
}

fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    put_uvarint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
