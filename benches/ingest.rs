//! How fast are samples taken in? Appends scrapes of many series, log included, to a directory on
//! the machine's own disk.
//!
//! `cargo bench --bench ingest`. Each measured batch is one scrape of 1000 series out of 10 000;
//! time moves on by 15 s once all have been scraped. Prints what memory the series take.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use promlite::base::clock::SystemClock;
use promlite::base::metrics::Registry;
use promlite::disk::RealDisk;
use promlite::model::Labels;
use promlite::series::{Append, Batch, OnReject, SeriesRef};
use promlite::storage::db::{Tsdb, TsdbOptions};
use tempfile::tempdir;

const SERIES: usize = 10_000;
const SERIES_PER_SCRAPE: usize = 1000;
const STEP_MS: i64 = 15_000;
const START_MS: i64 = 1_767_571_200_000;

/// Labels as a cluster has them: eight, half of them the same everywhere.
fn labels(number: usize) -> Labels {
    let (target, metric) = (number / 200, number % 200);
    let pairs = [
        ("__name__", format!("http_server_requests_metric_{metric:03}_total")),
        ("cluster", "production-eu-west-1".to_owned()),
        ("container", "application".to_owned()),
        ("endpoint", "metrics".to_owned()),
        ("instance", format!("10.20.{}.{}:9100", target / 250, target % 250)),
        ("job", "monitoring/application".to_owned()),
        ("namespace", format!("team-{}", target % 20)),
        ("pod", format!("application-7d9f8b6c5d-{target:05x}")),
    ];
    Labels::from_pairs(pairs).unwrap()
}

fn open(dir: &std::path::Path) -> Tsdb {
    let mut options = TsdbOptions::default();
    options.background = false;
    let (disk, clock) = (RealDisk::shared(), SystemClock::shared());
    Tsdb::open(disk, clock, dir, options, &Registry::new()).unwrap()
}

/// How a series is named in a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Naming {
    Labels,
    LabelsAndReference,
    /// Once it is known.
    Reference,
}

/// Scrapes one target after the other for ever.
struct Scraper {
    labels: Vec<Labels>,
    refs: Vec<SeriesRef>,
    naming: Naming,
    next: usize,
    now_ms: i64,
    batch: Batch,
}

impl Scraper {
    fn new(series: usize, naming: Naming) -> Self {
        Self {
            labels: (0..series).map(labels).collect(),
            refs: vec![SeriesRef::UNKNOWN; series],
            naming,
            next: 0,
            now_ms: START_MS,
            batch: Batch::new(),
        }
    }

    fn scrape(&mut self, db: &Tsdb) {
        self.batch.clear();
        let (first, end) = (self.next, (self.next + SERIES_PER_SCRAPE).min(self.labels.len()));
        for (number, labels) in self.labels.iter().enumerate().take(end).skip(first) {
            let known = self.refs.get(number).copied().unwrap_or_default();
            if self.naming == Naming::Reference && known.is_known() {
                self.batch.push_known(known);
            } else {
                self.batch.push_series(known, labels.as_ref());
            }
            let value = (self.now_ms - START_MS) as f64 / 1000.0 * (number % 7) as f64;
            self.batch.push_sample(self.now_ms, value);
        }
        let outcome = db.append(&mut self.batch, OnReject::KeepRest).unwrap();
        assert_eq!(black_box(outcome).rejected, 0);
        if self.naming != Naming::Labels {
            for (index, slot) in self.refs.iter_mut().take(end).skip(first).enumerate() {
                *slot = self.batch.series_ref(index);
            }
        }
        self.next = end % self.labels.len();
        if self.next == 0 {
            self.now_ms += STEP_MS;
        }
    }

    fn scrape_all(&mut self, db: &Tsdb, times: usize) {
        for _ in 0..times * self.labels.len().div_ceil(SERIES_PER_SCRAPE) {
            self.scrape(db);
        }
    }
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(SERIES_PER_SCRAPE as u64));
    group.measurement_time(Duration::from_secs(8));
    let namings = [
        ("by_labels", Naming::Labels),
        ("by_labels_and_reference", Naming::LabelsAndReference),
        ("by_reference", Naming::Reference),
    ];
    for (name, naming) in namings {
        let dir = tempdir().unwrap();
        let db = open(dir.path());
        let mut scraper = Scraper::new(SERIES, naming);
        scraper.scrape_all(&db, 2);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for _ in 0..iterations {
                    let start = Instant::now();
                    scraper.scrape(&db);
                    spent += start.elapsed();
                    // Upkeep is not what is measured, but memory must not grow without end.
                    if scraper.next == 0 && (scraper.now_ms - START_MS) % (960 * STEP_MS) == 0 {
                        db.maintain().unwrap();
                    }
                }
                spent
            });
        });
    }
    group.finish();
}

fn new_series(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("create");
    group.throughput(Throughput::Elements(SERIES as u64));
    group.sample_size(10);
    group.bench_function("series", |bencher| {
        bencher.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for _ in 0..iterations {
                let dir = tempdir().unwrap();
                let db = open(dir.path());
                let mut scraper = Scraper::new(SERIES, Naming::Labels);
                let start = Instant::now();
                scraper.scrape_all(&db, 1);
                spent += start.elapsed();
            }
            spent
        });
    });
    group.finish();
}

/// Opens a directory whose log has two hours.
fn replay(criterion: &mut Criterion) {
    const SCRAPES: usize = 480;
    let dir = tempdir().unwrap();
    let db = open(dir.path());
    Scraper::new(SERIES, Naming::Reference).scrape_all(&db, SCRAPES);
    db.close().unwrap();
    drop(db);
    let mut group = criterion.benchmark_group("open");
    group.throughput(Throughput::Elements((SERIES * SCRAPES) as u64));
    group.sample_size(10);
    group.bench_function("replay", |bencher| {
        bencher.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for _ in 0..iterations {
                let start = Instant::now();
                let db = black_box(open(dir.path()));
                spent += start.elapsed();
                drop(db);
            }
            spent
        });
    });
    group.finish();
}

/// Not a time but a size: what a series takes in memory after an hour of scrapes.
#[expect(clippy::print_stdout, reason = "the result of this part is a line of text")]
fn memory(_: &mut Criterion) {
    const MANY: usize = 100_000;
    if std::env::args().any(|argument| argument == "--profile-time") {
        return;
    }
    let dir = tempdir().unwrap();
    let db = open(dir.path());
    Scraper::new(MANY, Naming::Reference).scrape_all(&db, 240);
    let stats = db.stats();
    let bytes = stats.head_bytes / stats.head_series.max(1);
    println!("memory: {} series, {bytes} bytes a series", stats.head_series);
}

criterion_group!(benches, append, new_series, replay, memory);
criterion_main!(benches);
