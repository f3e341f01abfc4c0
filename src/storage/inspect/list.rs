//! Which blocks there are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ulid::Ulid;

use crate::disk::SharedDisk;
use crate::storage::block::{Block, BlockError};

use super::InspectError;
use super::text::{duration, size, table, time};

/// The blocks of a directory.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Listing {
    /// Those that can be opened, by start time.
    pub blocks: Vec<Arc<Block>>,
    /// Those that cannot, and why.
    pub unreadable: Vec<(PathBuf, BlockError)>,
}

/// Opens all blocks in `dir`.
///
/// # Errors
/// The disk's answer to listing the directory.
pub fn list(disk: &SharedDisk, dir: &Path) -> Result<Listing, InspectError> {
    let mut listing = Listing::default();
    for entry in disk.list(dir).map_err(InspectError::io(dir))? {
        if !entry.is_dir || Ulid::from_string(&entry.name).is_err() {
            continue;
        }
        let path = dir.join(&entry.name);
        match Block::open(disk, &path) {
            Ok(block) => listing.blocks.push(block),
            Err(error) => listing.unreadable.push((path, error)),
        }
    }
    listing.blocks.sort_by_key(|block| (block.meta().min_time_ms, block.meta().ulid));
    Ok(listing)
}

impl Listing {
    /// A table with a line for each block, as `promtool tsdb list` prints it; `for_humans` writes
    /// times and sizes out.
    #[must_use]
    pub fn table(&self, for_humans: bool) -> String {
        let head = [
            "BLOCK ULID",
            "MIN TIME",
            "MAX TIME",
            "DURATION",
            "NUM SAMPLES",
            "NUM CHUNKS",
            "NUM SERIES",
            "SIZE",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        for block in &self.blocks {
            let meta = block.meta();
            let at = |time_ms: i64| if for_humans { time(time_ms) } else { time_ms.to_string() };
            let bytes = block.size_bytes();
            rows.push([
                meta.ulid.to_string(),
                at(meta.min_time_ms),
                at(meta.max_time_ms),
                duration(meta.max_time_ms.saturating_sub(meta.min_time_ms)),
                meta.stats.num_samples.to_string(),
                meta.stats.num_chunks.to_string(),
                meta.stats.num_series.to_string(),
                if for_humans { size(bytes) } else { bytes.to_string() },
            ]);
        }
        table(&rows)
    }

    /// The block of that name, or the newest one.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn block(mut self, name: Option<&str>) -> Result<Arc<Block>, InspectError> {
        let Some(name) = name else {
            let newest = self.blocks.pop();
            return newest.ok_or_else(|| InspectError::NoBlock("no blocks found".to_owned()));
        };
        let is_wanted = |path: &PathBuf| path.file_name().is_some_and(|found| found == name);
        let open = self.blocks.into_iter().find(|block| block.meta().ulid.to_string() == name);
        if let Some(block) = open {
            return Ok(block);
        }
        match self.unreadable.into_iter().find(|(path, _)| is_wanted(path)) {
            Some((_, error)) => Err(error.into()),
            None => Err(InspectError::NoBlock(format!("block {name} not found"))),
        }
    }
}
