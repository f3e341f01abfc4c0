use super::*;
use crate::base::gonum::format_json;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn read(page: &str) -> Vec<Entry<'_>> {
    Parser::new(page.as_bytes()).collect::<Result<_, _>>().unwrap()
}

fn samples(page: &str) -> Vec<(String, f64, Option<i64>)> {
    let mut buf = LabelsBuf::new();
    let mut found = Vec::new();
    for entry in read(page) {
        if let Entry::Sample(sample) = entry {
            series_labels(sample.series, sample.kind, &mut buf).unwrap();
            found.push((buf.finish().unwrap().to_string(), sample.value, sample.timestamp_ms));
        }
    }
    found
}

fn error(page: &[u8]) -> String {
    let last = Parser::new(page).last().unwrap();
    last.unwrap_err().to_string()
}

#[test]
fn a_page_is_cut_into_its_entries() {
    let page = "# HELP a Some \\n help.\n# TYPE a counter\n\n# a comment\n#\n a 1\n\
        a{b=\"c\"}\t2 \t77\n# TYPE a untyped\na 3";
    let sample = |series, value, timestamp_ms, kind| {
        Entry::Sample(RawSample { series, value, timestamp_ms, kind })
    };
    let want = [
        Entry::Help { name: "a", text: "Some \\n help." },
        Entry::Type { name: "a", kind: MetricKind::Counter },
        Entry::Comment,
        Entry::Comment,
        sample("a", 1.0, None, MetricKind::Counter),
        sample("a{b=\"c\"}", 2.0, Some(77), MetricKind::Counter),
        Entry::Type { name: "a", kind: MetricKind::Unknown },
        sample("a", 3.0, None, MetricKind::Unknown),
    ];
    assert_eq!(read(page), want);
    assert_eq!(unescape_help("Some \\n help \\\" \\\\."), "Some \n help \\\" \\.");
}

