//! Samples that come at the pace of the last one, as those of most scrapes do.
//!
//! All of their times are known beforehand, so only values are read. As long as these change within
//! one window, each sample takes the same number of bits: a zero for the time, two bits that say
//! that the window is the last one, and the change. So several lie at known places of one word, and
//! a mask tells how many of them are of this kind. What comes between is read one by one.

use super::{ChunkError, REACH_BYTES, Walk, word};

/// How samples of one window lie in a word.
#[derive(Clone, Copy)]
struct Packing {
    /// The three bits of each sample that tell its kind, and what they have to be.
    mask: u64,
    codes: u64,
    /// How many samples there are.
    count: u32,
    /// Bits of one of them.
    bits: u32,
    /// 65536 divided by `bits`, rounded up: a product is much faster than a division.
    inverse: u32,
}

/// A wider window leaves no room for two samples.
const WIDTH_MAX: u32 = 25;

/// By the width of the window; none has no width.
const PACKINGS: [Packing; WIDTH_MAX as usize + 1] = packings();

/// So many bits of a word are known wherever in a byte it begins.
const WORD_BITS: u32 = 57;

/// More samples at once bring nothing.
const LANES: usize = 5;

/// A series that stays the same for longer is read faster by the caller.
const STILL_MAX: usize = 3;

#[expect(clippy::indexing_slicing, reason = "computed when compiled")]
const fn packings() -> [Packing; WIDTH_MAX as usize + 1] {
    let nothing = Packing { mask: 0, codes: 1 << 63, count: 0, bits: 3, inverse: 21846 };
    let mut all = [nothing; WIDTH_MAX as usize + 1];
    let mut width = 1;
    while width < all.len() {
        let bits = width as u32 + 3;
        let fitting = WORD_BITS / bits;
        let count = if fitting < LANES as u32 { fitting } else { LANES as u32 };
        let (mut mask, mut codes, mut at) = (0, 0, 0);
        while at < count * bits {
            mask |= 0b111 << (61 - at);
            codes |= 0b010 << (61 - at);
            at += bits;
        }
        all[width] = Packing { mask, codes, count, bits, inverse: 65536_u32.div_ceil(bits) };
        width += 1;
    }
    all
}

/// Reads such samples as long as they come; returns how many there were.
// Not inlined: `fill` keeps its registers.
#[inline(never)]
pub(super) fn read(
    walk: &mut Walk,
    text: &[u8],
    times: &mut [i64],
    values: &mut [f64],
) -> Result<usize, ChunkError> {
    let room = times.len().min(values.len());
    let is_roomy = walk.delta_ms.checked_mul(room as u64).is_some_and(|ms| ms <= walk.left_ms);
    // None is late.
    let room = if is_roomy { room } else { (walk.left_ms / walk.delta_ms) as usize };
    let mut slots = values.get_mut(..room).unwrap_or_default();
    let mut state = *walk;
    loop {
        let left = slots.len();
        if is_narrow(state) {
            slots = groups(&mut state, text, slots);
        }
        slots = singles(&mut state, text, slots)?;
        if slots.len() == left {
            slots = still(&mut state, text, slots);
        }
        if slots.len() == left {
            break;
        }
    }
    let count = room - slots.len();
    let mut time_ms = walk.time_ms();
    for slot in times.iter_mut().take(count) {
        time_ms = time_ms.wrapping_add(walk.delta_ms as i64);
        *slot = time_ms;
    }
    let left_ms = walk.left_ms - walk.delta_ms * count as u64;
    *walk = Walk { left_ms, ..state };
    Ok(count)
}

const fn is_narrow(walk: Walk) -> bool {
    walk.spare >= 64 - WIDTH_MAX
}

/// Reads as many samples at a time as a word holds, and at last those before one of another kind.
/// Like the others it returns the places that are left.
#[inline(always)]
fn groups<'a>(walk: &mut Walk, text: &[u8], mut slots: &'a mut [f64]) -> &'a mut [f64] {
    let Some(packing) = PACKINGS.get(64 - walk.spare as usize) else { return slots };
    let Walk { mut at, mut value, .. } = *walk;
    let changes = u64::MAX >> walk.spare << walk.trailing;
    // Brings the change of the first sample to its place in the value.
    let turn = 3_u32.wrapping_sub(walk.spare - walk.trailing) & 63;
    while let Some(bytes) = text.get(at / 8..at / 8 + 8).and_then(|bytes| bytes.first_chunk())
        && let Some(group) = slots.first_chunk_mut::<LANES>()
    {
        let word = u64::from_be_bytes(*bytes) << (at % 8);
        let wrong = word & packing.mask ^ packing.codes;
        let (mut turned, mut known) = (word.rotate_left(turn), value);
        for slot in group.iter_mut() {
            known ^= turned & changes;
            *slot = f64::from_bits(known);
            turned = turned.rotate_left(packing.bits);
        }
        // What was written behind the last good sample is overwritten.
        let good = if wrong == 0 {
            packing.count
        } else {
            (wrong.leading_zeros() * packing.inverse) >> 16
        };
        let last = (good as usize).checked_sub(1).and_then(|last| group.get(last));
        if let Some(last) = last {
            value = last.to_bits();
            at += (packing.bits * good) as usize;
            slots = slots.get_mut(good as usize..).unwrap_or_default();
        }
        if wrong != 0 {
            break;
        }
    }
    (walk.at, walk.value) = (at, value);
    slots
}

/// Reads samples that change, as long as their windows are wide, or one of a narrow window.
#[inline(always)]
fn singles<'a>(
    walk: &mut Walk,
    text: &[u8],
    slots: &'a mut [f64],
) -> Result<&'a mut [f64], ChunkError> {
    let mut slots = slots.iter_mut();
    while let Some(window) = text.get(walk.at / 8..walk.at / 8 + REACH_BYTES)
        && let Some(window) = window.first_chunk()
    {
        let sample = word(window, walk.at % 8);
        if sample >> 62 == 0b01
            && let Some(slot) = slots.next()
        {
            walk.change(window, sample << 1, 1)?;
            *slot = f64::from_bits(walk.value);
        } else {
            break;
        }
        if is_narrow(*walk) {
            break;
        }
    }
    Ok(slots.into_slice())
}

/// Reads a few samples that are as the last one.
#[inline(always)]
fn still<'a>(walk: &mut Walk, text: &[u8], slots: &'a mut [f64]) -> &'a mut [f64] {
    let bytes = text.get(walk.at / 8..walk.at / 8 + 8).and_then(|bytes| bytes.first_chunk());
    let word = bytes.map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes) << (walk.at % 8));
    let count = word.leading_zeros() as usize / 2;
    if count > STILL_MAX || count > slots.len() {
        return slots;
    }
    let (same, rest) = slots.split_at_mut(count);
    same.fill(f64::from_bits(walk.value));
    walk.at += 2 * count;
    rest
}
