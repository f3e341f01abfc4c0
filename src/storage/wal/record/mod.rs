//! Records: what each kind holds, in and out.
//!
//! Encoders append to a buffer that the caller reuses; decoders hand out borrowed rows.
//!
//! | rows | in | out |
//! |---|---|---|
//! | names of series | [`encode_series`] | [`decode_series`] |
//! | float samples alone | [`SampleRecords`], [`encode_samples`] | [`decode_samples`] |
//! | samples of any kind | [`RowEncoder`] | [`RowDecoder`] |
//! | deletions | [`encode_tombstones`] | [`decode_tombstones`] |
//! | exemplars | [`encode_exemplars`] | [`decode_exemplars`] |
//! | metadata | [`encode_metadata`] | [`decode_metadata`] |
//! | mapped chunks | [`encode_mmap_markers`] | [`decode_mmap_markers`] |

mod decoder;
mod encoder;
mod exemplars;
mod histogram;
mod kind;
mod markers;
mod metadata;
mod place;
pub(super) mod rows;
mod samples;
mod series;
#[cfg(test)]
mod tests;

pub use decoder::{RowDecoder, SampleRow};
pub use encoder::RowEncoder;
pub use exemplars::{ExemplarRow, decode_exemplars, encode_exemplars};
pub use kind::{RecordKind, kind};
pub use markers::{decode_mmap_markers, encode_mmap_markers};
pub use metadata::{MetadataRow, decode_metadata, encode_metadata};
pub use samples::{SampleRecords, decode_samples, decode_times, encode_samples};
pub use series::{decode_series, decode_tombstones, encode_series, encode_tombstones};

pub(in crate::storage) use histogram::{Workbench as HistogramReader, put_histogram};
pub(super) use kind::body;
pub(in crate::storage) use series::{labels_of, put_labels};
