//! Which samples of which replica make up the one series?

use std::borrow::Cow;
use std::ops::Range;

use crate::model::Column;
use crate::series::chunk::TimeRange;

use super::fill::{Lane, Splice, fill};
use super::switch::Writer;

/// Samples of one replica that follow one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) replica: usize,
    pub(super) samples: Range<usize>,
}

/// Samples that were chosen so far.
struct Timeline<'a> {
    times: Cow<'a, [i64]>,
    floats: Cow<'a, [f64]>,
    runs: Vec<Run>,
}

/// Merges replicas, the preferred ones first: appends what is chosen of their samples in `range`.
pub(in crate::series::dedup) fn merge(columns: &[Column], range: TimeRange, into: &mut Column) {
    let mut writer = Writer::new(columns, into);
    for run in choose(columns) {
        writer.write(&run, range);
    }
}

/// Chooses of each instant which replica is read.
pub(super) fn choose(columns: &[Column]) -> Vec<Run> {
    let mut filled = columns.iter().enumerate().filter(|(_, column)| !column.is_empty());
    let Some((first, base)) = filled.next() else { return Vec::new() };
    let mut timeline = Timeline {
        times: Cow::Borrowed(&base.timestamps),
        floats: Cow::Borrowed(&base.floats),
        runs: vec![Run { replica: first, samples: 0..base.len() }],
    };
    let mut splices = Vec::new();
    let mut rest = filled.peekable();
    while let Some((replica, column)) = rest.next() {
        splices.clear();
        let ours = Lane::new(&timeline.times, &timeline.floats);
        fill(ours, Lane::new(&column.timestamps, &column.floats), &mut splices);
        if splices.is_empty() {
            continue;
        }
        timeline.runs = spliced(&timeline.runs, &splices, replica, timeline.times.len());
        if rest.peek().is_some() {
            let length = timeline.runs.iter().map(|run| run.samples.len()).sum();
            let (mut times, mut floats) = (Vec::with_capacity(length), Vec::with_capacity(length));
            for Run { replica, samples } in &timeline.runs {
                let Some(column) = columns.get(*replica) else { continue };
                times.extend_from_slice(column.timestamps.get(samples.clone()).unwrap_or_default());
                floats.extend_from_slice(column.floats.get(samples.clone()).unwrap_or_default());
            }
            (timeline.times, timeline.floats) = (Cow::Owned(times), Cow::Owned(floats));
        }
    }
    timeline.runs
}

/// The runs with those of `replica` between them.
fn spliced(runs: &[Run], splices: &[Splice], replica: usize, length: usize) -> Vec<Run> {
    let mut result = Vec::with_capacity(runs.len() + 2 * splices.len());
    let mut cursor = Cursor { runs, at: 0, start: 0 };
    let mut from = 0;
    for splice in splices {
        cursor.copy(from..splice.behind, &mut result);
        result.push(Run { replica, samples: splice.from..splice.to });
        from = splice.resume;
    }
    cursor.copy(from..length, &mut result);
    result
}

/// A place in the samples of runs, which only moves forward.
struct Cursor<'a> {
    runs: &'a [Run],
    /// The run.
    at: usize,
    /// How many samples are in the runs before it.
    start: usize,
}

impl Cursor<'_> {
    fn copy(&mut self, wanted: Range<usize>, into: &mut Vec<Run>) {
        while let Some(run) = self.runs.get(self.at) {
            let end = self.start + run.samples.len();
            let inside = wanted.start.max(self.start)..wanted.end.min(end);
            if inside.start < inside.end {
                let moved = |index: usize| index - self.start + run.samples.start;
                let samples = moved(inside.start)..moved(inside.end);
                into.push(Run { replica: run.replica, samples });
            }
            if wanted.end < end {
                return;
            }
            (self.at, self.start) = (self.at + 1, end);
        }
    }
}
