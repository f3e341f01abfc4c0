//! The work of `promtool tsdb bench write`: many series, appended in shards side by side.
//!
//! Each round has a hundred scrapes of every shard, 30 s apart, in a shard one after the other.
//! The shards of a round are appended by as many threads as there are cores, which is how Go's
//! scheduler runs them there. No block is cut meanwhile, and records are not packed.

use std::collections::HashSet;
use std::fmt;
use std::io::BufRead;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use crate::base::clock::Stopwatch;
use crate::model::{Labels, LabelsBuf};
use crate::series::{Append, Batch, OnReject, SeriesRef};
use crate::storage::db::{Tsdb, TsdbOptions};
use crate::storage::wal::Compression;

const SHARD_SERIES: usize = 1000;
const ROUND_SCRAPES: i64 = 100;
const STEP_MS: i64 = 30_000;
const FIRST_VALUE: i64 = 123_456_789;
const VALUE_STEP: i64 = 1000;

/// What a run came to.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Written {
    /// Series of the input.
    pub series: usize,
    /// Samples that were accepted.
    pub samples: u64,
    /// Time that appending took, without reading the input and closing the directory.
    pub seconds: f64,
    /// Time that closing took.
    pub close_seconds: f64,
    /// Bytes that series, chunks and label index take in memory, about.
    pub head_bytes: usize,
}

/// Why a run ended early.
#[derive(Debug)]
pub struct BenchError(String);

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BenchError {}

fn failed(what: &'static str) -> impl Fn(&dyn fmt::Display) -> BenchError {
    move |error| BenchError(format!("{what}: {error}"))
}

/// Reads at most `limit` label sets, one a line as `{"name":"value",…}`, each once.
///
/// As promtool does it: quotes and braces are dropped wherever they stand, and a value ends at its
/// first colon.
///
/// # Errors
/// The input's, a label without a colon, a name that stands twice.
pub fn read_labels(input: impl BufRead, limit: usize) -> Result<Vec<Labels>, BenchError> {
    let (mut found, mut known) = (Vec::new(), HashSet::new());
    let mut buf = LabelsBuf::new();
    for line in input.lines() {
        if found.len() >= limit {
            break;
        }
        let line = line.map_err(|error| failed("read labels")(&error))?;
        let text: String = line.chars().filter(|c| !matches!(c, '"' | '{' | '}')).collect();
        buf.clear();
        for label in text.split(',') {
            let mut parts = label.split(':');
            let (name, value) = (parts.next().unwrap_or_default(), parts.next());
            let value = value.ok_or_else(|| failed("no label")(&label))?;
            buf.push(name, value);
        }
        let labels = buf.finish().map_err(|error| failed("labels")(&error))?;
        if known.insert(labels.hash()) {
            found.push(labels.to_labels());
        }
    }
    Ok(found)
}

/// Appends `scrapes` samples, rounded up to hundreds, to each of the series, into a new data
/// directory.
///
/// # Errors
/// The directory's.
pub fn write(dir: &Path, labels: &[Labels], scrapes: i64) -> Result<Written, BenchError> {
    let mut options = TsdbOptions { background: false, ..TsdbOptions::default() };
    options.wal.compression = Compression::None;
    let db = Tsdb::open_at(dir, options).map_err(|error| failed("open")(&error))?;
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let samples = AtomicU64::new(0);
    let stopwatch = Stopwatch::start();
    let mut round_ms = 0;
    while round_ms < scrapes * STEP_MS {
        let next = AtomicUsize::new(0);
        let work = || -> Result<(), BenchError> {
            let mut shard = Shard::default();
            while let Some(labels) =
                labels.chunks(SHARD_SERIES).nth(next.fetch_add(1, Ordering::Relaxed))
            {
                samples.fetch_add(shard.append(&db, labels, round_ms)?, Ordering::Relaxed);
            }
            Ok(())
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let died = |_| BenchError("a thread has died".to_owned());
            threads.into_iter().try_for_each(|thread| thread.join().map_err(died)?)
        })?;
        round_ms += ROUND_SCRAPES * STEP_MS;
    }
    let seconds = stopwatch.seconds();
    let head_bytes = db.stats().head_bytes;
    let stopwatch = Stopwatch::start();
    db.close().map_err(|error| failed("close")(&error))?;
    let (samples, close_seconds) = (samples.into_inner(), stopwatch.seconds());
    Ok(Written { series: labels.len(), samples, seconds, close_seconds, head_bytes })
}

/// Memory of a thread.
#[derive(Default)]
struct Shard {
    series: Vec<SeriesRef>,
    batch: Batch,
}

impl Shard {
    /// Appends one round of scrapes; returns how many samples were accepted.
    fn append(&mut self, db: &Tsdb, labels: &[Labels], round_ms: i64) -> Result<u64, BenchError> {
        self.series.clear();
        db.resolve_all(labels, &mut self.series).map_err(|error| failed("name series")(&error))?;
        let mut accepted = 0;
        for scrape in 1..=ROUND_SCRAPES {
            self.batch.clear();
            let value = (FIRST_VALUE + VALUE_STEP * scrape) as f64;
            for series in &self.series {
                self.batch.push_known(*series);
                self.batch.push_sample(round_ms + scrape * STEP_MS, value);
            }
            let outcome = db.append(&mut self.batch, OnReject::KeepRest);
            accepted += outcome.map_err(|error| failed("append")(&error))?.accepted as u64;
        }
        Ok(accepted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Column, Queryable, Select, TimeRange};

    #[test]
    fn label_sets_are_read_as_promtool_reads_them() {
        let text =
            "{\"b\":\"x:1\",\"a\":\"y\"}\n{\"a\":\"y\",\"b\":\"x\"}\n{\"c\":\"z\"}\n{\"d\":\"\"}";
        let found = read_labels(text.as_bytes(), 2).unwrap();
        let wanted = [vec![("a", "y"), ("b", "x")], vec![("c", "z")]];
        assert_eq!(found, wanted.map(|pairs| Labels::from_pairs(pairs).unwrap()));
        assert!(read_labels(&b"{\"a\"}"[..], 1).is_err());
    }

    #[test]
    fn every_series_has_every_scrape() {
        let dir = tempfile::tempdir().unwrap();
        let labels = |n: usize| Labels::from_pairs([("n", n.to_string())]).unwrap();
        let labels: Vec<Labels> = (0..1001).map(labels).collect();
        let written = write(dir.path(), &labels, 101).unwrap();
        assert_eq!((written.series, written.samples), (1001, 200_200));
        let options = TsdbOptions { background: false, ..TsdbOptions::default() };
        let db = Tsdb::open_at(dir.path(), options).unwrap();
        let found = db.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap().series;
        assert_eq!(found.len(), 1001);
        let mut column = Column::new();
        found[1000].read(TimeRange::ALL, &mut column).unwrap();
        let times: Vec<i64> = (1..=200).map(|scrape| scrape * STEP_MS).collect();
        assert_eq!(column.timestamps, times);
        assert_eq!((column.floats[0], column.floats[100]), (123_457_789.0, 123_457_789.0));
    }
}
