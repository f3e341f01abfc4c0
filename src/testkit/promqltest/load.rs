//! Series into a store.

use crate::model::{Labels, Value};
use crate::series::{Column, Queryable};
use crate::testkit::ModelStore;

use super::classic::derived;
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

/// Fills the store.
pub(super) fn load(load: &Load, store: &mut dyn ScriptStore) -> Result<(), String> {
    let mut samples = Column::new();
    for (labels, series) in &load.series {
        samples.clear();
        samples_of(series, load.step_ms, &mut samples);
        store.add(labels, &samples)?;
    }
    if load.with_nhcb {
        for (labels, samples) in derived(load)? {
            store.add(&labels, &samples)?;
        }
    }
    Ok(())
}

fn samples_of(series: &LoadedSeries, step_ms: i64, samples: &mut Column) {
    let mut time_ms = 0_i64;
    for (index, value) in series.values.iter().enumerate() {
        let start_ms = match series.starts.get(index) {
            Some(Some(ago_ms)) => time_ms.saturating_add(*ago_ms),
            _ => 0,
        };
        let value = match value {
            SeriesValue::Gap => None,
            SeriesValue::Float(value) => Some(Value::Float(*value)),
            SeriesValue::Histogram { one, .. } => Some(Value::Histogram(one.as_ref().as_ref())),
        };
        if let Some(value) = value {
            samples.push_value(time_ms, start_ms, value);
        }
        time_ms = time_ms.saturating_add(step_ms);
    }
}
