//! How many samples did the selectors of a query look at, step by step?
//!
//! The numbers are those of upstream's query statistics, which count as if every step were a query
//! of its own: they say what a query asks for, not what this engine does for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::model::histogram::float::FloatRef;
use crate::model::{Column, Value};
use crate::promql::engine::EngineError;
use crate::promql::plan::{Shift, Steps};

use super::newest::newest;
use super::operator::Work;
use super::range::without_markers;
use super::run::Run;
use super::select::Selection;
use super::{StepColumn, StepValue};

/// The samples that one part of a query looks at; a part is evaluated on one grid.
#[derive(Debug)]
pub(super) struct Tally {
    steps: Steps,
    /// Every sample as often as a step looks at it, and only where no earlier step has.
    total: AtomicU64,
    read: AtomicU64,
    /// The same by step; empty if nobody asks.
    total_by_step: Vec<AtomicU64>,
    read_by_step: Vec<AtomicU64>,
}

/// What becomes of the numbers of a part.
#[derive(Debug, Clone, Copy)]
enum Merge {
    /// It is evaluated once and stands for all steps.
    Once,
    /// The points of a subquery: the function around it counts them, what was read for them
    /// counts for the step that needs them first.
    Subquery { offset_ms: i64, range_ms: i64 },
    /// A subquery that is the whole query.
    Bare,
}

/// A part, the one around it, and what becomes of its numbers there.
type Part = (Arc<Tally>, Arc<Tally>, Merge);

/// All parts of a query, the outermost first.
#[derive(Debug)]
pub(super) struct Tallies {
    root: Arc<Tally>,
    /// The parts that are being bound.
    open: Mutex<Vec<Arc<Tally>>>,
    inner: Mutex<Vec<Part>>,
    counters: Mutex<Vec<Arc<Counter>>>,
}

/// The samples that a query looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Counted {
    pub(crate) total: u64,
    pub(crate) read: u64,
    /// Empty unless asked for.
    pub(crate) total_by_step: Vec<u64>,
    pub(crate) read_by_step: Vec<u64>,
}

