//! The change of a float's bits to those of the float before.
//!
//! Only some bits in the middle change from one value to the next; these are the window.

use crate::base::bits::{BitReader, BitWriter};

/// Five bits hold the number of leading zeros.
const LEADING_MAX: u32 = 31;
/// More than any number of leading zeros: nothing fits into this window.
const NO_WINDOW: u8 = 0xff;

/// What stands before a change: bits and how many.
pub(super) type Code = (u64, u32);

/// How an encoding says that a change fits into the old window or brings a new one.
pub(super) struct Headers {
    pub(super) reuse: Code,
    pub(super) renew: Code,
}

/// XOR chunks and histograms.
pub(super) const XOR_HEADERS: Headers = Headers { reuse: (0b10, 2), renew: (0b11, 2) };

/// The window as a writer keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WindowOut {
    leading: u8,
    trailing: u8,
}

impl WindowOut {
    /// No change was written yet.
    pub(super) const NONE: Self = Self { leading: NO_WINDOW, trailing: 0 };

    /// Writes a change that is not zero, with at most 27 bits in front of it.
    #[inline(always)]
    pub(super) fn put(
        &mut self,
        bits: &mut BitWriter,
        (front, front_width): Code,
        headers: &Headers,
        change: u64,
    ) {
        let leading = change.leading_zeros().min(LEADING_MAX);
        let trailing = change.trailing_zeros();
        let (old_leading, old_trailing) = (u32::from(self.leading), u32::from(self.trailing));
        let (code, code_width, value, width);
        if leading >= old_leading && trailing >= old_trailing {
            (code, code_width) = (front << headers.reuse.1 | headers.reuse.0, headers.reuse.1);
            (value, width) = (change >> old_trailing, 64 - old_leading - old_trailing);
        } else {
            (self.leading, self.trailing) = (leading as u8, trailing as u8);
            (value, width) = (change >> trailing, 64 - leading - trailing);
            let header = front << headers.renew.1 | headers.renew.0;
            // Six bits cannot say 64; it is written as 0, which no change needs.
            code = header << 11 | u64::from(leading << 6 | width & 63);
            code_width = headers.renew.1 + 11;
        }
        let code_width = front_width + code_width;
        // One store instead of two for all but the widest.
        if code_width + width <= 64 {
            return bits.put(code << width | value, code_width + width);
        }
        bits.put(code, code_width);
        bits.put(value, width);
    }

    /// Writes that the time delta has not changed, and a change of the value that is not zero, as
    /// XOR chunks do, if both fit into one store and the change into the old window; false if not.
    #[inline(always)]
    pub(super) fn put_again(&self, bits: &mut BitWriter, change: u64) -> bool {
        let (leading, trailing) = (u32::from(self.leading), u32::from(self.trailing));
        if change.leading_zeros() < leading || change.trailing_zeros() < trailing {
            return false;
        }
        let (width, (reuse, reuse_width)) = (64 - leading - trailing, XOR_HEADERS.reuse);
        let code_width = 1 + reuse_width;
        if code_width + width > 64 {
            return false;
        }
        bits.put(reuse << width | change >> trailing, code_width + width);
        true
    }

    /// Writes a change to the value before, as XOR chunks do.
    #[inline(always)]
    pub(super) fn put_xor(&mut self, bits: &mut BitWriter, front: Code, change: u64) {
        if change != 0 {
            self.put(bits, front, &XOR_HEADERS, change);
        } else if front.0 == 0 {
            bits.put_zeros(front.1 + 1);
        } else {
            bits.put(front.0 << 1, front.1 + 1);
        }
    }
}

/// The window as a reader keeps it.
#[derive(Debug, Clone, Copy)]
pub(super) struct WindowIn {
    width: u32,
    trailing: u32,
    is_sound: bool,
}

impl WindowIn {
    /// Before the first change all bits may change.
    pub(super) const ALL: Self = Self { width: 64, trailing: 0, is_sound: true };

    /// False if a window reached beyond the 64 bits of a value.
    pub(super) const fn is_sound(&self) -> bool {
        self.is_sound
    }

    /// Reads which bits change, as XOR chunks say it. Needs 13 refilled bits.
    #[inline(always)]
    pub(super) fn next(&mut self, bits: &mut BitReader<'_>) -> u64 {
        let next = bits.peek();
        if next >> 63 == 0 {
            bits.consume(1);
            return 0;
        }
        // A choice without a branch was slower: it puts the window into the chain that every
        // sample waits for.
        if next >> 62 == 0b10 {
            bits.consume(2);
        } else {
            bits.consume(13);
            self.set((next >> 57) as u32 & 31, (next >> 51) as u32 & 63);
        }
        self.change(bits)
    }

    #[inline(always)]
    const fn set(&mut self, leading: u32, width: u32) {
        self.width = if width == 0 { 64 } else { width };
        self.is_sound &= leading + self.width <= 64;
        self.trailing = 64_u32.wrapping_sub(leading + self.width) & 63;
    }

    /// Reads a new window behind `prefix` bits. Needs these and 11 refilled bits.
    #[inline(always)]
    pub(super) fn renew(&mut self, bits: &mut BitReader<'_>, prefix: u32) {
        let next = bits.peek() << prefix;
        bits.consume(prefix + 11);
        self.set((next >> 59) as u32, (next >> 53) as u32 & 63);
    }

    /// Reads the bits of the window.
    #[inline(always)]
    pub(super) fn change(&self, bits: &mut BitReader<'_>) -> u64 {
        // Changes of counters are narrow: the refill before the time has brought them too.
        if !bits.has(self.width) {
            bits.refill();
            if self.width > BitReader::REFILLED {
                return bits.read(self.width) << self.trailing;
            }
        }
        let change = bits.peek() >> (64 - self.width);
        bits.consume(self.width);
        change << self.trailing
    }
}
