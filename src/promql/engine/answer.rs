//! What a query answers, and why it may not.

use std::fmt;
use std::sync::Arc;

use crate::model::histogram::Histogram;
use crate::model::{Labels, Sample};
use crate::promql::ParseError;
use crate::series::{Column, QueryError};

use super::QueryStats;

/// The answer to a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The value of the expression.
    pub value: Value,
    /// What makes the value doubtful, as Prometheus words it, and what sources had to say.
    pub warnings: Vec<String>,
    /// What is worth knowing but may be intended, as Prometheus words it.
    pub infos: Vec<String>,
    /// How many samples were read from the source.
    pub samples_read: u64,
    /// What it cost, if [`super::RunOptions::stats`] asks for it.
    pub stats: Option<QueryStats>,
}

/// The value of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// One number.
    Scalar(Sample),
    /// A text.
    String {
        /// When it was asked for.
        timestamp_ms: i64,
        /// The text; `U+FFFD` stands for what is no UTF-8.
        text: Arc<str>,
    },
    /// One sample a series, in evaluation order: what an instant query answers.
    Vector(Vec<VectorElement>),
    /// Many samples a series, by label set: what a range query answers.
    Matrix(Vec<MatrixSeries>),
}

/// A series with its sample at the asked instant.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorElement {
    /// The label set.
    pub labels: Labels,
    /// The sample; its time is the asked instant. The value of a histogram is its sum.
    pub sample: Sample,
    /// The histogram, if the sample is one.
    pub histogram: Option<Box<Histogram>>,
}

/// A series with its samples.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSeries {
    /// The label set.
    pub labels: Labels,
    /// At least one sample.
    pub column: Column,
}

/// Why a query has no answer. Displays as Prometheus's text.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EngineError {
    /// The query is not PromQL.
    Parse(ParseError),
    /// The query cannot be run at these times, such as a range vector at many steps.
    Invalid(String),
    /// The query and the data do not go together.
    Execution(String),
    /// More samples than the limit would have been held at once.
    TooManySamples,
    /// More memory than this many bytes would have been needed.
    TooMuchMemory(u64),
    /// The time limit passed.
    Timeout,
    /// The caller gave up.
    Canceled,
    /// The source failed.
    Storage(QueryError),
    /// A part of PromQL that is not there yet. Nothing was read.
    Unsupported(String),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parse(error) => error.fmt(f),
            Self::Invalid(text) | Self::Execution(text) => f.write_str(text),
            Self::TooManySamples => f.write_str(
                "query processing would load too many samples into memory in query execution",
            ),
            Self::TooMuchMemory(bytes) => {
                write!(f, "query processing would need more than {bytes} bytes of memory")
            }
            Self::Timeout => f.write_str("query timed out in expression evaluation"),
            Self::Canceled => f.write_str("query was canceled in expression evaluation"),
            Self::Storage(error) => write!(f, "expanding series: {error}"),
            Self::Unsupported(what) => write!(f, "not supported yet: {what}"),
        }
    }
}

impl std::error::Error for EngineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Parse(error) => Some(error),
            Self::Storage(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ParseError> for EngineError {
    fn from(error: ParseError) -> Self {
        Self::Parse(error)
    }
}

impl From<QueryError> for EngineError {
    fn from(error: QueryError) -> Self {
        Self::Storage(error)
    }
}
