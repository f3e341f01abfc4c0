//! Snapshots: a directory of blocks that holds all that there is at a moment.

use std::io;
use std::path::Path;

use crate::base::calendar::date_of_day;
use crate::disk::{Disk, create_dir_synced};
use crate::storage::block::Block;

use super::maintain::new_ulid;
use super::open::{Inner, io_error};
use super::plan::Cut;
use super::{Tsdb, TsdbError, compact, files};

const DAY_MS: i64 = 24 * 3_600_000;

impl Tsdb {
    /// Makes a snapshot in `snapshots/` of the data directory and returns its name: the blocks,
    /// whose large files are linked and take no room until the originals go, and what is in
    /// memory, as one more block. It can be opened like any data directory.
    ///
    /// # Errors
    /// A block that could not be written, or the disk's answer; nothing is left of it then.
    pub fn snapshot(&self, with_head: bool) -> Result<String, TsdbError> {
        let inner = &self.0.inner;
        let _upkeep = inner.begin_upkeep()?;
        let now_ms = inner.clock.now_ms();
        let random = new_ulid(&*inner.clock).random() as u64;
        let name = format!("{}-{random:016x}", instant(now_ms));
        let all = inner.dir.join(files::SNAPSHOTS);
        let unfinished = all.join(format!("{name}.tmp"));
        let made = inner.fill_snapshot(&unfinished, with_head).and_then(|()| {
            let finished = all.join(&name);
            inner.disk.rename(&unfinished, &finished).map_err(io_error("rename", &finished))?;
            inner.disk.sync_dir(&all).map_err(io_error("sync", &all))
        });
        if let Err(error) = made {
            if let Err(left) = inner.disk.remove_dir_all(&unfinished) {
                tracing::warn!(path = %unfinished.display(), %left, "unfinished snapshot is left");
            }
            return Err(error);
        }
        tracing::info!(name, with_head, "snapshot made");
        Ok(name)
    }
}

impl Inner {
    fn fill_snapshot(&self, target: &Path, with_head: bool) -> Result<(), TsdbError> {
        create_dir_synced(&*self.disk, target).map_err(io_error("create", target))?;
        for block in &self.block_list().blocks {
            if self.is_ending() {
                return Err(TsdbError::Closed);
            }
            copy_block(&*self.disk, block, target).map_err(io_error("fill", target))?;
        }
        if let Some(span) = self.head.span().filter(|_| with_head) {
            let cut = Cut { start_ms: span.start_ms, end_ms: span.end_ms.saturating_add(1) };
            let (ulid, is_ending) = (new_ulid(&*self.clock), || self.is_ending());
            compact::write_head(&self.disk, target, &self.head, cut, ulid, &is_ending)?;
        }
        self.disk.sync_dir(target).map_err(io_error("sync", target))
    }
}

/// Links the files of a block that never change and copies the others.
fn copy_block(disk: &dyn Disk, block: &Block, target: &Path) -> io::Result<()> {
    let (from, to) = (block.dir(), target.join(block.meta().ulid.to_string()));
    let (from_chunks, to_chunks) = (from.join("chunks"), to.join("chunks"));
    disk.create_dir_all(&to_chunks)?;
    for entry in disk.list(&from_chunks)?.into_iter().filter(|entry| !entry.is_dir) {
        disk.link(&from_chunks.join(&entry.name), &to_chunks.join(&entry.name))?;
    }
    disk.link(&from.join("index"), &to.join("index"))?;
    for name in ["meta.json", "tombstones"] {
        match disk.read(&from.join(name)) {
            Ok(bytes) => {
                let mut file = disk.create(&to.join(name))?;
                file.write_all(&bytes)?;
                file.sync()?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    disk.sync_dir(&to_chunks)?;
    disk.sync_dir(&to)
}

/// `20260105T000000Z`
fn instant(time_ms: i64) -> String {
    let (year, month, day) = date_of_day(time_ms.div_euclid(DAY_MS).into());
    let seconds = time_ms.rem_euclid(DAY_MS) / 1000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_without_separators() {
        assert_eq!(instant(1_767_571_200_000), "20260105T000000Z");
        assert_eq!(instant(1_767_571_200_000 - 1), "20260104T235959Z");
        assert_eq!(instant(0), "19700101T000000Z");
    }
}
