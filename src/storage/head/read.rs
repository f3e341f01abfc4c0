//! Answering questions from memory.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use crate::chunk;
use crate::model::Labels;
use crate::series::{
    Chunk, Column, QueryError, Queryable, Select, Series, SeriesRef, SeriesSet, TimeRange,
};
use crate::storage::index::{PostingsSource, select_postings};

use super::postings::{List, ListCursor, Lists};
use super::series::HeadSeries;
use super::state::Head;
use super::stripes::Stripes;

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
            chunk::decode(chunk.encoding, &chunk.data, span, into).map_err(|error| {
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
        for series in self.matching(ask) {
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

    /// Without matchers, names of all series of the head; with some, of those that have samples in
    /// the range.
    fn label_names(&self, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        let mut names = BTreeSet::new();
        if ask.matchers.is_empty() && self.bounds.may_overlap(ask.range) {
            names.extend(self.postings.read().names.keys().cloned());
        } else {
            for series in self.matching_in_range(ask) {
                for (name, _) in series.labels.iter() {
                    enter(&mut names, name);
                }
            }
        }
        Ok(cut_to(names, ask.hints.limit))
    }

    /// As [`Head::label_names`].
    fn label_values(&self, name: &str, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        let mut values = BTreeSet::new();
        if ask.matchers.is_empty() && self.bounds.may_overlap(ask.range) {
            let lists = self.postings.read();
            values.extend(
                lists.names.get(name).into_iter().flat_map(|values| values.keys().cloned()),
            );
        } else {
            for series in self.matching_in_range(ask) {
                if let Some(value) = series.labels.get(name) {
                    enter(&mut values, value);
                }
            }
        }
        Ok(cut_to(values, ask.hints.limit))
    }
}

/// Most series have the same names and many the same values: a text is copied once.
fn enter(texts: &mut BTreeSet<Arc<str>>, text: &str) {
    if !texts.contains(text) {
        texts.insert(text.into());
    }
}

fn cut_to(texts: BTreeSet<Arc<str>>, limit: usize) -> Vec<Arc<str>> {
    let limit = if limit == 0 { usize::MAX } else { limit };
    texts.into_iter().take(limit).collect()
}

impl Head {
    /// The series that match, in no order, whatever time they are of.
    fn matching(&self, ask: &Select) -> Vec<Arc<HeadSeries>> {
        if !self.bounds.may_overlap(ask.range) {
            return Vec::new();
        }
        let lists = self.postings.read();
        let source = Source { lists: &lists, series: &self.series };
        let Ok(ids) = select_postings(&source, &ask.matchers);
        drop(lists);
        // One that was forgotten since is not missed.
        ids.into_iter().filter_map(|id| self.series.get(SeriesRef(id))).collect()
    }

    fn matching_in_range(&self, ask: &Select) -> impl Iterator<Item = Arc<HeadSeries>> {
        let in_range = |series: &Arc<HeadSeries>| series.lock().overlaps(ask.range);
        self.matching(ask).into_iter().filter(in_range)
    }
}

/// The label lists, as the way from matchers to series takes them.
struct Source<'a> {
    lists: &'a Lists,
    series: &'a Stripes,
}

impl PostingsSource for Source<'_> {
    type Id = u64;
    type Cursor<'c>
        = ListCursor<'c>
    where
        Self: 'c;
    type Error = Infallible;

    fn all(&self) -> Result<ListCursor<'_>, Infallible> {
        Ok(self.lists.all.cursor())
    }

    fn pair(&self, name: &str, value: &str) -> Result<Option<ListCursor<'_>>, Infallible> {
        let list = self.lists.names.get(name).and_then(|values| values.get(value));
        Ok(list.map(List::cursor))
    }

    fn value_count(&self, name: &str) -> usize {
        self.lists.names.get(name).map_or(0, |values| values.len())
    }

    fn values<'c>(
        &'c self,
        name: &str,
        prefix: &str,
        wanted: &mut dyn FnMut(&str) -> bool,
        each: &mut dyn FnMut(ListCursor<'c>),
    ) -> Result<(), Infallible> {
        for (value, list) in self.lists.names.get(name).into_iter().flatten() {
            if value.starts_with(prefix) && wanted(value) {
                each(list.cursor());
            }
        }
        Ok(())
    }

    fn check_label(
        &self,
        id: u64,
        name: &str,
        check: &mut dyn FnMut(&str) -> bool,
    ) -> Result<bool, Infallible> {
        let series = self.series.get(SeriesRef(id));
        Ok(series.is_some_and(|series| check(series.labels.get(name).unwrap_or_default())))
    }
}
