//! How do samples become bytes, and bytes samples?
//!
//! The layouts are in `FORMAT.md` beside this file.
//!
//! Useful for: encoding and decoding one chunk. Not useful for: keeping chunks; see
//! [`crate::storage`].

mod encoding;
mod xor;

pub use encoding::{ChunkError, Encoding, decode, sample_count};
pub use xor::{XorAppender, decode_xor};
