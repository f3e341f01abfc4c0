//! The port: how samples are asked for and how they are handed in.
//!
//! Storage implements it, the query engine and the roles use it, and neither side knows the other.
//!
//! Useful for: reading series as whole columns, appending batches, merging several sources,
//! replicas among them.
//! Not useful for: evaluating anything ([`crate::promql`]) or keeping anything
//! ([`crate::storage`]).

mod aggregate;
mod append;
mod chunk;
mod dedup;
mod downsampled;
mod exemplars;
mod external;
mod merge;
mod select;

pub use crate::model::{Column, Joins, Summary};
pub use aggregate::Aggregate;
pub use append::{Append, AppendError, Batch, BatchEntry, OnReject, Outcome, SeriesRef, Verdict};
pub use chunk::{Chunk, TimeRange};
pub use dedup::{Dedup, Deduplicated, ReplicaMerge, merge_replica_chunks};
pub use downsampled::AggregateReader;
pub use exemplars::{Exemplars, SeriesExemplars};
pub use external::External;
pub use merge::{Merged, forget_before, merge_columns, merge_runs, merge_sets};
pub use select::{Hints, QueryError, Queryable, Select, Series, SeriesSet};
