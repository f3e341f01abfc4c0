//! Many histograms in few allocations.

use std::ops::Range;
use std::sync::Arc;

use super::layout::Layout;
use super::one::{CountsRef, HistogramRef, ResetHint};

/// Histograms, each with the index of the sample that it is, ascending.
///
/// Whoever fills it appends; layouts that repeat are kept once.
#[derive(Debug, Clone, Default)]
pub struct Histograms {
    rows: Vec<Row>,
    layouts: Vec<Arc<Layout>>,
    integers: Vec<i64>,
    floats: Vec<f64>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    index: u32,
    layout: u32,
    hint: ResetHint,
    is_float: bool,
    sum: f64,
    /// Bits of the two counts.
    count: u64,
    zero_count: u64,
    /// Where its buckets end in the array of their kind; they begin where those of the row of
    /// the same kind before it end.
    start: u32,
    len: u32,
}

impl Histograms {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets them, keeps the memory.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.layouts.clear();
        self.integers.clear();
        self.floats.clear();
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Makes room for as many more histograms of floats with as many buckets in all.
    pub fn reserve_floats(&mut self, histograms: usize, buckets: usize) {
        self.rows.reserve_exact(histograms);
        self.floats.reserve_exact(buckets);
    }

    /// Adds the histogram of the sample `index`, which is behind those of all others.
    pub fn push(&mut self, index: usize, histogram: HistogramRef<'_>) {
        let HistogramRef { layout, hint, sum, counts } = histogram;
        let layout = self.enter_layout(layout);
        let bits = |value: f64| value.to_bits();
        let (is_float, count, zero_count, start) = match counts {
            CountsRef::Integer { count, zero_count, buckets } => {
                let start = self.integers.len();
                self.integers.extend_from_slice(buckets);
                (false, count, zero_count, start)
            }
            CountsRef::Float { count, zero_count, buckets } => {
                let start = self.floats.len();
                self.floats.extend_from_slice(buckets);
                (true, bits(count), bits(zero_count), start)
            }
        };
        let (start, len) = (start as u32, counts.bucket_len() as u32);
        let index = index as u32;
        self.rows.push(Row { index, layout, hint, is_float, sum, count, zero_count, start, len });
    }

    fn enter_layout(&mut self, layout: &Arc<Layout>) -> u32 {
        let is_last = self.layouts.last().is_some_and(|last| Arc::ptr_eq(last, layout));
        if !is_last {
            self.layouts.push(Arc::clone(layout));
        }
        self.layouts.len() as u32 - 1
    }

    fn view(&self, row: &Row) -> Option<HistogramRef<'_>> {
        let range = row.start as usize..row.start as usize + row.len as usize;
        let counts = if row.is_float {
            let buckets = self.floats.get(range)?;
            let (count, zero_count) = (f64::from_bits(row.count), f64::from_bits(row.zero_count));
            CountsRef::Float { count, zero_count, buckets }
        } else {
            let buckets = self.integers.get(range)?;
            CountsRef::Integer { count: row.count, zero_count: row.zero_count, buckets }
        };
        let layout = self.layouts.get(row.layout as usize)?;
        Some(HistogramRef { layout, hint: row.hint, sum: row.sum, counts })
    }

    /// The histogram of the sample `index`, if that is one.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<HistogramRef<'_>> {
        let place = self.rows.binary_search_by_key(&(index as u32), |row| row.index).ok()?;
        self.view(self.rows.get(place)?)
    }

    /// All of them with their samples' indices.
    pub fn iter(&self) -> impl Iterator<Item = (usize, HistogramRef<'_>)> {
        self.rows.iter().filter_map(|row| Some((row.index as usize, self.view(row)?)))
    }

    /// Those of the samples `indices`.
    pub fn range(&self, indices: Range<usize>) -> impl Iterator<Item = (usize, HistogramRef<'_>)> {
        let place = |index: usize| self.rows.partition_point(|row| (row.index as usize) < index);
        let rows = self.rows.get(place(indices.start)..place(indices.end.max(indices.start)));
        let rows = rows.unwrap_or_default().iter();
        rows.filter_map(|row| Some((row.index as usize, self.view(row)?)))
    }

    /// Changes what the histogram of the sample `index` says about the one before it.
    pub fn set_hint(&mut self, index: usize, hint: ResetHint) {
        let place = self.rows.binary_search_by_key(&(index as u32), |row| row.index);
        if let Some(row) = place.ok().and_then(|place| self.rows.get_mut(place)) {
            row.hint = hint;
        }
    }

    /// Forgets those of the samples `from` and behind.
    pub fn truncate(&mut self, from: usize) {
        let kept = self.rows.partition_point(|row| (row.index as usize) < from);
        if kept == 0 {
            return self.clear();
        }
        let gone = self.rows.get(kept..).unwrap_or_default();
        let start = |is_float| {
            gone.iter().find(|row| row.is_float == is_float).map(|row| row.start as usize)
        };
        let (integers, floats) = (start(false), start(true));
        self.integers.truncate(integers.unwrap_or(usize::MAX));
        self.floats.truncate(floats.unwrap_or(usize::MAX));
        self.rows.truncate(kept);
        let layouts = self.rows.last().map_or(0, |row| row.layout as usize + 1);
        self.layouts.truncate(layouts);
    }
}

/// Equal samples at equal indices, however they lie in memory.
impl PartialEq for Histograms {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Counts, Histogram, Span};
    use super::*;

    fn histogram(width: u32, value: i64, is_float: bool) -> Histogram {
        let positive = vec![Span::new(0, width)];
        let layout = Arc::new(Layout { positive, ..Layout::default() });
        let buckets = vec![value; width as usize];
        let counts = if is_float {
            let buckets = buckets.iter().map(|bucket| *bucket as f64).collect();
            Counts::Float { count: value as f64, zero_count: 0.0, buckets }
        } else {
            Counts::Integer { count: value as u64, zero_count: 0, buckets }
        };
        Histogram { layout, hint: ResetHint::Unknown, sum: value as f64, counts }
    }

    #[test]
    fn they_come_back_as_they_went_and_by_index() {
        let all = [histogram(2, 5, false), histogram(3, 6, true), histogram(1, 7, false)];
        let mut many = Histograms::new();
        for (index, one) in [1, 4, 9].into_iter().zip(&all) {
            many.push(index, one.as_ref());
        }
        let back: Vec<_> = many.iter().map(|(index, one)| (index, one.to_owned())).collect();
        let [a, b, c] = all.clone();
        assert_eq!(back, [(1, a), (4, b.clone()), (9, c)]);
        assert_eq!(many.get(4), Some(b.as_ref()));
        assert_eq!(many.get(5), None);
        assert_eq!(many.range(2..9).map(|(index, _)| index).collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn what_is_behind_a_cut_is_forgotten() {
        let mut many = Histograms::new();
        for index in 0..6 {
            many.push(index, histogram(2, index as i64, index % 2 == 0).as_ref());
        }
        many.truncate(3);
        many.push(3, histogram(1, 9, false).as_ref());
        let sums: Vec<f64> = many.iter().map(|(_, one)| one.sum).collect();
        assert_eq!(sums, [0.0, 1.0, 2.0, 9.0]);
        assert_eq!(many.get(1), Some(histogram(2, 1, false).as_ref()));
        many.truncate(0);
        assert!(many.is_empty());
    }
}
