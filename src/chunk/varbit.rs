//! Integers in few bits: ones that count the class, a zero, then as many bits as the class has.

use crate::base::bits::{BitReader, BitWriter};

/// Bits of the classes with none to seven ones in front, a byte each, the first one lowest. The
/// class with eight ones has 64 bits and no zero behind the ones.
const WIDTHS: u64 = u64::from_le_bytes([0, 3, 6, 9, 12, 18, 25, 56]);
const LAST_CLASS: u32 = 8;

/// The least class of which `fits` is true, of those that begin with a one.
#[inline(always)]
fn put_class(bits: &mut BitWriter, value: u64, fits: impl Fn(u32) -> bool) {
    for class in 1..LAST_CLASS {
        let width = width_of(class);
        if fits(width) {
            let prefix = (1_u64 << (class + 1)) - 2;
            let low = value & ((1 << width) - 1);
            return bits.put(prefix << width | low, class + 1 + width);
        }
    }
    bits.put(0xff, LAST_CLASS);
    bits.put(value, 64);
}

#[inline(always)]
const fn width_of(class: u32) -> u32 {
    (WIDTHS >> (class * 8)) as u32 & 0xff
}

/// Appends a signed integer. A class of `n` bits holds `-(2^(n-1) - 1) ..= 2^(n-1)`.
#[inline]
pub(super) fn put_int(bits: &mut BitWriter, value: i64) {
    if value == 0 {
        return bits.put(0, 1);
    }
    let below = value.wrapping_sub(1);
    let magnitude = (below ^ below >> 63) as u64;
    put_class(bits, value as u64, |width| magnitude >> (width - 1) == 0);
}

/// Appends an unsigned integer.
#[inline]
pub(super) fn put_uint(bits: &mut BitWriter, value: u64) {
    if value == 0 {
        return bits.put(0, 1);
    }
    put_class(bits, value, |width| value >> width == 0);
}

/// The class and the bits behind its prefix.
#[inline(always)]
fn read_class(bits: &mut BitReader<'_>) -> (u64, u32) {
    bits.refill();
    let next = bits.peek();
    let class = (!next).leading_zeros();
    match class {
        0 => {
            bits.consume(1);
            (0, 0)
        }
        // Prefix and value lie in the refilled bits.
        1..=6 => {
            let width = width_of(class);
            bits.consume(class + 1 + width);
            (next << (class + 1) >> (64 - width), width)
        }
        7 => {
            bits.consume(8);
            (bits.read(56), 56)
        }
        _ => {
            bits.consume(8);
            (bits.read(64), 64)
        }
    }
}

/// Reads a signed integer.
#[inline]
pub(super) fn read_int(bits: &mut BitReader<'_>) -> i64 {
    let (raw, width) = read_class(bits);
    if width == 0 || width == 64 { raw as i64 } else { widen(raw, width) }
}

/// Reads an unsigned integer.
#[inline]
pub(super) fn read_uint(bits: &mut BitReader<'_>) -> u64 {
    read_class(bits).0
}

/// The classes hold `-(2^(n-1) - 1) ..= 2^(n-1)`: not two's complement.
#[inline(always)]
pub(super) const fn widen(raw: u64, width: u32) -> i64 {
    let above = (raw > 1 << (width - 1)) as i64;
    raw as i64 - (above << width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_size() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0_u32..64).prop_map(|(value, shift)| value >> shift)
    }

    proptest! {
        #[test]
        fn integers_come_back_at_any_bit(skip in 0_u32..8, unsigned in any_size(), negate: bool) {
            let signed = if negate { (unsigned as i64).wrapping_neg() } else { unsigned as i64 };
            let mut writer = BitWriter::default();
            writer.put(0, skip);
            put_int(&mut writer, signed);
            put_uint(&mut writer, unsigned);
            writer.put(0b1, 1);
            let mut reader = BitReader::new(writer.bytes());
            reader.read(skip);
            prop_assert_eq!(read_int(&mut reader), signed);
            prop_assert_eq!(read_uint(&mut reader), unsigned);
            prop_assert_eq!(reader.read(1), 1);
            prop_assert!(!reader.is_overrun());
        }
    }

    #[test]
    fn classes_end_where_the_format_says() {
        let bits_of = |put: &dyn Fn(&mut BitWriter)| {
            let mut writer = BitWriter::default();
            put(&mut writer);
            // A one ends the text at the bit where it stands.
            writer.put(1, 1);
            let bytes = writer.bytes();
            bytes.len() * 8 - bytes.last().unwrap().trailing_zeros() as usize - 1
        };
        let classes = [(3, 5), (6, 9), (9, 13), (12, 17), (18, 24), (25, 32), (56, 64)];
        for ((width, bits), wider) in classes.into_iter().zip([9, 13, 17, 24, 32, 64, 72]) {
            let half = 1_i64 << (width - 1);
            let signed = [(half, bits), (1 - half, bits), (half + 1, wider), (-half, wider)];
            for (value, bits) in signed {
                assert_eq!(bits_of(&|writer| put_int(writer, value)), bits, "{value}");
            }
            let above = 1_u64 << width;
            assert_eq!(bits_of(&|writer| put_uint(writer, above - 1)), bits, "{width}");
            assert_eq!(bits_of(&|writer| put_uint(writer, above)), wider, "{width}");
        }
        assert_eq!(bits_of(&|writer| put_int(writer, 0)), 1);
        assert_eq!(bits_of(&|writer| put_uint(writer, 0)), 1);
    }
}
