//! Answering questions from memory.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use crate::chunk::{self, ChunkError, EncodeOptions};
use crate::model::Labels;
use crate::series::{
    Chunk, Column, QueryError, Queryable, Select, Series, SeriesRef, SeriesSet, TimeRange,
    merge_runs,
};
use crate::storage::index::{PostingsSource, select_postings};

use super::closed::Closed;
use super::delete;
use super::isolation::Reader;
use super::late;
use super::mapped::FilesView;
use super::ooo::OooSeries;
use super::postings::{List, ListCursor, Lists};
use super::registry::Registry;
use super::series;
use super::state::Head;
use super::symbols::SharedLabels;

/// A series as it was when it was selected.
struct HeadView {
    labels: Labels,
    seen: Seen,
    files: Option<FilesView>,
}

/// What a reader sees of a series.
struct Seen {
    labels: SharedLabels,
    /// In time order, without overlaps.
    chunks: Vec<Closed>,
    late: Option<Box<LateView>>,
    deleted: Vec<TimeRange>,
}

/// Late samples as they were: hardly any series has some.
#[derive(Default)]
struct LateView {
    /// They may overlap anything.
    chunks: Vec<Closed>,
    /// What is in no chunk yet.
    samples: Column,
}

impl Seen {
    fn all_chunks(&self) -> impl Iterator<Item = &Closed> {
        self.chunks.iter().chain(self.late.iter().flat_map(|late| &late.chunks))
    }

    fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.late.is_none()
    }
}

impl HeadView {
    fn corrupt(&self, error: ChunkError) -> QueryError {
        QueryError::Corrupt(format!("chunk of {} in memory: {error}", self.labels))
    }

