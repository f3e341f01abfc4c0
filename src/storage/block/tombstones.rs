//! `tombstones`: which samples of a block are deleted, though their bytes are there.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::base::varint::{Cursor, put_uvarint, put_varint};
use crate::disk::{Disk, write_atomic, write_synced};
use crate::series::{Column, TimeRange};

use super::BlockError;

pub(super) const TOMBSTONES: &str = "tombstones";
const MAGIC: u32 = 0x0130_ba30;
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 5;

/// Adds a span to spans that ascend with gaps between them; spans that touch become one.
pub fn add_interval(intervals: &mut Vec<TimeRange>, added: TimeRange) {
    if added.start_ms > added.end_ms {
        return;
    }
    let first = intervals.partition_point(|known| known.end_ms < added.start_ms.saturating_sub(1));
    let behind =
        intervals.partition_point(|known| known.start_ms <= added.end_ms.saturating_add(1));
    let touched = intervals.get(first..behind).unwrap_or_default();
    let start_ms =
        touched.first().map_or(added.start_ms, |known| known.start_ms.min(added.start_ms));
    let end_ms = touched.last().map_or(added.end_ms, |known| known.end_ms.max(added.end_ms));
    intervals.splice(first..behind, [TimeRange { start_ms, end_ms }]);
}

/// Removes the samples from `from` on that lie in one of `intervals`.
pub(in crate::storage) fn remove_deleted(
    column: &mut Column,
    from: usize,
    intervals: &[TimeRange],
) {
    if intervals.is_empty() {
        return;
    }
    let is_kept = |time| {
        let place = intervals.partition_point(|interval| interval.end_ms < time);
        intervals.get(place).is_none_or(|interval| time < interval.start_ms)
    };
    column.retain_from(from, is_kept);
}

/// Deleted spans by series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tombstones(BTreeMap<u32, Vec<TimeRange>>);

impl Tombstones {
    /// Nothing is deleted.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Deletes a span of a series.
    pub fn add(&mut self, series: u32, interval: TimeRange) {
        add_interval(self.0.entry(series).or_default(), interval);
    }

    /// The deleted spans of a series, ascending with gaps between them.
    #[must_use]
    pub fn of(&self, series: u32) -> &[TimeRange] {
        self.0.get(&series).map_or(&[], Vec::as_slice)
    }

    /// How many spans there are, over all series.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Reads the file of the block in `dir`; without one, nothing is deleted. Returns how long the
    /// file is, too.
    ///
    /// # Errors
    /// The disk's answer, or bytes that are not what they should be.
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<(Self, u64), BlockError> {
        let path = dir.join(TOMBSTONES);
        let bytes = match disk.read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Self::new(), 0)),
            Err(error) => return Err(BlockError::io(&path)(error)),
        };
        match Self::decode(&bytes) {
            Ok(tombstones) => Ok((tombstones, bytes.len() as u64)),
            Err(what) => Err(BlockError::corrupt(&path, 0, what)),
        }
    }

    /// Writes the file of the block in `dir`, in one step.
    ///
    /// # Errors
    /// The disk's answer; the old file is then still there.
    pub fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), BlockError> {
        let path = dir.join(TOMBSTONES);
        write_atomic(disk, &path, &self.encode()).map_err(BlockError::io(&path))
    }

    /// As [`write`](Self::write), to a folder that nobody reads and that is to be synced.
    pub(super) fn write_new(&self, disk: &dyn Disk, dir: &Path) -> Result<(), BlockError> {
        let path = dir.join(TOMBSTONES);
        write_synced(disk, &path, &self.encode()).map_err(BlockError::io(&path))
    }

    fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut header = Cursor::new(bytes);
        if header.u32_be() != Ok(MAGIC) || header.u8() != Ok(VERSION) {
            return Err("not a tombstones file of version 1");
        }
        let (rows, checksum) = header.rest().split_last_chunk().ok_or("checksum is missing")?;
        if crc32c::crc32c(rows) != u32::from_be_bytes(*checksum) {
            return Err("checksum mismatch");
        }
        let mut tombstones = Self::new();
        let mut rows = Cursor::new(rows);
        while !rows.is_empty() {
            let mut row = || {
                let series = u32::try_from(rows.uvarint().ok()?).ok()?;
                Some((series, TimeRange::new(rows.varint().ok()?, rows.varint().ok()?)))
            };
            let (series, interval) = row().ok_or("malformed row")?;
            tombstones.add(series, interval);
        }
        Ok(tombstones)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_be_bytes().to_vec();
        out.push(VERSION);
        for (series, intervals) in &self.0 {
            for interval in intervals {
                put_uvarint(&mut out, u64::from(*series));
                put_varint(&mut out, interval.start_ms);
                put_varint(&mut out, interval.end_ms);
            }
        }
        let checksum = crc32c::crc32c(out.get(HEADER_BYTES..).unwrap_or_default());
        out.extend_from_slice(&checksum.to_be_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn spans_that_touch_become_one(spans in vec((-20_i64..20, -2_i64..8), 0..12)) {
            let mut intervals = Vec::new();
            for (start, length) in &spans {
                add_interval(&mut intervals, TimeRange::new(*start, start + length));
            }
            for time in -25..35 {
                let is_deleted = |range: &TimeRange| range.contains(time);
                let mut ends = spans.iter().map(|(start, length)| (*start, start + length));
                let wanted = ends.any(|(start, end)| (start..=end).contains(&time));
                prop_assert_eq!(intervals.iter().any(is_deleted), wanted);
            }
            for pair in intervals.windows(2) {
                prop_assert!(pair[0].end_ms + 1 < pair[1].start_ms);
            }
        }

        #[test]
        fn deleted_samples_are_removed_behind_the_start(
            spans in vec((0_i64..60, 0_i64..8), 0..6), from in 0_usize..20,
        ) {
            let mut intervals = Vec::new();
            for (start, length) in spans {
                add_interval(&mut intervals, TimeRange::new(start, start + length));
            }
            let mut column = Column::new();
            (0..60).for_each(|time| column.push(time, time as f64));
            let mut wanted = column.timestamps.clone();
            wanted.retain(|time| {
                *time < from as i64 || !intervals.iter().any(|interval| interval.contains(*time))
            });
            remove_deleted(&mut column, from, &intervals);
            prop_assert_eq!(&column.timestamps, &wanted);
            prop_assert!(column.floats.iter().zip(&wanted).all(|(v, t)| *v == *t as f64));
        }

        #[test]
        fn rows_come_back_as_they_went(rows in vec((any::<u32>(), any::<i64>(), 0_u32..99), 0..9)) {
            let mut tombstones = Tombstones::new();
            for (series, start, length) in rows {
                let end = start.saturating_add(i64::from(length));
                tombstones.add(series, TimeRange::new(start, end));
            }
            prop_assert_eq!(Tombstones::decode(&tombstones.encode()), Ok(tombstones));
        }

        #[test]
        fn any_bytes_are_read_without_panic(rows: Vec<u8>) {
            let mut bytes = [&MAGIC.to_be_bytes()[..], &[VERSION], &rows].concat();
            bytes.extend_from_slice(&crc32c::crc32c(&rows).to_be_bytes());
            let _ = Tombstones::decode(&bytes);
        }
    }

    #[test]
    fn a_flipped_bit_is_found() {
        let mut tombstones = Tombstones::new();
        tombstones.add(7, TimeRange::new(1, 2));
        let bytes = tombstones.encode();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Tombstones::decode(&damaged).is_err(), "bit {bit}");
        }
    }
}
