//! How are samples packed for another server?
//!
//! A request is a protobuf message in one snappy block: [`v1`] is the message, [`snappy`] the
//! block. Useful for: sender and receiver of remote write 1. Not useful for: HTTP itself.

pub(crate) mod fields;
pub mod snappy;
pub mod v1;

pub use fields::DecodeError;

/// Content type of remote write 1; a request without one is meant to be of this kind too.
pub const CONTENT_TYPE_V1: &str = "application/x-protobuf";
/// Header that names the protocol's version.
pub const VERSION_HEADER: &str = "X-Prometheus-Remote-Write-Version";
/// Its value for remote write 1.
pub const VERSION_V1: &str = "0.1.0";
/// Response header: how many float samples were stored.
pub const SAMPLES_WRITTEN_HEADER: &str = "X-Prometheus-Remote-Write-Samples-Written";
/// Response header: how many native histograms were stored.
pub const HISTOGRAMS_WRITTEN_HEADER: &str = "X-Prometheus-Remote-Write-Histograms-Written";
/// Response header: how many exemplars were stored.
pub const EXEMPLARS_WRITTEN_HEADER: &str = "X-Prometheus-Remote-Write-Exemplars-Written";
/// A request may hold this much after unpacking.
pub const MAX_DECODED_BYTES: usize = 32 << 20;
