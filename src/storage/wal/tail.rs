//! Following a log while it is written, by the same process or another.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::disk::SharedDisk;

use super::checkpoint::last_checkpoint;
use super::error::{Context, WalError};
use super::scan::{Scanner, Span, Stop};
use super::segment::{Position, SegmentFile, checkpoint_path, list_segments, segment_path};
use super::writer::Progress;

/// A reader that waits at the end of the log and goes on when there is more.
///
/// It reads the checkpoint first when it starts at the beginning, or when segments that it had not
/// read yet are gone; their series are named there.
pub struct Tail {
    disk: SharedDisk,
    dir: PathBuf,
    progress: Option<Progress>,
    stage: Stage,
    at: Position,
    scanner: Option<Scanner>,
    missed_segments: u64,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Where to begin is decided when there is something to read.
    Start,
    /// Segment `next` of the checkpoint with this number is the next to be read.
    Checkpoint { index: u32, next: u32 },
    /// The segment of `at` is the one to be read.
    Segments,
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = (&self.stage, &self.at);
        f.debug_struct("Tail").field("dir", &self.dir).field("at", &stage).finish()
    }
}

/// What there is to do next.
enum Step {
    /// A file is open.
    Read,
    /// The stage has changed.
    Again,
    /// There is nothing to read yet.
    Wait,
}

impl Tail {
    /// Reads from `from`, a place that [`next`](Self::next) gave earlier, or from the beginning:
    /// the newest checkpoint, then the segments. A place behind the end of the log is of another
    /// log, and reading starts at the beginning.
    ///
    /// Who needs to know the series that samples belong to starts at the beginning and passes over
    /// the samples up to the place that it had reached.
    ///
    /// # Errors
    /// The disk's answer.
    pub fn open(disk: SharedDisk, dir: &Path, from: Option<Position>) -> Result<Self, WalError> {
        let mut tail = Self {
            dir: dir.to_owned(),
            progress: None,
            stage: Stage::Start,
            at: Position::start_of(0),
            scanner: None,
            missed_segments: 0,
            disk,
        };
        if let Some(from) = from {
            tail.start_at(from)?;
        }
        Ok(tail)
    }

    /// Never reads beyond what the writer has acknowledged. For a writer in the same process:
    /// otherwise a batch may be seen that fails and is taken back.
    #[must_use]
    pub fn behind(mut self, progress: Progress) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Segments that were gone before they were read to their end.
    #[must_use]
    pub const fn missed_segments(&self) -> u64 {
        self.missed_segments
    }

