//! Several sources as one: blocks and head of a storage, storages of a program.

use std::sync::Arc;

use crate::base::parallel::in_parallel;
use crate::model::histogram::ResetHint;
use crate::model::{Column, Labels};

use super::chunk::{Chunk, TimeRange};
use super::select::{QueryError, Queryable, Select, Series, SeriesSet};

/// More sources than this are not asked at the same time.
const ASKED_AT_A_TIME: usize = 16;

/// Answers from several sources, which are asked side by side. A series that several have is one
/// series; where they have a sample for the same time, the source that comes first wins.
#[derive(Clone)]
pub struct Merged(Vec<Arc<dyn Queryable>>);

impl Merged {
    /// The earlier of `sources` win. Reading is cheapest if they are in order of time.
    #[must_use]
    pub const fn new(sources: Vec<Arc<dyn Queryable>>) -> Self {
        Self(sources)
    }

    /// What all sources answer, in their order, so that nothing depends on who is quick.
    fn ask<R: Send>(
        &self,
        ask: impl Fn(&dyn Queryable) -> Result<R, QueryError> + Sync,
    ) -> Result<Vec<R>, QueryError> {
        in_parallel(&self.0, ASKED_AT_A_TIME, |source| ask(&**source)).into_iter().collect()
    }

    fn texts(
        &self,
        ask: &Select,
        list: impl Fn(&dyn Queryable) -> Result<Vec<Arc<str>>, QueryError> + Sync,
    ) -> Result<Vec<Arc<str>>, QueryError> {
        let mut all = Vec::new();
        for texts in self.ask(list)? {
            if all.is_empty() {
                all = texts;
            } else {
                all.extend(texts);
                // Both halves ascend, which makes this sort a merge.
                all.sort();
                all.dedup();
            }
        }
        if ask.hints.limit > 0 {
            all.truncate(ask.hints.limit);
        }
        Ok(all)
    }
}

impl std::fmt::Debug for Merged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Merged({} sources)", self.0.len())
    }
}

impl Queryable for Merged {
    fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
        let mut merged = merge_sets(self.ask(|source| source.select(ask))?);
        if ask.hints.limit > 0 {
            merged.series.truncate(ask.hints.limit);
        }
        Ok(merged)
    }

    fn label_names(&self, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        self.texts(ask, |source| source.label_names(ask))
    }

    fn label_values(&self, name: &str, ask: &Select) -> Result<Vec<Arc<str>>, QueryError> {
        self.texts(ask, |source| source.label_values(name, ask))
    }
}

/// Several answers to the same question as one. Where they have a sample for the same time, the
/// set that comes first wins.
#[must_use]
pub fn merge_sets(sets: Vec<SeriesSet>) -> SeriesSet {
    let mut merged = SeriesSet::default();
    let mut sources = 0;
    for mut set in sets {
        merged.warnings.append(&mut set.warnings);
        sources += usize::from(!set.series.is_empty());
        if merged.series.is_empty() {
            merged.series = set.series;
        } else {
            merged.series.append(&mut set.series);
        }
    }
    if sources > 1 {
        // Stable, so that equal series stay in the order of the sources; and each source is a
        // sorted run, which makes this sort a merge.
        merged.series.sort_by(|a, b| a.labels().cmp(b.labels()));
        merged.series = join_equals(merged.series);
    }
    merged
}

/// Series in label order, those of equal labels as one.
pub(super) fn join_equals(sorted: Vec<Box<dyn Series>>) -> Vec<Box<dyn Series>> {
    let mut joined: Vec<Box<dyn Series>> = Vec::with_capacity(sorted.len());
    let mut rest = sorted.into_iter().peekable();
    while let Some(first) = rest.next() {
        let mut parts = Vec::new();
        while let Some(same) = rest.next_if(|next| next.labels() == first.labels()) {
            parts.push(same);
        }
        joined.push(if parts.is_empty() {
            first
        } else {
            let labels = first.labels().clone();
            parts.insert(0, first);
            Box::new(MergedSeries { labels, parts })
        });
    }
    joined
}

/// A series that several sources have.
struct MergedSeries {
    labels: Labels,
    parts: Vec<Box<dyn Series>>,
}

