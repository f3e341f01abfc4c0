//! Whole files from the disk to the bucket and back, in parts, so that memory stays bounded.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use futures_util::future::try_join_all;
use object_store::{MultipartUpload, ObjectStore, PutMultipartOptions, PutPayload};

use crate::disk::{ReadFile, SharedDisk};

use super::{Bucket, BucketError, Operation};

/// Parts of a file that are sent or fetched at a time.
const PARTS_AT_A_TIME: u64 = 4;
/// What is asked for in one request of a download: several blocks may come at a time.
const GET_BYTES: u64 = 2 << 20;

type Upload = Box<dyn MultipartUpload>;

impl Bucket {
    /// Sends a file that nobody changes meanwhile; in parts if it is large, of which at most four
    /// are in memory. `progress` is told of the bytes that have arrived; after a failed try they
    /// are told again.
    ///
    /// # Errors
    /// See [`BucketError`]. The object is there as a whole or not at all.
    pub fn put_file(
        &self,
        key: &str,
        disk: &SharedDisk,
        path: &Path,
        progress: &dyn Fn(u64),
    ) -> Result<(), BucketError> {
        let io = BucketError::io(path);
        let file = disk.open(path).map_err(io)?;
        let size_bytes = file.len_bytes().map_err(io)?;
        if size_bytes <= self.0.part_bytes {
            self.put(key, part_of(&*file, 0..size_bytes).map_err(io)?)?;
            progress(size_bytes);
            return Ok(());
        }
        self.0.attempt(Operation::Upload, key, |_| {
            let sending = Sending { bucket: self, key, file: &*file, path, size_bytes, progress };
            sending.send()
        })
    }

    /// Writes an object to a file, which is made or emptied, and syncs it. `arrived` is shown the
    /// bytes in their order as they are written. While some are, the next come: sixteen MiB are in
    /// memory at most.
    ///
    /// # Errors
    /// See [`BucketError`]; the file is then not whole.
    pub fn download(
        &self,
        key: &str,
        disk: &SharedDisk,
        path: &Path,
        arrived: &mut dyn FnMut(&[u8]),
    ) -> Result<(), BucketError> {
        let io = BucketError::io(path);
        let size_bytes = self.head(key)?.size_bytes;
        let mut file = disk.create(path).map_err(io)?;
        let mut write = |parts: Result<Vec<Bytes>, BucketError>| {
            for bytes in parts? {
                file.write_all(&bytes).map_err(io)?;
                arrived(&bytes);
            }
            Ok(())
        };
        let starts = (0..size_bytes).step_by(PARTS_AT_A_TIME as usize * GET_BYTES as usize);
        let batches = starts.map(|start| batch(start, size_bytes, GET_BYTES));
        let mut fetch = batches.map(|batch| self.get_whole_ranges(key, &batch));
        if size_bytes <= PARTS_AT_A_TIME * GET_BYTES {
            fetch.try_for_each(&mut write)?;
        } else {
            std::thread::scope(|scope| {
                let (sender, fetched) = mpsc::sync_channel(0);
                scope.spawn(move || {
                    // Ends with an error, or when nobody listens any more.
                    fetch.all(|parts| parts.is_ok() & sender.send(parts).is_ok())
                });
                fetched.into_iter().try_for_each(&mut write)
            })?;
        }
        file.sync().map_err(io)
    }

    /// Parts that must all be there.
    fn get_whole_ranges(
        &self,
        key: &str,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, BucketError> {
        let parts = self.get_ranges(key, ranges)?;
        let is_whole =
            |(part, range): (&Bytes, &Range<u64>)| part.len() as u64 == range.end - range.start;
        if parts.iter().zip(ranges).all(is_whole) {
            return Ok(parts);
        }
        Err(BucketError::unavailable(key, "it shrank while it was read".to_owned()))
    }
}

/// The next parts of something of `size_bytes`.
fn batch(position: u64, size_bytes: u64, part_bytes: u64) -> Vec<Range<u64>> {
    let starts = (0..PARTS_AT_A_TIME).map(|index| position + index * part_bytes);
    let part = |start: u64| start..size_bytes.min(start + part_bytes);
    starts.take_while(|start| *start < size_bytes).map(part).collect()
}

fn part_of(file: &dyn ReadFile, range: Range<u64>) -> io::Result<Bytes> {
    let length = usize::try_from(range.end - range.start);
    let mut part = vec![0; length.map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?];
    let mut filled = 0;
    while let Some(rest) = part.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(range.start + filled as u64, rest)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok(part.into())
}

/// One try to send a large file.
struct Sending<'a> {
    bucket: &'a Bucket,
    key: &'a str,
    file: &'a dyn ReadFile,
    path: &'a Path,
    size_bytes: u64,
    progress: &'a dyn Fn(u64),
}

impl Sending<'_> {
    fn send(&self) -> Result<(), BucketError> {
        let (parts, location) = (&self.bucket.0, self.bucket.0.location(self.key)?);
        let store = Arc::clone(&parts.store);
        let attributes = parts.attributes.clone();
        let mut upload: Upload = parts.wait(self.key, async move {
            let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
            store.put_multipart_opts(&location, options).await
        })?;
        if let Err(error) = self.send_parts(&mut upload) {
            self.abort(upload);
            return Err(error);
        }
        let (outcome, upload) = parts.wait_for(self.key, async move {
            let outcome = upload.complete().await;
            (outcome, upload)
        })?;
        if let Err(error) = outcome {
            self.abort(upload);
            return Err(parts.refusal(self.key, &error));
        }
        Ok(())
    }

    fn send_parts(&self, upload: &mut Upload) -> Result<(), BucketError> {
        let (parts, io) = (&self.bucket.0, BucketError::io(self.path));
        let mut position = 0;
        while position < self.size_bytes {
            let mut requests = Vec::new();
            let start = position;
            for range in batch(position, self.size_bytes, parts.part_bytes) {
                position = range.end;
                let part = part_of(self.file, range).map_err(io)?;
                requests.push(upload.put_part(PutPayload::from_bytes(part)));
            }
            parts.wait(self.key, async move { try_join_all(requests).await.map(|_| ()) })?;
            parts.counters.moved(Operation::Upload, position - start);
            (self.progress)(position - start);
        }
        Ok(())
    }

    /// Nobody else would ever remove the parts that are there.
    fn abort(&self, mut upload: Upload) {
        let aborted = self.bucket.0.wait(self.key, async move { upload.abort().await });
        if let Err(error) = aborted {
            tracing::warn!(key = self.key, %error, "parts of an upload are left");
        }
    }
}
