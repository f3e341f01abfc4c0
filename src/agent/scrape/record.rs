//! What becomes of one page: parsed, limited, appended as one batch, with staleness markers for
//! what is gone and the report of the scrape.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::base::clock::Stopwatch;
use crate::model::{Labels, LabelsBuf, stale_nan};
use crate::series::{Append, AppendError, Batch, OnReject, Verdict};
use crate::wire::config::ScrapeConfig;
use crate::wire::exposition::text::{Entry as Line, PageError, Parser, RawSample};

use super::cache::SeriesCache;
use super::fetch::FetchError;
use super::limits::{self, LimitError};
use super::metrics::ScrapeMetrics;
use super::report::{Numbers, Report};
use super::series::{SeriesError, final_labels};
use super::target::Target;

/// Samples that claim to be further in the future are not believed.
const AHEAD_MAX_MS: i64 = 10 * 60 * 1000;

/// Why a scrape failed; the texts are Prometheus's.
#[derive(Debug)]
pub(crate) enum ScrapeError {
    Fetch(FetchError),
    Page(PageError),
    Series(SeriesError),
    Limit(LimitError),
    SampleLimit,
    Append(AppendError),
    /// The job has too many targets: how many, and the limit.
    TargetLimit(usize, usize),
}

impl fmt::Display for ScrapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetch(error) => error.fmt(f),
            Self::Page(error) => error.fmt(f),
            Self::Series(error) => error.fmt(f),
            Self::Limit(error) => error.fmt(f),
            Self::SampleLimit => f.write_str("sample limit exceeded"),
            Self::Append(error) => error.fmt(f),
            Self::TargetLimit(count, limit) => {
                write!(f, "target_limit exceeded (number of targets: {count}, limit: {limit})")
            }
        }
    }
}

/// Memory for one scrape at a time, lent from scrape to scrape and from target to target.
#[derive(Debug, Default)]
pub(crate) struct Bench {
    batch: Batch,
    /// What each series of the batch is, in order.
    pushed: Vec<Pushed>,
    labels: LabelsBuf,
}

#[derive(Debug, Clone, Copy)]
enum Pushed {
    /// A sample of this cache entry; whether its series goes on by it.
    Sample(usize, bool),
    /// The staleness marker of this cache entry.
    Stale(usize),
}

/// What is counted while a page is read.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    scraped: usize,
    kept: usize,
    appended: usize,
    added: usize,
    duplicates: usize,
    out_of_bounds: usize,
    over_limit: bool,
}

/// The moment of a scrape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// The timestamp of its samples.
    pub(crate) timestamp_ms: i64,
    /// The clock when it began.
    pub(crate) now_ms: i64,
    /// Runs since it began.
    pub(crate) watch: Stopwatch,
}

/// Everything about one target that lasts from scrape to scrape.
#[derive(Debug)]
pub(crate) struct Recorder {
    config: Arc<ScrapeConfig>,
    target: Arc<Target>,
    metrics: ScrapeMetrics,
    cache: SeriesCache,
    report: Report,
}

impl Recorder {
    pub(crate) fn new(
        config: Arc<ScrapeConfig>,
        target: Arc<Target>,
        metrics: ScrapeMetrics,
    ) -> Self {
        let report = Report::new(&target, config.extra_scrape_metrics);
        Self { config, target, metrics, cache: SeriesCache::new(), report }
    }

    /// Stores what a scrape brought; a failed one ends all series that went on before. Returns why
    /// the scrape failed, if it did, be it before or here.
    pub(crate) fn record(
        &mut self,
        bench: &mut Bench,
        sink: &dyn Append,
        fetched: Result<&[u8], ScrapeError>,
        moment: Moment,
    ) -> Option<ScrapeError> {
        bench.clear();
        let mut counts = Counts::default();
        let mut numbers = Numbers {
            timeout_seconds: self.target.timeout_ms as f64 / 1000.0,
            sample_limit: self.config.limits.sample_count,
            ..Numbers::default()
        };
        let read = match fetched {
            Ok(page) => {
                numbers.body_size_bytes = i64::try_from(page.len()).unwrap_or(i64::MAX);
                self.read_page(bench, page, moment, &mut counts)
            }
            Err(error) => {
                let oversized = matches!(error, ScrapeError::Fetch(FetchError::BodyTooLarge));
                numbers.body_size_bytes = if oversized { -1 } else { 0 };
                Err(error)
            }
        };
        numbers.scraped = counts.scraped;
        numbers.kept = counts.kept;
        numbers.added = counts.added;
        let failed = match read {
            Ok(()) => match self.store(bench, sink, moment, true, numbers) {
                Ok(()) => None,
                Err(error) => Some(ScrapeError::Append(error)),
            },
            Err(error) => Some(error),
        };
        if failed.is_some() {
            bench.clear();
            if let Err(error) = self.store(bench, sink, moment, false, numbers) {
                tracing::warn!(target = self.target.url, %error, "appending scrape report failed");
            }
        }
        if self.cache.end_round(failed.is_none() && numbers.body_size_bytes > 0) {
            self.metrics.cache_flush_forced.inc();
        }
        failed
    }

