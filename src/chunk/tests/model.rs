//! A model that reads one bit at a time, straight from the description of the format.

use super::*;
use crate::base::bits::BitWriter;
use crate::model::histogram::CountsRef;
use crate::model::{STALE_NAN_BITS, is_stale};

/// A bucket: whether it is a negative one, its number, its count.
type Bucket = (bool, i64, u64);

#[derive(Debug, PartialEq)]
struct Read {
    time: i64,
    start: i64,
    /// Bits of the value or the sum.
    value: u64,
    histogram: Option<ReadHistogram>,
}

#[derive(Debug, PartialEq)]
struct ReadHistogram {
    hint: ResetHint,
    schema: i32,
    zero_threshold: u64,
    bounds: Vec<u64>,
    is_float: bool,
    /// Bits of float counts.
    count: u64,
    zero_count: u64,
    buckets: Vec<Bucket>,
}

struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bits(&mut self, count: u32) -> Option<u64> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.data.get(self.at / 8)?;
            value = value << 1 | u64::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    fn ones(&mut self, max: u32) -> Option<u32> {
        let mut ones = 0;
        while ones < max && self.bits(1)? == 1 {
            ones += 1;
        }
        Some(ones)
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

    fn varint(&mut self) -> Option<i64> {
        self.uvarint().map(|raw| (raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    fn class(&mut self) -> Option<(u64, u32)> {
        let width = [0, 3, 6, 9, 12, 18, 25, 56, 64][self.ones(8)? as usize];
        Some((self.bits(width)?, width))
    }

    fn varbit(&mut self) -> Option<i64> {
        let (raw, width) = self.class()?;
        let is_above = width > 0 && width < 64 && raw > 1 << (width - 1);
        Some(if is_above { raw as i64 - (1 << width) } else { raw as i64 })
    }

    fn varbit_u(&mut self) -> Option<u64> {
        self.class().map(|(raw, _)| raw)
    }

    fn renew(&mut self, window: &mut (u32, u32)) -> Option<()> {
        let (leading, width) = (self.bits(5)? as u32, self.bits(6)? as u32);
        let width = if width == 0 { 64 } else { width };
        *window = (width, 64_u32.checked_sub(leading + width)?);
        Some(())
    }

    fn xor(&mut self, before: u64, window: &mut (u32, u32)) -> Option<u64> {
        match self.ones(2)? {
            0 => return Some(before),
            1 => {}
            _ => self.renew(window)?,
        }
        Some(before ^ self.bits(window.0)? << window.1)
    }
}

/// Since when samples count, whose byte in the header is given.
struct Starts {
    header: u8,
    start: i64,
    distance: i64,
}

impl Starts {
    fn next(&mut self, bits: &mut Bits<'_>, index: u16, time: i64, before: i64) -> Option<i64> {
        let change = u16::from(self.header & 0x7f);
        if index == 0 && self.header & 0x80 != 0 {
            self.start = time.wrapping_sub(bits.varint()?);
        } else if index > 0 && change > 0 && index >= change {
            self.distance = self.distance.wrapping_add(bits.varbit()?);
            self.start = before.wrapping_sub(self.distance);
        }
        Some(self.start)
    }
}

fn read_xor2(data: &[u8]) -> Option<Vec<Read>> {
    let count = u16::from_be_bytes([*data.first()?, *data.get(1)?]);
    let mut starts = Starts { header: *data.get(2)?, start: 0, distance: 0 };
    let mut bits = Bits { data, at: 24 };
    let (mut window, mut delta, mut baseline) = ((64, 0), 0_i64, 0);
    let mut samples: Vec<Read> = Vec::new();
    for index in 0..count {
        let before = samples.last().map_or(0, |sample| sample.time);
        let mut time = before;
        let any = |bits: &mut Bits<'_>, window: &mut (u32, u32), baseline: &mut u64| {
            match bits.ones(3)? {
                0 => return Some(*baseline),
                1 => {}
                2 => bits.renew(window)?,
                _ => return Some(STALE_NAN_BITS),
            }
            *baseline ^= bits.bits(window.0)? << window.1;
            Some(*baseline)
        };
        let value = match index {
            0 => {
                time = bits.varint()?;
                let value = bits.bits(64)?;
                baseline = if value == STALE_NAN_BITS { 0 } else { value };
                value
            }
            1 => {
                delta = bits.uvarint()? as i64;
                any(&mut bits, &mut window, &mut baseline)?
            }
            _ => match bits.ones(5)? {
                0 => baseline,
                1 => {
                    if bits.bits(1)? == 1 {
                        bits.renew(&mut window)?;
                    }
                    baseline ^= bits.bits(window.0)? << window.1;
                    baseline
                }
                5 => STALE_NAN_BITS,
                class => {
                    let width = [13, 20, 64][class as usize - 2];
                    let change = (bits.bits(width)? << (64 - width)) as i64 >> (64 - width);
                    delta = delta.wrapping_add(change);
                    any(&mut bits, &mut window, &mut baseline)?
                }
            },
        };
        if index > 0 {
            time = before.wrapping_add(delta);
        }
        let start = starts.next(&mut bits, index, time, before)?;
        if index > 0 && time < before {
            return None;
        }
        samples.push(Read { time, start, value, histogram: None });
    }
    Some(samples)
}

struct Place {
    zero_threshold: f64,
    schema: i32,
    spans: [Vec<(u32, i32)>; 2],
    bounds: Vec<u64>,
}

fn read_place(bits: &mut Bits<'_>) -> Option<Place> {
    let zero_threshold = match bits.bits(8)? {
        0 => 0.0,
        255 => f64::from_bits(bits.bits(64)?),
        power => 2.0_f64.powi(power as i32 - 244),
    };
    let schema = i32::try_from(bits.varbit()?).ok()?;
    let mut spans = [Vec::new(), Vec::new()];
    for side in &mut spans {
        for _ in 0..bits.varbit_u()? {
            let length = u32::try_from(bits.varbit_u()?).ok()?;
            side.push((length, i32::try_from(bits.varbit()?).ok()?));
        }
    }
    let mut bounds = Vec::new();
    if schema == -53 {
        for _ in 0..bits.varbit_u()? {
            bounds.push(match bits.varbit_u()? {
                0 => bits.bits(64)?,
                short => ((short - 1) as f64 / 1000.0).to_bits(),
            });
        }
    }
    let is_known = schema == -53 || (-4..=52).contains(&schema);
    let is_coarse = schema <= 8;
    let overlaps = spans.iter().any(|side| side.iter().skip(1).any(|span| span.1 < 0));
    (is_known && (is_coarse || !overlaps)).then_some(Place {
        zero_threshold,
        schema,
        spans,
        bounds,
    })
}

impl Place {
    fn numbers(&self) -> Vec<(bool, i64)> {
        let mut numbers = Vec::new();
        for (is_negative, side) in [false, true].into_iter().zip(&self.spans) {
            let mut number = 0_i64;
            for (length, offset) in side {
                number += i64::from(*offset);
                for _ in 0..*length {
                    numbers.push((is_negative, number));
                    number += 1;
                }
            }
        }
        numbers
    }

    /// Buckets with their counts, those of reserved schemas in the buckets of schema 8.
    fn buckets(&self, counts: &[u64], is_float: bool) -> Vec<Bucket> {
        let mut buckets: Vec<Bucket> = Vec::new();
        let width = 1_i64 << (self.schema - 8).max(0);
        for ((is_negative, number), count) in self.numbers().into_iter().zip(counts) {
            let coarse = (number + width - 1).div_euclid(width);
            match buckets.last_mut() {
                Some(last) if self.schema > 8 && (last.0, last.1) == (is_negative, coarse) => {
                    last.2 = if is_float {
                        (f64::from_bits(last.2) + f64::from_bits(*count)).to_bits()
                    } else {
                        last.2.wrapping_add(*count)
                    };
                }
                _ => buckets.push((is_negative, coarse, *count)),
            }
        }
        buckets
    }
}

/// A number of a histogram: an integer with its delta, or a float with its window.
#[derive(Clone)]
struct Number {
    value: u64,
    delta: i64,
    window: (u32, u32),
}

impl Number {
    fn new(value: u64) -> Self {
        Self { value, delta: 0, window: (64, 0) }
    }

    fn next(&mut self, bits: &mut Bits<'_>, is_float: bool) -> Option<()> {
        if is_float {
            self.value = bits.xor(self.value, &mut self.window)?;
        } else {
            self.delta = self.delta.wrapping_add(bits.varbit()?);
            self.value = self.value.wrapping_add_signed(self.delta);
        }
        Some(())
    }
}

fn read_histograms(encoding: u8, data: &[u8]) -> Option<Vec<Read>> {
    let (is_float, has_starts) = (encoding == 3 || encoding == 6, encoding > 4);
    let [high, low, third] = *data.first_chunk()?;
    let count = u16::from_be_bytes([if has_starts { high & 0x3f } else { high }, low]);
    let header = if has_starts { high } else { third } >> 6;
    let mut starts = Starts { header: if has_starts { third } else { 0 }, start: 0, distance: 0 };
    if count == 0 {
        return Some(Vec::new());
    }
    let mut bits = Bits { data, at: 24 };
    let place = read_place(&mut bits)?;
    let lengths = place.spans.iter().flatten().map(|span| u64::from(span.0)).sum::<u64>();
    if lengths > data.len() as u64 * 8 {
        return None;
    }
    let numbers = place.numbers();
    let whole = |bits: &mut Bits<'_>| if is_float { bits.bits(64) } else { bits.varbit_u() };
    let step = |bits: &mut Bits<'_>| {
        if is_float { bits.bits(64) } else { bits.varbit().map(|step| step as u64) }
    };
    let mut time = bits.varbit()?;
    let mut totals = [Number::new(whole(&mut bits)?), Number::new(whole(&mut bits)?)];
    let mut sum = Number::new(bits.bits(64)?);
    // As written: steps from bucket to bucket, or floats.
    let mut steps = Vec::new();
    for _ in &numbers {
        steps.push(Number::new(step(&mut bits)?));
    }
    let (mut delta, mut samples) = (0_i64, Vec::new());
    for index in 0..count {
        let before = time;
        if index > 0 {
            delta = delta.wrapping_add(bits.varbit()?);
            time = time.wrapping_add(delta);
            for total in &mut totals {
                total.next(&mut bits, is_float)?;
            }
            sum.next(&mut bits, true)?;
            for step in &mut steps {
                if sum.value != STALE_NAN_BITS {
                    step.next(&mut bits, is_float)?;
                }
            }
        }
        let start = starts.next(&mut bits, index, time, before)?;
        if time < before {
            return None;
        }
        let hint = match (header, index) {
            (3, _) => ResetHint::Gauge,
            (_, 0) => ResetHint::Unknown,
            _ => ResetHint::NotReset,
        };
        let mut histogram = ReadHistogram {
            hint: ResetHint::Unknown,
            schema: 0,
            zero_threshold: 0,
            bounds: Vec::new(),
            is_float,
            count: 0,
            zero_count: 0,
            buckets: Vec::new(),
        };
        if sum.value != STALE_NAN_BITS {
            let mut counts = Vec::new();
            let (mut run, mut side) = (0_u64, false);
            for (step, (is_negative, _)) in steps.iter().zip(&numbers) {
                run = if side == *is_negative { run } else { 0 };
                side = *is_negative;
                run = run.wrapping_add(step.value);
                counts.push(if is_float { step.value } else { run });
            }
            histogram.hint = hint;
            histogram.schema = if place.schema > 8 { 8 } else { place.schema };
            histogram.zero_threshold = place.zero_threshold.to_bits();
            histogram.bounds.clone_from(&place.bounds);
            histogram.buckets = place.buckets(&counts, is_float);
            [histogram.count, histogram.zero_count] = [totals[0].value, totals[1].value];
        }
        samples.push(Read { time, start, value: sum.value, histogram: Some(histogram) });
    }
    Some(samples)
}

fn read(encoding: u8, data: &[u8]) -> Option<Vec<Read>> {
    if encoding == 4 { read_xor2(data) } else { read_histograms(encoding, data) }
}

fn row(time: i64, start: i64, value: Value<'_>) -> Read {
    let histogram = match value {
        Value::Float(value) => {
            return Read { time, start, value: value.to_bits(), histogram: None };
        }
        Value::Histogram(histogram) => histogram,
    };
    let layout = histogram.layout;
    let (is_float, count, zero_count, counts) = match histogram.counts {
        CountsRef::Integer { count, zero_count, buckets } => {
            let counts: Vec<u64> = buckets.iter().map(|bucket| *bucket as u64).collect();
            (false, count, zero_count, counts)
        }
        CountsRef::Float { count, zero_count, buckets } => {
            let counts = buckets.iter().map(|bucket| bucket.to_bits()).collect();
            (true, count.to_bits(), zero_count.to_bits(), counts)
        }
    };
    let side = |spans: &[Span]| spans.iter().map(|span| (span.length, span.offset)).collect();
    let place = Place {
        zero_threshold: layout.zero_threshold,
        schema: layout.schema,
        spans: [side(&layout.positive), side(&layout.negative)],
        bounds: layout.custom_bounds.iter().map(|bound| bound.to_bits()).collect(),
    };
    let buckets = place.buckets(&counts, is_float);
    let read = ReadHistogram {
        hint: histogram.hint,
        schema: layout.schema,
        zero_threshold: layout.zero_threshold.to_bits(),
        bounds: place.bounds,
        is_float,
        count,
        zero_count,
        buckets,
    };
    Read { time, start, value: histogram.sum.to_bits(), histogram: Some(read) }
}

/// What [`decode`] reads, behind samples that were there before and stay.
fn read_by_decode(encoding: u8, data: &[u8], range: (i64, i64)) -> Option<Vec<Read>> {
    let mut column = Column::new();
    column.push(i64::MIN, -1.0);
    let untouched = column.clone();
    let result = decode(encoding, data, range, &mut column);
    if result.is_err() {
        assert_eq!(column, untouched, "what was there before");
        return None;
    }
    assert!(column.starts_ms.is_empty() || column.starts_ms.len() == column.len());
    let rows = column.samples().skip(1);
    Some(rows.map(|(time, start, value)| row(time, start, value)).collect())
}

/// Chunks of every encoding but XOR, with what went into them.
fn encoded() -> impl Strategy<Value = (Column, Vec<EncodedChunk>)> {
    let options = EncodeOptions { float_starts: true, ..EncodeOptions::default() };
    (0_u8..3).prop_flat_map(column).prop_map(move |column| {
        let chunks = chunks(&column, &options);
        (column, chunks)
    })
}

proptest! {
    #[test]
    fn chunks_are_read_as_the_model_reads_them(
        (column, chunks) in encoded(), a: usize, b: usize,
    ) {
        let mut sums = Vec::new();
        for chunk in &chunks {
            let samples = read(chunk.encoding, &chunk.data).unwrap();
            let decoded = read_by_decode(chunk.encoding, &chunk.data, ALL);
            prop_assert_eq!(decoded.as_ref(), Some(&samples));
            sums.extend(samples.iter().map(|sample| (sample.time, sample.start, sample.value)));
            let range = (samples[a % samples.len()].time, samples[b % samples.len()].time);
            let mut part = samples;
            part.retain(|sample| range.0 <= sample.time && sample.time <= range.1);
            prop_assert_eq!(read_by_decode(chunk.encoding, &chunk.data, range), Some(part));
        }
        let wanted: Vec<_> = column
            .samples()
            .enumerate()
            .map(|(index, (time, start, _))| (time, start, column.floats[index].to_bits()))
            .collect();
        prop_assert_eq!(sums, wanted);
    }

    #[test]
    fn damaged_chunks_are_read_as_the_model_reads_them(
        (_, chunks) in encoded(), which: usize, at: usize, flip: u8, cut: usize,
    ) {
        let chunk = &chunks[which % chunks.len()];
        let mut data = chunk.data.to_vec();
        let at = at % data.len();
        data[at] ^= flip;
        let encoding = chunk.encoding;
        prop_assert_eq!(read_by_decode(encoding, &data, ALL), read(encoding, &data));
        data.truncate(cut % data.len());
        prop_assert_eq!(read_by_decode(encoding, &data, ALL), read(encoding, &data));
    }

    #[test]
    fn any_bytes_are_read_as_the_model_reads_them(
        encoding in 2_u8..=6, data: Vec<u8>, count in 0_u8..8, flags: u8,
    ) {
        prop_assert_eq!(read_by_decode(encoding, &data, ALL), read(encoding, &data));
        let counted = [&[flags & 0xc0, count, flags], data.as_slice()].concat();
        prop_assert_eq!(read_by_decode(encoding, &counted, ALL), read(encoding, &counted));
        // Zero bits are valid numbers, so such chunks are long.
        let sparse: Vec<u8> = data.iter().map(|byte| byte & flags & 0x29).collect();
        let counted = [&[flags & 0xc0, count, flags], sparse.as_slice()].concat();
        prop_assert_eq!(read_by_decode(encoding, &counted, ALL), read(encoding, &counted));
    }
}

/// Bits with a header in front.
fn chunk_of(count: u8, write: impl FnOnce(&mut BitWriter)) -> Vec<u8> {
    let mut bits = BitWriter::after(&[0, count, 0], 64);
    write(&mut bits);
    bits.into_bytes()
}

#[test]
fn reserved_schemas_are_read_as_the_finest_known_one() {
    // Schema 10 has four buckets where schema 8 has one: -3..=0 become 0, 1..=4 become 1.
    for schema in [10, 52] {
        let data = chunk_of(1, |bits| {
            bits.put(0, 8);
            varbit::put_int(bits, schema);
            varbit::put_uint(bits, 2);
            for (length, offset) in [(6, -2), (1, 1)] {
                varbit::put_uint(bits, length);
                varbit::put_int(bits, offset);
            }
            varbit::put_uint(bits, 0);
            varbit::put_int(bits, 5);
            varbit::put_uint(bits, 70);
            varbit::put_uint(bits, 0);
            bits.put(1.5_f64.to_bits(), 64);
            (0..7).for_each(|_| varbit::put_int(bits, 1));
        });
        let column = decoded(2, &data);
        let Some(Value::Histogram(histogram)) = column.value(0) else { unreachable!() };
        assert_eq!(histogram.layout.schema, 8);
        let CountsRef::Integer { buckets, .. } = histogram.counts else { unreachable!() };
        if schema == 10 {
            // Counts 1 2 3 in buckets -2 -1 0, 4 5 6 in 1 2 3, 7 in 5.
            assert_eq!(histogram.layout.positive, [Span::new(0, 3)]);
            assert_eq!(buckets, [6, 15, 7]);
        } else {
            assert_eq!(buckets, [6, 22]);
        }
        assert_eq!(read_by_decode(2, &data, ALL), read(2, &data));
    }
}

#[test]
fn unknown_schemas_are_refused() {
    for schema in [-5, 53, -54, i64::MAX] {
        let data = chunk_of(1, |bits| {
            bits.put(0, 8);
            varbit::put_int(bits, schema);
            bits.put(0, 64);
            bits.put(0, 64);
        });
        let refused = decode(2, &data, ALL, &mut Column::new()).unwrap_err();
        assert_eq!(refused, ChunkError::Malformed("unknown histogram schema"));
    }
}

#[test]
fn numbers_that_lie_allocate_nothing() {
    let spans = chunk_of(1, |bits| {
        bits.put(0, 9);
        varbit::put_uint(bits, u64::MAX);
    });
    let buckets = chunk_of(1, |bits| {
        bits.put(0, 9);
        varbit::put_uint(bits, 1);
        varbit::put_uint(bits, u32::MAX.into());
        bits.put(0, 64);
    });
    let samples = [0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for data in [&spans[..], &buckets, &samples] {
        for encoding in [2, 3, 5, 6] {
            let mut column = Column::new();
            let result = decode(encoding, data, ALL, &mut column);
            assert_eq!(result, Err(ChunkError::Truncated), "{encoding}");
            assert!(column.timestamps.capacity() < 256 && column.floats.capacity() < 256);
        }
    }
    let mut column = Column::new();
    let lie = [0xff, 0xff, 0, 0, 0];
    assert_eq!(decode(4, &lie, ALL, &mut column), Err(ChunkError::Truncated));
    assert_eq!((column.timestamps.capacity(), column.floats.capacity()), (0, 0));
}

#[test]
fn a_staleness_marker_says_nothing_but_that() {
    let column = {
        let mut column = Column::new();
        column.push_histogram(1, Histogram::stale(false).as_ref());
        column.push_histogram(2, Histogram::stale(false).as_ref());
        column
    };
    let chunks = chunks(&column, &EncodeOptions::default());
    assert_eq!(chunks.len(), 1);
    let back = decoded(2, &chunks[0].data);
    assert_eq!(back.histograms, column.histograms);
    assert!(back.floats.iter().all(|sum| is_stale(*sum)));
}
