//! Remote write 1, the message `prometheus.WriteRequest`, read and written without intermediate
//! objects: labels are borrowed from the body and land in one reused text.
//!
//! Fields may come in any order and unknown ones are passed over. Labels of a series may be
//! unsorted; what makes a series unusable is told per series ([`SeriesFault`]), as upstream's
//! receiver skips and counts such a series and takes the rest.

mod histogram;
mod request;

use std::fmt;

use crate::model::{
    Column, Exemplar, LabelError, Labels, LabelsBuf, LabelsRef, METRIC_NAME, Sample, Value,
};
use crate::series::{Batch, SeriesRef};
use crate::wire::prompb::MetricMetadata;

use super::fields::{DecodeError, Field, Fields};

pub use request::{Request, encode_exemplar, encode_histogram, encode_labels, encode_sample};

/// Why a series of a request cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeriesFault {
    /// No label `__name__`, or an empty one.
    NoMetricName,
    /// A label without a name.
    EmptyLabelName,
    /// A label's name or value is no UTF-8.
    InvalidUtf8,
    /// A label name that appears twice, or too much text.
    Labels(LabelError),
}

impl fmt::Display for SeriesFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMetricName => f.write_str("series without a metric name"),
            Self::EmptyLabelName => f.write_str("label without a name"),
            Self::InvalidUtf8 => f.write_str("label is not valid UTF-8"),
            Self::Labels(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SeriesFault {}

/// One series of a request.
#[derive(Debug)]
pub struct Series<'a> {
    /// Its labels, sorted and without empty values, or what is wrong with them.
    pub labels: Result<LabelsRef<'a>, SeriesFault>,
    /// Its float samples in the order of the request.
    pub samples: &'a [Sample],
    /// Its native histograms in the order of the request. They may be invalid in any way but one:
    /// the buckets of both sides are those that the spans name, or too many.
    pub histograms: &'a Column,
    /// Its exemplars in the order of the request, without those whose labels are no label set.
    pub exemplars: &'a [Exemplar],
}

impl Series<'_> {
    /// True if there is nothing in it that could be stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.histograms.is_empty() && self.exemplars.is_empty()
    }

    /// Adds everything but the labels to the series that was started last.
    pub fn push_to(&self, batch: &mut Batch) {
        for sample in self.samples {
            batch.push_sample(sample.timestamp_ms, sample.value);
        }
        for (timestamp_ms, _, value) in self.histograms.samples() {
            if let Value::Histogram(histogram) = value {
                batch.push_histogram(timestamp_ms, histogram);
            }
        }
        for exemplar in self.exemplars {
            batch.push_exemplar(exemplar.clone());
        }
    }
}

/// What a request held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Contents {
    /// Series, usable or not.
    pub series: usize,
    /// Float samples, of usable series or not.
    pub samples: usize,
    /// Native histograms.
    pub histograms: usize,
    /// Exemplars.
    pub exemplars: usize,
    /// Descriptions of metrics; see [`metadata`].
    pub metadata: usize,
    /// Series with a [`SeriesFault`].
    pub faulty_series: usize,
    /// Samples and histograms of such series.
    pub faulty_samples: usize,
}

/// Reads requests; keeps its memory from one to the next.
#[derive(Debug, Default)]
pub struct Decoder {
    labels: LabelsBuf,
    samples: Vec<Sample>,
    histograms: histogram::Workbench,
    exemplars: Vec<Exemplar>,
    exemplar_labels: LabelsBuf,
}

