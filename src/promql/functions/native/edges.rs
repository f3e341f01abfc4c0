//! Histograms of windows that are completed at their edges, and between samples.

use crate::model::histogram::ResetHint;
use crate::model::histogram::float::{FloatHistogram, FloatRef, FloatRows, Overlays};
use crate::promql::functions::extended::Edges;
use crate::promql::functions::window::Window;
use crate::promql::plan::{Shift, Steps};

use super::findings::Findings;
use super::rows::Rows;

/// Points on the lines between histograms.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    overlays: Overlays,
}

impl Lines {
    /// The histogram at `at_ms` on the line between two neighbours. After a reset a counter grows
    /// from zero. Matches `interpolateHistograms`.
    fn between(
        &mut self,
        (rows, index): (&Rows<'_>, usize),
        at_ms: i64,
        counter: bool,
        found: &mut Findings,
    ) -> Option<FloatHistogram> {
        let (sample, after) = (rows.rows.get(index)?, rows.rows.get(index + 1)?);
        let before = if counter { rows.before(index + 1)? } else { sample };
        let (before_ms, after_ms) = (*rows.times.get(index)?, *rows.times.get(index + 1)?);
        if at_ms == before_ms {
            return Some(sample.owned());
        }
        let mut result = after.owned();
        if at_ms == after_ms {
            return Some(result);
        }
        let fraction = (at_ms - before_ms) as f64 / (after_ms - before_ms) as f64;
        if counter && after.is_reset_after(before) {
            result.scale(fraction);
            return Some(result);
        }
        found.difference(result.subtract(*before, &mut self.overlays))?;
        result.scale(fraction);
        found.sum(result.add(*before, &mut self.overlays))?;
        Some(result)
    }
}

/// A rate over completed windows.
pub(super) struct ExtendedSlope {
    pub(super) edges: Edges,
    pub(super) counter: bool,
    pub(super) per_seconds: Option<f64>,
    pub(super) lines: Lines,
}

impl ExtendedSlope {
    /// The result for one window, whose samples are those that may be looked at. Matches
    /// `extendedHistogramRate`.
    pub(super) fn window(
        &mut self,
        rows: &Rows<'_>,
        window: Window,
        into: &mut FloatRows,
        found: &mut Findings,
    ) -> Option<()> {
        let times = rows.times.get(window.lo..window.hi)?;
        let mut last = times.len().checked_sub(1)?;
        let before_last = times.get(..last)?;
        let first = before_last.partition_point(|time_ms| *time_ms <= window.start_ms);
        let first = first.saturating_sub(1);
        if self.edges.smoothed {
            last = before_last.partition_point(|time_ms| *time_ms < window.end_ms);
        }
        let (first_ms, last_ms) = (*times.get(first)?, *times.get(last)?);
        if last_ms <= window.start_ms || self.edges.smoothed && first_ms > window.end_ms {
            return None;
        }
        let (first, last) = (window.lo + first, window.lo + last);
        self.check(rows.rows.get(first..=last)?, found)?;
        let is_cut_left = self.edges.smoothed && first_ms < window.start_ms;
        let left = match is_cut_left {
            true => self.lines.between((rows, first), window.start_ms, self.counter, found)?,
            false => rows.rows.get(first)?.owned(),
        };
        let is_cut_right = self.edges.smoothed && last > window.lo && last_ms > window.end_ms;
        let right = match is_cut_right {
            true => self.lines.between((rows, last - 1), window.end_ms, self.counter, found)?,
            false => rows.rows.get(last)?.owned(),
        };
        let is_gauge = |one: &FloatHistogram| one.hint == ResetHint::Gauge;
        let are_gauges = is_gauge(&left) && is_gauge(&right);
        found.not_gauge |= !(self.counter || are_gauges);
        let mut result = right.clone();
        let overlays = &mut self.lines.overlays;
        found.difference(result.subtract(left.as_ref(), overlays))?;
        if self.counter {
            let correction =
                correction(rows, (first, last), (&left, &right), is_cut_left, overlays, found)?;
            if let Some(correction) = correction {
                found.sum(result.add(correction.as_ref(), overlays))?;
            }
        }
        if let Some(seconds) = self.per_seconds {
            result.divide(seconds);
        }
        (result.hint, result.is_loose) = (ResetHint::Gauge, true);
        into.push(window.step, result.as_ref());
        Some(())
    }

