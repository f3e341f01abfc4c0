//! Appending series by series, for programs that make their own samples.

use crate::model::histogram::HistogramRef;
use crate::model::{Exemplar, Labels, Metadata, Value};
use crate::series::{Append, AppendError, Batch, OnReject, Outcome, SeriesRef, Verdict};

use super::Tsdb;

/// Collects samples and stores them together: all of a commit is in the log, and seen by readers,
/// or nothing. What was not committed is forgotten when it is dropped.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let db = promlite::Tsdb::open_at(dir.path(), Default::default())?;
/// let labels = promlite::Labels::from_pairs([("__name__", "requests_total"), ("job", "api")])?;
/// let mut appender = db.appender();
/// let series = appender.series(&labels)?;
/// for minute in 0..5 {
///     appender.push(series, 1_767_571_200_000 + minute * 60_000, minute as f64);
/// }
/// assert_eq!(appender.commit()?.accepted, 5);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Appender {
    db: Tsdb,
    batch: Batch,
    last: SeriesRef,
    /// What is in the batch is stored; it is there for its verdicts.
    is_committed: bool,
}

impl Tsdb {
    /// An appender. Any number of them may be at work at a time.
    #[must_use]
    pub fn appender(&self) -> Appender {
        let (batch, last) = (Batch::new(), SeriesRef::UNKNOWN);
        Appender { db: self.clone(), batch, last, is_committed: false }
    }
}

impl Appender {
    /// Names a series, and creates it if it is not there. The name is good as long as the series
    /// has samples in memory: if it had none for hours, [`Verdict::UnknownSeries`] says that it is
    /// to be named anew.
    ///
    /// # Errors
    /// An empty label set, a series too many, a directory that is closed.
    pub fn series(&mut self, labels: &Labels) -> Result<SeriesRef, AppendError> {
        self.db.resolve(labels)
    }

    #[inline]
    fn begin(&mut self, series: SeriesRef) {
        if self.is_committed {
            self.rollback();
        }
        if self.batch.series_count() == 0 || self.last != series {
            self.batch.push_known(series);
            self.last = series;
        }
    }

    /// Adds a float.
    #[inline]
    pub fn push(&mut self, series: SeriesRef, timestamp_ms: i64, value: f64) {
        self.begin(series);
        self.batch.push_sample(timestamp_ms, value);
    }

    /// Adds a histogram.
    pub fn push_histogram(
        &mut self,
        series: SeriesRef,
        timestamp_ms: i64,
        histogram: HistogramRef<'_>,
    ) {
        self.begin(series);
        self.batch.push_histogram(timestamp_ms, histogram);
    }

    /// Adds a sample of either kind, with the time since when it counts, or 0.
    pub fn push_value(
        &mut self,
        series: SeriesRef,
        timestamp_ms: i64,
        start_ms: i64,
        value: Value<'_>,
    ) {
        self.begin(series);
        self.batch.push_value(timestamp_ms, start_ms, value);
    }

    /// Adds an exemplar.
    pub fn push_exemplar(&mut self, series: SeriesRef, exemplar: Exemplar) {
        self.begin(series);
        self.batch.push_exemplar(exemplar);
    }

    /// Says what a series means.
    pub fn push_metadata(&mut self, series: SeriesRef, metadata: Metadata) {
        self.begin(series);
        self.batch.push_metadata(metadata);
    }

    /// Stores what was added, and is empty then. Samples that are refused, such as one that comes
    /// too late, leave the others alone: [`Outcome::rejected`] counts them, and
    /// [`Appender::verdicts`] says why.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing is stored then, and nothing kept to be committed again.
    pub fn commit(&mut self) -> Result<Outcome, AppendError> {
        if self.is_committed {
            self.rollback();
        }
        self.is_committed = true;
        self.db.append(&mut self.batch, OnReject::KeepRest)
    }

    /// Forgets what was added.
    pub fn rollback(&mut self) {
        self.batch.clear();
        self.is_committed = false;
    }

    /// One verdict for each sample of the last commit, in their order, until the next sample is
    /// added.
    #[must_use]
    pub fn verdicts(&self) -> &[Verdict] {
        self.batch.verdicts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SystemClock;
    use crate::base::metrics::Registry;
    use crate::disk::MemoryDisk;
    use crate::model::histogram::Histogram;
    use crate::series::{Queryable, Select, TimeRange};
    use crate::storage::db::TsdbOptions;

    fn open() -> Tsdb {
        let (disk, clock) = (MemoryDisk::shared(), SystemClock::shared());
        let options = TsdbOptions { background: false, ..TsdbOptions::default() };
        Tsdb::open(disk, clock, "data".as_ref(), options, &Registry::new()).unwrap()
    }

    fn labels(name: &str) -> Labels {
        Labels::from_pairs([("__name__", name)]).unwrap()
    }

    #[test]
    fn what_is_committed_is_stored_and_nothing_else() {
        let db = open();
        let mut appender = db.appender();
        let a = appender.series(&labels("a")).unwrap();
        let b = appender.series(&labels("b")).unwrap();
        assert_eq!(appender.series(&labels("a")).unwrap(), a);
        appender.push(a, 1, 1.0);
        appender.push_histogram(b, 1, Histogram::stale(false).as_ref());
        appender.push(a, 2, 2.0);
        appender.push(a, 2, 3.0);
        let outcome = appender.commit().unwrap();
        assert_eq!((outcome.accepted, outcome.rejected), (3, 1));
        let twice = Verdict::DuplicateTimestamp;
        let fine = Verdict::Accepted;
        assert_eq!(appender.verdicts(), [fine, fine, fine, twice]);
        // Nothing is stored twice.
        assert_eq!(appender.commit().unwrap(), Outcome::default());
        appender.push(a, 3, 3.0);
        appender.rollback();
        assert_eq!(appender.commit().unwrap(), Outcome::default());
        appender.push(b, 4, 4.0);
        drop(appender);
        let set = db.select(&Select::new(Vec::new(), TimeRange::ALL)).unwrap();
        let counts = set.series.iter().map(|series| {
            let mut column = crate::series::Column::new();
            series.read(TimeRange::ALL, &mut column).unwrap();
            column.len()
        });
        assert_eq!(counts.collect::<Vec<_>>(), [2, 1]);
    }
}
