//! A block as Thanos can read it: without start times, which only newer encodings of chunks keep.

use std::path::Path;

use crate::disk::SharedDisk;
use crate::model::Column;
use crate::storage::block::{Block, BlockError, BlockScan, BlockWriter, encode_plain};

use super::LongTermError;

/// Writes the block in `dir` once more below `into_dir`, under the same name and with the same
/// samples, in encodings that Thanos knows. Looks at `is_ending` before each series.
///
/// # Errors
/// A block that is not what it should be, the disk's answer, or that it was ended.
pub(super) fn write_plain(
    disk: &SharedDisk,
    dir: &Path,
    into_dir: &Path,
    is_ending: &dyn Fn() -> bool,
) -> Result<(), LongTermError> {
    let block = Block::open(disk, dir)?;
    let symbols = block.symbols().collect::<Result<Vec<&str>, _>>()?;
    let numbers = (0..).take(symbols.len()).collect();
    let (ulid, mut symbols) = (block.meta().ulid, symbols.into_iter());
    let mut writer = BlockWriter::new(disk.clone(), into_dir, ulid, &mut symbols)?;
    let mut scan = BlockScan::new(&block, numbers)?;
    let (mut stored, mut plain, mut column) = (Vec::new(), Vec::new(), Column::new());
    while scan.advance()? {
        if is_ending() {
            return Err(LongTermError::Ended);
        }
        stored.clear();
        plain.clear();
        scan.chunks(&mut stored)?;
        for chunk in &stored {
            encode_plain(chunk, &mut column, &mut plain).map_err(|error| {
                let what = format!("{}: a chunk cannot be encoded anew: {error}", dir.display());
                BlockError::Refused(what)
            })?;
        }
        writer.add_numbered(scan.labels(), &plain)?;
    }
    writer.finish(block.meta().clone())?;
    Ok(())
}
