//! Writing requests.

use crate::base::varint::{put_text, put_uvarint, uvarint_bytes};
use crate::model::histogram::HistogramRef;
use crate::model::{LabelsRef, Sample};

use super::histogram::put_histogram;

/// A request being written; keeps its memory from one to the next.
#[derive(Debug, Default)]
pub struct Request {
    message: Vec<u8>,
    labels: Vec<u8>,
    series_count: usize,
    sample_count: usize,
}

/// Wire types.
pub(super) const VARINT: u32 = 0;
pub(super) const FIXED64: u32 = 1;
pub(super) const BYTES: u32 = 2;

const BYTES_FIELD_1: u8 = 1 << 3 | BYTES as u8;
const BYTES_FIELD_2: u8 = 2 << 3 | BYTES as u8;
const FIXED64_FIELD_1: u8 = 1 << 3 | FIXED64 as u8;
const VARINT_FIELD_2: u8 = 2 << 3 | VARINT as u8;

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
        samples.iter().for_each(|sample| encode_sample(out, sample));
        self.series_count += 1;
        self.sample_count += samples.len();
    }

    /// Adds a series of `sample_count` samples all of whose fields are encoded: labels by
    /// [`encode_labels`], and behind them what [`encode_sample`], [`encode_histogram`] and
    /// [`encode_exemplar`] gave.
    pub fn push_fields(&mut self, labels: &[u8], fields: &[u8], sample_count: usize) {
        let out = &mut self.message;
        out.push(BYTES_FIELD_1);
        put_uvarint(out, (labels.len() + fields.len()) as u64);
        out.extend_from_slice(labels);
        out.extend_from_slice(fields);
        self.series_count += 1;
        self.sample_count += sample_count;
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

/// Appends a float sample as a field of a series.
#[inline]
pub fn encode_sample(out: &mut Vec<u8>, sample: &Sample) {
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

/// Appends a native histogram as a field of a series. The protocol has no custom bounds, yet
/// Prometheus reads them.
pub fn encode_histogram(out: &mut Vec<u8>, timestamp_ms: i64, histogram: HistogramRef<'_>) {
    put_message(out, 4, |out| put_histogram(out, timestamp_ms, histogram));
}

/// Appends an exemplar as a field of a series.
pub fn encode_exemplar(out: &mut Vec<u8>, timestamp_ms: i64, value: f64, labels: LabelsRef<'_>) {
    put_message(out, 3, |out| {
        encode_labels(out, labels);
        if value.to_bits() != 0 {
            put_double(out, 2, value);
        }
        if timestamp_ms != 0 {
            put_number(out, 3, timestamp_ms as u64);
        }
    });
}

/// Appends labels as fields of a series or exemplar, to be handed to [`Request::push_encoded`]
/// later.
pub fn encode_labels(out: &mut Vec<u8>, labels: LabelsRef<'_>) {
    let text_bytes = |text: &str| 1 + uvarint_bytes(text.len() as u64) + text.len();
    for (name, value) in labels.iter() {
        out.push(BYTES_FIELD_1);
        put_uvarint(out, (text_bytes(name) + text_bytes(value)) as u64);
        for (tag, text) in [(BYTES_FIELD_1, name), (BYTES_FIELD_2, value)] {
            out.push(tag);
            put_text(out, text);
        }
    }
}

pub(super) fn put_key(out: &mut Vec<u8>, field: u32, wire_type: u32) {
    put_uvarint(out, u64::from(field << 3 | wire_type));
}

pub(super) fn put_number(out: &mut Vec<u8>, field: u32, value: u64) {
    put_key(out, field, VARINT);
    put_uvarint(out, value);
}

pub(super) fn put_double(out: &mut Vec<u8>, field: u32, value: f64) {
    put_key(out, field, FIXED64);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Appends a field whose length is known when it is written.
pub(super) fn put_message(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    write(out);
    let body_end = out.len();
    put_key(out, field, BYTES);
    put_uvarint(out, (body_end - start) as u64);
    let head = out.len() - body_end;
    if let Some(written) = out.get_mut(start..) {
        written.rotate_right(head);
    }
}
