//! The index-header: those parts of a block's index that must be at hand to find anything in it.
//!
//! Thanos's own format, byte for byte; `FORMAT.md` has the layout.

use std::ops::Range;

use bytes::Bytes;

use crate::base::varint::Cursor;
use crate::storage::index::{self, IndexError, IndexTables, TOC_BYTES, Toc};

const MAGIC: u32 = 0xbaaa_d792;
const VERSION: u8 = 1;
/// Magic, two versions, where the postings end.
const HEAD_BYTES: usize = 4 + 1 + 1 + 8;
/// Two offsets and a checksum.
const OWN_TOC_BYTES: usize = 8 + 8 + 4;
/// The first bytes of an index: magic and version.
const INDEX_HEAD_BYTES: u64 = 5;
const WHAT: &str = "index header";
/// Longer ranges are fetched in parts, several at a time.
const PART_BYTES: u64 = 16 << 20;

/// An opened header.
#[derive(Debug)]
pub struct IndexHeader {
    tables: IndexTables,
    size_bytes: usize,
}

impl IndexHeader {
    /// Opens a header and checks every checksum in it.
    ///
    /// # Errors
    /// Bytes that are not what they should be, or a version that is not read.
    pub fn decode(bytes: &Bytes) -> Result<Self, IndexError> {
        let cut = IndexError::cut(WHAT, 0);
        let mut cursor = Cursor::new(bytes);
        if cursor.u32_be().map_err(cut)? != MAGIC {
            return Err(IndexError::corrupt(WHAT, 0));
        }
        let (version, index_version) = (cursor.u8().map_err(cut)?, cursor.u8().map_err(cut)?);
        if version != VERSION {
            return Err(IndexError::Version(version));
        }
        if index_version != 2 && index_version != 3 {
            return Err(IndexError::Version(index_version));
        }
        let postings_end = cursor.u64_be().map_err(cut)?;
        let own_toc_at = bytes.len().saturating_sub(OWN_TOC_BYTES);
        let cut = IndexError::cut(WHAT, own_toc_at as u64);
        let own_toc = bytes.get(own_toc_at..).unwrap_or_default();
        let mut cursor = Cursor::new(own_toc);
        let (symbols, table) = (cursor.u64_be().map_err(cut)?, cursor.u64_be().map_err(cut)?);
        let covered = own_toc.get(..OWN_TOC_BYTES - 4).unwrap_or_default();
        if cursor.u32_be().map_err(cut)? != crc32c::crc32c(covered) {
            return Err(IndexError::corrupt(WHAT, own_toc_at as u64));
        }
        let toc = Toc::decode(bytes.get(..own_toc_at).unwrap_or_default())?;
        if toc.postings_table != postings_end {
            return Err(IndexError::corrupt(WHAT, 6));
        }
        let tables = IndexTables::open(bytes, symbols, table, toc)?;
        Ok(Self { tables, size_bytes: bytes.len() })
    }

    /// Symbols and places of postings lists.
    #[must_use]
    pub const fn tables(&self) -> &IndexTables {
        &self.tables
    }

    /// Bytes of the header; what it takes in memory if it is not a mapped file, but for one place
    /// in 32 entries of its tables.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        self.size_bytes
    }
}

/// Reads ranges of an index, all or nothing.
pub type ReadRanges<'a, E> = dyn Fn(&[Range<u64>]) -> Result<Vec<Bytes>, E> + 'a;

/// Makes the header of an index of `index_bytes`, of which `read` reads ranges: the end of it, then
/// two more, the long ones in parts.
///
/// # Errors
/// Those of `read`, or an index that is not what it should be.
pub fn build_header<E: From<IndexError>>(
    index_bytes: u64,
    read: &ReadRanges<'_, E>,
) -> Result<Bytes, E> {
    let corrupt = |offset: u64| E::from(IndexError::corrupt("index", offset));
    let toc_at = index_bytes.checked_sub(TOC_BYTES as u64).ok_or_else(|| corrupt(0))?;
    let tails = read(std::slice::from_ref(&(toc_at..index_bytes)))?;
    let tail = tails.first().filter(|tail| tail.len() == TOC_BYTES);
    let tail = tail.ok_or_else(|| corrupt(toc_at))?;
    let toc = Toc::decode(tail)?;
    let is_ordered = INDEX_HEAD_BYTES <= toc.symbols
        && toc.symbols < toc.series
        && toc.series <= toc.postings_table
        && toc.postings_table < toc_at;
    if !is_ordered {
        return Err(corrupt(toc_at));
    }
    let mut parts = Vec::new();
    // The symbols lie right behind the head, and the table of contents is there already.
    for range in [0..toc.series, toc.postings_table..toc_at] {
        let starts = (range.start..range.end).step_by(PART_BYTES as usize);
        parts.extend(starts.map(|start| start..range.end.min(start + PART_BYTES)));
    }
    let mut bodies = read(&parts)?;
    let is_whole = |(part, body): (&Range<u64>, &Bytes)| part.end - part.start == body.len() as u64;
    if bodies.len() != parts.len() || !parts.iter().zip(&bodies).all(is_whole) {
        return Err(corrupt(toc.symbols));
    }
    let first = bodies.first_mut().ok_or_else(|| corrupt(0))?;
    let symbols_at = usize::try_from(toc.symbols).map_err(|_| corrupt(toc_at))?;
    if symbols_at > first.len() {
        return Err(corrupt(toc_at));
    }
    let head = first.split_to(symbols_at);
    let mut cursor = Cursor::new(&head);
    if cursor.u32_be() != Ok(index::MAGIC) {
        return Err(corrupt(0));
    }
    let version = cursor.u8().map_err(|_| corrupt(4))?;
    let total: usize = bodies.iter().map(Bytes::len).sum();
    let mut out = Vec::with_capacity(HEAD_BYTES + total + TOC_BYTES + OWN_TOC_BYTES);
    out.extend_from_slice(&MAGIC.to_be_bytes());
    out.extend_from_slice(&[VERSION, version]);
    out.extend_from_slice(&toc.postings_table.to_be_bytes());
    bodies.iter().for_each(|body| out.extend_from_slice(body));
    out.extend_from_slice(tail);
    let own_toc_at = out.len();
    let table = HEAD_BYTES as u64 + (toc.series - toc.symbols);
    out.extend_from_slice(&(HEAD_BYTES as u64).to_be_bytes());
    out.extend_from_slice(&table.to_be_bytes());
    let checksum = crc32c::crc32c(out.get(own_toc_at..).unwrap_or_default());
    out.extend_from_slice(&checksum.to_be_bytes());
    Ok(out.into())
}
