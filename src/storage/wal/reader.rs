//! Telling a whole log again: the newest checkpoint, then the segments behind it.

use std::path::{Path, PathBuf};

use crate::disk::SharedDisk;

use super::checkpoint::{Unreadable, last_checkpoint};
use super::error::{Corruption, Fault, RecordError, WalError};
use super::scan::{Damage, Scanner, Span, Stop};
use super::segment::{Position, check_sequential, checkpoint_path, list_segments, segment_path};

/// How a replay ended.
#[derive(Debug, Clone, Default)]
pub struct ReplayEnd {
    /// Behind the last record; nothing if there was none.
    pub end: Option<Position>,
    /// Records handed out.
    pub records: u64,
    /// A record at the very end that was never written whole. That is what a crash leaves behind
    /// and no damage; [`super::Wal::open`] cuts it off.
    pub torn: Option<Corruption>,
    /// Number of the checkpoint that was read.
    pub checkpoint: Option<u32>,
}

/// Receives each record and the place behind it; see [`Position::is_in_checkpoint`].
pub(super) type Each<'a> = dyn FnMut(Position, &[u8]) -> Result<(), RecordError> + 'a;

/// Reads the log in `dir`: the newest checkpoint (only if it reaches to segment `from`), then the
/// segments behind it, starting no earlier than with `from`. A folder that is not there is an
/// empty log.
///
/// Memory does not grow with the log; records are borrowed from buffers that are reused.
///
/// # Errors
/// The first damage, also if `each` refuses a record; missing segments; the disk's answer.
/// [`super::recover`] goes on instead.
pub fn replay(
    disk: &SharedDisk,
    dir: &Path,
    from: Option<u32>,
    each: &mut Each<'_>,
) -> Result<ReplayEnd, WalError> {
    walk(disk, dir, from, each, &mut |corruption| Err(WalError::Corrupt(corruption)))
}

/// Reads a log as [`replay`] does, but hands damage to `on_damage` and goes on behind it. Nothing
/// is changed.
///
/// # Errors
/// Missing segments; the disk's answer.
pub fn survey(
    disk: &SharedDisk,
    dir: &Path,
    each: &mut Each<'_>,
    on_damage: &mut dyn FnMut(Corruption),
) -> Result<ReplayEnd, WalError> {
    walk(disk, dir, None, each, &mut |corruption| {
        on_damage(corruption);
        Ok(())
    })
}

/// A file of a log, in reading order.
struct Source {
    path: PathBuf,
    segment: u32,
    /// Set for segments of a checkpoint: the number of the checkpoint.
    checkpoint: Option<u32>,
    is_last: bool,
    unreadable: Unreadable,
}

/// Like [`replay`], but damage is handed to `on_damage`, which decides whether to go on.
pub(super) fn walk(
    disk: &SharedDisk,
    dir: &Path,
    from: Option<u32>,
    each: &mut Each<'_>,
    on_damage: &mut dyn FnMut(Corruption) -> Result<(), WalError>,
) -> Result<ReplayEnd, WalError> {
    walk_packed(disk, dir, from, &mut |found| tell(found, each), on_damage)
}

/// A record where it was found.
pub(super) struct Found<'a> {
    pub(super) scanner: &'a mut Scanner,
    pub(super) span: &'a Span,
    pub(super) path: &'a Path,
    pub(super) segment: u32,
    /// Behind the record.
    pub(super) position: Position,
}

/// Why the receiver of a record does not want to go on as usual.
pub(super) enum Halt {
    /// The record is damaged.
    Damage(Damage),
    /// Nothing more is to be read.
    Stop(WalError),
}

/// Receives each record before it is unpacked.
pub(super) type EachPacked<'a> = dyn FnMut(&mut Found<'_>) -> Result<(), Halt> + 'a;

/// Like [`walk`], but records are handed out before they are unpacked.
pub(super) fn walk_packed(
    disk: &SharedDisk,
    dir: &Path,
    from: Option<u32>,
    each: &mut EachPacked<'_>,
    on_damage: &mut dyn FnMut(Corruption) -> Result<(), WalError>,
) -> Result<ReplayEnd, WalError> {
    if !disk.exists(dir) {
        return Ok(ReplayEnd::default());
    }
    let checkpoint = last_checkpoint(&**disk, dir)?;
    let checkpoint = checkpoint.filter(|index| from.is_none_or(|from| *index >= from));
    let after = checkpoint.map_or(0, |index| index.saturating_add(1));
    let first = from.unwrap_or(0).max(after);
    let mut sources = checkpoint_sources(disk, dir, checkpoint)?;
    let segments = segment_sources(disk, dir, first, u32::MAX)?;
    check_sequential(segments.iter().map(|source| source.segment))?;
    if let (Some(index), Some(found)) = (checkpoint, segments.first())
        && found.segment > first
        && first == after
    {
        return Err(WalError::Gap { after: index, found: found.segment });
    }
    sources.extend(segments);
    if let Some(last) = sources.last_mut() {
        last.is_last = last.checkpoint.is_none();
    }
    let mut end = ReplayEnd { checkpoint, ..ReplayEnd::default() };
    for source in &sources {
        read_source(disk, source, each, on_damage, &mut end)?;
    }
    Ok(end)
}