    /// Appends all samples in `range`, deleted ones too.
    fn read_all(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError> {
        let mut starts = Vec::new();
        for chunk in self.seen.all_chunks() {
            if !chunk.range().overlaps(range) {
                continue;
            }
            starts.push(into.len());
            let chunk = chunk.clone().load(self.files.as_ref())?;
            let span = (range.start_ms, range.end_ms);
            let decoded = chunk::decode(chunk.encoding, &chunk.data, span, into);
            decoded.map_err(|error| self.corrupt(error))?;
        }
        let Some(late) = &self.seen.late else { return Ok(()) };
        starts.push(into.len());
        let place = |time: i64| late.samples.timestamps.partition_point(|t| *t < time);
        let end = range.end_ms.checked_add(1).map_or(late.samples.len(), place);
        into.extend_from(&late.samples, place(range.start_ms)..end);
        merge_runs(into, &starts);
        Ok(())
    }
}

impl Series for HeadView {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn read(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError> {
        let start = into.len();
        if let Err(error) = self.read_all(range, into) {
            into.truncate(start);
            return Err(error);
        }
        delete::apply(into, start, &self.seen.deleted);
        Ok(())
    }

    fn chunks(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), QueryError> {
        let start = into.len();
        let is_deleted = |span: TimeRange| self.seen.deleted.iter().any(|gone| gone.overlaps(span));
        for chunk in self.seen.all_chunks() {
            if chunk.range().overlaps(range) && !is_deleted(chunk.range()) {
                into.push(chunk.clone().load(self.files.as_ref())?);
            }
        }
        // What no chunk may be passed on for is encoded anew.
        let mut rest = self.seen.late.as_ref().map(|late| late.samples.clone()).unwrap_or_default();
        for chunk in self.seen.all_chunks() {
            if chunk.range().overlaps(range) && is_deleted(chunk.range()) {
                let starts = [0, rest.len()];
                let chunk = chunk.clone().load(self.files.as_ref())?;
                let all = (i64::MIN, i64::MAX);
                let decoded = chunk::decode(chunk.encoding, &chunk.data, all, &mut rest);
                decoded.map_err(|error| self.corrupt(error))?;
                merge_runs(&mut rest, &starts);
            }
        }
        delete::apply(&mut rest, 0, &self.seen.deleted);
        let encoded = late::encode(&rest, &EncodeOptions::default(), into);
        encoded.map_err(|error| self.corrupt(error))?;
        into.get_mut(start..).unwrap_or_default().sort_by_key(|chunk| chunk.min_time_ms);
        Ok(())
    }
}

impl Head {
    /// What a reader sees of a series in `range`, and how many of the newest samples of it he must
    /// not.
    fn see(
        &self,
        name: SeriesRef,
        series: &series::Series,
        reader: &Reader<'_>,
        range: TimeRange,
    ) -> (Seen, usize) {
        let mut chunks = Vec::new();
        let hidden = series.copy_for(reader, range, &mut chunks);
        let late = series.late().filter(|_| series.has_late_in(range));
        let late = late.map(|held| Box::new(self.late_view(held, range)));
        let deleted = self.tombstones.of(name);
        (Seen { labels: series.labels.clone(), chunks, late, deleted }, hidden)
    }
}

impl Head {
    fn late_view(&self, held: &OooSeries, range: TimeRange) -> LateView {
        let chunks = held.chunks.iter().filter(|chunk| chunk.range().overlaps(range));
        let mut view = LateView { chunks: chunks.cloned().collect(), samples: Column::new() };
        let column = held.samples.column();
        let mut encoded = Vec::new();
        // In a chunk all histograms have the buckets of all: so they look the same before and
        // after they are closed.
        if !column.histograms.is_empty()
            && late::encode(column, &self.options.encode(), &mut encoded).is_ok()
        {
            view.chunks.extend(encoded.into_iter().map(Closed::Memory));
        } else {
            view.samples = column.clone();
        }
        view
    }
}

impl Queryable for Head {
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
        if !self.bounds.may_overlap(ask.range) {
            return Ok(SeriesSet::default());
        }
        // Before the series are looked for: what a whole batch has created is found then.
        let reader = self.isolation.reader();
        let mut views: Vec<Seen> = Vec::new();
        let mut cut_short = Vec::new();
        // Files that are removed while the chunks are copied are in it.
        let before = self.files.as_ref().map(|files| files.view());
        self.series.for_rows(
            &self.matching(ask),
            |series| *series,
            |series, name| {
                let Some(series) = series else { return };
                let (view, hidden) = self.see(*name, series, &reader, ask.range);
                if hidden > 0 {
                    cut_short.push((views.len(), hidden));
                }
                if !view.is_empty() {
                    views.push(view);
                }
            },
        );
        drop(reader);
        let files = self.files.as_ref().map(|files| files.view_since(before));
        for (index, hidden) in cut_short {
            let Some(view) = views.get_mut(index) else { continue };
            series::hide_newest(&mut view.chunks, hidden, files.as_ref())?;
            view.chunks.retain(|chunk| chunk.range().overlaps(ask.range));
        }
        views.retain(|view| !view.is_empty());
        views.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        let mut text = Vec::new();
        let whole = |seen: Seen| {
            let labels = seen.labels.put_together(&mut text).to_labels();
            Box::new(HeadView { labels, seen, files: files.clone() }) as Box<dyn Series>
        };
        Ok(SeriesSet { series: views.into_iter().map(whole).collect(), warnings: Vec::new() })
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
    pub(super) fn matching(&self, ask: &Select) -> Vec<SeriesRef> {
        if !self.bounds.may_overlap(ask.range) {
            return Vec::new();
        }
        let lists = self.postings.read();
        let source = Source { lists: &lists, series: &self.series };
        let Ok(ids) = select_postings(&source, &ask.matchers);
        ids.into_iter().map(SeriesRef).collect()
    }

    fn for_matching_in_range(&self, ask: &Select, mut each: impl FnMut(&SharedLabels)) {
        self.series.for_rows(
            &self.matching(ask),
            |series| *series,
            |series, _| {
                // One that was forgotten since is not missed.
                let is_wanted = |series: &&mut series::Series| {
                    series.overlaps(ask.range) || series.has_late_in(ask.range)
                };
                if let Some(series) = series.filter(is_wanted) {
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