    /// Where the next record is looked for.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.at
    }

    /// Replaces `into` by the next record and gives the place behind it; nothing if there is no
    /// more for now.
    ///
    /// # Errors
    /// Damage, once for each: the next call goes on behind it. The disk's answer; the next call
    /// tries again.
    pub fn next(&mut self, into: &mut Vec<u8>) -> Result<Option<Position>, WalError> {
        into.clear();
        loop {
            if self.scanner.is_none() {
                match self.open_next()? {
                    Step::Read => {}
                    Step::Again => continue,
                    Step::Wait => return Ok(None),
                }
            }
            // In this order: if there is a later segment now, then this one is complete when its
            // size is looked at.
            let has_later = self.has_later_segment()?;
            let most = self.allowed();
            let Some(scanner) = &mut self.scanner else { continue };
            let mut found = scanner.advance();
            if !matches!(found, Ok(Some(_))) {
                scanner.rewind();
                scanner.refresh(most)?;
                found = scanner.advance();
            }
            match found {
                Ok(Some(span)) => return self.take(&span, into).map(Some),
                Ok(None) if has_later => self.finish_source(),
                Ok(None) => {
                    scanner.rewind();
                    return Ok(None);
                }
                Err(Stop::Damage(damage)) => {
                    if !has_later && scanner.is_torn(&damage).context("read", &self.dir)? {
                        scanner.rewind();
                        return Ok(None);
                    }
                    scanner.resume(&damage);
                    return Err(WalError::Corrupt(scanner.corruption(damage)));
                }
                Err(stop) => return Err(scanner.error(stop)),
            }
        }
    }

    fn take(&mut self, span: &Span, into: &mut Vec<u8>) -> Result<Position, WalError> {
        self.at = match self.stage {
            Stage::Checkpoint { index, .. } => Position::end_of(index),
            _ => Position { segment: self.at.segment, offset_bytes: span.end },
        };
        let Some(scanner) = &mut self.scanner else { return Ok(self.at) };
        match scanner.record(span) {
            Ok(record) => into.extend_from_slice(record),
            Err(damage) => return Err(WalError::Corrupt(scanner.corruption(damage))),
        }
        Ok(self.at)
    }

    /// How much of the segment may be read.
    fn allowed(&self) -> u64 {
        match (self.stage, &self.progress) {
            (Stage::Segments, Some(progress)) => {
                let known = progress.get();
                match self.at.segment.cmp(&known.segment) {
                    std::cmp::Ordering::Less => u64::MAX,
                    std::cmp::Ordering::Equal => known.offset_bytes,
                    std::cmp::Ordering::Greater => 0,
                }
            }
            _ => u64::MAX,
        }
    }

    /// True if the file that is being read will not grow any more.
    fn has_later_segment(&self) -> Result<bool, WalError> {
        match (self.stage, &self.progress) {
            (Stage::Segments, Some(progress)) => Ok(progress.get().segment > self.at.segment),
            (Stage::Segments, None) => {
                let segments = list_segments(&*self.disk, &self.dir)?;
                Ok(segments.last().is_some_and(|last| last.index > self.at.segment))
            }
            _ => Ok(true),
        }
    }

    /// Goes to the file behind the one that was read.
    fn finish_source(&mut self) {
        self.scanner = None;
        if matches!(self.stage, Stage::Segments) {
            self.at = Position::start_of(self.at.segment.saturating_add(1));
        }
    }

    /// Opens the file that is read next.
    fn open_next(&mut self) -> Result<Step, WalError> {
        match self.stage {
            Stage::Start => self.begin(),
            Stage::Checkpoint { index, next } => self.open_checkpoint(index, next),
            Stage::Segments => self.open_segment(),
        }
    }

    fn segments(&self) -> Result<Vec<SegmentFile>, WalError> {
        if !self.disk.exists(&self.dir) {
            return Ok(Vec::new());
        }
        list_segments(&*self.disk, &self.dir)
    }

    fn begin(&mut self) -> Result<Step, WalError> {
        let segments = self.segments()?;
        let Some(first) = segments.first() else { return Ok(Step::Wait) };
        self.enter_checkpoint_or(Position::start_of(first.index), 0)?;
        Ok(Step::Again)
    }

    /// Reads the newest checkpoint if it reaches to segment `from`, else goes to `otherwise`.
    fn enter_checkpoint_or(&mut self, otherwise: Position, from: u32) -> Result<(), WalError> {
        let checkpoint = last_checkpoint(&*self.disk, &self.dir)?;
        match checkpoint.filter(|index| *index >= from) {
            Some(index) => self.stage = Stage::Checkpoint { index, next: 0 },
            None => {
                self.stage = Stage::Segments;
                self.at = otherwise;
            }
        }
        Ok(())
    }

    fn start_at(&mut self, from: Position) -> Result<(), WalError> {
        let from = if from.is_in_checkpoint() {
            Position::start_of(from.segment.saturating_add(1))
        } else {
            from
        };
        let segments = self.segments()?;
        let Some(last) = segments.last() else { return Ok(()) };
        let next = last.index.saturating_add(1);
        if from.segment > last.index && from != Position::start_of(next) {
            tracing::warn!(?from, "place is behind the log; reading starts at its beginning");
            return Ok(());
        }
        self.stage = Stage::Segments;
        self.at = from;
        if from.segment == last.index && from.offset_bytes > last.len_bytes {
            self.at = Position::start_of(last.index);
        }
        Ok(())
    }

    fn open_checkpoint(&mut self, index: u32, next: u32) -> Result<Step, WalError> {
        let dir = checkpoint_path(&self.dir, index);
        let path = segment_path(&dir, next);
        if self.disk.exists(&path) {
            self.scanner = Some(Scanner::open(&*self.disk, &path, next, 0)?);
            self.stage = Stage::Checkpoint { index, next: next.saturating_add(1) };
            return Ok(Step::Read);
        }
        if !self.disk.exists(&dir) {
            // A newer one has replaced it, and holds all that is needed of it.
            self.stage = Stage::Start;
            return Ok(Step::Again);
        }
        self.stage = Stage::Segments;
        self.at = Position::start_of(index.saturating_add(1));
        Ok(Step::Again)
    }

    fn open_segment(&mut self) -> Result<Step, WalError> {
        let path = segment_path(&self.dir, self.at.segment);
        if self.disk.exists(&path) {
            let mut scanner =
                Scanner::open(&*self.disk, &path, self.at.segment, self.at.offset_bytes)?;
            scanner.refresh(self.allowed())?;
            self.scanner = Some(scanner);
            return Ok(Step::Read);
        }
        let segments = self.segments()?;
        let Some(later) = segments.iter().find(|segment| segment.index > self.at.segment) else {
            return Ok(Step::Wait);
        };
        let missed = later.index - self.at.segment;
        self.missed_segments += u64::from(missed);
        tracing::warn!(at = ?self.at, missed, "segments were removed before they were read");
        self.enter_checkpoint_or(Position::start_of(later.index), self.at.segment)?;
        Ok(Step::Again)
    }
}
