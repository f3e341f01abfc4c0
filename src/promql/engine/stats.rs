//! What a query cost.

use std::fmt::Write as _;

use crate::base::gonum::format_json;
use crate::promql::eval::Counted;
use crate::promql::plan::Steps;

/// Which statistics a run keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatsWanted {
    /// None.
    #[default]
    None,
    /// Times and sums.
    Totals,
    /// Also the samples of each step, if [`super::EngineOptions::per_step_stats`] is set.
    All,
}

/// What a query cost, in the terms of Prometheus's query statistics.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QueryStats {
    /// Where its time went.
    pub timings: Timings,
    /// The samples that it looked at.
    pub samples: SampleStats,
}

/// Where the time of a query went, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Timings {
    /// From the first question to the source to the answer.
    pub eval_total_seconds: f64,
    /// Bringing the series of the answer in order.
    pub result_sort_seconds: f64,
    /// Finding the series.
    pub query_preparation_seconds: f64,
    /// Computing the answer.
    pub inner_eval_seconds: f64,
    /// Waiting for its turn; for who runs the engine to fill in.
    pub exec_queue_seconds: f64,
    /// All of it, with reading the query and planning.
    pub exec_total_seconds: f64,
}

/// The samples that a query looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SampleStats {
    /// Each sample as often as a step looks at it: what as many instant queries would look at.
    pub total_queryable_samples: u64,
    /// The same by step, with its time in milliseconds, if asked for.
    pub total_queryable_samples_per_step: Vec<(i64, u64)>,
    /// Each sample once for each selector that reads it.
    pub samples_read: u64,
    /// The same by the step that reads it first, if asked for.
    pub samples_read_per_step: Vec<(i64, u64)>,
    /// The most samples that this engine held at once. It holds fewer than Prometheus does.
    pub peak_samples: u64,
}

impl SampleStats {
    pub(super) fn new(counted: &Counted, steps: Steps, peak_samples: u64) -> Self {
        let by_step = |counts: &[u64]| -> Vec<(i64, u64)> {
            counts.iter().enumerate().map(|(step, count)| (steps.at(step), *count)).collect()
        };
        Self {
            total_queryable_samples: counted.total,
            total_queryable_samples_per_step: by_step(&counted.total_by_step),
            samples_read: counted.read,
            samples_read_per_step: by_step(&counted.read_by_step),
            peak_samples,
        }
    }
}

impl QueryStats {
    /// Appends the JSON object that Prometheus's API has under `stats`.
    pub fn write_json(&self, out: &mut String) {
        let Timings {
            eval_total_seconds,
            result_sort_seconds,
            query_preparation_seconds,
            inner_eval_seconds,
            exec_queue_seconds,
            exec_total_seconds,
        } = self.timings;
        let timings = [
            ("{\"timings\":{\"evalTotalTime\":", eval_total_seconds),
            (",\"resultSortTime\":", result_sort_seconds),
            (",\"queryPreparationTime\":", query_preparation_seconds),
            (",\"innerEvalTime\":", inner_eval_seconds),
            (",\"execQueueTime\":", exec_queue_seconds),
            (",\"execTotalTime\":", exec_total_seconds),
        ];
        for (name, seconds) in timings {
            out.push_str(name);
            format_json(out, seconds);
        }
        out.push_str("},\"samples\":{");
        let samples = &self.samples;
        put_steps(out, "totalQueryableSamples", &samples.total_queryable_samples_per_step);
        // Writing to a `String` cannot fail.
        let _ = write!(out, "\"totalQueryableSamples\":{},", samples.total_queryable_samples);
        put_steps(out, "samplesRead", &samples.samples_read_per_step);
        let (read, peak) = (samples.samples_read, samples.peak_samples);
        let _ = write!(out, "\"samplesRead\":{read},\"peakSamples\":{peak}}}}}");
    }
}

fn put_steps(out: &mut String, name: &str, steps: &[(i64, u64)]) {
    if steps.is_empty() {
        return;
    }
    let _ = write!(out, "\"{name}PerStep\":[");
    for (index, (time_ms, count)) in steps.iter().enumerate() {
        out.push_str(if index == 0 { "[" } else { ",[" });
        format_json(out, *time_ms as f64 / 1000.0);
        let _ = write!(out, ",{count}]");
    }
    out.push_str("],");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_written_as_prometheus_writes_them() {
        let mut stats = QueryStats::default();
        stats.timings.inner_eval_seconds = 0.5;
        stats.samples.total_queryable_samples = 3;
        stats.samples.total_queryable_samples_per_step = vec![(1500, 1), (3000, 2)];
        stats.samples.samples_read = 2;
        stats.samples.peak_samples = 7;
        let mut out = String::new();
        stats.write_json(&mut out);
        let want = r#"{"timings":{"evalTotalTime":0,"resultSortTime":0,"queryPreparationTime":0,
            "innerEvalTime":0.5,"execQueueTime":0,"execTotalTime":0},"samples":{
            "totalQueryableSamplesPerStep":[[1.5,1],[3,2]],"totalQueryableSamples":3,
            "samplesRead":2,"peakSamples":7}}"#;
        assert_eq!(out, want.split_whitespace().collect::<String>());
    }
}
