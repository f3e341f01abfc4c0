//! Chunks of replicas as chunks of one series.

use std::ops::Range;

use crate::chunk::{ChunkError, EncodeOptions, Encoding, decode, encode_column};
use crate::model::Column;
use crate::model::histogram::ResetHint;
use crate::series::chunk::{Chunk, TimeRange};
use crate::series::merge::merge_runs;

use super::runs::{Run, choose};
use super::switch::Writer;

/// The chunks of a replica and where their samples lie in its column.
struct Stream<'a> {
    /// Empty if the samples of chunks are not the samples of the stream, as they overlap.
    chunks: Vec<(&'a Chunk, Range<usize>)>,
}

/// Merges the chunks of one series; see
/// [`ReplicaMerge`](crate::series::ReplicaMerge).
///
/// # Errors
/// See [`ChunkError`].
pub(in crate::series::dedup) fn merge_chunks(
    replicas: &[Vec<Chunk>],
    options: &EncodeOptions,
    out: &mut Vec<Chunk>,
) -> Result<(), ChunkError> {
    if passes_on(replicas) {
        let start = out.len();
        out.extend(replicas.iter().flatten().cloned());
        out.get_mut(start..).unwrap_or_default().sort_by_key(|chunk| chunk.min_time_ms);
        return Ok(());
    }
    let mut columns = Vec::with_capacity(replicas.len());
    let mut streams = Vec::with_capacity(replicas.len());
    for chunks in replicas {
        let mut column = Column::new();
        streams.push(read(chunks, &mut column)?);
        columns.push(column);
    }
    let mut merger = Merger { options, out, pending: Column::new() };
    let mut before = None;
    for run in choose(&columns) {
        let Some(stream) = streams.get(run.replica) else { continue };
        merger.run(&columns, stream, &run, &mut before)?;
    }
    merger.flush()
}

/// True if there is nothing to choose: one stream, or aggregates, of which nobody knows how to
/// choose, that lie apart.
fn passes_on(replicas: &[Vec<Chunk>]) -> bool {
    let mut filled = replicas.iter().filter(|chunks| !chunks.is_empty());
    if filled.by_ref().nth(1).is_none() {
        return true;
    }
    let mut all: Vec<&Chunk> = replicas.iter().flatten().collect();
    all.sort_by_key(|chunk| chunk.min_time_ms);
    let is_apart = |pair: &[&Chunk]| match pair {
        [before, after] => before.max_time_ms < after.min_time_ms,
        _ => true,
    };
    all.iter().all(|chunk| Encoding::try_from(chunk.encoding).is_err())
        && all.windows(2).all(is_apart)
}

fn read<'a>(chunks: &'a [Chunk], into: &mut Column) -> Result<Stream<'a>, ChunkError> {
    let mut starts = Vec::with_capacity(chunks.len());
    let mut found = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let start = into.len();
        decode(chunk.encoding, &chunk.data, (i64::MIN, i64::MAX), into)?;
        if into.len() > start {
            starts.push(start);
            found.push((chunk, start..into.len()));
        }
    }
    if !into.timestamps.is_sorted_by(|a, b| a < b) {
        merge_runs(into, &starts);
        found.clear();
    }
    Ok(Stream { chunks: found })
}

struct Merger<'a> {
    options: &'a EncodeOptions,
    out: &'a mut Vec<Chunk>,
    /// Samples that are to be encoded.
    pending: Column,
}

impl Merger<'_> {
    /// Adds a run: chunks that lie in it as they are, the rest sample by sample. `before` is the
    /// sample that was added last.
    fn run(
        &mut self,
        columns: &[Column],
        stream: &Stream<'_>,
        run: &Run,
        before: &mut Option<(usize, usize)>,
    ) -> Result<(), ChunkError> {
        let Some(column) = columns.get(run.replica) else { return Ok(()) };
        let Range { start: mut at, end } = run.samples;
        let first = stream.chunks.partition_point(|(_, samples)| samples.end <= at);
        for (chunk, samples) in stream.chunks.get(first..).unwrap_or_default() {
            if samples.start < at {
                continue;
            }
            if samples.end > end {
                break;
            }
            let follows = samples.start.checked_sub(1).map(|last| (run.replica, last)) == *before
                && samples.start == at;
            let follows = follows || samples.start > at || before.is_none();
            if !follows && says_something(column, samples.start) {
                continue;
            }
            self.push(columns, run.replica, at..samples.start, before);
            self.flush()?;
            self.out.push(Chunk::clone(chunk));
            at = samples.end;
            *before = Some((run.replica, at - 1));
        }
        self.push(columns, run.replica, at..end, before);
        Ok(())
    }

    fn push(
        &mut self,
        columns: &[Column],
        replica: usize,
        samples: Range<usize>,
        before: &mut Option<(usize, usize)>,
    ) {
        if samples.is_empty() {
            return;
        }
        let last = samples.end - 1;
        let mut writer = Writer::behind(columns, &mut self.pending, *before);
        writer.write(&Run { replica, samples }, TimeRange::ALL);
        *before = Some((replica, last));
    }

    /// Encodes what is pending, in chunks of about the same length.
    fn flush(&mut self) -> Result<(), ChunkError> {
        let (length, most) = (self.pending.len(), usize::from(self.options.samples_max.max(1)));
        let parts = length.div_ceil(most);
        let out = &mut *self.out;
        for part in 0..parts {
            let range = length * part / parts..length * (part + 1) / parts;
            encode_column(&self.pending, range, self.options, &mut |chunk| {
                out.push(chunk.into());
            })?;
        }
        self.pending.clear();
        Ok(())
    }
}

/// True if the sample is a histogram that says something of the one before it.
fn says_something(column: &Column, index: usize) -> bool {
    let hint = column.histograms.get(index).map(|one| one.hint);
    matches!(hint, Some(ResetHint::Reset | ResetHint::NotReset))
}
