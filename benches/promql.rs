//! The engine alone: queries over columns in memory, shaped as upstream's `BenchmarkRangeQuery`.
//!
//! A day and 10 000 steps of samples 10 s apart; `a_hundred` and `b_hundred` are 100 series each,
//! `h_hundred` is 100 classic histograms of 11 buckets. Queries ask for the last 1000 steps.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use promlite::model::Labels;
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
    Memory(stored.collect())
}

const QUERIES: [&str; 14] = [
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
