//! Samples of one series, one array per part.

use std::ops::Range;

use super::histogram::{HistogramRef, Histograms};
use super::joins::Joins;

/// Samples of one series in time order. The arrays are equally long, but for those that say
/// otherwise.
///
/// The caller owns the memory and reuses it; whoever fills a column appends to it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Column {
    /// Milliseconds since the epoch, strictly ascending.
    pub timestamps: Vec<i64>,
    /// The value at the same index; of a histogram its sum, so that the staleness marker is
    /// found here in any case.
    pub floats: Vec<f64>,
    /// The samples that are histograms, by their index. None for most series.
    pub histograms: Histograms,
    /// Since when the counter counts, 0 if that is not known. Empty if it is known of no sample.
    pub starts_ms: Vec<i64>,
    /// The samples that do not continue the one before them. None for most series.
    pub joins: Joins,
    /// What each sample stands for. Empty if every one stands for itself, which is so of all data
    /// that is not downsampled.
    pub summaries: Vec<Summary>,
}

/// What a downsampled sample stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// How many samples were made into this one.
    pub count: f64,
    /// The length of the window that they come from; 0 of a sample that stands for itself.
    pub resolution_ms: i64,
}

impl Summary {
    /// Of a sample that stands for itself.
    pub const ITSELF: Self = Self { count: 1.0, resolution_ms: 0 };
}

/// The value of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// A number.
    Float(f64),
    /// A histogram.
    Histogram(HistogramRef<'a>),
}

impl Column {
    /// An empty column.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the samples, keeps the memory.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.floats.clear();
        self.histograms.clear();
        self.starts_ms.clear();
        self.joins.clear();
        self.summaries.clear();
    }

    /// How many samples there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Appends a float.
    #[inline]
    pub fn push(&mut self, timestamp_ms: i64, value: f64) {
        self.timestamps.push(timestamp_ms);
        self.floats.push(value);
        if !self.starts_ms.is_empty() {
            self.starts_ms.push(0);
        }
        if !self.summaries.is_empty() {
            self.summaries.push(Summary::ITSELF);
        }
    }

    /// Appends a histogram.
    pub fn push_histogram(&mut self, timestamp_ms: i64, histogram: HistogramRef<'_>) {
        self.histograms.push(self.len(), histogram);
        self.push(timestamp_ms, histogram.sum);
    }

    /// Appends a value of either kind, with the time since when it counts or 0.
    pub fn push_value(&mut self, timestamp_ms: i64, start_ms: i64, value: Value<'_>) {
        match value {
            Value::Float(value) => self.push(timestamp_ms, value),
            Value::Histogram(histogram) => self.push_histogram(timestamp_ms, histogram),
        }
        self.set_last_start(start_ms);
    }

    /// Says since when the last sample counts.
    pub fn set_last_start(&mut self, start_ms: i64) {
        if start_ms != 0 && self.starts_ms.is_empty() {
            self.starts_ms.resize(self.timestamps.len(), 0);
        }
        if let Some(last) = self.starts_ms.last_mut() {
            *last = start_ms;
        }
    }

    /// Says what the last sample stands for.
    pub fn set_last_summary(&mut self, summary: Summary) {
        if summary != Summary::ITSELF && self.summaries.is_empty() {
            self.summaries.resize(self.timestamps.len(), Summary::ITSELF);
        }
        if let Some(last) = self.summaries.last_mut() {
            *last = summary;
        }
    }

    /// True if every sample is a float that stands for itself and continues the one before it,
    /// and none has a start.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.histograms.is_empty()
            && self.starts_ms.is_empty()
            && self.joins.is_empty()
            && self.summaries.is_empty()
    }

    /// What the sample `index` stands for.
    #[must_use]
    pub fn summary(&self, index: usize) -> Summary {
        self.summaries.get(index).copied().unwrap_or(Summary::ITSELF)
    }

    /// Since when the sample `index` counts; 0 if that is not known.
    #[must_use]
    pub fn start_ms(&self, index: usize) -> i64 {
        self.starts_ms.get(index).copied().unwrap_or(0)
    }

    /// The value of the sample `index`.
    #[must_use]
    pub fn value(&self, index: usize) -> Option<Value<'_>> {
        let histogram = if self.histograms.is_empty() { None } else { self.histograms.get(index) };
        let float = || self.floats.get(index).copied().map(Value::Float);
        histogram.map(Value::Histogram).or_else(float)
    }

    /// All samples: time, start or 0, value.
    pub fn samples(&self) -> impl Iterator<Item = (i64, i64, Value<'_>)> {
        let mut histograms = self.histograms.iter().peekable();
        self.timestamps.iter().zip(&self.floats).enumerate().map(move |(index, (time, float))| {
            let histogram = histograms.next_if(|(at, _)| *at == index);
            let value = histogram.map_or(Value::Float(*float), |(_, one)| Value::Histogram(one));
            (*time, self.start_ms(index), value)
        })
    }

    /// Appends the samples `range` of another column.
    pub fn extend_from(&mut self, other: &Self, range: Range<usize>) {
        let (from, to) = (range.start.min(other.len()), range.end.min(other.len()));
        let range = from..to.max(from);
        let base = self.len();
        for (index, histogram) in other.histograms.range(range.clone()) {
            self.histograms.push(base + index - range.start, histogram);
        }
        let part = other.timestamps.get(range.clone()).unwrap_or_default();
        self.timestamps.extend_from_slice(part);
        self.floats.extend_from_slice(other.floats.get(range.clone()).unwrap_or_default());
        self.joins.extend_from(&other.joins, range.clone(), base);
        let summaries = other.summaries.get(range.clone()).unwrap_or_default();
        if !summaries.is_empty() || !self.summaries.is_empty() {
            self.summaries.resize(base, Summary::ITSELF);
            self.summaries.extend_from_slice(summaries);
            self.summaries.resize(self.timestamps.len(), Summary::ITSELF);
        }
        let starts = other.starts_ms.get(range).unwrap_or_default();
        if starts.iter().any(|start_ms| *start_ms != 0) || !self.starts_ms.is_empty() {
            self.starts_ms.resize(base, 0);
            self.starts_ms.extend_from_slice(starts);
            self.starts_ms.resize(self.timestamps.len(), 0);
        }
    }

    /// Forgets the samples from `length` on.
    pub fn truncate(&mut self, length: usize) {
        self.timestamps.truncate(length);
        self.floats.truncate(length);
        self.histograms.truncate(length);
        self.starts_ms.truncate(length);
        self.joins.truncate(length);
        self.summaries.truncate(length);
    }

    /// Forgets the samples from `from` on for which `keep` is false. Reads each once.
    pub fn retain_from(&mut self, from: usize, mut keep: impl FnMut(i64) -> bool) {
        let tail = self.timestamps.get(from..).unwrap_or_default();
        let Some(first_gone) = tail.iter().position(|time| !keep(*time)) else { return };
        let behind = from + first_gone + 1;
        let mut kept = Self::new();
        let mut index = behind;
        while index < self.len() {
            let run = self.timestamps.get(index..).unwrap_or_default();
            let length = run.iter().position(|time| !keep(*time)).unwrap_or(run.len());
            kept.extend_from(self, index..index + length);
            index += length + 1;
        }
        self.truncate(behind - 1);
        self.extend_from(&kept, 0..kept.len());
    }
}

