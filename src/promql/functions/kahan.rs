//! Means whose error does not grow with their length.

pub(crate) use crate::base::kahan::Sum;

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
