//! Many small writes gathered into few large ones.

use std::io;

use super::WriteFile;

const BUFFER_BYTES: usize = 256 << 10;

/// A file being written through a buffer. What is still in the buffer when it is dropped is lost:
/// end with [`BufferedFile::finish`].
#[derive(Debug)]
pub struct BufferedFile {
    file: Box<dyn WriteFile>,
    buffer: Vec<u8>,
    position: u64,
}

impl BufferedFile {
    /// Writes to an empty `file`.
    #[must_use]
    pub fn new(file: Box<dyn WriteFile>) -> Self {
        Self { file, buffer: Vec::new(), position: 0 }
    }

    /// Bytes written so far, those in the buffer included.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// The disk's answer.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.position += bytes.len() as u64;
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.file.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        if bytes.len() >= BUFFER_BYTES {
            return self.file.write_all(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends zeros up to a multiple of `alignment_bytes`, at most 16.
    ///
    /// # Errors
    /// The disk's answer.
    pub fn pad(&mut self, alignment_bytes: u64) -> io::Result<()> {
        let missing = self.position.next_multiple_of(alignment_bytes) - self.position;
        self.write([0; 16].get(..missing as usize).unwrap_or_default())
    }

    /// Writes out the buffer and syncs the file.
    ///
    /// # Errors
    /// The disk's answer.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.file.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, RealDisk};

    #[test]
    fn bytes_arrive_in_order_whatever_their_number() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut file = BufferedFile::new(RealDisk.create(&path).unwrap());
        let mut wanted = Vec::new();
        for length in [1, BUFFER_BYTES - 1, 1, BUFFER_BYTES, 3 * BUFFER_BYTES, 5] {
            let part: Vec<u8> = (0..length).map(|index| index as u8).collect();
            file.write(&part).unwrap();
            wanted.extend_from_slice(&part);
        }
        file.pad(16).unwrap();
        wanted.resize(wanted.len().next_multiple_of(16), 0);
        assert_eq!(file.position(), wanted.len() as u64);
        file.finish().unwrap();
        assert!(RealDisk.read(&path).unwrap() == wanted);
    }
}
