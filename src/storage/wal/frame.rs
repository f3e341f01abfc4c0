//! Records cut into fragments, fragments into pages: the arithmetic of `FORMAT.md`.

use crate::base::copy;

use super::{HEADER_BYTES, PAGE_BYTES};

pub(super) const FULL: u8 = 1;
pub(super) const FIRST: u8 = 2;
pub(super) const MIDDLE: u8 = 3;
pub(super) const LAST: u8 = 4;
/// The bits of a fragment's first byte that say which of the above it is.
pub(super) const KIND_BITS: u8 = 0x07;

/// The most that one fragment carries.
pub(super) const FRAGMENT_BYTES_MAX: usize = PAGE_BYTES - HEADER_BYTES;

/// Where `offset` lies in its page.
pub(super) const fn in_page(offset: u64) -> usize {
    (offset % PAGE_BYTES as u64) as usize
}

/// The start of the first page that begins at or after `offset`.
pub(super) const fn page_end(offset: u64) -> u64 {
    offset.next_multiple_of(PAGE_BYTES as u64)
}

/// True if a packed record of `len_bytes` may still be put at `offset` of a segment. The count is
/// Prometheus's own, so that both cut segments at the same records (`wlog.WL.log`).
pub(super) const fn fits(offset: u64, len_bytes: usize, segment_bytes: u64) -> bool {
    let page = PAGE_BYTES as i64;
    let header = HEADER_BYTES as i64;
    let pages_done = (offset / PAGE_BYTES as u64) as i64;
    let pages_left = (segment_bytes / PAGE_BYTES as u64) as i64 - pages_done - 1;
    let left = page - in_page(offset) as i64 - header + (page - header) * pages_left;
    len_bytes as i64 <= left
}

/// Appends zeros to the end of the page; returns the offset behind them.
pub(super) fn put_padding(out: &mut Vec<u8>, offset: u64) -> u64 {
    let end = page_end(offset);
    out.resize(out.len() + (end - offset) as usize, 0);
    end
}

/// What [`put_record`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Put {
    /// The offset behind the record and, if no header fits any more, the page's padding.
    pub(super) end: u64,
    pub(super) fragments: u64,
}

/// A record as it is packed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed<'a> {
    pub(super) bytes: &'a [u8],
    /// How it is packed, as the first byte of a fragment says it.
    pub(super) bits: u8,
    /// Of all bytes.
    pub(super) checksum: u32,
}

impl<'a> Packed<'a> {
    pub(super) fn new(bytes: &'a [u8], bits: u8) -> Self {
        Self { bytes, bits, checksum: crc32c::crc32c(bytes) }
    }
}

/// Appends the fragments of a record that starts at `offset` of its segment, which must leave room
/// for a header in its page.
pub(super) fn put_record(out: &mut Vec<u8>, offset: u64, record: Packed<'_>) -> Put {
    let Packed { bytes, bits, checksum } = record;
    let (mut rest, mut at, mut fragments) = (bytes, offset, 0);
    loop {
        let room = FRAGMENT_BYTES_MAX - in_page(at).min(FRAGMENT_BYTES_MAX);
        let (part, after) = rest.split_at(rest.len().min(room));
        let kind = match (fragments == 0, after.is_empty()) {
            (true, true) => FULL,
            (true, false) => FIRST,
            (false, false) => MIDDLE,
            (false, true) => LAST,
        };
        let checksum = if kind == FULL { checksum } else { crc32c::crc32c(part) };
        out.push(kind | bits);
        out.extend_from_slice(&(part.len() as u16).to_be_bytes());
        out.extend_from_slice(&checksum.to_be_bytes());
        copy::append(out, part);
        fragments += 1;
        at += (HEADER_BYTES + part.len()) as u64;
        let left_in_page = (page_end(at) - at) as usize;
        if left_in_page < HEADER_BYTES {
            at = put_padding(out, at);
        }
        rest = after;
        if rest.is_empty() {
            return Put { end: at, fragments };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ones(bytes: &[u8]) -> Packed<'_> {
        Packed::new(bytes, 0)
    }

    #[test]
    fn a_record_that_fills_a_page_is_one_fragment_without_padding() {
        let mut out = Vec::new();
        let put = put_record(&mut out, 0, ones(&[1; FRAGMENT_BYTES_MAX]));
        assert_eq!((put.end, put.fragments, out.len()), (32_768, 1, 32_768));
    }

    #[test]
    fn one_byte_more_makes_a_last_fragment_in_the_next_page() {
        let mut out = Vec::new();
        let put = put_record(&mut out, 0, ones(&[1; FRAGMENT_BYTES_MAX + 1]));
        assert_eq!((put.end, put.fragments, out.len()), (32_768 + 8, 2, 32_768 + 8));
        assert_eq!((out[0], out[PAGE_BYTES]), (FIRST, LAST));
    }

    #[test]
    fn less_than_a_header_at_the_end_of_a_page_is_padded() {
        for short in 1..HEADER_BYTES {
            let mut out = Vec::new();
            let put = put_record(&mut out, 0, ones(&vec![1; FRAGMENT_BYTES_MAX - short]));
            assert_eq!((put.end, out.len()), (32_768, 32_768));
        }
        let mut out = Vec::new();
        let put = put_record(&mut out, 0, ones(&[1; FRAGMENT_BYTES_MAX - HEADER_BYTES]));
        assert_eq!(put.end, 32_768 - 7);
        let put = put_record(&mut out, put.end, ones(&[1]));
        // The empty first fragment takes the last seven bytes.
        assert_eq!((put.end, put.fragments), (32_768 + 8, 2));
    }

    #[test]
    fn room_is_counted_without_the_headers() {
        let two_pages = 2 * PAGE_BYTES as u64;
        assert!(fits(0, 2 * FRAGMENT_BYTES_MAX, two_pages));
        assert!(!fits(0, 2 * FRAGMENT_BYTES_MAX + 1, two_pages));
        assert!(fits(two_pages, 0, two_pages) && !fits(two_pages, 1, two_pages));
        assert!(!fits(3 * PAGE_BYTES as u64, 0, two_pages));
    }
}
