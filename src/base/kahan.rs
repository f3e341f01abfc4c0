//! Sums whose error does not grow with their length.

/// A Neumaier sum. Matches `kahansum.Inc`: a sum that becomes infinite forgets its error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sum {
    /// The sum as floats add up.
    pub sum: f64,
    /// What rounding has taken away so far.
    pub error: f64,
}

impl Sum {
    /// A sum of nothing. Negative zero, since it leaves every first value as it is.
    pub const NOTHING: Self = Self { sum: -0.0, error: 0.0 };

    /// A sum that is known in two parts.
    #[must_use]
    pub const fn of(sum: f64, error: f64) -> Self {
        Self { sum, error }
    }

    /// The sum with one more value.
    #[inline]
    #[must_use]
    pub fn plus(self, value: f64) -> Self {
        let sum = self.sum + value;
        let lost = if self.sum.abs() >= value.abs() {
            (self.sum - sum) + value
        } else {
            (value - sum) + self.sum
        };
        let error = if sum.is_infinite() { 0.0 } else { self.error + lost };
        Self { sum, error }
    }

    /// The sum and what was lost of it.
    #[inline]
    #[must_use]
    pub fn total(self) -> f64 {
        self.sum + self.error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cancels_out_leaves_the_small_value() {
        let sum = [1.0, 1e100, 1.0, -1e100].iter().fold(Sum::NOTHING, |sum, v| sum.plus(*v));
        assert_eq!(sum.total(), 2.0);
    }

    #[test]
    fn the_first_value_is_taken_as_it_is() {
        for value in [-0.0, 0.0, 1.5, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE] {
            let sum = Sum::NOTHING.plus(value);
            assert_eq!((sum.sum.to_bits(), sum.error), (value.to_bits(), 0.0));
        }
    }
}
