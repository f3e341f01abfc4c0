//! Writes an index from its first byte to its last.

use std::path::Path;

use crate::base::varint::{put_uvarint, put_varint};
use crate::disk::{BufferedFile, SharedDisk};
use crate::model::Labels;

use super::postings_writer::{PostingsWriter, SymbolPair};
use super::symbols::SymbolTable;
use super::toc::Toc;
use super::{ChunkMeta, IndexError, MAGIC, SERIES_ALIGNMENT_BYTES, VERSION};

/// Writes an index: symbols when it is made, then series in label order, the rest at the end.
///
/// Keeps the symbols and a few bytes for each label pair in memory; of the series, nothing.
#[derive(Debug)]
pub struct IndexWriter {
    file: BufferedFile,
    toc: Toc,
    symbols: SymbolTable,
    postings: PostingsWriter,
    last_labels: Vec<SymbolPair>,
    last_reference: u64,
    entry: Vec<u8>,
    labels: Vec<SymbolPair>,
}

impl IndexWriter {
    /// Starts the index `path` with all strings that its labels will have. Until it is finished,
    /// there may be temporary files beside it.
    ///
    /// # Errors
    /// The disk's answer.
    pub fn new(disk: &SharedDisk, path: &Path, symbols: SymbolTable) -> Result<Self, IndexError> {
        let mut file = BufferedFile::new(disk.create(path)?);
        file.write(&MAGIC.to_be_bytes())?;
        file.write(&[VERSION])?;
        let mut toc = Toc { symbols: file.position(), ..Toc::default() };
        symbols.write(&mut file)?;
        toc.series = file.position();
        Ok(Self {
            file,
            toc,
            postings: PostingsWriter::new(disk, path, symbols.len()),
            symbols,
            last_labels: Vec::new(),
            last_reference: 0,
            entry: Vec::new(),
            labels: Vec::new(),
        })
    }

    /// Adds a series behind those before it, in label order. Its chunks ascend by time without
    /// overlap, and by reference over all series.
    ///
    /// # Errors
    /// The disk's answer, or a series out of order; the index cannot be finished then.
    pub fn add_series(&mut self, labels: &Labels, chunks: &[ChunkMeta]) -> Result<(), IndexError> {
        let mut pairs = std::mem::take(&mut self.labels);
        pairs.clear();
        for (place, (name, value)) in labels.iter().enumerate() {
            // Neighbours in label order share most of their labels.
            let last = self.last_labels.get(place).copied();
            let known = |number: Option<u32>, text: &str| {
                number.filter(|number| self.symbols.get(*number) == text)
            };
            let same_name = known(last.map(|pair| pair.0), name);
            let same_value = known(last.map(|pair| pair.1), value);
            let name = same_name.map_or_else(|| self.number_of(name), Ok)?;
            let value = same_value.map_or_else(|| self.number_of(value), Ok)?;
            pairs.push((name, value));
        }
        let added = self.add_numbered(&pairs, chunks);
        self.labels = pairs;
        added
    }

    /// As [`add_series`](Self::add_series), with labels given as the numbers of their symbols.
    ///
    /// # Errors
    /// As there.
    pub fn add_numbered(
        &mut self,
        labels: &[SymbolPair],
        chunks: &[ChunkMeta],
    ) -> Result<(), IndexError> {
        let is_behind = self.toc.series == self.file.position() || *self.last_labels < *labels;
        let is_ascending = labels.is_sorted_by(|before, label| before.0 < label.0);
        if !is_behind || !is_ascending {
            let series = self.show(labels);
            return Err(IndexError::Refused(format!("series {series} is out of order")));
        }
        let highest = labels.iter().map(|(name, value)| *name.max(value)).max().unwrap_or(0);
        if highest as usize >= self.symbols.len() {
            return Err(IndexError::Refused("a label that is not among the symbols".into()));
        }
        self.entry.clear();
        put_uvarint(&mut self.entry, labels.len() as u64);
        for (name, value) in labels {
            put_uvarint(&mut self.entry, u64::from(*name));
            put_uvarint(&mut self.entry, u64::from(*value));
        }
        self.put_chunks(labels, chunks)?;
        self.file.pad(SERIES_ALIGNMENT_BYTES)?;
        let id = u32::try_from(self.file.position() / SERIES_ALIGNMENT_BYTES)
            .map_err(|_| IndexError::Refused("index of more than 64 GiB".into()))?;
        self.postings.add_series(id, labels)?;
        let mut length = Vec::with_capacity(5);
        put_uvarint(&mut length, self.entry.len() as u64);
        let checksum = crc32c::crc32c(&self.entry);
        self.entry.extend_from_slice(&checksum.to_be_bytes());
        self.file.write(&length)?;
        self.file.write(&self.entry)?;
        self.last_labels.clear();
        self.last_labels.extend_from_slice(labels);
        Ok(())
    }

    fn number_of(&mut self, text: &str) -> Result<u32, IndexError> {
        let unknown = || IndexError::Refused(format!("{text:?} is not among the symbols"));
        self.symbols.find(text).ok_or_else(unknown)
    }

    /// The labels in words.
    fn show(&self, labels: &[SymbolPair]) -> String {
        let text = |number: u32| self.symbols.get(number);
        let pairs = labels.iter().map(|(name, value)| (text(*name), text(*value)));
        Labels::from_pairs(pairs).map_or_else(|error| error.to_string(), |l| l.to_string())
    }

    fn put_chunks(
        &mut self,
        labels: &[SymbolPair],
        chunks: &[ChunkMeta],
    ) -> Result<(), IndexError> {
        let out = &mut self.entry;
        put_uvarint(out, chunks.len() as u64);
        let mut last: Option<ChunkMeta> = None;
        for chunk in chunks {
            let is_ordered = chunk.min_time_ms <= chunk.max_time_ms
                && last.is_none_or(|last| last.max_time_ms < chunk.min_time_ms)
                && self.last_reference <= chunk.reference;
            if !is_ordered {
                let series = self.show(labels);
                return Err(IndexError::Refused(format!("chunks of {series} are out of order")));
            }
            let span_ms = chunk.max_time_ms.wrapping_sub(chunk.min_time_ms) as u64;
            match last {
                None => {
                    put_varint(out, chunk.min_time_ms);
                    put_uvarint(out, span_ms);
                    put_uvarint(out, chunk.reference);
                }
                Some(last) => {
                    put_uvarint(out, chunk.min_time_ms.wrapping_sub(last.max_time_ms) as u64);
                    put_uvarint(out, span_ms);
                    put_varint(out, chunk.reference.wrapping_sub(last.reference) as i64);
                }
            }
            self.last_reference = chunk.reference;
            last = Some(*chunk);
        }
        Ok(())
    }

    /// Writes the postings, their table and the table of contents, and syncs the file.
    ///
    /// # Errors
    /// The disk's answer, or a limit of the format.
    pub fn finish(mut self) -> Result<(), IndexError> {
        self.toc.label_indices = self.file.position();
        self.toc.postings = self.file.position();
        self.postings.write_lists(&mut self.file, &self.symbols)?;
        self.toc.postings_table = self.file.position();
        self.toc.label_indices_table = self.file.position();
        self.postings.write_table(&mut self.file)?;
        self.file.write(&self.toc.encode())?;
        Ok(self.file.finish()?)
    }
}