    /// Ends all series of a target that is gone. Those that another loop went on with are newer
    /// than the markers, which the storage then refuses.
    pub(crate) fn end(&mut self, bench: &mut Bench, sink: &dyn Append, timestamp_ms: i64) {
        bench.clear();
        self.push_stale(bench, timestamp_ms, true);
        self.report.push_end(&mut bench.batch, timestamp_ms);
        if let Err(error) = sink.append(&mut bench.batch, OnReject::KeepRest) {
            tracing::warn!(target = self.target.url, %error, "appending staleness markers failed");
        }
    }

    fn read_page(
        &mut self,
        bench: &mut Bench,
        page: &[u8],
        moment: Moment,
        counts: &mut Counts,
    ) -> Result<(), ScrapeError> {
        for line in Parser::new(page) {
            if let Line::Sample(sample) = line.map_err(ScrapeError::Page)? {
                counts.scraped += 1;
                self.read_sample(bench, sample, moment, counts)?;
            }
        }
        self.metrics.duplicate.add(counts.duplicates as u64);
        self.metrics.out_of_bounds.add(counts.out_of_bounds as u64);
        if counts.duplicates + counts.out_of_bounds > 0 {
            let (duplicates, out_of_bounds) = (counts.duplicates, counts.out_of_bounds);
            let target = &self.target.url;
            tracing::warn!(target, duplicates, out_of_bounds, "samples of a page were dropped");
        }
        if counts.over_limit {
            self.metrics.exceeded_sample_limit.inc();
            return Err(ScrapeError::SampleLimit);
        }
        Ok(())
    }

    #[inline]
    fn read_sample(
        &mut self,
        bench: &mut Bench,
        sample: RawSample<'_>,
        moment: Moment,
        counts: &mut Counts,
    ) -> Result<(), ScrapeError> {
        let index = match self.cache.find(sample.series) {
            Some(index) => index,
            None => match self.meet(&mut bench.labels, sample, counts)? {
                Some(index) => index,
                None => return Ok(()),
            },
        };
        let round = self.cache.round();
        let Some(entry) = self.cache.entry_mut(index) else { return Ok(()) };
        let seen_before = entry.seen == round;
        entry.seen = round;
        let Some(labels) = &entry.labels else { return Ok(()) };
        counts.kept += 1;
        let explicit_ms = sample.timestamp_ms.filter(|_| self.config.honor_timestamps);
        if seen_before && explicit_ms.is_none() {
            counts.duplicates += 1;
            return Ok(());
        }
        let limit = self.config.limits.sample_count;
        if limit > 0 && counts.appended >= limit {
            // Read on: the report tells how many samples there were.
            counts.over_limit = true;
            return Ok(());
        }
        let timestamp_ms = explicit_ms.unwrap_or(moment.timestamp_ms);
        if timestamp_ms > moment.now_ms.saturating_add(AHEAD_MAX_MS) {
            counts.out_of_bounds += 1;
            return Ok(());
        }
        counts.appended += 1;
        let tracks = explicit_ms.is_none() || self.config.track_timestamps_staleness;
        if tracks {
            entry.tracked = round;
        }
        bench.batch.push_series(entry.series, labels.as_ref());
        bench.batch.push_sample(timestamp_ms, sample.value);
        bench.pushed.push(Pushed::Sample(index, tracks));
        Ok(())
    }

    /// Decides once what becomes of a series that is not known. Nothing if it is to be passed over
    /// without being remembered.
    fn meet(
        &mut self,
        buffer: &mut LabelsBuf,
        sample: RawSample<'_>,
        counts: &mut Counts,
    ) -> Result<Option<usize>, ScrapeError> {
        let config = &self.config;
        let labels = final_labels(sample, &self.target.labels, config, buffer)
            .map_err(ScrapeError::Series)?;
        if let Some(labels) = &labels {
            if let Err(error) = limits::check(labels, &config.limits) {
                self.metrics.exceeded_label_limits.inc();
                return Err(ScrapeError::Limit(error));
            }
            let limit = config.limits.sample_count;
            if limit > 0 && counts.appended >= limit {
                counts.over_limit = true;
                counts.kept += 1;
                return Ok(None);
            }
            counts.added += 1;
        }
        Ok(Some(self.cache.add(sample.series, labels)))
    }

