//! Floats as XOR chunks: differences of time deltas, and of each value's bits to those before.
//!
//! The layout is in `FORMAT.md`.

use bytes::Bytes;

use crate::base::bits::BitWriter;

use super::window::{Code, WindowOut};
use super::{ChunkError, decode_xor};

/// What a new chunk takes at once: the samples of some minutes.
const FIRST_BYTES: usize = 64;
/// The number of samples.
const HEADER_BYTES: usize = 2;

/// How many samples an appender has seen; the first two are written in their own ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Empty,
    One,
    Many,
}

/// Writes one chunk, sample by sample.
///
/// The number of samples is put in front of them when the chunk is asked for: most chunks of a
/// head have left the cache when it is their turn, and each sample would wait for their first line.
#[derive(Debug, Clone)]
pub struct XorAppender {
    bits: BitWriter,
    min_time_ms: i64,
    max_time_ms: i64,
    value: f64,
    delta_ms: u64,
    count: u16,
    window: WindowOut,
    stage: Stage,
}

impl Default for XorAppender {
    fn default() -> Self {
        Self::new()
    }
}

impl XorAppender {
    /// A chunk without samples.
    #[must_use]
    pub fn new() -> Self {
        Self::on(BitWriter::after(&[0; HEADER_BYTES], FIRST_BYTES))
    }

    const fn on(bits: BitWriter) -> Self {
        Self {
            bits,
            min_time_ms: i64::MAX,
            max_time_ms: i64::MIN,
            value: 0.0,
            delta_ms: 0,
            count: 0,
            window: WindowOut::NONE,
            stage: Stage::Empty,
        }
    }

    /// Begins the next chunk in the same memory.
    pub fn restart(&mut self) {
        let mut bits = std::mem::take(&mut self.bits);
        bits.restart(HEADER_BYTES);
        *self = Self::on(bits);
    }

    /// The finished chunk, in no more memory than it needs. The appender begins the next one in
    /// its own memory, which is then as large as a chunk of this series needs.
    #[must_use]
    pub fn finish_and_restart(&mut self) -> Bytes {
        let data = self.to_bytes();
        self.restart();
        data
    }

    /// Takes the newest samples out again, which takes as long as to read and write the others.
    ///
    /// # Errors
    /// None for a chunk that this appender has written.
    pub(crate) fn take_back(&mut self, samples: u32) -> Result<(), ChunkError> {
        let (mut times, mut floats) = (Vec::new(), Vec::new());
        decode_xor(&self.to_bytes(), (i64::MIN, i64::MAX), &mut times, &mut floats)?;
        let kept = times.len().saturating_sub(samples as usize);
        self.restart();
        let mut rest = times.into_iter().zip(floats).take(kept);
        rest.try_for_each(|(timestamp_ms, value)| self.append(timestamp_ms, value))
    }

    /// Appends a sample that is newer than those before.
    ///
    /// # Errors
    /// [`ChunkError::Full`] if there are 65 535 samples.
    #[inline]
    pub fn append(&mut self, timestamp_ms: i64, value: f64) -> Result<(), ChunkError> {
        let count = self.count.checked_add(1).ok_or(ChunkError::Full)?;
        let delta_ms = timestamp_ms.wrapping_sub(self.max_time_ms) as u64;
        let change = value.to_bits() ^ self.value.to_bits();
        if self.stage == Stage::Many {
            let front = self.time_code(delta_ms.wrapping_sub(self.delta_ms) as i64);
            self.window.put_xor(&mut self.bits, front, change);
        } else {
            self.append_early(timestamp_ms, delta_ms, value.to_bits(), change);
        }
        self.delta_ms = delta_ms;
        self.max_time_ms = timestamp_ms;
        self.value = value;
        self.count = count;
        Ok(())
    }

