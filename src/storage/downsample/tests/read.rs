//! Downsampled blocks answer what the raw one does.

use super::*;
use crate::model::histogram::float::{FloatHistogram, FloatRef, Overlays};
use crate::model::{Column, Summary, Value, is_stale};
use crate::series::{Aggregate, AggregateReader, TimeRange};
use crate::storage::downsample::{FIVE_MINUTES_MS, ONE_HOUR_MS};

fn read(chunks: &[Chunk], wanted: Aggregate, resolution_ms: i64) -> Column {
    let mut column = Column::new();
    let mut reader = AggregateReader::new(wanted, resolution_ms);
    for chunk in chunks {
        reader.push(chunk, TimeRange::ALL, &mut column).unwrap();
    }
    column
}

/// Each float of a counter as the total since the first one.
pub(super) fn totals(column: &Column) -> Vec<f64> {
    let (mut total, mut before) = (0.0, 0.0);
    let floats = column.floats.iter().enumerate();
    floats
        .map(|(index, value)| {
            if column.histograms.get(index).is_some() {
                return total;
            }
            let base = column.joins.before(index).unwrap_or(before);
            total += if *value < base { *value } else { value - base };
            before = *value;
            total
        })
        .collect()
}

#[test]
fn queries_read_what_a_querier_of_thanos_reads() {
    let blocks =
        [("5m", FIVE_MINUTES_MS), ("1h", ONE_HOUR_MS)].map(|(n, r)| (n, r, contents(&golden(n))));
    let (mut compared, mut whole) = (0, 0);
    for line in lines("query") {
        let (name, func) = (line["resolution"].as_str().unwrap(), line["func"].as_str().unwrap());
        let labels = labels(&line["labels"]);
        let (_, resolution_ms, contents) =
            blocks.iter().find(|(known, ..)| *known == name).unwrap();
        let Some((_, chunks)) = contents.iter().find(|(known, _)| *known == labels) else {
            assert_eq!(line["t"].as_array().map(Vec::len), Some(0), "{labels}");
            continue;
        };
        let func = Some(func).filter(|func| !func.is_empty());
        let column = read(chunks, Aggregate::wanted_by(func), *resolution_ms);
        assert_eq!(column.timestamps, times(&line["t"]), "{labels} {func:?} {name}");
        let totals = if func.is_some() { totals(&column) } else { column.floats.clone() };
        for (index, wanted) in line["v"].as_array().unwrap().iter().enumerate() {
            if let Some(Value::Histogram(one)) = column.value(index) {
                let one = with_floats(one);
                let wanted = histogram(wanted);
                let hint = wanted.hint;
                let (ours, theirs) = (&one.counts, &wanted.counts);
                let (
                    Counts::Float { count, zero_count, .. },
                    Counts::Float { count: count2, zero_count: zero_count2, buckets },
                ) = (ours, theirs)
                else {
                    panic!()
                };
                // Thanos divides the buckets of an average where its reader keeps them, so that
                // those behind the first one of a chunk are divided again and again.
                let is_whole = same(*count2, buckets.iter().sum::<f64>() + zero_count2);
                assert!(same(*count, *count2) && same(*zero_count, *zero_count2), "{labels}");
                assert!(same(one.sum, wanted.sum), "{labels}");
                whole += usize::from(is_whole);
                if is_whole {
                    assert_eq!(Histogram { hint, ..one }, wanted, "{labels}");
                }
            } else {
                let (wanted, found) = (float(wanted), totals[index]);
                let near = (wanted - found).abs() <= 1e-12 * wanted.abs();
                assert!(same(wanted, found) || near, "{labels} {func:?}: {found}, not {wanted}");
            }
            compared += 1;
        }
    }
    assert!(compared > 3000 && whole > 900, "{compared} {whole}");
}

/// How far the raw counter grew: of histograms the observations.
fn true_growth(chunks: &[Chunk]) -> f64 {
    let raw = read(chunks, Aggregate::Counter, 0);
    let (mut growth, mut before) = (0.0, None::<FloatHistogram>);
    for (_, _, value) in raw.samples() {
        let Value::Histogram(one) = value else { panic!("a float") };
        if one.is_stale() {
            continue;
        }
        let one = FloatRef::from(one);
        growth += match &before {
            Some(before) if !one.is_reset_after(&before.as_ref()) => one.count - before.count,
            Some(_) => one.count,
            None => 0.0,
        };
        before = Some(one.owned());
    }
    growth
}

