//! The chunk that grows, of any encoding.

use bytes::Bytes;

use crate::model::Value;

use super::{Encoding, HistogramAppender, Xor2Appender, XorAppender};

/// A chunk that samples are appended to. Small, as a head keeps one a series: only what most
/// series need lies in it, the rest behind a pointer.
#[derive(Debug, Clone)]
pub enum OpenChunk {
    /// Floats.
    Xor(XorAppender),
    /// Floats with starts.
    Xor2(Box<Xor2Appender>),
    /// Histograms of any kind.
    Histogram(Box<HistogramAppender>),
}

/// Calls the method of the same name of whichever appender it is.
macro_rules! either {
    ($open:expr, $appender:ident => $call:expr) => {
        match $open {
            OpenChunk::Xor($appender) => $call,
            OpenChunk::Xor2($appender) => $call,
            OpenChunk::Histogram($appender) => $call,
        }
    };
}

impl OpenChunk {
    /// Which encoding it has.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        match self {
            Self::Xor(_) => Encoding::Xor,
            Self::Xor2(_) => Encoding::Xor2,
            Self::Histogram(appender) => appender.encoding(),
        }
    }

    /// A copy of the chunk so far, in no more memory than it needs.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Xor(appender) => appender.to_bytes(),
            Self::Xor2(appender) => Bytes::copy_from_slice(appender.bytes()),
            Self::Histogram(appender) => Bytes::copy_from_slice(appender.bytes()),
        }
    }

    /// How many bytes the chunk has so far.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        match self {
            Self::Xor(appender) => appender.len_bytes(),
            Self::Xor2(appender) => appender.bytes().len(),
            Self::Histogram(appender) => appender.bytes().len(),
        }
    }

    /// How many samples there are.
    #[must_use]
    pub fn sample_count(&self) -> u16 {
        either!(self, appender => appender.sample_count())
    }

    /// Time of the first sample; `i64::MAX` without one.
    #[must_use]
    pub fn min_time_ms(&self) -> i64 {
        either!(self, appender => appender.min_time_ms())
    }

    /// Time of the last sample; `i64::MIN` without one.
    #[must_use]
    pub fn max_time_ms(&self) -> i64 {
        either!(self, appender => appender.max_time_ms())
    }

    /// The last sample's value; 0 without one.
    #[must_use]
    pub fn last_value(&self) -> Value<'_> {
        match self {
            Self::Xor(appender) => Value::Float(appender.last_value()),
            Self::Xor2(appender) => Value::Float(appender.last_value()),
            Self::Histogram(appender) => Value::Histogram(appender.last()),
        }
    }

    /// Its appender, if it holds histograms: what a chunk that continues the series needs.
    #[must_use]
    pub fn as_histogram(&self) -> Option<&HistogramAppender> {
        match self {
            Self::Histogram(appender) => Some(appender),
            Self::Xor(_) | Self::Xor2(_) => None,
        }
    }

    /// Bytes that it takes in memory, itself included.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let boxed = if matches!(self, Self::Xor(_)) { 0 } else { size_of::<Self>() };
        boxed + either!(self, appender => appender.memory_bytes())
    }

    /// The finished chunk, in no more memory than it needs.
    #[must_use]
    pub fn finish(self) -> Bytes {
        either!(self, appender => appender.finish())
    }
}
