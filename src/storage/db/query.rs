//! Questions to a data directory, and samples for it.

use std::sync::Arc;

use crate::series::{
    Append, AppendError, Batch, OnReject, Outcome, QueryError, Queryable, Select, SeriesSet,
};

use super::Db;

impl Append for Db {
    fn append(&self, batch: &mut Batch, on_reject: OnReject) -> Result<Outcome, AppendError> {
        self.0.head.append(batch, on_reject)
    }
}

impl Queryable for Db {
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
        self.0.head.select(ask)
    }

    fn label_names(&self, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        self.0.head.label_names(ask)
    }

    fn label_values(&self, name: &str, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        self.0.head.label_values(name, ask)
    }
}
