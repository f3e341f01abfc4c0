//! Reads an index where it lies, without copying it into memory.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::base::varint::{Cursor, Truncated, from_zigzag};
use crate::model::{LabelsBuf, LabelsRef};

use super::postings::BigEndianList;
use super::postings_writer::SymbolPair;
use super::select::PostingsSource;
use super::symbols::{SymbolCache, Symbols, checked_section, partition};
use super::toc::{TOC_BYTES, Toc};
use super::{IndexError, MAGIC, SAMPLING, SERIES_ALIGNMENT_BYTES};

const TABLE: &str = "postings offset table";
const LIST: &str = "postings list";
const SERIES: &str = "series entry";

/// Where a chunk of a series is, and what time it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkMeta {
    /// Time of its first sample.
    pub min_time_ms: i64,
    /// Time of its last sample.
    pub max_time_ms: i64,
    /// Number of the segment, from 0, in the high 32 bits, offset in it in the low ones.
    pub reference: u64,
}

/// Memory for reading series entries, reused from one to the next.
#[derive(Debug, Default)]
pub struct SeriesScratch {
    labels: LabelsBuf,
    symbols: SymbolCache,
    /// The chunks of the series read last, by time.
    pub chunks: Vec<ChunkMeta>,
}

/// An opened index. Holds one of 32 places of its tables in memory, and checks each part when it
/// is read.
#[derive(Debug)]
pub struct IndexReader {
    index: Bytes,
    toc: Toc,
    symbols: Symbols,
    /// The entries of the postings table, without the count before them.
    table: Bytes,
    names: BTreeMap<Box<str>, NameEntries>,
}

/// The entries of one label name in the postings table.
#[derive(Debug, Default)]
struct NameEntries {
    count: u32,
    /// Where every [`SAMPLING`]th entry starts in the table.
    sampled: Vec<u32>,
}

/// One entry of the postings table.
struct Entry<'a> {
    name: &'a str,
    value: &'a str,
    offset: u64,
}

fn entry<'a>(cursor: &mut Cursor<'a>) -> Option<Entry<'a>> {
    if cursor.uvarint().ok()? != 2 {
        return None;
    }
    let name = std::str::from_utf8(cursor.length_prefixed().ok()?).ok()?;
    let value = std::str::from_utf8(cursor.length_prefixed().ok()?).ok()?;
    Some(Entry { name, value, offset: cursor.uvarint().ok()? })
}

impl IndexReader {
    /// Opens the index in `index`, which is a mapped file as a rule.
    ///
    /// # Errors
    /// A version that is not read, or a table of contents, symbol table or postings table that is
    /// not what it should be.
    pub fn open(index: Bytes) -> Result<Self, IndexError> {
        let corrupt = IndexError::cut("index header", 0);
        let mut header = Cursor::new(&index);
        if header.u32_be().map_err(corrupt)? != MAGIC {
            return Err(IndexError::corrupt("index header", 0));
        }
        let version = header.u8().map_err(corrupt)?;
        if version != 2 && version != 3 {
            return Err(IndexError::Version(version));
        }
        let toc = Toc::decode(&index)?;
        let symbols = Symbols::open(&index, toc.symbols)?;
        let section = checked_section(&index, toc.postings_table, TABLE)?;
        let corrupt = || IndexError::corrupt(TABLE, toc.postings_table);
        let mut cursor = Cursor::new(&section);
        let count = cursor.u32_be().map_err(|_| corrupt())?;
        let table = section.slice_ref(cursor.rest());
        let names = sample_names(&table, count).ok_or_else(corrupt)?;
        Ok(Self { index, toc, symbols, table, names })
    }

