//! What was acknowledged, so that it can be told again after a crash?
//!
//! Prometheus's write-ahead log, both ways: real Prometheus reads what this folder writes, and the
//! reverse. The bytes are described in `FORMAT.md`.
//!
//! Useful for: keeping records ([`Wal`]), telling them all again ([`replay`], [`recover`],
//! [`recover_batches`]), following them while they are written ([`Tail`]), folding old ones
//! together ([`checkpoint`]).
//! Not useful for: knowing what is still needed; the owner of the log says so.
//!
//! # What is on disk when a call returns
//!
//! | call                | survives a crash of the process | survives a crash of the machine |
//! |---------------------|---------------------------------|---------------------------------|
//! | [`Wal::log`]        | the batch, whole                | what stands in closed segments  |
//! | [`Wal::log_packed`] | the batch, whole                | what stands in closed segments  |
//! | [`Syncer::commit`]  | everything                      | see below                       |
//! | [`Wal::sync`]       | everything                      | everything                      |
//! | [`Wal::cut`]        | everything                      | all before the new segment      |
//! | [`checkpoint`]      | everything                      | the checkpoint, whole           |
//! | an error            | everything acknowledged before  | as before the call              |
//!
//! | [`Durability`]         | what a crash of the machine costs after [`Syncer::commit`]     |
//! |------------------------|------------------------------------------------------------------|
//! | `Process`, the default | what of the newest segment the system has not written by itself  |
//! | `Interval { ms }`      | what was logged since the last sync began, about `ms` ago        |
//! | `EachCommit`           | nothing                                                          |
//!
//! # A full disk, a broken disk
//! A batch that cannot be written is taken back, in the file too, before anything else is written;
//! the caller is told, and the next batch is tried anew. A sync that failed is never trusted again:
//! the next batch begins a new segment. A truncation that failed is due again after a while
//! ([`Retry`]), and neither damage nor what the disk does not give keeps it from ending.

mod ahead;
mod checkpoint;
mod codec;
mod error;
mod frame;
mod reader;
mod record;
mod records;
mod repair;
mod retry;
mod scan;
mod segment;
mod sync;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

pub use ahead::{BatchReader, RecordBatch, Refused, recover_batches};
pub use checkpoint::{
    CheckpointStats, Kept, Unreadable, checkpoint, checkpoint_with, last_checkpoint,
    remove_checkpoints_before, truncatable,
};
pub use codec::Compression;
pub use error::{Corruption, Fault, RecordError, WalError};
pub use reader::{ReplayEnd, replay, survey};
pub use record::{
    ExemplarRow, MetadataRow, RecordKind, RowDecoder, RowEncoder, SampleRecords, SampleRow,
    decode_exemplars, decode_metadata, decode_mmap_markers, decode_samples, decode_series,
    decode_times, decode_tombstones, encode_exemplars, encode_metadata, encode_mmap_markers,
    encode_samples, encode_series, encode_tombstones, kind,
};
pub(in crate::storage) use record::{HistogramReader, labels_of, put_histogram, put_labels};
pub use records::Records;
pub use repair::{Recovery, quarantine, recover};
pub use retry::Retry;
pub use segment::Position;
pub use sync::{Durability, Syncer};
pub use tail::Tail;
pub use writer::{Progress, Wal, WalMetrics, WalOptions};

/// Segments are written in pages of this size; no fragment of a record crosses a page.
pub const PAGE_BYTES: usize = 32 * 1024;

/// Type, length and checksum before each fragment of a record.
pub(crate) const HEADER_BYTES: usize = 7;
