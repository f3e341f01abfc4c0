//! Native histograms with listed bounds out of classic ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::gonum::parse_float;
use crate::model::histogram::float::FloatHistogram;
use crate::model::histogram::{CUSTOM_SCHEMA, Layout, Span};
use crate::model::{Labels, METRIC_NAME};
use crate::series::Column;

use super::script::Load;
use super::series::SeriesValue;

/// What is known of a histogram at one time.
#[derive(Default)]
struct Parts {
    /// Bound and count of all observations up to it, in the order of bounds.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// The native histograms of all classic ones that are loaded. Matches `convertnhcb`.
pub(super) fn derived(load: &Load) -> Result<Vec<(Labels, Column)>, String> {
    let mut all: BTreeMap<Labels, BTreeMap<i64, Parts>> = BTreeMap::new();
    for (labels, series) in &load.series {
        let name = labels.metric_name().unwrap_or_default();
        let found = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|kind| Some((*kind, name.strip_suffix(kind)?)));
        let Some((kind, base)) = found else { continue };
        let bound = parse_float(labels.get("le").unwrap_or_default()).ok();
        let bound = bound.filter(|bound| !bound.is_nan());
        if kind == "_bucket" && bound.is_none() {
            continue;
        }
        let target = labels.with("le", "").with(METRIC_NAME, base);
        let times = all.entry(target).or_default();
        for (index, value) in (0..).zip(&series.values) {
            let SeriesValue::Float(value) = value else { continue };
            let parts = times.entry(load.step_ms.saturating_mul(index)).or_default();
            match (kind, bound) {
                ("_bucket", Some(bound)) => parts.add(bound, *value),
                ("_sum", _) => parts.sum = *value,
                _ => parts.count = Some(*value),
            }
        }
    }
    let column = |(labels, times): (Labels, BTreeMap<i64, Parts>)| {
        let mut column = Column::new();
        for (time_ms, parts) in times {
            let one = parts.histogram()?.as_ref().to_histogram(None);
            column.push_histogram(time_ms, one.as_ref());
        }
        Ok((labels, column))
    };
    all.into_iter().map(column).collect()
}

impl Parts {
    fn add(&mut self, bound: f64, count: f64) {
        let at = self.buckets.partition_point(|(known, _)| *known < bound);
        if self.buckets.get(at).is_none_or(|(known, _)| *known != bound) {
            self.buckets.insert(at, (bound, count));
        }
    }

    fn histogram(mut self) -> Result<FloatHistogram, String> {
        let highest = self.buckets.last().map(|(_, count)| *count);
        let count = self.count.or(highest).unwrap_or_default();
        if self.buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let mut below = 0.0;
        let mut buckets = Vec::with_capacity(self.buckets.len());
        for (bound, count) in &self.buckets {
            if *count < below {
                return Err(format!("count is not cumulative: {count} < {below} at le={bound}"));
            }
            buckets.push(count - below);
            below = *count;
        }
        if below != count || count < 0.0 {
            return Err(format!("count mismatch: {count} != {below}"));
        }
        let bounds = self.buckets.iter().map(|(bound, _)| *bound);
        let layout = Layout {
            schema: CUSTOM_SCHEMA,
            positive: vec![Span::new(0, buckets.len() as u32)],
            custom_bounds: bounds.filter(|bound| *bound != f64::INFINITY).collect(),
            ..Layout::default()
        };
        let (layout, sum) = (Arc::new(layout), self.sum);
        // Storage gets them without empty buckets.
        let is_loose = true;
        Ok(FloatHistogram { layout, is_loose, sum, count, buckets, ..FloatHistogram::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_counted_apart_and_the_last_one_is_found() {
        let mut parts = Parts { sum: 3.0, ..Parts::default() };
        for (bound, count) in [(2.0, 5.0), (1.0, 2.0), (1.0, 9.0), (4.0, 5.0)] {
            parts.add(bound, count);
        }
        let mut got = parts.histogram().unwrap();
        assert_eq!(got.layout.custom_bounds, [1.0, 2.0, 4.0]);
        assert_eq!((got.count, &got.buckets[..]), (5.0, &[2.0, 3.0, 0.0, 0.0][..]));
        got.compact();
        assert_eq!(got.layout.positive, [Span::new(0, 2)]);
        let falling = Parts { buckets: vec![(1.0, 5.0), (2.0, 4.0)], ..Parts::default() };
        assert!(falling.histogram().is_err());
    }
}
