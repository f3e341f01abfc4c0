//! Samples of any kind out of records.

use crate::base::varint::Cursor;
use crate::model::Value;
use crate::series::SeriesRef;

use super::super::error::RecordError;
use super::histogram::Workbench;
use super::kind::{RecordKind, kind};
use super::place::{Place, Places};

/// A sample of a record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleRow<'a> {
    /// Whose sample it is.
    pub series: SeriesRef,
    /// Its time.
    pub timestamp_ms: i64,
    /// Since when it counts; 0 if that is not known.
    pub start_ms: i64,
    /// Its value.
    pub value: Value<'a>,
}

/// Reads records of samples of every kind. Reused from record to record: it keeps its memory, and
/// histograms with equal buckets share one layout.
#[derive(Debug, Default)]
pub struct RowDecoder {
    workbench: Workbench,
}

impl RowDecoder {
    /// A decoder that has seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Hands out the rows of a record for which [`RecordKind::is_samples`] is true. Histograms of
    /// schemas of later versions are brought to the finest one known. How many had to be left out
    /// is returned: their schema has no meaning, or their spans do not fit their buckets.
    ///
    /// # Errors
    /// Another kind, or bytes that are no such record; rows before them are handed out.
    pub fn decode(
        &mut self,
        record: &[u8],
        mut each: impl FnMut(SampleRow<'_>),
    ) -> Result<u64, RecordError> {
        use RecordKind as K;
        let kind = kind(record);
        let mut cursor = Cursor::new(record.get(1..).unwrap_or_default());
        let is_float = match kind {
            K::Samples | K::SamplesV2 => return decode_floats(kind, cursor, each),
            K::HistogramSamples | K::CustomBucketsHistogramSamples | K::HistogramSamplesV2 => false,
            K::FloatHistogramSamples
            | K::CustomBucketsFloatHistogramSamples
            | K::FloatHistogramSamplesV2 => true,
            other => return Err(RecordError::WrongKind(other.byte())),
        };
        let mut places = Places::begin(kind, &mut cursor)?;
        let mut left_out = 0;
        while !cursor.is_empty() {
            let Place { series, timestamp_ms, start_ms } = places.read(&mut cursor)?;
            match self.workbench.read(&mut cursor, is_float)? {
                Some(histogram) => {
                    let value = Value::Histogram(histogram);
                    each(SampleRow { series, timestamp_ms, start_ms, value });
                }
                None => left_out += 1,
            }
        }
        Ok(left_out)
    }
}

fn decode_floats(
    kind: RecordKind,
    mut cursor: Cursor<'_>,
    mut each: impl FnMut(SampleRow<'_>),
) -> Result<u64, RecordError> {
    let mut places = Places::begin(kind, &mut cursor)?;
    while !cursor.is_empty() {
        let Place { series, timestamp_ms, start_ms } = places.read(&mut cursor)?;
        let value = Value::Float(cursor.f64_be()?);
        each(SampleRow { series, timestamp_ms, start_ms, value });
    }
    Ok(0)
}
