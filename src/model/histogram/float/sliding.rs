//! Sums and means of whole counts over windows that move forward.

use std::sync::Arc;

use crate::base::kahan::Sum;
use crate::model::histogram::{Layout, ResetHint};

use super::add::join_hints;
use super::overlay::has_hidden;
use super::value::{Buckets, FloatRef};

/// Below this, floats are whole numbers that add up without rounding.
const EXACT: u64 = 1 << 53;

/// Adds up windows of one series: what enters a window is added, what leaves it is taken away
/// again. Whole numbers lose nothing on the way, so that the counts are those of a compensated sum
/// of each window, [`super::Total`] or [`super::Mean`]; only the sums of observed values have to be
/// walked.
#[derive(Debug)]
pub(crate) struct Sliding {
    /// Of the histograms whose layout is not that of the one before them, ascending.
    breaks: Vec<usize>,
    /// The histograms that are added up.
    lo: usize,
    hi: usize,
    buckets: Vec<i64>,
    zero_count: i64,
    count: i64,
    /// The counts of the result.
    floats: Vec<f64>,
}

impl Sliding {
    /// Nothing if the sum of all `rows` may round, or buckets of one layout do not simply add up.
    pub(crate) fn new(rows: &[FloatRef<'_>]) -> Option<Self> {
        let most = EXACT / (rows.len() as u64).max(1);
        let (mut breaks, mut last): (Vec<usize>, Option<&Arc<Layout>>) = (Vec::new(), None);
        for (index, row) in rows.iter().enumerate() {
            let Buckets::Integer(buckets) = row.buckets else { return None };
            let is_small = |count: &i64| u64::try_from(*count).is_ok_and(|count| count < most);
            let are_small =
                buckets.iter().all(is_small) && is_whole([row.count, row.zero_count], most);
            if row.is_loose || !are_small {
                return None;
            }
            let is_known = last.is_some_and(|last| Arc::ptr_eq(last, row.layout));
            if !is_known {
                if row.is_custom() || has_hidden(row.layout) || row.layout.zero_threshold.is_nan() {
                    return None;
                }
                if last.is_none_or(|last| !row.lies_in(last)) {
                    breaks.push(index);
                }
            }
            last = Some(row.layout);
        }
        let (buckets, floats) = (Vec::new(), Vec::new());
        Some(Self { breaks, lo: 0, hi: 0, buckets, zero_count: 0, count: 0, floats })
    }

    /// The sum or the mean of the histograms from `lo` up to `hi`, which is not one of them. Of all
    /// hints `hint` is told. Nothing if they are of several layouts, or if the sum of observed
    /// values is about to become infinite.
    pub(crate) fn window<'s>(
        &'s mut self,
        rows: &'s [FloatRef<'_>],
        (lo, hi): (usize, usize),
        is_mean: bool,
        mut hint: impl FnMut(ResetHint),
    ) -> Option<FloatRef<'s>> {
        let (first, rest) = rows.get(lo..hi)?.split_first()?;
        let begun = self.breaks.partition_point(|index| *index <= lo);
        if self.breaks.get(begun).is_some_and(|next| *next < hi) {
            return None;
        }
        let (mut sum, mut joined) = (Sum::of(first.sum, 0.0), first.hint);
        let mut is_safe = is_far(first.sum);
        hint(first.hint);
        for one in rest {
            sum = sum.plus(one.sum);
            is_safe &= is_far(one.sum) && is_far(sum.sum);
            joined = join_hints(joined, one.hint).0;
            hint(one.hint);
        }
        if is_mean && !is_safe {
            return None;
        }
        // Where the layout begins that all histograms of this window have.
        let since = begun.checked_sub(1).and_then(|at| self.breaks.get(at)).copied()?;
        self.slide(rows, (lo, hi), since);
        let by = if is_mean { (hi - lo) as f64 } else { 1.0 };
        self.floats.clear();
        self.floats.extend(self.buckets.iter().map(|count| *count as f64 / by));
        Some(FloatRef {
            layout: first.layout,
            hint: joined,
            is_loose: false,
            sum: sum.sum / by + sum.error / by,
            count: self.count as f64 / by,
            zero_count: self.zero_count as f64 / by,
            buckets: Buckets::Float(&self.floats),
        })
    }

    /// Makes it the sum of the histograms from `lo` up to `hi`.
    fn slide(&mut self, rows: &[FloatRef<'_>], (lo, hi): (usize, usize), since: usize) {
        let is_anew = self.lo < since || lo < self.lo || hi < self.hi || self.hi <= lo;
        if is_anew {
            let len = rows.get(lo).map_or(0, |row| row.buckets.len());
            self.buckets.clear();
            self.buckets.resize(len, 0);
            (self.zero_count, self.count, self.lo, self.hi) = (0, 0, lo, lo);
        }
        for row in rows.get(self.lo..lo).unwrap_or_default() {
            self.take_in(row, |sum, count| *sum -= count);
        }
        for row in rows.get(self.hi..hi).unwrap_or_default() {
            self.take_in(row, |sum, count| *sum += count);
        }
        (self.lo, self.hi) = (lo, hi);
    }

    #[inline]
    fn take_in(&mut self, row: &FloatRef<'_>, change: impl Fn(&mut i64, i64)) {
        change(&mut self.count, row.count as i64);
        change(&mut self.zero_count, row.zero_count as i64);
        if let Buckets::Integer(counts) = row.buckets {
            self.buckets.iter_mut().zip(counts).for_each(|(sum, count)| change(sum, *count));
        }
    }
}

