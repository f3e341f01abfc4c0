//! Replicas of which one has floats and the other histograms, as Thanos merges them.

use serde_json::Value as Json;

use super::support::{json_lines, number};
use crate::model::histogram::{Counts, Histogram, Layout, Span};
use crate::model::{Column, Value};
use crate::series::dedup::penalty::fold_columns;

fn column(rows: &Json) -> Column {
    let spans = vec![Span::new(0, 2), Span::new(1, 2)];
    let layout = Layout {
        schema: 1,
        zero_threshold: 0.001,
        positive: spans.clone(),
        negative: spans,
        ..Layout::default()
    };
    let buckets = vec![1, 2, 1, 1, 1, 2, 1, 1];
    let counts = Counts::Integer { count: 12, zero_count: 2, buckets };
    let one = Histogram { layout: layout.into(), hint: Default::default(), sum: 18.4, counts };
    let mut column = Column::new();
    for row in rows.as_array().unwrap() {
        let time_ms = row[0].as_i64().unwrap();
        match row[1].is_string() {
            true => column.push_histogram(time_ms, one.as_ref()),
            false => column.push(time_ms, number(&row[1])),
        }
    }
    column
}

fn values(column: &Column) -> Vec<(i64, Option<u64>, Option<Histogram>)> {
    let times = column.timestamps.iter().enumerate();
    times
        .map(|(index, time_ms)| match column.value(index) {
            Some(Value::Float(value)) => (*time_ms, Some(value.to_bits()), None),
            Some(Value::Histogram(one)) => (*time_ms, None, Some(one.to_owned())),
            None => (*time_ms, None, None),
        })
        .collect()
}

#[test]
fn penalty_passes_upstreams_table_of_floats_beside_histograms() {
    let cases = json_lines("thanos/dedup/mixed.jsonl");
    assert_eq!(cases.len(), 1);
    for case in cases {
        let (a, b) = (column(&case["a"]), column(&case["b"]));
        let wanted = values(&column(&case["expected"]));
        for replicas in [[&b, &a], [&a, &b]] {
            let mut into = Column::new();
            fold_columns(replicas.into_iter(), false, &mut into);
            assert_eq!(values(&into), wanted);
        }
    }
}
