//! Questions to a data directory, and samples for it.

use std::sync::Arc;

use crate::model::{Labels, Matcher, Metadata};
use crate::series::{
    Append, AppendError, Batch, Chunk, Column, Exemplars, OnReject, Outcome, QueryError, Queryable,
    Select, Series, SeriesExemplars, SeriesRef, SeriesSet, TimeRange, merge_sets,
};
use crate::storage::block::Block;

use super::{Tsdb, plan};

impl Append for Tsdb {
    fn append(&self, batch: &mut Batch, on_reject: OnReject) -> Result<Outcome, AppendError> {
        let inner = &self.0.inner;
        let outcome = inner.head.append(batch, on_reject)?;
        if let Some(background) = &self.0.background {
            let head = inner.head.span();
            if head.is_some_and(|head| plan::is_due(head, inner.options.block_range_ms)) {
                background.ask();
            }
        }
        Ok(outcome)
    }
}

impl Tsdb {
    /// Names many series at once, appending to `into`, and creates those that are not there:
    /// batches take the names instead of labels ([`Batch::push_known`]). The label sets are
    /// shared, not copied. Until it has a sample, a series may be forgotten again.
    ///
    /// # Errors
    /// An empty label set, a series too many, a directory that is closed; the series before it
    /// have their names.
    pub fn resolve_all(
        &self,
        labels: &[Labels],
        into: &mut Vec<SeriesRef>,
    ) -> Result<(), AppendError> {
        self.0.inner.head.resolve_all(labels, into)
    }

    /// What a series means, if anybody has said so.
    #[must_use]
    pub fn metadata_of(&self, series: SeriesRef) -> Option<Arc<Metadata>> {
        self.0.inner.head.metadata_of(series)
    }

    /// As [`Tsdb::resolve_all`], for one.
    ///
    /// # Errors
    /// As there.
    pub fn resolve(&self, labels: &Labels) -> Result<SeriesRef, AppendError> {
        self.0.inner.head.resolve(labels)
    }

    /// The blocks that may know something about the span of a question, oldest first.
    ///
    /// To be taken after the head has answered: what the head has let go of by then is in them.
    fn blocks_for(&self, ask: &Select) -> Vec<Arc<Block>> {
        let list = self.0.inner.block_list();
        let blocks = list.blocks.iter().filter(|block| block.meta().range().overlaps(ask.range));
        blocks.cloned().collect()
    }

    fn texts(
        &self,
        ask: &Select,
        list: impl Fn(&dyn Queryable) -> Result<Vec<Arc<str>>, QueryError>,
    ) -> Result<Vec<Arc<str>>, QueryError> {
        let mut all = list(&self.0.inner.head)?;
        for block in self.blocks_for(ask) {
            all.extend(list(&*block)?);
        }
        all.sort_unstable();
        all.dedup();
        if ask.hints.limit > 0 {
            all.truncate(ask.hints.limit);
        }
        Ok(all)
    }
}

impl Tsdb {
    /// Answers from memory and from blocks, in this order, and calls `between` between the two,
    /// where a test can let a block be cut.
    pub(super) fn select_with(
        &self,
        ask: &Select,
        between: impl FnOnce(),
    ) -> Result<SeriesSet, QueryError> {
        let head = self.0.inner.head.select(ask)?;
        between();
        let mut sets = Vec::new();
        for block in self.blocks_for(ask) {
            sets.push(block.select(ask)?);
        }
        // In order of time, in which merging is cheapest.
        sets.push(head);
        let mut merged = merge_sets(sets);
        if ask.hints.limit > 0 {
            merged.series.truncate(ask.hints.limit);
        }
        Ok(merged)
    }
}

impl Queryable for Tsdb {
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
        self.select_with(ask, || {})
    }

    fn label_names(&self, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        self.texts(ask, |source| source.label_names(ask))
    }

    fn label_values(&self, name: &str, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        self.texts(ask, |source| source.label_values(name, ask))
    }
}

impl Exemplars for Tsdb {
    fn exemplars(
        &self,
        any_of: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>, QueryError> {
        self.0.inner.head.exemplars(any_of, range)
    }
}

/// A data directory, seen through a window of time.
#[derive(Debug, Clone)]
pub struct Querier {
    db: Tsdb,
    range: TimeRange,
}

impl Tsdb {
    /// Asks for samples from `min_time_ms` to `max_time_ms`, both included, and for no others.
    #[must_use]
    pub fn querier(&self, min_time_ms: i64, max_time_ms: i64) -> Querier {
        Querier { db: self.clone(), range: TimeRange::new(min_time_ms, max_time_ms) }
    }
}

impl Querier {
    /// What is asked, within the window; nothing if that is empty.
    fn within(&self, ask: &Select) -> Option<Select> {
        let start_ms = self.range.start_ms.max(ask.range.start_ms);
        let end_ms = self.range.end_ms.min(ask.range.end_ms);
        let range = TimeRange::new(start_ms, end_ms);
        (start_ms <= end_ms).then(|| Select { range, ..ask.clone() })
    }
}

/// A series that is read no further than the window goes.
struct Windowed {
    series: Box<dyn Series>,
    range: TimeRange,
}

impl Windowed {
    fn within(&self, range: TimeRange) -> TimeRange {
        let start_ms = self.range.start_ms.max(range.start_ms);
        TimeRange::new(start_ms, self.range.end_ms.min(range.end_ms))
    }
}

impl Series for Windowed {
    fn labels(&self) -> &Labels {
        self.series.labels()
    }

    fn resolution_ms(&self) -> i64 {
        self.series.resolution_ms()
    }

    fn sample_guess(&self) -> usize {
        self.series.sample_guess()
    }

    fn read(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError> {
        let range = self.within(range);
        if range.start_ms > range.end_ms { Ok(()) } else { self.series.read(range, into) }
    }

    fn chunks(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), QueryError> {
        let range = self.within(range);
        if range.start_ms > range.end_ms { Ok(()) } else { self.series.chunks(range, into) }
    }
}

impl Queryable for Querier {
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
        let Some(ask) = self.within(ask) else { return Ok(SeriesSet::default()) };
        let mut set = self.db.select(&ask)?;
        let windowed = |series| Box::new(Windowed { series, range: ask.range }) as Box<dyn Series>;
        set.series = set.series.into_iter().map(windowed).collect();
        Ok(set)
    }

    fn label_names(&self, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        self.within(ask).map_or_else(|| Ok(Vec::new()), |ask| self.db.label_names(&ask))
    }

    fn label_values(&self, name: &str, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        self.within(ask).map_or_else(|| Ok(Vec::new()), |ask| self.db.label_values(name, &ask))
    }
}
