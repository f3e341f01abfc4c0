//! What does each PromQL function compute?
//!
//! Useful for: the arithmetic of one series, over a window or over one value a step.
//! Not useful for: labels of whole vectors and which series go together; see [`super::eval`].

mod changes;
mod date;
mod extended;
mod extremes;
mod histogram;
mod kahan;
mod label;
mod math;
pub(crate) mod native;
mod over_time;
mod rate;
mod regression;
mod sort;
mod spread;
mod starts;
mod sums;
mod window;

pub(crate) use date::DateFunction;
pub(crate) use extended::{Edges, complete, not_extended, smooth};
pub(crate) use histogram::{Buckets, Repair};
pub(crate) use kahan::{Mean, Sum};
pub(crate) use label::{LabelChange, utf8};
pub(crate) use math::MathFunction;
pub(crate) use native::{Findings, HistogramStat};
pub(crate) use over_time::{RangeFunction, Request, Scratch};
pub(crate) use sort::SortOrder;
pub(crate) use window::{Befores, Windows};

/// A function by what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    OverTime(RangeFunction),
    AbsentOverTime,
    Absent,
    Math(MathFunction),
    Date(DateFunction),
    Scalar,
    Vector,
    Time,
    Pi,
    Timestamp,
    StartTimestamp,
    QueryStart,
    QueryEnd,
    QueryRange,
    QueryStep,
    MaxOf,
    MinOf,
    HistogramStat(HistogramStat),
    HistogramQuantile,
    HistogramQuantiles,
    HistogramFraction,
    Info,
    LabelReplace,
    LabelJoin,
    Sort { descending: bool },
    SortByLabel { descending: bool },
}

impl Function {
    /// The function with this name, if the engine has it.
    pub(crate) fn find(name: &str) -> Option<Self> {
        if let Some(function) = RangeFunction::find(name) {
            return Some(Self::OverTime(function));
        }
        if let Some(function) = MathFunction::find(name) {
            return Some(Self::Math(function));
        }
        if let Some(function) = DateFunction::find(name) {
            return Some(Self::Date(function));
        }
        if let Some(stat) = HistogramStat::find(name) {
            return Some(Self::HistogramStat(stat));
        }
        Some(match name {
            "absent" => Self::Absent,
            "absent_over_time" => Self::AbsentOverTime,
            "scalar" => Self::Scalar,
            "vector" => Self::Vector,
            "time" => Self::Time,
            "pi" => Self::Pi,
            "timestamp" => Self::Timestamp,
            "start_timestamp" => Self::StartTimestamp,
            "start" => Self::QueryStart,
            "end" => Self::QueryEnd,
            "range" => Self::QueryRange,
            "step" => Self::QueryStep,
            "max_of" => Self::MaxOf,
            "min_of" => Self::MinOf,
            "histogram_quantile" => Self::HistogramQuantile,
            "histogram_quantiles" => Self::HistogramQuantiles,
            "info" => Self::Info,
            "histogram_fraction" => Self::HistogramFraction,
            "label_replace" => Self::LabelReplace,
            "label_join" => Self::LabelJoin,
            "sort" => Self::Sort { descending: false },
            "sort_desc" => Self::Sort { descending: true },
            "sort_by_label" => Self::SortByLabel { descending: false },
            "sort_by_label_desc" => Self::SortByLabel { descending: true },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::promql::eval::StepColumn;
    use crate::promql::plan::{Shift, Steps};

    use super::Windows;
    use super::window::Befores;

    /// Samples and windows for tests of kernels.
    #[derive(Debug, Clone)]
    pub(super) struct Data {
        pub(super) times: Vec<i64>,
        pub(super) values: Vec<f64>,
        pub(super) steps: Steps,
        pub(super) shift: Shift,
        pub(super) range_ms: i64,
    }

    impl Data {
        /// One window that holds all of `values`.
        pub(super) fn one_window(values: &[f64]) -> Self {
            Self {
                times: (1..=values.len() as i64).collect(),
                values: values.to_vec(),
                steps: Steps::once(values.len() as i64),
                shift: Shift::default(),
                range_ms: values.len() as i64,
            }
        }

        pub(super) fn windows(&self) -> Windows<'_> {
            let Self { times, values, steps, shift, range_ms } = self;
            let befores = Befores::default();
            let (steps, shift, range_ms) = (*steps, *shift, *range_ms);
            Windows { times, values, befores, steps, shift, range_ms }
        }
    }

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            6 => (-20_i8..20).prop_map(f64::from),
            3 => -1e3..1e3_f64,
            1 => prop_oneof![
                Just(f64::NAN),
                Just(f64::INFINITY),
                Just(f64::NEG_INFINITY),
                Just(-0.0),
                Just(f64::MAX),
                Just(1e100),
                Just(-1e100),
                any::<f64>()
            ],
        ]
    }

