//! Bits behind one another, the first bit of a byte its highest.
//!
//! | call            | bits                                            |
//! |-----------------|-------------------------------------------------|
//! | `put(value, n)` | the low `n` bits of `value`, highest first      |
//! | a finished text | the last byte's unused low bits are zero        |

/// What one [`BitWriter::put`] may touch: 64 bits that begin within a byte.
const TOUCHED_BYTES: usize = 9;
/// The least that a writer grows by.
const GROWTH_BYTES_MIN: usize = 64;

/// Appends bits to bytes that it owns. The bytes are complete after every call.
#[derive(Debug, Default, Clone)]
pub struct BitWriter {
    /// What was written, zeros behind it.
    bytes: Box<[u8]>,
    /// How many bytes are full. No chunk comes near 4 GiB.
    full_bytes: u32,
    /// How many bits were written behind them; at most 7.
    bits: u8,
    /// The byte that those bits are in, or 0: so that nothing is read back. A store does not wait
    /// for memory, and of the writers of a head most have left the cache when it is their turn.
    partial: u8,
}

impl BitWriter {
    /// Continues behind `header`, all of whose bits count, with room for `room_bytes` in all.
    #[must_use]
    pub fn after(header: &[u8], room_bytes: usize) -> Self {
        let mut bytes = vec![0; room_bytes.max(header.len())];
        bytes.iter_mut().zip(header).for_each(|(into, from)| *into = *from);
        Self {
            bytes: bytes.into_boxed_slice(),
            full_bytes: header.len() as u32,
            bits: 0,
            partial: 0,
        }
    }

    /// Forgets everything but the first `header_bytes`, which become zero; keeps the memory.
    pub fn restart(&mut self, header_bytes: usize) {
        let written = self.len_bytes();
        self.bytes.iter_mut().take(written).for_each(|byte| *byte = 0);
        self.full_bytes = self.full_bytes.min(header_bytes as u32);
        (self.bits, self.partial) = (0, 0);
    }

    /// How many bytes there are, the last of which may be in part unused.
    #[inline]
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        self.full_bytes as usize + (self.bits > 0) as usize
    }

    /// What was written; unused bits of the last byte are zero.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len_bytes()).unwrap_or_default()
    }

    /// The first bytes of what [`after`](Self::after) was given, to change them.
    #[inline]
    pub fn header_mut<const N: usize>(&mut self) -> Option<&mut [u8; N]> {
        self.bytes.first_chunk_mut()
    }

    /// Gives the bytes away.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        let length = self.len_bytes();
        let mut bytes = self.bytes.into_vec();
        bytes.truncate(length);
        bytes
    }

    /// Bytes that the writer holds in memory.
    #[must_use]
    pub const fn capacity_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Appends the low `count` bits of `value`; `count` is at most 64.
    #[inline]
    pub fn put(&mut self, value: u64, count: u32) {
        debug_assert!(count <= 64, "a value has 64 bits");
        let aligned = value.checked_shl(64 - count).unwrap_or(0);
        let used = u32::from(self.bits);
        // Storing nine bytes, zeros behind those that count, is cheaper than storing some.
        let rest = self.bytes.get_mut(self.full_bytes as usize..).unwrap_or_default();
        let Some([word @ .., last]) = rest.first_chunk_mut::<TOUCHED_BYTES>() else {
            return self.grow_and_put(value, count);
        };
        let front = u64::from(self.partial) << 56 | aligned >> used;
        *word = front.to_be_bytes();
        *last = ((aligned << 1) << (63 - used) >> 56) as u8;
        let end = used + count;
        self.partial = if end < 64 { (front << (end & 56) >> 56) as u8 } else { *last };
        self.full_bytes += end >> 3;
        self.bits = (end & 7) as u8;
    }

    /// Appends zeros, at most 64: they stand there already.
    #[inline]
    pub fn put_zeros(&mut self, count: u32) {
        let end = u32::from(self.bits) + count;
        let (full_bytes, bits) = (self.full_bytes + (end >> 3), (end & 7) as u8);
        if full_bytes as usize >= self.bytes.len() {
            return self.grow_and_put(0, count);
        }
        if end >= 8 {
            self.partial = 0;
        }
        (self.full_bytes, self.bits) = (full_bytes, bits);
    }

    /// Grows by little: many writers live at once, and what they do not use yet is a good part of
    /// a head's memory. It is rare, as a chunk begins in the memory of the one before it.
    #[cold]
    #[inline(never)]
    fn grow_and_put(&mut self, value: u64, count: u32) {
        let mut bytes = std::mem::take(&mut self.bytes).into_vec();
        let more = (bytes.len() / 4).max(GROWTH_BYTES_MIN);
        bytes.reserve_exact(more);
        bytes.resize(bytes.len() + more, 0);
        self.bytes = bytes.into_boxed_slice();
        self.put(value, count);
    }

    /// Appends a uvarint at the current bit.
    pub fn put_uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.put(value, 8);
    }

    /// Appends a zig-zag varint at the current bit.
    pub fn put_varint(&mut self, value: i64) {
        self.put_uvarint(((value << 1) ^ (value >> 63)) as u64);
    }
}