/// True for whole numbers below `most`.
fn is_whole(counts: [f64; 2], most: u64) -> bool {
    counts.iter().all(|count| *count >= 0.0 && *count < most as f64 && count.fract() == 0.0)
}

/// True for what is far from not being a finite number.
fn is_far(sum: f64) -> bool {
    sum.abs() <= f64::MAX / 4.0
}

#[cfg(test)]
mod tests {
    use super::super::value::tests::of;
    use super::super::{Mean, Overlays, Total};
    use super::*;
    use crate::model::histogram::{Counts, Histogram};
    use proptest::prelude::*;

    fn whole(wide: bool, counts: &[i64], sum: f64, hint: ResetHint) -> Histogram {
        let buckets: Vec<_> = (0..if wide { 4 } else { 3 }).map(|index| (index, 1.0)).collect();
        let layout = of(1, (0.01, 0.0), &buckets, &[]).layout;
        let buckets: Vec<i64> = counts[..layout.bucket_len()].to_vec();
        let count = buckets.iter().sum::<i64>().unsigned_abs();
        let zero_count = counts[0].unsigned_abs();
        Histogram { layout, hint, sum, counts: Counts::Integer { count, zero_count, buckets } }
    }

    type Parts = (Vec<f64>, [u64; 3], ResetHint, Arc<Layout>);

    fn parts(one: FloatRef<'_>) -> Parts {
        let mut buckets = Vec::new();
        one.buckets.append_to(&mut buckets);
        // Which of two NaNs comes out of an operation is left open.
        let bits = |number: f64| if number.is_nan() { 1 } else { number.to_bits() };
        let numbers = [one.sum, one.count, one.zero_count].map(bits);
        (buckets, numbers, one.hint, Arc::clone(one.layout))
    }

    proptest! {
        #[test]
        fn windows_that_slide_are_those_that_are_walked(
            all in prop::collection::vec(
                (
                    0_u8..12,
                    prop::array::uniform4(0_i64..1 << 40),
                    prop_oneof![9 => -1e9_f64..1e9, 1 => Just(1e308), 1 => Just(f64::NAN)],
                    0_u8..4,
                ),
                1..40,
            ),
            windows in prop::collection::vec((0_usize..4, 0_usize..5), 1..40),
            is_mean: bool,
        ) {
            use ResetHint::{Gauge, NotReset, Reset, Unknown};
            let all: Vec<Histogram> = all
                .iter()
                .scan(false, |wide, (change, counts, sum, hint)| {
                    *wide ^= *change == 0;
                    let hint = [Gauge, NotReset, Reset, Unknown][usize::from(*hint)];
                    Some(whole(*wide, counts, *sum, hint))
                })
                .collect();
            let rows: Vec<FloatRef<'_>> = all.iter().map(|one| one.as_ref().into()).collect();
            let mut sliding = Sliding::new(&rows).unwrap();
            let (mut lo, mut hi) = (0, 1);
            for (skip, grow) in windows {
                hi = (hi + grow).min(rows.len());
                lo = (lo + skip).min(hi - 1);
                let mut hints = Vec::new();
                let window = sliding.window(&rows, (lo, hi), is_mean, |hint| hints.push(hint));
                let Some(window) = window else { continue };
                let got = parts(window);
                prop_assert!(hints.iter().eq(rows[lo..hi].iter().map(|row| &row.hint)));
                let mut overlays = Overlays::default();
                let (mut total, mut mean) = (Total::default(), Mean::default());
                total.set(rows[lo]);
                mean.set(rows[lo]);
                for row in &rows[lo + 1..hi] {
                    total.add(*row, &mut overlays).unwrap();
                    mean.add(*row, &mut overlays).unwrap();
                }
                let want = if is_mean { mean.finish() } else { total.finish() };
                prop_assert_eq!(got, parts(want.as_ref()));
            }
        }
    }

    #[test]
    fn what_may_round_does_not_slide() {
        let small = whole(false, &[1, 2, 3, 4], 1.0, ResetHint::Unknown);
        let large = whole(false, &[1 << 52, 2, 3, 4], 1.0, ResetHint::Unknown);
        let loose = of(0, (0.0, 0.0), &[(0, 1.0)], &[]);
        let rows = |all: [&Histogram; 2]| -> bool {
            Sliding::new(&all.map(|one| FloatRef::from(one.as_ref()))).is_some()
        };
        assert!(rows([&small, &small]));
        assert!(!rows([&small, &large]));
        assert!(Sliding::new(&[loose.as_ref()]).is_none(), "floats round");
    }
}
