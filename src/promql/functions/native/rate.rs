//! How fast do histograms grow?

use std::sync::Arc;

use crate::model::histogram::float::{FloatHistogram, FloatRef, FloatRows, Overlays};
use crate::model::histogram::{Layout, ResetHint};
use crate::promql::functions::window::Window;

use super::findings::Findings;
use super::rows::Rows;

/// `rate`, `increase` and `delta` of histograms.
pub(super) struct Slopes<'a> {
    /// A drop is a counter that started again at zero.
    counter: bool,
    per_seconds: Option<f64>,
    rows: &'a Rows<'a>,
    /// Histograms before which the counter began anew.
    resets: Vec<usize>,
    /// Histograms that count again what was counted.
    overlaps: Vec<usize>,
    /// All histograms have one schema and none is a gauge: there is nothing to look for.
    is_uniform: bool,
    result: FloatHistogram,
    overlays: Overlays,
}

/// The indexes of a list, which ascends, behind the first and up to the last sample of a window.
fn inside(list: &[usize], window: Window) -> &[usize] {
    let lo = list.partition_point(|index| *index <= window.lo);
    let hi = list.partition_point(|index| *index < window.hi).max(lo);
    list.get(lo..hi).unwrap_or_default()
}

impl<'a> Slopes<'a> {
    pub(super) fn new(counter: bool, per_seconds: Option<f64>, rows: &'a Rows<'a>) -> Self {
        let all = 1..rows.rows.len();
        let where_ = |holds: &dyn Fn(usize) -> bool| -> Vec<usize> {
            if counter { all.clone().filter(|index| holds(*index)).collect() } else { Vec::new() }
        };
        let schema = rows.rows.first().map(|one| one.layout.schema);
        let is_plain =
            |one: &FloatRef<'_>| Some(one.layout.schema) == schema && one.hint != ResetHint::Gauge;
        Self {
            counter,
            per_seconds,
            resets: where_(&|index| rows.resets(index)),
            overlaps: where_(&|index| rows.overlaps(index)),
            is_uniform: rows.rows.iter().chain(rows.joins.iter().map(|join| &join.1)).all(is_plain),
            rows,
            result: FloatHistogram::default(),
            overlays: Overlays::default(),
        }
    }

    /// The result for one window, pushed to `into`. Matches `extrapolatedRate`.
    pub(super) fn window(&mut self, window: Window, into: &mut FloatRows, findings: &mut Findings) {
        if let Some(pair) = self.plain(window) {
            let grown = pair.1.count - pair.0.count;
            if let Some(factor) = self.factor(window, None, grown) {
                into.push_growth(window.step, pair, factor);
            }
            return;
        }
        let counts_from_start = self.start_inside(window);
        let is_single = window.hi - window.lo == 1;
        if is_single && counts_from_start.is_none() {
            return;
        }
        let Some(first) = self.rows.rows.get(window.lo) else { return };
        if is_single {
            self.result.set(*first);
        } else {
            let mut found = Findings::default();
            let done = self.moved(window, &mut found);
            findings.merge(found);
            if done.is_none() {
                return;
            }
        }
        if counts_from_start.is_some() && !is_single {
            let merged = self.result.add(*first, &mut self.overlays);
            if findings.sum(merged).is_none() {
                return;
            }
        }
        let Some(factor) = self.factor(window, counts_from_start, self.result.count) else {
            return;
        };
        self.result.scale(factor);
        into.push(window.step, self.result.as_ref());
    }

    /// The first and the last sample of a window, if nothing but their difference matters: what is
    /// scraped mostly grows without a reset and keeps its buckets.
    fn plain(&self, window: Window) -> Option<(&'a FloatRef<'a>, &'a FloatRef<'a>)> {
        let rows: &'a Rows<'a> = self.rows;
        let [first, .., last] = rows.rows.get(window.lo..window.hi)? else { return None };
        let is_plain = self.counter
            && self.is_uniform
            && rows.starts.is_empty()
            && inside(&self.resets, window).is_empty()
            && self.joins(window).is_empty();
        (is_plain && first.is_alike(last)).then_some((first, last))
    }

    /// Since when the first sample counts, if that is inside of the window.
    fn start_inside(&self, window: Window) -> Option<i64> {
        let first = self.rows.times_of(window.lo).filter(|_| self.counter)?;
        let start_ms = first.start_ms;
        let is_inside = start_ms != 0 && start_ms > window.start_ms && start_ms < first.time_ms;
        is_inside.then_some(start_ms)
    }

