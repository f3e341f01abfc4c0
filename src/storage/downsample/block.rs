//! A block as one of longer windows.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rayon::prelude::*;
use ulid::Ulid;

use crate::chunk::ChunkError;
use crate::disk::SharedDisk;
use crate::series::Chunk;
use crate::storage::block::{Block, BlockMeta, BlockScan, BlockWriter};
use crate::storage::conveyor::{Stretch, convey};
use crate::storage::index::{SymbolPair, SymbolTable};

use super::DownsampleError;
use super::again::Again;
use super::raw::Raw;

/// How a block is downsampled.
#[derive(Clone, Copy)]
pub struct DownsampleOptions<'a> {
    /// Looked at now and then: gives up if it is true.
    pub is_ending: &'a dyn Fn() -> bool,
    /// Told how many series are done.
    pub progress: &'a dyn Fn(u64),
}

impl Default for DownsampleOptions<'_> {
    fn default() -> Self {
        Self { is_ending: &|| false, progress: &|_| {} }
    }
}

impl std::fmt::Debug for DownsampleOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DownsampleOptions")
    }
}

/// Series that are downsampled at once, by all threads: as many as there are of them, or until
/// their chunks take so many bytes. Three batches are in memory.
const SERIES_MAX: usize = 1024;
const BYTES_MAX: usize = 4 << 20;
/// Series that a thread takes at a time.
const PIECE_SERIES: usize = 4;

/// Writes the block `ulid` to `into_dir`: what `block` holds, in windows of `resolution_ms`. Its
/// meta is that of `block` with another resolution; counts of series, chunks and windows are its
/// own. `None` if nothing is left, as stale markers and NaN are not downsampled.
///
/// A series whose chunks cannot be understood is left out with a warning that names it. The
/// others are not held back by it.
///
/// # Errors
/// See [`DownsampleError`]; no block is left behind then.
pub fn downsample_block(
    disk: &SharedDisk,
    block: &Arc<Block>,
    resolution_ms: i64,
    into_dir: &Path,
    ulid: Ulid,
    options: &DownsampleOptions<'_>,
) -> Result<Option<BlockMeta>, DownsampleError> {
    let from_ms = block.meta().resolution_ms();
    if from_ms >= resolution_ms {
        return Err(DownsampleError::Resolution { from_ms, to_ms: resolution_ms });
    }
    let mut symbols = SymbolTable::new();
    for symbol in block.symbols() {
        symbols.push(symbol?).map_err(|error| block.index_error(error))?;
    }
    let numbers = (0..symbols.len() as u32).collect();
    let mut scan = BlockScan::new(block, numbers)?.in_pieces();
    let mut writer =
        BlockWriter::with_symbols(disk.clone(), into_dir, ulid, symbols, &Default::default())?;
    let (workers, done) = (Mutex::new(Vec::new()), AtomicU64::new(0));
    convey(
        |batch| read_batch(&mut scan, batch),
        |batch: &mut Batch| {
            batch.0.par_chunks_mut(PIECE_SERIES).for_each(|piece| {
                let idle = workers.lock().pop();
                let mut worker: Worker = idle.unwrap_or_default();
                for series in piece {
                    series.result = worker.series(series, from_ms, resolution_ms);
                }
                workers.lock().push(worker);
            });
        },
        |batch| {
            done.fetch_add(batch.0.len() as u64, Ordering::Relaxed);
            batch.0.drain(..).try_for_each(|series| match &series.result {
                Ok(chunks) if chunks.is_empty() => Ok(()),
                Ok(chunks) => Ok(writer.add_numbered(&series.labels, chunks)?),
                Err(error) => {
                    warn_left_out(block, &series, *error);
                    Ok(())
                }
            })
        },
        || {
            (options.progress)(done.load(Ordering::Relaxed));
            if (options.is_ending)() { Err(DownsampleError::Ended) } else { Ok(()) }
        },
    )?;
    (options.progress)(done.into_inner());
    let mut meta = block.meta().clone();
    meta.set_resolution_ms(resolution_ms);
    Ok(writer.finish(meta)?)
}

/// A series on its way.
#[derive(Debug)]
struct Series {
    labels: Vec<SymbolPair>,
    chunks: Vec<Chunk>,
    result: Result<Vec<Chunk>, ChunkError>,
}

/// Series that go through together.
#[derive(Debug, Default)]
struct Batch(Vec<Series>);

impl Stretch for Batch {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Fills an empty batch.
fn read_batch(scan: &mut BlockScan, Batch(batch): &mut Batch) -> Result<(), DownsampleError> {
    let mut bytes = 0;
    while batch.len() < SERIES_MAX && bytes < BYTES_MAX && scan.advance()? {
        let mut chunks = Vec::new();
        scan.chunks(&mut chunks)?;
        bytes += chunks.iter().map(|chunk| chunk.data.len()).sum::<usize>();
        let labels = scan.labels().to_vec();
        batch.push(Series { labels, chunks, result: Ok(Vec::new()) });
    }
    Ok(())
}

fn warn_left_out(block: &Block, series: &Series, error: ChunkError) {
    let symbol = |number: u32| block.symbols().nth(number as usize).and_then(Result::ok);
    let pairs = series.labels.iter().map(|(name, value)| {
        format!("{}={:?}", symbol(*name).unwrap_or("?"), symbol(*value).unwrap_or("?"))
    });
    let labels = pairs.collect::<Vec<_>>().join(", ");
    let ulid = block.meta().ulid;
    tracing::warn!(block = %ulid, series = %labels, %error, "series is not downsampled");
}

/// What a thread works with.
#[derive(Debug, Default)]
struct Worker {
    raw: Raw,
    again: Again,
}

impl Worker {
    fn series(
        &mut self,
        series: &Series,
        from_ms: i64,
        resolution_ms: i64,
    ) -> Result<Vec<Chunk>, ChunkError> {
        let mut out = Vec::new();
        if from_ms == 0 {
            self.raw.series(&series.chunks, resolution_ms, &mut out)?;
        } else {
            self.again.series(&series.chunks, from_ms, resolution_ms, &mut out)?;
        }
        Ok(out)
    }
}
