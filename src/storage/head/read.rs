//! Answering questions from memory.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use crate::chunk::{self, ChunkError};
use crate::model::Labels;
use crate::series::{
    Chunk, Column, QueryError, Queryable, Select, Series, SeriesRef, SeriesSet, TimeRange,
};
use crate::storage::index::{PostingsSource, select_postings};

use super::postings::{List, ListCursor, Lists};
use super::registry::Registry;
use super::series;
use super::state::Head;

/// A series as it was when it was selected.
struct HeadView {
    labels: Labels,
    chunks: Vec<Chunk>,
}

impl HeadView {
    fn corrupt(&self, error: ChunkError) -> QueryError {
        QueryError::Corrupt(format!("chunk of {} in memory: {error}", self.labels))
    }
}

impl Series for HeadView {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn read(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError> {
        let span = (range.start_ms, range.end_ms);
        for chunk in self.chunks.iter().filter(|chunk| chunk.range().overlaps(range)) {
            let decoded = chunk::decode(chunk.encoding, &chunk.data, span, into);
            decoded.map_err(|error| self.corrupt(error))?;
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
        // Before the series are looked for: what a whole batch has created is found then.
        let reader = self.isolation.reader();
        let mut views = Vec::new();
        let mut cut_short = Vec::new();
        self.series.for_rows(
            &self.matching(ask),
            |series| *series,
            |series, _| {
                let Some(series) = series else { return };
                let mut chunks = Vec::new();
                let hidden = series.copy_for(&reader, ask.range, &mut chunks);
                if hidden > 0 {
                    cut_short.push((views.len(), hidden));
                }
                if !chunks.is_empty() {
                    views.push(HeadView { labels: series.labels.clone(), chunks });
                }
            },
        );
        drop(reader);
        for (index, hidden) in cut_short {
            let Some(view) = views.get_mut(index) else { continue };
            let hide = series::hide_newest(&mut view.chunks, hidden);
            hide.map_err(|error| view.corrupt(error))?;
            view.chunks.retain(|chunk| chunk.range().overlaps(ask.range));
        }
        views.retain(|view| !view.chunks.is_empty());
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
            self.for_matching_in_range(ask, |labels| {
                labels.iter().for_each(|(name, _)| enter(&mut names, name));
            });
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
            self.for_matching_in_range(ask, |labels| {
                labels.get(name).into_iter().for_each(|value| enter(&mut values, value));
            });
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
    /// The series that match, by number, whatever time they are of.
    fn matching(&self, ask: &Select) -> Vec<SeriesRef> {
        if !self.bounds.may_overlap(ask.range) {
            return Vec::new();
        }
        let lists = self.postings.read();
        let source = Source { lists: &lists, series: &self.series };
        let Ok(ids) = select_postings(&source, &ask.matchers);
        ids.into_iter().map(SeriesRef).collect()
    }

    fn for_matching_in_range(&self, ask: &Select, mut each: impl FnMut(&Labels)) {
        self.series.for_rows(
            &self.matching(ask),
            |series| *series,
            |series, _| {
                // One that was forgotten since is not missed.
                if let Some(series) = series.filter(|series| series.overlaps(ask.range)) {
                    each(&series.labels);
                }
            },
        );
    }
}

/// The label lists, as the way from matchers to series takes them.
struct Source<'a> {
    lists: &'a Lists,
    series: &'a Registry,
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
        // The check is the user's own expression, so it is not made under the lock.
        let labels = self.series.with(SeriesRef(id), |series| series.labels.clone());
        Ok(labels.is_some_and(|labels| check(labels.get(name).unwrap_or_default())))
    }
}
