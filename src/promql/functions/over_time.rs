//! Functions over windows by name, and the way from a name to its kernel.

use std::collections::VecDeque;

use crate::promql::eval::StepColumn;

use super::changes::{count_pairs, count_resets, is_change};
use super::extended::{self, Edges};
use super::extremes::Extreme;
use super::rate::{Slope, last_two};
use super::regression::Smoothed;
use super::starts::Starts;
use super::window::{Loss, Windows};
use super::{regression, spread, sums};

/// A function over windows of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RangeFunction {
    Rate,
    Increase,
    Delta,
    Irate,
    Idelta,
    Sum,
    Avg,
    Min,
    Max,
    Count,
    First,
    Last,
    Present,
    Stddev,
    Stdvar,
    Quantile,
    Mad,
    Changes,
    Resets,
    Deriv,
    PredictLinear,
    DoubleExponentialSmoothing,
    TimeOfFirst,
    TimeOfLast,
    TimeOfMin,
    TimeOfMax,
}

/// What a kernel needs beyond the samples.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) windows: Windows<'a>,
    /// Length of the window in seconds, as rates divide by it.
    pub(crate) seconds: f64,
    /// Values of the scalar arguments by step.
    pub(crate) parameters: &'a [Vec<f64>],
    /// Since when each sample counts; empty if that is not known or does not matter.
    pub(crate) starts: &'a [i64],
    /// How the windows are completed.
    pub(crate) edges: Option<Edges>,
}

/// Memory that kernels reuse from series to series.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    indexes: Vec<usize>,
    queue: VecDeque<usize>,
    values: Vec<f64>,
    losses: Vec<Loss>,
    smoothed: Smoothed,
}

impl Scratch {
    pub(super) const fn indexes(&mut self) -> &mut Vec<usize> {
        &mut self.indexes
    }
}

impl RangeFunction {
    /// The function with this name.
    pub(crate) fn find(name: &str) -> Option<Self> {
        Some(match name {
            "rate" => Self::Rate,
            "increase" => Self::Increase,
            "delta" => Self::Delta,
            "irate" => Self::Irate,
            "idelta" => Self::Idelta,
            "sum_over_time" => Self::Sum,
            "avg_over_time" => Self::Avg,
            "min_over_time" => Self::Min,
            "max_over_time" => Self::Max,
            "count_over_time" => Self::Count,
            "first_over_time" => Self::First,
            "last_over_time" => Self::Last,
            "present_over_time" => Self::Present,
            "stddev_over_time" => Self::Stddev,
            "stdvar_over_time" => Self::Stdvar,
            "quantile_over_time" => Self::Quantile,
            "mad_over_time" => Self::Mad,
            "changes" => Self::Changes,
            "resets" => Self::Resets,
            "deriv" => Self::Deriv,
            "predict_linear" => Self::PredictLinear,
            "double_exponential_smoothing" => Self::DoubleExponentialSmoothing,
            "ts_of_first_over_time" => Self::TimeOfFirst,
            "ts_of_last_over_time" => Self::TimeOfLast,
            "ts_of_min_over_time" => Self::TimeOfMin,
            "ts_of_max_over_time" => Self::TimeOfMax,
            _ => return None,
        })
    }

    /// How many scalars it takes beside the window.
    pub(crate) const fn parameter_count(self) -> usize {
        match self {
            Self::Quantile | Self::PredictLinear => 1,
            Self::DoubleExponentialSmoothing => 2,
            _ => 0,
        }
    }

    /// The first and the last sample of a window are samples of the metric itself.
    pub(crate) const fn keeps_name(self) -> bool {
        matches!(self, Self::First | Self::Last)
    }

    /// True if only a counter makes sense as input.
    pub(crate) const fn wants_counter(self) -> bool {
        matches!(self, Self::Rate | Self::Increase)
    }

    /// True if it looks at the starts of samples.
    pub(crate) const fn wants_starts(self) -> bool {
        matches!(self, Self::Rate | Self::Increase | Self::Irate | Self::Resets)
    }

    /// Computes all steps of one series. Gives the number of windows with samples that overlap
    /// by their starts.
    pub(crate) fn run(
        self,
        ask: &Request<'_>,
        scratch: &mut Scratch,
        into: &mut StepColumn,
    ) -> u64 {
        if let Some(edges) = ask.edges {
            self.run_extended(edges, ask, scratch, into);
            return 0;
        }
        if !ask.starts.is_empty() && self.wants_starts() {
            return self.run_started(ask, scratch, into);
        }
        self.run_plain(ask, scratch, into);
        0
    }

