//! A block as one of longer windows.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use ulid::Ulid;

use crate::chunk::ChunkError;
use crate::disk::SharedDisk;
use crate::series::Chunk;
use crate::storage::block::{Block, BlockMeta, BlockScan, BlockWriter};
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
/// their chunks take so many bytes.
const SERIES_MAX: usize = 2048;
const BYTES_MAX: usize = 16 << 20;

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
    let mut scan = BlockScan::new(block, numbers)?;
    let mut writer =
        BlockWriter::with_symbols(disk.clone(), into_dir, ulid, symbols, &Default::default())?;
    let mut batch = Vec::new();
    let mut done = 0;
    while read_batch(&mut scan, &mut batch)? {
        if (options.is_ending)() {
            return Err(DownsampleError::Ended);
        }
        batch.par_iter_mut().with_min_len(8).for_each_init(Worker::default, |worker, series| {
            series.result = worker.series(series, from_ms, resolution_ms);
        });
        for series in &mut batch {
            match std::mem::replace(&mut series.result, Ok(Vec::new())) {
                Ok(chunks) if chunks.is_empty() => {}
                Ok(chunks) => writer.add_numbered(&series.labels, &chunks)?,
                Err(error) => warn_left_out(block, series, error),
            }
        }
        done += batch.len() as u64;
        (options.progress)(done);
    }
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

/// Replaces the batch by the next one; false if there is none.
fn read_batch(scan: &mut BlockScan, batch: &mut Vec<Series>) -> Result<bool, DownsampleError> {
    batch.clear();
    let mut bytes = 0;
    while batch.len() < SERIES_MAX && bytes < BYTES_MAX && scan.advance()? {
        let mut chunks = Vec::new();
        scan.chunks(&mut chunks)?;
        bytes += chunks.iter().map(|chunk| chunk.data.len()).sum::<usize>();
        let labels = scan.labels().to_vec();
        batch.push(Series { labels, chunks, result: Ok(Vec::new()) });
    }
    Ok(!batch.is_empty())
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
