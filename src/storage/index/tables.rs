//! What must be in memory to find anything in an index: its strings, and where its lists are.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::base::varint::{Cursor, Truncated};
use crate::model::LabelsRef;
use crate::series::TimeRange;

use super::entry::{entry_error, label_numbers, read_chunks_in};
use super::reader::SeriesScratch;
use super::symbols::{SymbolCache, Symbols, checked_section, partition};
use super::toc::Toc;
use super::{IndexError, SAMPLING};

const TABLE: &str = "postings offset table";

/// The symbols and the postings table of an index. Holds one of 32 places in memory; the tables
/// themselves stay in the bytes that they were opened from, an index or a part of one.
#[derive(Debug)]
pub struct IndexTables {
    toc: Toc,
    pub(super) symbols: Symbols,
    /// Where the table starts in the bytes that it was opened from.
    offset: u64,
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

/// Where a list is in an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListPlace {
    /// Offset of the list's length.
    pub start: u64,
    /// Where the next list of the table starts. That is the end of this one in an index whose
    /// lists lie in the order of the table, as Prometheus writes them; in others it is a guess.
    pub end: u64,
}

fn entry<'a>(cursor: &mut Cursor<'a>) -> Option<Entry<'a>> {
    if cursor.uvarint().ok()? != 2 {
        return None;
    }
    let name = std::str::from_utf8(cursor.length_prefixed().ok()?).ok()?;
    let value = std::str::from_utf8(cursor.length_prefixed().ok()?).ok()?;
    Some(Entry { name, value, offset: cursor.uvarint().ok()? })
}

impl IndexTables {
    /// Opens the tables of an index. They start at `symbols` and `table` in `bytes`; `toc` tells
    /// where everything is in the index itself.
    ///
    /// # Errors
    /// A table that is not what it should be.
    pub fn open(bytes: &Bytes, symbols: u64, table: u64, toc: Toc) -> Result<Self, IndexError> {
        let symbols = Symbols::open(bytes, symbols)?;
        let section = checked_section(bytes, table, TABLE)?;
        let corrupt = || IndexError::corrupt(TABLE, table);
        let mut cursor = Cursor::new(&section);
        let count = cursor.u32_be().map_err(|_| corrupt())?;
        let entries = section.slice_ref(cursor.rest());
        let names = sample_names(&entries, count).ok_or_else(corrupt)?;
        Ok(Self { toc, symbols, offset: table, table: entries, names })
    }

    /// Where the parts of the index are.
    #[must_use]
    pub const fn toc(&self) -> &Toc {
        &self.toc
    }

    /// The string with this number.
    ///
    /// # Errors
    /// A number that no string has.
    pub fn symbol(&self, number: u32) -> Result<&str, IndexError> {
        self.symbols.get(number)
    }

