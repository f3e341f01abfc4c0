//! What a metric is: label sets, matchers over them, samples and columns of them, relabelling.
//!
//! Useful for: naming a series, choosing series, rewriting label sets.
//! Not useful for: where samples are kept ([`crate::storage`]) or how they are asked for
//! ([`crate::series`]).

mod column;
mod exemplar;
pub mod histogram;
mod joins;
mod labels;
mod matcher;
mod metadata;
#[cfg(feature = "promql")]
mod order;
pub mod regex;
pub mod relabel;
mod sample;

pub use column::{Column, Summary, Value};
pub use exemplar::Exemplar;
pub use joins::Joins;
pub use labels::{LabelError, Labels, LabelsBuf, LabelsRef, METRIC_NAME, is_legacy_label_name};
pub use matcher::{MatchOp, Matcher};
pub use metadata::{Metadata, MetricKind};
#[cfg(feature = "promql")]
pub(crate) use order::order_of;
pub use sample::{ORDINARY_NAN_BITS, STALE_NAN_BITS, Sample, is_stale, stale_nan};
