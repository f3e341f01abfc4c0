//! Telling a log again in batches that are read ahead by another thread.
//!
//! The reading thread checks frames and checksums and does no more; records are unpacked and
//! decoded by whoever gets a batch, on as many threads as that one likes. Batches come in the
//! order of the log, and their memory goes back and forth between the two threads.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::disk::SharedDisk;

use super::codec::{Compression, Unpacker};
use super::error::{Corruption, Fault, RecordError, WalError};
use super::reader::{Found, Halt, ReplayEnd, walk_packed};
use super::repair::{Recovery, fill_holes, note, put_aside};
use super::segment::Position;

/// A batch ends with the record that makes it so large.
const BATCH_BYTES: usize = 1 << 20;

/// Batches that are on their way, those included that are being read and told.
const BATCHES: usize = 4;

/// Records of a log in their order, as they are written.
#[derive(Debug, Default)]
pub struct RecordBatch {
    bytes: Vec<u8>,
    records: Vec<Entry>,
    /// The files that the records are from.
    files: Vec<(PathBuf, u32)>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Its last byte and one in `bytes`.
    end: usize,
    compression: Compression,
    position: Position,
    /// Where it starts in its file, and which file that is.
    start: u64,
    file: usize,
}

/// The memory that records of a batch are unpacked in: one a thread.
#[derive(Default)]
pub struct BatchReader(Unpacker);

impl fmt::Debug for BatchReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BatchReader")
    }
}

impl BatchReader {
    /// A reader that has seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The record `index` of a batch.
    ///
    /// # Errors
    /// A record that cannot be unpacked, or that is not in the batch.
    pub fn record<'a>(
        &'a mut self,
        batch: &'a RecordBatch,
        index: usize,
    ) -> Result<&'a [u8], RecordError> {
        let entry = batch.records.get(index).ok_or(RecordError::Truncated)?;
        let before = index.checked_sub(1).and_then(|before| batch.records.get(before));
        let start = before.map_or(0, |before| before.end);
        let packed = batch.bytes.get(start..entry.end).unwrap_or_default();
        self.0.unpack(packed, entry.compression).map_err(|_| RecordError::Packed)
    }
}

impl RecordBatch {
    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The place behind a record.
    #[must_use]
    pub fn position(&self, index: usize) -> Option<Position> {
        self.records.get(index).map(|entry| entry.position)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
        self.files.clear();
        if self.bytes.capacity() > 4 * BATCH_BYTES {
            self.bytes = Vec::new();
        }
    }

    fn add(&mut self, found: &Found<'_>) {
        if self.files.last().is_none_or(|(path, _)| path != found.path) {
            self.files.push((found.path.to_owned(), found.segment));
        }
        self.bytes.extend_from_slice(found.scanner.packed(found.span));
        self.records.push(Entry {
            end: self.bytes.len(),
            compression: found.span.compression,
            position: found.position,
            start: found.span.start,
            file: self.files.len() - 1,
        });
    }

    fn corruption(&self, index: usize, error: RecordError) -> Option<Corruption> {
        let entry = self.records.get(index)?;
        let (path, segment) = self.files.get(entry.file)?.clone();
        Some(Corruption { path, segment, offset_bytes: entry.start, fault: Fault::Record(error) })
    }
}

/// What the receiver of a batch says: the records that it did not understand, by their index.
pub type Refused = Vec<(usize, RecordError)>;

/// As [`super::recover`], with records in batches: what is damaged, or refused by `each`, is put
/// aside, and what follows is told all the same. To be called by the owner of the log while
/// nobody writes to it.
///
/// Memory does not grow with the log.
///
/// # Errors
/// The disk's answer; more damage than can be put aside.
pub fn recover_batches(
    disk: &SharedDisk,
    dir: &Path,
    from: Option<u32>,
    each: &mut dyn FnMut(&RecordBatch) -> Refused,
) -> Result<Recovery, WalError> {
    let missing_segments = fill_holes(&**disk, dir)?;
    let mut damaged = BTreeMap::new();
    let (filled, batches) = sync_channel(BATCHES);
    let (give_back, empty) = sync_channel(BATCHES);
    for _ in 1..BATCHES {
        // The channel has room for all.
        let _ = give_back.send(RecordBatch::default());
    }
    let end = std::thread::scope(|scope| {
        let exchange = Exchange { filled, empty };
        let reader = scope.spawn(move || read_ahead(disk, dir, from, &exchange));
        let told = tell_batches(&batches, &give_back, each, &mut damaged);
        // Without them the reader stops, if we do.
        drop((batches, give_back));
        let read = reader.join().unwrap_or(Err(WalError::Options("the reading thread has died")));
        told.and(read)
    })?;
    for corruption in end.1 {
        note(&mut damaged, corruption)?;
    }
    let mut quarantined = Vec::new();
    for (corruption, refused) in damaged.into_values() {
        let kept = put_aside(&**disk, dir, &corruption, &refused)?;
        quarantined.push((corruption, kept));
    }
    Ok(Recovery { end: end.0, quarantined, missing_segments })
}

/// The reader's ends of the two channels.
struct Exchange {
    filled: SyncSender<RecordBatch>,
    empty: Receiver<RecordBatch>,
}

fn tell_batches(
    batches: &Receiver<RecordBatch>,
    give_back: &SyncSender<RecordBatch>,
    each: &mut dyn FnMut(&RecordBatch) -> Refused,
    damaged: &mut BTreeMap<PathBuf, (Corruption, Vec<u64>)>,
) -> Result<(), WalError> {
    while let Ok(mut batch) = batches.recv() {
        for (index, error) in each(&batch) {
            let Some(corruption) = batch.corruption(index, error) else { continue };
            tracing::error!(%corruption, "damage in the log; reading goes on behind it");
            note(damaged, corruption)?;
        }
        batch.clear();
        // If the reader is done it needs no more.
        let _ = give_back.send(batch);
    }
    Ok(())
}

impl Exchange {
    /// Sends a batch and gets another one to fill.
    fn swap(&self, full: RecordBatch) -> Result<RecordBatch, WalError> {
        let gone = || WalError::Options("the receiver of the batches is gone");
        self.filled.send(full).map_err(|_| gone())?;
        self.empty.recv().map_err(|_| gone())
    }
}

/// Reads everything; gives how it ended and the damage of frames.
fn read_ahead(
    disk: &SharedDisk,
    dir: &Path,
    from: Option<u32>,
    exchange: &Exchange,
) -> Result<(ReplayEnd, Vec<Corruption>), WalError> {
    // Only the first damage of a file counts, so this stays as short as the list of files.
    let mut damage: Vec<Corruption> = Vec::new();
    let mut batch = RecordBatch::default();
    let end = walk_packed(
        disk,
        dir,
        from,
        &mut |found| {
            batch.add(found);
            if batch.bytes.len() >= BATCH_BYTES {
                batch = exchange.swap(std::mem::take(&mut batch)).map_err(Halt::Stop)?;
            }
            Ok(())
        },
        &mut |corruption| {
            tracing::error!(%corruption, "damage in the log; reading goes on behind it");
            if damage.last().is_none_or(|last| last.path != corruption.path) {
                damage.push(corruption);
            }
            Ok(())
        },
    )?;
    exchange.swap(batch)?;
    Ok((end, damage))
}
