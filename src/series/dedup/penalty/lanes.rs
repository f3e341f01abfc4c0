//! Chunks of all replicas, and the streams that they are read as.

use crate::chunk::ChunkError;
use crate::model::Column;
use crate::series::aggregate::Aggregate;
use crate::series::chunk::{Chunk, TimeRange};
use crate::series::downsampled::AggregateReader;

use super::fold::fold;

/// Reads chunks of one series as one, whoever they come from. Only samples in `range` are in the
/// result; where the function is about counters, their values are totals since the first sample of
/// all chunks. Of downsampled samples, which stand for windows of `resolution_ms`, it is the one
/// number that the function wants.
///
/// # Errors
/// See [`ChunkError`].
pub(in crate::series::dedup) fn merge(
    chunks: Vec<Chunk>,
    resolution_ms: i64,
    range: TimeRange,
    func: Option<&str>,
) -> Result<Column, ChunkError> {
    let is_counter = matches!(func, Some("increase" | "rate" | "irate" | "resets"));
    let wanted = Aggregate::wanted_by(func);
    let mut columns = Vec::new();
    for lane in lanes(chunks) {
        let mut column = read(&lane, &mut AggregateReader::new(wanted, resolution_ms))?;
        if wanted == Aggregate::Counter {
            column = totals(&column);
        }
        columns.push(inside(column, range));
    }
    if let [_] = columns.as_slice() {
        return Ok(columns.pop().unwrap_or_default());
    }
    let mut merged = Column::new();
    fold(columns.iter(), is_counter, &mut merged);
    Ok(merged)
}

/// Chunks that do not overlap one another, in as few streams as come about when each chunk goes
/// to the first stream that has ended before it. Of identical chunks one is taken.
fn lanes(mut chunks: Vec<Chunk>) -> Vec<Vec<Chunk>> {
    chunks.sort_by(|a, b| {
        let times = |chunk: &Chunk| (chunk.min_time_ms, chunk.max_time_ms);
        times(a).cmp(&times(b)).then_with(|| b.data.cmp(&a.data))
    });
    chunks.dedup();
    let mut lanes: Vec<Vec<Chunk>> = Vec::new();
    for chunk in chunks {
        let has_ended =
            |lane: &Vec<Chunk>| lane.last().is_none_or(|last| last.max_time_ms < chunk.min_time_ms);
        match lanes.iter().position(has_ended).and_then(|at| lanes.get_mut(at)) {
            Some(lane) => lane.push(chunk),
            None => lanes.push(vec![chunk]),
        }
    }
    lanes
}

fn read(lane: &[Chunk], reader: &mut AggregateReader) -> Result<Column, ChunkError> {
    let mut column = Column::new();
    for chunk in lane {
        // The times of a chunk are what its index says; samples go on from the last one.
        let from_ms = column.timestamps.last().map_or(i64::MIN, |last| last.saturating_add(1));
        reader.push(chunk, TimeRange::new(from_ms, i64::MAX), &mut column)?;
    }
    Ok(column)
}

/// A counter without its resets: everything that was counted since the first sample. Samples that
/// are no numbers are left out; histograms stay as they are. Matches `ApplyCounterResets`.
fn totals(column: &Column) -> Column {
    let mut totals = Column::new();
    let mut last: Option<(f64, f64)> = None;
    for (index, (time_ms, float)) in column.timestamps.iter().zip(&column.floats).enumerate() {
        if !column.histograms.is_empty() && column.histograms.get(index).is_some() {
            totals.extend_from(column, index..index + 1);
            continue;
        }
        if float.is_nan() {
            continue;
        }
        let total = match last {
            None => *float,
            Some((value, total)) => {
                let before = column.joins.before(index).unwrap_or(value);
                total + if *float >= before { float - before } else { *float }
            }
        };
        last = Some((*float, total));
        totals.push(*time_ms, total);
        totals.set_last_summary(column.summary(index));
    }
    totals
}

fn inside(mut column: Column, range: TimeRange) -> Column {
    let from = column.timestamps.partition_point(|time_ms| *time_ms < range.start_ms);
    let to = column.timestamps.partition_point(|time_ms| *time_ms <= range.end_ms);
    column.truncate(to);
    if from == 0 {
        return column;
    }
    let mut kept = Column::new();
    kept.extend_from(&column, from..to);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::dedup::tests::support::{json_lines, pairs};
    use bytes::Bytes;

    #[test]
    fn each_chunk_goes_to_the_first_stream_that_has_ended() {
        let mut count = 0;
        for case in json_lines("thanos/dedup/lanes.jsonl") {
            // Other bytes, so that none are taken for the same.
            let chunks = pairs(&case["chunks"]).into_iter().enumerate();
            let chunk = |(number, (min_time_ms, max_time_ms)): (usize, (i64, i64))| {
                let data = Bytes::from(vec![0, 0, 255 - number as u8]);
                Chunk { min_time_ms, max_time_ms, encoding: 1, data }
            };
            let lanes = lanes(chunks.map(chunk).collect());
            let times = |chunk: &Chunk| (chunk.min_time_ms, chunk.max_time_ms);
            let found: Vec<Vec<_>> =
                lanes.iter().map(|lane| lane.iter().map(times).collect()).collect();
            let mut want: Vec<_> = case["lanes"].as_array().unwrap().iter().map(pairs).collect();
            want.retain(|lane| !lane.is_empty());
            assert_eq!(found, want, "{}", case["name"]);
            count += 1;
        }
        assert_eq!(count, 6);
    }

    #[test]
    fn totals_know_no_reset() {
        let mut column = Column::new();
        for (time_ms, value) in (1_i64..).zip([10.0, 20.0, f64::NAN, 10.0, 20.0, 5.0, 5.0]) {
            column.push(time_ms, value);
        }
        // Of another count, which stood at 4 when this one stood at 5.
        column.joins.push(6, 4.0);
        let totals = totals(&column);
        assert_eq!(totals.floats, [10.0, 20.0, 30.0, 40.0, 45.0, 46.0]);
        assert_eq!(totals.timestamps, [1, 2, 4, 5, 6, 7]);
    }
}
