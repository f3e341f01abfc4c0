//! The samples of a series by kind.

use std::ops::Range;

use crate::model::Column;
use crate::model::histogram::float::FloatRef;
use crate::promql::functions::starts::{Times, is_reset, overlaps};

/// The histograms of a series with their times.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows<'a> {
    pub(crate) times: Vec<i64>,
    pub(crate) rows: Vec<FloatRef<'a>>,
    /// Since when each counts; empty if that is not known or does not matter.
    pub(super) starts: Vec<i64>,
    /// The histograms that continue another one than the one before them, and which one.
    pub(super) joins: Vec<(usize, FloatRef<'a>)>,
}

impl<'a> Rows<'a> {
    /// Those of the samples `range`.
    pub(crate) fn of(column: &'a Column, range: Range<usize>, has_starts: bool) -> Self {
        let mut found = Self::default();
        for (index, one) in column.histograms.range(range) {
            if let Some(before) = column.joins.before_histogram(index) {
                found.joins.push((found.rows.len(), before.into()));
            }
            found.times.extend(column.timestamps.get(index));
            found.rows.push(one.into());
            if has_starts {
                found.starts.push(column.start_ms(index));
            }
        }
        found
    }

    pub(super) fn times_of(&self, index: usize) -> Option<Times> {
        let (start_ms, time_ms) = (*self.starts.get(index)?, *self.times.get(index)?);
        Some(Times { start_ms, time_ms })
    }

    fn neighbours(&self, index: usize) -> Option<(Times, Times)> {
        Some((self.times_of(index.checked_sub(1)?)?, self.times_of(index)?))
    }

    /// What the histogram `index` continues, if not the one before it.
    pub(super) fn joined(&self, index: usize) -> Option<&FloatRef<'a>> {
        if self.joins.is_empty() {
            return None;
        }
        let place = self.joins.binary_search_by_key(&index, |(at, _)| *at).ok()?;
        self.joins.get(place).map(|(_, before)| before)
    }

    /// What the histogram `index` continues.
    pub(super) fn before(&self, index: usize) -> Option<&FloatRef<'a>> {
        self.joined(index).or_else(|| self.rows.get(index.checked_sub(1)?))
    }

    /// True if the counter began anew before the histogram `index`.
    pub(super) fn resets(&self, index: usize) -> bool {
        if self.neighbours(index).is_some_and(|(before, after)| is_reset(before, after)) {
            return true;
        }
        match (self.before(index), self.rows.get(index)) {
            (Some(before), Some(after)) => after.is_reset_after(before),
            _ => false,
        }
    }

    /// True if the histogram `index` counts what the one before it has counted already.
    pub(super) fn overlaps(&self, index: usize) -> bool {
        self.neighbours(index).is_some_and(|(before, after)| overlaps(before, after))
    }
}

/// The samples of a series, floats and histograms apart.
pub(super) struct Split<'a> {
    pub(super) float_times: Vec<i64>,
    pub(super) floats: Vec<f64>,
    pub(super) float_starts: Vec<i64>,
    /// The joins of `floats`.
    pub(super) float_joins: Vec<(usize, f64)>,
    pub(super) rows: Rows<'a>,
    /// Of each sample in order: its place among the histograms if it is one.
    pub(super) kinds: Vec<Option<u32>>,
}

impl<'a> Split<'a> {
    pub(super) fn new(column: &'a Column, range: Range<usize>, has_starts: bool) -> Self {
        let rows = Rows::of(column, range.clone(), has_starts);
        let mut kinds = vec![None; range.len()];
        let places = column.histograms.range(range.clone()).map(|(index, _)| index - range.start);
        for (number, place) in places.enumerate() {
            if let Some(kind) = kinds.get_mut(place) {
                *kind = Some(number as u32);
            }
        }
        let mut split = Self {
            float_times: Vec::new(),
            floats: Vec::new(),
            float_starts: Vec::new(),
            float_joins: Vec::new(),
            rows,
            kinds,
        };
        for (kind, index) in split.kinds.iter().zip(range) {
            if kind.is_none() {
                let join = column.joins.before(index);
                split.float_joins.extend(join.map(|before| (split.floats.len(), before)));
                split.float_times.extend(column.timestamps.get(index));
                split.floats.extend(column.floats.get(index));
                if has_starts {
                    split.float_starts.push(column.start_ms(index));
                }
            }
        }
        split
    }

    pub(super) fn row_at(&self, index: usize) -> Option<usize> {
        self.kinds.get(index).copied().flatten().map(|number| number as usize)
    }
}
