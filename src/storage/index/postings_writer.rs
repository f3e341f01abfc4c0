//! Gathers which series have which label, and turns that around at the end.
//!
//! Memory holds a few bytes for each symbol and each label pair, and a bounded part of the lists:
//! what each series has is logged on the way, in a file once it is much, and the log is read as
//! often as it takes to fill one bounded part of the lists after the other.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::Path;

use crate::base::varint::{put_text, put_uvarint};
use crate::disk::{BufferedFile, SharedDisk};

use super::IndexError;
use super::spill::Spill;
use super::symbols::{Section, SymbolTable};

/// So many ids of lists are turned around at a time.
const IDS_PER_PASS: usize = 8 << 20;
const ALL: u32 = 0;
const NONE: u32 = u32::MAX;

/// A label pair, by the numbers of its symbols.
pub type SymbolPair = (u32, u32);

#[derive(Debug)]
struct Pair {
    symbols: SymbolPair,
    series: u32,
}

/// Which series have which label.
#[derive(Debug)]
pub(super) struct PostingsWriter {
    /// For each symbol the pair that it was first seen to be the value of: name and number. Nearly
    /// all values belong to one name, and an array is found in faster than a table.
    first: Vec<SymbolPair>,
    /// The others.
    more: HashMap<SymbolPair, u32>,
    /// By number. The first stands for all series.
    pairs: Vec<Pair>,
    /// For each series its id, the number of its pairs, and they.
    log: Spill,
    /// Entries of the table that says where the lists are.
    table: Spill,
    entry: Vec<u8>,
    ids_per_pass: usize,
}

impl PostingsWriter {
    /// Temporary files lie beside the index.
    pub(super) fn new(disk: &SharedDisk, index: &Path, symbol_count: usize) -> Self {
        let spill = |ending| Spill::new(disk.clone(), index.with_extension(ending));
        Self {
            first: vec![(NONE, NONE); symbol_count],
            more: HashMap::new(),
            pairs: vec![Pair { symbols: (NONE, NONE), series: 0 }],
            log: spill("pairs"),
            table: spill("table"),
            entry: Vec::new(),
            ids_per_pass: IDS_PER_PASS,
        }
    }

    fn number_of(&mut self, pair: SymbolPair) -> u32 {
        let next = self.pairs.len() as u32;
        let number = match self.first.get_mut(pair.1 as usize) {
            Some((name, number)) if *name == pair.0 => return *number,
            Some(slot) if slot.0 == NONE => {
                *slot = (pair.0, next);
                next
            }
            _ => *self.more.entry(pair).or_insert(next),
        };
        if number == next {
            self.pairs.push(Pair { symbols: pair, series: 0 });
        }
        number
    }

    /// Enters a series behind those before it.
    pub(super) fn add_series(&mut self, id: u32, labels: &[SymbolPair]) -> io::Result<()> {
        self.entry.clear();
        self.entry.extend_from_slice(&id.to_ne_bytes());
        self.entry.extend_from_slice(&(labels.len() as u32 + 1).to_ne_bytes());
        self.entry.extend_from_slice(&ALL.to_ne_bytes());
        self.count(ALL);
        for pair in labels {
            let number = self.number_of(*pair);
            self.count(number);
            self.entry.extend_from_slice(&number.to_ne_bytes());
        }
        self.log.write(&self.entry)
    }

    fn count(&mut self, number: u32) {
        if let Some(pair) = self.pairs.get_mut(number as usize) {
            pair.series += 1;
        }
    }

