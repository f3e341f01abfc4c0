//! Series into a store, and which of them the store could not hold.

use std::collections::BTreeMap;

use crate::model::{Labels, METRIC_NAME};
use crate::promql::ast::{Expr, ExprKind, VectorSelector};
use crate::series::{Column, Queryable};
use crate::testkit::ModelStore;

use super::script::{Load, LoadedSeries};
use super::series::SeriesValue;

/// A store that scripts fill and that queries read.
pub trait ScriptStore {
    /// Forgets all series.
    ///
    /// # Errors
    /// Why it could not; the cases up to the next `clear` fail with this text.
    fn clear(&mut self) -> Result<(), String>;

    /// Adds samples of one series, in time order.
    ///
    /// # Errors
    /// Why it could not; the cases up to the next `clear` fail with this text.
    fn add(&mut self, labels: &Labels, samples: &Column) -> Result<(), String>;

    /// Where queries find the series.
    fn source(&self) -> &dyn Queryable;
}

impl ScriptStore for ModelStore {
    fn clear(&mut self) -> Result<(), String> {
        Self::clear(self);
        Ok(())
    }

    fn add(&mut self, labels: &Labels, samples: &Column) -> Result<(), String> {
        for (time_ms, start_ms, value) in samples.samples() {
            self.add_value(labels, time_ms, start_ms, value);
        }
        Ok(())
    }

    fn source(&self) -> &dyn Queryable {
        self
    }
}

/// Series of which stores cannot hold everything yet, and what they cannot hold.
#[derive(Default)]
pub(super) struct Missing(BTreeMap<Labels, String>);

impl Missing {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What is missing of the first such series that the query selects.
    pub(super) fn of(&self, query: &Expr) -> Option<&str> {
        let mut found = None;
        selectors(query, &mut |selector| {
            let selects = |labels: &Labels| {
                let value = |name| labels.get(name).unwrap_or_default();
                selector.matchers.iter().all(|matcher| matcher.matches(value(matcher.name())))
            };
            let missing = self.0.iter().find(|(labels, _)| selects(labels));
            found = found.or(missing.map(|(_, what)| what.as_str()));
        });
        found
    }
}

fn selectors<'a>(expr: &'a Expr, each: &mut impl FnMut(&'a VectorSelector)) {
    match &expr.kind {
        ExprKind::Number { .. } | ExprKind::String(_) => {}
        ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => each(selector),
        ExprKind::Subquery { expr, .. } | ExprKind::Paren(expr) | ExprKind::Unary { expr, .. } => {
            selectors(expr, each);
        }
        ExprKind::Binary(binary) => {
            selectors(&binary.left, each);
            selectors(&binary.right, each);
        }
        ExprKind::Aggregate(aggregate) => {
            aggregate.parameter.iter().for_each(|parameter| selectors(parameter, each));
            selectors(&aggregate.expr, each);
        }
        ExprKind::Call { args, .. } => args.iter().for_each(|arg| selectors(arg, each)),
    }
}

/// Fills the store.
pub(super) fn load(
    load: &Load,
    line: usize,
    store: &mut dyn ScriptStore,
    missing: &mut Missing,
) -> Result<(), String> {
    let mut samples = Column::new();
    for (labels, series) in &load.series {
        samples.clear();
        samples_of(series, load.step_ms, &mut samples);
        store.add(labels, &samples)?;
        if let Some(what) = lacks(series) {
            missing.0.insert(labels.clone(), format!("{what} (loaded in line {line})"));
        }
        if load.with_nhcb
            && let Some(derived) = derived(labels)
        {
            let what = format!("histograms with custom buckets (loaded in line {line})");
            missing.0.insert(derived, what);
        }
    }
    Ok(())
}

fn samples_of(series: &LoadedSeries, step_ms: i64, samples: &mut Column) {
    let mut time_ms = 0_i64;
    for (index, value) in series.values.iter().enumerate() {
        if let SeriesValue::Float(value) = value {
            samples.push(time_ms, *value);
            if let Some(Some(ago_ms)) = series.starts.get(index) {
                samples.set_last_start(time_ms.saturating_add(*ago_ms));
            }
        }
        time_ms = time_ms.saturating_add(step_ms);
    }
}

fn lacks(series: &LoadedSeries) -> Option<&'static str> {
    let is_histogram = |value: &SeriesValue| matches!(value, SeriesValue::Histogram { .. });
    series.values.iter().any(is_histogram).then_some("histograms")
}

/// The label set of the native histogram that a classic one's series belongs to.
fn derived(labels: &Labels) -> Option<Labels> {
    let name = labels.metric_name()?;
    let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end))?;
    Some(labels.with("le", "").with(METRIC_NAME, base))
}
