//! Mean and variance of the observations of a histogram.

use crate::base::kahan::Sum;

use super::value::FloatRef;

impl FloatRef<'_> {
    /// The mean of all observations.
    pub(crate) fn mean(&self) -> f64 {
        self.sum / self.count
    }

    /// The variance of all observations, at a guess: those of a bucket are taken to lie at its
    /// geometric mean, at the middle between listed bounds, or at zero. Matches
    /// `histogramVariance`.
    pub(crate) fn variance(&self) -> f64 {
        let mean = self.mean();
        let mut squares = Sum::of(0.0, 0.0);
        for bucket in self.ascending().filter(|bucket| bucket.count != 0.0) {
            let (lower, upper) = (bucket.lower, bucket.upper);
            let at = if self.is_custom() {
                (upper + lower) / 2.0
            } else if lower <= 0.0 && upper >= 0.0 {
                0.0
            } else {
                let middle = (upper * lower).sqrt();
                if upper < 0.0 { -middle } else { middle }
            };
            let delta = at - mean;
            squares = squares.plus(bucket.count * delta * delta);
        }
        squares.total() / self.count
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::tests::of;

    #[test]
    fn observations_lie_at_the_geometric_mean() {
        let mut some = of(-1, (0.0, 0.0), &[(1, 1.0)], &[(1, 1.0)]);
        some.sum = 0.0;
        // Both at 2 from the mean of 0.
        assert_eq!(some.as_ref().variance(), 4.0);
    }
}
