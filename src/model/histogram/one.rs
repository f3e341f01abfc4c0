//! One histogram, owned and borrowed.

use std::sync::Arc;

use crate::model::is_stale;

use super::layout::Layout;

/// What the writer of a histogram says about the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum ResetHint {
    /// Nothing: compare the counts.
    #[default]
    Unknown = 0,
    /// The counter began anew.
    Reset = 1,
    /// The counter went on.
    NotReset = 2,
    /// It is no counter.
    Gauge = 3,
}

impl ResetHint {
    /// The hint with this number; unknown numbers say nothing.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Reset,
            2 => Self::NotReset,
            3 => Self::Gauge,
            _ => Self::Unknown,
        }
    }
}

/// How much was observed, owned.
#[derive(Debug, Clone)]
pub enum Counts {
    /// Whole numbers.
    Integer {
        /// All observations, NaN included.
        count: u64,
        /// Those near zero.
        zero_count: u64,
        /// One count a bucket, positive ones first.
        buckets: Vec<i64>,
    },
    /// Floats: sums, averages and rates of histograms.
    Float {
        /// All observations, NaN included.
        count: f64,
        /// Those near zero.
        zero_count: f64,
        /// One count a bucket, positive ones first.
        buckets: Vec<f64>,
    },
}

/// How much was observed, borrowed. See [`Counts`].
#[derive(Debug, Clone, Copy)]
pub enum CountsRef<'a> {
    /// Whole numbers.
    Integer {
        /// All observations, NaN included.
        count: u64,
        /// Those near zero.
        zero_count: u64,
        /// One count a bucket, positive ones first.
        buckets: &'a [i64],
    },
    /// Floats.
    Float {
        /// All observations, NaN included.
        count: f64,
        /// Those near zero.
        zero_count: f64,
        /// One count a bucket, positive ones first.
        buckets: &'a [f64],
    },
}

impl CountsRef<'_> {
    /// True for [`CountsRef::Float`].
    #[must_use]
    pub const fn is_float(&self) -> bool {
        matches!(self, Self::Float { .. })
    }

    /// How many buckets there are.
    #[must_use]
    pub const fn bucket_len(&self) -> usize {
        match self {
            Self::Integer { buckets, .. } => buckets.len(),
            Self::Float { buckets, .. } => buckets.len(),
        }
    }

    /// The same as owned counts.
    #[must_use]
    pub fn to_owned(&self) -> Counts {
        match *self {
            Self::Integer { count, zero_count, buckets } => {
                Counts::Integer { count, zero_count, buckets: buckets.to_vec() }
            }
            Self::Float { count, zero_count, buckets } => {
                Counts::Float { count, zero_count, buckets: buckets.to_vec() }
            }
        }
    }
}

/// Floats compare by their bits.
impl PartialEq for CountsRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (*self, *other) {
            (
                Self::Integer { count, zero_count, buckets },
                CountsRef::Integer { count: count2, zero_count: zero2, buckets: buckets2 },
            ) => (count, zero_count, buckets) == (count2, zero2, buckets2),
            (
                Self::Float { count, zero_count, buckets },
                CountsRef::Float { count: count2, zero_count: zero2, buckets: buckets2 },
            ) => {
                let same = |a: &f64, b: &f64| a.to_bits() == b.to_bits();
                same(&count, &count2)
                    && same(&zero_count, &zero2)
                    && buckets.len() == buckets2.len()
                    && buckets.iter().zip(buckets2).all(|(a, b)| same(a, b))
            }
            _ => false,
        }
    }
}

/// One histogram sample.
#[derive(Debug, Clone)]
pub struct Histogram {
    /// Where the buckets lie.
    pub layout: Arc<Layout>,
    /// What is known about the sample before.
    pub hint: ResetHint,
    /// Sum of all observations.
    pub sum: f64,
    /// How much was observed.
    pub counts: Counts,
}

impl Histogram {
    /// The staleness marker of a series of histograms with whole or float counts.
    #[must_use]
    pub fn stale(is_float: bool) -> Self {
        let counts = if is_float {
            Counts::Float { count: 0.0, zero_count: 0.0, buckets: Vec::new() }
        } else {
            Counts::Integer { count: 0, zero_count: 0, buckets: Vec::new() }
        };
        let sum = crate::model::stale_nan();
        Self { layout: Arc::default(), hint: ResetHint::Unknown, sum, counts }
    }

    /// The sample as a view.
    #[must_use]
    pub fn as_ref(&self) -> HistogramRef<'_> {
        let counts = match &self.counts {
            Counts::Integer { count, zero_count, buckets } => {
                CountsRef::Integer { count: *count, zero_count: *zero_count, buckets }
            }
            Counts::Float { count, zero_count, buckets } => {
                CountsRef::Float { count: *count, zero_count: *zero_count, buckets }
            }
        };
        HistogramRef { layout: &self.layout, hint: self.hint, sum: self.sum, counts }
    }
}

/// Floats compare by their bits.
impl PartialEq for Histogram {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

/// One histogram sample that lies elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct HistogramRef<'a> {
    /// Where the buckets lie.
    pub layout: &'a Arc<Layout>,
    /// What is known about the sample before.
    pub hint: ResetHint,
    /// Sum of all observations.
    pub sum: f64,
    /// How much was observed.
    pub counts: CountsRef<'a>,
}

impl HistogramRef<'_> {
    /// True for the staleness marker.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }

    /// The same as an owned sample.
    #[must_use]
    pub fn to_owned(&self) -> Histogram {
        Histogram {
            layout: Arc::clone(self.layout),
            hint: self.hint,
            sum: self.sum,
            counts: self.counts.to_owned(),
        }
    }
}

/// Floats compare by their bits, and the hint counts.
impl PartialEq for HistogramRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.hint == other.hint
            && self.sum.to_bits() == other.sum.to_bits()
            && self.counts == other.counts
            && (Arc::ptr_eq(self.layout, other.layout) || self.layout == other.layout)
    }
}
