//! Which histograms are refused.

use std::fmt;

use super::layout::{Layout, Span};
use super::one::{CountsRef, HistogramRef};

/// Why a histogram is not a valid one. The words are those of Prometheus, which its clients know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HistogramError {
    /// No such schema.
    Schema(i32),
    /// A later span begins before the end of the one before it.
    NegativeOffset,
    /// The spans name another number of buckets than there are.
    BucketCount,
    /// A bucket's count is below zero.
    NegativeBucket,
    /// The count of all observations is below zero.
    NegativeCount,
    /// The buckets hold more than all observations.
    CountTooLow,
    /// The buckets do not add up to all observations.
    CountMismatch,
    /// Listed bounds beside a schema that computes them.
    UnexpectedBounds,
    /// Fewer listed bounds than buckets.
    TooFewBounds,
    /// Listed bounds that do not ascend.
    BoundsOrder,
    /// The last listed bound is +Inf.
    InfiniteBound,
    /// A listed bound is NaN.
    NanBound,
    /// Listed bounds have no zero bucket.
    CustomZero,
    /// Listed bounds have no negative side.
    CustomNegative,
}

impl fmt::Display for HistogramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Schema(schema) => {
                return write!(
                    f,
                    "histogram has an invalid schema, which must be between -4 and 8 for \
                     exponential buckets, or -53 for custom buckets, got schema {schema}"
                );
            }
            Self::NegativeOffset => "histogram has a span whose offset is negative",
            Self::BucketCount => {
                "histogram spans specify different number of buckets than provided"
            }
            Self::NegativeBucket => "histogram has a bucket whose observation count is negative",
            Self::NegativeCount => "histogram's observation count is negative",
            Self::CountTooLow => {
                "histogram's observation count should be at least the number of observations \
                 found in the buckets"
            }
            Self::CountMismatch => {
                "histogram's observation count should equal the number of observations found in \
                 the buckets (in absence of NaN)"
            }
            Self::UnexpectedBounds => {
                "histogram with exponential schema must not have custom bounds"
            }
            Self::TooFewBounds => "histogram custom bounds are too few",
            Self::BoundsOrder => "histogram custom bounds must be in strictly increasing order",
            Self::InfiniteBound => "histogram custom bounds must be finite",
            Self::NanBound => "histogram custom bounds must not be NaN",
            Self::CustomZero => "custom buckets: must have zero count and threshold of 0",
            Self::CustomNegative => "custom buckets: must not have negative buckets",
        })
    }
}

impl std::error::Error for HistogramError {}

impl Layout {
    /// Checks schema, spans and bounds.
    ///
    /// # Errors
    /// The first fault found.
    pub fn check(&self) -> Result<(), HistogramError> {
        if self.is_custom() {
            return self.check_custom();
        }
        if !(-4..=8).contains(&self.schema) {
            return Err(HistogramError::Schema(self.schema));
        }
        if !self.custom_bounds.is_empty() {
            return Err(HistogramError::UnexpectedBounds);
        }
        let later = |spans: &[Span]| spans.iter().skip(1).any(|span| span.offset < 0);
        if later(&self.positive) || later(&self.negative) {
            return Err(HistogramError::NegativeOffset);
        }
        Ok(())
    }

    fn check_custom(&self) -> Result<(), HistogramError> {
        let bounds = &self.custom_bounds;
        if bounds.iter().any(|bound| bound.is_nan()) {
            return Err(HistogramError::NanBound);
        }
        if bounds.iter().zip(bounds.iter().skip(1)).any(|(before, bound)| before >= bound) {
            return Err(HistogramError::BoundsOrder);
        }
        if bounds.last() == Some(&f64::INFINITY) {
            return Err(HistogramError::InfiniteBound);
        }
        if self.positive.iter().any(|span| span.offset < 0) {
            return Err(HistogramError::NegativeOffset);
        }
        let lengths = self.positive.iter().map(|span| u64::from(span.length));
        let offsets = self.positive.iter().map(|span| span.offset.unsigned_abs().into());
        if lengths.chain(offsets).sum::<u64>() > bounds.len() as u64 + 1 {
            return Err(HistogramError::TooFewBounds);
        }
        if self.zero_threshold != 0.0 {
            return Err(HistogramError::CustomZero);
        }
        if !self.negative.is_empty() {
            return Err(HistogramError::CustomNegative);
        }
        Ok(())
    }
}

