//! Writes an index from its first byte to its last.

use std::collections::HashMap;

use crate::base::varint::{put_text, put_uvarint, put_varint};
use crate::disk::{BufferedFile, WriteFile};
use crate::model::Labels;

use super::symbols::{SymbolTable, finish_section};
use super::toc::Toc;
use super::{ChunkMeta, IndexError, MAGIC, SERIES_ALIGNMENT_BYTES, VERSION};

/// Writes an index: symbols when it is made, then series in label order, the rest at the end.
///
/// Keeps the symbols, and eight bytes for each label of each series, in memory.
#[derive(Debug)]
pub struct IndexWriter {
    file: BufferedFile,
    toc: Toc,
    symbols: SymbolTable,
    postings: PostingsBuilder,
    last_labels: Option<Labels>,
    last_reference: u64,
    entry: Vec<u8>,
    pair_numbers: Vec<u32>,
}

impl IndexWriter {
    /// Starts an index in an empty file with all strings that its labels will have; `symbols`
    /// ascend strictly.
    ///
    /// # Errors
    /// The disk's answer, or symbols that do not ascend.
    pub fn new(
        file: Box<dyn WriteFile>,
        symbols: &mut dyn Iterator<Item = &str>,
    ) -> Result<Self, IndexError> {
        let symbols = SymbolTable::new(symbols)?;
        let mut file = BufferedFile::new(file);
        file.write(&MAGIC.to_be_bytes())?;
        file.write(&[VERSION])?;
        let mut toc = Toc { symbols: file.position(), ..Toc::default() };
        file.write(&symbols.encode())?;
        toc.series = file.position();
        Ok(Self {
            file,
            toc,
            symbols,
            postings: PostingsBuilder::default(),
            last_labels: None,
            last_reference: 0,
            entry: Vec::new(),
            pair_numbers: Vec::new(),
        })
    }

    /// Adds a series behind those before it, in label order. Its chunks ascend by time without
    /// overlap, and by reference over all series.
    ///
    /// # Errors
    /// The disk's answer, or a series out of order; the index cannot be finished then.
    pub fn add_series(&mut self, labels: &Labels, chunks: &[ChunkMeta]) -> Result<(), IndexError> {
        if self.last_labels.as_ref().is_some_and(|last| last >= labels) {
            return Err(IndexError::Refused(format!("series {labels} is out of order")));
        }
        self.entry.clear();
        self.pair_numbers.clear();
        put_uvarint(&mut self.entry, labels.len() as u64);
        for (name, value) in labels.iter() {
            let (name, value) = (self.number_of(name)?, self.number_of(value)?);
            put_uvarint(&mut self.entry, u64::from(name));
            put_uvarint(&mut self.entry, u64::from(value));
            self.pair_numbers.push(self.postings.pair_number(name, value));
        }
        self.put_chunks(labels, chunks)?;
        self.file.pad(SERIES_ALIGNMENT_BYTES)?;
        let id = u32::try_from(self.file.position() / SERIES_ALIGNMENT_BYTES)
            .map_err(|_| IndexError::Refused("index of more than 64 GiB".into()))?;
        self.postings.add_series(id, &self.pair_numbers);
        let mut length = Vec::with_capacity(5);
        put_uvarint(&mut length, self.entry.len() as u64);
        let checksum = crc32c::crc32c(&self.entry);
        self.entry.extend_from_slice(&checksum.to_be_bytes());
        self.file.write(&length)?;
        self.file.write(&self.entry)?;
        self.last_labels = Some(labels.clone());
        Ok(())
    }

    fn number_of(&self, text: &str) -> Result<u32, IndexError> {
        let unknown = || IndexError::Refused(format!("{text:?} is not among the symbols"));
        self.symbols.find(text).ok_or_else(unknown)
    }

