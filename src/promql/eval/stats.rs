//! Histograms of which only count and sum are wanted.
//!
//! Upstream reads such samples through an iterator that leaves the buckets out and finds resets on
//! the way, from bucket to bucket: `HistogramStatsIterator`. That can be seen from outside, since
//! no other way of reading says that a counter began anew.

use std::sync::Arc;

use crate::model::histogram::float::FloatRef;
use crate::model::histogram::{Counts, Histogram, Layout, ResetHint};
use crate::model::is_stale;
use crate::promql::plan::{Shift, Steps};
use crate::series::{Column, TimeRange};

/// The samples in `range` with histograms that have no buckets, and with the hints that a reader
/// finds who looks at windows of `length_ms`: only a sample that it has come by can be compared.
pub(super) fn without_buckets(
    samples: &Column,
    range: TimeRange,
    (steps, shift): (Steps, Shift),
    length_ms: i64,
) -> Column {
    let times = samples.timestamps.as_slice();
    let from = times.partition_point(|time_ms| *time_ms < range.start_ms);
    let to = times.partition_point(|time_ms| *time_ms <= range.end_ms).max(from);
    let mut result = Column::new();
    let mut jumps = jumps(times.get(from..to).unwrap_or_default(), (steps, shift), length_ms)
        .into_iter()
        .map(|index| index + from)
        .peekable();
    let mut layouts: Vec<Arc<Layout>> = Vec::new();
    let mut last: Option<FloatRef<'_>> = None;
    let mut histograms = samples.histograms.range(from..to).peekable();
    for index in from..to {
        if jumps.next_if_eq(&index).is_some() {
            last = None;
        }
        let (Some(time_ms), Some(value)) = (times.get(index), samples.floats.get(index)) else {
            break;
        };
        match histograms.next_if(|(at, _)| *at == index) {
            Some((_, one)) if !is_stale(*value) => {
                let one = FloatRef::from(one);
                if let Some(continued) = samples.joins.before_histogram(index) {
                    let continued = FloatRef::from(continued);
                    let bare = bare(&mut layouts, &continued, ResetHint::Unknown);
                    result.joins.push_histogram(result.len(), bare.as_ref());
                    last = Some(continued);
                }
                let hint = match (one.hint, &last) {
                    (ResetHint::Unknown, Some(last)) if one.is_reset_after(last) => {
                        ResetHint::Reset
                    }
                    (ResetHint::Unknown, Some(_)) => ResetHint::NotReset,
                    (hint, _) => hint,
                };
                last = Some(one);
                result.push_histogram(*time_ms, bare(&mut layouts, &one, hint).as_ref());
            }
            _ => {
                if let Some(continued) = samples.joins.before(index) {
                    result.joins.push(result.len(), continued);
                }
                result.push(*time_ms, *value);
            }
        }
        result.set_last_start(samples.start_ms(index));
    }
    result
}

/// Count and sum of a histogram alone.
fn bare(layouts: &mut Vec<Arc<Layout>>, one: &FloatRef<'_>, hint: ResetHint) -> Histogram {
    let layout = layout_of(layouts, one.layout.schema);
    let counts = Counts::Float { count: one.count, zero_count: 0.0, buckets: Vec::new() };
    Histogram { layout, hint, sum: one.sum, counts }
}

fn layout_of(layouts: &mut Vec<Arc<Layout>>, schema: i32) -> Arc<Layout> {
    if let Some(layout) = layouts.iter().find(|layout| layout.schema == schema) {
        return Arc::clone(layout);
    }
    let layout = Arc::new(Layout { schema, ..Layout::default() });
    layouts.push(Arc::clone(&layout));
    layout
}

/// The samples that are reached by a jump over others: whoever reads window by window jumps if
/// the next window begins behind the sample at which the last one ended.
fn jumps(times: &[i64], (steps, shift): (Steps, Shift), length_ms: i64) -> Vec<usize> {
    let mut jumps = Vec::new();
    let mut at: Option<usize> = None;
    for step in 0..steps.count {
        let end_ms = shift.of(steps.at(step));
        let start_ms = end_ms.saturating_sub(length_ms);
        let reached_ms = at.map_or(i64::MIN, |at| times.get(at).copied().unwrap_or(i64::MAX));
        let mut now = at.unwrap_or(0);
        if start_ms > reached_ms {
            now = times.partition_point(|time_ms| *time_ms < start_ms).max(now);
            jumps.push(now);
        }
        while times.get(now).is_some_and(|time_ms| *time_ms < end_ms) {
            now += 1;
        }
        at = Some(now);
        if now >= times.len() {
            break;
        }
    }
    jumps.dedup();
    jumps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(counts: &[f64]) -> Column {
        let mut column = Column::new();
        for (index, count) in counts.iter().enumerate() {
            let counts = Counts::Float { count: *count, zero_count: *count, buckets: vec![] };
            let layout = Arc::default();
            let one = Histogram { layout, hint: ResetHint::Unknown, sum: 1.0, counts };
            column.push_histogram(index as i64 * 10, one.as_ref());
        }
        column
    }

    fn hints(counts: &[f64], steps: Steps, length_ms: i64) -> Vec<ResetHint> {
        let column = counter(counts);
        let got = without_buckets(&column, TimeRange::ALL, (steps, Shift::default()), length_ms);
        got.histograms.iter().map(|(_, one)| one.hint).collect()
    }

    #[test]
    fn resets_are_found_from_the_second_sample_on() {
        use ResetHint::{NotReset, Reset, Unknown};
        let steps = Steps { start_ms: 0, step_ms: 10, count: 4, instant: false };
        assert_eq!(hints(&[1.0, 2.0, 1.0, 1.0], steps, 100), [Unknown, NotReset, Reset, NotReset]);
    }

    #[test]
    fn who_jumps_over_samples_does_not_compare() {
        use ResetHint::{NotReset, Reset, Unknown};
        // Windows end at 10 and at 40; the second begins at 30.
        let steps = Steps { start_ms: 10, step_ms: 30, count: 2, instant: false };
        let got = hints(&[4.0, 3.0, 2.0, 1.0, 0.0], steps, 10);
        assert_eq!(got, [Unknown, Reset, Reset, Unknown, Reset]);
        assert_eq!(hints(&[1.0, 1.0], steps, 10), [Unknown, NotReset]);
    }
}
