//! Chunks of blocks and heads that Prometheus wrote.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::*;
use crate::base::varint::Cursor;

struct RawChunk {
    series: u64,
    encoding: u8,
    data: Bytes,
}

/// The chunks of a file of a block's chunks.
fn block_chunks(path: &Path) -> Vec<RawChunk> {
    let bytes = RealDisk.read(path).unwrap();
    let mut cursor = Cursor::new(&bytes[8..]);
    let mut chunks = Vec::new();
    while !cursor.is_empty() {
        let length = cursor.uvarint().unwrap() as usize;
        let encoding = cursor.u8().unwrap();
        let data = Bytes::copy_from_slice(cursor.take(length).unwrap());
        cursor.u32_be().unwrap();
        chunks.push(RawChunk { series: 0, encoding, data });
    }
    chunks
}

/// The chunks of a file of mapped head chunks that are in order.
fn head_chunks(path: &Path) -> Vec<RawChunk> {
    let bytes = RealDisk.read(path).unwrap();
    let mut cursor = Cursor::new(&bytes[8..]);
    let mut chunks = Vec::new();
    while cursor.len() > 25 {
        let series = cursor.u64_be().unwrap();
        let (min, max) = (cursor.i64_be().unwrap(), cursor.i64_be().unwrap());
        if (series, min, max) == (0, 0, 0) {
            break;
        }
        let encoding = cursor.u8().unwrap();
        let length = cursor.uvarint().unwrap() as usize;
        let data = Bytes::copy_from_slice(cursor.take(length).unwrap());
        cursor.u32_be().unwrap();
        if encoding & 0x80 == 0 {
            chunks.push(RawChunk { series, encoding, data });
        }
    }
    chunks
}

