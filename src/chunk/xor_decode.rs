//! XOR chunks as columns of floats.
//!
//! Every sample waits for the one before it to tell where it begins. So what lies on that way is
//! kept short: one load at the bit where the sample begins brings time and window code, and of
//! most counters the change too; where the next one begins is known before the change is. Of a
//! steady series one word brings several samples.

mod steady;

use crate::base::varint::Cursor;

use super::encoding::{TIME_GOES_BACK, WINDOW_TOO_WIDE};
use super::varbit::widen;
use super::{ChunkError, Encoding, sample_count};

/// The most bytes that one sample touches: up to seven bits, 68 of time, 13 of window, and 64 of
/// change, of which the last are loaded as eight bytes.
const REACH_BYTES: usize = 24;

/// A window that lacks so many bits is narrow, as those of counters are: the word with the time has
/// brought the change too. At least 41 of its bits are left behind a usual time, 13 say the window.
const SPARE_OF_NARROW: u32 = 64 - (41 - 13);

/// So many samples that came at the pace of the one before promise more of them.
const STEADY: usize = 8;

/// Appends the samples of a whole chunk that lie in `start_ms..=end_ms` to the two columns.
///
/// # Errors
/// [`ChunkError::Truncated`] or [`ChunkError::Malformed`]; the columns are then as they were.
pub fn decode_xor(
    data: &[u8],
    (start_ms, end_ms): (i64, i64),
    timestamps: &mut Vec<i64>,
    floats: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let count = usize::from(sample_count(Encoding::Xor as u8, data)?);
    let body = data.get(2..).unwrap_or_default();
    // The first two samples take more, each of the others at least two bits: so a lying count
    // cannot make the columns grow beyond 32 times the chunk.
    if count > 2 + body.len() * 4 {
        return Err(ChunkError::Truncated);
    }
    if count == 0 {
        return Ok(());
    }
    let (old_times, old_floats) = (timestamps.len(), floats.len());
    timestamps.resize(old_times + count, 0);
    floats.resize(old_floats + count, 0.0);
    let times = timestamps.get_mut(old_times..).unwrap_or_default();
    let values = floats.get_mut(old_floats..).unwrap_or_default();
    let kept = decode_until(body, end_ms, times, values).map(|end| {
        let decoded = times.get(..end).unwrap_or_default();
        let starts_early = decoded.first().is_some_and(|first| *first < start_ms);
        let early = || decoded.partition_point(|known| *known < start_ms);
        (if starts_early { early() } else { 0 }, end)
    });
    let (start, end) = *kept.as_ref().unwrap_or(&(0, 0));
    timestamps.truncate(old_times + end);
    floats.truncate(old_floats + end);
    if start > 0 {
        timestamps.drain(old_times..old_times + start);
        floats.drain(old_floats..old_floats + start);
    }
    kept.map(|_| ())
}

/// Fills the columns until they are full or a sample is later than `end_ms`; returns how many
/// samples it wrote.
fn decode_until(
    body: &[u8],
    end_ms: i64,
    times: &mut [i64],
    values: &mut [f64],
) -> Result<usize, ChunkError> {
    let mut cursor = Cursor::new(body);
    let time_ms = cursor.varint().map_err(|_| ChunkError::Truncated)?;
    let value = cursor.u64_be().map_err(|_| ChunkError::Truncated)?;
    if time_ms > end_ms {
        return Ok(0);
    }
    put(times, values, 0, (time_ms, value));
    if times.len() < 2 {
        return Ok(times.len());
    }
    let delta_ms = cursor.uvarint().map_err(|_| ChunkError::Truncated)?;
    let text = cursor.rest();
    let left_ms = end_ms.wrapping_sub(time_ms) as u64;
    let mut walk = Walk { at: 0, spare: 0, trailing: 0, end_ms, left_ms, delta_ms, value };
    // The second sample has no code of its time.
    if !walk.pass()? {
        return Ok(1);
    }
    let window = text.first_chunk().copied().or_else(|| padded(text).first_chunk().copied());
    if let Some(window) = window {
        walk.change(&window, word(&window, 0), 0)?;
    }
    put(times, values, 1, (walk.time_ms(), walk.value));
    let mut done = 2;
    // Most chunks are steady from end to end; what interrupts them leaves the rest to `fill`.
    let at_pace = |byte: &u8| byte << (walk.at % 8) & 0x80 == 0;
    if text.get(walk.at / 8).is_some_and(at_pace) {
        let times = times.get_mut(done..).unwrap_or_default();
        let values = values.get_mut(done..).unwrap_or_default();
        done += steady::read(&mut walk, text, times, values)?;
    }
    let mut is_late = walk.fill(text, times, values, &mut done)?;
    let skipped_bytes = walk.at / 8;
    if !is_late && done < times.len() {
        // The last samples are read where zeros follow them.
        walk.at %= 8;
        let rest = padded(text.get(skipped_bytes..).unwrap_or_default());
        is_late = walk.fill(&rest, times, values, &mut done)?;
        walk.at += skipped_bytes * 8;
    }
    let is_short = walk.at > text.len() * 8 || !is_late && done < times.len();
    if is_short { Err(ChunkError::Truncated) } else { Ok(done) }
}

