//! The strings of an index: each once, ascending, named by its place.

use bytes::Bytes;

use crate::base::varint::{Cursor, put_text, uvarint_bytes};
use crate::disk::BufferedFile;

use super::{IndexError, SAMPLING};

/// The body of a part that starts with its length and ends with a checksum.
pub(super) fn checked_section(
    index: &Bytes,
    offset: u64,
    what: &'static str,
) -> Result<Bytes, IndexError> {
    let corrupt = IndexError::cut(what, offset);
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let mut cursor = Cursor::new(index.get(start..).unwrap_or_default());
    let length = cursor.u32_be().map_err(corrupt)? as usize;
    let body = cursor.take(length).map_err(corrupt)?;
    if cursor.u32_be().map_err(corrupt)? != crc32c::crc32c(body) {
        return Err(IndexError::corrupt(what, offset));
    }
    Ok(index.slice_ref(body))
}

/// Reads the symbols of an index.
#[derive(Debug)]
pub(super) struct Symbols {
    /// The strings, without the count before them.
    body: Bytes,
    offset: u64,
    count: u32,
    /// Where every [`SAMPLING`]th string starts in `body`.
    sampled: Vec<u32>,
}

const WHAT: &str = "symbol table";

impl Symbols {
    pub(super) fn open(index: &Bytes, offset: u64) -> Result<Self, IndexError> {
        let section = checked_section(index, offset, WHAT)?;
        let corrupt = IndexError::cut(WHAT, offset);
        let mut cursor = Cursor::new(&section);
        let count = cursor.u32_be().map_err(corrupt)?;
        let body = section.slice_ref(cursor.rest());
        if count as usize > body.len() {
            return Err(IndexError::corrupt(WHAT, offset));
        }
        let mut sampled = Vec::with_capacity((count as usize).div_ceil(SAMPLING));
        for index in 0..count as usize {
            if index % SAMPLING == 0 {
                sampled.push((body.len() - cursor.len()) as u32);
            }
            cursor.length_prefixed().map_err(corrupt)?;
        }
        Ok(Self { body, offset, count, sampled })
    }

    fn corrupt(&self) -> IndexError {
        IndexError::corrupt(WHAT, self.offset)
    }

    pub(super) const fn count(&self) -> usize {
        self.count as usize
    }

    /// A cursor at a sampled string.
    fn at_sample(&self, sample: usize) -> Option<Cursor<'_>> {
        let start = *self.sampled.get(sample)?;
        self.body.get(start as usize..).map(Cursor::new)
    }

    /// The string with this number.
    pub(super) fn get(&self, number: u32) -> Result<&str, IndexError> {
        let text = || {
            if number >= self.count {
                return None;
            }
            let mut cursor = self.at_sample(number as usize / SAMPLING)?;
            for _ in 0..number as usize % SAMPLING {
                cursor.length_prefixed().ok()?;
            }
            std::str::from_utf8(cursor.length_prefixed().ok()?).ok()
        };
        text().ok_or_else(|| self.corrupt())
    }

    /// The number of a string, if it is there.
    pub(super) fn find(&self, text: &str) -> Option<u32> {
        let first_of = |sample: usize| self.at_sample(sample)?.length_prefixed().ok();
        let after = partition(self.sampled.len(), |sample| {
            first_of(sample).is_some_and(|first| first <= text.as_bytes())
        });
        let sample = after.checked_sub(1)?;
        let mut cursor = self.at_sample(sample)?;
        let first = sample * SAMPLING;
        (first..(first + SAMPLING).min(self.count as usize))
            .find(|_| cursor.length_prefixed().is_ok_and(|found| found == text.as_bytes()))
            .map(|number| number as u32)
    }

    /// All strings, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = Result<&str, IndexError>> {
        let mut cursor = Cursor::new(&self.body);
        (0..self.count).map(move |_| {
            let bytes = cursor.length_prefixed().map_err(|_| self.corrupt())?;
            std::str::from_utf8(bytes).map_err(|_| self.corrupt())
        })
    }
}

