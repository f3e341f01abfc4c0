//! Floats as XOR2 chunks: like XOR, with start times and cheap staleness markers.
//!
//! The layout is in `FORMAT.md`.

use bytes::Bytes;

use crate::base::bits::{BitReader, BitWriter};
use crate::model::{Column, STALE_NAN_BITS, is_stale};

use super::encoding::{TIME_GOES_BACK, WINDOW_TOO_WIDE};
use super::starts::{StartsIn, StartsOut};
use super::window::{Code, Headers, WindowIn, WindowOut};
use super::{ChunkError, Encoding, sample_count};

/// What a new chunk takes at once.
const FIRST_BYTES: usize = 64;
/// The number of samples and a byte about starts.
const HEADER_BYTES: usize = 3;

/// Behind a time that changed its pace: the value may be the same or stale too.
const ANY_VALUE: Headers = Headers { reuse: (0b10, 2), renew: (0b110, 3) };
/// Behind a time that kept its pace, `10` has said that the value changes.
const CHANGED_VALUE: Headers = Headers { reuse: (0b100, 3), renew: (0b101, 3) };

/// Writes one chunk, sample by sample. Its bytes are a readable chunk at any time.
#[derive(Debug, Clone)]
pub struct Xor2Appender {
    bits: BitWriter,
    min_time_ms: i64,
    max_time_ms: i64,
    value: f64,
    /// Bits of the last value that was not the staleness marker, 0 without one.
    baseline: u64,
    delta_ms: u64,
    starts: StartsOut,
    count: u16,
    window: WindowOut,
}

impl Default for Xor2Appender {
    fn default() -> Self {
        Self::new()
    }
}

impl Xor2Appender {
    /// A chunk without samples.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bits: BitWriter::after(&[0; HEADER_BYTES], FIRST_BYTES),
            min_time_ms: i64::MAX,
            max_time_ms: i64::MIN,
            value: 0.0,
            baseline: 0,
            delta_ms: 0,
            starts: StartsOut::default(),
            count: 0,
            window: WindowOut::NONE,
        }
    }

    /// Appends a sample that is newer than those before. `start_ms` says since when the value
    /// counts, 0 if that is not known.
    ///
    /// # Errors
    /// [`ChunkError::Full`] if there are 65 535 samples.
    pub fn append(
        &mut self,
        timestamp_ms: i64,
        start_ms: i64,
        value: f64,
    ) -> Result<(), ChunkError> {
        let index = self.count;
        let count = index.checked_add(1).ok_or(ChunkError::Full)?;
        let before_ms = self.max_time_ms;
        let delta_ms = timestamp_ms.wrapping_sub(before_ms) as u64;
        match index {
            0 => {
                self.bits.put_varint(timestamp_ms);
                self.bits.put(value.to_bits(), 64);
                self.min_time_ms = timestamp_ms;
                self.starts.put_first(&mut self.bits, timestamp_ms, start_ms);
            }
            1 => {
                self.bits.put_uvarint(delta_ms);
                self.put_any(value, (0, 0));
            }
            _ => self.put_joint(delta_ms.wrapping_sub(self.delta_ms) as i64, value),
        }
        if index > 0 {
            self.delta_ms = delta_ms;
            self.starts.put(&mut self.bits, index, before_ms, start_ms);
        }
        if !is_stale(value) {
            self.baseline = value.to_bits();
        }
        self.max_time_ms = timestamp_ms;
        self.value = value;
        self.count = count;
        if let Some([high, low, starts]) = self.bits.header_mut() {
            [*high, *low] = count.to_be_bytes();
            *starts = self.starts.header();
        }
        Ok(())
    }

    /// Writes time and value of a sample behind the second.
    #[inline]
    fn put_joint(&mut self, change: i64, value: f64) {
        let low = |width: u32| change as u64 & ((1 << width) - 1);
        if change == 0 {
            if is_stale(value) {
                return self.bits.put(0b11111, 5);
            }
            return match value.to_bits() ^ self.baseline {
                0 => self.bits.put(0, 1),
                change => self.window.put(&mut self.bits, (0, 0), &CHANGED_VALUE, change),
            };
        }
        // Two's complement, other than everywhere else.
        let front = if (-(1 << 12)..1 << 12).contains(&change) {
            (0b110 << 13 | low(13), 16)
        } else if (-(1 << 19)..1 << 19).contains(&change) {
            (0b1110 << 20 | low(20), 24)
        } else {
            self.bits.put(0b11110, 5);
            self.bits.put(change as u64, 64);
            (0, 0)
        };
        self.put_any(value, front);
    }

    /// Writes a value of which nothing is known, behind some bits.
    #[inline]
    fn put_any(&mut self, value: f64, front: Code) {
        if is_stale(value) {
            return self.bits.put(front.0 << 3 | 0b111, front.1 + 3);
        }
        match value.to_bits() ^ self.baseline {
            0 => self.bits.put(front.0 << 1, front.1 + 1),
            change => self.window.put(&mut self.bits, front, &ANY_VALUE, change),
        }
    }

    /// The chunk so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bits.bytes()
    }

    /// How many samples there are.
    #[must_use]
    pub const fn sample_count(&self) -> u16 {
        self.count
    }

    /// Time of the first sample; `i64::MAX` without one.
    #[must_use]
    pub const fn min_time_ms(&self) -> i64 {
        self.min_time_ms
    }

    /// Time of the last sample; `i64::MIN` without one.
    #[must_use]
    pub const fn max_time_ms(&self) -> i64 {
        self.max_time_ms
    }

    /// The last sample's value, or 0.
    #[must_use]
    pub const fn last_value(&self) -> f64 {
        self.value
    }

    /// Bytes that the appender takes in memory, itself included.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.bits.capacity_bytes()
    }

    /// The finished chunk, in no more memory than it needs.
    #[must_use]
    pub fn finish(self) -> Bytes {
        Bytes::from(self.bits.into_bytes().into_boxed_slice())
    }
}

