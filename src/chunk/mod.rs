//! How do samples become bytes, and bytes samples?
//!
//! The layouts are in `FORMAT.md` beside this file.
//!
//! Useful for: encoding and decoding one chunk. Not useful for: keeping chunks; see
//! [`crate::storage`].