/// The first number below `count` for which `is_before` is false.
pub(super) fn partition(count: usize, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if is_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Remembers strings that were looked up; series share most of theirs.
#[derive(Debug)]
pub(super) struct SymbolCache {
    /// Number of the string plus one, and where it is; a slot is found by the number's low bits.
    slots: Vec<(u32, u32, u32)>,
    /// The slots that it will have; more than it needs cost more than they save.
    wanted: usize,
}

impl Default for SymbolCache {
    fn default() -> Self {
        Self { slots: Vec::new(), wanted: Self::SLOTS }
    }
}

impl SymbolCache {
    const SLOTS: usize = 512;
    /// Names and values of a few labels.
    const SLOTS_OF_SERIES: usize = 16;

    /// For the labels of so many series.
    pub(super) fn for_series(count: usize) -> Self {
        let wanted = count.saturating_mul(Self::SLOTS_OF_SERIES).min(Self::SLOTS);
        Self { slots: Vec::new(), wanted: wanted.next_power_of_two() }
    }

    pub(super) fn get<'s>(
        &mut self,
        symbols: &'s Symbols,
        number: u32,
    ) -> Result<&'s str, IndexError> {
        if self.slots.is_empty() {
            self.slots.resize(self.wanted, (0, 0, 0));
        }
        let place = number as usize & (self.slots.len() - 1);
        let Some(slot) = self.slots.get_mut(place) else {
            return symbols.get(number);
        };
        if slot.0 == number.wrapping_add(1) && slot.0 != 0 {
            let bytes = symbols.body.get(slot.1 as usize..slot.2 as usize).unwrap_or_default();
            return std::str::from_utf8(bytes).map_err(|_| symbols.corrupt());
        }
        let text = symbols.get(number)?;
        let start = text.as_ptr().addr() - symbols.body.as_ptr().addr();
        *slot = (number.wrapping_add(1), start as u32, (start + text.len()) as u32);
        Ok(text)
    }
}

/// The strings of an index being written, and their numbers. Numbers order strings as their texts
/// would.
#[derive(Debug, Default)]
pub struct SymbolTable {
    text: String,
    ends: Vec<u32>,
    /// Open addressing: a string's number plus one; 0 is free. Made when first searched.
    slots: Vec<u32>,
}

impl SymbolTable {
    /// No strings.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes strings that ascend strictly.
    ///
    /// # Errors
    /// Strings that do not ascend, or 4 GiB of them.
    pub fn from_sorted(symbols: &mut dyn Iterator<Item = &str>) -> Result<Self, IndexError> {
        let mut table = Self::default();
        for symbol in symbols {
            table.push(symbol)?;
        }
        Ok(table)
    }

    /// Adds a string behind all others; returns its number.
    ///
    /// # Errors
    /// A string that is not behind the others, or 4 GiB of them.
    pub fn push(&mut self, symbol: &str) -> Result<u32, IndexError> {
        let number = self.ends.len() as u32;
        if number > 0 && self.get(number - 1) >= symbol {
            return Err(IndexError::Refused(format!("symbol {symbol:?} is out of order")));
        }
        let end = u32::try_from(self.text.len() + symbol.len());
        self.ends.push(end.map_err(|_| IndexError::Refused("4 GiB of symbols".into()))?);
        self.text.push_str(symbol);
        self.slots.clear();
        Ok(number)
    }

    /// How many strings there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The string with this number; nothing for numbers that were not given.
    #[must_use]
    #[inline]
    pub fn get(&self, number: u32) -> &str {
        let end_of = |number: u32| self.ends.get(number as usize).copied().unwrap_or_default();
        let start = number.checked_sub(1).map_or(0, end_of);
        self.text.get(start as usize..end_of(number) as usize).unwrap_or_default()
    }

