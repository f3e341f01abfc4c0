//! Putting a memory snapshot into a new head, and writing one of an old.

use bytes::Bytes;

use crate::chunk::OpenChunk;
use crate::model::Exemplar;
use crate::series::{Chunk, SeriesRef, TimeRange};
use crate::storage::wal::{ExemplarRow, PAGE_BYTES, Position, WalError};

use super::super::closed::Closed;
use super::super::series::Series;
use super::super::snapshot::{
    OpenRow, SeriesRow, SnapshotPlace, SnapshotRow, SnapshotWriter, read_snapshot,
};
use super::super::state::{Head, LogPlace};
use super::mapped::MappedIndex;

impl Head {
    /// Puts all that a snapshot says into this head, which is new. After an error it must not be
    /// used.
    pub(super) fn load_snapshot(
        &self,
        log: &LogPlace,
        place: &SnapshotPlace,
        mapped: &mut MappedIndex,
    ) -> Result<(), WalError> {
        let mut newest_ref = SeriesRef::UNKNOWN;
        let mut created = Vec::new();
        let min_valid_ms = self.bounds.min_valid_ms();
        let read = read_snapshot(&log.disk, place, &mut |row| match row {
            SnapshotRow::Series(row) => {
                newest_ref = newest_ref.max(row.series);
                let (known, made) = self.find_or_restore(row.series, row.labels);
                created.extend(made.map(|labels| (known, labels)));
                self.attach(known, mapped.of(row.series));
                self.series.with(known, |series| {
                    let open = row.open.filter(|open| open.max_time_ms >= min_valid_ms);
                    open.iter().for_each(|open| self.put_open(series, open));
                });
            }
            SnapshotRow::Tombstone(series, span) => self.tombstones.add(series, span),
            SnapshotRow::Exemplar(row) => self.put_exemplar(&row),
        });
        self.skip_refs(newest_ref);
        self.postings.add_all(&created);
        read
    }

    /// Gives a series the chunk that was open. It may have been moved to a file since.
    fn put_open(&self, series: &mut Series, open: &OpenRow<'_>) {
        let OpenRow { min_time_ms, max_time_ms, encoding, data, .. } = *open;
        if series.time_span().is_some_and(|held| held.end_ms >= min_time_ms) {
            return;
        }
        let (encoding, data) = (encoding as u8, Bytes::copy_from_slice(data));
        series.closed.reserve_exact(1);
        series.closed.push(Closed::Memory(Chunk { min_time_ms, max_time_ms, encoding, data }));
        series.refresh_newest();
        self.bounds.widen(TimeRange::new(min_time_ms, max_time_ms));
        self.metrics.chunks_created.inc();
        self.metrics.chunks.add(1.0);
    }

    fn put_exemplar(&self, row: &ExemplarRow<'_>) {
        let Some(series) = self.series.with(row.series, |series| series.labels.clone()) else {
            return;
        };
        let (labels, value) = (row.labels.to_labels(), row.value);
        let exemplar = Exemplar { labels, value, timestamp_ms: row.timestamp_ms };
        self.exemplars.add(&series.to_labels(), &exemplar);
    }

    /// Writes down what is in memory, `end` being the end of the log. A failure costs the next
    /// start time and nothing else.
    pub(in super::super) fn write_snapshot(&self, end: Position) {
        let Some(place) = &self.log_place else { return };
        match self.try_write_snapshot(place, end) {
            Ok(Some(dir)) => tracing::info!(dir = %dir.display(), "memory snapshot complete"),
            Ok(None) => tracing::warn!("no memory snapshot: closed chunks are not in files"),
            Err(error) => tracing::warn!(%error, "no memory snapshot"),
        }
    }

    fn try_write_snapshot(
        &self,
        place: &LogPlace,
        end: Position,
    ) -> Result<Option<std::path::PathBuf>, WalError> {
        // The log has filled its last page; readers begin at a page.
        let offset_bytes = end.offset_bytes.next_multiple_of(PAGE_BYTES as u64);
        let upto = Position { offset_bytes, ..end };
        let mut writer = SnapshotWriter::begin(&place.disk, &place.root, upto, place.options)?;
        let mut text = Vec::new();
        for (number, page) in self.series.pages() {
            for (name, series) in page.lock().iter_mut(number) {
                if series.closed.iter().any(|closed| closed.place().is_none()) {
                    return Ok(None);
                }
                let data = series.open.as_ref().map(OpenChunk::to_bytes);
                let open = series.open.as_ref().zip(data.as_ref()).map(|(open, data)| OpenRow {
                    min_time_ms: open.min_time_ms(),
                    max_time_ms: open.max_time_ms(),
                    encoding: open.encoding(),
                    data,
                    last: open.last_value(),
                });
                let labels = series.labels.put_together(&mut text);
                writer.add_series(&SeriesRow { series: name, labels, open })?;
            }
        }
        let mut spans = Vec::new();
        self.tombstones.for_each(|series, span| spans.push((series, span)));
        writer.add_tombstones(spans.into_iter())?;
        let mut exemplars = Vec::new();
        self.exemplars.for_each(|series, exemplar| {
            // One of a series that was forgotten since has no reference.
            let known = self.series.find(series.as_ref().hash(), series.as_ref());
            exemplars.extend(known.map(|known| (known, exemplar.clone())));
        });
        let rows = exemplars.iter().map(|(series, exemplar): &(SeriesRef, Exemplar)| {
            let Exemplar { labels, value, timestamp_ms } = exemplar;
            let (series, timestamp_ms, value) = (*series, *timestamp_ms, *value);
            ExemplarRow { series, timestamp_ms, value, labels: labels.as_ref() }
        });
        let rows: Vec<ExemplarRow<'_>> = rows.collect();
        writer.add_exemplars(&rows)?;
        writer.finish().map(Some)
    }
}