impl Series for MergedSeries {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn resolution_ms(&self) -> i64 {
        self.parts.iter().map(|part| part.resolution_ms()).max().unwrap_or(0)
    }

    fn sample_guess(&self) -> usize {
        self.parts.iter().map(|part| part.sample_guess()).fold(0, usize::saturating_add)
    }

    fn read(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError> {
        let start = into.len();
        let mut runs = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let run_start = into.len();
            if let Err(error) = part.read(range, into) {
                into.truncate(start);
                return Err(error);
            }
            if into.len() > run_start {
                runs.push(run_start..into.len());
            }
        }
        if is_ascending(into, &runs) {
            runs.iter().for_each(|run| forget_before(into, run.start));
        } else {
            merge_behind(into, start, &runs);
        }
        Ok(())
    }

    fn chunks(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), QueryError> {
        let start = into.len();
        for part in &self.parts {
            if let Err(error) = part.chunks(range, into) {
                into.truncate(start);
                return Err(error);
            }
        }
        into.get_mut(start..).unwrap_or_default().sort_by_key(|chunk| chunk.min_time_ms);
        Ok(())
    }
}

/// Samples of one source.
#[derive(Clone, Copy)]
struct Run<'a> {
    column: &'a Column,
    start: usize,
    end: usize,
}

impl<'a> Run<'a> {
    const fn of(column: &'a Column, range: std::ops::Range<usize>) -> Self {
        Self { column, start: range.start, end: range.end }
    }

    fn timestamps(&self) -> &'a [i64] {
        self.column.timestamps.get(self.start..self.end).unwrap_or_default()
    }

    fn first_ms(&self) -> i64 {
        self.timestamps().first().copied().unwrap_or(i64::MAX)
    }

    fn last_ms(&self) -> i64 {
        self.timestamps().last().copied().unwrap_or(i64::MIN)
    }

    /// Moves the samples before `end_ms` to `out`.
    fn move_before(&mut self, end_ms: i64, out: &mut Column) {
        let times = self.timestamps();
        // Sources that take turns are frequent: two replicas of one scrape.
        let is_single = times.get(1).is_some_and(|second| *second >= end_ms);
        let is_before = |time: &i64| *time < end_ms;
        let count = if is_single { 1 } else { times.partition_point(is_before) };
        out.extend_from(self.column, self.start..self.start + count);
        self.start += count;
    }

    fn move_all(self, out: &mut Column) {
        out.extend_from(self.column, self.start..self.end);
    }
}

/// A histogram whose neighbour before comes from somewhere else does not know any more whether
/// the counter began anew between the two.
pub fn forget_before(column: &mut Column, index: usize) {
    let hint = column.histograms.get(index).map(|histogram| histogram.hint);
    if hint.is_some_and(|hint| hint != ResetHint::Gauge) {
        column.histograms.set_hint(index, ResetHint::Unknown);
    }
}

/// Appends the samples of several columns in time order. Where several have a sample for the same
/// time, the first of them wins. What a histogram says about the one before it is forgotten where
/// another one comes before it now.
pub fn merge_columns(columns: &[Column], into: &mut Column) {
    merge_apart(columns.iter().map(|column| Run::of(column, 0..column.len())).collect(), into);
}

/// Brings the runs of samples that begin at `starts` and lie behind one another in `column`, each
/// in time order, into one order, as [`merge_columns`] does. Runs that follow one another in time
/// are left as they are.
pub fn merge_runs(column: &mut Column, starts: &[usize]) {
    let Some(start) = starts.first().copied() else { return };
    let ends = starts.iter().skip(1).copied().chain([column.len()]);
    let runs = starts.iter().copied().zip(ends).map(|(start, end)| start..end);
    let runs: Vec<_> = runs.filter(|run| !run.is_empty()).collect();
    if !is_ascending(column, &runs) {
        merge_behind(column, start, &runs);
    }
}

fn is_ascending(column: &Column, runs: &[std::ops::Range<usize>]) -> bool {
    runs.windows(2).all(|pair| match pair {
        [before, behind] => {
            column.timestamps.get(before.end - 1) < column.timestamps.get(behind.start)
        }
        _ => true,
    })
}

