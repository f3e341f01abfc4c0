//! Samples that come at the pace of the last one and change within its window.
//!
//! Each of them takes the same number of bits: a zero for the time, two bits that say that the
//! window is the last one, and the change. So several lie at known places of one word, and a mask
//! tells whether all of them are of this kind.

use super::{Slots, Walk};

/// How such samples lie in a word.
#[derive(Clone, Copy)]
struct Packing {
    /// The three bits of each sample that tell its kind, and what they have to be.
    mask: u64,
    codes: u64,
    /// How many samples there are.
    count: u16,
    /// Bits of one of them, and of all.
    bits: u16,
    all_bits: u32,
    /// 65536 divided by `bits`, rounded up: a product is much faster than a division.
    inverse: u32,
}

/// By the width of the window; wider ones leave no room for two samples.
const PACKINGS: [Packing; 26] = packings();

/// So many bits of a word are known wherever in a byte it begins.
const WORD_BITS: u16 = 57;

/// More samples at once bring nothing.
const SAMPLES_MAX: u16 = 5;

#[expect(clippy::indexing_slicing, reason = "computed when compiled")]
const fn packings() -> [Packing; 26] {
    let nothing = Packing { mask: 0, codes: 0, count: 0, bits: 3, all_bits: 0, inverse: 0 };
    let mut all = [nothing; 26];
    let mut width = 1;
    while width < all.len() {
        let bits = width as u16 + 3;
        let fitting = WORD_BITS / bits;
        let count = if fitting < SAMPLES_MAX { fitting } else { SAMPLES_MAX };
        let (mut mask, mut codes, mut at) = (0, 0, 0);
        while at < count * bits {
            mask |= 0b111 << (61 - at);
            codes |= 0b010 << (61 - at);
            at += bits;
        }
        let inverse = 65536_u32.div_ceil(bits as u32);
        all[width] = Packing { mask, codes, count, bits, all_bits: at as u32, inverse };
        width += 1;
    }
    all
}

/// Reads such samples. True if there were enough of them to look for more of them soon.
#[inline(always)]
pub(super) fn read(walk: &mut Walk, text: &[u8], into: &mut Slots<'_>) -> bool {
    let Some(packing) = PACKINGS.get(64 - walk.spare as usize) else { return false };
    // Copies go in and come back, so that the caller's stay in registers.
    let slots = (&mut *into.times, &mut *into.values, into.next);
    let (behind, next) = match packing.count {
        5 => groups::<5>(*walk, packing, text, slots),
        4 => groups::<4>(*walk, packing, text, slots),
        3 => groups::<3>(*walk, packing, text, slots),
        _ => groups::<2>(*walk, packing, text, slots),
    };
    let is_long = next - into.next > 2;
    (*walk, into.next) = (behind, next);
    is_long
}

/// Reads `N` samples at a time, and at last those before one of another kind. Returns where that
/// is and the first place that is not filled.
#[inline(never)]
fn groups<const N: usize>(
    walk: Walk,
    packing: &Packing,
    text: &[u8],
    (times, values, mut next): (&mut [i64], &mut [f64], usize),
) -> (Walk, usize) {
    let Walk { mut at, mut value, mut left_ms, delta_ms, .. } = walk;
    let Some(span_ms) = delta_ms.checked_mul(N as u64) else { return (walk, next) };
    let mut time_ms = walk.time_ms();
    let changes = u64::MAX >> walk.spare << walk.trailing;
    // Brings the change of the first sample to its place in the value.
    let turn = 3_u32.wrapping_sub(walk.spare - walk.trailing) & 63;
    let times = times.get_mut(next..).unwrap_or_default().as_chunks_mut::<N>().0;
    let values = values.get_mut(next..).unwrap_or_default().as_chunks_mut::<N>().0;
    for (times, values) in times.iter_mut().zip(values) {
        let bytes = text.get(at / 8..at / 8 + 8).and_then(|bytes| bytes.first_chunk());
        let Some(bytes) = bytes.filter(|_| span_ms <= left_ms) else { break };
        let word = u64::from_be_bytes(*bytes) << (at % 8);
        let wrong = word & packing.mask ^ packing.codes;
        let (mut turned, before) = (word.rotate_left(turn), value);
        for (time_slot, value_slot) in times.iter_mut().zip(values.iter_mut()) {
            time_ms = time_ms.wrapping_add(delta_ms as i64);
            value ^= turned & changes;
            (*time_slot, *value_slot) = (time_ms, f64::from_bits(value));
            turned = turned.rotate_left(u32::from(packing.bits));
        }
        if wrong != 0 {
            // What was written behind the last good sample is overwritten.
            let good = (wrong.leading_zeros() as usize * packing.inverse as usize) >> 16;
            let last = good.checked_sub(1).and_then(|last| values.get(last));
            value = last.map_or(before, |value| value.to_bits());
            left_ms -= delta_ms * good as u64;
            at += usize::from(packing.bits) * good;
            next += good;
            break;
        }
        left_ms -= span_ms;
        at += packing.all_bits as usize;
        next += N;
    }
    (Walk { at, value, left_ms, ..walk }, next)
}