    /// Bytes of the whole index.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.index.len() as u64
    }

    /// How many strings the index has.
    #[must_use]
    pub const fn symbol_count(&self) -> usize {
        self.symbols.count()
    }

    /// All strings of the index, ascending.
    pub fn symbols(&self) -> impl Iterator<Item = Result<&str, IndexError>> {
        self.symbols.iter()
    }

    /// The names of labels, ascending.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(|name| &**name).filter(|name| !name.is_empty())
    }

    fn corrupt_table(&self) -> IndexError {
        IndexError::corrupt(TABLE, self.toc.postings_table)
    }

    /// Hands each value of a label, ascending, and its list to `each`, from the first value that
    /// is not below `from` on, until `each` returns false.
    fn walk_values<'a>(
        &'a self,
        name: &str,
        from: &str,
        each: &mut dyn FnMut(&'a str, u64) -> Result<bool, IndexError>,
    ) -> Result<(), IndexError> {
        let Some(entries) = self.names.get(name) else { return Ok(()) };
        let at = |sample: usize| {
            let start = *entries.sampled.get(sample)? as usize;
            self.table.get(start..).map(Cursor::new)
        };
        let after = partition(entries.sampled.len(), |sample| {
            at(sample).and_then(|mut cursor| entry(&mut cursor)).is_some_and(|e| e.value <= from)
        });
        let sample = after.saturating_sub(1);
        let mut cursor = at(sample).ok_or_else(|| self.corrupt_table())?;
        for _ in sample * SAMPLING..entries.count as usize {
            let entry = entry(&mut cursor).ok_or_else(|| self.corrupt_table())?;
            if entry.value >= from && !each(entry.value, entry.offset)? {
                break;
            }
        }
        Ok(())
    }

    /// Hands each value of a label to `each`, ascending, until it returns false.
    ///
    /// # Errors
    /// A table that is not what it should be.
    pub fn label_values(
        &self,
        name: &str,
        each: &mut dyn FnMut(&str) -> bool,
    ) -> Result<(), IndexError> {
        self.walk_values(name, "", &mut |value, _| Ok(each(value)))
    }

    /// Hands each value of a label and its series to `each`, ascending, until it returns false.
    ///
    /// # Errors
    /// A table or list that is not what it should be.
    pub fn label_values_with_series(
        &self,
        name: &str,
        each: &mut dyn FnMut(&str, BigEndianList<'_>) -> bool,
    ) -> Result<(), IndexError> {
        self.walk_values(name, "", &mut |value, offset| Ok(each(value, self.list(offset)?)))
    }

    /// The list at an offset of the file.
    fn list(&self, offset: u64) -> Result<BigEndianList<'_>, IndexError> {
        let corrupt = IndexError::cut(LIST, offset);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut cursor = Cursor::new(self.index.get(start..).unwrap_or_default());
        let length = cursor.u32_be().map_err(corrupt)? as usize;
        let body = cursor.take(length).map_err(corrupt)?;
        let is_sound = cursor.u32_be().map_err(corrupt)? == crc32c::crc32c(body);
        let mut body = Cursor::new(body);
        let count = body.u32_be().map_err(corrupt)? as usize;
        if !is_sound || body.len() != count * 4 {
            return Err(IndexError::corrupt(LIST, offset));
        }
        Ok(BigEndianList::new(body.rest()))
    }

    /// The labels and chunks of a series; the chunks are in `scratch.chunks`.
    ///
    /// # Errors
    /// An entry that is not what it should be.
    pub fn series<'s>(
        &self,
        id: u32,
        scratch: &'s mut SeriesScratch,
    ) -> Result<LabelsRef<'s>, IndexError> {
        let offset = u64::from(id) * SERIES_ALIGNMENT_BYTES;
        let corrupt = IndexError::cut(SERIES, offset);
        let mut cursor = Cursor::new(self.series_body(id)?);
        let label_count = cursor.uvarint().map_err(corrupt)?;
        scratch.labels.clear();
        for _ in 0..label_count {
            let (name, value) = label_numbers(&mut cursor).ok_or_else(|| corrupt(Truncated))?;
            let name = scratch.symbols.get(&self.symbols, name)?;
            let value = scratch.symbols.get(&self.symbols, value)?;
            scratch.labels.push(name, value);
        }
        scratch.chunks.clear();
        read_chunks(&mut cursor, &mut scratch.chunks).ok_or_else(|| corrupt(Truncated))?;
        scratch.labels.finish().map_err(|_| corrupt(Truncated))
    }

    /// The labels of a series as numbers of symbols, and its chunks; they replace what is in
    /// `labels` and `chunks`.
    ///
    /// # Errors
    /// An entry that is not what it should be.
    pub fn series_numbers(
        &self,
        id: u32,
        labels: &mut Vec<SymbolPair>,
        chunks: &mut Vec<ChunkMeta>,
    ) -> Result<(), IndexError> {
        let corrupt = IndexError::cut(SERIES, u64::from(id) * SERIES_ALIGNMENT_BYTES);
        let mut cursor = Cursor::new(self.series_body(id)?);
        labels.clear();
        for _ in 0..cursor.uvarint().map_err(corrupt)? {
            labels.push(label_numbers(&mut cursor).ok_or_else(|| corrupt(Truncated))?);
        }
        chunks.clear();
        read_chunks(&mut cursor, chunks).ok_or_else(|| corrupt(Truncated))
    }

    /// The bytes of a series entry.
    fn series_body(&self, id: u32) -> Result<&[u8], IndexError> {
        let offset = u64::from(id) * SERIES_ALIGNMENT_BYTES;
        let corrupt = IndexError::cut(SERIES, offset);
        let series = self.toc.series..self.index.len().saturating_sub(TOC_BYTES) as u64;
        if !series.contains(&offset) {
            return Err(corrupt(Truncated));
        }
        let mut cursor = Cursor::new(self.index.get(offset as usize..).unwrap_or_default());
        let body = cursor.length_prefixed().map_err(corrupt)?;
        if cursor.u32_be().map_err(corrupt)? != crc32c::crc32c(body) {
            return Err(corrupt(Truncated));
        }
        Ok(body)
    }

    /// Adds the label names of a series to `names`.
    ///
    /// # Errors
    /// An entry that is not what it should be.
    pub fn names_of_series<'a>(
        &'a self,
        id: u32,
        names: &mut BTreeSet<&'a str>,
        scratch: &mut SeriesScratch,
    ) -> Result<(), IndexError> {
        let corrupt = IndexError::cut(SERIES, u64::from(id) * SERIES_ALIGNMENT_BYTES);
        let mut cursor = Cursor::new(self.series_body(id)?);
        for _ in 0..cursor.uvarint().map_err(corrupt)? {
            let (name, _) = label_numbers(&mut cursor).ok_or_else(|| corrupt(Truncated))?;
            names.insert(scratch.symbols.get(&self.symbols, name)?);
        }
        Ok(())
    }
}

