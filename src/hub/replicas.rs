//! Which series are replicas of one another, and whether a question wants them as one.

use std::sync::Arc;

use crate::series::{Dedup, Deduplicated, Queryable};

/// The labels that tell replicas apart.
#[derive(Debug, Clone)]
pub(super) struct Replicas {
    labels: Arc<[Arc<str>]>,
    kind: Dedup,
}

/// What a question says about replicas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ReplicasWanted {
    /// True to see each replica by itself.
    pub(super) apart: bool,
    /// Instead of the hub's own labels, unless there are none.
    pub(super) labels: Vec<Arc<str>>,
}

impl Replicas {
    pub(super) fn new(labels: &[String], kind: Dedup) -> Self {
        Self { labels: labels.iter().map(|label| Arc::from(label.as_str())).collect(), kind }
    }

    /// No series is a replica of another.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self::new(&[], Dedup::Identity)
    }

    /// True if no series is a replica of another.
    pub(super) fn is_none(&self) -> bool {
        self.labels.is_empty()
    }

    /// `source` as the question wants to see it.
    pub(super) fn view(
        &self,
        source: &Arc<dyn Queryable>,
        wanted: &ReplicasWanted,
    ) -> Arc<dyn Queryable> {
        let labels = if wanted.labels.is_empty() {
            self.labels.clone()
        } else {
            wanted.labels.as_slice().into()
        };
        if wanted.apart || labels.is_empty() {
            return source.clone();
        }
        Arc::new(Deduplicated::new(source.clone(), labels, self.kind))
    }
}
