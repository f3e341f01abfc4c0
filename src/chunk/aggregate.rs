//! Chunks of downsampled samples: one chunk for each number that stands for them.
//!
//! The layout is in `FORMAT.md`.

use bytes::Bytes;

use crate::base::varint::{Cursor, put_uvarint, uvarint_bytes};

use super::{ChunkError, Encoding, sample_count};

/// The encoding byte of a chunk of aggregates.
pub const AGGREGATE: u8 = 255;

/// The numbers of downsampled samples, in the order in which a chunk has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Part {
    /// How many samples there were in each window.
    Count = 0,
    /// Their sum; histograms are added up too.
    Sum = 1,
    /// The lowest float of each window.
    Min = 2,
    /// The highest float of each window.
    Max = 3,
    /// How far a counter has come since the first sample of the chunk. Of floats the first sample
    /// stands before, and the last one behind it at the time of the last window.
    Counter = 4,
    /// One histogram: the last sample, where the counter does not end with it. Thanos does not
    /// know of this part, and reads over it.
    LastRaw = 5,
}

const PARTS: usize = 6;
/// What Thanos writes and needs.
const NEEDED: usize = 5;

const UNFIT: ChunkError = ChunkError::Malformed("a part of an aggregate is of the wrong encoding");

/// The parts of a chunk of aggregates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AggregateChunk<'a> {
    parts: [Option<(u8, &'a [u8])>; PARTS],
}

impl<'a> AggregateChunk<'a> {
    /// Finds the parts in what stands behind the encoding byte. What is behind the sixth part is
    /// left for others.
    ///
    /// # Errors
    /// [`ChunkError::Truncated`] if one of the first five is not there as a whole,
    /// [`ChunkError::Malformed`] or [`ChunkError::Unknown`] if its encoding is not one of a part.
    pub fn parse(data: &'a [u8]) -> Result<Self, ChunkError> {
        let mut cursor = Cursor::new(data);
        let mut chunk = Self::default();
        for (place, part) in chunk.parts.iter_mut().enumerate() {
            if place >= NEEDED && cursor.is_empty() {
                break;
            }
            let length = cursor.uvarint().map_err(|_| ChunkError::Truncated)?;
            if length == 0 {
                continue;
            }
            let length = usize::try_from(length).map_err(|_| ChunkError::Truncated)?;
            let encoding = cursor.u8().map_err(|_| ChunkError::Truncated)?;
            let data = cursor.take(length).map_err(|_| ChunkError::Truncated)?;
            let is_float = matches!(Encoding::try_from(encoding)?, Encoding::Xor | Encoding::Xor2);
            let needs_float = place == 0 || place == 2 || place == 3;
            let needs_histogram = place == 5;
            if is_float && needs_histogram || !is_float && needs_float {
                return Err(UNFIT);
            }
            *part = Some((encoding, data));
        }
        Ok(chunk)
    }

    /// Encoding and bytes of a part, if the chunk has it.
    #[must_use]
    pub fn get(&self, part: Part) -> Option<(u8, &'a [u8])> {
        self.parts.get(part as usize).copied().flatten()
    }

    /// True if the samples were histograms.
    #[must_use]
    pub fn is_histogram(&self) -> bool {
        let is_histogram = |(encoding, _): (u8, &[u8])| {
            !matches!(Encoding::try_from(encoding), Ok(Encoding::Xor | Encoding::Xor2))
        };
        self.get(Part::Counter).or_else(|| self.get(Part::Sum)).is_some_and(is_histogram)
    }

    /// How many windows there are: as many as there are counts.
    ///
    /// # Errors
    /// [`ChunkError::Truncated`] if the counts have no header.
    pub fn window_count(&self) -> Result<u16, ChunkError> {
        self.get(Part::Count).map_or(Ok(0), |(encoding, data)| sample_count(encoding, data))
    }
}

/// The parts as one chunk: encoding and bytes of each, in the order of [`Part`]. Parts behind the
/// fifth are written only if they are there, so that without them the bytes are Thanos's.
#[must_use]
pub fn encode_aggregate(parts: &[Option<(u8, &[u8])>; PARTS]) -> Bytes {
    let size = |part: &Option<(u8, &[u8])>| {
        part.map_or(1, |(_, data)| uvarint_bytes(data.len() as u64) + 1 + data.len())
    };
    let mut out = Vec::with_capacity(parts.iter().map(size).sum());
    for (place, part) in parts.iter().enumerate() {
        match part {
            Some((encoding, data)) => {
                put_uvarint(&mut out, data.len() as u64);
                out.push(*encoding);
                out.extend_from_slice(data);
            }
            None if place < NEEDED => out.push(0),
            None => {}
        }
    }
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::XorAppender;
    use proptest::prelude::*;

    fn xor(samples: &[(i64, f64)]) -> Bytes {
        let mut appender = XorAppender::new();
        for (time_ms, value) in samples {
            appender.append(*time_ms, *value).unwrap();
        }
        appender.finish()
    }

    #[test]
    fn absent_parts_take_one_byte() {
        let count = xor(&[(0, 1.0)]);
        let mut parts = [None; 6];
        parts[0] = Some((1, &*count));
        let data = encode_aggregate(&parts);
        let bytes = [11, 1, 0, 1, 0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(data, bytes[..]);
        let chunk = AggregateChunk::parse(&data).unwrap();
        assert_eq!(chunk.get(Part::Count), Some((1, &*count)));
        assert_eq!((chunk.get(Part::Sum), chunk.get(Part::LastRaw)), (None, None));
        assert_eq!((chunk.window_count(), chunk.is_histogram()), (Ok(1), false));
    }

    #[test]
    fn a_sixth_part_is_found_and_what_is_behind_it_is_left_alone() {
        let (count, last) = (xor(&[(0, 1.0)]), [0, 1, 0, 9, 9]);
        let mut parts = [None; 6];
        parts[0] = Some((1, &*count));
        parts[5] = Some((3, &last[..]));
        let mut data = encode_aggregate(&parts).to_vec();
        assert_eq!(AggregateChunk::parse(&data).unwrap().parts, parts);
        data.extend_from_slice(b"later");
        assert_eq!(AggregateChunk::parse(&data).unwrap().parts, parts);
    }

    #[test]
    fn parts_of_other_kinds_are_refused() {
        let part = [0_u8, 1, 0];
        for (place, encoding) in [(0, 3), (2, 2), (3, 3), (5, 1)] {
            let mut parts = [None; 6];
            parts[place] = Some((encoding, &part[..]));
            let data = encode_aggregate(&parts);
            assert_eq!(AggregateChunk::parse(&data), Err(UNFIT), "{place}");
        }
        let mut parts = [None; 6];
        parts[1] = Some((AGGREGATE, &part[..]));
        let parsed = encode_aggregate(&parts);
        assert_eq!(AggregateChunk::parse(&parsed), Err(ChunkError::Unknown(AGGREGATE)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_parts_or_an_error(data in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(chunk) = AggregateChunk::parse(&data) {
                let held = chunk.parts.iter().flatten().map(|(_, part)| part.len()).sum::<usize>();
                prop_assert!(held < data.len());
                let again = encode_aggregate(&chunk.parts);
                prop_assert_eq!(AggregateChunk::parse(&again).unwrap(), chunk);
            }
        }

        #[test]
        fn a_cut_is_an_error(cut in 0_usize..65) {
            let one = xor(&[(0, 1.0)]);
            let mut parts = [Some((1, &*one)); 6];
            parts[5] = None;
            let data = encode_aggregate(&parts);
            prop_assert_eq!(data.len(), 65);
            prop_assert!(AggregateChunk::parse(&data[..cut]).is_err());
        }
    }
}
