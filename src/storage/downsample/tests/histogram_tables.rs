//! Thanos's tables of histograms and of series that are both.

use super::super::again::Again;
use super::super::raw::Raw;
use super::tables::{array, part, xor};
use super::*;
use crate::chunk::{self, AggregateChunk, EncodeOptions, Part, encode_column};
use crate::model::{Column, Value};
use crate::storage::downsample::{FIVE_MINUTES_MS, ONE_HOUR_MS};

fn cases() -> Json {
    let text = include_str!("../../../../testdata/thanos/downsample/histograms.json");
    serde_json::from_str(text).unwrap()
}

fn spans(json: &Json) -> Vec<Span> {
    let number = |json: &Json| json.as_i64().unwrap();
    let span = |pair: &Json| Span::new(number(&pair[0]) as i32, number(&pair[1]) as u32);
    array(json).iter().map(span).collect()
}

fn layout(case: &Json) -> Arc<Layout> {
    let json = &case["layout"];
    Arc::new(Layout {
        schema: json["schema"].as_i64().unwrap() as i32,
        zero_threshold: float(&json["zero_threshold"]),
        positive: spans(&json["positive_spans"]),
        negative: spans(&json["negative_spans"]),
        custom_bounds: Vec::new(),
    })
}

/// A histogram that is written out.
fn written(layout: &Arc<Layout>, json: &Json) -> Histogram {
    let hint = match json["hint"].as_str() {
        Some("not_reset") => ResetHint::NotReset,
        Some("gauge") => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    };
    let buckets = array(&json["buckets"]).iter().map(float).collect();
    let (count, zero_count) = (float(&json["count"]), float(&json["zero_count"]));
    let counts = Counts::Float { count, zero_count, buckets };
    Histogram { layout: layout.clone(), hint, sum: float(&json["sum"]), counts }
}

/// The one with this number in the rows of upstream's generators.
fn numbered(layout: &Arc<Layout>, number: u64, hint: ResetHint) -> Histogram {
    let n = number as f64;
    let side = [n + 1.0, n + 2.0, n + 1.0, n + 1.0];
    let counts = Counts::Float {
        count: 12.0 + 9.0 * n,
        zero_count: 2.0 + n,
        buckets: [side, side].concat(),
    };
    Histogram { layout: layout.clone(), hint, sum: 18.4 * (n + 1.0), counts }
}

/// The raw samples of a case; of histograms the chunks end where they may.
fn raw(case: &Json) -> Vec<Chunk> {
    let layout = layout(case);
    let hint = if case["gauge"] == true { ResetHint::Gauge } else { ResetHint::Unknown };
    let mut chunks = Vec::new();
    for rows in array(&case["raw"]) {
        let mut column = Column::new();
        for row in array(rows) {
            let time_ms = row[0].as_i64().unwrap();
            match (&row[1], row[1].as_u64()) {
                (Json::String(text), _) if text == "stale" => {
                    let mut one = numbered(&layout, 0, hint);
                    one.sum = stale_nan();
                    column.push_histogram(time_ms, one.as_ref());
                }
                (_, Some(_)) if case["constant"].is_object() => {
                    column.push_histogram(time_ms, written(&layout, &case["constant"]).as_ref());
                }
                (_, Some(n)) => column.push_histogram(time_ms, numbered(&layout, n, hint).as_ref()),
                (text, None) => column.push(time_ms, float(text)),
            }
        }
        encode(&column, &mut chunks);
    }
    chunks
}

pub(super) fn encode(column: &Column, into: &mut Vec<Chunk>) {
    encode_column(column, 0..column.len(), &EncodeOptions::default(), &mut |chunk| {
        let (min_time_ms, max_time_ms) = (chunk.min_time_ms, chunk.max_time_ms);
        into.push(Chunk { min_time_ms, max_time_ms, encoding: chunk.encoding, data: chunk.data });
    })
    .unwrap();
}

/// Upstream compares with this margin.
fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9
}

fn assert_near(found: &Histogram, wanted: &Histogram, about: &str) {
    assert_eq!(found.layout, wanted.layout, "{about}");
    assert_eq!(found.hint, wanted.hint, "{about}");
    let numbers = |one: &Histogram| -> Vec<f64> {
        let one = with_floats(one.as_ref());
        let Counts::Float { count, zero_count, buckets } = one.counts else { panic!("{about}") };
        [vec![count, zero_count, one.sum], buckets].concat()
    };
    let (found, wanted) = (numbers(found), numbers(wanted));
    let all = found.len() == wanted.len() && found.iter().zip(&wanted).all(|(a, b)| near(*a, *b));
    assert!(all, "{about}: {found:?}, not {wanted:?}");
}

