//! The numbers of one sample, written behind those of the one before.

use crate::base::bits::BitWriter;
use crate::chunk::varbit::{put_int, put_uint};
use crate::chunk::window::WindowOut;
use crate::model::histogram::CountsRef;

/// A float and which of its bits changed last.
#[derive(Debug, Clone, Copy)]
pub(super) struct FloatOut {
    value: f64,
    window: WindowOut,
}

impl FloatOut {
    /// Writes the whole float.
    pub(super) fn begin(bits: &mut BitWriter, value: f64) -> Self {
        bits.put(value.to_bits(), 64);
        Self { value, window: WindowOut::NONE }
    }

    /// Writes what changed.
    pub(super) fn put(&mut self, bits: &mut BitWriter, value: f64) {
        self.window.put_xor(bits, (0, 0), value.to_bits() ^ self.value.to_bits());
        self.value = value;
    }

    pub(super) const fn value(&self) -> f64 {
        self.value
    }
}

/// An integer and what it was more than before.
#[derive(Debug, Clone, Copy)]
pub(super) struct IntegerOut {
    value: u64,
    delta: i64,
}

impl IntegerOut {
    fn begin(bits: &mut BitWriter, value: u64) -> Self {
        put_uint(bits, value);
        Self { value, delta: 0 }
    }

    fn put(&mut self, bits: &mut BitWriter, value: u64) {
        let delta = value.wrapping_sub(self.value) as i64;
        put_int(bits, delta.wrapping_sub(self.delta));
        *self = Self { value, delta };
    }
}

/// The last sample's counts and what the next one's are written against.
#[derive(Debug, Clone)]
pub(super) enum CountsOut {
    Integer {
        count: IntegerOut,
        zero_count: IntegerOut,
        /// Absolute counts.
        buckets: Vec<i64>,
        /// How much they were more than before.
        deltas: Vec<i64>,
    },
    Float {
        count: FloatOut,
        zero_count: FloatOut,
        buckets: Vec<f64>,
        windows: Vec<WindowOut>,
    },
}

impl CountsOut {
    /// Writes the first sample's two counts and sum, then its buckets, of which the first
    /// `positive_len` are the positive ones.
    pub(super) fn begin(
        bits: &mut BitWriter,
        sum: f64,
        counts: CountsRef<'_>,
        positive_len: usize,
    ) -> (Self, FloatOut) {
        match counts {
            CountsRef::Integer { count, zero_count, buckets } => {
                let count = IntegerOut::begin(bits, count);
                let zero_count = IntegerOut::begin(bits, zero_count);
                let sum = FloatOut::begin(bits, sum);
                put_steps(bits, buckets, positive_len);
                let (buckets, deltas) = (buckets.to_vec(), vec![0; buckets.len()]);
                (Self::Integer { count, zero_count, buckets, deltas }, sum)
            }
            CountsRef::Float { count, zero_count, buckets } => {
                let count = FloatOut::begin(bits, count);
                let zero_count = FloatOut::begin(bits, zero_count);
                let sum = FloatOut::begin(bits, sum);
                buckets.iter().for_each(|bucket| bits.put(bucket.to_bits(), 64));
                let windows = vec![WindowOut::NONE; buckets.len()];
                (Self::Float { count, zero_count, buckets: buckets.to_vec(), windows }, sum)
            }
        }
    }

    /// Writes a sample that has the same buckets as the one before; false if it is of the other
    /// kind.
    pub(super) fn put(
        &mut self,
        bits: &mut BitWriter,
        (sum_out, sum): (&mut FloatOut, f64),
        counts: CountsRef<'_>,
        positive_len: usize,
    ) -> bool {
        match (self, counts) {
            (
                Self::Integer { count, zero_count, buckets, deltas },
                CountsRef::Integer { count: new, zero_count: new_zero, buckets: new_buckets },
            ) => {
                count.put(bits, new);
                zero_count.put(bits, new_zero);
                sum_out.put(bits, sum);
                for ((bucket, delta), new) in buckets.iter_mut().zip(&mut *deltas).zip(new_buckets)
                {
                    let new_delta = new.wrapping_sub(*bucket);
                    // Holds the change of the delta until it is written.
                    *bucket = new_delta.wrapping_sub(*delta);
                    *delta = new_delta;
                }
                put_steps(bits, buckets, positive_len);
                buckets.copy_from_slice(new_buckets);
            }
            (
                Self::Float { count, zero_count, buckets, windows },
                CountsRef::Float { count: new, zero_count: new_zero, buckets: new_buckets },
            ) => {
                count.put(bits, new);
                zero_count.put(bits, new_zero);
                sum_out.put(bits, sum);
                for ((bucket, window), new) in buckets.iter_mut().zip(windows).zip(new_buckets) {
                    window.put_xor(bits, (0, 0), new.to_bits() ^ bucket.to_bits());
                    *bucket = *new;
                }
            }
            _ => return false,
        }
        true
    }

    /// Writes the staleness marker, behind which only staleness markers follow.
    pub(super) fn put_stale(&mut self, bits: &mut BitWriter, sum_out: &mut FloatOut, stale: f64) {
        match self {
            Self::Integer { .. } => bits.put(0, 2),
            Self::Float { count, zero_count, .. } => {
                count.put(bits, 0.0);
                zero_count.put(bits, 0.0);
            }
        }
        sum_out.put(bits, stale);
    }

    /// The last sample's counts.
    pub(super) fn as_ref(&self) -> CountsRef<'_> {
        match self {
            Self::Integer { count, zero_count, buckets, .. } => {
                CountsRef::Integer { count: count.value, zero_count: zero_count.value, buckets }
            }
            Self::Float { count, zero_count, buckets, .. } => {
                CountsRef::Float { count: count.value, zero_count: zero_count.value, buckets }
            }
        }
    }

    /// Bytes behind pointers.
    pub(super) const fn heap_bytes(&self) -> usize {
        match self {
            Self::Integer { buckets, deltas, .. } => {
                (buckets.capacity() + deltas.capacity()) * size_of::<i64>()
            }
            Self::Float { buckets, windows, .. } => {
                buckets.capacity() * size_of::<f64>() + windows.capacity() * size_of::<WindowOut>()
            }
        }
    }
}

/// Writes each number less the one before it; positive and negative ones begin at 0 each.
///
/// The format keeps buckets as steps from bucket to bucket. Differences of steps are steps of
/// differences, so counts are kept absolute here and become steps on the way out.
fn put_steps(bits: &mut BitWriter, numbers: &[i64], positive_len: usize) {
    let (positive, negative) = numbers.split_at_checked(positive_len).unwrap_or((numbers, &[]));
    for side in [positive, negative] {
        let mut before = 0_i64;
        for number in side {
            put_int(bits, number.wrapping_sub(before));
            before = *number;
        }
    }
}
