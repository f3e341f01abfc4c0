//! What is on its way: samples, histograms and exemplars, as little of each as a queue needs.

use std::sync::Arc;

use crate::model::Sample;
use crate::model::histogram::HistogramRef;
use crate::series::SeriesRef;
use crate::storage::wal::ExemplarRow;
use crate::wire::remote_write::v1::{encode_exemplar, encode_histogram, encode_sample};

/// What is told apart when it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sample,
    Histogram,
    Exemplar,
}

/// Something for each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ByKind<T> {
    pub(super) samples: T,
    pub(super) histograms: T,
    pub(super) exemplars: T,
}

impl<T> ByKind<T> {
    pub(super) const fn of(&self, kind: Kind) -> &T {
        match kind {
            Kind::Sample => &self.samples,
            Kind::Histogram => &self.histograms,
            Kind::Exemplar => &self.exemplars,
        }
    }

    pub(super) const fn of_mut(&mut self, kind: Kind) -> &mut T {
        match kind {
            Kind::Sample => &mut self.samples,
            Kind::Histogram => &mut self.histograms,
            Kind::Exemplar => &mut self.exemplars,
        }
    }

    pub(super) const fn all(&self) -> [(Kind, &T); 3] {
        [
            (Kind::Sample, &self.samples),
            (Kind::Histogram, &self.histograms),
            (Kind::Exemplar, &self.exemplars),
        ]
    }
}

/// One sample, histogram or exemplar on its way.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) series: SeriesRef,
    /// The series' labels as a request holds them.
    pub(super) labels: Arc<[u8]>,
    pub(super) payload: Payload,
    /// The record it came with, as the tracker numbered it.
    pub(super) record: u64,
    /// It was in the log before this sender started, so it may have been sent already.
    pub(super) is_old: bool,
}

/// What is told of a series. Samples are many and small; the others wait as a request holds them.
#[derive(Debug)]
pub(super) enum Payload {
    Sample(Sample),
    Encoded(Box<Encoded>),
}

#[derive(Debug)]
pub(super) struct Encoded {
    kind: Kind,
    timestamp_ms: i64,
    field: Vec<u8>,
}

impl Payload {
    pub(super) fn histogram(timestamp_ms: i64, histogram: HistogramRef<'_>) -> Self {
        let mut field = Vec::new();
        encode_histogram(&mut field, timestamp_ms, histogram);
        Self::Encoded(Box::new(Encoded { kind: Kind::Histogram, timestamp_ms, field }))
    }

    pub(super) fn exemplar(row: &ExemplarRow<'_>) -> Self {
        let mut field = Vec::new();
        let timestamp_ms = row.timestamp_ms;
        encode_exemplar(&mut field, timestamp_ms, row.value, row.labels);
        Self::Encoded(Box::new(Encoded { kind: Kind::Exemplar, timestamp_ms, field }))
    }

    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Sample(_) => Kind::Sample,
            Self::Encoded(encoded) => encoded.kind,
        }
    }

    pub(super) const fn timestamp_ms(&self) -> i64 {
        match self {
            Self::Sample(sample) => sample.timestamp_ms,
            Self::Encoded(encoded) => encoded.timestamp_ms,
        }
    }

    /// Appends it as a field of a series.
    #[inline]
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Sample(sample) => encode_sample(out, sample),
            Self::Encoded(encoded) => out.extend_from_slice(&encoded.field),
        }
    }
}

/// How many there are of each kind.
pub(super) fn count(items: &[Item]) -> ByKind<u64> {
    let mut counts = ByKind::default();
    for item in items {
        *counts.of_mut(item.payload.kind()) += 1;
    }
    counts
}
