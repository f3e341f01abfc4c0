//! A store that is obviously right: a map from label sets to columns. The judge of faster ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::model::Labels;
use crate::series::{
    Append, AppendError, Batch, Chunk, Column, OnReject, Outcome, QueryError, Queryable, Select,
    Series, SeriesSet, TimeRange, Verdict,
};

/// Keeps everything, accepts samples in any order, later ones win.
#[derive(Debug, Default)]
pub struct ModelStore {
    series: RwLock<BTreeMap<Labels, BTreeMap<i64, f64>>>,
}

impl ModelStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one sample.
    pub fn add(&self, labels: &Labels, timestamp_ms: i64, value: f64) {
        let mut series = self.series.write();
        series.entry(labels.clone()).or_default().insert(timestamp_ms, value);
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
        for (labels, samples) in series.iter().filter(|(labels, _)| wanted(labels)) {
            let (start, end) = (ask.range.start_ms, ask.range.end_ms);
            if start <= end && samples.range(start..=end).next().is_some() {
                let mut column = Column::new();
                samples.iter().for_each(|(time, value)| column.push(*time, *value));
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
        for (timestamp, value) in self.column.timestamps.iter().zip(&self.column.floats) {
            if range.contains(*timestamp) {
                into.push(*timestamp, *value);
            }
        }
        Ok(())
    }

    fn chunks(&self, _: TimeRange, _: &mut Vec<Chunk>) -> Result<(), QueryError> {
        Err(QueryError::Unavailable("the model store keeps no chunks".into()))
    }
}
