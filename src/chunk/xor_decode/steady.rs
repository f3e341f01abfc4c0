//! Samples that come at the pace of the last one, as those of most scrapes do.
//!
//! As long as they change within one window, each takes the same number of bits: a zero for the
//! time, two bits that say that the window is the last one, and the change. So several lie at known
//! places of one word, and a mask tells how many of them are of this kind. What comes between is
//! read one by one.

use super::{ChunkError, REACH_BYTES, Walk, word};

/// A row of places for samples.
type Slots<'a> = (&'a mut [i64], &'a mut [f64]);

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

/// Reads such samples into the places from `done` on, as long as they come.
// Not inlined: `fill` keeps its registers.
#[inline(never)]
pub(super) fn read(
    mut walk: Walk,
    text: &[u8],
    (times, values): Slots<'_>,
    done: &mut usize,
) -> Result<Walk, ChunkError> {
    let mut next = *done;
    loop {
        if is_narrow(walk) {
            (walk, next) = groups(walk, text, (times, values), next);
        }
        let before = next;
        let slots = (rest(times, next), rest(values, next));
        (walk, next) = singles(walk, text, slots, next)?;
        if next == before {
            let slots = (rest(times, next), rest(values, next));
            (walk, next) = still(walk, text, slots, next);
        }
        if next == before {
            *done = next;
            return Ok(walk);
        }
    }
}

fn rest<T>(slots: &mut [T], from: usize) -> &mut [T] {
    slots.get_mut(from..).unwrap_or_default()
}

const fn is_narrow(walk: Walk) -> bool {
    walk.spare >= 64 - WIDTH_MAX
}

/// Reads as many samples at a time as a word holds, and at last those before one of another kind.
/// Like the others it returns where that is and the first place that is not filled.
#[inline(always)]
fn groups(walk: Walk, text: &[u8], (times, values): Slots<'_>, mut next: usize) -> (Walk, usize) {
    let Walk { mut at, mut value, mut left_ms, delta_ms, .. } = walk;
    let packing = PACKINGS.get(64 - walk.spare as usize);
    let (Some(packing), Some(span_ms)) = (packing, delta_ms.checked_mul(LANES as u64)) else {
        return (walk, next);
    };
    let mut time_ms = walk.time_ms();
    let changes = u64::MAX >> walk.spare << walk.trailing;
    // Brings the change of the first sample to its place in the value.
    let turn = 3_u32.wrapping_sub(walk.spare - walk.trailing) & 63;
    while span_ms <= left_ms
        && let Some(bytes) = text.get(at / 8..at / 8 + 8).and_then(|bytes| bytes.first_chunk())
        && let Some(time_slots) = rest(times, next).first_chunk_mut::<LANES>()
        && let Some(value_slots) = rest(values, next).first_chunk_mut::<LANES>()
    {
        let word = u64::from_be_bytes(*bytes) << (at % 8);
        let wrong = word & packing.mask ^ packing.codes;
        let (mut turned, mut known, mut known_ms) = (word.rotate_left(turn), value, time_ms);
        for (time_slot, value_slot) in time_slots.iter_mut().zip(value_slots.iter_mut()) {
            known_ms = known_ms.wrapping_add(delta_ms as i64);
            known ^= turned & changes;
            (*time_slot, *value_slot) = (known_ms, f64::from_bits(known));
            turned = turned.rotate_left(packing.bits);
        }
        // What was written behind the last good sample is overwritten.
        let good = if wrong == 0 {
            packing.count
        } else {
            (wrong.leading_zeros() * packing.inverse) >> 16
        };
        let last = (good as usize).checked_sub(1).and_then(|last| value_slots.get(last));
        if let Some(last) = last {
            value = last.to_bits();
            let passed_ms = delta_ms * u64::from(good);
            time_ms = time_ms.wrapping_add(passed_ms as i64);
            left_ms -= passed_ms;
            at += (packing.bits * good) as usize;
            next += good as usize;
        }
        if wrong != 0 {
            break;
        }
    }
    (Walk { at, value, left_ms, ..walk }, next)
}

/// Reads samples that change, as long as their windows are wide, or one of a narrow window.
#[inline(always)]
fn singles(
    mut walk: Walk,
    text: &[u8],
    (times, values): Slots<'_>,
    next: usize,
) -> Result<(Walk, usize), ChunkError> {
    let mut time_ms = walk.time_ms();
    let mut slots = times.iter_mut().zip(values);
    let wanted = slots.len();
    while let Some(window) = text.get(walk.at / 8..walk.at / 8 + REACH_BYTES)
        && let Some(window) = window.first_chunk()
        && let Some(left_ms) = walk.left_ms.checked_sub(walk.delta_ms)
    {
        let sample = word(window, walk.at % 8);
        if sample >> 62 == 0b01
            && let Some((time_slot, value_slot)) = slots.next()
        {
            walk.left_ms = left_ms;
            time_ms = time_ms.wrapping_add(walk.delta_ms as i64);
            walk.change(window, sample << 1, 1)?;
            (*time_slot, *value_slot) = (time_ms, f64::from_bits(walk.value));
        } else {
            break;
        }
        if is_narrow(walk) {
            break;
        }
    }
    Ok((walk, next + wanted - slots.len()))
}

/// Reads a few samples that are as the last one.
#[inline(always)]
fn still(mut walk: Walk, text: &[u8], (times, values): Slots<'_>, next: usize) -> (Walk, usize) {
    let slots = times.iter_mut().zip(values);
    let bytes = text.get(walk.at / 8..walk.at / 8 + 8).and_then(|bytes| bytes.first_chunk());
    let word = bytes.map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes) << (walk.at % 8));
    let count = word.leading_zeros() as usize / 2;
    if count > STILL_MAX || count > slots.len() {
        return (walk, next);
    }
    let before = walk.at;
    walk.repeat(count, slots.take(count));
    (walk, next + (walk.at - before) / 2)
}
