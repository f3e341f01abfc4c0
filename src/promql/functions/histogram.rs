//! Quantiles and fractions of classic histograms.

use std::cmp::Ordering;

/// One bucket at one step: how many observations were not above `bound`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) bound: f64,
    pub(crate) count: f64,
}

/// The buckets of one histogram at one step, by bound.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buckets(Vec<Bucket>);

/// Where counts went down from one bucket to the next and were lifted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Repair {
    pub(crate) lowest_bound: f64,
    pub(crate) highest_bound: f64,
    pub(crate) max_difference: f64,
}

/// Counts that differ by less, relative to their sum, are taken as equal.
const TOLERANCE: f64 = 1e-12;

impl Buckets {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds a bucket whose bound is not below those before it; the same bound adds to the count.
    pub(crate) fn push(&mut self, bound: f64, count: f64) {
        match self.0.last_mut() {
            Some(last) if last.bound == bound => last.count += count,
            _ => self.0.push(Bucket { bound, count }),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The total, if the last bucket holds all observations and there are some.
    fn total(&self) -> Option<f64> {
        self.0.last().filter(|last| last.bound == f64::INFINITY).map(|last| last.count)
    }

    /// Lifts counts that are below the one before them. Matches
    /// `ensureMonotonicAndIgnoreSmallDeltas`.
    fn repair(&mut self) -> Option<Repair> {
        let mut repair: Option<Repair> = None;
        let mut buckets = self.0.iter_mut();
        let mut before = buckets.next()?.count;
        for bucket in buckets {
            if bucket.count == before {
                continue;
            }
            if almost_equal(before, bucket.count) {
                bucket.count = before;
            } else if bucket.count < before {
                let (bound, difference) = (bucket.bound, before - bucket.count);
                let known = repair.get_or_insert(Repair {
                    lowest_bound: bound,
                    highest_bound: bound,
                    max_difference: 0.0,
                });
                known.lowest_bound = known.lowest_bound.min(bound);
                known.highest_bound = known.highest_bound.max(bound);
                known.max_difference = known.max_difference.max(difference);
                bucket.count = before;
            } else {
                before = bucket.count;
            }
        }
        repair
    }

    /// The value below which the share `q` of observations lies, on a straight line between
    /// bounds, and what had to be repaired for it. Matches `BucketQuantile`.
    pub(crate) fn quantile(&mut self, q: f64) -> (f64, Option<Repair>) {
        if q.is_nan() {
            return (f64::NAN, None);
        }
        if q < 0.0 {
            return (f64::NEG_INFINITY, None);
        }
        if q > 1.0 {
            return (f64::INFINITY, None);
        }
        if self.total().is_none() {
            return (f64::NAN, None);
        }
        let repair = self.repair();
        (self.repaired_quantile(q).unwrap_or(f64::NAN), repair)
    }

    fn repaired_quantile(&self, q: f64) -> Option<f64> {
        let total = self.total()?;
        let [finite @ .., _] = self.0.as_slice() else { return None };
        let last_finite = finite.last()?;
        if total == 0.0 {
            return None;
        }
        let rank = q * total;
        let index = finite.partition_point(|bucket| not_reached(bucket.count, rank));
        let Some(bucket) = finite.get(index) else {
            return Some(last_finite.bound);
        };
        let Some(below) = index.checked_sub(1).and_then(|index| finite.get(index)) else {
            let first = bucket.bound;
            return Some(if first <= 0.0 { first } else { 0.0 + first * (rank / bucket.count) });
        };
        let share = (rank - below.count) / (bucket.count - below.count);
        Some(below.bound + (bucket.bound - below.bound) * share)
    }

    /// The share of observations between two values. Matches `BucketFraction`, which repairs
    /// nothing.
    pub(crate) fn fraction(&self, lower: f64, upper: f64) -> f64 {
        let Some(total) = self.total() else { return f64::NAN };
        if total == 0.0 || lower.is_nan() || upper.is_nan() {
            return f64::NAN;
        }
        if lower >= upper {
            return 0.0;
        }
        let rank = |value: f64| {
            let rank = self.rank_of(value).unwrap_or(total);
            if rank > total { total } else { rank }
        };
        (rank(upper) - rank(lower)) / total
    }

    /// How many observations lie below `value`; `None` if all buckets do.
    fn rank_of(&self, value: f64) -> Option<f64> {
        let first = self.0.first()?;
        let mut from = if first.bound <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
        let mut below = 0.0;
        for bucket in &self.0 {
            if from >= value {
                return Some(below);
            }
            if bucket.bound > value {
                // A bucket without lower end cannot be divided: all of it counts.
                let width = bucket.bound - from;
                return Some(if from == f64::NEG_INFINITY {
                    bucket.count
                } else {
                    below + (bucket.count - below) * (value - from) / width
                });
            }
            below = bucket.count;
            from = bucket.bound;
        }
        None
    }
}

/// A NaN count is never reached, as in a search for the first count that is not below the rank.
fn not_reached(count: f64, rank: f64) -> bool {
    !matches!(count.partial_cmp(&rank), Some(Ordering::Equal | Ordering::Greater))
}

fn almost_equal(a: f64, b: f64) -> bool {
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Buckets {
        let mut buckets = Buckets::default();
        pairs.iter().for_each(|(bound, count)| buckets.push(*bound, *count));
        buckets
    }

    const INF: f64 = f64::INFINITY;

    #[test]
    fn a_quantile_lies_on_the_line_between_bounds() {
        let mut some = buckets(&[(1.0, 10.0), (2.0, 20.0), (INF, 20.0)]);
        assert_eq!(some.quantile(0.5), (1.0, None));
        assert_eq!(some.quantile(0.75), (1.5, None));
        assert_eq!(some.quantile(0.25), (0.5, None));
        assert_eq!(some.quantile(-1.0).0, f64::NEG_INFINITY);
        assert_eq!(some.quantile(1.5).0, INF);
    }

    #[test]
    fn the_last_bucket_has_no_width() {
        let mut some = buckets(&[(1.0, 10.0), (2.0, 20.0), (INF, 100.0)]);
        assert_eq!(some.quantile(0.9).0, 2.0);
    }

    #[test]
    fn without_a_bucket_for_all_there_is_no_answer() {
        assert!(buckets(&[(1.0, 10.0), (2.0, 20.0)]).quantile(0.5).0.is_nan());
        assert!(buckets(&[(INF, 20.0)]).quantile(0.5).0.is_nan());
        assert!(buckets(&[(1.0, 0.0), (INF, 0.0)]).quantile(0.5).0.is_nan());
    }

    #[test]
    fn counts_that_go_down_are_lifted_and_reported() {
        let mut some = buckets(&[(1.0, 10.0), (2.0, 4.0), (3.0, 9.0), (INF, 20.0)]);
        let (quantile, repair) = some.quantile(0.5);
        let expected = Repair { lowest_bound: 2.0, highest_bound: 3.0, max_difference: 6.0 };
        assert_eq!((quantile, repair), (1.0, Some(expected)));
        let mut tiny = buckets(&[(1.0, 10.0), (2.0, 10.0 - 1e-12), (INF, 20.0)]);
        assert_eq!(tiny.quantile(0.5), (1.0, None));
    }

    #[test]
    fn equal_bounds_are_added_up() {
        let mut some = buckets(&[(1.0, 5.0), (1.0, 5.0), (INF, 10.0), (INF, 10.0)]);
        assert_eq!(some.quantile(0.25).0, 0.5);
    }

    #[test]
    fn a_fraction_is_cut_out_of_its_buckets() {
        let some = buckets(&[(1.0, 10.0), (2.0, 20.0), (INF, 40.0)]);
        assert_eq!(some.fraction(0.0, 1.0), 0.25);
        assert_eq!(some.fraction(0.5, 1.5), 0.25);
        assert_eq!(some.fraction(f64::NEG_INFINITY, INF), 1.0);
        assert_eq!(some.fraction(2.0, 1.0), 0.0);
        assert!(some.fraction(f64::NAN, 1.0).is_nan());
    }
}
