use proptest::prelude::*;

use super::*;
use crate::model::{LabelsBuf, is_stale};
use crate::wire::exposition::text::{each_label, series_labels};

fn error(page: &str) -> String {
    error_of(page.as_bytes())
}

fn error_of(page: &[u8]) -> String {
    let last = Parser::new(page).last();
    last.and_then(Result::err).map_or("none".to_owned(), |error| error.to_string())
}

fn samples(page: &str) -> Vec<(String, f64, Option<i64>)> {
    let mut labels = LabelsBuf::new();
    let mut samples = Vec::new();
    for entry in Parser::new(page.as_bytes()) {
        if let Entry::Sample(sample, _) = entry.unwrap() {
            series_labels(sample.series, sample.kind, &mut labels).unwrap();
            let text = labels.finish().unwrap().to_labels().to_string();
            samples.push((text, sample.value, sample.timestamp_ms));
        }
    }
    samples
}

#[test]
fn every_sort_of_line_is_read() {
    let page = "# HELP requests What \\\"came\\\" in.\n\
        # TYPE requests counter\n\
        # UNIT requests_seconds seconds\n\
        # UNIT requests \n\
        requests_total{code=\"200\",path=\"/\\n\\\"\\\\\"} 5 1.5 # {trace_id=\"7\"} 0.25 1.25\n\
        {\"dotted.name\",\"more.dots\"=\"x\",} -Inf 1e3\n\
        # TYPE h histogram\n\
        h_bucket{le=\"1\"} 2 # {} 1\n\
        requests_created 1.7e9\n\
        # EOF\n";
    let entries: Vec<Entry<'_>> = Parser::new(page.as_bytes()).map(Result::unwrap).collect();
    assert_eq!(entries[0], Entry::Help { name: "requests", text: "What \\\"came\\\" in." });
    assert_eq!(entries[1], Entry::Type { name: "requests", kind: MetricKind::Counter });
    assert_eq!(entries[2], Entry::Unit { name: "requests_seconds", unit: "seconds" });
    assert_eq!(entries[3], Entry::Unit { name: "requests", unit: "" });
    let Entry::Sample(_, Some(exemplar)) = entries[4] else { panic!("{:?}", entries[4]) };
    assert_eq!((exemplar.value, exemplar.timestamp_ms), (0.25, Some(1250)));
    let mut labels = Vec::new();
    each_label(exemplar.labels, MetricKind::Unknown, |name, value| {
        labels.push((name.to_owned(), value.to_owned()));
    });
    assert_eq!(labels, [("trace_id".to_owned(), "7".to_owned())]);
    let read = samples(page);
    assert_eq!(read[0].0, r#"{__name__="requests_total", code="200", path="/\n\"\\"}"#);
    assert_eq!((read[0].1, read[0].2), (5.0, Some(1500)));
    assert!(read[1].0.contains("dotted.name"), "{}", read[1].0);
    assert_eq!((read[1].1, read[1].2), (f64::NEG_INFINITY, Some(1_000_000)));
    // Bounds have one way to be written.
    assert_eq!(read[2].0, r#"{__name__="h_bucket", le="1.0"}"#);
    assert_eq!((&*read[3].0, read[3].2), (r#"{__name__="requests_created"}"#, None));
}

#[test]
fn times_are_cut_to_milliseconds_and_nan_is_never_the_marker() {
    let read = samples("a NaN 1.9999\na 1 -1.5\n# EOF");
    assert!(read[0].1.is_nan() && !is_stale(read[0].1));
    assert_eq!((read[0].2, read[1].2), (Some(1999), Some(-1500)));
    assert_eq!(error("a 1 NaN\n# EOF\n"), "line 1: invalid timestamp NaN");
    assert_eq!(error("a 1 1e30\n# EOF\n"), "line 1: invalid timestamp 1e30");
    assert_eq!(
        error("a 1 1 # {a=\"b\"} 1 +Inf\n# EOF\n"),
        "line 1: invalid exemplar timestamp +Inf"
    );
}

#[test]
fn the_end_is_marked() {
    for whole in ["# EOF", "# EOF\n", "a 1\n# EOF\n"] {
        assert_eq!(error(whole), "none");
    }
    for cut in ["", "metric 1", "metric 1\n", "m_total 1 # {aa=\"bb\"} 4"] {
        assert!(error(cut).ends_with(": data does not end with # EOF"), "{}", error(cut));
    }
    for more in ["# EOF\na 1", "# EOF\n\n", "# EOFa 1"] {
        assert_eq!(error(more), "line 1: unexpected data after # EOF");
    }
}

/// Pages and what Prometheus 3.14 says of them.
const FAULTS: [(&str, &str); 44] = [
    ("\n", r#"expected a valid start token, got "\n" ("INVALID") while parsing: "\n""#),
    ("metric", r#"expected value after metric, got "metric" ("EOF") while parsing: "metric""#),
    ("a\n#EOF\n", r#"expected value after metric, got "\n" ("INVALID") while parsing: "a\n""#),
    (" a 1\n#EOF\n", r#"expected a valid start token, got " " ("INVALID") while parsing: " ""#),
    ("9\n#EOF\n", r#"expected a valid start token, got "9" ("INVALID") while parsing: "9""#),
    ("# TYPE u untyped\n#EOF\n", r#"invalid metric type "untyped""#),
    ("# TYPE c counter \n#EOF\n", r#"invalid metric type "counter ""#),
    (
        "#  TYPE c counter\n#EOF\n",
        r##"expected a valid start token, got "#  " ("INVALID") while parsing: "#  ""##,
    ),
    (
        "# TYPE \n#EOF\n",
        r##"expected metric name after TYPE, got "\n" ("INVALID") while parsing: "# TYPE \n""##,
    ),
    ("# TYPE m\n#EOF\n", "expected text in TYPE"),
    ("# UNIT metric suffix\n#EOF\n", r#"unit "suffix" not a suffix of metric "metric""#),
    (
        "# UNIT metricsuffix suffix\n#EOF\n",
        r#"unit "suffix" not a suffix of metric "metricsuffix""#,
    ),
    ("# UNIT m suffix\n#EOF\n", r#"unit "suffix" not a suffix of metric "m""#),
    ("# UNIT m\n#EOF\n", "expected text in UNIT"),
    ("# HELP m\n#EOF\n", "expected text in HELP"),
    ("a\t1\n#EOF\n", r#"expected value after metric, got "\t" ("INVALID") while parsing: "a\t""#),
    (
        "a 1\t2\n#EOF\n",
        r#"strconv.ParseFloat: parsing "1\t2": invalid syntax while parsing: "a 1\t2""#,
    ),
    (
        "a 1 2 \n#EOF\n",
        r#"expected next entry after timestamp, got " \n" ("INVALID") while parsing: "a 1 2 \n""#,
    ),
    (
        "a 1 2 #\n#EOF\n",
        r#"expected next entry after timestamp, got " #\n" ("TIMESTAMP") while parsing: "a 1 2 #\n""#,
    ),
    (
        "a 1 1z\n#EOF\n",
        r#"strconv.ParseFloat: parsing "1z": invalid syntax while parsing: "a 1 1z""#,
    ),
    (" # EOF\n", r#"expected a valid start token, got " " ("INVALID") while parsing: " ""#),
    (
        "#\tTYPE c counter\n",
        r##"expected a valid start token, got "#\t" ("INVALID") while parsing: "#\t""##,
    ),
    ("# TYPE c  counter\n", r#"invalid metric type " counter""#),
    (
        "a 1 1 1\n# EOF\n",
        r#"expected next entry after timestamp, got " 1\n" ("TIMESTAMP") while parsing: "a 1 1 1\n""#,
    ),
    ("a{b='c'} 1\n# EOF\n", r#"expected label value, got "'" ("INVALID") while parsing: "a{b='""#),
    ("a{,b=\"c\"} 1\n# EOF\n", r#"expected label name, got ",b" ("COMMA") while parsing: "a{,b""#),
    (
        "a{b=\"c\"d=\"e\"} 1\n# EOF\n",
        r#"expected comma or brace close, got "d=" ("LNAME") while parsing: "a{b=\"c\"d=""#,
    ),
    (
        "a{b=\"c\",,d=\"e\"} 1\n# EOF\n",
        r#"expected label name, got ",d" ("COMMA") while parsing: "a{b=\"c\",,d""#,
    ),
    ("a{b=\n# EOF\n", r#"expected label value, got "\n" ("INVALID") while parsing: "a{b=\n""#),
    (
        "{\"a\",\"b = \"c\"\n# EOF\n",
        r#"expected equal, got "c\"" ("LNAME") while parsing: "{\"a\",\"b = \"c\"""#,
    ),
    (
        "{\"a\",b\\nc=\"d\"} 1\n# EOF\n",
        r#"expected equal, got "\\" ("INVALID") while parsing: "{\"a\",b\\""#,
    ),
    ("a true\n", r#"strconv.ParseFloat: parsing "true": invalid syntax while parsing: "a true""#),
    (
        "something_weird{problem=\"\n# EOF\n",
        r#"expected label value, got "\"\n" ("INVALID") while parsing: "something_weird{problem=\"\n""#,
    ),
    (
        "empty_label_name{=\"\"} 0\n# EOF\n",
        r#"expected label name, got "=\"" ("EQUAL") while parsing: "empty_label_name{=\"""#,
    ),
    ("{A}0\n# EOF\n", r#"expected equal, got "}0" ("BCLOSE") while parsing: "{A}0""#),
    ("foo 1_2\n\n# EOF\n", r#"unsupported character in float while parsing: "foo 1_2""#),
    ("foo 0x1p-3\n\n# EOF\n", r#"unsupported character in float while parsing: "foo 0x1p-3""#),
    ("foo 0 1_2\n\n# EOF\n", r#"unsupported character in float while parsing: "foo 0 1_2""#),
    (
        "custom_metric_total 1 # {aa=bb}\n# EOF\n",
        r#"expected label value, got "b" ("INVALID") while parsing: "custom_metric_total 1 # {aa=b""#,
    ),
    (
        "custom_metric_total 1 # {aa=\"bb\"}\n# EOF\n",
        r#"expected value after exemplar labels, got "\n" ("INVALID") while parsing: "custom_metric_total 1 # {aa=\"bb\"}\n""#,
    ),
    (
        "m 1 # {\"aa\"} 1\n# EOF\n",
        r#"expected label name, got "} " ("BCLOSE") while parsing: "m 1 # {\"aa\"} ""#,
    ),
    ("{} 1\n# EOF\n", r#"metric name not set while parsing: "{} 1""#),
    ("a{\"b\"} 1\n# EOF\n", r#"metric name already set while parsing: "a{\"b\"}""#),
    ("{\"a\",\"b\"} 1\n# EOF\n", r#"metric name already set while parsing: "{\"a\",\"b\"}""#),
];

#[test]
fn faults_are_named_as_prometheus_names_them() {
    for (page, wanted) in FAULTS {
        assert_eq!(error(page), format!("line 1: {wanted}"), "{page:?}");
        // Lines before change nothing but the number.
        let later = format!("# TYPE ok counter\nok_total 1\n{page}");
        assert_eq!(error(&later), format!("line 3: {wanted}"), "{page:?}");
    }
    let broken = error_of(b"a{b=\"\xff\"} 1\n# EOF\n");
    assert_eq!(broken, r#"line 1: invalid UTF-8 label value: "\"\xff\"""#);
    let broken = error_of(b"a{\xff=\"foo\"} 1\n# EOF\n");
    let wanted = r#"expected label name, got "\xff" ("INVALID") while parsing: "a{\xff""#;
    assert_eq!(broken, format!("line 1: {wanted}"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(page: Vec<u8>) {
        Parser::new(&page).for_each(drop);
    }

    #[test]
    fn any_words_are_read_without_panic(
        words in proptest::collection::vec(
            prop::sample::select(vec![
                "# ", "HELP ", "TYPE ", "UNIT ", "EOF", "\n", " ", "a", "b_total", "{", "}", "=",
                "\"", "\\", ",", "1", "1.5", " # {", "NaN", "counter", "\u{e9}",
            ]),
            0..40,
        )
    ) {
        let page = words.concat();
        let mut entries = 0;
        for entry in Parser::new(page.as_bytes()) {
            if let Ok(Entry::Sample(sample, _)) = entry {
                prop_assert!(!sample.series.is_empty());
                let mut labels = LabelsBuf::new();
                let _ = series_labels(sample.series, sample.kind, &mut labels);
            }
            entries += 1;
        }
        prop_assert!(entries <= page.len() + 1);
    }

    #[test]
    fn what_is_written_is_read(
        rows in proptest::collection::vec(("[a-z_:][a-z0-9_:]{0,9}", ".{0,9}", any::<i32>()), 0..9)
    ) {
        let mut page = String::new();
        for (name, value, time_ms) in &rows {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            page += &format!("{name}{{l=\"{value}\"}} {time_ms} {time_ms}\n");
        }
        page += "# EOF\n";
        let read = samples(&page);
        prop_assert_eq!(read.len(), rows.len());
        for ((text, value, at_ms), (name, label, time_ms)) in read.iter().zip(&rows) {
            let pairs = [("__name__", name.as_str()), ("l", label.as_str())];
            let wanted = crate::model::Labels::from_pairs(pairs).unwrap();
            prop_assert_eq!(text, &wanted.to_string());
            let wanted = (f64::from(*time_ms), Some(i64::from(*time_ms) * 1000));
            prop_assert_eq!((*value, *at_ms), wanted);
        }
    }
}
