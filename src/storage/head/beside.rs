//! What comes beside the samples of a batch: exemplars, and what the series mean.

use crate::model::Matcher;
use crate::series::{
    AppendError, Batch, Exemplars, QueryError, SeriesExemplars, SeriesRef, TimeRange,
};
use crate::storage::wal::{self, ExemplarRow, MetadataRow, Records};

use super::exemplars::ExemplarFate;
use super::state::Head;

impl Head {
    /// Takes exemplars and metadata of a batch whose samples are stored; returns how many exemplars
    /// were refused.
    pub(super) fn append_beside(&self, batch: &Batch) -> Result<usize, AppendError> {
        let mut records = Records::new(self.compression());
        self.take_metadata(batch, &mut records);
        let mut refused = 0;
        let mut taken = Vec::new();
        if self.exemplars.is_enabled() {
            for (entry, exemplar) in batch.exemplars() {
                let series = batch.series_ref(*entry);
                let labels = self.series.with(series, |series| series.labels.clone());
                let Some(labels) = labels.map(|labels| labels.to_labels()) else { continue };
                match self.exemplars.judge(&labels, exemplar) {
                    ExemplarFate::Stored => taken.push((series, labels, exemplar)),
                    fate => refused += usize::from(fate.is_refused()),
                }
            }
        }
        let rows = taken.iter().map(|(series, _, exemplar)| ExemplarRow {
            series: *series,
            timestamp_ms: exemplar.timestamp_ms,
            value: exemplar.value,
            labels: exemplar.labels.as_ref(),
        });
        records.add(|out| wal::encode_exemplars(out, rows));
        if !records.is_empty() {
            self.log_records(&mut records)?;
        }
        for (_, labels, exemplar) in &taken {
            // A neighbour in the batch may have come first.
            let fate = self.exemplars.add(labels, exemplar);
            refused += usize::from(fate.is_refused());
        }
        Ok(refused)
    }

    fn take_metadata(&self, batch: &Batch, records: &mut Records) {
        let mut changed = Vec::new();
        for (entry, metadata) in batch.metadata() {
            let series = batch.series_ref(*entry);
            if self.series.contains(series) && self.metadata.set(series, metadata) {
                changed.push(MetadataRow::new(series, metadata));
            }
        }
        if self.options.metadata_records && !changed.is_empty() {
            records.add(|out| wal::encode_metadata(out, changed.into_iter()));
        }
    }

    /// What a series means, if anybody said so.
    pub(in crate::storage) fn metadata_of(
        &self,
        series: SeriesRef,
    ) -> Option<std::sync::Arc<crate::model::Metadata>> {
        self.metadata.get(series)
    }
}

impl Exemplars for Head {
    fn exemplars(
        &self,
        any_of: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>, QueryError> {
        Ok(self.exemplars.select(any_of, range))
    }
}