/// Merges the runs, which are all that is behind `start`.
fn merge_behind(column: &mut Column, start: usize, runs: &[std::ops::Range<usize>]) {
    let mut merged = Column::new();
    merge_apart(runs.iter().map(|run| Run::of(column, run.clone())).collect(), &mut merged);
    column.truncate(start);
    column.extend_from(&merged, 0..merged.len());
}

fn merge_apart(runs: Vec<Run<'_>>, merged: &mut Column) {
    let mut by_start: Vec<(usize, Run<'_>)> = runs.into_iter().enumerate().collect();
    by_start.retain(|(_, run)| run.start < run.end);
    by_start.sort_by_key(|(_, run)| run.first_ms());
    let mut rest = by_start.into_iter().peekable();
    while let Some(first) = rest.next() {
        // Only runs that overlap one another are merged sample by sample.
        let mut end_ms = first.1.last_ms();
        let mut cluster = vec![first];
        while let Some(next) = rest.next_if(|(_, run)| run.first_ms() <= end_ms) {
            end_ms = end_ms.max(next.1.last_ms());
            cluster.push(next);
        }
        let start = merged.len();
        if let [(_, alone)] = cluster.as_slice() {
            alone.move_all(merged);
            forget_before(merged, start);
            continue;
        }
        cluster.sort_by_key(|(priority, _)| *priority);
        let mut kept = Column::new();
        for (_, run) in cluster {
            let before = std::mem::take(&mut kept);
            merge_two(Run::of(&before, 0..before.len()), run, &mut kept);
        }
        Run::of(&kept, 0..kept.len()).move_all(merged);
    }
}

/// Merges two runs; `first` wins.
fn merge_two(mut first: Run<'_>, mut second: Run<'_>, out: &mut Column) {
    let mut was_first = None;
    let mut moved = |out: &mut Column, start: usize, is_first: bool| {
        if was_first != Some(is_first) {
            forget_before(out, start);
        }
        was_first = Some(is_first);
    };
    while let (Some(ours), Some(theirs)) = (first.timestamps().first(), second.timestamps().first())
    {
        let start = out.len();
        if ours == theirs {
            second.start += 1;
        } else if ours < theirs {
            first.move_before(*theirs, out);
            moved(out, start, true);
        } else {
            second.move_before(*ours, out);
            moved(out, start, false);
        }
    }
    for (left, is_first) in [(first, true), (second, false)] {
        let start = out.len();
        left.move_all(out);
        if out.len() > start {
            moved(out, start, is_first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Matcher;
    use crate::model::histogram::Histogram;
    use crate::testkit::ModelStore;
    use bytes::Bytes;
    use parking_lot::{Condvar, Mutex};
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn labels(name: &str) -> Labels {
        Labels::from_pairs([("__name__", name), ("job", "test")]).unwrap()
    }

    fn all() -> Select {
        Select::new(vec![Matcher::equal("job", "test")], TimeRange::ALL)
    }

    fn merged(stores: Vec<ModelStore>) -> Merged {
        let share = |store| Arc::new(store) as Arc<dyn Queryable>;
        Merged::new(stores.into_iter().map(share).collect())
    }

    fn read(source: &dyn Queryable) -> Vec<(Labels, Vec<(i64, f64)>)> {
        let mut column = Column::new();
        let mut read = |series: &dyn Series| {
            column.clear();
            column.push(-7, 7.0);
            series.read(TimeRange::ALL, &mut column).unwrap();
            assert_eq!((column.timestamps[0], column.floats[0]), (-7, 7.0));
            let samples = column.timestamps.iter().copied().zip(column.floats.iter().copied());
            (series.labels().clone(), samples.skip(1).collect())
        };
        source.select(&all()).unwrap().series.iter().map(|series| read(&**series)).collect()
    }

    proptest! {
        #[test]
        fn merged_sources_are_the_union_and_the_first_wins(
            sources in vec(vec((0_u8..4, 0_i64..1000, btree_set(0_i64..40, 0..20)), 0..4), 0..5),
        ) {
            let mut wanted: BTreeMap<Labels, BTreeMap<i64, f64>> = BTreeMap::new();
            let mut stores = Vec::new();
            for (value, source) in (0..).map(f64::from).zip(&sources) {
                let store = ModelStore::new();
                for (name, offset, times) in source {
                    let labels = labels(&format!("m{name}"));
                    for time in times {
                        // Sources far apart and sources that overlap.
                        let time = offset / 100 * 100 + time;
                        store.add(&labels, time, value);
                        wanted.entry(labels.clone()).or_default().entry(time).or_insert(value);
                    }
                }
                stores.push(store);
            }
            let wanted: Vec<(Labels, Vec<(i64, f64)>)> = wanted
                .into_iter()
                .map(|(labels, samples)| (labels, samples.into_iter().collect()))
                .collect();
            prop_assert_eq!(read(&merged(stores)), wanted);
        }
    }

    /// Answers as soon as all have been asked; the first of them last.
    struct Waiting {
        number: usize,
        asked: Arc<(Mutex<usize>, Condvar)>,
        all: usize,
    }

    impl Waiting {
        fn wait(&self) -> Result<(), QueryError> {
            let (asked, changed) = &*self.asked;
            let mut asked = asked.lock();
            *asked += 1;
            changed.notify_all();
            let waited = changed.wait_while_for(&mut asked, |asked| *asked < self.all, FOREVER);
            if waited.timed_out() {
                return Err(QueryError::Unavailable("the others were not asked".into()));
            }
            drop(asked);
            std::thread::sleep(Duration::from_millis(20 * (self.all - self.number) as u64));
            Ok(())
        }
    }

    const FOREVER: Duration = Duration::from_secs(60);

    impl Queryable for Waiting {
        fn select(&self, ask: &Select) -> Result<SeriesSet, QueryError> {
            self.wait()?;
            let store = ModelStore::new();
            store.add(&labels("m"), 7, self.number as f64);
            let set = store.select(ask)?;
            Ok(SeriesSet { series: set.series, warnings: vec![self.number.to_string()] })
        }

        fn label_names(&self, _: &Select) -> Result<Vec<Arc<str>>, QueryError> {
            self.wait()?;
            Ok(vec![Arc::from(format!("name-{}", self.number))])
        }

        fn label_values(&self, _: &str, _: &Select) -> Result<Vec<Arc<str>>, QueryError> {
            self.wait()?;
            Err(QueryError::Unavailable(self.number.to_string()))
        }
    }

    #[test]
    fn sources_are_asked_side_by_side_and_answer_in_their_order() {
        let sources = || {
            let asked: Arc<(Mutex<usize>, Condvar)> = Arc::default();
            let source = |number| Waiting { number, asked: asked.clone(), all: 4 };
            let share = |number| Arc::new(source(number)) as Arc<dyn Queryable>;
            Merged::new((0..4).map(share).collect())
        };
        let set = sources().select(&all()).unwrap();
        assert_eq!(set.warnings, ["0", "1", "2", "3"]);
        let mut column = Column::new();
        set.series[0].read(TimeRange::ALL, &mut column).unwrap();
        assert_eq!((set.series.len(), column.floats), (1, vec![0.0]));
        let names = sources().label_names(&all()).unwrap();
        assert!(names.iter().map(|name| &**name).eq(["name-0", "name-1", "name-2", "name-3"]));
        let error = sources().label_values("x", &all()).unwrap_err().to_string();
        assert!(error.ends_with('0'), "{error}");
    }

    fn counter(times: &[i64]) -> Column {
        let mut column = Column::new();
        for (index, time) in times.iter().enumerate() {
            let mut histogram = Histogram::stale(false);
            histogram.hint = if index == 0 { ResetHint::Unknown } else { ResetHint::NotReset };
            column.push_histogram(*time, histogram.as_ref());
        }
        column
    }

    #[test]
    fn a_histogram_forgets_what_it_knew_of_another_neighbour() {
        let cases: [(&[i64], &[i64], &[i64]); 4] = [
            // Who comes first of two for one time keeps what it knows.
            (&[1, 2, 3], &[2], &[1]),
            (&[1, 2, 5, 6], &[3, 4], &[1, 3, 5]),
            (&[1, 2], &[3, 4], &[1, 3]),
            (&[2, 3], &[1, 2, 3, 4, 5], &[1, 2, 4]),
        ];
        for (first, second, forgotten) in cases {
            let mut merged = Column::new();
            merge_columns(&[counter(first), counter(second)], &mut merged);
            let unknown = merged.histograms.iter().filter(|(_, h)| h.hint == ResetHint::Unknown);
            let times: Vec<i64> = unknown.map(|(index, _)| merged.timestamps[index]).collect();
            assert_eq!(times, forgotten, "{first:?} and {second:?}");
            assert_eq!(merged.histograms.len(), merged.len());
        }
        let mut gauges = counter(&[1]);
        gauges.histograms.set_hint(0, ResetHint::Gauge);
        let mut merged = Column::new();
        merge_columns(&[gauges, counter(&[2])], &mut merged);
        assert_eq!(merged.histograms.get(0).unwrap().hint, ResetHint::Gauge);
    }

    #[test]
    fn a_histogram_that_follows_another_source_knows_no_reset() {
        let histogram = |hint| Histogram { hint, ..Histogram::stale(false) };
        let mut column = Column::new();
        let mut push = |time: i64, hint| column.push_histogram(time, histogram(hint).as_ref());
        for time in [1, 2, 5, 6] {
            push(time, ResetHint::NotReset);
        }
        push(3, ResetHint::NotReset);
        push(4, ResetHint::Gauge);
        merge_runs(&mut column, &[0, 4]);
        let hints: Vec<_> = column.histograms.iter().map(|(_, one)| one.hint as u8).collect();
        assert_eq!(column.timestamps, [1, 2, 3, 4, 5, 6]);
        assert_eq!(hints, [0, 2, 0, 3, 0, 2]);
    }

    #[test]
    fn names_and_values_are_united_and_cut_at_the_limit() {
        let stores: Vec<ModelStore> = ["b", "a", "c", "a"]
            .iter()
            .map(|name| {
                let store = ModelStore::new();
                store.add(&labels(name).with(name, "x"), 1, 1.0);
                store
            })
            .collect();
        let source = merged(stores);
        let texts = |texts: Vec<Arc<str>>| texts.iter().map(|text| text.to_string()).collect();
        let names: Vec<String> = texts(source.label_names(&all()).unwrap());
        assert_eq!(names, ["__name__", "a", "b", "c", "job"]);
        let mut ask = all();
        ask.hints.limit = 2;
        let values: Vec<String> = texts(source.label_values("__name__", &ask).unwrap());
        assert_eq!(values, ["a", "b"]);
        assert_eq!(source.select(&ask).unwrap().series.len(), 2);
    }

    /// A series with one chunk, which cannot be decoded.
    struct Stored(Labels, Chunk);

    impl Series for Stored {
        fn labels(&self) -> &Labels {
            &self.0
        }

        fn read(&self, _: TimeRange, into: &mut Column) -> Result<(), QueryError> {
            into.push(1, 1.0);
            Err(QueryError::Corrupt("a chunk".into()))
        }

        fn chunks(&self, _: TimeRange, into: &mut Vec<Chunk>) -> Result<(), QueryError> {
            into.push(self.1.clone());
            Ok(())
        }
    }

    fn stored(start_ms: i64) -> SeriesSet {
        let (min_time_ms, max_time_ms) = (start_ms, start_ms + 5);
        let chunk = Chunk { min_time_ms, max_time_ms, encoding: 1, data: Bytes::new() };
        let series: Vec<Box<dyn Series>> = vec![Box::new(Stored(labels("m"), chunk))];
        SeriesSet { series, warnings: vec![format!("from {start_ms}")] }
    }

    #[test]
    fn chunks_are_sorted_by_start_and_warnings_kept() {
        let set = merge_sets(vec![stored(20), stored(10), stored(15)]);
        assert_eq!(set.warnings, ["from 20", "from 10", "from 15"]);
        let mut chunks = Vec::new();
        set.series[0].chunks(TimeRange::ALL, &mut chunks).unwrap();
        assert!(chunks.iter().map(|chunk| chunk.min_time_ms).eq([10, 15, 20]));
    }

    #[test]
    fn a_failed_read_leaves_the_column_as_it_was() {
        let set = merge_sets(vec![stored(10), stored(20)]);
        let mut column = Column::new();
        column.push(0, 0.5);
        assert!(set.series[0].read(TimeRange::ALL, &mut column).is_err());
        assert_eq!((column.timestamps, column.floats), (vec![0], vec![0.5]));
    }
}
