//! Strict reading of one segment, fragment by fragment.
//!
//! The scanner also serves a segment that somebody is still writing: it can be told that there is
//! more, and goes back to the end of the last whole record when there is not enough yet.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, ReadFile};

use super::codec::{Compression, SNAPPY_BIT, Unpacker, ZSTD_BIT};
use super::error::{Context, Corruption, Fault, WalError};
use super::frame::{FIRST, FRAGMENT_BYTES_MAX, FULL, KIND_BITS, LAST, in_page, page_end};
use super::{HEADER_BYTES, PAGE_BYTES};

/// Bytes read at once: a whole number of pages.
const WINDOW_BYTES: usize = 8 * PAGE_BYTES;

/// A record's assembly buffer of more than this is not kept.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// Where a record was found. Its bytes are with the scanner until it moves on.
#[derive(Debug, Clone)]
pub(super) struct Span {
    /// Offset of its first fragment.
    pub(super) start: u64,
    /// Offset from which the next record is looked for.
    pub(super) end: u64,
    pub(super) compression: Compression,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    /// One fragment, in the window.
    Window(Range<usize>),
    /// Several fragments, put together.
    Assembled,
}

/// Damage, and what is known about its extent.
#[derive(Debug, Clone)]
pub(super) struct Damage {
    pub(super) fault: Fault,
    /// Where the damaged record starts.
    pub(super) record_start: u64,
    /// Where the fragment starts that shows the damage, and where it would end.
    extent: Range<u64>,
    /// Where reading may go on.
    resume: u64,
}

impl Damage {
    /// A record that is whole, but means nothing.
    pub(super) const fn of_record(span: &Span, fault: Fault) -> Self {
        let (record_start, resume) = (span.start, span.end);
        Self { fault, record_start, extent: record_start..resume, resume }
    }
}

/// Why there is no next record.
#[derive(Debug)]
pub(super) enum Stop {
    Io(io::Error),
    Damage(Damage),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(super) struct Scanner {
    file: Box<dyn ReadFile>,
    path: PathBuf,
    segment: u32,
    /// Bytes before this may be read.
    limit: u64,
    window: Vec<u8>,
    window_start: u64,
    at: u64,
    /// Behind the last whole record.
    last_end: u64,
    /// After damage: continuations are passed over until a record starts.
    is_lost: bool,
    assembled: Vec<u8>,
    unpacker: Unpacker,
}

impl fmt::Debug for Scanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanner").field("path", &self.path).field("at", &self.at).finish()
    }
}

/// A record that is being put together.
struct Open {
    start: u64,
}

/// A fragment whose header and checksum are right.
struct Fragment {
    head: u8,
    /// Offsets of header and end in the file.
    start: u64,
    end: u64,
}

