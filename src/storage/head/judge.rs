//! Judging the samples of a batch: which may stay, and where.

use std::sync::Arc;

use crate::model::histogram::HistogramRef;
use crate::model::{LabelsRef, Sample, Value, is_stale};
use crate::series::{AppendError, Batch, BatchEntry, SeriesRef, Verdict};

use super::append::Work;
use super::bounds::Judged;
use super::isolation::OpenBatch;
use super::page::{Page, PageSeries, page_of};
use super::rows::{HistogramRow, LateRow, Row};
use super::series::{Newest, NewestValue, SampleKind, Series, Source};
use super::state::Head;

/// A series belongs to another batch that is not whole.
#[derive(Debug)]
pub(super) struct Conflict;

/// What the judging came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Judgement {
    pub(super) refused: usize,
    pub(super) created: usize,
    /// A sample was refused because of what was stored before the batch. One that is refused
    /// only because of its neighbours in the batch does not count: Prometheus leaves it out
    /// without refusing the batch. Nor does a series that would be one too many.
    pub(super) is_batch_refused: bool,
}

/// What is to become of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It goes to the log and into the chunk.
    Store,
    /// It goes to the logs and among the late samples.
    Late,
    /// It is there already.
    Same,
    /// It is refused.
    Refuse(Verdict),
}

/// Why the way through a page ended.
enum Step {
    /// The next entry is of another page.
    PageEnds,
    /// The next entry's series is not where it was looked for.
    LookUp,
}

/// A sample whose kind is settled.
#[derive(Clone, Copy)]
enum Offer<'a> {
    Float(f64),
    Histogram(HistogramRef<'a>, Source),
}

/// Each look at the list of pages is a write to a place that all appending threads share, for which
/// they wait; so few of them are made.
const PAGES_AT_ONCE: usize = 16;

/// Judges one batch.
pub(super) struct Judge<'a, 'b> {
    head: &'a Head,
    batch: &'a Batch,
    work: &'a mut Work,
    open: &'a mut OpenBatch<'b>,
    bounds: Judged,
    /// The batch has no histograms.
    is_floats: bool,
    /// Floats are kept with their starts.
    keeps_starts: bool,
    /// The pages that were looked up last and not used yet, from this number on. Who holds the
    /// gate keeps them where they are.
    pages: [Option<Arc<Page>>; PAGES_AT_ONCE],
    first_page: u64,
    /// That of the last entry. Pages behind it are most likely another thread's.
    last_page: u64,
    /// The last series that was found: the next one is most often its neighbour.
    last: SeriesRef,
    pub(super) judgement: Judgement,
}

impl<'a, 'b> Judge<'a, 'b> {
    pub(super) fn new(
        head: &'a Head,
        batch: &'a Batch,
        work: &'a mut Work,
        open: &'a mut OpenBatch<'b>,
    ) -> Self {
        let first_ms = batch.samples().first().map_or(i64::MAX, |sample| sample.timestamp_ms);
        let bounds =
            head.bounds.for_batch(first_ms, head.options.range_ms, head.options.late_window_ms);
        let is_floats = batch.histograms().is_empty();
        let keeps_starts = head.options.float_starts;
        let last_page = page_of(batch.series_ref(batch.series_count().saturating_sub(1)));
        let (last, judgement) = (SeriesRef::UNKNOWN, Judgement::default());
        Self {
            head,
            batch,
            work,
            open,
            bounds,
            is_floats,
            keeps_starts,
            pages: [const { None }; PAGES_AT_ONCE],
            first_page: 0,
            last_page,
            last,
            judgement,
        }
    }

    /// Goes through all entries, page by page.
    pub(super) fn all(&mut self) -> Result<Result<Judgement, Conflict>, AppendError> {
        let (mut next, mut found) = (0, None);
        while let Some(entry) = self.batch.entry(next) {
            let series = found.unwrap_or_else(|| guess(&entry, self.last));
            let step = match self.page(page_of(series)) {
                Some(page) => {
                    let mut page = page.lock();
                    if found.is_none() && self.is_floats && !self.keeps_starts {
                        next += self.walk_plain(&mut page, page_of(series), next);
                    }
                    match self.walk(&mut page, page_of(series), &mut next, found.take()) {
                        Ok(step) => step,
                        Err(Conflict) => return Ok(Err(Conflict)),
                    }
                }
                None => Step::LookUp,
            };
            if matches!(step, Step::LookUp) {
                found = self.look_up(next)?;
                next += usize::from(found.is_none());
            }
        }
        Ok(Ok(self.judgement))
    }

