//! Which samples of the head are deleted, though their chunks are there.

use std::collections::BTreeMap;

use parking_lot::RwLock;

use crate::model::{Column, Matcher};
use crate::series::{AppendError, Select, SeriesRef, TimeRange};
use crate::storage::block::{add_interval, remove_deleted};
use crate::storage::wal::{self, Records};

use super::ooo::OooSeries;
use super::state::Head;

/// Deleted spans by series.
#[derive(Debug, Default)]
pub(in crate::storage) struct HeadTombstones(RwLock<BTreeMap<SeriesRef, Vec<TimeRange>>>);

impl HeadTombstones {
    /// Deletes a span of a series.
    pub(in crate::storage) fn add(&self, series: SeriesRef, range: TimeRange) {
        add_interval(self.0.write().entry(series).or_default(), range);
    }

    /// True if nothing is deleted: what nearly every reader finds.
    pub(in crate::storage) fn is_empty(&self) -> bool {
        self.0.read().is_empty()
    }

    /// The deleted spans of a series, ascending with gaps between them.
    pub(in crate::storage) fn of(&self, series: SeriesRef) -> Vec<TimeRange> {
        self.0.read().get(&series).cloned().unwrap_or_default()
    }

    /// Forgets spans that end before `before_ms`.
    pub(in crate::storage) fn truncate(&self, before_ms: i64) {
        if self.is_empty() {
            return;
        }
        self.0.write().retain(|_, spans| {
            spans.retain(|span| span.end_ms >= before_ms);
            !spans.is_empty()
        });
    }

    /// Forgets a series.
    pub(in crate::storage) fn remove(&self, series: SeriesRef) {
        if !self.is_empty() {
            self.0.write().remove(&series);
        }
    }

    /// Calls `each` for every span, by series.
    pub(in crate::storage) fn for_each(&self, mut each: impl FnMut(SeriesRef, TimeRange)) {
        for (series, spans) in &*self.0.read() {
            spans.iter().for_each(|span| each(*series, *span));
        }
    }
}

impl Head {
    /// Deletes the samples in `range` of the series that match; returns of how many series. Samples
    /// of that time that come later are deleted too, as far as they are no newer than the newest
    /// that their series has now.
    ///
    /// # Errors
    /// The log could not be written; nothing is deleted.
    pub(in crate::storage) fn delete(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<usize, AppendError> {
        // Alone: what a batch on its way has stored may be taken back, and is not held yet.
        let gate = self.gate.write();
        gate.check()?;
        let mut spans = Vec::new();
        let matching = self.matching(&Select::new(matchers.to_vec(), TimeRange::ALL));
        self.series.for_rows(
            &matching,
            |series| *series,
            |series, name| {
                let Some(series) = series else { return };
                let late = series.late().and_then(OooSeries::span);
                let ends = series.time_span().into_iter().chain(late).map(|held| held.end_ms);
                // What is newer than all that is held came after the deletion. A series without
                // samples may have some in a block, which the log has too and a start brings back.
                let end_ms = ends.max().or(self.bounds.max_time_ms()).unwrap_or(i64::MIN);
                let end_ms = end_ms.min(range.end_ms);
                if range.start_ms <= end_ms {
                    spans.push((*name, TimeRange::new(range.start_ms, end_ms)));
                }
            },
        );
        if spans.is_empty() {
            return Ok(0);
        }
        let mut records = Records::new(self.compression());
        let rows = spans.iter().map(|(series, span)| (*series, span.start_ms, span.end_ms));
        records.add(|out| wal::encode_tombstones(out, rows));
        self.log_records(&mut records)?;
        spans.iter().for_each(|(series, span)| self.tombstones.add(*series, *span));
        Ok(spans.len())
    }
}

/// Removes the samples from `from` on that lie in one of `deleted`.
pub(in crate::storage) fn apply(column: &mut Column, from: usize, deleted: &[TimeRange]) {
    remove_deleted(column, from, deleted);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_joined_and_forgotten_with_their_time() {
        let stones = HeadTombstones::default();
        stones.add(SeriesRef(4), TimeRange::new(1, 5));
        stones.add(SeriesRef(4), TimeRange::new(6, 9));
        stones.add(SeriesRef(4), TimeRange::new(20, 30));
        stones.add(SeriesRef(7), TimeRange::new(1, 2));
        assert_eq!(stones.of(SeriesRef(4)), [TimeRange::new(1, 9), TimeRange::new(20, 30)]);
        stones.truncate(10);
        assert_eq!(stones.of(SeriesRef(4)), [TimeRange::new(20, 30)]);
        assert!(stones.of(SeriesRef(7)).is_empty());
        stones.remove(SeriesRef(4));
        assert!(stones.is_empty());
    }
}
