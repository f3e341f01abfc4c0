//! Remote write 1, the message `prometheus.WriteRequest`, read and written without intermediate
//! objects: labels are borrowed from the body and land in one reused text.
//!
//! Fields may come in any order and unknown ones are passed over. Labels of a series may be
//! unsorted; what makes a series unusable is told per series ([`SeriesFault`]), as upstream's
//! receiver skips and counts such a series and takes the rest.

use std::fmt;

use crate::base::varint::{put_uvarint, uvarint_bytes};
use crate::model::{LabelError, LabelsBuf, LabelsRef, METRIC_NAME, Sample};
use crate::series::{Batch, SeriesRef};
use crate::wire::prompb::MetricMetadata;

use super::fields::{DecodeError, Field, Fields};

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
    /// How many native histograms it carries, which are not decoded.
    pub histogram_count: usize,
    /// How many exemplars it carries, which are not decoded.
    pub exemplar_count: usize,
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
                    let series = self.series(field.bytes()?)?;
                    contents.count(&series);
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

    /// Adds all usable series that have float samples to `batch`.
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
            let Ok(labels) = series.labels else { return };
            if series.samples.is_empty() {
                return;
            }
            batch.push_series(SeriesRef::UNKNOWN, labels);
            for sample in series.samples {
                batch.push_sample(sample.timestamp_ms, sample.value);
            }
        })
    }

    fn series(&mut self, message: &[u8]) -> Result<Series<'_>, DecodeError> {
        self.labels.clear();
        self.samples.clear();
        let mut fault = None;
        let (mut histogram_count, mut exemplar_count) = (0, 0);
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => {
                    let found = label(field, &mut self.labels)?;
                    fault = fault.or(found);
                }
                2 => self.samples.push(sample(field)?),
                3 => {
                    field.bytes()?;
                    exemplar_count += 1;
                }
                4 => {
                    field.bytes()?;
                    histogram_count += 1;
                }
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
        Ok(Series { labels, samples: &self.samples, histogram_count, exemplar_count })
    }
}

impl Contents {
    fn count(&mut self, series: &Series<'_>) {
        let samples = series.samples.len();
        self.series += 1;
        self.samples += samples;
        self.histograms += series.histogram_count;
        self.exemplars += series.exemplar_count;
        if series.labels.is_err() {
            self.faulty_series += 1;
            self.faulty_samples += samples + series.histogram_count;
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

/// A request being written; keeps its memory from one to the next.
#[derive(Debug, Default)]
pub struct Request {
    message: Vec<u8>,
    labels: Vec<u8>,
    series_count: usize,
    sample_count: usize,
}

const BYTES_FIELD_1: u8 = 1 << 3 | 2;
const BYTES_FIELD_2: u8 = 2 << 3 | 2;
const FIXED64_FIELD_1: u8 = 1 << 3 | 1;
const VARINT_FIELD_2: u8 = 2 << 3;

impl Request {
    /// A request without series.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all series, keeps the memory.
    pub fn clear(&mut self) {
        self.message.clear();
        self.series_count = 0;
        self.sample_count = 0;
    }

    /// Adds a series with its samples.
    pub fn push(&mut self, labels: LabelsRef<'_>, samples: &[Sample]) {
        let mut fields = std::mem::take(&mut self.labels);
        fields.clear();
        encode_labels(&mut fields, labels);
        self.push_encoded(&fields, samples);
        self.labels = fields;
    }

    /// Adds a series whose labels [`encode_labels`] has encoded before: for senders that keep
    /// their series.
    pub fn push_encoded(&mut self, labels: &[u8], samples: &[Sample]) {
        let out = &mut self.message;
        let samples_bytes: usize = samples.iter().map(|sample| 2 + sample_bytes(sample)).sum();
        out.push(BYTES_FIELD_1);
        put_uvarint(out, (labels.len() + samples_bytes) as u64);
        out.extend_from_slice(labels);
        for sample in samples {
            // At most 20, so the length takes one byte.
            out.extend([BYTES_FIELD_2, sample_bytes(sample) as u8]);
            let bits = sample.value.to_bits();
            if bits != 0 {
                out.push(FIXED64_FIELD_1);
                out.extend(bits.to_le_bytes());
            }
            if sample.timestamp_ms != 0 {
                out.push(VARINT_FIELD_2);
                put_uvarint(out, sample.timestamp_ms as u64);
            }
        }
        self.series_count += 1;
        self.sample_count += samples.len();
    }

    /// The message so far, to be packed and sent.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// How many series were added.
    #[must_use]
    pub const fn series_count(&self) -> usize {
        self.series_count
    }

    /// How many samples were added.
    #[must_use]
    pub const fn sample_count(&self) -> usize {
        self.sample_count
    }
}

/// Only what is not zero is written. A negative zero is not zero here, so that it arrives.
fn sample_bytes(sample: &Sample) -> usize {
    let value = if sample.value.to_bits() == 0 { 0 } else { 9 };
    let time = sample.timestamp_ms as u64;
    value + if time == 0 { 0 } else { 1 + uvarint_bytes(time) }
}

/// Appends labels as fields of a series, to be handed to [`Request::push_encoded`] later.
pub fn encode_labels(out: &mut Vec<u8>, labels: LabelsRef<'_>) {
    let text_bytes = |text: &str| 1 + uvarint_bytes(text.len() as u64) + text.len();
    for (name, value) in labels.iter() {
        out.push(BYTES_FIELD_1);
        put_uvarint(out, (text_bytes(name) + text_bytes(value)) as u64);
        for (tag, text) in [(BYTES_FIELD_1, name), (BYTES_FIELD_2, value)] {
            out.push(tag);
            crate::base::varint::put_text(out, text);
        }
    }
}

#[cfg(test)]
mod tests;
