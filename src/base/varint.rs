//! Variable-length integers as Go's `encoding/binary` writes them, and a checked byte cursor.
//!
//! | name      | bytes                                                             |
//! |-----------|-------------------------------------------------------------------|
//! | `uvarint` | LEB128, least significant group first, 1 to 10 bytes              |
//! | `varint`  | the same of the zig-zag value `(n << 1) ^ (n >> 63)`               |

/// The longest encoding of a 64-bit value.
pub const MAX_VARINT_BYTES: usize = 10;

/// Input ended early or held an over-long integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncated;

impl std::fmt::Display for Truncated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("unexpected end of data or over-long integer")
    }
}

impl std::error::Error for Truncated {}

/// Appends `value` as a uvarint.
#[inline]
pub fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends `value` as a zig-zag varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends a uvarint length and the bytes of `text`.
#[inline]
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// The number whose zig-zag value this is.
#[must_use]
#[inline]
pub const fn from_zigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// The number of bytes that [`put_uvarint`] writes for `value`.
#[must_use]
#[inline]
pub const fn uvarint_bytes(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// The bits that only the last byte of a uvarint does not have.
const ENDS: u64 = 0x8080_8080_8080_8080;

/// Every other byte without its highest bit.
const LANES: u64 = 0x007f_007f_007f_007f;
/// More groups of seven bits may not fit into sixteen.
const SUMMED_MAX: usize = 512;

/// The lowest bit that is set and all below it.
#[inline]
const fn up_to_lowest(bits: u64) -> u64 {
    bits ^ bits.wrapping_sub(1)
}

/// The value of up to eight bytes of a uvarint, the first one lowest.
#[inline]
const fn packed(bytes: u64) -> u64 {
    let groups = bytes & !ENDS;
    let pairs = groups & 0x007f_007f_007f_007f | (groups & 0x7f00_7f00_7f00_7f00) >> 1;
    let fours = pairs & 0x3fff_0000_3fff | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    fours & 0xfff_ffff | (fours & 0xfff_ffff_0000_0000) >> 4
}

/// A cursor over bytes of unknown honesty: every read is checked and none allocates.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not yet read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes are left.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rest.len()
    }

    /// True when everything is read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `count` bytes.
    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Truncated> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Truncated> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A big-endian `u16`.
    #[inline]
    pub fn u16_be(&mut self) -> Result<u16, Truncated> {
        self.array().map(u16::from_be_bytes)
    }

    /// A big-endian `u32`.
    #[inline]
    pub fn u32_be(&mut self) -> Result<u32, Truncated> {
        self.array().map(u32::from_be_bytes)
    }

    /// A big-endian `u64`.
    #[inline]
    pub fn u64_be(&mut self) -> Result<u64, Truncated> {
        self.array().map(u64::from_be_bytes)
    }

    /// A big-endian `i64`.
    #[inline]
    pub fn i64_be(&mut self) -> Result<i64, Truncated> {
        self.array().map(i64::from_be_bytes)
    }

    /// A double from its big-endian bits.
    #[inline]
    pub fn f64_be(&mut self) -> Result<f64, Truncated> {
        self.u64_be().map(f64::from_bits)
    }

    /// A uvarint; refuses one that does not fit into 64 bits.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u64, Truncated> {
        // Most are of one or two bytes: distances and lengths.
        match self.rest {
            [first, rest @ ..] if *first < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*first))
            }
            [first, second, rest @ ..] if *second < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*first & 0x7f) | u64::from(*second) << 7)
            }
            _ => self.long_uvarint(),
        }
    }

    /// Three bytes and more.
    #[inline]
    fn long_uvarint(&mut self) -> Result<u64, Truncated> {
        // All bytes of most at once: the first without its highest bit is the last one, and what
        // the others hold is pushed together.
        if let Some(bytes) = self.rest.first_chunk::<8>() {
            let word = u64::from_le_bytes(*bytes);
            let ends = !word & ENDS;
            if ends != 0 {
                let count = ends.trailing_zeros() as usize / 8 + 1;
                self.rest = self.rest.get(count..).unwrap_or_default();
                return Ok(packed(word & up_to_lowest(ends)));
            }
        }
        self.checked_uvarint()
    }

    /// Three uvarints, if eight bytes are left and hold them; else nothing is read.
    #[inline]
    pub fn three_uvarints(&mut self) -> Option<[u64; 3]> {
        let word = u64::from_le_bytes(*self.rest.first_chunk::<8>()?);
        let first = !word & ENDS;
        let second = first & first.wrapping_sub(1);
        let third = second & second.wrapping_sub(1);
        if third == 0 {
            return None;
        }
        let [a, b, c] = [first, second, third].map(up_to_lowest);
        // The place of a bit is one instruction, the number of bits many.
        let [skip_a, skip_b, len] = [first, second, third].map(|ends| ends.trailing_zeros() + 1);
        self.rest = self.rest.get(len as usize / 8..).unwrap_or_default();
        let [a, b] = [packed(word & a), packed((word & b) >> skip_a)];
        Some([a, b, packed((word & c) >> skip_b)])
    }

    /// The sums of the first, the second and the third of `count` threes of uvarints, if all threes
    /// are laid out alike, in eight bytes at most, and have an even third number. Else, and where
    /// fewer than eight bytes would be left at the last one, nothing is read.
    #[inline(never)]
    pub fn sum_threes(&mut self, count: usize) -> Option<[u64; 3]> {
        let word = u64::from_le_bytes(*self.rest.first_chunk::<8>()?);
        let first = !word & ENDS;
        let second = first & first.wrapping_sub(1);
        let third = second & second.wrapping_sub(1);
        if third == 0 || count > SUMMED_MAX {
            return None;
        }
        let [a, b, c] = [first, second, third].map(|ends| (ends.trailing_zeros() + 1) / 8);
        let (mask, len) = (up_to_lowest(third), c as usize);
        let (ends, evens, odds) = (mask & ENDS, mask & LANES, mask >> 8 & LANES);
        let shape = word & ends;
        // Groups of seven bits are added up in lanes of sixteen, four at once.
        let (mut even, mut odd, mut differs, mut any) = (0_u64, 0_u64, 0, 0);
        let mut rest = self.rest;
        for _ in 0..count {
            let word = u64::from_le_bytes(*rest.first_chunk::<8>()?);
            differs |= word & ends ^ shape;
            any |= word;
            even += word & evens;
            odd += word >> 8 & odds;
            rest = rest.get(len..)?;
        }
        if differs != 0 || any >> (8 * b) & 1 != 0 {
            return None;
        }
        self.rest = rest;
        let sum_of = |bytes: std::ops::Range<u32>| {
            let groups = bytes.clone().map(|byte| {
                let lanes = if byte % 2 == 0 { even } else { odd };
                (lanes >> (byte / 2 * 16) & 0xffff) << (7 * (byte - bytes.start))
            });
            groups.sum()
        };
        Some([sum_of(0..a), sum_of(a..b), sum_of(b..c)])
    }

    #[cold]
    fn checked_uvarint(&mut self) -> Result<u64, Truncated> {
        let mut value = 0_u64;
        for (index, &byte) in self.rest.iter().take(MAX_VARINT_BYTES).enumerate() {
            if index == MAX_VARINT_BYTES - 1 && byte > 1 {
                return Err(Truncated);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(Truncated)
    }

    /// A zig-zag varint.
    #[inline]
    pub fn varint(&mut self) -> Result<i64, Truncated> {
        self.uvarint().map(from_zigzag)
    }

    /// Bytes behind a uvarint length.
    #[inline]
    pub fn length_prefixed(&mut self) -> Result<&'a [u8], Truncated> {
        let length = usize::try_from(self.uvarint()?).map_err(|_| Truncated)?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn three_at_once_are_three_one_by_one(
            values: [u64; 3],
            shifts in prop::array::uniform3(35_u32..64),
            behind in prop::collection::vec(any::<u8>(), 0..8),
        ) {
            let values = [0, 1, 2].map(|place| values[place] >> shifts[place]);
            let mut bytes = Vec::new();
            values.iter().for_each(|value| put_uvarint(&mut bytes, *value));
            let len = bytes.len();
            bytes.extend(&behind);
            let mut cursor = Cursor::new(&bytes);
            if let Some(found) = cursor.three_uvarints() {
                prop_assert_eq!(found, values);
                prop_assert_eq!(cursor.rest(), &behind);
            } else {
                prop_assert_eq!(cursor.rest(), &bytes);
                prop_assert!(len > 8 || bytes.len() < 8);
            }
        }

        #[test]
        fn threes_are_summed_if_they_are_laid_out_alike(
            widths in prop::array::uniform3(0_u32..22),
            seeds in prop::collection::vec(any::<[u32; 3]>(), 1..20),
            odd in prop::option::of(0_usize..20),
            wide in prop::option::of(0_usize..20),
            behind in prop::collection::vec(any::<u8>(), 0..12),
        ) {
            let (mut bytes, mut sums, mut lengths) = (Vec::new(), [0; 3], Vec::new());
            for (place, seed) in seeds.iter().enumerate() {
                let mut three = [0, 1, 2].map(|i| {
                    let value = u64::from(seed[i]) & ((1 << widths[i]) - 1);
                    value | 1 << widths[i] & !1
                });
                three[2] &= !1;
                three[2] |= u64::from(odd == Some(place));
                three[1] <<= if wide == Some(place) { 7 } else { 0 };
                let lens = three.map(uvarint_bytes);
                lengths.push(lens);
                three.iter().for_each(|value| put_uvarint(&mut bytes, *value));
                [0, 1, 2].iter().for_each(|i| sums[*i] += three[*i]);
            }
            let last: usize = lengths.last().map_or(0, |lens| lens.iter().sum());
            let is_alike = lengths.iter().all(|lens| *lens == lengths[0])
                && last <= 8
                && odd.is_none_or(|place| place >= seeds.len());
            bytes.extend(&behind);
            let mut cursor = Cursor::new(&bytes);
            match cursor.sum_threes(seeds.len()) {
                Some(found) => {
                    prop_assert!(is_alike);
                    prop_assert_eq!(found, sums);
                    prop_assert_eq!(cursor.rest(), &behind);
                }
                None => {
                    prop_assert!(!is_alike || last + behind.len() < 8);
                    prop_assert_eq!(cursor.rest(), &bytes);
                }
            }
        }

        #[test]
        fn whatever_follows_an_integer_does_not_matter(
            value: u64,
            shift in 0_u32..64,
            behind in prop::collection::vec(any::<u8>(), 0..12),
        ) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            put_uvarint(&mut bytes, value);
            bytes.extend(&behind);
            let mut cursor = Cursor::new(&bytes);
            prop_assert_eq!(cursor.uvarint(), Ok(value));
            prop_assert_eq!(cursor.rest(), &behind);
        }

        #[test]
        fn integers_come_back_as_they_went(unsigned: u64, signed: i64) {
            let mut bytes = Vec::new();
            put_uvarint(&mut bytes, unsigned);
            prop_assert_eq!(bytes.len(), uvarint_bytes(unsigned));
            put_varint(&mut bytes, signed);
            let mut cursor = Cursor::new(&bytes);
            prop_assert_eq!(cursor.uvarint(), Ok(unsigned));
            prop_assert_eq!(cursor.varint(), Ok(signed));
            prop_assert!(cursor.is_empty());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let mut cursor = Cursor::new(&bytes);
            while cursor.length_prefixed().is_ok() && !cursor.is_empty() {}
        }
    }

    #[test]
    fn an_over_long_integer_is_refused() {
        let eleven = [0xff; 11];
        assert_eq!(Cursor::new(&eleven).uvarint(), Err(Truncated));
        let too_big = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(Cursor::new(&too_big).uvarint(), Err(Truncated));
    }
}
