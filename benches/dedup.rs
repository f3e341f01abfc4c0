//! How long does it take to read two replicas as one series?

#![expect(clippy::unwrap_used, reason = "a benchmark stops at what it does not expect")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use promlite::chunk::{EncodeOptions, decode, encode_column};
use promlite::model::{Column, Labels};
use promlite::series::{
    Chunk, Dedup, Deduplicated, QueryError, Queryable, Select, Series, SeriesSet, TimeRange,
    merge_replica_chunks,
};

const SERIES: usize = 100;
const SAMPLES: i64 = 5760;

struct Stored(Labels, Vec<Chunk>);

impl Series for Stored {
    fn labels(&self) -> &Labels {
        &self.0
    }

    fn read(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError> {
        let range = (range.start_ms, range.end_ms);
        self.1.iter().for_each(|one| decode(one.encoding, &one.data, range, into).unwrap());
        Ok(())
    }

    fn chunks(&self, _: TimeRange, into: &mut Vec<Chunk>) -> Result<(), QueryError> {
        into.extend(self.1.iter().cloned());
        Ok(())
    }
}

/// Replicas of counters, `b` three seconds behind `a`; each misses one scrape of a hundred.
#[derive(Clone)]
struct Source(Vec<(Labels, Vec<Chunk>)>);

impl Source {
    fn new(replicas: &[&str]) -> Self {
        let mut series = Vec::new();
        for number in 0..SERIES {
            for (offset, replica) in replicas.iter().enumerate() {
                let pairs = [("n", format!("{number:04}")), ("replica", (*replica).to_owned())];
                let mut column = Column::new();
                let misses = |n: i64| n % 100 == 37 * offset as i64 + 11;
                for n in (0..SAMPLES).filter(|n| !misses(*n)) {
                    let time_ms = n * 15_000 + offset as i64 * 3000;
                    column.push(time_ms, (time_ms / 700 + number as i64) as f64);
                }
                let mut chunks = Vec::new();
                let options = EncodeOptions::default();
                let all = 0..column.len();
                encode_column(&column, all, &options, &mut |one| chunks.push(one.into())).unwrap();
                series.push((Labels::from_pairs(pairs).unwrap(), chunks));
            }
        }
        Self(series)
    }
}

impl Queryable for Source {
    fn select(&self, _: &Select) -> Result<SeriesSet, QueryError> {
        let all = self.0.iter().cloned();
        let boxed = all.map(|(labels, chunks)| Box::new(Stored(labels, chunks)) as Box<dyn Series>);
        Ok(SeriesSet { series: boxed.collect(), warnings: Vec::new() })
    }

    fn label_names(&self, _: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        Ok(Vec::new())
    }

    fn label_values(&self, _: &str, _: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        Ok(Vec::new())
    }
}

fn read(source: &dyn Queryable, column: &mut Column) {
    let set = source.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap();
    for series in &set.series {
        column.clear();
        series.read(TimeRange::ALL, column).unwrap();
        black_box(column.len());
    }
}

fn dedup(c: &mut Criterion) {
    let both = Source::new(&["a", "b"]);
    let mut column = Column::new();
    let mut group = c.benchmark_group("replicas");
    group.sample_size(10);
    // Samples of both replicas.
    group.throughput(Throughput::Elements(SERIES as u64 * SAMPLES as u64 * 2));
    group.bench_function("read apart", |b| b.iter(|| read(&both, &mut column)));
    for kind in [Dedup::Identity, Dedup::Penalty] {
        let source = Deduplicated::new(Arc::new(both.clone()), [Arc::from("replica")], kind);
        group.bench_function(format!("read {kind:?}"), |b| b.iter(|| read(&source, &mut column)));
        group.bench_function(format!("compact {kind:?}"), |b| {
            b.iter(|| {
                let mut out = Vec::new();
                for pair in both.0.chunks(2) {
                    let replicas: Vec<_> = pair.iter().map(|series| series.1.clone()).collect();
                    out.clear();
                    let options = EncodeOptions::default();
                    merge_replica_chunks(kind, &replicas, &options, &mut out).unwrap();
                }
                black_box(out.len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, dedup);
criterion_main!(benches);