fn put(times: &mut [i64], values: &mut [f64], index: usize, (time_ms, value): (i64, u64)) {
    if let (Some(time_slot), Some(value_slot)) = (times.get_mut(index), values.get_mut(index)) {
        (*time_slot, *value_slot) = (time_ms, f64::from_bits(value));
    }
}

/// The first bytes of a text and zeros behind its end, so that all samples that begin in fewer
/// than [`REACH_BYTES`] can be read.
fn padded(text: &[u8]) -> [u8; 2 * REACH_BYTES] {
    let mut bytes = [0; 2 * REACH_BYTES];
    bytes.iter_mut().zip(text).for_each(|(into, from)| *into = *from);
    bytes
}

/// At least 57 bits from the bit `at`, first bit highest.
#[inline(always)]
fn word(window: &[u8; REACH_BYTES], at: usize) -> u64 {
    // The mask shows the compiler that the eight bytes are there.
    let byte = (at / 8) & 15;
    let word = window.get(byte..byte + 8).and_then(|word| word.first_chunk());
    u64::from_be_bytes(word.copied().unwrap_or_default()) << (at % 8)
}

/// All but `spare` of 64 bits from the bit `at`.
#[inline(always)]
fn wide_word(window: &[u8; REACH_BYTES], at: usize, spare: u32) -> u64 {
    if spare >= 7 {
        return word(window, at) >> spare;
    }
    let (high, low) = (word(window, at) >> 32, word(window, at + 32) >> 32);
    (high << 32 | low) >> spare
}

/// Where a reader is, and all that the next sample builds upon.
#[derive(Clone, Copy)]
struct Walk {
    /// The bit where the next sample begins.
    at: usize,
    /// How many of 64 bits the window lacks.
    spare: u32,
    /// How many of them lie below it.
    trailing: u32,
    end_ms: i64,
    /// From the last sample to `end_ms`: one subtraction tells of time that goes back as well as
    /// of time that is late.
    left_ms: u64,
    delta_ms: u64,
    value: u64,
}

impl Walk {
    /// Time of the last sample.
    #[inline(always)]
    const fn time_ms(&self) -> i64 {
        self.end_ms.wrapping_sub(self.left_ms as i64)
    }

    /// Lets a delta pass. False if the time is then late.
    #[inline(always)]
    fn pass(&mut self) -> Result<bool, ChunkError> {
        match self.left_ms.checked_sub(self.delta_ms) {
            Some(left_ms) => {
                self.left_ms = left_ms;
                Ok(true)
            }
            None if self.time_ms().wrapping_add(self.delta_ms as i64) < self.time_ms() => {
                Err(TIME_GOES_BACK)
            }
            None => Ok(false),
        }
    }

    /// Changes the value as `code` says, which stands `time_bits` behind where the sample begins.
    #[inline(always)]
    fn change(
        &mut self,
        window: &[u8; REACH_BYTES],
        code: u64,
        time_bits: usize,
    ) -> Result<(), ChunkError> {
        if code >> 63 == 0 {
            self.at += time_bits + 1;
            return Ok(());
        }
        // A choice without a branch was no faster: it puts the new window into the way that every
        // sample waits for.
        let mut prefix = 2;
        if code >> 62 == 0b11 {
            prefix = 13;
            // Six bits cannot say 64; it is written as 0.
            self.spare = 0_u32.wrapping_sub((code >> 51) as u32) & 63;
            let leading = (code >> 57) as u32 & 31;
            self.trailing = self.spare.checked_sub(leading).ok_or(WINDOW_TOO_WIDE)?;
        }
        let begin = self.at % 8 + time_bits + prefix;
        self.at += (64 + prefix - self.spare as usize) + time_bits;
        let change = if self.spare >= SPARE_OF_NARROW {
            code << prefix >> self.spare
        } else {
            wide_word(window, begin, self.spare)
        };
        self.value ^= change << self.trailing;
        Ok(())
    }

