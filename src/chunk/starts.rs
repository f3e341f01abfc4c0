//! Since when each sample counts, as XOR2 and histogram chunks with starts keep it.
//!
//! One byte of the header says whether the first sample has a start and from which sample on each
//! one says more; until there all have the start of the first.

use crate::base::bits::{BitReader, BitWriter};

use super::ChunkError;
use super::varbit;

/// Set if the first sample has a start.
const FIRST_IS_KNOWN: u8 = 0x80;
/// The last sample whose index seven bits can hold: it must begin the starts of those behind it,
/// even if nothing changed yet.
const CHANGE_MAX: u16 = 0x7f;

/// Writes what follows each sample.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StartsOut {
    start_ms: i64,
    /// From the sample's start to the time of the sample before it.
    distance_ms: i64,
    header: u8,
}

impl StartsOut {
    /// The byte for the header.
    pub(super) const fn header(&self) -> u8 {
        self.header
    }

    /// True if a sample `index` with this start is followed by nothing.
    #[inline]
    pub(super) const fn says_nothing(&self, index: u16, start_ms: i64) -> bool {
        self.header & !FIRST_IS_KNOWN == 0 && start_ms == self.start_ms && index != CHANGE_MAX
    }

    /// Writes what the first sample says.
    pub(super) fn put_first(&mut self, bits: &mut BitWriter, time_ms: i64, start_ms: i64) {
        if start_ms != 0 {
            bits.put_varint(time_ms.wrapping_sub(start_ms));
            self.header = FIRST_IS_KNOWN;
            self.start_ms = start_ms;
        }
    }

    /// Writes what the sample `index`, at least 1, says; `before_ms` is the time of the sample
    /// before it.
    pub(super) fn put(&mut self, bits: &mut BitWriter, index: u16, before_ms: i64, start_ms: i64) {
        if self.says_nothing(index, start_ms) {
            return;
        }
        if self.header & !FIRST_IS_KNOWN == 0 {
            self.header |= index.min(CHANGE_MAX) as u8;
            self.distance_ms = 0;
        }
        let distance_ms = before_ms.wrapping_sub(start_ms);
        varbit::put_int(bits, distance_ms.wrapping_sub(self.distance_ms));
        (self.distance_ms, self.start_ms) = (distance_ms, start_ms);
    }
}

/// Reads what follows each sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct StartsIn {
    start_ms: i64,
    distance_ms: i64,
    is_first_known: bool,
    /// The first sample that says more, 0 if none does.
    first_change: u8,
}

impl StartsIn {
    /// For a chunk with this byte in its header.
    pub(super) const fn new(header: u8) -> Self {
        let is_first_known = header & FIRST_IS_KNOWN != 0;
        let first_change = header & !FIRST_IS_KNOWN;
        Self { start_ms: 0, distance_ms: 0, is_first_known, first_change }
    }

    /// True if no sample is followed by anything.
    pub(super) const fn are_none(&self) -> bool {
        !self.is_first_known && self.first_change == 0
    }

    /// The start of the first sample.
    pub(super) fn first(
        &mut self,
        bits: &mut BitReader<'_>,
        time_ms: i64,
    ) -> Result<i64, ChunkError> {
        if self.is_first_known {
            let distance = bits.read_varint().ok_or(ChunkError::Malformed("a varint too long"))?;
            self.start_ms = time_ms.wrapping_sub(distance);
        }
        Ok(self.start_ms)
    }

    /// The start of the sample `index`, at least 1.
    #[inline]
    pub(super) fn next(&mut self, bits: &mut BitReader<'_>, index: u16, before_ms: i64) -> i64 {
        if self.first_change > 0 && index >= u16::from(self.first_change) {
            self.distance_ms = self.distance_ms.wrapping_add(varbit::read_int(bits));
            self.start_ms = before_ms.wrapping_sub(self.distance_ms);
        }
        self.start_ms
    }
}
