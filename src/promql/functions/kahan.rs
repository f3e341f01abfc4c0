//! Sums whose error does not grow with their length.

/// A Neumaier sum. Matches `kahansum.Inc`: a sum that becomes infinite forgets its error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sum {
    pub(crate) sum: f64,
    /// What rounding has taken away so far.
    pub(crate) error: f64,
}

impl Sum {
    /// A sum of nothing. Negative zero, since it leaves every first value as it is.
    pub(crate) const NOTHING: Self = Self { sum: -0.0, error: 0.0 };

    pub(crate) const fn of(sum: f64, error: f64) -> Self {
        Self { sum, error }
    }

    /// The sum with one more value.
    #[inline]
    #[must_use]
    pub(crate) fn plus(self, value: f64) -> Self {
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
    pub(crate) fn total(self) -> f64 {
        self.sum + self.error
    }
}

/// A mean that stays right where the sum of the values would overflow.
///
/// Matches the `avg` aggregation and `avg_over_time`: the plain mean while the sum is finite, from
/// then on an incremental one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mean {
    state: Sum,
    count: f64,
    incremental: bool,
}

impl Mean {
    pub(crate) const fn first(value: f64) -> Self {
        Self { state: Sum::of(value, 0.0), count: 1.0, incremental: false }
    }

    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.incremental {
            let next = self.state.plus(value);
            if !next.sum.is_infinite() {
                self.state = next;
                return;
            }
            let before = self.count - 1.0;
            self.incremental = true;
            self.state = Sum::of(self.state.sum / before, self.state.error / before);
        }
        let part = (self.count - 1.0) / self.count;
        self.state = Sum::of(part * self.state.sum, part * self.state.error);
        self.state = self.state.plus(value / self.count);
    }

    #[inline]
    pub(crate) fn value(self) -> f64 {
        if self.incremental {
            self.state.total()
        } else {
            self.state.sum / self.count + self.state.error / self.count
        }
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

    #[test]
    fn a_mean_survives_a_sum_that_does_not_fit() {
        let mut mean = Mean::first(f64::MAX);
        mean.add(f64::MAX);
        mean.add(f64::MAX);
        assert!((mean.value() / f64::MAX - 1.0).abs() < 1e-15);
        let mut mean = Mean::first(f64::INFINITY);
        mean.add(1.0);
        assert_eq!(mean.value(), f64::INFINITY);
        mean.add(f64::NEG_INFINITY);
        assert!(mean.value().is_nan());
    }
}