    /// As [`append`](Self::append), for what most samples are: as far from the last one as that is
    /// from the one before, with the same value, or with a change of the same bits. Any other is
    /// not appended, and the answer is false.
    ///
    /// For so little no call is needed.
    #[inline(always)]
    pub(crate) fn append_alike(&mut self, timestamp_ms: i64, value: f64) -> bool {
        let delta_ms = timestamp_ms.wrapping_sub(self.max_time_ms) as u64;
        if self.stage != Stage::Many || delta_ms != self.delta_ms || self.count == u16::MAX {
            return false;
        }
        let change = value.to_bits() ^ self.value.to_bits();
        if change == 0 {
            self.bits.put_zeros(2);
        } else if !self.window.put_again(&mut self.bits, change) {
            return false;
        }
        self.max_time_ms = timestamp_ms;
        self.value = value;
        self.count += 1;
        true
    }

    /// Writes the first or the second sample.
    #[cold]
    fn append_early(&mut self, timestamp_ms: i64, delta_ms: u64, value: u64, change: u64) {
        if self.stage == Stage::Empty {
            self.bits.put_varint(timestamp_ms);
            self.bits.put(value, 64);
            self.min_time_ms = timestamp_ms;
            self.stage = Stage::One;
        } else {
            self.bits.put_uvarint(delta_ms);
            self.window.put_xor(&mut self.bits, (0, 0), change);
            self.stage = Stage::Many;
        }
    }

    /// What says the change of the time delta; the widest class is written at once.
    #[inline(always)]
    fn time_code(&mut self, change: i64) -> Code {
        if change == 0 {
            return (0, 1);
        }
        let below = change.wrapping_sub(1);
        let magnitude = (below ^ below >> 63) as u64;
        let low = |width: u32| change as u64 & ((1 << width) - 1);
        if magnitude < 1 << 13 {
            (0b10 << 14 | low(14), 16)
        } else if magnitude < 1 << 16 {
            (0b110 << 17 | low(17), 20)
        } else if magnitude < 1 << 19 {
            (0b1110 << 20 | low(20), 24)
        } else {
            self.bits.put(0b1111, 4);
            self.bits.put(change as u64, 64);
            (0, 0)
        }
    }

