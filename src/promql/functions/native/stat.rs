//! Functions that answer a number about each histogram.

use crate::model::histogram::float::FloatRef;

/// What is asked of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HistogramStat {
    Count,
    Sum,
    Avg,
    Stddev,
    Stdvar,
}

impl HistogramStat {
    /// The function with this name.
    pub(crate) fn find(name: &str) -> Option<Self> {
        Some(match name {
            "histogram_count" => Self::Count,
            "histogram_sum" => Self::Sum,
            "histogram_avg" => Self::Avg,
            "histogram_stddev" => Self::Stddev,
            "histogram_stdvar" => Self::Stdvar,
            _ => return None,
        })
    }

    /// True if no bucket is looked at.
    pub(crate) const fn is_without_buckets(self) -> bool {
        matches!(self, Self::Count | Self::Sum | Self::Avg)
    }

    /// The answer.
    pub(crate) fn of(self, one: &FloatRef<'_>) -> f64 {
        match self {
            Self::Count => one.count,
            Self::Sum => one.sum,
            Self::Avg => one.mean(),
            Self::Stddev => one.variance().sqrt(),
            Self::Stdvar => one.variance(),
        }
    }
}