/// Reads bits from a window of 64 that is refilled eight bytes at a time.
///
/// Behind the end it reads zeros, so that the hot loops need no check a bit; who reads looks at
/// [`is_overrun`](Self::is_overrun) once, at the end. Its loops must be bounded by something else.
#[derive(Debug, Clone)]
pub struct BitReader<'a> {
    rest: &'a [u8],
    /// The next bits, first bit highest. Bits below `count` are zero or what will come there.
    window: u64,
    /// How many bits of the window count; at most 63.
    count: u32,
    /// The last bytes, fewer than eight, once they are not in `rest` any more; first byte highest.
    tail: u64,
    /// How many bytes of `tail` have not come into the window; below 0 behind the end.
    tail_bytes: isize,
}

impl<'a> BitReader<'a> {
    /// How many bits are there to be read after a refill, at least.
    pub const REFILLED: u32 = 56;

    /// Starts at the first bit of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, window: 0, count: 0, tail: 0, tail_bytes: 0 }
    }

    /// Fills the window up to at least [`REFILLED`](Self::REFILLED) bits.
    #[inline(always)]
    pub fn refill(&mut self) {
        // Bits that come in twice, now and with a later refill, are the same both times, so the
        // window may hold more than `count` says.
        let whole = ((63 - self.count) >> 3) as usize & 7;
        if let Some(word) = self.rest.first_chunk::<8>() {
            self.window |= u64::from_be_bytes(*word) >> self.count;
            self.rest = self.rest.get(whole..).unwrap_or_default();
        } else {
            if !self.rest.is_empty() {
                (self.tail, self.tail_bytes) = (last_word(self.rest), self.rest.len() as isize);
                self.rest = &[];
            }
            self.window |= self.tail >> self.count;
            self.tail <<= whole * 8;
            self.tail_bytes = self.tail_bytes.saturating_sub(whole as isize);
        }
        self.count |= Self::REFILLED;
    }

    /// The next bits, first bit highest; how many of them count depends on what was consumed since
    /// the last refill.
    #[inline(always)]
    #[must_use]
    pub const fn peek(&self) -> u64 {
        self.window
    }

    /// True if at least `count` bits are left of those that the last refill brought.
    #[inline(always)]
    #[must_use]
    pub const fn has(&self, count: u32) -> bool {
        self.count >= count
    }

    /// Steps over `count` bits, of those that the last refill brought.
    #[inline(always)]
    pub const fn consume(&mut self, count: u32) {
        debug_assert!(count <= self.count, "more bits than were refilled");
        self.window <<= count;
        self.count = self.count.wrapping_sub(count);
    }

    /// Refills and reads `count` bits, at most 64.
    #[inline]
    pub fn read(&mut self, count: u32) -> u64 {
        if count > Self::REFILLED {
            let high = self.read(count - 32);
            return high << 32 | self.read(32);
        }
        self.refill();
        let value = (self.window >> 1) >> (63 - count);
        self.consume(count);
        value
    }

    /// Reads a uvarint at the current bit; `None` if it does not fit into 64 bits.
    pub fn read_uvarint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for index in 0..10 {
            let byte = self.read(8);
            if index == 9 && byte > 1 {
                return None;
            }
            value |= (byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// Reads a zig-zag varint at the current bit; `None` if it does not fit into 64 bits.
    pub fn read_varint(&mut self) -> Option<i64> {
        self.read_uvarint().map(|raw| ((raw >> 1) as i64) ^ -((raw & 1) as i64))
    }

    /// True if bits were consumed that the bytes did not have.
    #[inline]
    #[must_use]
    pub const fn is_overrun(&self) -> bool {
        (self.count as isize) < self.tail_bytes.saturating_mul(-8)
    }
}

/// Fewer than eight bytes, zeros behind them.
///
/// Takes a copy, as a reader that is lent to a call cannot stay in registers.
#[cold]
#[inline(never)]
fn last_word(rest: &[u8]) -> u64 {
    let mut word = [0_u8; 8];
    word.iter_mut().zip(rest).for_each(|(into, from)| *into = *from);
    u64::from_be_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn low(value: u64, count: u32) -> u64 {
        if count == 0 { 0 } else { value & (u64::MAX >> (64 - count)) }
    }

    proptest! {
        #[test]
        fn bits_come_back_as_they_went(
            parts in vec((prop_oneof![Just(0), any::<u64>()], any::<u8>()), 0..200),
        ) {
            let mut writer = BitWriter::default();
            let mut bits = 0;
            for (value, count) in &parts {
                if low(*value, u32::from(count % 65)) == 0 {
                    writer.put_zeros(u32::from(count % 65));
                } else {
                    writer.put(*value, u32::from(count % 65));
                }
                bits += usize::from(count % 65);
                prop_assert_eq!(writer.bytes().len(), bits.div_ceil(8));
            }
            let mut reader = BitReader::new(writer.bytes());
            for (value, count) in &parts {
                let count = u32::from(count % 65);
                prop_assert_eq!(reader.read(count), low(*value, count));
            }
            prop_assert!(!reader.is_overrun());
            prop_assert_eq!(reader.read((8 - bits as u32 % 8) % 8), 0, "padding");
            prop_assert!(!reader.is_overrun());
            prop_assert_eq!(reader.read(1), 0);
            prop_assert!(reader.is_overrun());
        }

        #[test]
        fn integers_come_back_at_any_bit(skip in 0_u32..8, unsigned: u64, signed: i64) {
            let mut writer = BitWriter::default();
            writer.put(0x55, skip);
            writer.put_uvarint(unsigned);
            writer.put_varint(signed);
            let mut reader = BitReader::new(writer.bytes());
            reader.read(skip);
            prop_assert_eq!(reader.read_uvarint(), Some(unsigned));
            prop_assert_eq!(reader.read_varint(), Some(signed));
            prop_assert!(!reader.is_overrun());
        }
    }

    #[test]
    fn a_writer_continues_behind_whole_bytes() {
        let mut writer = BitWriter::after(&[0xab], 0);
        writer.put(0b101, 3);
        writer.put(0b1_1111_0000, 9);
        assert_eq!(writer.bytes(), [0xab, 0b1011_1111, 0]);
        writer.put(1, 4);
        assert_eq!(writer.clone().into_bytes(), [0xab, 0b1011_1111, 1]);
        let room_bytes = writer.capacity_bytes();
        writer.restart(1);
        writer.put(0b1, 2);
        assert_eq!(writer.bytes(), [0, 0b0100_0000]);
        assert_eq!(writer.capacity_bytes(), room_bytes);
    }
}