fn label_numbers(cursor: &mut Cursor<'_>) -> Option<(u32, u32)> {
    let mut number = || u32::try_from(cursor.uvarint().ok()?).ok();
    Some((number()?, number()?))
}

/// Reads how many chunks there are, and them. Deltas are read as they are; who reads the samples
/// does not rely on the order.
fn read_chunks(cursor: &mut Cursor<'_>, into: &mut Vec<ChunkMeta>) -> Option<()> {
    let count = cursor.uvarint().ok()?;
    if count == 0 {
        return Some(());
    }
    let min_time_ms = cursor.varint().ok()?;
    let max_time_ms = min_time_ms.wrapping_add_unsigned(cursor.uvarint().ok()?);
    let reference = cursor.uvarint().ok()?;
    let mut chunk = ChunkMeta { min_time_ms, max_time_ms, reference };
    into.push(chunk);
    for _ in 1..count {
        // For a question to few samples this loop is most of the work.
        let [gap_ms, length_ms, distance] = match cursor.three_uvarints() {
            Some(three) => three,
            None => [cursor.uvarint().ok()?, cursor.uvarint().ok()?, cursor.uvarint().ok()?],
        };
        chunk.min_time_ms = chunk.max_time_ms.wrapping_add_unsigned(gap_ms);
        chunk.max_time_ms = chunk.min_time_ms.wrapping_add_unsigned(length_ms);
        chunk.reference = chunk.reference.wrapping_add_signed(from_zigzag(distance));
        into.push(chunk);
    }
    Some(())
}

/// Walks over the whole postings table once. `None` if it is not in order.
fn sample_names(table: &Bytes, count: u32) -> Option<BTreeMap<Box<str>, NameEntries>> {
    let mut names: BTreeMap<Box<str>, NameEntries> = BTreeMap::new();
    let mut cursor = Cursor::new(table);
    let mut current = ("", NameEntries::default());
    let mut last_value = "";
    for _ in 0..count {
        let start = (table.len() - cursor.len()) as u32;
        let entry = entry(&mut cursor)?;
        let is_first = current.1.count == 0;
        if is_first {
            current.0 = entry.name;
        } else if entry.name != current.0 {
            if entry.name < current.0 {
                return None;
            }
            let (name, entries) =
                std::mem::replace(&mut current, (entry.name, NameEntries::default()));
            names.insert(name.into(), entries);
        } else if entry.value <= last_value {
            return None;
        }
        if (current.1.count as usize).is_multiple_of(SAMPLING) {
            current.1.sampled.push(start);
        }
        current.1.count += 1;
        last_value = entry.value;
    }
    if current.1.count > 0 {
        names.insert(current.0.into(), current.1);
    }
    Some(names)
}

impl PostingsSource for IndexReader {
    type Id = u32;
    type Cursor<'a> = BigEndianList<'a>;
    type Error = IndexError;

    fn all(&self) -> Result<BigEndianList<'_>, IndexError> {
        Ok(self.pair("", "")?.unwrap_or(BigEndianList::empty()))
    }

    fn pair(&self, name: &str, value: &str) -> Result<Option<BigEndianList<'_>>, IndexError> {
        let mut found = None;
        self.walk_values(name, value, &mut |here, offset| {
            if here == value {
                found = Some(self.list(offset)?);
            }
            Ok(false)
        })?;
        Ok(found)
    }

    fn value_count(&self, name: &str) -> usize {
        self.names.get(name).map_or(0, |entries| entries.count as usize)
    }

    fn values<'a>(
        &'a self,
        name: &str,
        prefix: &str,
        wanted: &mut dyn FnMut(&str) -> bool,
        each: &mut dyn FnMut(BigEndianList<'a>),
    ) -> Result<(), IndexError> {
        if name.is_empty() {
            return Ok(());
        }
        self.walk_values(name, prefix, &mut |value, offset| {
            if !value.starts_with(prefix) {
                return Ok(false);
            }
            if wanted(value) {
                each(self.list(offset)?);
            }
            Ok(true)
        })
    }

    fn check_label(
        &self,
        id: u32,
        name: &str,
        check: &mut dyn FnMut(&str) -> bool,
    ) -> Result<bool, IndexError> {
        let Some(wanted) = self.symbols.find(name) else { return Ok(check("")) };
        let corrupt = IndexError::cut(SERIES, u64::from(id) * SERIES_ALIGNMENT_BYTES);
        let mut cursor = Cursor::new(self.series_body(id)?);
        for _ in 0..cursor.uvarint().map_err(corrupt)? {
            let (name, value) = label_numbers(&mut cursor).ok_or_else(|| corrupt(Truncated))?;
            if name == wanted {
                return Ok(check(self.symbols.get(value)?));
            }
        }
        Ok(check(""))
    }
}
