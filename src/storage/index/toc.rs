//! The last bytes of an index: where its parts are.

use crate::base::varint::Cursor;

use super::IndexError;

/// Six offsets and a checksum.
pub const TOC_BYTES: usize = 6 * 8 + 4;

/// Where the parts of an index start, in bytes from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Toc {
    /// The strings.
    pub symbols: u64,
    /// The entries of the series.
    pub series: u64,
    /// A part that is no longer written; the end of the series.
    pub label_indices: u64,
    /// A part that is no longer written; the start of the postings table.
    pub label_indices_table: u64,
    /// The lists of series.
    pub postings: u64,
    /// Where the list of each label is; ends before this table.
    pub postings_table: u64,
}

impl Toc {
    /// The table as it stands at the end of an index.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(TOC_BYTES);
        for offset in [
            self.symbols,
            self.series,
            self.label_indices,
            self.label_indices_table,
            self.postings,
            self.postings_table,
        ] {
            out.extend_from_slice(&offset.to_be_bytes());
        }
        let checksum = crc32c::crc32c(&out);
        out.extend_from_slice(&checksum.to_be_bytes());
        out
    }

    /// Reads the table at the end of `index`, or of the last bytes of one.
    ///
    /// # Errors
    /// Too few bytes, or a checksum that is not right.
    pub fn decode(index: &[u8]) -> Result<Self, IndexError> {
        let offset = index.len().saturating_sub(TOC_BYTES);
        let corrupt = IndexError::cut("table of contents", offset as u64);
        let mut cursor = Cursor::new(index.get(offset..).unwrap_or_default());
        let mut body = Cursor::new(cursor.take(TOC_BYTES - 4).map_err(corrupt)?);
        if cursor.u32_be().map_err(corrupt)? != crc32c::crc32c(body.rest()) {
            return Err(IndexError::corrupt("table of contents", offset as u64));
        }
        let mut next = || body.u64_be().map_err(corrupt);
        Ok(Self {
            symbols: next()?,
            series: next()?,
            label_indices: next()?,
            label_indices_table: next()?,
            postings: next()?,
            postings_table: next()?,
        })
    }
}