    /// A copy of the chunk so far, in no more memory than it needs.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut data = self.bits.bytes().to_vec();
        if let Some(header) = data.first_chunk_mut() {
            *header = self.count.to_be_bytes();
        }
        Bytes::from(data)
    }

    /// How many bytes the chunk has so far.
    #[must_use]
    #[inline]
    pub const fn len_bytes(&self) -> usize {
        self.bits.len_bytes()
    }

    /// How many samples there are.
    #[must_use]
    pub const fn sample_count(&self) -> u16 {
        self.count
    }

    /// Time of the first sample; `i64::MAX` without one.
    #[must_use]
    pub const fn min_time_ms(&self) -> i64 {
        self.min_time_ms
    }

    /// Time of the last sample; `i64::MIN` without one.
    #[must_use]
    pub const fn max_time_ms(&self) -> i64 {
        self.max_time_ms
    }

    /// The last sample's value, or 0.
    #[must_use]
    pub const fn last_value(&self) -> f64 {
        self.value
    }

    /// Bytes that the appender takes in memory, itself included.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.bits.capacity_bytes()
    }

    /// The finished chunk, in no more memory than it needs.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        if let Some(header) = self.bits.header_mut() {
            *header = self.count.to_be_bytes();
        }
        Bytes::from(self.bits.into_bytes().into_boxed_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{Encoding, sample_count};
    use crate::model::stale_nan;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const ALL: (i64, i64) = (i64::MIN, i64::MAX);

    /// Reads one bit at a time, straight from the description of the format.
    struct Model<'a> {
        data: &'a [u8],
        at: usize,
    }

    impl Model<'_> {
        fn bits(&mut self, count: u32) -> Option<u64> {
            let mut value = 0;
            for _ in 0..count {
                let byte = self.data.get(self.at / 8)?;
                value = value << 1 | u64::from(byte >> (7 - self.at % 8) & 1);
                self.at += 1;
            }
            Some(value)
        }

        fn uvarint(&mut self) -> Option<u64> {
            let mut value = 0_u128;
            for index in 0..10 {
                let byte = self.bits(8)?;
                value |= u128::from(byte & 0x7f) << (7 * index);
                if byte < 0x80 {
                    return u64::try_from(value).ok();
                }
            }
            None
        }

        fn time_change(&mut self) -> Option<i64> {
            for width in [0, 14, 17, 20] {
                if self.bits(1)? == 0 {
                    let raw = self.bits(width)? as i64;
                    let above = width > 0 && raw > 1 << (width - 1);
                    return Some(if above { raw - (1 << width) } else { raw });
                }
            }
            self.bits(64).map(|raw| raw as i64)
        }

        fn value(&mut self, before: u64, window: &mut (u32, u32)) -> Option<u64> {
            if self.bits(1)? == 0 {
                return Some(before);
            }
            if self.bits(1)? == 1 {
                let leading = self.bits(5)? as u32;
                let width = self.bits(6)? as u32;
                let width = if width == 0 { 64 } else { width };
                *window = (width, 64_u32.checked_sub(leading + width)?);
            }
            Some(before ^ self.bits(window.0)? << window.1)
        }

        fn samples(data: &[u8]) -> Option<Vec<(i64, u64)>> {
            let count = sample_count(Encoding::Xor as u8, data).ok()?;
            let mut model = Model { data, at: 16 };
            let mut window = (64, 0);
            let mut samples: Vec<(i64, u64)> = Vec::new();
            let mut delta = 0_i64;
            for index in 0..count {
                let sample = match samples.last().copied() {
                    None => {
                        let raw = model.uvarint()?;
                        ((raw >> 1) as i64 ^ -((raw & 1) as i64), model.bits(64)?)
                    }
                    Some((time, value)) => {
                        delta = if index == 1 {
                            model.uvarint()? as i64
                        } else {
                            delta.wrapping_add(model.time_change()?)
                        };
                        let next = Some(time.wrapping_add(delta)).filter(|next| *next >= time)?;
                        (next, model.value(value, &mut window)?)
                    }
                };
                samples.push(sample);
            }
            Some(samples)
        }
    }

    fn encode(samples: &[(i64, f64)]) -> Bytes {
        let mut appender = XorAppender::new();
        for (time, value) in samples {
            appender.append(*time, *value).unwrap();
        }
        assert_eq!(usize::from(appender.sample_count()), samples.len());
        assert_eq!(appender.max_time_ms(), samples.last().map_or(i64::MIN, |last| last.0));
        appender.finish()
    }

    fn decode(data: &[u8], range: (i64, i64)) -> Result<Vec<(i64, u64)>, ChunkError> {
        let (mut times, mut floats) = (vec![-1], vec![-1.0]);
        let result = decode_xor(data, range, &mut times, &mut floats);
        assert_eq!((times[0], floats[0], times.len()), (-1, -1.0, floats.len()));
        let samples: Vec<_> =
            times.iter().copied().zip(floats.iter().map(|v| v.to_bits())).collect();
        assert!(result.is_ok() || samples.len() == 1);
        result.map(|()| samples[1..].to_vec())
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            (-1000_i32..1000).prop_map(f64::from),
            (-100_000_i32..100_000).prop_map(|cents| f64::from(cents) / 100.0),
            Just(stale_nan()),
            Just(-0.0),
        ]
    }

    fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
        let step = prop_oneof![
            Just(15_000_i64),
            14_990_i64..15_010,
            1_i64..200_000,
            1_i64..3_000_000,
            1_i64..=i64::MAX / 400,
        ];
        let start = prop_oneof![Just(1_767_571_200_000), -1000_i64..1000, Just(i64::MIN)];
        // Some of them at one pace, by which readers go faster.
        let run = prop_oneof![5 => Just(1_usize), 1 => 1_usize..60];
        let growth = prop_oneof![Just(0.0), Just(1.0), Just(0.1), Just(1e9)];
        (start, vec((step, run, value(), growth), 0..80)).prop_map(|(start, runs)| {
            let mut time: i64 = start;
            let mut samples = Vec::new();
            for (step, run, value, growth) in runs {
                for index in 0..run.min(160 - samples.len()) {
                    time += step;
                    let grown = value + index as f64 * growth;
                    samples.push((time, if index == 0 { value } else { grown }));
                }
            }
            samples
        })
    }

    fn raw(samples: &[(i64, f64)]) -> Vec<(i64, u64)> {
        samples.iter().map(|(time, value)| (*time, value.to_bits())).collect()
    }

    /// Samples at one pace, which change within a window for a while, then in another one or not at
    /// all; the pace may change once.
    fn steady() -> impl Strategy<Value = Vec<(i64, f64)>> {
        let window = (1_u32..=64).prop_flat_map(|width| (Just(width), 0..=64 - width));
        let narrow = (1_u32..=26).prop_flat_map(|width| (Just(width), 0..=64 - width));
        let changes = vec(any::<u64>(), 0..30);
        let runs = vec((prop_oneof![1 => window, 3 => narrow], changes, 0_usize..6), 0..12);
        let pace = prop_oneof![Just(15_000_i64), 1_i64..100_000, Just(i64::MAX / 400)];
        (any::<u64>(), pace, runs, any::<usize>(), 0_i64..3).prop_map(
            |(first, pace, runs, late_at, late_ms)| {
                let mut bits = first;
                let mut values = vec![bits];
                for ((width, trailing), changes, still) in runs {
                    for change in changes {
                        bits ^= change >> (64 - width) << trailing;
                        values.push(bits);
                    }
                    values.extend(std::iter::repeat_n(bits, still));
                }
                values.truncate(200);
                let late_at = late_at % (2 * values.len());
                let shift = |index: usize| if index >= late_at { late_ms } else { 0 };
                let time = |index: usize| index as i64 * pace + shift(index);
                let values = values.into_iter().map(f64::from_bits).enumerate();
                values.map(|(index, value)| (time(index), value)).collect()
            },
        )
    }

    proptest! {
        #[test]
        fn steady_samples_come_back_as_they_went(samples in steady(), at: usize) {
            let data = encode(&samples);
            prop_assert_eq!(Model::samples(&data), Some(raw(&samples)));
            prop_assert_eq!(decode(&data, ALL), Ok(raw(&samples)));
            let end_ms = samples[at % samples.len()].0;
            let kept = raw(&samples[..=at % samples.len()]);
            prop_assert_eq!(decode(&data, (i64::MIN, end_ms)), Ok(kept));
        }

        #[test]
        fn samples_come_back_as_they_went(samples in samples()) {
            let data = encode(&samples);
            prop_assert_eq!(Model::samples(&data), Some(raw(&samples)));
            prop_assert_eq!(decode(&data, ALL), Ok(raw(&samples)));
        }

        #[test]
        fn samples_that_are_taken_back_leave_no_trace(
            samples in samples(), taken in 0_usize..160, more in samples(),
        ) {
            let taken = taken.min(samples.len());
            let kept = samples.len() - taken;
            let (mut tried, mut wanted) = (XorAppender::new(), XorAppender::new());
            for (index, (time, value)) in samples.iter().enumerate() {
                tried.append(*time, *value).unwrap();
                if index < kept {
                    wanted.append(*time, *value).unwrap();
                }
            }
            tried.take_back(taken as u32).unwrap();
            prop_assert_eq!(tried.to_bytes(), wanted.to_bytes());
            let newest_ms = wanted.max_time_ms();
            for (time, value) in more.iter().filter(|more| more.0 > newest_ms) {
                tried.append(*time, *value).unwrap();
                wanted.append(*time, *value).unwrap();
                prop_assert_eq!(tried.last_value().to_bits(), wanted.last_value().to_bits());
            }
            let span = |chunk: &XorAppender| (chunk.min_time_ms(), chunk.max_time_ms());
            prop_assert_eq!(span(&tried), span(&wanted));
            prop_assert_eq!(tried.finish(), wanted.finish());
        }

        #[test]
        fn what_is_alike_is_appended_as_all_else_is(
            samples in samples(), step_ms in 0_i64..100, length in 0_usize..200,
        ) {
            // Regular ones come often, at other distances and in other windows than before.
            let start_ms = samples.last().map_or(0, |last| last.0);
            let regular = (1..=length as i64).map(|index| {
                (start_ms.saturating_add(index * step_ms), (index / 3 * 1000) as f64)
            });
            let (mut tried, mut wanted) = (XorAppender::new(), XorAppender::new());
            let mut alike = 0;
            for (time, value) in samples.iter().copied().chain(regular) {
                let before = tried.clone();
                if tried.append_alike(time, value) {
                    alike += 1;
                } else {
                    prop_assert_eq!(tried.to_bytes(), before.to_bytes());
                    tried.append(time, value).unwrap();
                }
                wanted.append(time, value).unwrap();
            }
            prop_assert!(length < 50 || alike > length / 4, "{alike} of {length}");
            prop_assert_eq!(tried.finish(), wanted.finish());
        }

        #[test]
        fn only_samples_of_the_range_are_kept(
            samples in samples(), a in 0_usize..160, b in 0_usize..160,
        ) {
            prop_assume!(!samples.is_empty());
            let pick = |index: usize| samples[index % samples.len()].0;
            let range = (pick(a), pick(b) + 1);
            let mut wanted = raw(&samples);
            wanted.retain(|sample| range.0 <= sample.0 && sample.0 <= range.1);
            prop_assert_eq!(decode(&encode(&samples), range), Ok(wanted));
        }

        #[test]
        fn damaged_chunks_are_read_as_the_model_reads_them(
            samples in prop_oneof![samples(), steady()], at: usize, flip: u8, cut: usize,
        ) {
            let mut data = encode(&samples).to_vec();
            let at = at % data.len();
            data[at] ^= flip;
            prop_assert_eq!(decode(&data, ALL).ok(), Model::samples(&data));
            data.truncate(cut % data.len());
            prop_assert_eq!(decode(&data, ALL).ok(), Model::samples(&data));
        }

        #[test]
        fn any_bytes_are_read_as_the_model_reads_them(data: Vec<u8>, count in 0_u8..8) {
            prop_assert_eq!(decode(&data, ALL).ok(), Model::samples(&data));
            let counted = [&[0, count], data.as_slice()].concat();
            prop_assert_eq!(decode(&counted, ALL).ok(), Model::samples(&counted));
        }
    }

    #[test]
    fn a_count_without_samples_allocates_nothing() {
        let (mut times, mut floats) = (Vec::new(), Vec::new());
        let result = decode_xor(&[0xff, 0xff, 0, 0, 0], ALL, &mut times, &mut floats);
        assert_eq!(result, Err(ChunkError::Truncated));
        assert_eq!((times.capacity(), floats.capacity()), (0, 0));
    }

    #[test]
    fn time_classes_are_lopsided() {
        // The class of 14 bits reaches from -8191 to 8192.
        for (change, bits) in [(8192, 16), (-8191, 16), (8193, 20), (-8192, 20), (0, 1)] {
            let times = [0, 100_000, 200_000 + change];
            let data = encode(&times.map(|time| (time, 1.0)));
            // Count, first time, first value, second delta; then a bit for each value.
            let bytes = 2 + 1 + 8 + 3 + (1_usize + bits + 1).div_ceil(8);
            assert_eq!(data.len(), bytes, "change {change}");
            assert_eq!(decode(&data, ALL).unwrap()[2].0, 200_000 + change);
        }
    }

    #[test]
    fn a_full_chunk_refuses_more() {
        let mut appender = XorAppender::new();
        for time in 0..65_535 {
            appender.append(time, 1.0).unwrap();
        }
        assert_eq!(appender.append(65_535, 1.0), Err(ChunkError::Full));
        assert_eq!(decode(&appender.to_bytes(), ALL).unwrap().len(), 65_535);
    }
}