/// The same of a column, whose joins count.
fn growth(column: &Column) -> (f64, FloatHistogram) {
    let mut overlays = Overlays::default();
    let mut total: Option<FloatHistogram> = None;
    let mut before = None::<FloatHistogram>;
    for (index, one) in column.histograms.iter() {
        let joined = column.joins.before_histogram(index).map(|one| FloatRef::from(one).owned());
        let base = joined.or_else(|| before.clone());
        let one = FloatRef::from(one);
        if let Some(base) = base.filter(|_| before.is_some()) {
            let mut grown = one.owned();
            if !one.is_reset_after(&base.as_ref()) {
                grown.subtract(base.as_ref(), &mut overlays).unwrap();
            }
            match &mut total {
                Some(total) => assert!(total.add(grown.as_ref(), &mut overlays).is_ok()),
                none => *none = Some(grown),
            }
        }
        before = Some(one.owned());
    }
    let total = total.unwrap();
    (total.count, total)
}

#[test]
fn counters_of_histograms_grow_as_far_as_they_did() {
    let (five, hour) = golden::own();
    let blocks = [(FIVE_MINUTES_MS, contents(&five)), (ONE_HOUR_MS, contents(&hour))];
    let mut compared = 0;
    for (labels, chunks) in contents(&golden("raw")) {
        let name = labels.metric_name().unwrap();
        let is_counter = name.ends_with("latency_seconds") || name == "demo_nhcb_seconds";
        if !is_counter {
            continue;
        }
        let wanted = true_growth(&chunks);
        for (resolution_ms, contents) in &blocks {
            let (_, chunks) = contents.iter().find(|(known, _)| *known == labels).unwrap();
            let column = read(chunks, Aggregate::Counter, *resolution_ms);
            // The first window's end comes after the first sample.
            let first = column.histograms.iter().next().map(|(_, one)| FloatRef::from(one).count);
            let raw = read(&contents_of("raw", &labels), Aggregate::Counter, 0);
            let start = raw.histograms.iter().next().map(|(_, one)| FloatRef::from(one).count);
            let found = growth(&column).0 + first.unwrap() - start.unwrap();
            assert_eq!(found, wanted, "{labels} at {resolution_ms}");
            compared += 1;
        }
    }
    assert_eq!(compared, 8);
}

fn contents_of(resolution: &str, labels: &Labels) -> Vec<Chunk> {
    let mut all = contents(&golden(resolution)).into_iter();
    all.find(|(known, _)| known == labels).unwrap().1
}

#[test]
fn a_summary_tells_what_a_sample_stands_for() {
    for (labels, chunks) in contents(&golden("5m")) {
        let counts = read(&chunks, Aggregate::Count, FIVE_MINUTES_MS);
        let averages = read(&chunks, Aggregate::Average, FIVE_MINUTES_MS);
        assert_eq!(counts.summaries, averages.summaries, "{labels}");
        let told = counts.summaries.iter().zip(&counts.floats);
        assert!({ told }.all(|(summary, count)| {
            *summary == Summary { count: *count, resolution_ms: FIVE_MINUTES_MS }
        }));
        let raw = contents_of("raw", &labels);
        let raw = read(&raw, Aggregate::Average, 0);
        let alive = raw.floats.iter().filter(|value| !is_stale(**value) && !value.is_nan());
        assert_eq!(counts.floats.iter().sum::<f64>(), alive.count() as f64, "{labels}");
        assert!(raw.summaries.is_empty());
    }
}

#[test]
fn raw_and_downsampled_chunks_share_a_column() {
    let labels = Labels::from_pairs([
        ("__name__", "demo_requests_total"),
        ("instance", "a:9100"),
        ("job", "demo"),
    ]);
    let is_ours = |labels: &Labels| labels.metric_name() == Some("demo_requests_total");
    assert!(labels.is_ok());
    let find = |name| contents(&golden(name)).into_iter().find(|(l, _)| is_ours(l)).unwrap().1;
    let (raw, five) = (find("raw"), find("5m"));
    let middle_ms = five[2].max_time_ms;
    let mut column = Column::new();
    let mut reader = AggregateReader::new(Aggregate::Counter, FIVE_MINUTES_MS);
    for chunk in &five[..3] {
        reader.push(chunk, TimeRange::ALL, &mut column).unwrap();
    }
    let range = TimeRange::new(middle_ms + 1, i64::MAX);
    for chunk in raw.iter().filter(|chunk| chunk.range().overlaps(range)) {
        reader.push(chunk, range, &mut column).unwrap();
    }
    assert_eq!(column.summaries.len(), column.len());
    assert_eq!(column.summary(column.len() - 1), Summary::ITSELF);
    let whole = read(&raw, Aggregate::Counter, 0);
    let (found, wanted) = (totals(&column), totals(&whole));
    assert_eq!(found.last(), wanted.last());
}