/// Reads one checkpoint, if there is one, and those of the segments `first..=last` that are there,
/// all of which are complete: a torn end is damage like any other.
pub(super) fn walk_range(
    (disk, dir): (&SharedDisk, &Path),
    checkpoint: Option<u32>,
    (first, last): (u32, u32),
    unreadable: Unreadable,
    each: &mut Each<'_>,
    on_damage: &mut dyn FnMut(Corruption) -> Result<(), WalError>,
) -> Result<(), WalError> {
    let mut sources = match checkpoint {
        Some(index) => segment_sources(disk, &checkpoint_path(dir, index), 0, u32::MAX)?,
        None => Vec::new(),
    };
    sources.extend(segment_sources(disk, dir, first, last)?);
    let mut end = ReplayEnd::default();
    for source in &mut sources {
        source.unreadable = unreadable;
        read_source(disk, source, &mut |found| tell(found, each), on_damage, &mut end)?;
    }
    Ok(())
}

fn checkpoint_sources(
    disk: &SharedDisk,
    dir: &Path,
    checkpoint: Option<u32>,
) -> Result<Vec<Source>, WalError> {
    let Some(index) = checkpoint else { return Ok(Vec::new()) };
    let mut sources = segment_sources(disk, &checkpoint_path(dir, index), 0, u32::MAX)?;
    check_sequential(sources.iter().map(|source| source.segment))?;
    for source in &mut sources {
        source.checkpoint = checkpoint;
    }
    Ok(sources)
}

fn segment_sources(
    disk: &SharedDisk,
    dir: &Path,
    first: u32,
    last: u32,
) -> Result<Vec<Source>, WalError> {
    let mut segments = list_segments(&**disk, dir)?;
    segments.retain(|segment| (first..=last).contains(&segment.index));
    let source = |index| Source {
        path: segment_path(dir, index),
        segment: index,
        checkpoint: None,
        is_last: false,
        unreadable: Unreadable::Fail,
    };
    Ok(segments.iter().map(|segment| source(segment.index)).collect())
}

fn read_source(
    disk: &SharedDisk,
    source: &Source,
    each: &mut EachPacked<'_>,
    on_damage: &mut dyn FnMut(Corruption) -> Result<(), WalError>,
    end: &mut ReplayEnd,
) -> Result<(), WalError> {
    let mut scanner = Scanner::open(&**disk, &source.path, source.segment, 0)?;
    loop {
        let damage = match scanner.advance() {
            Ok(None) => return Ok(()),
            Ok(Some(span)) => {
                let position = source.position(&span);
                let (path, segment) = (source.path.as_path(), source.segment);
                let scanner = &mut scanner;
                match each(&mut Found { scanner, span: &span, path, segment, position }) {
                    Ok(()) => {
                        end.end = Some(position);
                        end.records += 1;
                        continue;
                    }
                    Err(Halt::Damage(damage)) => damage,
                    Err(Halt::Stop(error)) => return Err(error),
                }
            }
            Err(Stop::Damage(damage)) => {
                if source.is_last
                    && scanner.is_torn(&damage).map_err(|e| scanner.error(e.into()))?
                {
                    end.torn = Some(scanner.corruption(damage));
                    return Ok(());
                }
                damage
            }
            Err(Stop::Io(error)) if source.unreadable == Unreadable::PassOver => {
                scanner.unreadable(&error)
            }
            Err(stop) => return Err(scanner.error(stop)),
        };
        scanner.resume(&damage);
        on_damage(scanner.corruption(damage))?;
    }
}

impl Source {
    /// The place behind a record of this file.
    const fn position(&self, span: &Span) -> Position {
        match self.checkpoint {
            Some(index) => Position::end_of(index),
            None => Position { segment: self.segment, offset_bytes: span.end },
        }
    }
}

fn tell(found: &mut Found<'_>, each: &mut Each<'_>) -> Result<(), Halt> {
    let record = found.scanner.record(found.span).map_err(Halt::Damage)?;
    let refused = |error| Halt::Damage(Damage::of_record(found.span, Fault::Record(error)));
    each(found.position, record).map_err(refused)
}
