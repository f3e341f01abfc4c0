//! Reads an index where it lies, without copying it into memory.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::base::varint::{Cursor, Truncated};
use crate::model::{LabelsBuf, LabelsRef};
use crate::series::TimeRange;

use super::entry::{Part, entry_error, label_numbers, list_part, read_chunks, series_part};
use super::postings::BigEndianList;
use super::postings_writer::SymbolPair;
use super::select::PostingsSource;
use super::symbols::SymbolCache;
use super::tables::IndexTables;
use super::toc::{TOC_BYTES, Toc};
use super::{IndexError, MAGIC, SERIES_ALIGNMENT_BYTES};

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
    pub(super) labels: LabelsBuf,
    pub(super) symbols: SymbolCache,
    pub(super) numbers: Vec<SymbolPair>,
    /// The numbers of what is in `labels`.
    pub(super) known: Vec<SymbolPair>,
    /// The chunks of the series read last, by time.
    pub chunks: Vec<ChunkMeta>,
}

impl SeriesScratch {
    /// Memory that is about right for so many series.
    #[must_use]
    pub(in crate::storage) fn for_series(count: usize) -> Self {
        Self { symbols: SymbolCache::for_series(count), ..Self::default() }
    }
}

/// An opened index. Checks each part when it is read.
#[derive(Debug)]
pub struct IndexReader {
    index: Bytes,
    tables: IndexTables,
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
        let tables = IndexTables::open(&index, toc.symbols, toc.postings_table, toc)?;
        Ok(Self { index, tables })
    }

    /// Bytes of the whole index.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.index.len() as u64
    }

    /// How many strings the index has.
    #[must_use]
    pub const fn symbol_count(&self) -> usize {
        self.tables.symbols.count()
    }

    /// All strings of the index, ascending.
    pub fn symbols(&self) -> impl Iterator<Item = Result<&str, IndexError>> {
        self.tables.symbols.iter()
    }

    /// The names of labels, ascending.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        self.tables.label_names()
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
        self.tables.walk_offsets(name, "", &mut |value, _| Ok(each(value)))
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
        self.tables.walk_offsets(name, "", &mut |value, offset| Ok(each(value, self.list(offset)?)))
    }

    /// The list at an offset of the file.
    fn list(&self, offset: u64) -> Result<BigEndianList<'_>, IndexError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        match list_part(self.index.get(start..).unwrap_or_default(), offset)? {
            Part::Whole(ids) => Ok(BigEndianList::new(ids)),
            Part::Short(_) => Err(IndexError::corrupt("postings list", offset)),
        }
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
        self.tables.decode_series(id, self.series_body(id)?, scratch)
    }

    /// The labels of a series and its chunks that overlap `range`, which are in `scratch.chunks`.
    /// Without such a chunk nothing is answered.
    ///
    /// # Errors
    /// An entry that is not what it should be.
    pub fn series_in<'s>(
        &self,
        id: u32,
        range: TimeRange,
        scratch: &'s mut SeriesScratch,
    ) -> Result<Option<LabelsRef<'s>>, IndexError> {
        self.tables.decode_series_in(id, self.series_body(id)?, range, scratch)
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
        let corrupt = entry_error(id);
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
        let end = self.index.len().saturating_sub(TOC_BYTES) as u64;
        let is_within = (self.tables.toc().series..end).contains(&offset);
        let bytes = if is_within { self.index.get(offset as usize..) } else { None };
        match series_part(bytes.unwrap_or_default(), id)? {
            Part::Whole(body) => Ok(body),
            Part::Short(_) => Err(entry_error(id)(Truncated)),
        }
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
        let corrupt = entry_error(id);
        let mut cursor = Cursor::new(self.series_body(id)?);
        for _ in 0..cursor.uvarint().map_err(corrupt)? {
            let (name, _) = label_numbers(&mut cursor).ok_or_else(|| corrupt(Truncated))?;
            names.insert(self.tables.cached_symbol(&mut scratch.symbols, name)?);
        }
        Ok(())
    }
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
        self.tables.walk_offsets(name, value, &mut |here, offset| {
            if here == value {
                found = Some(self.list(offset)?);
            }
            Ok(false)
        })?;
        Ok(found)
    }

    fn value_count(&self, name: &str) -> usize {
        self.tables.value_count(name)
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
        self.tables.walk_offsets(name, prefix, &mut |value, offset| {
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
        let Some(wanted) = self.tables.symbols.find(name) else { return Ok(check("")) };
        let corrupt = entry_error(id);
        let mut cursor = Cursor::new(self.series_body(id)?);
        for _ in 0..cursor.uvarint().map_err(corrupt)? {
            let (name, value) = label_numbers(&mut cursor).ok_or_else(|| corrupt(Truncated))?;
            if name == wanted {
                return Ok(check(self.tables.symbols.get(value)?));
            }
        }
        Ok(check(""))
    }
}