    /// Appends what the bench holds, the markers of what is gone, and the report.
    fn store(
        &mut self,
        bench: &mut Bench,
        sink: &dyn Append,
        moment: Moment,
        up: bool,
        numbers: Numbers,
    ) -> Result<(), AppendError> {
        let timestamp_ms = moment.timestamp_ms;
        self.push_stale(bench, timestamp_ms, !up);
        let duration_seconds = moment.watch.seconds();
        let numbers = Numbers { up, duration_seconds, ..numbers };
        self.report.push(&mut bench.batch, timestamp_ms, &numbers);
        let outcome = sink.append(&mut bench.batch, OnReject::KeepRest)?;
        self.report.learn(&bench.batch);
        self.settle(bench);
        if outcome.rejected > 0 {
            self.count_rejected(bench);
        }
        Ok(())
    }

    /// Pushes markers for series that went on until now and are no longer there; for all that went
    /// on if `all`.
    fn push_stale(&self, bench: &mut Bench, timestamp_ms: i64, all: bool) {
        let round = self.cache.round();
        let entries = self.cache.entries();
        let is_gone = |index: &usize| {
            entries.get(*index).is_some_and(|entry| entry.live && (all || entry.tracked != round))
        };
        let first = bench.pushed.len();
        bench.pushed.extend((0..entries.len()).filter(is_gone).map(Pushed::Stale));
        if bench.pushed.len() == first {
            return;
        }
        // The same labels may stand on the page under another text: then nothing is gone.
        let moved = if all { HashSet::new() } else { self.moved(bench, first) };
        let mut kept = first;
        for at in first..bench.pushed.len() {
            let Some(Pushed::Stale(index)) = bench.pushed.get(at).copied() else { continue };
            let Some(entry) = entries.get(index) else { continue };
            let Some(labels) = entry.labels.as_ref().filter(|l| !moved.contains(l)) else {
                continue;
            };
            bench.batch.push_series(entry.series, labels.as_ref());
            bench.batch.push_sample(timestamp_ms, stale_nan());
            if let Some(slot) = bench.pushed.get_mut(kept) {
                *slot = Pushed::Stale(index);
                kept += 1;
            }
        }
        bench.pushed.truncate(kept);
    }

    /// Labels of series that seem gone but are on this page.
    fn moved(&self, bench: &Bench, first: usize) -> HashSet<&Labels> {
        let entries = self.cache.entries();
        let gone = bench.pushed.get(first..).unwrap_or_default();
        let labels = |pushed: &Pushed| match pushed {
            Pushed::Stale(index) | Pushed::Sample(index, _) => entries.get(*index)?.labels.as_ref(),
        };
        let gone: HashSet<&Labels> = gone.iter().filter_map(labels).collect();
        let round = self.cache.round();
        let here = entries.iter().filter(|entry| entry.tracked == round);
        here.filter_map(|entry| entry.labels.as_ref()).filter(|l| gone.contains(l)).collect()
    }

    /// Takes over what the storage answered.
    fn settle(&mut self, bench: &Bench) {
        let verdicts = bench.batch.verdicts();
        for (at, pushed) in bench.pushed.iter().enumerate() {
            let accepted = verdicts.get(at).is_none_or(|verdict| verdict.is_accepted());
            match *pushed {
                Pushed::Sample(index, tracks) => {
                    if let Some(entry) = self.cache.entry_mut(index) {
                        entry.series = bench.batch.series_ref(at);
                        entry.live |= accepted && tracks;
                    }
                }
                Pushed::Stale(index) => {
                    if let Some(entry) = self.cache.entry_mut(index) {
                        entry.live = false;
                    }
                }
            }
        }
    }

    /// Counts samples that the storage refused; refused markers are expected when a target comes
    /// back.
    #[cold]
    fn count_rejected(&self, bench: &Bench) {
        let mut dropped = 0;
        for (pushed, verdict) in bench.pushed.iter().zip(bench.batch.verdicts()) {
            if verdict.is_accepted() || matches!(pushed, Pushed::Stale(_)) {
                continue;
            }
            dropped += 1;
            match verdict {
                Verdict::DuplicateTimestamp => self.metrics.duplicate.inc(),
                Verdict::OutOfOrder => self.metrics.out_of_order.inc(),
                _ => self.metrics.out_of_bounds.inc(),
            }
        }
        if dropped > 0 {
            tracing::warn!(target = self.target.url, dropped, "the storage refused samples");
        }
    }
}

/// A bench that held more samples than this is given back to the system.
const BENCH_KEPT_MAX_SAMPLES: usize = 50_000;

impl Bench {
    /// False after a page so large that its memory had better not stay taken.
    pub(super) fn is_worth_keeping(&self) -> bool {
        self.batch.sample_count() <= BENCH_KEPT_MAX_SAMPLES
    }

    fn clear(&mut self) {
        self.batch.clear();
        self.pushed.clear();
    }
}

#[cfg(test)]
mod tests;
