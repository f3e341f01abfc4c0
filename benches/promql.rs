//! The engine alone: queries over columns in memory, shaped as upstream's `BenchmarkRangeQuery`.
//!
//! A day and 10 000 steps of samples 10 s apart; `a_hundred` and `b_hundred` are 100 series each,
//! `h_hundred` is 100 classic histograms of 11 buckets, `n_hundred` 100 native ones of 40, as they
//! come from chunks of 120 samples. Queries ask for the last 1000 steps.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use promlite::model::Labels;
use promlite::model::histogram::{CountsRef, HistogramRef, Layout, ResetHint, Span};
use promlite::promql::{Engine, EngineOptions, RunOptions};
use promlite::series::{
    Chunk, Column, QueryError, Queryable, Select, Series, SeriesSet, TimeRange,
};

const STEP_MS: i64 = 10_000;
const SAMPLES: i64 = 8640 + 10_000;

struct Memory(Vec<Stored>);

#[derive(Clone)]
struct Stored {
    labels: Labels,
    column: Arc<Column>,
}

impl Series for Stored {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn read(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError> {
        let times = &self.column.timestamps;
        let lo = times.partition_point(|time_ms| *time_ms < range.start_ms);
        let hi = times.partition_point(|time_ms| *time_ms <= range.end_ms);
        if !self.column.histograms.is_empty() {
            into.extend_from(&self.column, lo..hi);
            return Ok(());
        }
        into.timestamps.extend_from_slice(times.get(lo..hi).unwrap_or_default());
        into.floats.extend_from_slice(self.column.floats.get(lo..hi).unwrap_or_default());
        Ok(())
    }

    fn chunks(&self, _: TimeRange, _: &mut Vec<Chunk>) -> Result<(), QueryError> {
        Err(QueryError::Unavailable("columns only".into()))
    }
}

impl Queryable for Memory {
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
        let wanted = |stored: &&Stored| {
            let value = |name| stored.labels.get(name).unwrap_or_default();
            ask.matchers.iter().all(|matcher| matcher.matches(value(matcher.name())))
        };
        let found = self.0.iter().filter(wanted).cloned();
        let series = found.map(|stored| Box::new(stored) as Box<dyn Series>).collect();
        Ok(SeriesSet { series, warnings: Vec::new() })
    }

    fn label_names(&self, _: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        Ok(Vec::new())
    }

    fn label_values(&self, _: &str, _: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        Ok(Vec::new())
    }
}

fn memory() -> Memory {
    let mut sets: Vec<Vec<(&str, String)>> = Vec::new();
    for index in 0..100 {
        let index = index.to_string();
        for name in ["a_hundred", "b_hundred"] {
            sets.push(vec![("__name__", name.into()), ("l", index.clone())]);
        }
        for bound in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "+Inf"] {
            let (name, le) = ("h_hundred".into(), bound.into());
            sets.push(vec![("__name__", name), ("l", index.clone()), ("le", le)]);
        }
    }
    let mut sets: Vec<Labels> = sets
        .into_iter()
        .filter_map(|set| Labels::from_pairs(set.iter().map(|(n, v)| (*n, v.as_str()))).ok())
        .collect();
    sets.sort();
    let total = sets.len() as f64;
    let stored = sets.into_iter().enumerate().map(|(index, labels)| {
        let mut column = Column::new();
        for step in 0..SAMPLES {
            column.push(step * STEP_MS, step as f64 + index as f64 / total);
        }
        Stored { labels, column: Arc::new(column) }
    });
    Memory(stored.chain((0..100).map(native)).collect())
}

/// Counts grow by a few in each of the buckets. Half of the series have one bucket more.
fn native(index: i64) -> Stored {
    let index_text = index.to_string();
    let labels = Labels::from_pairs([("__name__", "n_hundred"), ("l", &index_text)]);
    let mut column = Column::new();
    let width = 40 + index % 2;
    let mut layout = Arc::default();
    for step in 0..2400 {
        if step % 120 == 0 {
            let positive = vec![Span::new(-10, width as u32)];
            layout = Arc::new(Layout { schema: 3, positive, ..Layout::default() });
        }
        let buckets: Vec<i64> =
            (0..width).map(|bucket| step * (1 + (bucket + index) % 7)).collect();
        let count = buckets.iter().sum::<i64>() as u64;
        let hint = if step % 120 == 0 { ResetHint::Unknown } else { ResetHint::NotReset };
        let counts = CountsRef::Integer { count, zero_count: 0, buckets: &buckets };
        let one = HistogramRef { layout: &layout, hint, sum: count as f64, counts };
        column.push_histogram((SAMPLES - 2400 + step) * STEP_MS, one);
    }
    Stored { labels: labels.unwrap_or_default(), column: Arc::new(column) }
}

const QUERIES: [&str; 20] = [
    "a_hundred",
    "-a_hundred",
    "rate(a_hundred[1m])",
    "rate(a_hundred[1d])",
    "max_over_time(a_hundred[1d])",
    "sum_over_time(a_hundred[1h])",
    "a_hundred - b_hundred",
    "rate(a_hundred[1m]) + rate(b_hundred[1m])",
    "sum(a_hundred)",
    "sum by (le) (h_hundred)",
    "sum without (l) (rate(a_hundred[1m]))",
    "topk(5, a_hundred)",
    "histogram_quantile(0.9, sum by (le) (rate(h_hundred[5m])))",
    "histogram_quantile(0.9, rate(h_hundred[5m]))",
    "n_hundred",
    "rate(n_hundred[5m])",
    "sum(rate(n_hundred[5m]))",
    "histogram_quantile(0.9, rate(n_hundred[5m]))",
    "histogram_quantile(0.9, sum(rate(n_hundred[5m])))",
    "histogram_count(rate(n_hundred[5m]))",
];

fn queries(bench: &mut Criterion) {
    let memory = memory();
    let engine = Engine::new(EngineOptions::default());
    let end_ms = (SAMPLES - 1) * STEP_MS;
    for steps in [1, 1000] {
        let mut group = bench.benchmark_group(format!("steps {steps}"));
        group.sample_size(20);
        let run = RunOptions::default();
        for query in QUERIES {
            group.bench_function(query, |bench| {
                bench.iter(|| {
                    let start_ms = end_ms - (steps - 1) * STEP_MS;
                    black_box(engine.range(&memory, query, start_ms, end_ms, STEP_MS, &run)).ok()
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, queries);
criterion_main!(benches);
