//! A store that is obviously right: a map from label sets to columns. The judge of faster ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::model::{Labels, Value};
use crate::series::{
    Append, AppendError, Batch, Chunk, Column, OnReject, Outcome, QueryError, Queryable, Select,
    Series, SeriesSet, TimeRange, Verdict,
};

use super::hints::set_hints;

/// Keeps everything, accepts samples in any order, later ones win. Histograms are read with the
/// hints that a storage gives them which cuts its chunks only where it must.
#[derive(Debug, Default)]
pub struct ModelStore {
    series: RwLock<BTreeMap<Labels, Column>>,
}

impl ModelStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one sample.
    pub fn add(&self, labels: &Labels, timestamp_ms: i64, value: f64) {
        self.add_value(labels, timestamp_ms, 0, Value::Float(value));
    }

    /// Adds one sample with the time since when it counts, or 0.
    pub fn add_value(&self, labels: &Labels, timestamp_ms: i64, start_ms: i64, value: Value<'_>) {
        let mut series = self.series.write();
        let column = series.entry(labels.clone()).or_default();
        let at = column.timestamps.partition_point(|time_ms| *time_ms < timestamp_ms);
        let behind = at + usize::from(column.timestamps.get(at) == Some(&timestamp_ms));
        let mut tail = Column::new();
        tail.extend_from(column, behind..column.len());
        column.truncate(at);
        column.push_value(timestamp_ms, start_ms, value);
        column.extend_from(&tail, 0..tail.len());
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.series.write().clear();
    }

    fn matching(&self, ask: &Select) -> Vec<ModelSeries> {
        let series = self.series.read();
        let wanted = |labels: &Labels| {
            ask.matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or_default()))
        };
        let mut found = Vec::new();
        for (labels, column) in series.iter().filter(|(labels, _)| wanted(labels)) {
            if column.timestamps.iter().any(|time_ms| ask.range.contains(*time_ms)) {
                let mut column = column.clone();
                set_hints(&mut column);
                found.push(ModelSeries { labels: labels.clone(), column });
            }
        }
        found
    }
}

impl Append for ModelStore {
    fn append(&self, batch: &mut Batch, _: OnReject) -> Result<Outcome, AppendError> {
        for index in 0..batch.series_count() {
            let labels = batch.labels(index).to_labels();
            for sample in batch.samples().get(batch.sample_range(index)).unwrap_or_default() {
                self.add(&labels, sample.timestamp_ms, sample.value);
            }
        }
        batch.reset_verdicts().fill(Verdict::Accepted);
        Ok(Outcome { accepted: batch.sample_count(), ..Outcome::default() })
    }
}

impl Queryable for ModelStore {
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
        let boxed = |series| Box::new(series) as Box<dyn Series>;
        let series = self.matching(ask).into_iter().map(boxed).collect();
        Ok(SeriesSet { series, warnings: Vec::new() })
    }

    fn label_names(&self, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        let series = self.matching(ask);
        let names = series.iter().flat_map(|series| series.labels.iter().map(|pair| pair.0));
        Ok(names.collect::<BTreeSet<_>>().into_iter().map(Arc::from).collect())
    }

    fn label_values(&self, name: &str, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        let series = self.matching(ask);
        let values = series.iter().filter_map(|series| series.labels.get(name));
        Ok(values.collect::<BTreeSet<_>>().into_iter().map(Arc::from).collect())
    }
}

struct ModelSeries {
    labels: Labels,
    column: Column,
}

impl Series for ModelSeries {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn read(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError> {
        let times = &self.column.timestamps;
        let from = times.partition_point(|time_ms| *time_ms < range.start_ms);
        let to = times.partition_point(|time_ms| *time_ms <= range.end_ms);
        into.extend_from(&self.column, from..to.max(from));
        Ok(())
    }

    fn chunks(&self, _: TimeRange, _: &mut Vec<Chunk>) -> Result<(), QueryError> {
        Err(QueryError::Unavailable("the model store keeps no chunks".into()))
    }
}
