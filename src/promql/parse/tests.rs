use proptest::prelude::*;

use super::table_tests::*;
use super::*;
use crate::promql::ast::{AtModifier, BinaryOp, DurationKind, ExprKind};

fn all(query: &str) -> Parsed<Expr> {
    parse_with(query, &ParseOptions::all())
}

#[test]
fn queries_are_printed_as_upstream_prints_them() {
    let tables = [
        LITERALS,
        SELECTORS,
        MODIFIERS,
        DURATIONS,
        UNARY,
        PRECEDENCE,
        MATCHING,
        AGGREGATIONS,
        CALLS,
    ];
    for (query, want) in tables.into_iter().flatten() {
        match all(query) {
            Ok(expr) => assert_eq!(expr.to_string(), *want, "{query}"),
            Err(error) => panic!("{query}: {error}"),
        }
    }
}

#[test]
fn mistakes_are_told_in_upstreams_words_at_its_places() {
    let tables = [WRONG_LEXING, WRONG_GRAMMAR, WRONG_VALUES, WRONG_TYPES];
    for (query, want) in tables.into_iter().flatten() {
        match all(query) {
            Ok(expr) => panic!("{query}: read as {expr}"),
            Err(error) => {
                assert_eq!(error.to_string(), want.replacen('|', ": parse error: ", 1), "{query}");
            }
        }
    }
}

#[test]
fn what_is_switched_off_says_so() {
    for (query, want) in SWITCHED_OFF {
        let got = parse(query).map_or_else(|error| error.to_string(), |_| String::new());
        assert_eq!(got, want.replacen('|', ": parse error: ", 1), "{query}");
    }
    let options = ParseOptions { duration_expressions: false, ..ParseOptions::default() };
    for query in ["a[5m + 1m]", "a[step()]", "a offset (5m)", "a[5m:min_of(1, 2)]"] {
        let error = parse_with(query, &options).unwrap_err();
        assert_eq!(error.message, "experimental duration expression is not enabled", "{query}");
    }
    assert!(parse_with("a[5m] offset -(5m)", &options).is_ok());
}

#[test]
fn every_node_knows_its_place() {
    let query = " sum by (a) (rate(x{b=\"c\"}[5m] offset 1m)) / -(1 + 2)";
    let place = |expr: &Expr| query[expr.span.start..expr.span.end].to_owned();
    let expr = all(query).unwrap();
    assert_eq!(place(&expr), query.trim());
    let ExprKind::Binary(binary) = &expr.kind else { panic!() };
    assert_eq!(place(&binary.right), "-(1 + 2)");
    let ExprKind::Aggregate(sum) = &binary.left.kind else { panic!() };
    assert_eq!(place(&binary.left), "sum by (a) (rate(x{b=\"c\"}[5m] offset 1m))");
    let ExprKind::Call { args, .. } = &sum.expr.kind else { panic!() };
    assert_eq!(place(&args[0]), "x{b=\"c\"}[5m] offset 1m");
}

#[test]
fn lengths_are_milliseconds_outside_of_arithmetic() {
    let range = |query: &str| match all(query).unwrap().kind {
        ExprKind::Matrix { range, .. } => range.kind,
        _ => panic!("{query}"),
    };
    assert_eq!(range("a[300]"), DurationKind::Literal(300_000));
    assert_eq!(range("a[1.0009]"), DurationKind::Literal(1000));
    assert_eq!(range("a[1h30m]"), DurationKind::Literal(5_400_000));
    let DurationKind::Binary(BinaryOp::Mul, left, right) = range("a[5m * 2]") else { panic!() };
    assert_eq!(left.kind, DurationKind::Literal(300_000));
    assert_eq!(right.kind, DurationKind::Number(2.0));
}

#[test]
fn a_computed_offset_keeps_its_end_when_printed() {
    // Upstream prints the first one so that it reads as a sum of a vector and 3.
    for query in ["up offset --5m + 3", "up offset (--5m + 3)", "up offset +-5m * -1 - -3"] {
        let printed = all(query).unwrap().to_string();
        assert!(printed.starts_with("up offset (") && printed.ends_with(')'), "{printed}");
        assert_eq!(all(&printed).unwrap().to_string(), printed);
    }
    let printed = all("up offset +(5m) + up").unwrap().to_string();
    assert_eq!(printed, "up offset +(5m) + up");
}

#[test]
fn instants_are_rounded_to_milliseconds() {
    for (text, want) in [("1.0005", 1001), ("-1.0005", -1001), ("1h", 3_600_000)] {
        let ExprKind::Vector(selector) = all(&format!("a @ {text}")).unwrap().kind else {
            panic!()
        };
        assert_eq!(selector.at.at, Some(AtModifier::Timestamp(want)), "{text}");
    }
}

