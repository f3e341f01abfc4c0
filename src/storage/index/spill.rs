//! Bytes that are written once and read back: in memory while they are few, else in a file.

use std::io;
use std::path::PathBuf;

use crate::disk::{SharedDisk, WriteFile};

/// So many bytes stay in memory.
const MEMORY_BYTES: usize = 4 << 20;
/// So many are read back at a time; a multiple of four, so that words stay whole.
const PIECE_BYTES: usize = 256 << 10;

/// Bytes in the order of their writing. The file goes with the value.
#[derive(Debug)]
pub(super) struct Spill {
    disk: SharedDisk,
    path: PathBuf,
    /// What is not in the file.
    tail: Vec<u8>,
    file: Option<Box<dyn WriteFile>>,
    spilled_bytes: u64,
}

impl Spill {
    /// Nothing yet; `path` is used if memory does not do.
    pub(super) const fn new(disk: SharedDisk, path: PathBuf) -> Self {
        Self { disk, path, tail: Vec::new(), file: None, spilled_bytes: 0 }
    }

    pub(super) const fn len_bytes(&self) -> u64 {
        self.spilled_bytes + self.tail.len() as u64
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tail.extend_from_slice(bytes);
        if self.tail.len() < MEMORY_BYTES {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(self.disk.create(&self.path)?),
        };
        file.write_all(&self.tail)?;
        self.spilled_bytes += self.tail.len() as u64;
        self.tail.clear();
        Ok(())
    }

    /// Hands all bytes to `each`, in pieces of which all but the last are of one size.
    pub(super) fn read(&self, each: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if self.spilled_bytes > 0 {
            let file = self.disk.open(&self.path)?;
            let mut piece = vec![0; PIECE_BYTES];
            let mut offset = 0;
            while offset < self.spilled_bytes {
                let left = self.spilled_bytes - offset;
                let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
                let mut filled = 0;
                while filled < wanted {
                    let room = piece.get_mut(filled..wanted).unwrap_or_default();
                    let count = file.read_at(offset + filled as u64, room)?;
                    if count == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    filled += count;
                }
                each(piece.get(..wanted).unwrap_or_default())?;
                offset += wanted as u64;
            }
        }
        self.tail.chunks(PIECE_BYTES).try_for_each(each)
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        if self.file.take().is_some()
            && let Err(error) = self.disk.remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "temporary file is left");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, MemoryDisk};
    use std::sync::Arc;

    #[test]
    fn many_bytes_come_back_as_few_do_and_leave_nothing() {
        for count in [0, 1, MEMORY_BYTES / 8 - 1, MEMORY_BYTES / 8, MEMORY_BYTES / 3] {
            let disk = MemoryDisk::new();
            let mut spill = Spill::new(Arc::new(disk.clone()), "spilled".into());
            for word in 0..count as u64 {
                spill.write(&word.to_be_bytes()).unwrap();
            }
            assert_eq!(spill.len_bytes(), count as u64 * 8);
            assert_eq!(disk.exists("spilled".as_ref()), count * 8 >= MEMORY_BYTES);
            let mut next = 0_u64;
            let read = spill.read(&mut |piece| {
                for word in piece.chunks(8) {
                    assert_eq!(word, next.to_be_bytes());
                    next += 1;
                }
                Ok(())
            });
            read.unwrap();
            assert_eq!(next, count as u64);
            drop(spill);
            assert!(!disk.exists("spilled".as_ref()));
        }
    }
}
