//! The lines of the expectations.

use std::sync::Arc;

use serde_json::Value as Json;
use ulid::Ulid;

use super::{ExpectedChunk, ExpectedChunks, ExpectedSeries};
use crate::model::histogram::{Counts, Histogram, Layout, ResetHint, Span};
use crate::model::{Column, Exemplar, Labels, ORDINARY_NAN_BITS, Value, stale_nan};
use crate::series::SeriesExemplars;

pub(super) fn series(line: &Json) -> ExpectedSeries {
    let mut column = Column::new();
    for row in array(&line["samples"]) {
        let time_ms = row[0].as_i64().unwrap();
        let start_ms = row.get(2).map_or(0, |start| start.as_i64().unwrap());
        if let Some(text) = row[1].as_str() {
            column.push_value(time_ms, start_ms, Value::Float(float(text)));
        } else {
            let one = histogram(&row[1]);
            column.push_value(time_ms, start_ms, Value::Histogram(one.as_ref()));
        }
    }
    ExpectedSeries { labels: labels(&line["labels"]), column }
}

pub(super) fn exemplars(line: &Json) -> SeriesExemplars {
    let one = |row: &Json| Exemplar {
        labels: labels(&row["labels"]),
        value: float(row["v"].as_str().unwrap()),
        timestamp_ms: row["t"].as_i64().unwrap(),
    };
    let exemplars = array(&line["exemplars"]).iter().map(one).collect();
    SeriesExemplars { labels: labels(&line["labels"]), exemplars }
}

pub(super) fn chunks(line: &Json) -> ExpectedChunks {
    let one = |row: &Json| ExpectedChunk {
        min_time_ms: row["mint"].as_i64().unwrap(),
        max_time_ms: row["maxt"].as_i64().unwrap(),
        samples: number(&row["samples"]).try_into().unwrap(),
        encoding: row["encoding"].as_str().unwrap().to_owned(),
        bytes: number(&row["bytes"]) as usize,
    };
    ExpectedChunks {
        block: Ulid::from_string(line["block"].as_str().unwrap()).unwrap(),
        labels: labels(&line["labels"]),
        series_ref: number(&line["series_ref"]),
        chunks: array(&line["chunks"]).iter().map(one).collect(),
    }
}

fn histogram(row: &Json) -> Histogram {
    let is_float = match row["kind"].as_str().unwrap() {
        "int" => false,
        "float" => true,
        other => panic!("{other} is no kind of histogram"),
    };
    let sum = text_float(&row["sum"]);
    if crate::model::is_stale(sum) {
        assert_eq!(row["hint"].as_u64(), Some(0));
        return Histogram::stale(is_float);
    }
    let layout = Layout {
        schema: row["schema"].as_i64().unwrap().try_into().unwrap(),
        zero_threshold: text_float(&row["zero_threshold"]),
        positive: spans(&row["positive_spans"]),
        negative: spans(&row["negative_spans"]),
        custom_bounds: array(&row["custom_values"]).iter().map(text_float).collect(),
    };
    let buckets = || {
        let negative = array(&row["negative_buckets"]).iter();
        array(&row["positive_buckets"]).iter().chain(negative)
    };
    let counts = if is_float {
        let (count, zero_count) = (text_float(&row["count"]), text_float(&row["zero_count"]));
        Counts::Float { count, zero_count, buckets: buckets().map(text_float).collect() }
    } else {
        let whole = |json: &Json| json.as_str().unwrap().parse().unwrap();
        let (count, zero_count) = (whole(&row["count"]), whole(&row["zero_count"]));
        let bucket = |json: &Json| json.as_str().unwrap().parse().unwrap();
        Counts::Integer { count, zero_count, buckets: buckets().map(bucket).collect() }
    };
    let hint = ResetHint::from_byte(number(&row["hint"]).try_into().unwrap());
    Histogram { layout: Arc::new(layout), hint, sum, counts }
}

fn spans(rows: &Json) -> Vec<Span> {
    let span = |row: &Json| {
        let offset = row[0].as_i64().unwrap().try_into().unwrap();
        Span::new(offset, number(&row[1]).try_into().unwrap())
    };
    array(rows).iter().map(span).collect()
}

fn labels(pairs: &Json) -> Labels {
    let pairs = pairs.as_object().unwrap().iter();
    Labels::from_pairs(pairs.map(|(name, value)| (name, value.as_str().unwrap()))).unwrap()
}

fn array(json: &Json) -> &[Json] {
    json.as_array().unwrap()
}

fn number(json: &Json) -> u64 {
    json.as_u64().unwrap()
}

fn text_float(json: &Json) -> f64 {
    float(json.as_str().unwrap())
}

fn float(text: &str) -> f64 {
    match text {
        "NaN" => f64::from_bits(ORDINARY_NAN_BITS),
        "StaleNaN" => stale_nan(),
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().unwrap(),
    }
}