    /// The slot that holds the text, or the free one where it belongs. Half of the slots are free.
    fn slot_of(&self, text: &str) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = xxhash_rust::xxh3::xxh3_64(text.as_bytes()) as usize & mask;
        loop {
            let number = *self.slots.get(at)?;
            if number == 0 || self.get(number - 1) == text {
                return Some(at);
            }
            at = (at + 1) & mask;
        }
    }

    fn make_slots(&mut self) {
        self.slots = vec![0; (self.ends.len() * 2).next_power_of_two()];
        for number in 0..self.ends.len() as u32 {
            let slot = self.slot_of(self.get(number));
            if let Some(slot) = slot.and_then(|slot| self.slots.get_mut(slot)) {
                *slot = number + 1;
            }
        }
    }

    /// The number of a string.
    pub(in crate::storage) fn find(&mut self, text: &str) -> Option<u32> {
        if self.slots.is_empty() {
            self.make_slots();
        }
        self.slots.get(self.slot_of(text)?)?.checked_sub(1)
    }

    /// Writes the part of the index: length, count, strings, checksum.
    pub(super) fn write(&self, file: &mut BufferedFile) -> Result<(), IndexError> {
        let texts = (0..self.ends.len() as u32).map(|number| self.get(number));
        let texts_bytes = texts.map(|text| uvarint_bytes(text.len() as u64) + text.len());
        let length = 4 + texts_bytes.sum::<usize>();
        let length = u32::try_from(length);
        let length = length.map_err(|_| IndexError::Refused("4 GiB of symbols".into()))?;
        let mut section = Section::begin(file, length)?;
        section.write(file, &(self.ends.len() as u32).to_be_bytes())?;
        let mut entry = Vec::new();
        for number in 0..self.ends.len() as u32 {
            entry.clear();
            put_text(&mut entry, self.get(number));
            section.write(file, &entry)?;
        }
        section.end(file)
    }
}

/// A part of the index that is written bit by bit: length, body, checksum.
#[derive(Debug)]
pub(super) struct Section {
    checksum: u32,
    left_bytes: u32,
}

impl Section {
    pub(super) fn begin(file: &mut BufferedFile, length_bytes: u32) -> Result<Self, IndexError> {
        file.write(&length_bytes.to_be_bytes())?;
        Ok(Self { checksum: 0, left_bytes: length_bytes })
    }

    pub(super) fn write(
        &mut self,
        file: &mut BufferedFile,
        bytes: &[u8],
    ) -> Result<(), IndexError> {
        self.checksum = crc32c::crc32c_append(self.checksum, bytes);
        self.left_bytes = self.left_bytes.wrapping_sub(bytes.len() as u32);
        Ok(file.write(bytes)?)
    }

    pub(super) fn end(self, file: &mut BufferedFile) -> Result<(), IndexError> {
        debug_assert_eq!(self.left_bytes, 0, "a part is as long as its first field says");
        Ok(file.write(&self.checksum.to_be_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, MemoryDisk};
    use proptest::collection::btree_set;
    use proptest::prelude::*;
    use std::path::Path;

    proptest! {
        #[test]
        fn symbols_are_found_by_number_and_by_text(
            texts in btree_set("\\PC{0,12}", 0..200), other in "\\PC{0,3}",
        ) {
            let mut sorted = texts.iter().map(String::as_str);
            let mut table = SymbolTable::from_sorted(&mut sorted).unwrap();
            let (disk, path) = (MemoryDisk::new(), Path::new("symbols"));
            let mut file = BufferedFile::new(disk.create(path).unwrap());
            table.write(&mut file).unwrap();
            file.finish().unwrap();
            let symbols = Symbols::open(&disk.map(path).unwrap(), 0).unwrap();
            let mut cache = SymbolCache::default();
            for (number, text) in (0..).zip(&texts) {
                prop_assert_eq!(symbols.get(number).unwrap(), text);
                prop_assert_eq!(cache.get(&symbols, number).unwrap(), text);
                prop_assert_eq!(cache.get(&symbols, number).unwrap(), text);
                prop_assert_eq!(table.get(number), text);
                prop_assert_eq!(symbols.find(text), Some(number));
                prop_assert_eq!(table.find(text), Some(number));
            }
            prop_assert!(symbols.get(texts.len() as u32).is_err());
            prop_assert_eq!(symbols.find(&other).is_some(), texts.contains(&other));
            prop_assert_eq!(table.find(&other).is_some(), texts.contains(&other));
            let all: Result<Vec<_>, _> = symbols.iter().collect();
            prop_assert!(all.unwrap().into_iter().eq(&texts));
        }
    }

    #[test]
    fn symbols_must_ascend() {
        for texts in [["b", "a"], ["a", "a"]] {
            assert!(SymbolTable::from_sorted(&mut texts.into_iter()).is_err());
        }
    }
}
