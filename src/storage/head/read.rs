//! Answering questions from memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::chunk::decode_floats;
use crate::model::{Labels, LabelsRef};
use crate::series::{Chunk, Column, QueryError, Queryable, Select, Series, SeriesSet, TimeRange};

use super::series::HeadSeries;
use super::state::Head;

/// A series as it was when it was selected.
struct HeadView {
    labels: Labels,
    chunks: Vec<Chunk>,
}

impl Series for HeadView {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn read(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError> {
        let span = (range.start_ms, range.end_ms);
        for chunk in self.chunks.iter().filter(|chunk| chunk.range().overlaps(range)) {
            let (times, floats) = (&mut into.timestamps, &mut into.floats);
            decode_floats(chunk.encoding, &chunk.data, span, times, floats).map_err(|error| {
                QueryError::Corrupt(format!("chunk of {} in memory: {error}", self.labels))
            })?;
        }
        Ok(())
    }

    fn chunks(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), QueryError> {
        into.extend(self.chunks.iter().filter(|chunk| chunk.range().overlaps(range)).cloned());
        Ok(())
    }
}

impl Queryable for Head {
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
        let mut views = Vec::new();
        for series in self.matching(ask)? {
            let mut chunks = Vec::new();
            series.lock().copy_chunks(ask.range, &mut chunks);
            if !chunks.is_empty() {
                views.push(HeadView { labels: series.labels.clone(), chunks });
            }
        }
        views.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        let boxed = |view| Box::new(view) as Box<dyn Series>;
        Ok(SeriesSet { series: views.into_iter().map(boxed).collect(), warnings: Vec::new() })
    }

    fn label_names(&self, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        let mut names = BTreeSet::new();
        for series in self.matching(ask)? {
            names.extend(series.labels.iter().map(|(name, _)| Arc::<str>::from(name)));
        }
        Ok(cut_to(names, ask.hints.limit))
    }

    fn label_values(&self, name: &str, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        let mut values = BTreeSet::new();
        for series in self.matching(ask)? {
            values.extend(series.labels.get(name).map(Arc::<str>::from));
        }
        Ok(cut_to(values, ask.hints.limit))
    }
}

fn cut_to(texts: BTreeSet<Arc<str>>, limit: usize) -> Vec<Arc<str>> {
    let limit = if limit == 0 { usize::MAX } else { limit };
    texts.into_iter().take(limit).collect()
}

impl Head {
    fn matching(&self, ask: &Select) -> Result<Vec<Arc<HeadSeries>>, QueryError> {
        let mut found = Vec::new();
        let wanted = |labels: LabelsRef<'_>| {
            ask.matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or_default()))
        };
        self.series.for_each(|series| {
            if wanted(series.labels.as_ref()) && series.lock().overlaps(ask.range) {
                found.push(Arc::clone(series));
            }
        });
        Ok(found)
    }
}
