//! Questions to a data directory, and samples for it.

use std::sync::Arc;

use crate::model::Labels;
use crate::series::{
    Append, AppendError, Batch, OnReject, Outcome, QueryError, Queryable, Select, SeriesRef,
    SeriesSet, merge_sets,
};
use crate::storage::block::Block;

use super::{Db, plan};

impl Append for Db {
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

impl Db {
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

    /// As [`Db::resolve_all`], for one.
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

impl Db {
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

impl Queryable for Db {
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