/// Appends the samples of a chunk that lie in `start_ms..=end_ms` to a column. On an error the
/// caller takes away what was appended.
pub(super) fn decode(
    data: &[u8],
    (start_ms, end_ms): (i64, i64),
    into: &mut Column,
) -> Result<(), ChunkError> {
    let count = sample_count(Encoding::Xor2 as u8, data)?;
    let Some((&[_, _, header], body)) = data.split_first_chunk() else {
        return Err(ChunkError::Truncated);
    };
    // The first two samples take more, each of the others at least a bit: so a lying count can
    // neither keep the loop busy nor make the column grow beyond 128 times the chunk.
    if usize::from(count) > 2 + body.len() * 8 {
        return Err(ChunkError::Truncated);
    }
    let mut reader = Reader {
        bits: BitReader::new(body),
        time_ms: 0,
        delta_ms: 0,
        value: 0,
        baseline: 0,
        window: WindowIn::ALL,
    };
    let mut starts = StartsIn::new(header);
    let has_starts = !starts.are_none();
    into.timestamps.reserve(count.into());
    into.floats.reserve(count.into());
    for index in 0..count {
        let before_ms = reader.time_ms;
        reader.next(index)?;
        let time_ms = reader.time_ms;
        let sample_start_ms = match index {
            _ if !has_starts => 0,
            0 => starts.first(&mut reader.bits, time_ms)?,
            _ => starts.next(&mut reader.bits, index, before_ms),
        };
        if index > 0 && time_ms < before_ms {
            return Err(if reader.bits.is_overrun() {
                ChunkError::Truncated
            } else {
                TIME_GOES_BACK
            });
        }
        if time_ms > end_ms {
            break;
        }
        if time_ms >= start_ms {
            into.push(time_ms, f64::from_bits(reader.value));
            if has_starts {
                into.set_last_start(sample_start_ms);
            }
        }
    }
    if reader.bits.is_overrun() {
        return Err(ChunkError::Truncated);
    }
    if reader.window.is_sound() { Ok(()) } else { Err(WINDOW_TOO_WIDE) }
}

struct Reader<'a> {
    bits: BitReader<'a>,
    time_ms: i64,
    delta_ms: i64,
    /// Bits of the value.
    value: u64,
    baseline: u64,
    window: WindowIn,
}

impl Reader<'_> {
    #[inline]
    fn next(&mut self, index: u16) -> Result<(), ChunkError> {
        const VARINT: ChunkError = ChunkError::Malformed("a varint of more than 64 bits");
        match index {
            0 => {
                self.time_ms = self.bits.read_varint().ok_or(VARINT)?;
                self.value = self.bits.read(64);
                if self.value != STALE_NAN_BITS {
                    self.baseline = self.value;
                }
            }
            1 => {
                self.delta_ms = self.bits.read_uvarint().ok_or(VARINT)? as i64;
                self.time_ms = self.time_ms.wrapping_add(self.delta_ms);
                self.bits.refill();
                self.any_value();
            }
            _ => self.joint(),
        }
        Ok(())
    }

    /// Reads time and value of a sample behind the second.
    #[inline]
    fn joint(&mut self) {
        self.bits.refill();
        let next = self.bits.peek();
        match (!next).leading_zeros() {
            0 => {
                self.bits.consume(1);
                self.value = self.baseline;
            }
            1 => {
                if next >> 61 & 1 == 0 {
                    self.bits.consume(3);
                } else {
                    self.window.renew(&mut self.bits, 3);
                }
                self.change();
            }
            2 => {
                self.bits.consume(16);
                self.pace((next << 3) as i64 >> 51);
            }
            3 => {
                self.bits.consume(24);
                self.pace((next << 4) as i64 >> 44);
            }
            4 => {
                self.bits.consume(5);
                let change = self.bits.read(64) as i64;
                self.bits.refill();
                self.pace(change);
            }
            _ => {
                self.bits.consume(5);
                self.value = STALE_NAN_BITS;
            }
        }
        self.time_ms = self.time_ms.wrapping_add(self.delta_ms);
    }

    /// Takes a change of the delta and reads the value behind it.
    #[inline(always)]
    fn pace(&mut self, change: i64) {
        self.delta_ms = self.delta_ms.wrapping_add(change);
        self.any_value();
    }

    /// Reads a value of which nothing is known. Needs 14 refilled bits.
    #[inline]
    fn any_value(&mut self) {
        let next = self.bits.peek();
        match (!next).leading_zeros() {
            0 => {
                self.bits.consume(1);
                self.value = self.baseline;
            }
            1 => {
                self.bits.consume(2);
                self.change();
            }
            2 => {
                self.window.renew(&mut self.bits, 3);
                self.change();
            }
            _ => {
                self.bits.consume(3);
                self.value = STALE_NAN_BITS;
            }
        }
    }

    #[inline(always)]
    fn change(&mut self) {
        self.baseline ^= self.window.change(&mut self.bits);
        self.value = self.baseline;
    }
}