#[test]
fn labels_are_read_in_every_spelling() {
    let table = [
        ("m 1", r#"{__name__="m"}"#),
        ("m{} 1", r#"{__name__="m"}"#),
        ("m { a = \"1\" , b= \"2\", } 1", r#"{__name__="m", a="1", b="2"}"#),
        ("m{a=\"1\" b=\"2\"} 1", r#"{__name__="m", a="1", b="2"}"#),
        ("m{b=\"2\",a=\"\",c=\"}{,\"}1", r#"{__name__="m", b="2", c="}{,"}"#),
        ("some:rule:rate5m{a_b=\"c\"}\t1", r#"{__name__="some:rule:rate5m", a_b="c"}"#),
        (r#"m{l="\"bar\" \\ \n \t"} 1"#, r#"{__name__="m", l="\"bar\" \\ \n \\t"}"#),
        ("m{l=\"two\nlines\"} 1", r#"{__name__="m", l="two\nlines"}"#),
        (r#"{"m.x",a="1"} 1"#, r#"{__name__="m.x", a="1"}"#),
        (r#"{ a = "1", "m.x" } 1"#, r#"{__name__="m.x", a="1"}"#),
        (r#"{"m.x"} 1"#, r#"{__name__="m.x"}"#),
        (r#"{"10€ \"x\" {}\n","ä \"n\""="6"} 1"#, r#"{__name__="10€ \"x\" {}\n", "ä \"n\""="6"}"#),
    ];
    for (line, want) in table {
        assert_eq!(samples(line), [(want.to_owned(), 1.0, None)], "{line}");
    }
}

#[test]
fn bounds_of_histograms_and_summaries_get_one_form() {
    let page = "m{le=\"1\"} 1\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"0.10\"} 1\n\
        h_bucket{le=\"inf\"} 1\nh_bucket{le=\"x\"} 1\nh{quantile=\"1\"} 1\n# TYPE s summary\n\
        s{quantile=\"0\"} 1\ns{le=\"1\"} 1\n# TYPE g gauge\ng{le=\"1\",quantile=\"0\"} 1\n";
    let want = [
        r#"{__name__="m", le="1"}"#,
        r#"{__name__="h_bucket", le="1.0"}"#,
        r#"{__name__="h_bucket", le="0.1"}"#,
        r#"{__name__="h_bucket", le="+Inf"}"#,
        r#"{__name__="h_bucket", le="x"}"#,
        r#"{__name__="h", quantile="1"}"#,
        r#"{__name__="s", quantile="0.0"}"#,
        r#"{__name__="s", le="1"}"#,
        r#"{__name__="g", le="1", quantile="0"}"#,
    ];
    let got: Vec<_> = samples(page).into_iter().map(|sample| sample.0).collect();
    assert_eq!(got, want);
}

#[test]
fn values_are_go_floats() {
    let page = "a 1e3\na -Inf\na +inf\na .5\na 0x\u{0}";
    let got: Vec<_> = Parser::new(page.as_bytes()).collect();
    let values = got.iter().filter_map(|entry| match entry {
        Ok(Entry::Sample(sample)) => Some(sample.value),
        _ => None,
    });
    assert_eq!(values.collect::<Vec<_>>(), [1e3, f64::NEG_INFINITY, f64::INFINITY, 0.5]);
    assert!(got.last().unwrap().is_err());
    let Entry::Sample(nan) = read("a nan")[0] else { panic!() };
    assert_eq!(nan.value.to_bits(), ORDINARY_NAN_BITS);
}

#[test]
fn metadata_lines_are_read_in_every_spelling() {
    let page = "# HELP nohelp\n# HELP nohelp \n# HELP spaces   two more\n# \tTYPE \"a.b\" gauge\n\
        # HELP \"a.b\" x\u{0}y\n# Help it is not\n#TYPE nor this\n# TYPEX\n# TYPE\n";
    let want = [
        Entry::Help { name: "nohelp", text: "" },
        Entry::Help { name: "nohelp", text: "" },
        Entry::Help { name: "spaces", text: "  two more" },
        Entry::Type { name: "a.b", kind: MetricKind::Gauge },
        Entry::Help { name: "a.b", text: "x\u{0}y" },
        Entry::Comment,
        Entry::Comment,
        Entry::Comment,
        Entry::Comment,
    ];
    assert_eq!(read(page), want);
}

#[test]
fn a_zero_byte_between_lines_ends_the_page() {
    assert_eq!(samples("a 1\n\u{0}b 2\n").len(), 1);
    let mut values = Vec::new();
    each_label("a{b=\"x\u{0}y\"}", MetricKind::Unknown, |_, value| values.push(value.to_owned()));
    assert_eq!(values, ["a", "x\u{0}y"]);
}

#[test]
fn errors_are_worded_as_prometheus_words_them() {
    let table: [(&[u8], &str); 36] = [
        (b"m", r#"expected value after metric, got "\n" ("INVALID") while parsing: "m\n""#),
        (b"m{b='c'} 1", r#"expected label value, got "'" ("INVALID") while parsing: "m{b='""#),
        (b"m{b=\n", r#"expected label value, got "\n" ("INVALID") while parsing: "m{b=\n""#),
        (
            b"m{\xff=\"x\"} 1",
            r#"expected label name, got "\xff" ("INVALID") while parsing: "m{\xff""#,
        ),
        (b"m{b=\"\xff\"} 1", r#"invalid UTF-8 label value: "\"\xff\"""#),
        (
            br#"{"m", "b = "c"}"#,
            r#"expected equal, got "c\"" ("LNAME") while parsing: "{\"m\", \"b = \"c\"""#,
        ),
        (
            br#"{"m",b\nc="d"} 1"#,
            r#"expected equal, got "\\" ("INVALID") while parsing: "{\"m\",b\\""#,
        ),
        (
            b"m true",
            r#"strconv.ParseFloat: parsing "true": invalid syntax while parsing: "m true""#,
        ),
        (
            b"m 1e999",
            r#"strconv.ParseFloat: parsing "1e999": value out of range while parsing: "m 1e999""#,
        ),
        (
            b"odd{problem=\"",
            r#"expected label value, got "\"\n" ("INVALID") while parsing: "odd{problem=\"\n""#,
        ),
        (
            b"odd{problem=\"x",
            r#"expected label value, got "\"x\n" ("INVALID") while parsing: "odd{problem=\"x\n""#,
        ),
        (b"e{=\"\"} 0", r#"expected label name, got "=\"" ("EQUAL") while parsing: "e{=\"""#),
        (b"e{,} 0", r#"expected label name, got ",}" ("COMMA") while parsing: "e{,}""#),
        (
            b"e{a=\"b\",,} 0",
            r#"expected label name, got ",}" ("COMMA") while parsing: "e{a=\"b\",,}""#,
        ),
        (b"{A}0", r#"expected equal, got "}0" ("BCLOSE") while parsing: "{A}0""#),
        (b"m 1_2", r#"unsupported character in float while parsing: "m 1_2""#),
        (b"m 0x1p-3", r#"unsupported character in float while parsing: "m 0x1p-3""#),
        (
            b"m 0 1_2",
            r#"expected next entry after timestamp, got "_" ("INVALID") while parsing: "m 0 1_""#,
        ),
        (
            b"m 0 1 2",
            r#"expected next entry after timestamp, got "2\n" ("TIMESTAMP") while parsing: "m 0 1 2\n""#,
        ),
        (
            b"m 0 -1",
            r#"expected timestamp or new record, got "-" ("INVALID") while parsing: "m 0 -""#,
        ),
        (
            b"m 0 1.5",
            r#"expected next entry after timestamp, got "." ("INVALID") while parsing: "m 0 1.""#,
        ),
        (
            b"m 0 99999999999999999999",
            r#"strconv.ParseInt: parsing "99999999999999999999": value out of range while parsing: "m 0 99999999999999999999""#,
        ),
        (br#"{a="ok"} 1"#, r#"metric name not set while parsing: "{a=\"ok\"} 1""#),
        (br#"m{"n"} 1"#, r#"metric name already set while parsing: "m{\"n\"}""#),
        (br#"{"m","n"} 1"#, r#"metric name already set while parsing: "{\"m\",\"n\"}""#),
        (
            b"# TYPE #\n",
            r##"expected metric name after TYPE, got "#" ("INVALID") while parsing: "# TYPE #""##,
        ),
        (
            b"# HELP \n",
            r##"expected metric name after HELP, got "\n" ("INVALID") while parsing: "# HELP \n""##,
        ),
        (b"# TYPE m foo", r#"invalid metric type "foo""#),
        (b"# TYPE m", r#"invalid metric type """#),
        (b"# TYPE m counter ", r#"invalid metric type "counter ""#),
        (b"# HELP m x\xff", r#"help text "x\xff" is not a valid utf8 string"#),
        (b"1m 1", r#"expected a valid start token, got "1" ("INVALID") while parsing: "1""#),
        (
            b"\xffm 1",
            r#"expected a valid start token, got "\xff" ("INVALID") while parsing: "\xff""#,
        ),
        (
            b"m\x00{b=\"d\"} 1",
            r#"expected value after metric, got "\x00" ("INVALID") while parsing: "m\x00""#,
        ),
        (b"m{b\x00=\"d\"} 1", r#"expected equal, got "\x00" ("INVALID") while parsing: "m{b\x00""#),
        (
            b"m{b=\"\x00",
            r#"expected label value, got "\"\x00\n" ("INVALID") while parsing: "m{b=\"\x00\n""#,
        ),
    ];
    for (page, want) in table {
        assert_eq!(error(page), want);
    }
}

#[test]
fn invalid_bytes_in_a_comment_do_not_spoil_the_page() {
    let page = b"# caf\xe9\nm{a=\"\xc3\xa9\"} 1\n";
    let entries: Vec<_> = Parser::new(page).collect::<Result<_, _>>().unwrap();
    assert_eq!(entries.len(), 2);
    assert!(Parser::new(b"{\"m\xff\"} 1").last().unwrap().is_err());
}

#[test]
fn a_repeated_label_is_found_when_labels_are_decoded() {
    let Entry::Sample(sample) = read("m{a=\"1\",a=\"2\"} 1")[0] else { panic!() };
    let got = series_labels(sample.series, sample.kind, &mut LabelsBuf::new());
    assert_eq!(got, Err(LabelError::Duplicate("a".into())));
    let mut count = 0;
    each_label("m{a=\"\"}", MetricKind::Unknown, |_, _| count += 1);
    assert_eq!(count, 2);
}

/// The label set and the value as the API shows it.
type Row = (BTreeMap<String, String>, String);

fn rows_of_page(page: &[u8]) -> BTreeSet<Row> {
    let mut buf = LabelsBuf::new();
    let mut rows = BTreeSet::new();
    for entry in Parser::new(page) {
        if let Entry::Sample(sample) = entry.unwrap() {
            series_labels(sample.series, sample.kind, &mut buf).unwrap();
            let labels = buf.finish().unwrap();
            let mut value = String::new();
            format_json(&mut value, sample.value);
            rows.insert((labels.iter().map(|(n, v)| (n.into(), v.into())).collect(), value));
        }
    }
    rows
}

#[test]
fn pages_are_read_as_prometheus_reads_them() {
    let pages: [(&[u8], &str); 2] = [
        (
            include_bytes!("../../../../testdata/exposition/node-exporter.txt"),
            include_str!("../../../../testdata/exposition/node-exporter.expected.jsonl"),
        ),
        (
            include_bytes!("../../../../testdata/exposition/odd.txt"),
            include_str!("../../../../testdata/exposition/odd.expected.jsonl"),
        ),
    ];
    for (page, expected) in pages {
        let want: BTreeSet<Row> =
            expected.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(want.len() > 30);
        assert_eq!(rows_of_page(page), want);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(page: Vec<u8>) {
        prop_assert!(Parser::new(&page).count() <= page.len() + 1);
    }

    #[test]
    fn nearly_pages_are_read_without_panic(
        page in "([a{}=,\"\\\\ \n#0\u{0}é]|# HELP |# TYPE |histogram|le=\"1\"){0,24}",
    ) {
        let mut buf = LabelsBuf::new();
        for entry in Parser::new(page.as_bytes()) {
            if let Ok(Entry::Sample(sample)) = entry {
                let _ = series_labels(sample.series, sample.kind, &mut buf);
                let named = buf.finish().map(|labels| labels.get(METRIC_NAME).is_some());
                prop_assert!(named != Ok(false) || sample.series.contains("\"\""));
            }
        }
    }
}
