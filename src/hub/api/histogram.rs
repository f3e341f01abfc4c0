//! Histograms in JSON.

use crate::base::gonum;
use crate::model::histogram::HistogramRef;
use crate::model::histogram::float::{Bucket, FloatRef};

use super::json::timestamp;

/// `[timestamp,{"count":"…","sum":"…","buckets":[[rule,"lower","upper","count"],…]}]`
///
/// Empty buckets are left out, and `buckets` if none is left. The rule tells which ends belong to
/// a bucket: 0 the upper, 1 the lower, 2 neither, 3 both.
pub(super) fn point(out: &mut String, timestamp_ms: i64, one: HistogramRef<'_>) {
    let one = FloatRef::from(one);
    out.push('[');
    timestamp(out, timestamp_ms);
    out.push_str(",{\"count\":");
    number(out, one.count);
    out.push_str(",\"sum\":");
    number(out, one.sum);
    let mut mark = ",\"buckets\":[";
    for found in one.ascending().filter(|bucket| bucket.count != 0.0) {
        out.push_str(mark);
        mark = ",";
        bucket(out, &found);
    }
    if mark == "," {
        out.push(']');
    }
    out.push_str("}]");
}

fn bucket(out: &mut String, bucket: &Bucket) {
    out.push_str(match (bucket.is_lower_inclusive, bucket.is_upper_inclusive) {
        (false, true) => "[0",
        (true, false) => "[1",
        (false, false) => "[2",
        (true, true) => "[3",
    });
    for value in [bucket.lower, bucket.upper, bucket.count] {
        out.push(',');
        number(out, value);
    }
    out.push(']');
}

fn number(out: &mut String, value: f64) {
    out.push('"');
    gonum::format_json(out, value);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::histogram::{CUSTOM_SCHEMA, Counts, Histogram, Layout, ResetHint, Span};

    fn written(layout: Layout, count: u64, zero_count: u64, buckets: &[i64]) -> String {
        let counts = Counts::Integer { count, zero_count, buckets: buckets.to_vec() };
        let (layout, hint) = (Arc::new(layout), ResetHint::Unknown);
        let one = Histogram { layout, hint, sum: 0.5, counts };
        let mut out = String::new();
        point(&mut out, 1500, one.as_ref());
        out
    }

    #[test]
    fn buckets_come_from_the_lowest_on_with_their_rule() {
        let layout = Layout {
            zero_threshold: 0.25,
            positive: vec![Span::new(0, 3)],
            negative: vec![Span::new(1, 1)],
            ..Layout::default()
        };
        let want = "[1.500,{\"count\":\"7\",\"sum\":\"0.5\",\"buckets\":[[1,\"-2\",\"-1\",\"1\"],\
                    [3,\"-0.25\",\"0.25\",\"2\"],[0,\"0.5\",\"1\",\"1\"],[0,\"2\",\"4\",\"3\"]]}]";
        assert_eq!(written(layout, 7, 2, &[1, 0, 3, 1]), want);
        let layout = Layout {
            schema: CUSTOM_SCHEMA,
            positive: vec![Span::new(0, 2)],
            custom_bounds: vec![5.0],
            ..Layout::default()
        };
        let want = "[1.500,{\"count\":\"3\",\"sum\":\"0.5\",\
                    \"buckets\":[[3,\"-Inf\",\"5\",\"1\"],[0,\"5\",\"+Inf\",\"2\"]]}]";
        assert_eq!(written(layout, 3, 0, &[1, 2]), want);
        let want = "[1.500,{\"count\":\"0\",\"sum\":\"0.5\"}]";
        assert_eq!(written(Layout::default(), 0, 0, &[]), want);
    }
}
