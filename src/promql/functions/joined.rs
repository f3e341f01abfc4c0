//! Counters some samples of which continue another count than the sample before them.

#![expect(clippy::indexing_slicing, reason = "hot loops; windows hold indexes below len()")]

use crate::promql::eval::StepColumn;

use super::extended::{self, Edges};
use super::over_time::RangeFunction;
use super::rate::Slope;
use super::starts::Starts;
use super::window::Windows;

/// A counter with joins: index of a sample, and what it is to be compared with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Joined<'a> {
    pub(super) windows: &'a Windows<'a>,
    pub(super) joins: &'a [(usize, f64)],
    /// Since when samples count; empty if that does not matter.
    pub(super) starts: &'a [i64],
}

/// How a sample follows those before it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Link {
    index: usize,
    /// What it is compared with.
    base: f64,
    resets: bool,
}

impl Link {
    /// How far the counter has grown.
    fn growth(self, value: f64) -> f64 {
        if self.resets { value } else { value - self.base }
    }
}

impl Joined<'_> {
    /// All samples but the first.
    fn links(self) -> impl Iterator<Item = Link> {
        let mut joins = self.joins.iter().copied().peekable();
        let started = Starts { windows: self.windows, starts: self.starts };
        let values = self.windows.values;
        (1..values.len()).map(move |index| {
            while joins.next_if(|(at, _)| *at < index).is_some() {}
            let join = joins.next_if(|(at, _)| *at == index);
            let base = join.map_or(values[index - 1], |(_, before)| before);
            let started_anew = join.is_none() && !started.starts.is_empty();
            let resets = values[index] < base || started_anew && started.resets(index);
            Link { index, base, resets }
        })
    }

    /// The link of one sample that is not the first.
    fn link(self, index: usize) -> Link {
        let place = self.joins.binary_search_by_key(&index, |(at, _)| *at);
        let join = place.ok().map(|place| self.joins[place].1);
        let base = join.unwrap_or(self.windows.values[index - 1]);
        let started = Starts { windows: self.windows, starts: self.starts };
        let started_anew = join.is_none() && !self.starts.is_empty() && started.resets(index);
        Link { index, base, resets: self.windows.values[index] < base || started_anew }
    }

    /// What a function over plain or completed windows gives. Both lists are scratch.
    pub(super) fn run(
        self,
        function: RangeFunction,
        (seconds, edges): (f64, Option<Edges>),
        (indexes, amounts): (&mut Vec<usize>, &mut Vec<f64>),
        into: &mut StepColumn,
    ) {
        let per_seconds = Some(seconds).filter(|_| function == RangeFunction::Rate);
        match (function, edges) {
            (RangeFunction::Irate, _) => self.last_two(into),
            (RangeFunction::Resets, Some(edges)) => {
                let counts = |index: usize| self.link(index).resets;
                extended::count_pairs(edges, self.windows, indexes, into, counts);
            }
            (RangeFunction::Resets, None) => self.count_resets(indexes, into),
            (_, Some(edges)) => {
                self.totals(amounts);
                let windows = Windows { values: amounts, ..*self.windows };
                extended::slope(edges, (true, per_seconds), &windows, indexes, into);
            }
            (_, None) => {
                let slope = Slope { counter: true, per_seconds };
                self.slope(slope, indexes, amounts, into);
            }
        }
    }

    /// `rate` and `increase`: what the last sample lacks of the growth since the first is known of
    /// each reset and each join.
    fn slope(
        self,
        slope: Slope,
        indexes: &mut Vec<usize>,
        amounts: &mut Vec<f64>,
        into: &mut StepColumn,
    ) {
        indexes.clear();
        amounts.clear();
        let values = self.windows.values;
        for link in self.links() {
            let before = values[link.index - 1];
            let amount = if link.resets { before } else { before - link.base };
            if link.resets || link.base.to_bits() != before.to_bits() {
                indexes.push(link.index);
                amounts.push(amount);
            }
        }
        let (mut from, mut to) = (0, 0);
        self.windows.each(into, |window| {
            while to < indexes.len() && indexes[to] < window.hi {
                to += 1;
            }
            while from < to && indexes[from] <= window.lo {
                from += 1;
            }
            let raw = values[window.hi - 1] - values[window.lo];
            let raw = amounts[from..to].iter().fold(raw, |raw, amount| raw + amount);
            slope.extrapolate(self.windows, window, raw)
        });
    }

    /// The counter as if there had been neither a reset nor a join.
    fn totals(self, into: &mut Vec<f64>) {
        let values = self.windows.values;
        into.clear();
        into.extend(values.first());
        let mut total = values.first().copied().unwrap_or_default();
        for link in self.links() {
            total += link.growth(values[link.index]);
            into.push(total);
        }
    }

    fn last_two(self, into: &mut StepColumn) {
        let Windows { times, values, .. } = *self.windows;
        self.windows.each(into, |window| {
            let last = window.hi - 1;
            if last == window.lo || times[last] == times[last - 1] {
                return None;
            }
            let seconds = (times[last] - times[last - 1]) as f64 / 1000.0;
            Some(self.link(last).growth(values[last]) / seconds)
        });
    }

    fn count_resets(self, indexes: &mut Vec<usize>, into: &mut StepColumn) {
        indexes.clear();
        indexes.extend(self.links().filter(|link| link.resets).map(|link| link.index));
        self.windows.each(into, |window| {
            let lo = indexes.partition_point(|index| *index <= window.lo);
            let hi = indexes.partition_point(|index| *index < window.hi);
            Some(hi.saturating_sub(lo) as f64)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::functions::tests::{any_windows, assert_same};
    use proptest::prelude::*;

    const COUNTERS: [RangeFunction; 4] =
        [RangeFunction::Rate, RangeFunction::Increase, RangeFunction::Irate, RangeFunction::Resets];

    fn run(
        windows: &Windows<'_>,
        joins: &[(usize, f64)],
        function: RangeFunction,
        edges: Option<Edges>,
    ) -> Vec<Option<f64>> {
        let joined = Joined { windows, joins, starts: &[] };
        let (mut got, mut indexes, mut amounts) = (StepColumn::new(), Vec::new(), Vec::new());
        joined.run(function, (7.0, edges), (&mut indexes, &mut amounts), &mut got);
        (0..got.len()).map(|step| got.get(step)).collect()
    }

    proptest! {
        /// A counter of whole numbers that is moved up or down from some samples on, with joins
        /// that say so, grows as it did before.
        #[test]
        fn a_join_hides_that_a_counter_is_told_by_another(
            data in any_windows(),
            grown in prop::collection::vec(0_u16..50, 80),
            moves in prop::collection::btree_map(1_usize..80, 0_u16..500, 0..6),
            anchored in any::<bool>(),
        ) {
            let mut plain = data.clone();
            let mut sum = 0.0;
            let values = data.times.iter().zip(&grown);
            plain.values = values.map(|(_, by)| { sum += f64::from(*by); sum }).collect();
            let mut moved = plain.clone();
            let (mut joins, mut by) = (Vec::new(), 0.0);
            for index in 1..moved.values.len() {
                if let Some(more) = moves.get(&index) {
                    by = f64::from(*more);
                    joins.push((index, plain.values[index - 1] + by));
                }
                moved.values[index] += by;
            }
            let edges = anchored.then_some(Edges { smoothed: false, lookback_ms: 50 });
            for function in COUNTERS {
                if function == RangeFunction::Irate && anchored {
                    continue;
                }
                let got = run(&moved.windows(), &joins, function, edges);
                let want = run(&plain.windows(), &[], function, edges);
                for (got, want) in got.iter().zip(&want) {
                    // How far it is extended to the start depends on where it stands there.
                    let is_near = match (got, want) {
                        (Some(got), Some(want)) => {
                            let bound = 1.0 + want.abs() * 0.5;
                            function == RangeFunction::Rate && (got - want).abs() <= bound
                                || function == RangeFunction::Increase
                                    && (got - want).abs() <= bound * 400.0
                                || got == want
                        }
                        (got, want) => got == want,
                    };
                    prop_assert!(is_near, "{function:?} {got:?} {want:?}");
                }
            }
        }

        #[test]
        fn without_joins_nothing_changes(data in any_windows(), per_second in any::<bool>()) {
            let windows = data.windows();
            let function = if per_second { RangeFunction::Rate } else { RangeFunction::Increase };
            let got = run(&windows, &[], function, None);
            let slope = Slope { counter: true, per_seconds: per_second.then_some(7.0) };
            let mut want = StepColumn::new();
            slope.run(&windows, &mut Vec::new(), &mut want);
            assert_same(&want, &got)?;
        }
    }

    #[test]
    fn a_value_below_what_it_continues_is_a_reset() {
        let times: Vec<i64> = (1..=4).map(|second| second * 1000).collect();
        let values = [100.0, 110.0, 7.0, 9.0];
        let steps = crate::promql::plan::Steps::once(4000);
        let windows = Windows {
            times: &times,
            values: &values,
            steps,
            shift: Default::default(),
            range_ms: 3500,
        };
        // It goes on from 5, it began anew after 50, and it goes on from the sample before.
        let cases = [(5.0, 14.0, 0.0), (50.0, 19.0, 1.0)];
        for (before, grown, resets) in cases {
            let joins = [(2, before)];
            let factor = 3.5 / 3.0;
            let increase = run(&windows, &joins, RangeFunction::Increase, None);
            assert_eq!(increase, [Some(grown * factor)]);
            assert_eq!(run(&windows, &joins, RangeFunction::Resets, None), [Some(resets)]);
            assert_eq!(
                run(&windows, &[(3, before)], RangeFunction::Irate, None),
                [Some(9.0 - before).map(|g: f64| if g < 0.0 { 9.0 } else { g })]
            );
        }
    }
}