impl Tally {
    fn new(steps: Steps, by_step: bool) -> Arc<Self> {
        let zeros = || {
            let count = if by_step { steps.count } else { 0 };
            std::iter::repeat_with(AtomicU64::default).take(count).collect()
        };
        let (total, read) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { steps, total, read, total_by_step: zeros(), read_by_step: zeros() })
    }

    fn add(&self, step: usize, total: u64, read: u64) {
        for (sum, by_step, more) in
            [(&self.total, &self.total_by_step, total), (&self.read, &self.read_by_step, read)]
        {
            sum.fetch_add(more, Ordering::Relaxed);
            if let Some(sum) = by_step.get(step) {
                sum.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    /// One sample at each step of `present`.
    pub(super) fn add_present(&self, present: &StepColumn) {
        if self.total_by_step.is_empty() {
            let size = present.size() as u64;
            self.add(0, size, size);
            return;
        }
        for (step, value) in present.all() {
            let size = match value {
                StepValue::Float(_) => 1,
                StepValue::Histogram(one) => one.size() as u64,
            };
            self.add(step, size, size);
        }
    }

    /// All samples at the first step.
    pub(super) fn add_first(&self, count: usize) {
        self.add(0, count as u64, count as u64);
    }

    /// The samples in the windows of all steps, which it returns unless they are kept by step.
    /// `stored`: they were read for it.
    pub(super) fn add_windows(&self, samples: &Column, windows: Reach, stored: bool) -> (u64, u64) {
        let times = &samples.timestamps;
        let sizes = Sizes::of(samples);
        let steps = windows.steps;
        let (mut lo, mut hi) = (0, 0);
        let (mut total, mut read) = (0, 0);
        let is_at = |index: usize, ms: i64| times.get(index).is_some_and(|time| *time <= ms);
        for step in 0..steps.count {
            let end_ms = windows.shift.of(steps.at(step)).saturating_add(windows.behind_ms);
            let open_ms = end_ms.saturating_sub(windows.length_ms);
            // What the step before has looked at.
            let known = hi;
            while is_at(hi, end_ms) {
                hi += 1;
            }
            while lo < hi && is_at(lo, open_ms) {
                lo += 1;
            }
            let inside = sizes.sum(lo, hi);
            let new = if stored { sizes.sum(known.max(lo), hi) } else { 0 };
            if self.total_by_step.is_empty() {
                (total, read) = (total + inside, read + new);
            } else {
                self.add(step, inside, new);
            }
        }
        self.add(0, total, read);
        (total, read)
    }

    fn counted(&self) -> Counted {
        let numbers = |sums: &[AtomicU64]| -> Vec<u64> {
            sums.iter().map(|sum| sum.load(Ordering::Relaxed)).collect()
        };
        Counted {
            total: self.total.load(Ordering::Relaxed),
            read: self.read.load(Ordering::Relaxed),
            total_by_step: numbers(&self.total_by_step),
            read_by_step: numbers(&self.read_by_step),
        }
    }

    fn absorb(&self, inner: &Self, merge: Merge) {
        let inner_counts = inner.counted();
        match merge {
            Merge::Once => {
                for step in 0..self.steps.count {
                    self.add(step, inner_counts.total, 0);
                }
                self.add(0, 0, inner_counts.read);
            }
            Merge::Bare => {
                self.add(self.steps.count.saturating_sub(1), inner_counts.total, inner_counts.read);
            }
            Merge::Subquery { .. } if self.steps.count <= 1 => self.add(0, 0, inner_counts.read),
            Merge::Subquery { offset_ms, range_ms } => {
                for (index, read) in inner_counts.read_by_step.iter().enumerate() {
                    let at_ms = inner.steps.at(index).saturating_add(offset_ms);
                    if let Some(step) = self.needs(at_ms, range_ms) {
                        self.add(step, 0, *read);
                    }
                }
            }
        }
    }

    /// The first step that needs what is there at `at_ms`; nothing if that lies between windows.
    fn needs(&self, at_ms: i64, range_ms: i64) -> Option<usize> {
        let Steps { start_ms, step_ms, count, .. } = self.steps;
        let behind_ms = at_ms.saturating_sub(start_ms).max(0);
        let step = behind_ms.saturating_add(step_ms - 1) / step_ms;
        let step = usize::try_from(step).unwrap_or(usize::MAX).min(count - 1);
        let open_ms = self.steps.at(step).saturating_sub(range_ms);
        (range_ms <= 0 || at_ms > open_ms).then_some(step)
    }
}

/// What samples count for: a float for one, a histogram for more.
struct Sizes(Option<Vec<u64>>);

impl Sizes {
    fn of(samples: &Column) -> Self {
        if samples.histograms.is_empty() {
            return Self(None);
        }
        let mut sums = Vec::with_capacity(samples.len() + 1);
        let mut sum = 0;
        sums.push(sum);
        for (_, _, value) in samples.samples() {
            sum += match value {
                Value::Float(_) => 1,
                Value::Histogram(one) => FloatRef::from(one).size() as u64,
            };
            sums.push(sum);
        }
        Self(Some(sums))
    }

    fn sum(&self, from: usize, to: usize) -> u64 {
        match &self.0 {
            None => to.saturating_sub(from) as u64,
            Some(sums) => {
                let at = |index: usize| sums.get(index).copied().unwrap_or_default();
                at(to).saturating_sub(at(from))
            }
        }
    }
}

/// The windows of a selector with all that completes them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    pub(super) steps: Steps,
    pub(super) shift: Shift,
    /// From the open edge to the last sample that counts.
    pub(super) length_ms: i64,
    /// How far samples count behind the instant.
    pub(super) behind_ms: i64,
}

impl Tallies {
    pub(super) fn new(steps: Steps, by_step: bool) -> Self {
        let root = Tally::new(steps, by_step);
        let open = Mutex::new(vec![Arc::clone(&root)]);
        Self { root, open, inner: Mutex::default(), counters: Mutex::default() }
    }

    /// The part that is being bound.
    pub(super) fn current(&self) -> Arc<Tally> {
        self.open.lock().last().map_or_else(|| Arc::clone(&self.root), Arc::clone)
    }

    fn enter(&self, steps: Steps, by_step: bool, merge: Merge) {
        let (part, around) = (Tally::new(steps, by_step), self.current());
        self.inner.lock().push((Arc::clone(&part), around, merge));
        self.open.lock().push(part);
    }

    /// From now on, what is bound stands for all steps.
    pub(super) fn enter_once(&self, steps: Steps) {
        self.enter(steps, false, Merge::Once);
    }

    /// From now on, what is bound is part of a subquery, whose windows are `range_ms` long.
    pub(super) fn enter_subquery(&self, steps: Steps, offset_ms: i64, range_ms: i64) {
        self.enter(steps, true, Merge::Subquery { offset_ms, range_ms });
    }

    /// From now on, what is bound is part of a subquery that is the whole query.
    pub(super) fn enter_bare(&self, steps: Steps) {
        self.enter(steps, false, Merge::Bare);
    }

    /// Ends what was entered last.
    pub(super) fn leave(&self) {
        self.open.lock().pop();
    }

    /// The numbers of the whole query.
    pub(super) fn sum(&self) -> Counted {
        // Inner parts were entered behind those around them.
        for (part, around, merge) in self.inner.lock().drain(..).rev() {
            around.absorb(&part, merge);
        }
        self.root.counted()
    }
}

/// How a selector looks at its samples.
#[derive(Debug, Clone, Copy)]
pub(super) enum Looks {
    /// At the newest one of each step.
    AtNewest { steps: Steps, shift: Shift },
    /// At all in the windows of the steps.
    AtWindows(Reach),
}

/// The series of one selector, each of which is counted once, however often it is computed.
#[derive(Debug)]
pub(super) struct Counter {
    tally: Arc<Tally>,
    seen: Vec<AtomicBool>,
    /// Index of the question to the source; `None` for the points of a subquery.
    ask: Option<usize>,
    looks: Looks,
    last: Mutex<Alike>,
}

/// The times of the series that was counted last, all of them floats, and what it came to: what is
/// scraped together has the same times.
#[derive(Debug, Default)]
struct Alike {
    times: Vec<i64>,
    counts: (u64, u64),
}

impl Counter {
    /// Where to count the series, if it was not counted yet.
    fn first(&self, index: usize) -> Option<&Tally> {
        let seen = self.seen.get(index)?;
        (!seen.swap(true, Ordering::Relaxed)).then_some(&self.tally)
    }

    /// Counts a series of which windows are looked at.
    pub(super) fn count_windows(&self, index: usize, samples: &Column) {
        let (Looks::AtWindows(reach), Some(tally)) = (self.looks, self.first(index)) else {
            return;
        };
        let times = &samples.timestamps;
        let is_alone = self.seen.len() < 2;
        let is_by_step = !tally.total_by_step.is_empty();
        if is_alone || is_by_step || !samples.histograms.is_empty() || times.is_empty() {
            let _ = tally.add_windows(samples, reach, self.ask.is_some());
            return;
        }
        {
            let last = self.last.lock();
            if last.times == *times {
                let (total, read) = last.counts;
                drop(last);
                return tally.add(0, total, read);
            }
        }
        let counts = tally.add_windows(samples, reach, self.ask.is_some());
        let mut last = self.last.lock();
        last.times.clone_from(times);
        last.counts = counts;
    }

    /// Counts a series that has a sample at some steps.
    pub(super) fn count_present(&self, index: usize, present: &StepColumn) {
        if let Some(tally) = self.first(index) {
            tally.add_present(present);
        }
    }
}

impl Run<'_> {
    /// Counts the samples of a selector or of a subquery, if somebody asks for it.
    pub(super) fn counter(
        &self,
        series: usize,
        ask: Option<usize>,
        looks: Looks,
    ) -> Option<Arc<Counter>> {
        let tallies = self.tallies.as_ref()?;
        let seen = std::iter::repeat_with(AtomicBool::default).take(series).collect();
        let counter = Arc::new(Counter {
            tally: tallies.current(),
            seen,
            ask,
            looks,
            last: Mutex::default(),
        });
        tallies.counters.lock().push(Arc::clone(&counter));
        Some(counter)
    }

    /// Reads the series that turned out not to matter for the answer.
    pub(super) fn count_rest(&self) -> Result<(), EngineError> {
        let Some(tallies) = &self.tallies else { return Ok(()) };
        let counters = std::mem::take(&mut *tallies.counters.lock());
        for counter in counters {
            let Some(ask) = counter.ask else { continue };
            let selection = self.selection(ask)?;
            let is_left = |seen: &AtomicBool| !seen.load(Ordering::Relaxed);
            let left: Vec<usize> = (0..counter.seen.len())
                .filter(|index| counter.seen.get(*index).is_some_and(is_left))
                .collect();
            self.collect(left.len(), |place, work| match left.get(place) {
                Some(index) => self.count_unseen(&counter, selection, *index, work),
                None => Ok(()),
            })?;
        }
        Ok(())
    }

    fn count_unseen(
        &self,
        counter: &Counter,
        selection: &Selection,
        index: usize,
        work: &mut Work,
    ) -> Result<(), EngineError> {
        let mut samples = selection.read(self.limits, (0, index), selection.range(), work)?;
        match counter.looks {
            Looks::AtWindows(_) => {
                samples = without_markers(samples, work);
                counter.count_windows(index, samples.column());
            }
            Looks::AtNewest { steps, shift } => {
                let (column, lookback_ms) = (samples.column(), self.lookback_ms);
                let mut present = work.take_column();
                if column.histograms.is_empty() {
                    newest(column, steps, shift, lookback_ms, &mut present, |_, value| value);
                    counter.count_present(index, &present);
                } else if let Some(tally) = counter.first(index) {
                    newest(column, steps, shift, lookback_ms, &mut present, |at, _| at as f64);
                    let sizes = Sizes::of(column);
                    for (step, at) in present.iter() {
                        let size = sizes.sum(at as usize, at as usize + 1);
                        tally.add(step, size, size);
                    }
                }
                work.give_column(present);
            }
        }
        samples.give_back(work);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn grid(start_ms: i64, step_ms: i64, count: usize) -> Steps {
        Steps { start_ms, step_ms, count, instant: count == 1 }
    }

    proptest! {
        #[test]
        fn windows_are_counted_as_a_search_counts_them(
            gaps in prop::collection::vec(1_i64..40, 0..60),
            start_ms in -50_i64..200,
            step_ms in 1_i64..70,
            count in 1_usize..40,
            length_ms in 1_i64..300,
            behind_ms in 0_i64..40,
            at_ms in prop_oneof![3 => Just(None), 1 => (0_i64..500).prop_map(Some)],
        ) {
            let times: Vec<i64> = gaps.iter().scan(0, |now, gap| {
                *now += gap;
                Some(*now)
            }).collect();
            let (steps, shift) = (grid(start_ms, step_ms, count), Shift { at_ms, offset_ms: 7 });
            let mut samples = Column::new();
            times.iter().for_each(|time_ms| samples.push(*time_ms, 0.0));
            let tally = Tally::new(steps, true);
            let _ = tally.add_windows(&samples, Reach { steps, shift, length_ms, behind_ms }, true);
            let lean = Tally::new(steps, false);
            lean.add_windows(&samples, Reach { steps, shift, length_ms, behind_ms }, true);
            let mut want = Counted::default();
            for step in 0..count {
                let end_ms = shift.of(steps.at(step)) + behind_ms;
                let inside = |t: &&i64| end_ms - length_ms < **t && **t <= end_ms;
                let total = times.iter().filter(inside).count() as u64;
                let new = |t: &&i64| step == 0 || at_ms.is_none() && **t > end_ms - step_ms;
                let read = times.iter().filter(inside).filter(new).count() as u64;
                (want.total, want.read) = (want.total + total, want.read + read);
                want.total_by_step.push(total);
                want.read_by_step.push(read);
            }
            prop_assert_eq!((lean.counted().total, lean.counted().read), (want.total, want.read));
            prop_assert_eq!(tally.counted(), want);
        }
    }

    #[test]
    fn what_is_evaluated_once_counts_at_every_step_but_is_read_at_the_first() {
        let tallies = Tallies::new(grid(0, 10, 3), true);
        tallies.enter_once(grid(0, 10, 1));
        tallies.current().add_first(4);
        tallies.leave();
        let Counted { total_by_step, read_by_step, .. } = tallies.sum();
        assert_eq!((total_by_step, read_by_step), (vec![4, 4, 4], vec![4, 0, 0]));
    }

    #[test]
    fn what_a_subquery_reads_counts_for_the_step_that_needs_it() {
        let tallies = Tallies::new(grid(100, 50, 2), true);
        tallies.enter_subquery(grid(70, 10, 9), 0, 20);
        let mut all = StepColumn::new();
        all.fill(9, 1.0);
        tallies.current().add_present(&all);
        tallies.leave();
        // 90 and 100 for the first step, 140 and 150 for the second; the others lie in no window.
        let Counted { total, read_by_step, .. } = tallies.sum();
        assert_eq!((total, read_by_step), (0, vec![2, 2]));
    }
}