impl Scanner {
    /// Opens a segment for reading from `offset`.
    pub(super) fn open(
        disk: &dyn Disk,
        path: &Path,
        segment: u32,
        offset: u64,
    ) -> Result<Self, WalError> {
        let file = disk.open(path).context("open segment", path)?;
        let limit = file.len_bytes().context("size of segment", path)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            segment,
            limit,
            window: Vec::new(),
            window_start: 0,
            at: offset,
            last_end: offset,
            is_lost: false,
            assembled: Vec::new(),
            unpacker: Unpacker::default(),
        })
    }

    /// Size of the file when last looked at.
    pub(super) const fn limit(&self) -> u64 {
        self.limit
    }

    /// Looks at the file's size again, and allows no more than `most` of it.
    pub(super) fn refresh(&mut self, most: u64) -> Result<(), WalError> {
        let len = self.file.len_bytes().context("size of segment", &self.path)?;
        let limit = len.min(most);
        if limit != self.limit {
            self.limit = limit;
            self.window.clear();
        }
        Ok(())
    }

    /// Goes back to the end of the last whole record.
    pub(super) const fn rewind(&mut self) {
        self.at = self.last_end;
    }

    /// Goes on behind the damage.
    pub(super) const fn resume(&mut self, damage: &Damage) {
        self.at = damage.resume;
        self.last_end = damage.resume;
        self.is_lost = true;
    }

    /// The page that the disk did not give, as damage.
    pub(super) fn unreadable(&self, error: &io::Error) -> Damage {
        let next_page = page_end(self.at + 1);
        Damage {
            fault: Fault::Unreadable(error.to_string()),
            record_start: self.last_end,
            extent: self.at..next_page,
            resume: next_page,
        }
    }

    /// Damage in words for people.
    pub(super) fn corruption(&self, damage: Damage) -> Corruption {
        Corruption {
            path: self.path.clone(),
            segment: self.segment,
            offset_bytes: damage.record_start,
            fault: damage.fault,
        }
    }

    /// A stop as an error of the log.
    pub(super) fn error(&self, stop: Stop) -> WalError {
        match stop {
            Stop::Io(source) => WalError::Io { what: "read", path: self.path.clone(), source },
            Stop::Damage(damage) => WalError::Corrupt(self.corruption(damage)),
        }
    }

    /// Finds the next record; nothing at the end.
    pub(super) fn advance(&mut self) -> Result<Option<Span>, Stop> {
        if self.assembled.capacity() > KEPT_BYTES_MAX {
            self.assembled = Vec::new();
        }
        self.assembled.clear();
        let mut open: Option<Open> = None;
        loop {
            let Some(fragment) = self.fragment(open.as_ref())? else {
                return Ok(None);
            };
            let kind = fragment.head & KIND_BITS;
            let starts = kind == FULL || kind == FIRST;
            if starts && let Some(open) = &open {
                let resume = fragment.start;
                let extent = fragment.start..fragment.end;
                return self.damage(Fault::UnexpectedStart, open.start, extent, resume);
            }
            if !starts && open.is_none() {
                self.at = fragment.end;
                if self.is_lost {
                    continue;
                }
                let extent = fragment.start..fragment.end;
                let (start, resume) = (fragment.start, fragment.end);
                return self.damage(Fault::UnexpectedContinuation, start, extent, resume);
            }
            self.is_lost = false;
            self.at = fragment.end;
            let payload = self.payload(&fragment);
            if kind != FULL {
                let part = self.window.get(payload.clone()).unwrap_or_default();
                self.assembled.extend_from_slice(part);
            }
            let start = open.get_or_insert(Open { start: fragment.start }).start;
            if kind == FULL || kind == LAST {
                let place = if kind == FULL { Place::Window(payload) } else { Place::Assembled };
                let compression = compression(fragment.head);
                let end = self.settle();
                self.last_end = end;
                return Ok(Some(Span { start, end, compression, place }));
            }
        }
    }

    /// The record at `span` as it is written.
    pub(super) fn packed(&self, span: &Span) -> &[u8] {
        match &span.place {
            Place::Window(range) => self.window.get(range.clone()).unwrap_or_default(),
            Place::Assembled => &self.assembled,
        }
    }

    /// The record at `span`.
    pub(super) fn record(&mut self, span: &Span) -> Result<&[u8], Damage> {
        let packed = match &span.place {
            Place::Window(range) => self.window.get(range.clone()).unwrap_or_default(),
            Place::Assembled => &self.assembled,
        };
        let unpacked = self.unpacker.unpack(packed, span.compression);
        unpacked.map_err(|fault| Damage::of_record(span, fault))
    }

    /// True if the damage is what a write leaves behind that was cut short: the fragment is not
    /// complete, and nothing follows but zeros.
    pub(super) fn is_torn(&self, damage: &Damage) -> io::Result<bool> {
        if !matches!(damage.fault, Fault::Torn | Fault::Checksum { .. }) {
            return Ok(false);
        }
        let mut buffer = vec![0; WINDOW_BYTES];
        let (mut at, mut data_end) = (damage.extent.start, damage.extent.start);
        loop {
            let count = self.file.read_at(at, &mut buffer)?;
            if count == 0 {
                return Ok(data_end < damage.extent.end);
            }
            let read = buffer.get(..count).unwrap_or_default();
            if let Some(last) = read.iter().rposition(|byte| *byte != 0) {
                data_end = at + last as u64 + 1;
            }
            if data_end >= damage.extent.end {
                return Ok(false);
            }
            at += count as u64;
        }
    }

    /// The next fragment, whole and checked; nothing at the end, which is damage if a record is
    /// open.
    fn fragment(&mut self, open: Option<&Open>) -> Result<Option<Fragment>, Stop> {
        loop {
            let at = self.at;
            let record_start = open.map_or(at, |open| open.start);
            let next_page = page_end(at + 1);
            if at >= self.limit {
                return match open {
                    Some(_) => self.damage(Fault::Torn, record_start, at..u64::MAX, at),
                    None => Ok(None),
                };
            }
            let bytes = self.rest_of_page(at)?;
            let (Some(&head), room) = (bytes.first(), (next_page - at) as usize) else {
                self.limit = at;
                continue;
            };
            if head == 0 || room < HEADER_BYTES {
                if bytes.iter().any(|byte| *byte != 0) {
                    return self.damage(Fault::Padding, record_start, at..next_page, next_page);
                }
                if open.is_some() && room >= HEADER_BYTES {
                    return self.damage(Fault::Torn, record_start, at..at + 1, next_page);
                }
                self.at = next_page;
                continue;
            }
            return match check(bytes, room) {
                Ok(length) => Ok(Some(Fragment { head, start: at, end: at + length as u64 })),
                Err((fault, length)) => {
                    let end = length.map_or(u64::MAX, |length| at + length as u64);
                    let resume = self.resume_point(end, next_page);
                    self.damage(fault, record_start, at..end, resume)
                }
            };
        }
    }

    fn damage<T>(
        &self,
        fault: Fault,
        record_start: u64,
        extent: Range<u64>,
        resume: u64,
    ) -> Result<T, Stop> {
        Err(Stop::Damage(Damage { fault, record_start, extent, resume }))
    }

    /// After a bad fragment: its end, if a good one stands there, else the next page.
    fn resume_point(&mut self, end: u64, next_page: u64) -> u64 {
        if end >= next_page {
            return next_page;
        }
        let room = (next_page - end) as usize;
        match self.rest_of_page(end) {
            Ok(bytes) if room >= HEADER_BYTES && check(bytes, room).is_ok() => end,
            _ => next_page,
        }
    }

    /// Offset of the next header: the next page if none fits into this one.
    const fn settle(&self) -> u64 {
        let next_page = page_end(self.at);
        if next_page - self.at < HEADER_BYTES as u64 { next_page } else { self.at }
    }

    fn payload(&self, fragment: &Fragment) -> Range<usize> {
        let start = (fragment.start - self.window_start) as usize + HEADER_BYTES;
        start..(fragment.end - self.window_start) as usize
    }

    /// What may be read of the page from `at` on.
    fn rest_of_page(&mut self, at: u64) -> Result<&[u8], Stop> {
        let want_end = page_end(at + 1).min(self.limit);
        let window_end = self.window_start + self.window.len() as u64;
        if self.window.is_empty() || at < self.window_start || want_end > window_end {
            self.load(at - in_page(at) as u64)?;
        }
        let start = (at - self.window_start) as usize;
        let end = (want_end - self.window_start) as usize;
        let end = end.min(self.window.len());
        Ok(self.window.get(start..end).unwrap_or_default())
    }

    fn load(&mut self, start: u64) -> Result<(), Stop> {
        let want = WINDOW_BYTES.min((self.limit - start) as usize);
        // What is there is read over, not zeroed.
        self.window.resize(want, 0);
        self.window_start = start;
        let mut filled = 0;
        while let Some(rest) = self.window.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let count = self.file.read_at(start + filled as u64, rest);
            match count {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What came is told first; the rest is asked for again then.
                Err(_) if filled >= PAGE_BYTES => {
                    filled -= filled % PAGE_BYTES;
                    break;
                }
                Err(error) => {
                    self.window.clear();
                    return Err(Stop::Io(error));
                }
            }
        }
        self.window.truncate(filled);
        Ok(())
    }
}