    /// The names of labels, ascending.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(|name| &**name).filter(|name| !name.is_empty())
    }

    /// How many values the label has.
    #[must_use]
    pub fn value_count(&self, name: &str) -> usize {
        self.names.get(name).map_or(0, |entries| entries.count as usize)
    }

    fn corrupt(&self) -> IndexError {
        IndexError::corrupt(TABLE, self.offset)
    }

    /// Hands each value of a label, ascending, the offset of its list and what lies behind the
    /// entry to `each`, from the first value that is not below `from` on, until `each` returns
    /// false.
    fn walk<'a>(
        &'a self,
        name: &str,
        from: &str,
        each: &mut dyn FnMut(&'a str, u64, Cursor<'a>) -> Result<bool, IndexError>,
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
        let mut cursor = at(sample).ok_or_else(|| self.corrupt())?;
        for _ in sample * SAMPLING..entries.count as usize {
            let entry = entry(&mut cursor).ok_or_else(|| self.corrupt())?;
            if entry.value >= from && !each(entry.value, entry.offset, cursor)? {
                break;
            }
        }
        Ok(())
    }

    /// As [`walk`](Self::walk), without what lies behind.
    pub(super) fn walk_offsets<'a>(
        &'a self,
        name: &str,
        from: &str,
        each: &mut dyn FnMut(&'a str, u64) -> Result<bool, IndexError>,
    ) -> Result<(), IndexError> {
        self.walk(name, from, &mut |value, offset, _| each(value, offset))
    }

    /// Hands each value of a label, ascending, and the place of its list to `each`, from the first
    /// value that is not below `from` on, until `each` returns false.
    ///
    /// # Errors
    /// A table that is not what it should be.
    pub fn places(
        &self,
        name: &str,
        from: &str,
        each: &mut dyn FnMut(&str, ListPlace) -> bool,
    ) -> Result<(), IndexError> {
        self.walk(name, from, &mut |value, start, behind| {
            Ok(each(value, ListPlace { start, end: self.list_end(start, behind) }))
        })
    }

    /// The place of the list of one label; of the empty name and value that of all series.
    ///
    /// # Errors
    /// A table that is not what it should be.
    pub fn place(&self, name: &str, value: &str) -> Result<Option<ListPlace>, IndexError> {
        let mut found = None;
        self.places(name, value, &mut |here, place| {
            found = (here == value).then_some(place);
            false
        })?;
        Ok(found)
    }

    fn list_end(&self, start: u64, mut behind: Cursor<'_>) -> u64 {
        let next = entry(&mut behind).map_or(self.toc.postings_table, |next| next.offset);
        // A list has a length, a count and a checksum at least.
        if next > start { next } else { start + 12 }
    }

    /// The labels and chunks of a series from the body of its entry; the chunks are in
    /// `scratch.chunks`.
    ///
    /// # Errors
    /// An entry that is not what it should be.
    pub fn decode_series<'s>(
        &self,
        id: u32,
        body: &[u8],
        scratch: &'s mut SeriesScratch,
    ) -> Result<LabelsRef<'s>, IndexError> {
        read_series(id, body, TimeRange::ALL, scratch)?;
        self.labels_of(id, scratch)
    }

    /// As [`Self::decode_series`], but only with the chunks that overlap `range`; nothing if there
    /// are none.
    pub(super) fn decode_series_in<'s>(
        &self,
        id: u32,
        body: &[u8],
        range: TimeRange,
        scratch: &'s mut SeriesScratch,
    ) -> Result<Option<LabelsRef<'s>>, IndexError> {
        read_series(id, body, range, scratch)?;
        if scratch.chunks.is_empty() {
            return Ok(None);
        }
        self.labels_of(id, scratch).map(Some)
    }

    /// The labels whose numbers were read last.
    fn labels_of<'s>(
        &self,
        id: u32,
        scratch: &'s mut SeriesScratch,
    ) -> Result<LabelsRef<'s>, IndexError> {
        let SeriesScratch { labels, symbols, numbers, known, .. } = scratch;
        // Series that follow one another share the first labels, mostly.
        let alike = known.iter().zip(&*numbers).take_while(|(known, number)| known == number);
        let alike = alike.count();
        let kept = if labels.keep_first(alike, known.len()) { alike } else { 0 };
        known.clear();
        for (name, value) in numbers.iter().skip(kept) {
            let name = symbols.get(&self.symbols, *name)?;
            labels.push(name, symbols.get(&self.symbols, *value)?);
        }
        let labels = labels.finish().map_err(|_| entry_error(id)(Truncated))?;
        known.clone_from(numbers);
        Ok(labels)
    }

    /// A label's name by its number, looked up once for many series.
    pub(super) fn cached_symbol<'a>(
        &'a self,
        cache: &mut SymbolCache,
        number: u32,
    ) -> Result<&'a str, IndexError> {
        cache.get(&self.symbols, number)
    }
}

/// Reads the body of an entry: the numbers of its labels, and its chunks that overlap `range`.
fn read_series(
    id: u32,
    body: &[u8],
    range: TimeRange,
    scratch: &mut SeriesScratch,
) -> Result<(), IndexError> {
    let corrupt = || entry_error(id)(Truncated);
    let mut cursor = Cursor::new(body);
    scratch.numbers.clear();
    for _ in 0..cursor.uvarint().map_err(|_| corrupt())? {
        scratch.numbers.push(label_numbers(&mut cursor).ok_or_else(corrupt)?);
    }
    scratch.chunks.clear();
    read_chunks_in(&mut cursor, range, &mut scratch.chunks).ok_or_else(corrupt)
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
