//! Where the chunks of a series are, in few bytes for each.
//!
//! A year of many series has tens of millions of chunks, of which a question must know the places
//! before it reads the first one. Chunks of a series follow one another in even steps, in time as
//! well as in the file, so that the differences of differences are small:
//!
//! | number   | zig-zag varint of                                                       |
//! |----------|-------------------------------------------------------------------------|
//! | gap      | first time less the last time of the chunk before, less the gap before |
//! | length   | last time less first time, less the length before                       |
//! | distance | reference less the reference before, less the distance before           |
//! | guess    | bytes of the chunk before less the distance; not of the first chunk     |
//!
//! How long the last chunk is, is known later and kept elsewhere.

use crate::base::varint::{Cursor, put_varint};
use crate::series::TimeRange;
use crate::storage::index::ChunkMeta;

/// What lies between two chunks of a series is the first of them, unless it is absurdly much.
const CHUNK_LENGTH_BYTES_MAX: u64 = 1 << 20;

/// Where a chunk is, and how long it is at most as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkWant {
    pub(super) reference: u64,
    pub(super) min_time_ms: i64,
    pub(super) max_time_ms: i64,
    pub(super) guess_bytes: u32,
}

impl ChunkWant {
    pub(super) const fn segment(&self) -> u32 {
        (self.reference >> 32) as u32
    }

    pub(super) const fn offset(&self) -> u64 {
        self.reference & u32::MAX as u64
    }
}

/// Puts those of the chunks of a series that overlap `range` into `wants`, instead of what is
/// there. How long a chunk is tells where the next one of its series is, which lies right behind
/// it; that of the last chunk of all is said to be `guess_bytes`. True if that one is among them.
pub(super) fn choose(
    chunks: &[ChunkMeta],
    range: TimeRange,
    guess_bytes: u32,
    wants: &mut Vec<ChunkWant>,
) -> bool {
    wants.clear();
    let mut is_last = false;
    for (at, chunk) in chunks.iter().enumerate() {
        if !TimeRange::new(chunk.min_time_ms, chunk.max_time_ms).overlaps(range) {
            continue;
        }
        let next = chunks.get(at + 1).map(|next| next.reference);
        is_last = next.is_none();
        let known = next.and_then(|next| next.checked_sub(chunk.reference));
        let known = known.filter(|length| (1..=CHUNK_LENGTH_BYTES_MAX).contains(length));
        wants.push(ChunkWant {
            reference: chunk.reference,
            min_time_ms: chunk.min_time_ms,
            max_time_ms: chunk.max_time_ms,
            guess_bytes: known.map_or(guess_bytes, |length| length as u32),
        });
    }
    is_last
}

/// The numbers of a chunk whose differences are kept.
#[derive(Default)]
struct Step {
    gap: i64,
    length: i64,
    distance: i64,
}

/// Puts all but the length of the last chunk into `out`, instead of what is there.
pub(super) fn encode(wants: &[ChunkWant], out: &mut Vec<u8>) {
    out.clear();
    let mut step = Step::default();
    let mut before: Option<ChunkWant> = None;
    for want in wants {
        let last = before.unwrap_or(ChunkWant { max_time_ms: 0, reference: 0, ..*want });
        let now = Step {
            gap: want.min_time_ms.wrapping_sub(last.max_time_ms),
            length: want.max_time_ms.wrapping_sub(want.min_time_ms),
            distance: want.reference.wrapping_sub(last.reference).cast_signed(),
        };
        put_varint(out, now.gap.wrapping_sub(step.gap));
        put_varint(out, now.length.wrapping_sub(step.length));
        put_varint(out, now.distance.wrapping_sub(step.distance));
        step = now;
        match before {
            Some(last) => put_varint(out, i64::from(last.guess_bytes).wrapping_sub(step.distance)),
            // It counts from nothing, which says nothing of the steps that follow.
            None => (step.gap, step.distance) = (0, 0),
        }
        before = Some(*want);
    }
}

/// Appends what [`encode`] was given to `into`; `None` for bytes that it did not make.
pub(super) fn decode(bytes: &[u8], last_guess_bytes: u32, into: &mut Vec<ChunkWant>) -> Option<()> {
    let mut cursor = Cursor::new(bytes);
    let mut step = Step::default();
    let (mut max_time_ms, mut reference) = (0_i64, 0_u64);
    let mut is_first = true;
    while !cursor.is_empty() {
        step.gap = step.gap.wrapping_add(cursor.varint().ok()?);
        step.length = step.length.wrapping_add(cursor.varint().ok()?);
        step.distance = step.distance.wrapping_add(cursor.varint().ok()?);
        let min_time_ms = max_time_ms.wrapping_add(step.gap);
        max_time_ms = min_time_ms.wrapping_add(step.length);
        reference = reference.wrapping_add_signed(step.distance);
        if is_first {
            (step.gap, step.distance) = (0, 0);
            is_first = false;
        } else {
            let guess = cursor.varint().ok()?.wrapping_add(step.distance);
            into.last_mut()?.guess_bytes = u32::try_from(guess).ok()?;
        }
        let guess_bytes = last_guess_bytes;
        into.push(ChunkWant { reference, min_time_ms, max_time_ms, guess_bytes });
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn any_want() -> impl Strategy<Value = ChunkWant> {
        (any::<u64>(), any::<i64>(), any::<i64>(), any::<u32>()).prop_map(
            |(reference, min_time_ms, max_time_ms, guess_bytes)| ChunkWant {
                reference,
                min_time_ms,
                max_time_ms,
                guess_bytes,
            },
        )
    }

    proptest! {
        #[test]
        fn places_come_back(wants in vec(any_want(), 0..20)) {
            let (mut bytes, mut back) = (vec![7], Vec::new());
            encode(&wants, &mut bytes);
            let last = wants.last().map_or(0, |want| want.guess_bytes);
            prop_assert_eq!(decode(&bytes, last, &mut back), Some(()));
            prop_assert_eq!(back, wants);
        }

        #[test]
        fn other_bytes_never_panic(bytes in vec(any::<u8>(), 0..60)) {
            let mut back = Vec::new();
            let _ = decode(&bytes, 1, &mut back);
            prop_assert!(back.len() <= bytes.len() / 3 + 1);
        }
    }

    #[test]
    fn even_steps_take_few_bytes() {
        let jitter = |at: u64| (at * 7 % 3) as i64;
        let chunks: Vec<ChunkMeta> = (0..1000_u64)
            .map(|at| ChunkMeta {
                min_time_ms: at as i64 * 7_200_000 + jitter(at),
                max_time_ms: at as i64 * 7_200_000 + 7_140_000 + jitter(at + 1),
                reference: (3 << 32) + at * 480 + at % 5,
            })
            .collect();
        let mut wants = Vec::new();
        assert!(choose(&chunks, TimeRange::ALL, 900, &mut wants));
        assert!(wants[..999].iter().all(|want| (475..490).contains(&want.guess_bytes)));
        assert_eq!(wants[999].guess_bytes, 900);
        let mut bytes = Vec::new();
        encode(&wants, &mut bytes);
        assert!(bytes.len() < 4100, "{}", bytes.len());
        assert!(!choose(&chunks, TimeRange::new(0, 100_000_000), 900, &mut wants));
        assert_eq!(wants.len(), 14);
    }
}