    /// The page of a number.
    fn page(&mut self, number: u64) -> Option<Arc<Page>> {
        let index = number.wrapping_sub(self.first_page) as usize;
        if let Some(known) = self.pages.get_mut(index).and_then(Option::take) {
            return Some(known);
        }
        self.first_page = number;
        self.head.series.run(number, self.last_page.max(number), &mut self.pages);
        self.pages.first_mut().and_then(Option::take)
    }

    /// Judges the entries from `next` on whose series stand in the page, as long as each is what
    /// nearly all are: one float that only makes the open chunk of its series longer. Returns how
    /// many they were.
    ///
    /// All that could make them something else is looked at in one place, and nothing is kept of
    /// them but their row in the log.
    fn walk_plain(&mut self, page: &mut PageSeries, number: u64, next: usize) -> usize {
        let (batch, min_valid_ms) = (self.batch, self.bounds.min_valid_ms);
        let samples = batch.samples();
        let (mut count, mut last, mut span) = (0, self.last, self.work.stored_span);
        for entry in batch.entries_from(next) {
            let name = guess(&entry, last);
            if page_of(name) != number {
                break;
            }
            let Some(series) = page.get_mut(name) else { break };
            if (entry.has_labels || entry.series != name)
                && !self.is_it(series, next + count, &entry)
            {
                break;
            }
            let Some(&[sample]) = samples.get(entry.samples) else { break };
            if sample.timestamp_ms < min_valid_ms || !series.store_plain(sample, self.open) {
                break;
            }
            self.work.rows.floats.push(name, sample);
            if entry.series != name {
                self.work.answers.push((next + count, name));
            }
            span.widen(sample.timestamp_ms);
            last = name;
            count += 1;
        }
        (self.last, self.work.stored_span) = (last, span);
        self.work.stored_at_once += count as u64;
        count
    }

    /// Judges the entries from `next` on whose series stand in the page. The first of them is
    /// known to be `found`, if that is given.
    fn walk(
        &mut self,
        page: &mut PageSeries,
        number: u64,
        next: &mut usize,
        mut found: Option<SeriesRef>,
    ) -> Result<Step, Conflict> {
        let batch = self.batch;
        for entry in batch.entries_from(*next) {
            let is_found = found.is_some();
            let name = found.take().unwrap_or_else(|| guess(&entry, self.last));
            if page_of(name) != number {
                return Ok(Step::PageEnds);
            }
            let Some(series) = page.get_mut(name) else { return Ok(Step::LookUp) };
            if !is_found && !self.is_it(series, *next, &entry) {
                return Ok(Step::LookUp);
            }
            if entry.series != name {
                self.work.answers.push((*next, name));
            }
            self.last = name;
            self.judge_entry(series, name, entry)?;
            *next += 1;
        }
        Ok(Step::PageEnds)
    }

    #[inline]
    fn is_it(&self, series: &Series, index: usize, entry: &BatchEntry) -> bool {
        if !entry.has_labels {
            return entry.series.is_known();
        }
        let labels = self.batch.labels(index);
        // A reference of some other storage is recognised by the hash.
        series.hash == labels.hash() && (entry.series.is_known() || series.labels.are(labels))
    }

    /// Finds the series of an entry by its labels, or creates it. If there can be none, its
    /// samples are refused.
    #[cold]
    fn look_up(&mut self, index: usize) -> Result<Option<SeriesRef>, AppendError> {
        let Some(entry) = self.batch.entry(index) else { return Ok(None) };
        if !entry.has_labels {
            if !entry.series.is_known() {
                return Err(AppendError::EmptyLabels);
            }
            self.refuse_entry(&entry, Verdict::UnknownSeries);
            self.judgement.is_batch_refused = true;
            return Ok(None);
        }
        let labels: LabelsRef<'_> = self.batch.labels(index);
        if let Some(known) = self.head.series.find(labels.hash(), labels) {
            return Ok(Some(known));
        }
        match self.head.find_or_create(labels, self.open) {
            Ok((series, None)) => Ok(Some(series)),
            Ok((series, Some(labels))) => {
                self.work.created.push((series, labels));
                self.judgement.created += 1;
                Ok(Some(series))
            }
            Err(_) => {
                self.refuse_entry(&entry, Verdict::SeriesLimit);
                Ok(None)
            }
        }
    }