    prop_compose! {
        /// Irregular samples and windows of any length; half of the time whole numbers only.
        pub(super) fn any_windows()(
            gaps in prop::collection::vec(1_i64..40, 0..80),
            wild in prop::collection::vec(any_value(), 80),
            tame in prop::collection::vec(0_u16..50, 80),
            is_tame in any::<bool>(),
            start_ms in -100_i64..300,
            step_ms in 1_i64..70,
            count in 1_usize..100,
            range_ms in 1_i64..500,
            offset_ms in -50_i64..50,
            at_ms in prop_oneof![4 => Just(None), 1 => (0_i64..1000).prop_map(Some)],
        ) -> Data {
            let times: Vec<i64> = gaps.iter().scan(0, |now, gap| {
                *now += gap;
                Some(*now)
            }).collect();
            let values = times.iter().zip(wild.iter().zip(&tame));
            let values =
                values.map(|(_, (wild, tame))| if is_tame { f64::from(*tame) } else { *wild });
            Data {
                values: values.collect(),
                times,
                steps: Steps { start_ms, step_ms, count, instant: count == 1 },
                shift: Shift { at_ms, offset_ms },
                range_ms,
            }
        }
    }

    /// What a function of the values of one window gives at each step.
    pub(super) fn naive(windows: &Windows<'_>, value: impl Fn(&[f64]) -> f64) -> Vec<Option<f64>> {
        naive_samples(windows, |samples, _, _| {
            Some(value(&samples.iter().map(|sample| sample.1).collect::<Vec<_>>()))
        })
    }

    /// What a function of the samples and of both ends of a window gives at each step.
    pub(super) fn naive_samples(
        windows: &Windows<'_>,
        value: impl Fn(&[(i64, f64)], i64, i64) -> Option<f64>,
    ) -> Vec<Option<f64>> {
        let samples: Vec<_> =
            windows.times.iter().copied().zip(windows.values.iter().copied()).collect();
        (0..windows.steps.count)
            .map(|step| {
                let end_ms = windows.shift.of(windows.steps.at(step));
                let start_ms = end_ms - windows.range_ms;
                let inside: Vec<_> = samples
                    .iter()
                    .copied()
                    .filter(|(t, _)| start_ms < *t && *t <= end_ms)
                    .collect();
                if inside.is_empty() { None } else { value(&inside, start_ms, end_ms) }
            })
            .collect()
    }

    /// Equal bit for bit, all NaNs alike.
    pub(super) fn assert_same(
        got: &StepColumn,
        expected: &[Option<f64>],
    ) -> Result<(), TestCaseError> {
        let bits = |value: f64| if value.is_nan() { u64::MAX } else { value.to_bits() };
        prop_assert_eq!(got.len(), expected.len());
        for (step, expected) in expected.iter().enumerate() {
            let got = got.get(step);
            prop_assert_eq!(got.map(bits), expected.map(bits), "{} {:?} {:?}", step, got, expected);
        }
        Ok(())
    }
}