const fn compression(head: u8) -> Compression {
    if head & SNAPPY_BIT != 0 {
        Compression::Snappy
    } else if head & ZSTD_BIT != 0 {
        Compression::Zstd
    } else {
        Compression::None
    }
}

/// Checks the fragment at the start of `bytes`, in a page with `room` left; returns its length
/// with the header. With a fault comes the length that the header claims, where it can be.
fn check(bytes: &[u8], room: usize) -> Result<usize, (Fault, Option<usize>)> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err((Fault::Torn, None));
    };
    let [head, l1, l0, c3, c2, c1, c0] = *header;
    let kind = head & KIND_BITS;
    let packing = head & !KIND_BITS;
    if !(FULL..=LAST).contains(&kind) || !matches!(packing, 0 | SNAPPY_BIT | ZSTD_BIT) {
        return Err((Fault::FragmentType(head), None));
    }
    let length = u16::from_be_bytes([l1, l0]);
    let end = HEADER_BYTES + usize::from(length);
    if usize::from(length) > FRAGMENT_BYTES_MAX || end > room {
        return Err((Fault::FragmentLength(length), None));
    }
    let Some(payload) = rest.get(..usize::from(length)) else {
        return Err((Fault::Torn, Some(end)));
    };
    let (expected, found) = (u32::from_be_bytes([c3, c2, c1, c0]), crc32c::crc32c(payload));
    if expected != found {
        return Err((Fault::Checksum { expected, found }, Some(end)));
    }
    Ok(end)
}