/// Whether a part is the wanted samples, of one kind or the other.
fn assert_part(chunk: &Chunk, kind: Part, layout: &Arc<Layout>, wanted: &Json, about: &str) {
    let parts = AggregateChunk::parse(&chunk.data).unwrap();
    let (encoding, data) = parts.get(kind).unwrap();
    let mut column = Column::new();
    chunk::decode(encoding, data, (i64::MIN, i64::MAX), &mut column).unwrap();
    let wanted = array(wanted);
    let times: Vec<i64> = wanted.iter().map(|row| row[0].as_i64().unwrap()).collect();
    assert_eq!(column.timestamps, times, "{about} {kind:?}");
    for (index, row) in wanted.iter().enumerate() {
        let about = format!("{about} {kind:?} at {}", row[0]);
        match column.value(index) {
            Some(Value::Histogram(one)) => {
                assert_near(&one.to_owned(), &written(layout, &row[1]), &about);
            }
            Some(Value::Float(found)) => assert_eq!(found, float(&row[1]), "{about}"),
            None => panic!("{about}"),
        }
    }
}

fn assert_chunks(chunks: &[Chunk], layout: &Arc<Layout>, wanted: &Json, about: &str) -> usize {
    let wanted = array(wanted);
    for (chunk, wanted) in chunks.iter().zip(wanted) {
        let names = [("count", Part::Count), ("counter", Part::Counter), ("sum", Part::Sum)];
        for (name, kind) in names.into_iter().filter(|(name, _)| !wanted[*name].is_null()) {
            assert_part(chunk, kind, layout, &wanted[name], about);
        }
    }
    if !wanted.is_empty() {
        assert_eq!(chunks.len(), wanted.len(), "{about}");
    }
    wanted.len()
}

/// All samples that the chunks stand for.
fn samples_in(chunks: &[Chunk]) -> f64 {
    chunks.iter().flat_map(|chunk| part(chunk, Part::Count)).map(|sample| sample.1).sum()
}

#[test]
fn histograms_become_those_of_thanos() {
    let cases = cases();
    let mut compared = 0;
    for case in array(&cases) {
        let name = case["name"].as_str().unwrap();
        let layout = layout(case);
        let (mut five, mut hour) = (Vec::new(), Vec::new());
        Raw::default().series(&raw(case), FIVE_MINUTES_MS, &mut five).unwrap();
        Again::default().series(&five, FIVE_MINUTES_MS, ONE_HOUR_MS, &mut hour).unwrap();
        let rows = array(&case["raw"]).iter().flat_map(array);
        let alive = rows.filter(|row| row[1] != "stale").count() as f64;
        for (chunks, wanted) in [(&five, &case["five"]), (&hour, &case["hour"])] {
            compared += assert_chunks(chunks, &layout, wanted, name);
            assert_eq!(samples_in(chunks), alive, "{name}");
            for chunk in chunks {
                let parts = AggregateChunk::parse(&chunk.data).unwrap();
                let has_bounds = parts.get(Part::Min).is_some() && parts.get(Part::Max).is_some();
                assert_ne!(parts.is_histogram(), has_bounds, "{name}");
            }
            if case["gauge"] == true {
                assert_gauges(chunks);
            }
        }
    }
    assert_eq!((array(&cases).len(), compared), (8, 12));
}

/// What is no counter does not become one.
fn assert_gauges(chunks: &[Chunk]) {
    let mut seen = 0;
    for chunk in chunks {
        let parts = AggregateChunk::parse(&chunk.data).unwrap();
        let mut column = Column::new();
        let (encoding, data) = parts.get(Part::Counter).unwrap();
        chunk::decode(encoding, data, (i64::MIN, i64::MAX), &mut column).unwrap();
        assert!(column.histograms.iter().all(|(_, one)| one.hint == ResetHint::Gauge));
        seen += column.len();
    }
    assert!(seen > 0);
}

#[test]
fn only_floats_and_histograms_part_chunks() {
    let readers = reader_tables::tables();
    let layout = layout(&cases()[0]);
    let one_of = |kind: &Json, time_ms: i64| {
        let mut one = numbered(&layout, 3, ResetHint::Unknown);
        if kind == "histogram" {
            one.counts = Counts::Integer { count: 39, zero_count: 5, buckets: vec![4; 8] };
        }
        let mut column = Column::new();
        column.push_histogram(time_ms, one.as_ref());
        let mut chunks = Vec::new();
        encode(&column, &mut chunks);
        if kind == "xor" { xor(&[(time_ms, 1.0)]) } else { chunks.remove(0) }
    };
    let cases = array(&readers["same_chunk"]);
    for case in cases {
        let chunks = [one_of(&case[0], 1000), one_of(&case[1], 2000)];
        let mut out = Vec::new();
        Raw::default().series(&chunks, FIVE_MINUTES_MS, &mut out).unwrap();
        assert_eq!(out.len() == 1, case[2].as_bool().unwrap(), "{case}");
    }
    assert_eq!(cases.len(), 6);
}