    /// Writes all lists.
    pub(super) fn write_lists(
        &mut self,
        file: &mut BufferedFile,
        symbols: &SymbolTable,
    ) -> Result<(), IndexError> {
        let pair_of = |number: &u32| self.pairs.get(*number as usize);
        let mut order: Vec<u32> = (1..self.pairs.len() as u32).collect();
        // Numbers of symbols order pairs as their texts would.
        order.sort_unstable_by_key(|number| pair_of(number).map(|pair| pair.symbols));
        order.insert(0, ALL);
        let mut places = vec![NONE; self.pairs.len()];
        let mut rest = order.as_slice();
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(self.first_pass(rest));
            self.write_part(file, symbols, part, &mut places)?;
            rest = behind;
        }
        Ok(())
    }

    /// How many of these lists are turned around together: one at least.
    fn first_pass(&self, order: &[u32]) -> usize {
        let mut sum = 0_usize;
        let is_too_much = |number: &u32| {
            let series = self.pairs.get(*number as usize).map_or(0, |pair| pair.series);
            sum += series as usize;
            sum > self.ids_per_pass
        };
        order.iter().position(is_too_much).unwrap_or(order.len()).max(1)
    }

    fn write_part(
        &mut self,
        file: &mut BufferedFile,
        symbols: &SymbolTable,
        part: &[u32],
        places: &mut [u32],
    ) -> Result<(), IndexError> {
        let mut ranges: Vec<Range<usize>> = Vec::with_capacity(part.len());
        let mut end = 0;
        for number in part {
            let start = end;
            end += self.pairs.get(*number as usize).map_or(0, |pair| pair.series as usize);
            ranges.push(start..end);
            if let Some(place) = places.get_mut(*number as usize) {
                *place = start as u32;
            }
        }
        let mut ids = vec![0; end];
        self.fill(&mut ids, places)?;
        for (number, range) in part.iter().zip(ranges) {
            if let Some(place) = places.get_mut(*number as usize) {
                *place = NONE;
            }
            file.pad(4)?;
            let (name, value) = match self.pairs.get(*number as usize) {
                Some(pair) if *number != ALL => {
                    (symbols.get(pair.symbols.0), symbols.get(pair.symbols.1))
                }
                _ => ("", ""),
            };
            self.entry.clear();
            put_uvarint(&mut self.entry, 2);
            put_text(&mut self.entry, name);
            put_text(&mut self.entry, value);
            put_uvarint(&mut self.entry, file.position());
            self.table.write(&self.entry)?;
            write_list(file, &mut self.entry, ids.get(range).unwrap_or_default())?;
        }
        Ok(())
    }

    /// Puts the id of every series where the lists that have a place in `ids` want it.
    fn fill(&self, ids: &mut [u32], places: &mut [u32]) -> io::Result<()> {
        let (mut id, mut left, mut is_head) = (0, 0_u32, false);
        self.log.read(&mut |piece| {
            for word in piece.as_chunks().0 {
                let word = u32::from_ne_bytes(*word);
                if is_head {
                    (left, is_head) = (word, false);
                } else if left == 0 {
                    (id, is_head) = (word, true);
                } else {
                    left -= 1;
                    if let Some(place) = places.get_mut(word as usize)
                        && let Some(slot) = ids.get_mut(*place as usize)
                    {
                        *slot = id;
                        *place += 1;
                    }
                }
            }
            Ok(())
        })
    }

    /// Writes the table of the lists that were written.
    pub(super) fn write_table(&self, file: &mut BufferedFile) -> Result<(), IndexError> {
        let length = u32::try_from(4 + self.table.len_bytes());
        let length =
            length.map_err(|_| IndexError::Refused("postings table of more than 4 GiB".into()))?;
        let mut section = Section::begin(file, length)?;
        section.write(file, &(self.pairs.len() as u32).to_be_bytes())?;
        let mut refused = None;
        self.table.read(&mut |piece| {
            if let Err(error) = section.write(file, piece) {
                refused.get_or_insert(error);
            }
            Ok(())
        })?;
        refused.map_or_else(|| section.end(file), Err)
    }
}

fn write_list(file: &mut BufferedFile, out: &mut Vec<u8>, ids: &[u32]) -> Result<(), IndexError> {
    const IDS_AT_A_TIME: usize = 4096;
    let length = u32::try_from(4 + 4 * ids.len());
    let length =
        length.map_err(|_| IndexError::Refused("postings list of more than 4 GiB".into()))?;
    let mut section = Section::begin(file, length)?;
    section.write(file, &(ids.len() as u32).to_be_bytes())?;
    for ids in ids.chunks(IDS_AT_A_TIME) {
        out.clear();
        out.extend(ids.iter().flat_map(|id| id.to_be_bytes()));
        section.write(file, out)?;
    }
    section.end(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemoryDisk;

    fn lists(ids_per_pass: usize) -> Vec<u8> {
        let disk = MemoryDisk::shared();
        let mut symbols = SymbolTable::new();
        for symbol in ["a", "b", "c", "v0", "v1", "v2", "v3", "v4"] {
            symbols.push(symbol).unwrap();
        }
        let mut writer = PostingsWriter::new(&disk, Path::new("index"), symbols.len());
        writer.ids_per_pass = ids_per_pass;
        for id in 1..500 {
            // A value that two names share, and a name that not all have.
            let mut labels = vec![(0, 3 + id % 5), (1, 3 + id % 2)];
            if id % 3 == 0 {
                labels.push((2, 3 + id % 4));
            }
            writer.add_series(id, &labels).unwrap();
        }
        let mut file = BufferedFile::new(disk.create(Path::new("index")).unwrap());
        writer.write_lists(&mut file, &symbols).unwrap();
        writer.write_table(&mut file).unwrap();
        file.finish().unwrap();
        disk.read(Path::new("index")).unwrap()
    }

    #[test]
    fn lists_are_the_same_in_one_pass_and_in_many() {
        let whole = lists(usize::MAX);
        assert_eq!(whole.get(8..12).unwrap(), 1_u32.to_be_bytes());
        for ids_per_pass in [1, 100, 500, 1000] {
            assert!(lists(ids_per_pass) == whole, "{ids_per_pass}");
        }
    }
}