impl HistogramRef<'_> {
    /// Checks what `Histogram.Validate` of Prometheus checks. The staleness marker is valid.
    ///
    /// # Errors
    /// The first fault found.
    pub fn check(&self) -> Result<(), HistogramError> {
        self.layout.check()?;
        if self.layout.bucket_len() != self.counts.bucket_len() {
            return Err(HistogramError::BucketCount);
        }
        let is_custom = self.layout.is_custom();
        match self.counts {
            CountsRef::Integer { count, zero_count, buckets } => {
                if is_custom && zero_count != 0 {
                    return Err(HistogramError::CustomZero);
                }
                if buckets.iter().any(|bucket| *bucket < 0) {
                    return Err(HistogramError::NegativeBucket);
                }
                let in_buckets = buckets
                    .iter()
                    .fold(zero_count, |sum, bucket| sum.wrapping_add(bucket.unsigned_abs()));
                if self.sum.is_nan() {
                    // NaN was observed, perhaps: such observations are in no bucket.
                    let is_enough = in_buckets <= count;
                    return is_enough.then_some(()).ok_or(HistogramError::CountTooLow);
                }
                let is_sum = in_buckets == count;
                is_sum.then_some(()).ok_or(HistogramError::CountMismatch)
            }
            CountsRef::Float { count, zero_count, buckets } => {
                if is_custom && zero_count != 0.0 {
                    return Err(HistogramError::CustomZero);
                }
                if count < 0.0 {
                    return Err(HistogramError::NegativeCount);
                }
                if zero_count < 0.0 || buckets.iter().any(|bucket| *bucket < 0.0) {
                    return Err(HistogramError::NegativeBucket);
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{CUSTOM_SCHEMA, Counts, Histogram, ResetHint};
    use super::*;

    fn histogram(layout: Layout, count: u64, buckets: &[i64]) -> Histogram {
        let counts = Counts::Integer { count, zero_count: 0, buckets: buckets.to_vec() };
        Histogram { layout: Arc::new(layout), hint: ResetHint::Unknown, sum: 1.5, counts }
    }

    fn exponential(positive: &[Span]) -> Layout {
        Layout { schema: 3, positive: positive.to_vec(), ..Layout::default() }
    }

    fn custom(bounds: &[f64], length: u32) -> Layout {
        let positive = vec![Span::new(0, length)];
        let custom_bounds = bounds.to_vec();
        Layout { schema: CUSTOM_SCHEMA, positive, custom_bounds, ..Layout::default() }
    }

    #[test]
    fn whole_numbers_must_add_up() {
        let spans = [Span::new(-3, 2), Span::new(1, 1)];
        let check = |count, buckets: &[i64]| {
            histogram(exponential(&spans), count, buckets).as_ref().check()
        };
        assert_eq!(check(6, &[1, 2, 3]), Ok(()));
        assert_eq!(check(7, &[1, 2, 3]), Err(HistogramError::CountMismatch));
        assert_eq!(check(3, &[1, 2]), Err(HistogramError::BucketCount));
        assert_eq!(check(0, &[1, -1, 0]), Err(HistogramError::NegativeBucket));
        let mut with_nan = histogram(exponential(&spans), 7, &[1, 2, 3]);
        with_nan.sum = f64::NAN;
        assert_eq!(with_nan.as_ref().check(), Ok(()));
        assert_eq!(Histogram::stale(false).as_ref().check(), Ok(()));
    }

    #[test]
    fn spans_and_schemas_are_checked() {
        let spans = [Span::new(0, 1), Span::new(-1, 1)];
        assert_eq!(exponential(&spans).check(), Err(HistogramError::NegativeOffset));
        let unknown = Layout { schema: 9, ..Layout::default() };
        assert_eq!(unknown.check(), Err(HistogramError::Schema(9)));
    }

    #[test]
    fn listed_bounds_ascend_and_suffice() {
        assert_eq!(custom(&[1.0, 2.0], 3).check(), Ok(()));
        assert_eq!(custom(&[1.0, 2.0], 4).check(), Err(HistogramError::TooFewBounds));
        assert_eq!(custom(&[1.0, 1.0], 1).check(), Err(HistogramError::BoundsOrder));
        assert_eq!(custom(&[1.0, f64::INFINITY], 1).check(), Err(HistogramError::InfiniteBound));
        assert_eq!(custom(&[f64::NAN], 1).check(), Err(HistogramError::NanBound));
    }
}