    /// With windows that are completed; see [`RangeFunction::check_extended`].
    fn run_extended(
        self,
        edges: Edges,
        ask: &Request<'_>,
        scratch: &mut Scratch,
        into: &mut StepColumn,
    ) {
        let (windows, indexes) = (&ask.windows, &mut scratch.indexes);
        let losses = &mut scratch.losses;
        let values = windows.values;
        let pair = |index: usize| Some((*values.get(index.checked_sub(1)?)?, *values.get(index)?));
        let mut count = |counts: &dyn Fn(usize) -> bool| {
            extended::count_pairs(edges, windows, indexes, into, counts);
        };
        match self {
            Self::Changes => count(&|index| pair(index).is_some_and(|(a, b)| is_change(a, b))),
            Self::Resets if ask.starts.is_empty() => {
                count(&|index| {
                    let before = |pair: (f64, f64)| windows.befores.get(index).unwrap_or(pair.0);
                    pair(index).is_some_and(|pair| pair.1 < before(pair))
                });
            }
            Self::Resets => {
                let started = Starts { windows, starts: ask.starts };
                count(&|index| started.resets(index));
            }
            _ => {
                let per_seconds = Some(ask.seconds).filter(|_| self == Self::Rate);
                let how = (self != Self::Delta, per_seconds);
                extended::slope(edges, how, windows, losses, into);
            }
        }
    }

    /// With starts that tell of resets.
    fn run_started(self, ask: &Request<'_>, scratch: &mut Scratch, into: &mut StepColumn) -> u64 {
        let started = Starts { windows: &ask.windows, starts: ask.starts };
        let Scratch { indexes, losses, .. } = scratch;
        match self {
            Self::Irate => started.last_two(into),
            Self::Resets => started.count_resets(indexes, into),
            _ => {
                let per_seconds = Some(ask.seconds).filter(|_| self == Self::Rate);
                let slope = Slope { counter: true, per_seconds };
                return started.slope(slope, losses, indexes, into);
            }
        }
        0
    }

    fn run_plain(self, ask: &Request<'_>, scratch: &mut Scratch, into: &mut StepColumn) {
        let windows = &ask.windows;
        let Scratch { indexes, queue, values, losses, smoothed } = scratch;
        let slope = |counter, per_seconds| Slope { counter, per_seconds };
        let extreme = |largest, time| Extreme { largest, time };
        let parameter = |index: usize, step: usize| {
            let by_step = ask.parameters.get(index);
            by_step.and_then(|by_step| by_step.get(step)).copied().unwrap_or(f64::NAN)
        };
        let seconds = |time_ms: i64| Some(time_ms as f64 / 1000.0);
        match self {
            Self::Rate => slope(true, Some(ask.seconds)).run(windows, losses, into),
            Self::Increase => slope(true, None).run(windows, losses, into),
            Self::Delta => slope(false, None).run(windows, losses, into),
            Self::Irate => last_two(true, windows, into),
            Self::Idelta => last_two(false, windows, into),
            Self::Sum => sums::sum(windows, values, into),
            Self::Avg => sums::mean(windows, values, into),
            Self::Min => extreme(false, false).run(windows, queue, into),
            Self::Max => extreme(true, false).run(windows, queue, into),
            Self::TimeOfMin => extreme(false, true).run(windows, queue, into),
            Self::TimeOfMax => extreme(true, true).run(windows, queue, into),
            Self::Count => windows.each(into, |window| Some((window.hi - window.lo) as f64)),
            Self::Present => windows.each(into, |_| Some(1.0)),
            Self::First => windows.each(into, |window| windows.values.get(window.lo).copied()),
            Self::Last => windows.each(into, |window| windows.values.get(window.hi - 1).copied()),
            Self::TimeOfFirst => {
                windows.each(into, |window| windows.times.get(window.lo).and_then(|t| seconds(*t)));
            }
            Self::TimeOfLast => {
                windows.each(into, |window| {
                    windows.times.get(window.hi - 1).and_then(|t| seconds(*t))
                });
            }
            Self::Stddev => spread::variance(windows, true, into),
            Self::Stdvar => spread::variance(windows, false, into),
            Self::Quantile => spread::quantiles(windows, values, into, |step| parameter(0, step)),
            Self::Mad => spread::deviation(windows, values, into),
            Self::Changes => count_pairs(windows, indexes, into, is_change),
            Self::Resets => count_resets(windows, indexes, into),
            Self::Deriv => regression::slope(windows, into),
            Self::PredictLinear => regression::predict(windows, into, |step| parameter(0, step)),
            Self::DoubleExponentialSmoothing => {
                let factors = |step| (parameter(0, step), parameter(1, step));
                regression::smooth(windows, smoothed, into, factors);
            }
        }
    }
}