    fn refuse_entry(&mut self, entry: &BatchEntry, verdict: Verdict) {
        self.judgement.refused += entry.samples.len();
        self.work.refused.extend(entry.samples.clone().map(|index| (index, verdict)));
    }

    #[inline]
    fn judge_entry(
        &mut self,
        series: &mut Series,
        name: SeriesRef,
        entry: BatchEntry,
    ) -> Result<(), Conflict> {
        if !self.open.may_follow(series.batch()) {
            return Err(Conflict);
        }
        let samples = self.batch.samples().get(entry.samples.clone()).unwrap_or_default();
        for (index, sample) in (entry.samples.start..).zip(samples.iter().copied()) {
            let is_plain = self.is_floats && matches!(series.newest.value, NewestValue::Float(_));
            // What nearly every sample is: a float that is newer than the float before it.
            if is_plain
                && sample.timestamp_ms > series.newest.timestamp_ms
                && sample.timestamp_ms >= self.bounds.min_valid_ms
            {
                series.claim(self.open);
                self.name_in_log(series, name);
                self.place_float(series, name, index, sample);
                continue;
            }
            self.judge_sample(series, name, index, sample);
        }
        Ok(())
    }

    #[inline(never)]
    fn judge_sample(&mut self, series: &mut Series, name: SeriesRef, index: usize, sample: Sample) {
        let offer = match self.offer(series, index, sample) {
            Ok(offer) => offer,
            Err(verdict) => {
                self.refuse(index, verdict);
                self.judgement.is_batch_refused = true;
                return;
            }
        };
        match self.fate(series, series.newest, sample.timestamp_ms, offer) {
            Fate::Store => match offer {
                Offer::Float(_) => {
                    self.promise(series, name, SampleKind::Float);
                    self.place_float(series, name, index, sample);
                }
                Offer::Histogram(_, source) => {
                    self.promise_histogram(series, name, index, sample.timestamp_ms, source);
                }
            },
            Fate::Late => self.take_late(series, name, index, sample.timestamp_ms, offer),
            Fate::Same => {}
            Fate::Refuse(verdict) => {
                self.refuse(index, verdict);
                let stored = series.newest_before(self.open.number);
                let alone = self.fate(series, stored, sample.timestamp_ms, offer);
                self.judgement.is_batch_refused |= matches!(alone, Fate::Refuse(_));
            }
        }
    }

    fn refuse(&mut self, index: usize, verdict: Verdict) {
        self.judgement.refused += 1;
        self.work.refused.push((index, verdict));
    }

