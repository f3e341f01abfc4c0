//! A chunk of histograms read.

use std::sync::Arc;

use crate::base::bits::BitReader;
use crate::chunk::encoding::{TIME_GOES_BACK, WINDOW_TOO_WIDE};
use crate::chunk::starts::StartsIn;
use crate::chunk::varbit::{read_int, read_uint};
use crate::chunk::window::WindowIn;
use crate::chunk::{ChunkError, Encoding};
use crate::model::histogram::{CountsRef, HistogramRef, Layout, ResetHint};
use crate::model::{Column, is_stale};

use super::header::{Header, is_float};
use super::reduce::Reduction;
use super::{NO_BUCKETS, layout};

/// Appends the samples of a chunk that lie in `start_ms..=end_ms` to a column. On an error the
/// caller takes away what was appended.
pub(in crate::chunk) fn decode(
    encoding: Encoding,
    data: &[u8],
    (start_ms, end_ms): (i64, i64),
    into: &mut Column,
) -> Result<(), ChunkError> {
    let (header, body) = Header::read(encoding, data)?;
    if header.count == 0 {
        return Ok(());
    }
    let mut bits = BitReader::new(body);
    let bits_max = body.len() as u64 * 8;
    let layout = layout::read(&mut bits, bits_max)?;
    // The first sample has at least a bit for each bucket, so these counts cannot take more
    // memory than 128 times the chunk.
    if layout.bucket_len() as u64 > bits_max {
        return Err(ChunkError::Truncated);
    }
    let reduction = Reduction::of(&layout)?;
    let mut starts = StartsIn::new(header.starts);
    let mut reader = Reader::begin(is_float(encoding), &layout, &mut bits);
    let layout = reduction.as_ref().map_or_else(|| Arc::new(layout), Reduction::layout);
    let mut time_ms = reader.time_ms;
    for index in 0..header.count {
        let before_ms = time_ms;
        let sample_start_ms = if index == 0 {
            starts.first(&mut bits, time_ms)?
        } else {
            reader.next(&mut bits);
            time_ms = reader.time_ms;
            starts.next(&mut bits, index, before_ms)
        };
        // Every time: a count that lies would keep the loop busy with zeros behind the end.
        if bits.is_overrun() {
            return Err(ChunkError::Truncated);
        }
        if time_ms < before_ms {
            return Err(TIME_GOES_BACK);
        }
        if time_ms > end_ms {
            break;
        }
        if time_ms >= start_ms {
            let hint = hint(header.reset, index);
            push(into, &reader, (&layout, reduction.as_ref()), hint, sample_start_ms);
        }
    }
    if reader.is_sound() { Ok(()) } else { Err(WINDOW_TOO_WIDE) }
}

/// What a sample says about the one before it. The first one says nothing, whatever the header
/// says: the chunk before may be gone, or another may have come between.
const fn hint(header: ResetHint, index: u16) -> ResetHint {
    match header {
        ResetHint::Gauge => ResetHint::Gauge,
        _ if index > 0 => ResetHint::NotReset,
        _ => ResetHint::Unknown,
    }
}

fn push(
    into: &mut Column,
    reader: &Reader,
    (layout, reduction): (&Arc<Layout>, Option<&Reduction>),
    hint: ResetHint,
    start_ms: i64,
) {
    let sum = f64::from_bits(reader.sum.bits);
    let counts = reader.counts();
    if is_stale(sum) {
        let counts = match counts {
            CountsRef::Integer { .. } => {
                CountsRef::Integer { count: 0, zero_count: 0, buckets: &[] }
            }
            CountsRef::Float { .. } => {
                CountsRef::Float { count: 0.0, zero_count: 0.0, buckets: &[] }
            }
        };
        let (layout, hint) = (&*NO_BUCKETS, ResetHint::Unknown);
        into.push_histogram(reader.time_ms, HistogramRef { layout, hint, sum, counts });
    } else if let Some(reduction) = reduction {
        let counts = reduction.counts(counts);
        let counts = super::counts_ref(&counts);
        into.push_histogram(reader.time_ms, HistogramRef { layout, hint, sum, counts });
    } else {
        into.push_histogram(reader.time_ms, HistogramRef { layout, hint, sum, counts });
    }
    if start_ms != 0 || !into.starts_ms.is_empty() {
        into.set_last_start(start_ms);
    }
}

/// A float and which of its bits changed last.
#[derive(Clone, Copy)]
struct FloatIn {
    bits: u64,
    window: WindowIn,
}

impl FloatIn {
    fn begin(bits: &mut BitReader<'_>) -> Self {
        Self { bits: bits.read(64), window: WindowIn::ALL }
    }

    #[inline]
    fn next(&mut self, bits: &mut BitReader<'_>) {
        bits.refill();
        self.bits ^= self.window.next(bits);
    }
}

/// The counts of the sample that was read last, and what the next ones are read against.
enum CountsIn {
    Integer {
        /// Count and zero count, and how much they were more than before.
        totals: [(u64, i64); 2],
        /// Absolute counts.
        buckets: Vec<i64>,
        /// How much they were more than before.
        deltas: Vec<i64>,
    },
    Float {
        totals: [FloatIn; 2],
        buckets: Vec<f64>,
        windows: Vec<WindowIn>,
    },
}

