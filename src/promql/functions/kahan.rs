//! Means whose error does not grow with their length, and such sums side by side.

#![expect(clippy::indexing_slicing, reason = "arrays of the same length; lanes are below it")]

pub(crate) use crate::base::kahan::Sum;

/// Sums beside one another, each to the last bit what [`Sum`] makes of the same values: of arrays
/// the compiler adds up several at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sums<const N: usize> {
    sums: [f64; N],
    errors: [f64; N],
}

/// So far below the largest float that neither sums nor squares of such values come near it.
const TAME_MAX: f64 = 1e90;

/// True if sums of these values and of their products can never overflow.
pub(crate) fn are_tame(values: &[f64]) -> bool {
    values.iter().all(|value| value.abs() < TAME_MAX)
}

impl<const N: usize> Sums<N> {
    /// Sums of nothing.
    pub(crate) const NOTHING: Self = Self { sums: [-0.0; N], errors: [0.0; N] };

    /// Each sum with one more value.
    #[inline(always)]
    pub(crate) fn plus(mut self, values: [f64; N]) -> Self {
        for ((sum, error), value) in self.sums.iter_mut().zip(&mut self.errors).zip(values) {
            let before = *sum;
            *sum = before + value;
            // Chosen, not branched: lanes differ in which of the two is larger.
            let is_before = before.abs() >= value.abs();
            let (large, small) = if is_before { (before, value) } else { (value, before) };
            let lost = (large - *sum) + small;
            *error = if sum.is_infinite() { 0.0 } else { *error + lost };
        }
        self
    }

    /// The same where all that is added is tame. What a sum loses is a float, and here it is found
    /// without asking which of the two was larger; near the largest float that would overflow.
    #[inline(always)]
    pub(crate) fn plus_tame(mut self, values: [f64; N]) -> Self {
        for ((sum, error), value) in self.sums.iter_mut().zip(&mut self.errors).zip(values) {
            let before = *sum;
            *sum = before + value;
            let added = *sum - before;
            *error += (before - (*sum - added)) + (value - added);
        }
        self
    }

    /// Each sum and what was lost of it.
    #[inline(always)]
    pub(crate) fn totals(&self) -> [f64; N] {
        std::array::from_fn(|lane| self.sums[lane] + self.errors[lane])
    }

    /// One of the sums.
    #[inline(always)]
    pub(crate) fn lane(&self, lane: usize) -> Sum {
        Sum::of(self.sums[lane], self.errors[lane])
    }

    /// Sums that were alone, side by side.
    #[inline(always)]
    pub(crate) fn together(alone: impl Fn(usize) -> Sums<1>) -> Self {
        Self {
            sums: std::array::from_fn(|lane| alone(lane).sums[0]),
            errors: std::array::from_fn(|lane| alone(lane).errors[0]),
        }
    }

    /// One of the sums, alone.
    #[inline(always)]
    pub(crate) const fn apart(&self, lane: usize) -> Sums<1> {
        Sums { sums: [self.sums[lane]], errors: [self.errors[lane]] }
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
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => any::<f64>(),
            4 => -1e6..1e6_f64,
            1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(f64::NAN)],
            1 => prop_oneof![Just(f64::MAX), Just(f64::MIN), Just(-0.0), Just(0.0)],
        ]
    }

    proptest! {
        #[test]
        fn sums_side_by_side_are_those_of_each_alone(
            values in prop::collection::vec([any_value(), any_value(), any_value()], 0..40),
        ) {
            let sums = values.iter().fold(Sums::NOTHING, |sums, values| sums.plus(*values));
            for lane in 0..3 {
                let alone = values.iter().fold(Sum::NOTHING, |sum, values| sum.plus(values[lane]));
                let got = sums.lane(lane);
                let bits = |value: f64| if value.is_nan() { u64::MAX } else { value.to_bits() };
                prop_assert_eq!(bits(got.sum), bits(alone.sum));
                prop_assert_eq!(bits(got.error), bits(alone.error));
            }
        }

        #[test]
        fn sums_of_tame_values_are_the_same_sums(
            values in prop::collection::vec(any_value(), 0..40),
            shift in -400..400,
        ) {
            let all: Vec<f64> = values.iter().map(|value| value * 2.0_f64.powi(shift)).collect();
            let tame: Vec<f64> = all.iter().copied().filter(|value| are_tame(&[*value])).collect();
            let got = tame.iter().fold(Sums::NOTHING, |sums, value| {
                sums.plus_tame([*value, value * value])
            });
            let expected = tame.iter().fold(Sums::NOTHING, |sums, value| {
                sums.plus([*value, value * value])
            });
            prop_assert_eq!(got.sums.map(f64::to_bits), expected.sums.map(f64::to_bits));
            prop_assert_eq!(got.errors.map(f64::to_bits), expected.errors.map(f64::to_bits));
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