    /// Settles of what kind a sample is.
    fn offer(&self, series: &Series, index: usize, sample: Sample) -> Result<Offer<'a>, Verdict> {
        if let Some(histogram) = self.batch.histogram(index) {
            histogram.check().map_err(Verdict::InvalidHistogram)?;
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let source = Source::Batch { index, is_float: histogram.counts.is_float() };
            return Ok(Offer::Histogram(histogram, source));
        }
        // A scrape that ends says so with a float, whatever the series holds.
        let is_float = match series.newest.kind() {
            Some(SampleKind::IntegerHistogram) => false,
            Some(SampleKind::FloatHistogram) => true,
            Some(SampleKind::Float) | None => return Ok(Offer::Float(sample.value)),
        };
        if !is_stale(sample.value) {
            return Ok(Offer::Float(sample.value));
        }
        let source = Source::Stale { is_float };
        let stale = self.head.stales.resolve(source, self.batch);
        Ok(stale.map_or(Offer::Float(sample.value), |stale| Offer::Histogram(stale, source)))
    }

    /// The rules of `memSeries.appendable`.
    fn fate(&self, series: &Series, newest: Newest, time_ms: i64, offer: Offer<'_>) -> Fate {
        if time_ms < self.bounds.min_valid_ms {
            return self.late_fate(time_ms, Verdict::OutOfBounds);
        }
        if newest.kind().is_none() || time_ms > newest.timestamp_ms {
            return Fate::Store;
        }
        if time_ms < newest.timestamp_ms {
            return self.late_fate(time_ms, Verdict::OutOfOrder);
        }
        let is_same = match (newest.value, offer) {
            // By bits: the staleness marker equals itself, and 0 is not -0.
            (NewestValue::Float(known), Offer::Float(new)) => known.to_bits() == new.to_bits(),
            (NewestValue::Histogram { .. }, Offer::Histogram(new, _)) => series.repeats_last(new),
            (NewestValue::Promised(source), Offer::Histogram(new, _)) => {
                self.head.stales.resolve(source, self.batch) == Some(new)
            }
            (NewestValue::Closed(_), Offer::Float(new)) => {
                self.head.ends_with(series, Value::Float(new))
            }
            (NewestValue::Closed(_), Offer::Histogram(new, _)) => {
                self.head.ends_with(series, Value::Histogram(new))
            }
            _ => false,
        };
        if is_same { Fate::Same } else { Fate::Refuse(Verdict::DuplicateTimestamp) }
    }

    /// What becomes of a sample that is too old to be stored in order: `refused` where late ones
    /// are not taken.
    const fn late_fate(&self, time_ms: i64, refused: Verdict) -> Fate {
        match self.bounds.late_from_ms {
            Some(from_ms) if time_ms >= from_ms => Fate::Late,
            Some(_) => Fate::Refuse(Verdict::TooOld),
            None => Fate::Refuse(refused),
        }
    }

    fn take_late(
        &mut self,
        series: &mut Series,
        name: SeriesRef,
        index: usize,
        timestamp_ms: i64,
        offer: Offer<'_>,
    ) {
        self.name_in_log(series, name);
        let (start_ms, source) = match offer {
            Offer::Float(_) if self.head.options.float_starts => (self.batch.start_ms(index), None),
            Offer::Float(_) => (0, None),
            Offer::Histogram(_, source) if self.head.options.histogram_starts => {
                (self.batch.start_ms(index), Some(source))
            }
            Offer::Histogram(_, source) => (0, Some(source)),
        };
        self.work.late.push(LateRow { series: name, index, timestamp_ms, start_ms, source });
    }

    /// Has the log name a series that it does not know.
    #[inline]
    fn name_in_log(&mut self, series: &mut Series, name: SeriesRef) {
        if !series.is_logged {
            self.name_new(series, name);
        }
    }

    #[cold]
    fn name_new(&mut self, series: &mut Series, name: SeriesRef) {
        series.is_logged = true;
        self.work.unnamed.push((name, series.labels.clone()));
    }

    /// Puts a float that is promised a place among the rows, and into its chunk if it can be.
    fn place_float(&mut self, series: &mut Series, name: SeriesRef, index: usize, sample: Sample) {
        let Sample { timestamp_ms, value } = sample;
        let mut start_ms = 0;
        if self.keeps_starts {
            start_ms = self.batch.start_ms(index);
        } else {
            self.work.rows.floats.push(name, sample);
            if series.store_at_once(timestamp_ms, value) {
                self.work.stored_span.widen(timestamp_ms);
                self.work.stored_at_once += 1;
                return;
            }
        }
        self.work.rows.waiting.push(Row { series: name, sample, start_ms });
        series.newest = Newest { timestamp_ms, value: NewestValue::Float(value) };
    }

    fn promise_histogram(
        &mut self,
        series: &mut Series,
        name: SeriesRef,
        index: usize,
        timestamp_ms: i64,
        source: Source,
    ) {
        self.promise(series, name, SampleKind::histogram(source.is_float()));
        let keeps = self.head.options.histogram_starts;
        let start_ms = if keeps { self.batch.start_ms(index) } else { 0 };
        self.work.rows.histograms.push(HistogramRow {
            series: name,
            timestamp_ms,
            start_ms,
            source,
        });
        series.newest = Newest { timestamp_ms, value: NewestValue::Promised(source) };
    }

    #[inline]
    fn promise(&mut self, series: &mut Series, name: SeriesRef, kind: SampleKind) {
        if series.batch() == self.open.number {
            // The log sorts the samples of a part by kind.
            if series.newest.kind().is_some_and(|before| before != kind) {
                self.work.rows.end_part();
            }
        } else {
            series.claim(self.open);
        }
        self.name_in_log(series, name);
    }
}

/// The series that an entry has, or most likely has if the one before had `last`.
#[inline(always)]
fn guess(entry: &BatchEntry, last: SeriesRef) -> SeriesRef {
    if entry.series.is_known() {
        return entry.series;
    }
    // Scrapes and senders keep the order of their series, in which they were created.
    SeriesRef(last.0.wrapping_add(1))
}