/// All files of a kind below the golden data of Prometheus.
fn files(kind: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![testdata("golden/prometheus")];
    while let Some(folder) = folders.pop() {
        for entry in RealDisk.list(&folder).unwrap() {
            let path = folder.join(&entry.name);
            if entry.is_dir {
                folders.push(path);
            } else if folder.ends_with(kind) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty());
    found
}

/// The bytes without the two bits about a counter reset, of which a column does not tell.
fn without_reset(encoding: u8, data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    match encoding {
        2 | 3 => data[2] &= 0x3f,
        5 | 6 => data[0] &= 0x3f,
        _ => {}
    }
    data
}

#[test]
fn chunks_of_blocks_are_written_again_byte_by_byte() {
    let mut written = [0; 7];
    for path in files("chunks") {
        for chunk in block_chunks(&path) {
            let encoding = Encoding::try_from(chunk.encoding).unwrap();
            let column = decoded(chunk.encoding, &chunk.data);
            let again = encode(encoding, &column, None).finish();
            let same = |data: &[u8]| without_reset(chunk.encoding, data);
            assert_eq!(same(&again), same(&chunk.data), "{encoding} in {}", path.display());
            written[usize::from(chunk.encoding)] += 1;
        }
    }
    assert!(written[1..].iter().all(|count| *count > 10), "{written:?}");
}

#[test]
fn chunks_of_heads_are_written_again_with_their_counter_resets() {
    let (mut written, mut headers) = ([0; 7], [0; 4]);
    for path in files("chunks_head") {
        let mut open: BTreeMap<u64, OpenChunk> = BTreeMap::new();
        for chunk in head_chunks(&path) {
            let encoding = Encoding::try_from(chunk.encoding).unwrap();
            let column = decoded(chunk.encoding, &chunk.data);
            let before = open.get(&chunk.series);
            let previous = before.and_then(OpenChunk::as_histogram);
            let again = encode(encoding, &column, previous);
            if before.is_some() && again.as_histogram().is_some() {
                assert_eq!(again.to_bytes(), chunk.data, "{encoding} in {}", path.display());
                let flags = chunk.data[if chunk.encoding > 4 { 0 } else { 2 }];
                headers[usize::from(flags >> 6)] += 1;
            } else {
                let same = |data: &[u8]| without_reset(chunk.encoding, data);
                assert_eq!(same(&again.to_bytes()), same(&chunk.data), "{encoding}");
            }
            open.insert(chunk.series, again);
            written[usize::from(chunk.encoding)] += 1;
        }
    }
    assert!(written[1..].iter().all(|count| *count > 0), "{written:?}");
    assert!(headers[1..].iter().all(|count| *count > 0), "{headers:?}");
}

fn number(text: &Json) -> f64 {
    match text.as_str().unwrap() {
        "NaN" => f64::from_bits(crate::model::ORDINARY_NAN_BITS),
        "StaleNaN" => stale_nan(),
        text => text.parse().unwrap(),
    }
}

fn spans(list: &Json) -> Vec<Span> {
    let pair = |pair: &Json| {
        let number = |index: usize| pair[index].as_i64().unwrap();
        Span::new(number(0).try_into().unwrap(), number(1).try_into().unwrap())
    };
    list.as_array().map(|list| list.iter().map(pair).collect()).unwrap_or_default()
}

fn listed(json: &Json) -> Histogram {
    let is_float = json["kind"] == "float";
    let sum = number(&json["sum"]);
    if crate::model::is_stale(sum) {
        return Histogram::stale(is_float);
    }
    let numbers = |list: &Json| -> Vec<f64> {
        list.as_array().map(|list| list.iter().map(number).collect()).unwrap_or_default()
    };
    let layout = Layout {
        schema: json["schema"].as_i64().unwrap() as i32,
        zero_threshold: number(&json["zero_threshold"]),
        positive: spans(&json["positive_spans"]),
        negative: spans(&json["negative_spans"]),
        custom_bounds: numbers(&json["custom_values"]),
    };
    let buckets = [numbers(&json["positive_buckets"]), numbers(&json["negative_buckets"])];
    let (count, zero_count) = (number(&json["count"]), number(&json["zero_count"]));
    let counts = if is_float {
        Counts::Float { count, zero_count, buckets: buckets.concat() }
    } else {
        let buckets = buckets.concat().iter().map(|bucket| *bucket as i64).collect();
        Counts::Integer { count: count as u64, zero_count: zero_count as u64, buckets }
    };
    let hint = ResetHint::from_byte(json["hint"].as_u64().unwrap() as u8);
    Histogram { layout: Arc::new(layout), hint, sum, counts }
}

/// Each series' samples as Prometheus read them.
fn expected(folder: &str) -> Vec<Column> {
    let lines = packed_lines(&testdata("golden/prometheus").join(folder));
    let series = |line: &String| {
        let json: Json = serde_json::from_str(line).unwrap();
        let mut column = Column::new();
        for sample in json["samples"].as_array().unwrap() {
            let time = sample[0].as_i64().unwrap();
            let start = sample.get(2).map_or(0, |start| start.as_i64().unwrap());
            if sample[1].is_string() {
                column.push_value(time, start, Value::Float(number(&sample[1])));
            } else {
                let histogram = listed(&sample[1]);
                column.push_value(time, start, Value::Histogram(histogram.as_ref()));
            }
        }
        column
    };
    lines.iter().map(series).collect()
}

/// A copy in which the first sample's hint says nothing: of it the neighbours know, not the
/// chunk. Floats become their bits.
fn comparable(column: &Column) -> Vec<(i64, i64, u64, Option<Histogram>)> {
    let rows = column.samples().enumerate().map(|(index, (time, start, value))| match value {
        Value::Float(value) => (time, start, value.to_bits(), None),
        Value::Histogram(histogram) => {
            let mut histogram = histogram.to_owned();
            if index == 0 && histogram.hint != ResetHint::Gauge {
                histogram.hint = ResetHint::Unknown;
            }
            (time, start, histogram.sum.to_bits(), Some(histogram))
        }
    });
    rows.collect()
}

#[test]
fn chunks_hold_what_prometheus_reads_from_them() {
    let series = expected("start-timestamps/expected.jsonl.zst");
    let mut found = [0; 7];
    let in_folder = |path: &PathBuf| path.to_string_lossy().contains("start-timestamps");
    let blocks = files("chunks").into_iter().filter(in_folder);
    let heads = files("chunks_head").into_iter().filter(in_folder);
    let chunks = blocks.flat_map(|path| block_chunks(&path));
    for chunk in chunks.chain(heads.flat_map(|path| head_chunks(&path))) {
        let column = decoded(chunk.encoding, &chunk.data);
        let wanted = comparable(&column);
        let (min, max) = (wanted[0].0, wanted[wanted.len() - 1].0);
        let is_there = series.iter().any(|series| {
            let place = |time| series.timestamps.partition_point(|known| *known < time);
            let mut part = Column::new();
            part.extend_from(series, place(min)..place(max + 1));
            part.timestamps == column.timestamps && comparable(&part) == wanted
        });
        assert!(is_there, "chunk of {} from {min} to {max}: {wanted:?}", chunk.encoding);
        found[usize::from(chunk.encoding)] += 1;
    }
    assert!(found[4..].iter().all(|count| *count > 10), "{found:?}");
}
