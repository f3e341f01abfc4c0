//! Asking for exemplars.

use crate::model::{Exemplar, Labels, Matcher};

use super::chunk::TimeRange;
use super::select::QueryError;

/// The exemplars of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesExemplars {
    /// The series.
    pub labels: Labels,
    /// Its exemplars in time order.
    pub exemplars: Vec<Exemplar>,
}

/// A source of exemplars.
pub trait Exemplars: Send + Sync {
    /// Exemplars in `range` of the series that any of the matcher lists describes, in label order.
    ///
    /// # Errors
    /// See [`QueryError`]. An empty answer is no error.
    fn exemplars(
        &self,
        any_of: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>, QueryError>;
}
