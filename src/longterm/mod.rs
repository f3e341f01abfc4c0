//! How does a year of blocks live in object storage, shared with Thanos?
//!
//! Useful for: blocks in S3, GCS, Azure or a folder; asking them; keeping them small.
//! Not useful for: the blocks themselves; see [`crate::storage::block`].

pub mod bucket;
pub mod gateway;
