//! The folder in which headers are kept from one run to the next.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ulid::Ulid;

use crate::disk::{SharedDisk, write_atomic};

use super::header::IndexHeader;

const NAME: &str = "index-header";

/// The folder, with a folder for each block in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeaderFolder<'a> {
    disk: &'a SharedDisk,
    dir: &'a Path,
}

impl<'a> HeaderFolder<'a> {
    pub(super) const fn new(disk: &'a SharedDisk, dir: &'a Path) -> Self {
        Self { disk, dir }
    }

    fn path(&self, ulid: Ulid) -> PathBuf {
        self.dir.join(ulid.to_string()).join(NAME)
    }

    /// The header of a block, if there is a sound one.
    pub(super) fn load(&self, ulid: Ulid) -> Option<IndexHeader> {
        let path = self.path(ulid);
        if !self.disk.exists(&path) {
            return None;
        }
        let opened = self.disk.map(&path).map_err(|error| error.to_string());
        let opened =
            opened.and_then(|bytes| IndexHeader::decode(&bytes).map_err(|error| error.to_string()));
        if let Err(error) = &opened {
            tracing::warn!(path = %path.display(), error, "index header is made anew");
        }
        opened.ok()
    }

    /// Keeps the header of a block; the same bytes, mapped.
    pub(super) fn store(&self, ulid: Ulid, bytes: &Bytes) -> Option<Bytes> {
        let path = self.path(ulid);
        let stored = path.parent().map_or(Ok(()), |dir| self.disk.create_dir_all(dir));
        let stored = stored.and_then(|()| write_atomic(&**self.disk, &path, bytes));
        match stored.and_then(|()| self.disk.map(&path)) {
            Ok(mapped) => Some(mapped),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "index header is not kept");
                None
            }
        }
    }

    /// Removes the headers of all blocks but these. Folders that have anything else in them are
    /// left: they are none of ours.
    pub(super) fn keep(&self, ulids: &HashSet<Ulid>) {
        if let Err(error) = self.try_keep(ulids)
            && error.kind() != io::ErrorKind::NotFound
        {
            let path = self.dir.display();
            tracing::warn!(%path, %error, "headers of blocks that are gone are not removed");
        }
    }

    fn try_keep(&self, ulids: &HashSet<Ulid>) -> io::Result<()> {
        for entry in self.disk.list(self.dir)? {
            let ulid = Ulid::from_string(&entry.name).ok();
            if !entry.is_dir || ulid.is_none_or(|ulid| ulids.contains(&ulid)) {
                continue;
            }
            let dir = self.dir.join(&entry.name);
            let is_ours = |name: &str| {
                name.strip_prefix(NAME).is_some_and(|end| end.is_empty() || end == ".tmp")
            };
            if self.disk.list(&dir)?.iter().all(|inner| !inner.is_dir && is_ours(&inner.name)) {
                self.disk.remove_dir_all(&dir)?;
            }
        }
        Ok(())
    }
}
