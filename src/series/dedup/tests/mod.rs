//! Replicas of every kind, under both ways to merge them.

mod complaints;
mod properties;
pub(super) mod support;
mod thanos;
