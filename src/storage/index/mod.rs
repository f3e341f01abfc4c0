//! Which series does a block hold, and where are their chunks?
//!
//! The layout is in `FORMAT.md` beside this file.
//!
//! Useful for: the index file of a block; the way from matchers to series, for blocks and head.
//! Not useful for: the chunks themselves; see [`crate::storage::block`].

mod candidates;
mod entry;
mod error;
mod postings;
mod postings_writer;
mod reader;
mod select;
mod spill;
mod symbols;
mod tables;
mod toc;
mod writer;

pub use candidates::Candidates;
pub use entry::{Part, entry_chunks, list_part, series_part};
pub use error::IndexError;
pub use postings::{
    BigEndianList, PostingsCursor, SliceCursor, collect_into, intersect_into, intersects, subtract,
    unite,
};
pub use postings_writer::SymbolPair;
pub use reader::{ChunkMeta, IndexReader, SeriesScratch};
pub use select::{PostingsSource, select_postings};
pub use symbols::SymbolTable;
pub use tables::{IndexTables, ListPlace};
pub use toc::{TOC_BYTES, Toc};
pub use writer::IndexWriter;

/// The first bytes of an index.
pub const MAGIC: u32 = 0xbaaa_d700;
/// The version that is written.
const VERSION: u8 = 2;
/// Series entries start at multiples of this; a series id is its offset divided by it.
pub const SERIES_ALIGNMENT_BYTES: u64 = 16;
/// Of so many entries of a sorted table one is known by its place, the others are walked to.
const SAMPLING: usize = 32;