    /// What was added over the window. Matches `histogramRate`.
    fn moved(&mut self, window: Window, found: &mut Findings) -> Option<()> {
        let rows = self.rows.rows.get(window.lo..window.hi)?;
        let [first, .., last] = rows else { return None };
        let second = rows.get(1)?;
        let resets = inside(&self.resets, window);
        // A first sample before a reset does not count, whatever its layout.
        let starts_anew = resets.first() == Some(&(window.lo + 1));
        let mut schema = last.layout.schema;
        if !self.is_uniform || !self.counter {
            let base = if starts_anew { second } else { first };
            self.look_for_gauges(rows, found);
            let others = if self.counter { rows.get(1..rows.len() - 1)? } else { &[] };
            let is_custom = base.is_custom();
            let goes_together = |one: &FloatRef<'_>| one.is_custom() == is_custom;
            if !goes_together(last) || !others.iter().all(goes_together) {
                found.incompatible = true;
                return None;
            }
            let joins = self.joins(window).iter().map(|join| &join.1);
            let schemas = others.iter().chain([base]).chain(joins).map(|one| one.layout.schema);
            schema = schemas.fold(schema, i32::min);
        }
        let joins = self.joins(window);
        let (result, overlays) = (&mut self.result, &mut self.overlays);
        result.set(*last);
        result.reduce_to(schema, overlays);
        if !starts_anew {
            found.difference(result.subtract(*first, overlays))?;
        } else if second.is_custom() {
            // Nothing, but with the bounds of the second sample.
            found.difference(result.subtract(nothing_like(second).as_ref(), overlays))?;
        }
        if self.counter {
            for index in resets.iter().skip(usize::from(starts_anew)) {
                let before = self.rows.rows.get(index - 1)?;
                found.sum(result.add(*before, overlays))?;
            }
            let goes_on = |join: &&(usize, FloatRef<'_>)| resets.binary_search(&join.0).is_err();
            for (index, continued) in joins.iter().filter(goes_on) {
                let before = self.rows.rows.get(index - 1)?;
                found.sum(result.add(*before, overlays))?;
                found.difference(result.subtract(*continued, overlays))?;
            }
            found.overlapping += u64::from(!inside(&self.overlaps, window).is_empty());
        }
        result.hint = ResetHint::Gauge;
        result.is_loose = true;
        Some(())
    }

    /// The joins behind the first and up to the last sample of a window, of a counter.
    fn joins(&self, window: Window) -> &'a [(usize, FloatRef<'a>)] {
        let all = if self.counter { self.rows.joins.as_slice() } else { &[] };
        let lo = all.partition_point(|(index, _)| *index <= window.lo);
        let hi = all.partition_point(|(index, _)| *index < window.hi).max(lo);
        all.get(lo..hi).unwrap_or_default()
    }

    fn look_for_gauges(&self, rows: &[FloatRef<'_>], found: &mut Findings) {
        let is_gauge = |one: &FloatRef<'_>| one.hint == ResetHint::Gauge;
        if self.counter {
            found.not_counter |= rows.iter().any(is_gauge);
        } else {
            let ends = [rows.first(), rows.last()];
            found.not_gauge |= !ends.into_iter().flatten().all(is_gauge);
        }
    }

    /// How far the slope is extended to the edges of the window. `grown` is by how many
    /// observations.
    fn factor(&self, window: Window, counts_from_ms: Option<i64>, grown: f64) -> Option<f64> {
        let times = &self.rows.times;
        let (first_ms, last_ms) = (*times.get(window.lo)?, *times.get(window.hi - 1)?);
        let gaps = window.hi - window.lo - 1;
        let mut sampled = (last_ms - first_ms) as f64 / 1000.0;
        let gap = if gaps > 0 { sampled / gaps as f64 } else { 0.0 };
        let threshold = gap * 1.1;
        let mut to_start = (first_ms - window.start_ms) as f64 / 1000.0;
        let mut to_end = (window.end_ms - last_ms) as f64 / 1000.0;
        if let Some(start_ms) = counts_from_ms {
            to_start = 0.0;
            sampled = (last_ms - start_ms) as f64 / 1000.0;
        } else {
            if to_start >= threshold {
                to_start = gap / 2.0;
            }
            let first = self.rows.rows.get(window.lo)?.count;
            if self.counter && grown > 0.0 && first >= 0.0 {
                // A counter was never below zero.
                let to_zero = sampled * (first / grown);
                if to_zero < to_start {
                    to_start = to_zero;
                }
            }
        }
        if to_end >= threshold {
            to_end = gap / 2.0;
        }
        let mut factor = 1.0;
        if sampled != 0.0 {
            factor = (sampled + to_start + to_end) / sampled;
        }
        Some(self.per_seconds.map_or(factor, |seconds| factor / seconds))
    }
}

/// A histogram without observations, with schema and bounds of another.
fn nothing_like(other: &FloatRef<'_>) -> FloatHistogram {
    let Layout { schema, custom_bounds, .. } = &**other.layout;
    let custom_bounds = custom_bounds.clone();
    let layout = Arc::new(Layout { schema: *schema, custom_bounds, ..Layout::default() });
    FloatHistogram { layout, ..FloatHistogram::default() }
}

/// `irate` if `counter`, else `idelta`: what was added between the last two samples.
pub(super) fn last_two(
    counter: bool,
    rows: &Rows<'_>,
    last: usize,
    (result, overlays): (&mut FloatHistogram, &mut Overlays),
    findings: &mut Findings,
) -> Option<()> {
    let after = rows.rows.get(last)?;
    let before = if counter { rows.before(last)? } else { rows.rows.get(last.checked_sub(1)?)? };
    let elapsed_ms = rows.times.get(last)? - rows.times.get(last - 1)?;
    if elapsed_ms == 0 {
        return None;
    }
    let is_gauge = |one: &FloatRef<'_>| one.hint == ResetHint::Gauge;
    if counter {
        findings.not_counter |= is_gauge(before) || is_gauge(after);
    } else {
        findings.not_gauge |= !(is_gauge(before) && is_gauge(after));
    }
    result.set(*after);
    if !counter || !rows.resets(last) {
        findings.difference(result.subtract(*before, overlays))?;
    }
    result.hint = ResetHint::Gauge;
    result.is_loose = true;
    if counter {
        result.divide(elapsed_ms as f64 / 1000.0);
    }
    Some(())
}