impl Decoder {
    /// A decoder without memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Hands each series of `message` (unpacked protobuf) to `each`, in order.
    ///
    /// # Errors
    /// Bytes that are no message of this kind. What was handed out before is then void.
    pub fn decode(
        &mut self,
        message: &[u8],
        mut each: impl FnMut(Series<'_>),
    ) -> Result<Contents, DecodeError> {
        let mut contents = Contents::default();
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => {
                    let (series, exemplar_count) = self.series(field.bytes()?)?;
                    contents.count(&series);
                    contents.exemplars += exemplar_count;
                    each(series);
                }
                3 => {
                    field.bytes()?;
                    contents.metadata += 1;
                }
                _ => {}
            }
        }
        Ok(contents)
    }

    /// Adds all usable series to `batch`.
    ///
    /// # Errors
    /// Bytes that are no message of this kind; the batch then holds a part of the request and
    /// must be cleared.
    pub fn decode_into(
        &mut self,
        message: &[u8],
        batch: &mut Batch,
    ) -> Result<Contents, DecodeError> {
        self.decode(message, |series| {
            if let Ok(labels) = series.labels
                && !series.is_empty()
            {
                batch.push_series(SeriesRef::UNKNOWN, labels);
                series.push_to(batch);
            }
        })
    }

    fn series(&mut self, message: &[u8]) -> Result<(Series<'_>, usize), DecodeError> {
        self.labels.clear();
        self.samples.clear();
        self.histograms.clear();
        self.exemplars.clear();
        let mut fault = None;
        let mut exemplar_count = 0;
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => {
                    let found = label(field, &mut self.labels)?;
                    fault = fault.or(found);
                }
                2 => self.samples.push(sample(field)?),
                3 => {
                    exemplar_count += 1;
                    self.exemplars.extend(exemplar(field, &mut self.exemplar_labels)?);
                }
                4 => self.histograms.read(field.bytes()?)?,
                _ => {}
            }
        }
        let labels = match fault {
            Some(fault) => Err(fault),
            None => self.labels.finish().map_err(SeriesFault::Labels),
        };
        let labels = labels.and_then(|labels| match labels.get(METRIC_NAME) {
            Some(_) => Ok(labels),
            None => Err(SeriesFault::NoMetricName),
        });
        let (samples, exemplars) = (&self.samples, &self.exemplars);
        let series = Series { labels, samples, histograms: self.histograms.found(), exemplars };
        Ok((series, exemplar_count))
    }
}

impl Contents {
    fn count(&mut self, series: &Series<'_>) {
        let samples = series.samples.len();
        self.series += 1;
        self.samples += samples;
        let histograms = series.histograms.len();
        self.histograms += histograms;
        if series.labels.is_err() {
            self.faulty_series += 1;
            self.faulty_samples += samples + histograms;
        }
    }
}

#[inline]
fn label(field: Field<'_>, labels: &mut LabelsBuf) -> Result<Option<SeriesFault>, DecodeError> {
    let (mut name, mut value) = (&[][..], &[][..]);
    let mut fields = Fields::of(field.bytes()?);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => name = field.bytes()?,
            2 => value = field.bytes()?,
            _ => {}
        }
    }
    let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
        return Ok(Some(SeriesFault::InvalidUtf8));
    };
    if name.is_empty() {
        return Ok(Some(SeriesFault::EmptyLabelName));
    }
    labels.push(name, value);
    Ok(None)
}

#[inline]
fn sample(field: Field<'_>) -> Result<Sample, DecodeError> {
    let mut sample = Sample { timestamp_ms: 0, value: 0.0 };
    let mut fields = Fields::of(field.bytes()?);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => sample.value = field.double()?,
            2 => sample.timestamp_ms = field.int64()?,
            _ => {}
        }
    }
    Ok(sample)
}

/// Nothing if its labels are no label set: an exemplar is never worth a refusal.
fn exemplar(field: Field<'_>, labels: &mut LabelsBuf) -> Result<Option<Exemplar>, DecodeError> {
    let mut exemplar = Exemplar { labels: Labels::empty(), value: 0.0, timestamp_ms: 0 };
    let mut fault = None;
    labels.clear();
    let mut fields = Fields::of(field.bytes()?);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => {
                let found = label(field, labels)?;
                fault = fault.or(found);
            }
            2 => exemplar.value = field.double()?,
            3 => exemplar.timestamp_ms = field.int64()?,
            _ => {}
        }
    }
    let Some(labels) = labels.finish().ok().filter(|_| fault.is_none()) else { return Ok(None) };
    exemplar.labels = labels.to_labels();
    Ok(Some(exemplar))
}

/// The descriptions of metrics that a request carries. Those that cannot be read are left out,
/// since nothing depends on them.
///
/// # Errors
/// Bytes that are no message of this kind.
pub fn metadata(message: &[u8]) -> Result<Vec<MetricMetadata>, DecodeError> {
    let mut found = Vec::new();
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next()? {
        if field.number == 3 {
            found.extend(prost::Message::decode(field.bytes()?).ok());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
