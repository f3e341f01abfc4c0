//! Replicas of every kind, under both ways to merge them.

mod complaints;
mod mixed;
mod properties;
pub(super) mod support;
mod thanos;
