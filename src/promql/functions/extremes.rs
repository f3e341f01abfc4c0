//! The largest and the smallest value of each window, and when they were seen.

#![expect(clippy::indexing_slicing, reason = "hot loops; windows hold indexes below len()")]

use std::collections::VecDeque;

use crate::promql::eval::StepColumn;

use super::window::Windows;

/// Which extreme, and what is answered of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extreme {
    pub(super) largest: bool,
    /// Answer its time in seconds, of the last one if there are several, instead of its value.
    pub(super) time: bool,
}

impl Extreme {
    /// Keeps candidates in a queue, the winner first: a candidate that a later sample beats can
    /// never win again. NaN never beats a number. `queue` is scratch.
    pub(super) fn run(
        self,
        windows: &Windows<'_>,
        queue: &mut VecDeque<usize>,
        into: &mut StepColumn,
    ) {
        match (self.largest, self.time) {
            (true, false) => run(windows, queue, into, |new, old| new > old, false),
            (false, false) => run(windows, queue, into, |new, old| new < old, false),
            (true, true) => run(windows, queue, into, |new, old| new >= old, true),
            (false, true) => run(windows, queue, into, |new, old| new <= old, true),
        }
    }
}

#[inline]
fn run(
    windows: &Windows<'_>,
    queue: &mut VecDeque<usize>,
    into: &mut StepColumn,
    beats: impl Fn(f64, f64) -> bool,
    time: bool,
) {
    queue.clear();
    let mut seen = 0;
    windows.each(into, |window| {
        for index in seen.max(window.lo)..window.hi {
            let value = windows.values[index];
            // Anything takes the place of a NaN, another NaN too: the last one is answered.
            while let Some(last) = queue.back() {
                let old = windows.values[*last];
                if !(beats(value, old) || old.is_nan()) {
                    break;
                }
                queue.pop_back();
            }
            if !value.is_nan() || queue.is_empty() {
                queue.push_back(index);
            }
        }
        seen = window.hi;
        while queue.front().is_some_and(|index| *index < window.lo) {
            queue.pop_front();
        }
        // Without a candidate the window holds NaNs that came behind a number which has left.
        let winner = queue.front().copied().unwrap_or(window.hi - 1);
        let value = windows.values[winner];
        Some(if time { windows.times[winner] as f64 / 1000.0 } else { value })
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::functions::tests::{any_windows, assert_same, naive_samples};
    use proptest::prelude::*;

    /// The definition: the first sample, replaced by each that beats it or finds a NaN.
    fn defined(extreme: Extreme, samples: &[(i64, f64)]) -> f64 {
        let mut best = samples[0];
        for sample in samples {
            let beats = match (extreme.largest, extreme.time) {
                (true, false) => sample.1 > best.1,
                (false, false) => sample.1 < best.1,
                (true, true) => sample.1 >= best.1,
                (false, true) => sample.1 <= best.1,
            };
            if beats || best.1.is_nan() {
                best = *sample;
            }
        }
        if extreme.time { best.0 as f64 / 1000.0 } else { best.1 }
    }

    proptest! {
        #[test]
        fn a_queue_of_candidates_equals_looking_at_each_window(
            data in any_windows(),
            largest in any::<bool>(),
            time in any::<bool>(),
        ) {
            let extreme = Extreme { largest, time };
            let (mut got, mut queue) = (StepColumn::new(), VecDeque::new());
            extreme.run(&data.windows(), &mut queue, &mut got);
            let expected = naive_samples(&data.windows(), |samples, _, _| {
                Some(defined(extreme, samples))
            });
            assert_same(&got, &expected)?;
        }
    }
}
