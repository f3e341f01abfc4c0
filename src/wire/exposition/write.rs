//! Writing a page in the text format 0.0.4.

use crate::base::gonum::format_float_g;
use crate::base::metrics::{Family, Kind, Value};
use crate::model::METRIC_NAME;

/// The content type of such a page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page of a registry's readings.
#[must_use]
pub fn render(families: &[Family]) -> String {
    let mut out = String::new();
    for family in families {
        write_family(&mut out, family);
    }
    out
}

fn write_family(out: &mut String, family: &Family) {
    let kind = match family.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    write_head(out, family.name, family.help, kind);
    for (labels, value) in &family.members {
        match value {
            Value::Number(number) => write_sample(out, family.name, pairs(labels), *number, None),
            Value::Histogram { buckets, count, sum } => {
                let (name, count) = (family.name, *count as f64);
                for (bound, below) in buckets {
                    write_bucket(out, name, labels, *bound, *below as f64);
                }
                write_bucket(out, name, labels, f64::INFINITY, count);
                write_sample(out, &format!("{name}_sum"), pairs(labels), *sum, None);
                write_sample(out, &format!("{name}_count"), pairs(labels), count, None);
            }
        }
    }
}

type FamilyLabels = [(&'static str, String)];

fn pairs(labels: &FamilyLabels) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().map(|(name, value)| (*name, value.as_str()))
}

fn write_bucket(out: &mut String, name: &str, labels: &FamilyLabels, bound: f64, count: f64) {
    let mut le = String::new();
    format_float_g(&mut le, bound);
    let labels = pairs(labels).chain(std::iter::once(("le", le.as_str())));
    write_sample(out, &format!("{name}_bucket"), labels, count, None);
}

/// Writes the two lines above a metric: `# HELP`, left out if `help` is empty, and `# TYPE`.
pub fn write_head(out: &mut String, name: &str, help: &str, kind: &str) {
    let put_name = |out: &mut String| {
        if is_metric_name(name) {
            out.push_str(name);
        } else {
            put_quoted(out, name);
        }
    };
    if !help.is_empty() {
        out.push_str("# HELP ");
        put_name(out);
        out.push(' ');
        put_escaped(out, help, false);
        out.push('\n');
    }
    out.push_str("# TYPE ");
    put_name(out);
    out.push(' ');
    out.push_str(kind);
    out.push('\n');
}

/// Writes one line. A label called `__name__` is passed over, since `name` says it; names beyond
/// the old character set are quoted.
pub fn write_sample<'a>(
    out: &mut String,
    name: &str,
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    value: f64,
    timestamp_ms: Option<i64>,
) {
    let mut open = false;
    let mut separate = |out: &mut String| {
        out.push(if open { ',' } else { '{' });
        open = true;
    };
    if is_metric_name(name) {
        out.push_str(name);
    } else {
        separate(out);
        put_quoted(out, name);
    }
    for (label, text) in labels.into_iter().filter(|pair| pair.0 != METRIC_NAME) {
        separate(out);
        if is_label_name(label) {
            out.push_str(label);
        } else {
            put_quoted(out, label);
        }
        out.push('=');
        put_quoted(out, text);
    }
    if open {
        out.push('}');
    }
    out.push(' ');
    format_float_g(out, value);
    if let Some(timestamp_ms) = timestamp_ms {
        out.push(' ');
        out.push_str(&timestamp_ms.to_string());
    }
    out.push('\n');
}

fn is_label_name(name: &str) -> bool {
    is_metric_name(name) && !name.contains(':')
}

fn is_metric_name(name: &str) -> bool {
    let starts = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':');
    name.bytes().next().is_some_and(starts)
        && name.bytes().all(|byte| starts(byte) || byte.is_ascii_digit())
}

fn put_quoted(out: &mut String, text: &str) {
    out.push('"');
    put_escaped(out, text, true);
    out.push('"');
}

fn put_escaped(out: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\\' => out.push_str("\\\\"),
            '"' if quotes => out.push_str("\\\""),
            _ => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::metrics::Registry;
    use crate::model::{Labels, LabelsBuf, MetricKind};
    use crate::wire::exposition::text::{Entry, Parser, series_labels};
    use proptest::prelude::*;

    #[test]
    fn a_registry_becomes_a_page() {
        let registry = Registry::new();
        registry
            .counter_with("requests_total", "Requests.\nAll \\ of them.", &[("code", "200")])
            .add(3);
        registry.gauge("heat_celsius", "Heat.").set(-1.5e-7);
        let seconds =
            registry.histogram_with("wait_seconds", "Wait.", &[0.5, 1.0], &[("a", "b\"")]);
        seconds.observe(0.25);
        seconds.observe(7.0);
        let want = r#"# HELP heat_celsius Heat.
# TYPE heat_celsius gauge
heat_celsius -1.5e-07
# HELP requests_total Requests.\nAll \\ of them.
# TYPE requests_total counter
requests_total{code="200"} 3
# HELP wait_seconds Wait.
# TYPE wait_seconds histogram
wait_seconds_bucket{a="b\"",le="0.5"} 1
wait_seconds_bucket{a="b\"",le="1"} 1
wait_seconds_bucket{a="b\"",le="+Inf"} 2
wait_seconds_sum{a="b\""} 7.25
wait_seconds_count{a="b\""} 2
"#;
        assert_eq!(render(&registry.gather()), want);
    }

    #[test]
    fn names_beyond_the_old_set_are_quoted() {
        let mut out = String::new();
        write_head(&mut out, "my.metric", "", "gauge");
        write_sample(&mut out, "my.metric", [("a.b", "c"), ("__name__", "x")], f64::NAN, Some(-5));
        write_sample(&mut out, "m:x", [("a:b", "")], 1e6, None);
        let want = "# TYPE \"my.metric\" gauge\n{\"my.metric\",\"a.b\"=\"c\"} NaN -5\n\
            m:x{\"a:b\"=\"\"} 1e+06\n";
        assert_eq!(out, want);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            name in "[a-z][a-z_:0-9]{0,5}|\\PC{1,6}",
            pairs in proptest::collection::btree_map("[a-z]{1,3}|\\PC{1,4}", "(?s:.){1,8}", 0..4),
            bits: u64,
            timestamp_ms in proptest::option::of(0..i64::MAX),
        ) {
            let value = f64::from_bits(bits);
            prop_assume!(!pairs.contains_key(METRIC_NAME));
            let mut out = String::new();
            let labels = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            write_sample(&mut out, &name, labels.clone(), value, timestamp_ms);
            let entries: Vec<_> = Parser::new(out.as_bytes()).collect();
            prop_assert_eq!(entries.len(), 1, "{:?}", entries);
            let Ok(Entry::Sample(sample)) = entries[0] else { panic!("{entries:?}") };
            prop_assert!(sample.value == value || (value.is_nan() && sample.value.is_nan()));
            prop_assert_eq!(sample.timestamp_ms, timestamp_ms);
            let mut buf = LabelsBuf::new();
            series_labels(sample.series, MetricKind::Unknown, &mut buf).unwrap();
            let want = labels.chain([(METRIC_NAME, name.as_str())]);
            let want = Labels::from_pairs(want).unwrap();
            prop_assert_eq!(buf.finish().unwrap(), want.as_ref());
        }
    }
}
