//! How do samples become bytes, and bytes samples?
//!
//! The layouts are in `FORMAT.md` beside this file.
//!
//! Useful for: encoding and decoding one chunk. Not useful for: keeping chunks; see
//! [`crate::storage`].

mod aggregate;
mod column;
mod encoding;
mod histogram;
mod open;
mod starts;
#[cfg(test)]
mod tests;
mod varbit;
mod window;
mod xor;
mod xor2;
mod xor_decode;

pub use aggregate::{AGGREGATE, AggregateChunk, Part, encode_aggregate};
pub use column::{EncodeOptions, EncodedChunk, encode_column};
pub use encoding::{ChunkError, Encoding, decode, sample_count};
pub use histogram::{HistogramAppender, reset_before};
pub use open::OpenChunk;
pub use xor::XorAppender;
pub use xor_decode::decode_xor;
pub use xor2::Xor2Appender;
