//! A float sample and the two NaNs that mean something.

/// Bits of the staleness marker: "this series ended here".
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;
/// Bits of the NaN that PromQL computes with.
pub const ORDINARY_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// The staleness marker as a value.
#[must_use]
pub const fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// True for the staleness marker, false for every other value, NaN included.
#[must_use]
#[inline]
pub const fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// One float sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The value; may be the staleness marker.
    pub value: f64,
}
