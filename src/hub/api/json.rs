//! JSON as Prometheus's API writes it, appended to one buffer.
//!
//! Two kinds of text: label names and values are escaped no more than JSON asks for, all other
//! texts also hide `<`, `>`, `&` and the two separators that JavaScript stumbles over, as Go does.

use crate::base::gonum;
use crate::model::LabelsRef;
use crate::model::{Column, Value as Sampled};
use crate::promql::{MatrixSeries, Value, VectorElement};

use super::histogram;

/// Bytes that a number, a timestamp and their marks take on average; for guessing a size.
const POINT_BYTES: usize = 32;

/// Which characters a text hides beyond what JSON asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    /// None: label names and values.
    Plain,
    /// Those that HTML and JavaScript stumble over.
    Html,
    /// As `Html`, but backspace and form feed have their short names: the value of a text query.
    HtmlShort,
}

/// A label name or value, in quotes.
pub(super) fn plain_text(out: &mut String, text: &str) {
    let must_escape = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    out.push('"');
    if text.bytes().any(must_escape) {
        text.chars().for_each(|c| push_char(out, c, Escape::Plain));
    } else {
        out.push_str(text);
    }
    out.push('"');
}

/// Any other text, in quotes.
pub(super) fn html_safe_text(out: &mut String, text: &str) {
    out.push('"');
    text.chars().for_each(|c| push_char(out, c, Escape::Html));
    out.push('"');
}

fn push_char(out: &mut String, c: char, escape: Escape) {
    let hide = escape != Escape::Plain;
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{8}' if escape == Escape::HtmlShort => out.push_str("\\b"),
        '\u{c}' if escape == Escape::HtmlShort => out.push_str("\\f"),
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' if hide => push_code(out, c),
        c if c < ' ' => push_code(out, c),
        c => out.push(c),
    }
}

fn push_code(out: &mut String, c: char) {
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        out.push(char::from_digit((c as u32) >> shift & 15, 16).unwrap_or('0'));
    }
}

/// Texts in brackets.
pub(super) fn texts<T: AsRef<str>>(out: &mut String, texts: &[T]) {
    list(out, texts, |out, text| html_safe_text(out, text.as_ref()));
}

/// Items in brackets.
pub(super) fn list<T>(out: &mut String, items: &[T], mut each: impl FnMut(&mut String, &T)) {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        each(out, item);
    }
    out.push(']');
}

/// A label set as an object.
pub(super) fn labels(out: &mut String, labels: LabelsRef<'_>) {
    out.push('{');
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        plain_text(out, name);
        out.push(':');
        plain_text(out, value);
    }
    out.push('}');
}

/// Seconds: a whole number, or with exactly three decimals.
pub(super) fn timestamp(out: &mut String, timestamp_ms: i64) {
    if timestamp_ms < 0 {
        out.push('-');
    }
    let (seconds, millis) =
        (timestamp_ms.unsigned_abs() / 1000, timestamp_ms.unsigned_abs() % 1000);
    digits(out, seconds, 1);
    if millis != 0 {
        out.push('.');
        digits(out, millis, 3);
    }
}

/// `number` in decimal, with zeros in front up to `width` digits.
fn digits(out: &mut String, mut number: u64, width: usize) {
    let mut buffer = [b'0'; 20];
    let mut length = 0;
    for slot in buffer.iter_mut().rev() {
        if number == 0 && length >= width {
            break;
        }
        *slot = b'0' + (number % 10) as u8;
        number /= 10;
        length += 1;
    }
    let written = buffer.get(buffer.len() - length..).unwrap_or_default();
    out.push_str(std::str::from_utf8(written).unwrap_or_default());
}

/// `[timestamp,"value"]`
pub(super) fn point(out: &mut String, timestamp_ms: i64, value: f64) {
    out.push('[');
    timestamp(out, timestamp_ms);
    out.push_str(",\"");
    gonum::format_json(out, value);
    out.push_str("\"]");
}

/// The `data` of a query: `"resultType":…,"result":…` without the braces.
pub(super) fn result(out: &mut String, value: &Value) {
    let kind = match value {
        Value::Scalar(_) => "scalar",
        Value::String { .. } => "string",
        Value::Vector(_) => "vector",
        Value::Matrix(_) => "matrix",
    };
    out.push_str("\"resultType\":\"");
    out.push_str(kind);
    out.push_str("\",\"result\":");
    match value {
        // Of these two Prometheus writes the numbers in another way than in series.
        Value::Scalar(sample) => {
            out.push('[');
            gonum::format_json(out, sample.timestamp_ms as f64 / 1000.0);
            out.push_str(",\"");
            gonum::format_float(out, sample.value);
            out.push_str("\"]");
        }
        Value::String { timestamp_ms, text } => {
            out.push('[');
            gonum::format_json(out, *timestamp_ms as f64 / 1000.0);
            out.push_str(",\"");
            text.chars().for_each(|c| push_char(out, c, Escape::HtmlShort));
            out.push_str("\"]");
        }
        Value::Vector(elements) => list(out, elements, vector_element),
        Value::Matrix(series) => {
            let points: usize = series.iter().map(|series| series.column.len()).sum();
            out.reserve(points * POINT_BYTES);
            list(out, series, matrix_series);
        }
    }
}