#[cfg(test)]
mod tests {
    use super::super::histogram::Histogram;
    use super::*;

    fn mixed() -> Column {
        let mut column = Column::new();
        column.push(1, 1.0);
        column.push_histogram(2, Histogram::stale(true).as_ref());
        column.push_value(3, 7, Value::Float(3.0));
        column.push(4, 4.0);
        column
    }

    #[test]
    fn parts_stay_together() {
        let column = mixed();
        assert_eq!(column.starts_ms, [0, 0, 7, 0]);
        assert!(matches!(column.value(1), Some(Value::Histogram(_))));
        assert!(crate::model::is_stale(column.floats[1]));
        let samples: Vec<_> = column.samples().map(|(time, start, _)| (time, start)).collect();
        assert_eq!(samples, [(1, 0), (2, 0), (3, 7), (4, 0)]);
        let mut copy = Column::new();
        copy.push(0, 0.0);
        copy.extend_from(&column, 1..4);
        assert_eq!(copy.starts_ms, [0, 0, 7, 0]);
        assert_eq!(copy.histograms.iter().map(|(index, _)| index).collect::<Vec<_>>(), [1]);
        copy.truncate(1);
        assert!(copy.histograms.is_empty() && copy.len() == 1);
    }

    #[test]
    fn joins_and_summaries_move_with_their_samples() {
        let mut column = Column::new();
        for time in 0_i32..4 {
            column.push(time.into(), f64::from(time));
        }
        column.joins.push(2, 0.5);
        column.push(4, 4.0);
        let summary = Summary { count: 3.0, resolution_ms: 300 };
        column.set_last_summary(summary);
        let mut copy = Column::new();
        copy.push(-1, 0.0);
        copy.extend_from(&column, 1..5);
        assert_eq!((copy.joins.before(2), copy.joins.before(1)), (Some(0.5), None));
        assert_eq!((copy.summary(4), copy.summary(0)), (summary, Summary::ITSELF));
        assert!(!copy.is_plain());
        copy.truncate(2);
        assert!(copy.joins.is_empty() && copy.summaries.len() == 2);
        copy.clear();
        assert!(copy.is_plain());
    }

    #[test]
    fn samples_are_taken_out_whole() {
        let mut column = mixed();
        column.retain_from(1, |time| time != 3 && time != 1);
        assert_eq!(column.timestamps, [1, 2, 4]);
        assert!(column.histograms.get(1).is_some());
        let mut column = mixed();
        column.retain_from(0, |time| time != 2);
        assert_eq!((column.timestamps, column.starts_ms), (vec![1, 3, 4], vec![0, 7, 0]));
        assert!(column.histograms.is_empty());
    }
}