struct Reader {
    time_ms: i64,
    delta_ms: i64,
    sum: FloatIn,
    counts: CountsIn,
    positive_len: usize,
}

impl Reader {
    /// Reads the first sample.
    fn begin(is_float: bool, layout: &Layout, bits: &mut BitReader<'_>) -> Self {
        let (positive_len, bucket_len) = (layout.positive_len(), layout.bucket_len());
        let time_ms = read_int(bits);
        let (sum, counts);
        if is_float {
            let totals = [FloatIn::begin(bits), FloatIn::begin(bits)];
            sum = FloatIn::begin(bits);
            let buckets = (0..bucket_len).map(|_| f64::from_bits(bits.read(64))).collect();
            let windows = vec![WindowIn::ALL; bucket_len];
            counts = CountsIn::Float { totals, buckets, windows };
        } else {
            let totals = [(read_uint(bits), 0), (read_uint(bits), 0)];
            sum = FloatIn::begin(bits);
            let mut buckets = vec![0; bucket_len];
            for_each_step(bits, &mut buckets, positive_len, |bucket, number| *bucket = number);
            counts = CountsIn::Integer { totals, buckets, deltas: vec![0; bucket_len] };
        }
        Self { time_ms, delta_ms: 0, sum, counts, positive_len }
    }

    /// Reads a sample behind the first.
    fn next(&mut self, bits: &mut BitReader<'_>) {
        self.delta_ms = self.delta_ms.wrapping_add(read_int(bits));
        self.time_ms = self.time_ms.wrapping_add(self.delta_ms);
        match &mut self.counts {
            CountsIn::Integer { totals, buckets, deltas } => {
                for (total, delta) in totals {
                    *delta = delta.wrapping_add(read_int(bits));
                    *total = total.wrapping_add_signed(*delta);
                }
                self.sum.next(bits);
                if is_stale(f64::from_bits(self.sum.bits)) {
                    return;
                }
                for_each_step(bits, deltas, self.positive_len, |delta, change| {
                    *delta = delta.wrapping_add(change);
                });
                for (bucket, delta) in buckets.iter_mut().zip(deltas) {
                    *bucket = bucket.wrapping_add(*delta);
                }
            }
            CountsIn::Float { totals, buckets, windows } => {
                totals.iter_mut().for_each(|total| total.next(bits));
                self.sum.next(bits);
                if is_stale(f64::from_bits(self.sum.bits)) {
                    return;
                }
                for (bucket, window) in buckets.iter_mut().zip(windows) {
                    bits.refill();
                    *bucket = f64::from_bits(bucket.to_bits() ^ window.next(bits));
                }
            }
        }
    }

    fn counts(&self) -> CountsRef<'_> {
        match &self.counts {
            CountsIn::Integer { totals: [(count, _), (zero_count, _)], buckets, .. } => {
                CountsRef::Integer { count: *count, zero_count: *zero_count, buckets }
            }
            CountsIn::Float { totals: [count, zero_count], buckets, .. } => {
                let float = |total: &FloatIn| f64::from_bits(total.bits);
                let (count, zero_count) = (float(count), float(zero_count));
                CountsRef::Float { count, zero_count, buckets }
            }
        }
    }

    /// False if a window reached beyond the bits of a float.
    fn is_sound(&self) -> bool {
        let are_counts_sound = match &self.counts {
            CountsIn::Integer { .. } => true,
            CountsIn::Float { totals, windows, .. } => {
                let windows = windows.iter().chain(totals.iter().map(|total| &total.window));
                windows.copied().all(|window| window.is_sound())
            }
        };
        are_counts_sound && self.sum.window.is_sound()
    }
}

/// Reads steps from bucket to bucket, adds them up, and hands out one number a bucket, but for
/// some that are 0.
#[inline(always)]
fn for_each_step(
    bits: &mut BitReader<'_>,
    numbers: &mut [i64],
    positive_len: usize,
    take: impl Fn(&mut i64, i64),
) {
    let positive_len = positive_len.min(numbers.len());
    let (positive, negative) = numbers.split_at_mut(positive_len);
    for mut side in [positive, negative] {
        let mut sum = 0_i64;
        loop {
            if sum == 0 {
                // Buckets that nothing is to be said of are one zero bit each, mostly many in a
                // row; taking 0 changes nothing.
                bits.refill();
                let zeros = bits.peek().leading_zeros().min(BitReader::REFILLED);
                let skipped = side.len().min(zeros as usize);
                bits.consume(skipped as u32);
                side = side.get_mut(skipped..).unwrap_or_default();
                if zeros == BitReader::REFILLED && !side.is_empty() {
                    continue;
                }
            }
            let Some((number, rest)) = side.split_first_mut() else { break };
            sum = sum.wrapping_add(read_int(bits));
            take(number, sum);
            side = rest;
        }
    }
}
