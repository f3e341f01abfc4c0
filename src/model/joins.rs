//! Where a counter goes on from another value than that of the sample before it.

use super::histogram::{HistogramRef, Histograms};

/// The samples of a column that continue another count than the sample before them does: they
/// come from another replica, or from another downsampled chunk.
///
/// Each has the value that its own stream had at the moment of the sample before. Who reads the
/// growth of a counter (`rate`, `increase`, `irate`, `resets`) compares with that value: a sample
/// below it is a reset. All others ignore joins. Nearly all columns have none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Joins {
    floats: Vec<(usize, f64)>,
    histograms: Histograms,
}

impl Joins {
    /// Forgets them, keeps the memory.
    pub fn clear(&mut self) {
        self.floats.clear();
        self.histograms.clear();
    }

    /// True if every sample continues the one before it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty()
    }

    /// The float `index`, which is behind all joins so far, continues `before`.
    pub fn push(&mut self, index: usize, before: f64) {
        self.floats.push((index, before));
    }

    /// The histogram `index`, which is behind all joins so far, continues `before`.
    pub fn push_histogram(&mut self, index: usize, before: HistogramRef<'_>) {
        self.histograms.push(index, before);
    }

    /// What the float `index` continues, if not the sample before it.
    #[must_use]
    pub fn before(&self, index: usize) -> Option<f64> {
        let place = self.floats.binary_search_by_key(&index, |(at, _)| *at).ok()?;
        self.floats.get(place).map(|(_, before)| *before)
    }

    /// What the histogram `index` continues, if not the sample before it.
    #[must_use]
    pub fn before_histogram(&self, index: usize) -> Option<HistogramRef<'_>> {
        self.histograms.get(index)
    }

    /// Those of floats: index and value before, ascending by index.
    #[must_use]
    pub fn floats(&self) -> &[(usize, f64)] {
        &self.floats
    }

    /// Those of histograms, by index.
    #[must_use]
    pub const fn histograms(&self) -> &Histograms {
        &self.histograms
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.floats.truncate(self.floats.partition_point(|(index, _)| *index < length));
        self.histograms.truncate(length);
    }

    /// Appends those of `other` in `range`, whose samples come to lie at `base` and behind it.
    pub(super) fn extend_from(&mut self, other: &Self, range: std::ops::Range<usize>, base: usize) {
        let moved = |index: usize| index - range.start + base;
        let start = other.floats.partition_point(|(index, _)| *index < range.start);
        let inside = other.floats.iter().skip(start).take_while(|(index, _)| *index < range.end);
        self.floats.extend(inside.map(|(index, before)| (moved(*index), *before)));
        for (index, before) in other.histograms.range(range.clone()) {
            self.histograms.push(moved(index), before);
        }
    }
}
