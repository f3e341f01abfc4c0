//! Asking for series.

use std::fmt;
use std::sync::Arc;

use crate::model::{Column, Labels, Matcher};

use super::aggregate::Aggregate;
use super::chunk::{Chunk, TimeRange};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Select {
    /// Every one must hold. An empty list means all series.
    pub matchers: Vec<Matcher>,
    /// Only samples in this span are wanted; series that have none in it may be left out.
    pub range: TimeRange,
    /// What the samples are wanted for. A source may use or ignore it.
    pub hints: Hints,
}

impl Select {
    /// Asks for all series that `matchers` describe, with their samples in `range`.
    #[must_use]
    pub fn new(matchers: Vec<Matcher>, range: TimeRange) -> Self {
        Self { matchers, range, hints: Hints::default() }
    }
}

/// What the samples are wanted for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// Distance of the query's steps; 0 for one instant.
    pub step_ms: i64,
    /// Length of the window of a range selector; 0 for an instant selector.
    pub range_ms: i64,
    /// The function or aggregation right above the selector.
    pub func: Option<Arc<str>>,
    /// Labels of the aggregation right above the selector.
    pub grouping: Vec<Arc<str>>,
    /// True for `by`, false for `without`.
    pub by: bool,
    /// At most this many results are of use; 0 for no limit.
    pub limit: usize,
    /// The coarsest downsampled data that is wanted, by the length of its windows; 0 for raw
    /// samples. A source falls back to coarser data where it has nothing finer.
    pub max_resolution_ms: i64,
}

impl Hints {
    /// Which number of a downsampled sample is wanted. A sum or a count of windows is of use only
    /// to a function that reads them itself: samples at the steps of a subquery are averages.
    #[must_use]
    pub fn aggregate(&self) -> Aggregate {
        match Aggregate::wanted_by(self.func.as_deref()) {
            Aggregate::Sum | Aggregate::Count if self.is_of_subquery() => Aggregate::Average,
            wanted => wanted,
        }
    }

    /// True if the function above reads windows, but not of the series themselves.
    fn is_of_subquery(&self) -> bool {
        self.range_ms == 0 && self.func.as_ref().is_some_and(|func| func.ends_with("_over_time"))
    }
}

/// Why a question could not be answered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum QueryError {
    /// Stored bytes are not what they should be: where, and what was wrong.
    Corrupt(String),
    /// The operating system refused: what was tried, and its answer.
    Io(String),
    /// The source is not ready yet or is closing.
    Unavailable(String),
    /// The question asks for more than it may: which limit, and what it is set to.
    Limit(String),
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt(what) => write!(f, "corrupt data: {what}"),
            Self::Io(what) => write!(f, "read failed: {what}"),
            Self::Unavailable(what) => write!(f, "not available: {what}"),
            Self::Limit(what) => write!(f, "limit exceeded: {what}"),
        }
    }
}

impl std::error::Error for QueryError {}

/// A source of series.
pub trait Queryable: Send + Sync {
    /// The series that match, in label order, each label set once.
    ///
    /// # Errors
    /// See [`QueryError`]. An empty answer is no error.
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError>;

    /// Names of labels on series that match, ascending. `ask.hints.limit` may cut the list.
    ///
    /// # Errors
    /// See [`QueryError`].
    fn label_names(&self, ask: &Select) -> Result<Vec<Arc<str>>, QueryError>;

    /// Values of the label `name` on series that match, ascending. `ask.hints.limit` may cut the
    /// list.
    ///
    /// # Errors
    /// See [`QueryError`].
    fn label_values(&self, name: &str, ask: &Select) -> Result<Vec<Arc<str>>, QueryError>;
}

/// One series: its labels now, its samples when asked. A view of the moment of the `select`.
pub trait Series: Send + Sync {
    /// The label set.
    fn labels(&self) -> &Labels;

    /// The length of the windows that its samples stand for at most; 0 if all of them are raw.
    fn resolution_ms(&self) -> i64 {
        0
    }

    /// How many samples there are in the range of the question, at a guess; 0 if nobody knows.
    fn sample_guess(&self) -> usize {
        0
    }

    /// Appends all samples in `range` to `into`, in time order.
    ///
    /// # Errors
    /// See [`QueryError`].
    fn read(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError>;

    /// Appends the chunks that overlap `range` to `into`, undecoded, by start time. They may hold
    /// samples outside of `range` and may overlap one another.
    ///
    /// # Errors
    /// See [`QueryError`].
    fn chunks(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), QueryError>;
}

/// The answer to a [`Select`].
#[derive(Default)]
pub struct SeriesSet {
    /// Handles in label order.
    pub series: Vec<Box<dyn Series>>,
    /// What the reader of the answer should know, such as a source that did not answer.
    pub warnings: Vec<String>,
}

impl fmt::Debug for SeriesSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.series.iter().map(|series| series.labels())).finish()
    }
}

impl<Q: Queryable + ?Sized> Queryable for Arc<Q> {
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
        (**self).select(ask)
    }

    fn label_names(&self, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        (**self).label_names(ask)
    }

    fn label_values(&self, name: &str, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        (**self).label_values(name, ask)
    }
}