fn vector_element(out: &mut String, element: &VectorElement) {
    out.push_str("{\"metric\":");
    labels(out, element.labels.as_ref());
    match &element.histogram {
        Some(one) => {
            out.push_str(",\"histogram\":");
            histogram::point(out, element.sample.timestamp_ms, one.as_ref().as_ref());
        }
        None => {
            out.push_str(",\"value\":");
            point(out, element.sample.timestamp_ms, element.sample.value);
        }
    }
    out.push('}');
}

fn matrix_series(out: &mut String, series: &MatrixSeries) {
    out.push_str("{\"metric\":");
    labels(out, series.labels.as_ref());
    let histograms = &series.column.histograms;
    if !histograms.is_empty() {
        both_kinds(out, &series.column);
    } else if !series.column.is_empty() {
        out.push_str(",\"values\":[");
        let samples = series.column.timestamps.iter().zip(&series.column.floats);
        for (index, (timestamp_ms, value)) in samples.enumerate() {
            if index > 0 {
                out.push(',');
            }
            point(out, *timestamp_ms, *value);
        }
        out.push(']');
    }
    out.push('}');
}

/// The samples of a series with histograms: floats and histograms apart.
fn both_kinds(out: &mut String, column: &Column) {
    let mut mark = ",\"values\":[";
    for (timestamp_ms, _, value) in column.samples() {
        if let Sampled::Float(value) = value {
            out.push_str(mark);
            point(out, timestamp_ms, value);
            mark = ",";
        }
    }
    if mark == "," {
        out.push(']');
    }
    let mut mark = ",\"histograms\":[";
    for (timestamp_ms, _, value) in column.samples() {
        if let Sampled::Histogram(one) = value {
            out.push_str(mark);
            histogram::point(out, timestamp_ms, one);
            mark = ",";
        }
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::histogram::Histogram;
    use crate::model::{Labels, Sample};

    fn written(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn a_timestamp_has_no_or_three_decimals() {
        let rows = [
            (0, "0"),
            (1, "0.001"),
            (-1, "-0.001"),
            (100, "0.100"),
            (-1500, "-1.500"),
            (1_700_000_060_120, "1700000060.120"),
            (i64::MIN, "-9223372036854775.808"),
            (i64::MAX, "9223372036854775.807"),
        ];
        for (timestamp_ms, want) in rows {
            assert_eq!(written(|out| timestamp(out, timestamp_ms)), want);
        }
    }

    #[test]
    fn histograms_stand_apart_from_floats() {
        let mut column = Column::new();
        column.push(1000, 1.0);
        column.push_histogram(2000, Histogram::stale(true).as_ref());
        column.push(3000, 3.0);
        let labels = Labels::empty();
        let (series, histogram) = (MatrixSeries { labels, column }, Histogram::stale(false));
        let want = "{\"metric\":{},\"values\":[[1,\"1\"],[3,\"3\"]],\
                    \"histograms\":[[2,{\"count\":\"0\",\"sum\":\"NaN\"}]]}";
        assert_eq!(written(|out| matrix_series(out, &series)), want);
        let sample = Sample { timestamp_ms: 2000, value: 0.0 };
        let histogram = Some(Box::new(histogram));
        let element = VectorElement { labels: Labels::empty(), sample, histogram };
        let want = "{\"metric\":{},\"histogram\":[2,{\"count\":\"0\",\"sum\":\"NaN\"}]}";
        assert_eq!(written(|out| vector_element(out, &element)), want);
    }

    #[test]
    fn only_texts_that_are_no_labels_hide_html() {
        let text = "a\"\\\n\r\t\u{1}\u{1f}\u{7f}<&>\u{2028}é😀";
        let plain = "\"a\\\"\\\\\\n\\r\\t\\u0001\\u001f\u{7f}<&>\u{2028}é😀\"";
        let safe = "\"a\\\"\\\\\\n\\r\\t\\u0001\\u001f\u{7f}\\u003c\\u0026\\u003e\\u2028é😀\"";
        assert_eq!(written(|out| plain_text(out, text)), plain);
        assert_eq!(written(|out| html_safe_text(out, text)), safe);
        let parsed: String = serde_json::from_str(plain).unwrap();
        assert_eq!(parsed, text);
    }
}