    /// Reads samples until the columns are full, or one is late (then true), or the text has less
    /// left than any sample may touch.
    fn fill(
        &mut self,
        text: &[u8],
        times: &mut [i64],
        values: &mut [f64],
        done: &mut usize,
    ) -> Result<bool, ChunkError> {
        let times = times.get_mut(*done..).unwrap_or_default();
        let values = values.get_mut(*done..).unwrap_or_default();
        let mut slots = times.iter_mut().zip(values);
        let wanted = slots.len();
        // A copy that is lent to nobody stays in registers.
        let mut walk = *self;
        let mut is_late = false;
        // Not 0 if one of the last samples did not come at the pace of the one before.
        let mut uneven = 0;
        while let Some(window) = text.get(walk.at / 8..walk.at / 8 + REACH_BYTES)
            && let Some(window) = window.first_chunk()
            && let Some((time_slot, value_slot)) = slots.next()
        {
            let next = word(window, walk.at % 8);
            let (code, time_bits);
            if next >> 62 == 0b11 {
                let (change_ms, bits) = rare_time_change(window, walk.at % 8, next);
                walk.delta_ms = walk.delta_ms.wrapping_add(change_ms as u64);
                code = word(window, walk.at % 8 + bits);
                time_bits = bits;
                uneven = -1;
            } else {
                // No change, or the 14-bit class, which is by far the most frequent one. Scrapes
                // are now on time and now a little late: a branch between the two is often taken
                // wrongly. The class reaches from -8191 to 8192, so one is taken off and put back.
                let any = next as i64 >> 63;
                let change_ms = ((next << 2).wrapping_sub(1 << 50) as i64 >> 50) + 1;
                walk.delta_ms = walk.delta_ms.wrapping_add((change_ms & any) as u64);
                uneven |= any;
                let more = 15 & any as usize;
                code = next << 1 << more;
                time_bits = 1 + more;
            }
            if !walk.pass()? {
                walk.at += time_bits;
                is_late = true;
                *done = done.wrapping_sub(1);
                break;
            }
            walk.change(window, code, time_bits)?;
            (*time_slot, *value_slot) = (walk.time_ms(), f64::from_bits(walk.value));
            // Most series of a real server stand still at a regular pace: two zero bits a sample.
            if code >> 56 == 0 {
                let zeros = (code << 1).leading_zeros().min(40) as usize;
                let count = slots.len().min(zeros / 2);
                walk.repeat(count, slots.by_ref().take(count));
            }
            if slots.len() % STEADY == 0 {
                if uneven == 0 {
                    walk.stride(text, &mut slots)?;
                }
                uneven = 0;
            }
        }
        *done += wanted - slots.len();
        *self = walk;
        Ok(is_late)
    }

    /// Reads samples as long as they come at the pace of the last one: with less to keep in mind,
    /// that is much faster.
    #[inline(always)]
    fn stride<'a>(
        &mut self,
        text: &[u8],
        slots: &mut (impl ExactSizeIterator<Item = (&'a mut i64, &'a mut f64)> + 'a),
    ) -> Result<(), ChunkError> {
        let (mut walk, mut time_ms) = (*self, self.time_ms());
        while let Some(window) = text.get(walk.at / 8..walk.at / 8 + REACH_BYTES)
            && let Some(window) = window.first_chunk()
        {
            let next = word(window, walk.at % 8);
            let left_ms = walk.left_ms.checked_sub(walk.delta_ms);
            if next >> 62 == 0b01
                && let Some(left_ms) = left_ms
                && let Some((time_slot, value_slot)) = slots.next()
            {
                walk.left_ms = left_ms;
                time_ms = time_ms.wrapping_add(walk.delta_ms as i64);
                walk.change(window, next << 1, 1)?;
                (*time_slot, *value_slot) = (time_ms, f64::from_bits(walk.value));
            } else {
                break;
            }
        }
        *self = walk;
        Ok(())
    }

    /// Writes samples with the delta and the value of the last one, unless one of them is late.
    #[inline(always)]
    fn repeat<'a>(
        &mut self,
        count: usize,
        slots: impl Iterator<Item = (&'a mut i64, &'a mut f64)>,
    ) {
        let span_ms = self.delta_ms.checked_mul(count as u64);
        let Some(left_ms) = span_ms.and_then(|span_ms| self.left_ms.checked_sub(span_ms)) else {
            return;
        };
        let (mut time_ms, value) = (self.time_ms(), f64::from_bits(self.value));
        for (time_slot, value_slot) in slots {
            time_ms = time_ms.wrapping_add(self.delta_ms as i64);
            (*time_slot, *value_slot) = (time_ms, value);
        }
        self.left_ms = left_ms;
        self.at += 2 * count;
    }
}

/// The change of the time delta in the wider classes, and how many bits say it.
#[cold]
#[inline(never)]
fn rare_time_change(window: &[u8; REACH_BYTES], at: usize, next: u64) -> (i64, usize) {
    if next >> 61 == 0b110 {
        (widen(next << 3 >> 47, 17), 20)
    } else if next >> 60 == 0b1110 {
        (widen(next << 4 >> 44, 20), 24)
    } else {
        (wide_word(window, at + 4, 0) as i64, 68)
    }
}