#[test]
fn an_empty_query_has_no_position() {
    let error = parse("").unwrap_err();
    assert_eq!((error.line, error.column), (0, 0));
    let error = parse("a +\n  b c").unwrap_err();
    assert_eq!((error.line, error.column, error.span), (2, 5, Span { start: 8, end: 9 }));
}

#[test]
fn selectors_and_label_sets_stand_alone() {
    let matchers = parse_selector("up{a=~\"b|c\",d!=\"\"}").unwrap();
    let texts: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["a=~\"b|c\"", "d!=\"\"", "__name__=\"up\""]);
    assert!(parse_selector("{}").unwrap().is_empty());
    for text in ["up[5m]", "up offset 5m", "sum(up)", "", "up{", "up, up"] {
        assert!(parse_selector(text).is_err(), "{text}");
    }
    let labels = parse_metric("up{b=\"2\", \"a b\"='1',}").unwrap();
    assert_eq!(labels.to_string(), "{__name__=\"up\", \"a b\"=\"1\", b=\"2\"}");
    assert_eq!(parse_metric("{\"up\"}").unwrap(), parse_metric("up").unwrap());
    assert!(parse_metric("").unwrap().is_empty());
    for text in ["up{a=~\"b\"}", "up{a}", "up{a=\"1\",a=\"2\"}", "up 1"] {
        assert!(parse_metric(text).is_err(), "{text}");
    }
}

/// What makes the tree deep, once and often.
const DEEP: [(&str, &str, &str); 9] = [
    ("(", "1", ")"),
    ("-", "a", ""),
    ("abs(", "a", ")"),
    ("sum(", "a", ")"),
    ("1 ^ ", "1", ""),
    ("", "a", " + 1"),
    ("1 or (1 and 1 == bool (1 + 1 * 1 ^ ", "a", "))"),
    ("", "a", "[5m:]"),
    ("a[", "1", ":]"),
];

/// The default stack of a thread is 2 MiB, in which an unoptimised build must do.
#[test]
fn nesting_has_a_bound() {
    for (before, middle, after) in DEEP {
        let query = format!("{}{middle}{}", before.repeat(20_000), after.repeat(20_000));
        let error = all(&query).unwrap_err();
        assert!(error.span.start <= query.len());
    }
    let chain = |terms: usize| format!("a{}", " + a".repeat(terms));
    let deepest = all(&chain(NESTING_MAX - 1)).unwrap();
    assert_eq!(deepest.to_string(), chain(NESTING_MAX - 1));
    let error = all(&chain(NESTING_MAX)).unwrap_err();
    assert_eq!(error.message, format!("expression is nested more than {NESTING_MAX} levels deep"));
    let nested = format!("a[{}1{}]", "(1 + ".repeat(2000), ")".repeat(2000));
    assert!(all(&nested).unwrap_err().message.contains("nested"));
    let chained = format!("a[1{}]", " + 1".repeat(2000));
    assert!(all(&chained).unwrap_err().message.contains("nested"));
}

/// Words and signs that queries are made of.
const WORDS: [&str; 64] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "=",
    "==",
    "=~",
    "!~",
    "!=",
    "<",
    "</",
    ">/",
    ">=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "@",
    "#",
    "\n",
    " ",
    "by",
    "on",
    "bool",
    "group_left",
    "offset",
    "anchored",
    "fill",
    "start()",
    "step()",
    "min_of",
    "sum",
    "topk",
    "count_values",
    "and",
    "unless",
    "atan2",
    "inf",
    "nan",
    "0",
    "1",
    "5m",
    "1e400",
    "0x1f",
    "5m1h",
    "\"a\"",
    "'",
    "`",
    "\\",
    "a",
    "b:c",
    "rate",
    "time()",
    "a[5m]",
    "[5m:1m]",
    "{a=\"b\"}",
    "é",
    "\u{fffd}",
];

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
        let _ = all(&text);
        let _ = parse_selector(&text);
        let _ = parse_metric(&text);
    }

    #[test]
    fn any_words_are_read_or_refused(words in prop::collection::vec(0..WORDS.len(), 0..20)) {
        let text: String = words.iter().map(|index| WORDS[*index]).collect();
        match all(&text) {
            Ok(expr) => {
                let printed = expr.to_string();
                prop_assert_eq!(all(&printed).unwrap().to_string(), printed);
            }
            Err(error) => {
                prop_assert!(error.span.start <= text.len());
                prop_assert!(!error.message.is_empty());
            }
        }
    }
}