    /// Matches `validateHistogramRange`.
    fn check(&self, rows: &[FloatRef<'_>], found: &mut Findings) -> Option<()> {
        let is_custom = rows.first()?.is_custom();
        for one in rows {
            if one.is_custom() != is_custom {
                found.incompatible = true;
                return None;
            }
            found.not_counter |= self.counter && one.hint == ResetHint::Gauge;
        }
        Some(())
    }
}

/// What was lost at resets between both edges; nothing if it cannot be told. Matches
/// `correctForCounterResetsHistogram`.
fn correction(
    rows: &Rows<'_>,
    (first, last): (usize, usize),
    (left, right): (&FloatHistogram, &FloatHistogram),
    is_cut_left: bool,
    overlays: &mut Overlays,
    found: &mut Findings,
) -> Option<Option<FloatHistogram>> {
    let mut from = first + 1;
    let mut before = left.as_ref();
    if is_cut_left {
        // A reset on the line to the left edge was accounted for there.
        let (a, b) = (rows.before(first + 1)?, rows.rows.get(first + 1)?);
        if b.is_reset_after(a) {
            before = *b;
            from += 1;
        }
    }
    if from > last {
        return Some(None);
    }
    let mut lost: Option<FloatHistogram> = None;
    for index in from..=last {
        let one = rows.rows.get(index)?;
        // An edge on the line to a sample continues what the sample does.
        let joined = rows.joined(index).filter(|_| !(is_cut_left && index == first + 1));
        let resets = match joined {
            Some(continued) => one.is_reset_after(continued),
            None if index == last => right.as_ref().is_reset_after(&before),
            None => one.is_reset_after(&before),
        };
        if resets || joined.is_some() {
            match &mut lost {
                Some(lost) => found.sum(lost.add(before, overlays))?,
                none => *none = Some(before.owned()),
            }
        }
        if let (Some(continued), Some(lost), false) = (joined, &mut lost, resets) {
            found.difference(lost.subtract(*continued, overlays))?;
        }
        before = *one;
    }
    Some(lost)
}

/// At each step the histogram on the line between those around it. `is_mixed` says at which steps
/// floats are near too: these have no result. Matches `smoothSeries`.
pub(crate) fn smooth(
    rows: &Rows<'_>,
    (steps, shift): (Steps, Shift),
    lookback_ms: i64,
    mut is_mixed: impl FnMut(usize) -> bool,
    into: &mut FloatRows,
) -> Findings {
    let (mut found, mut lines) = (Findings::default(), Lines::default());
    let times = &rows.times;
    for step in 0..steps.count {
        let now_ms = shift.of(steps.at(step));
        let open_ms = now_ms.saturating_sub(lookback_ms);
        let end_ms = now_ms.saturating_add(lookback_ms);
        let lo = times.partition_point(|time_ms| *time_ms <= open_ms);
        let hi = times.partition_point(|time_ms| *time_ms <= end_ms).max(lo);
        if lo == hi {
            continue;
        }
        if is_mixed(step) {
            found.mixed = true;
            continue;
        }
        let at = times.partition_point(|time_ms| *time_ms < now_ms).clamp(lo, hi);
        if at < hi && times.get(at) == Some(&now_ms) {
            if let Some(one) = rows.rows.get(at) {
                into.push(step, *one);
            }
            continue;
        }
        if at == lo {
            continue;
        }
        let Some(before) = rows.rows.get(at - 1) else { continue };
        if at == hi {
            into.push(step, FloatRef { hint: ResetHint::Unknown, ..*before });
            continue;
        }
        let Some(after) = rows.rows.get(at) else { continue };
        if before.is_custom() != after.is_custom() {
            found.incompatible = true;
            continue;
        }
        let is_gauge = |one: &FloatRef<'_>| one.hint == ResetHint::Gauge;
        let counter = !(is_gauge(before) && is_gauge(after));
        if let Some(one) = lines.between((rows, at - 1), now_ms, counter, &mut found) {
            into.push(step, one.as_ref());
        }
    }
    found
}