    fn put_chunks(&mut self, labels: &Labels, chunks: &[ChunkMeta]) -> Result<(), IndexError> {
        let out = &mut self.entry;
        put_uvarint(out, chunks.len() as u64);
        let mut last: Option<ChunkMeta> = None;
        for chunk in chunks {
            let is_ordered = chunk.min_time_ms <= chunk.max_time_ms
                && last.is_none_or(|last| last.max_time_ms < chunk.min_time_ms)
                && self.last_reference <= chunk.reference;
            if !is_ordered {
                return Err(IndexError::Refused(format!("chunks of {labels} are out of order")));
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
        let table = self.write_lists()?;
        self.toc.postings_table = self.file.position();
        self.toc.label_indices_table = self.file.position();
        self.file.write(&table)?;
        self.file.write(&self.toc.encode())?;
        Ok(self.file.finish()?)
    }

    /// Writes all lists; returns the table that says where they are.
    fn write_lists(&mut self) -> Result<Vec<u8>, IndexError> {
        let (series, lists) = std::mem::take(&mut self.postings).sort();
        let mut table = vec![0; 4];
        table.extend_from_slice(&(lists.len() as u32 + 1).to_be_bytes());
        self.file.pad(4)?;
        put_entry(&mut table, "", "", self.file.position());
        write_list(&mut self.file, &mut self.entry, &series)?;
        for ((name, value), ids) in lists.iter() {
            self.file.pad(4)?;
            let (name, value) = (self.symbols.get(name), self.symbols.get(value));
            put_entry(&mut table, name, value, self.file.position());
            write_list(&mut self.file, &mut self.entry, ids)?;
        }
        if u32::try_from(table.len()).is_err() {
            return Err(IndexError::Refused("postings table of more than 4 GiB".into()));
        }
        finish_section(&mut table, 0);
        Ok(table)
    }
}

fn put_entry(table: &mut Vec<u8>, name: &str, value: &str, offset: u64) {
    put_uvarint(table, 2);
    put_text(table, name);
    put_text(table, value);
    put_uvarint(table, offset);
}

fn write_list(file: &mut BufferedFile, out: &mut Vec<u8>, ids: &[u32]) -> Result<(), IndexError> {
    out.clear();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(ids.len() as u32).to_be_bytes());
    for id in ids {
        out.extend_from_slice(&id.to_be_bytes());
    }
    if u32::try_from(out.len()).is_err() {
        return Err(IndexError::Refused("postings list of more than 4 GiB".into()));
    }
    finish_section(out, 0);
    Ok(file.write(out)?)
}

/// Gathers which series have which label, and turns that around at the end.
#[derive(Debug, Default)]
struct PostingsBuilder {
    /// Numbers of the pairs of name and value, in the order of their first appearance.
    numbers: HashMap<(u32, u32), u32>,
    /// How many series have each pair.
    counts: Vec<u32>,
    series: Vec<u32>,
    /// Where the pairs of each series end in `pairs`.
    ends: Vec<u64>,
    pairs: Vec<u32>,
}

/// Lists of series, one for each pair, ascending by pair.
struct Lists {
    /// The pair, and where its list is in `ids`.
    pairs: Vec<((u32, u32), std::ops::Range<usize>)>,
    ids: Vec<u32>,
}

impl Lists {
    fn len(&self) -> usize {
        self.pairs.len()
    }

    fn iter(&self) -> impl Iterator<Item = ((u32, u32), &[u32])> {
        self.pairs
            .iter()
            .map(|(pair, range)| (*pair, self.ids.get(range.clone()).unwrap_or_default()))
    }
}

impl PostingsBuilder {
    fn pair_number(&mut self, name: u32, value: u32) -> u32 {
        let next = self.counts.len() as u32;
        let number = *self.numbers.entry((name, value)).or_insert(next);
        if number == next {
            self.counts.push(0);
        }
        number
    }

    fn add_series(&mut self, id: u32, pair_numbers: &[u32]) {
        for number in pair_numbers {
            if let Some(count) = self.counts.get_mut(*number as usize) {
                *count += 1;
            }
        }
        self.series.push(id);
        self.pairs.extend_from_slice(pair_numbers);
        self.ends.push(self.pairs.len() as u64);
    }

    /// All series, and the lists.
    fn sort(self) -> (Vec<u32>, Lists) {
        let mut pairs: Vec<((u32, u32), u32)> = self.numbers.into_iter().collect();
        // Symbols ascend, so their numbers order pairs as their texts would.
        pairs.sort_unstable();
        let mut places = vec![0_usize; self.counts.len()];
        let mut ranges = Vec::with_capacity(pairs.len());
        let mut end = 0;
        for (pair, number) in pairs {
            let count = self.counts.get(number as usize).copied().unwrap_or_default();
            if let Some(place) = places.get_mut(number as usize) {
                *place = end;
            }
            ranges.push((pair, end..end + count as usize));
            end += count as usize;
        }
        let mut ids = vec![0; end];
        let mut start = 0;
        for (id, end) in self.series.iter().zip(&self.ends) {
            let end = *end as usize;
            for number in self.pairs.get(start..end).unwrap_or_default() {
                if let Some(place) = places.get_mut(*number as usize) {
                    if let Some(slot) = ids.get_mut(*place) {
                        *slot = *id;
                    }
                    *place += 1;
                }
            }
            start = end;
        }
        (self.series, Lists { pairs: ranges, ids })
    }
}
