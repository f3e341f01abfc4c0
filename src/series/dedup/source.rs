//! A source whose replicas are one.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::chunk::{EncodeOptions, encode_column};
use crate::model::{Column, Labels};
use crate::series::chunk::{Chunk, TimeRange};
use crate::series::external::Renamed;
use crate::series::select::{Hints, QueryError, Queryable, Select, Series, SeriesSet};

use super::{Dedup, identity, penalty};

/// Reads the replicas of each series as one series without the replica labels.
#[derive(Clone)]
pub struct Deduplicated {
    inner: Arc<dyn Queryable>,
    replica_labels: Arc<[Arc<str>]>,
    kind: Dedup,
}

impl Deduplicated {
    /// Series of `inner` that differ in `replica_labels` only are replicas of one another. The
    /// replica whose labels come first in order is the one that others fill in for.
    #[must_use]
    pub fn new(
        inner: Arc<dyn Queryable>,
        replica_labels: impl Into<Arc<[Arc<str>]>>,
        kind: Dedup,
    ) -> Self {
        Self { inner, replica_labels: replica_labels.into(), kind }
    }

    fn is_replica_label(&self, name: &str) -> bool {
        self.replica_labels.iter().any(|replica| **replica == *name)
    }

    /// One series without its replica labels.
    fn one(
        &self,
        labels: Labels,
        mut replicas: Vec<Box<dyn Series>>,
        shared: &Shared,
    ) -> Box<dyn Series> {
        if self.kind == Dedup::Identity
            && replicas.len() == 1
            && let Some(inner) = replicas.pop()
        {
            let is_same = *inner.labels() == labels;
            return if is_same { inner } else { Box::new(Renamed { labels, inner }) };
        }
        Box::new(Replicas { labels, replicas, kind: self.kind, shared: shared.clone() })
    }
}

impl std::fmt::Debug for Deduplicated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Deduplicated({:?} by {:?})", self.kind, self.replica_labels)
    }
}

impl Queryable for Deduplicated {
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
        let mut inner = ask.clone();
        // So many series may be replicas of fewer.
        inner.hints.limit = 0;
        let set = self.inner.select(&inner)?;
        let strip = |series: Box<dyn Series>| {
            (series.labels().filter(|name| !self.is_replica_label(name)), series)
        };
        let mut stripped: Vec<_> = set.series.into_iter().map(strip).collect();
        // Stable: replicas stay in the order of their labels.
        stripped.sort_by(|a, b| a.0.cmp(&b.0));
        let shared =
            Shared { range: ask.range, hints: Arc::new(inner.hints), spare: Arc::default() };
        let mut series = Vec::with_capacity(stripped.len());
        let mut rest = stripped.into_iter().peekable();
        while let Some((labels, first)) = rest.next() {
            if ask.hints.limit > 0 && series.len() >= ask.hints.limit {
                break;
            }
            let mut replicas = vec![first];
            while let Some((_, replica)) = rest.next_if(|next| next.0 == labels) {
                replicas.push(replica);
            }
            series.push(self.one(labels, replicas, &shared));
        }
        Ok(SeriesSet { series, warnings: set.warnings })
    }

    fn label_names(&self, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        let mut inner = ask.clone();
        if inner.hints.limit > 0 {
            inner.hints.limit = inner.hints.limit.saturating_add(self.replica_labels.len());
        }
        let mut names = self.inner.label_names(&inner)?;
        names.retain(|name| !self.is_replica_label(name));
        if ask.hints.limit > 0 {
            names.truncate(ask.hints.limit);
        }
        Ok(names)
    }

    fn label_values(&self, name: &str, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        if self.is_replica_label(name) {
            return Ok(Vec::new());
        }
        self.inner.label_values(name, ask)
    }
}

/// What all series of an answer share.
#[derive(Clone)]
struct Shared {
    range: TimeRange,
    hints: Arc<Hints>,
    /// Columns whose memory is used again.
    spare: Arc<Mutex<Vec<Column>>>,
}

/// So many columns are kept: a few for each thread that reads.
const SPARE_MAX: usize = 64;

impl Shared {
    fn take(&self, count: usize) -> Vec<Column> {
        let mut spare = self.spare.lock();
        let from = spare.len().saturating_sub(count);
        let mut columns = spare.split_off(from);
        drop(spare);
        columns.resize_with(count, Column::new);
        columns
    }

    fn give_back(&self, columns: Vec<Column>) {
        let mut spare = self.spare.lock();
        let room = SPARE_MAX.saturating_sub(spare.len());
        spare.extend(columns.into_iter().take(room));
    }
}

/// A series that has replicas.
struct Replicas {
    labels: Labels,
    replicas: Vec<Box<dyn Series>>,
    kind: Dedup,
    shared: Shared,
}

impl Replicas {
    fn read_identity(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError> {
        let mut columns = self.shared.take(self.replicas.len());
        let wide = identity::with_surroundings(range);
        let mut read = || {
            for (replica, column) in self.replicas.iter().zip(&mut columns) {
                column.clear();
                replica.read(wide, column)?;
            }
            Ok(())
        };
        let result = read();
        if result.is_ok() {
            identity::merge(&columns, range, into);
        }
        self.shared.give_back(columns);
        result
    }

    fn read_penalty(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError> {
        let mut chunks = Vec::new();
        for replica in &self.replicas {
            replica.chunks(self.shared.range, &mut chunks)?;
        }
        let func = self.shared.hints.func.as_deref();
        let merged = penalty::merge(chunks, self.resolution_ms(), self.shared.range, func);
        let merged =
            merged.map_err(|error| QueryError::Corrupt(format!("{}: {error}", self.labels)))?;
        let times = &merged.timestamps;
        let from = times.partition_point(|time_ms| *time_ms < range.start_ms);
        let to = times.partition_point(|time_ms| *time_ms <= range.end_ms);
        into.extend_from(&merged, from..to.max(from));
        Ok(())
    }
}

impl Series for Replicas {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn resolution_ms(&self) -> i64 {
        self.replicas.iter().map(|replica| replica.resolution_ms()).max().unwrap_or(0)
    }

    fn read(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError> {
        match self.kind {
            Dedup::Identity => self.read_identity(range, into),
            Dedup::Penalty => self.read_penalty(range, into),
        }
    }

    fn chunks(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), QueryError> {
        let mut column = Column::new();
        self.read(range, &mut column)?;
        let start = into.len();
        let encoded =
            encode_column(&column, 0..column.len(), &EncodeOptions::default(), &mut |chunk| {
                into.push(chunk.into());
            });
        encoded.map_err(|error| {
            into.truncate(start);
            QueryError::Corrupt(format!("{}: {error}", self.labels))
        })
    }
}
