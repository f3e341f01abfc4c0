//! Putting a head together again after a start.
//!
//! 1. The chunk files say which finished chunks there are ([`mapped`]).
//! 2. A memory snapshot, if the options want it, holds what the log says up to a place.
//! 3. The log is told from there on ([`loader`]): one thread reads it and sorts the samples by
//!    series into heaps; another hands full sets of heaps to all cores, which put them into the
//!    chunks ([`heaps`]). Samples that a chunk file holds are older than the newest of their
//!    series by then and left out.
//! 4. The log of late samples is told ([`late`]).
//!
//! Memory is bounded: sets of heaps are few and of a fixed size, and chunks that end move to files
//! as they do while samples come in.

mod heaps;
mod late;
mod loader;
mod mapped;
mod open;
mod snapshot;
mod stats;
#[cfg(test)]
mod tests;

pub use stats::ReplayStats;
