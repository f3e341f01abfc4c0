use super::*;
use proptest::prelude::*;

fn regex(pattern: &str) -> Regex {
    Regex::anchored(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"))
}

#[test]
fn the_whole_value_must_match() {
    let table = [
        ("foo", "foo", true),
        ("foo", "xfoo", false),
        ("foo", "foo\n", false),
        ("a|ab", "ab", true),
        ("", "", true),
        ("", "a", false),
        (".*", "two\nlines", true),
        ("(?-s).*", "two\nlines", false),
        ("(?m)^b$", "a\nb", false),
        ("(?i)straße", "STRASSE", false),
        ("(?i)k", "\u{212a}", true),
        ("x{a}", "x{a}", true),
        ("a{,3}", "a{,3}", true),
    ];
    for (pattern, text, matches) in table {
        assert_eq!(regex(pattern).is_match(text), matches, "{pattern} {text}");
    }
}

/// Each row was checked against Prometheus 3.14.
#[test]
fn go_reads_these_otherwise_than_the_engine_would() {
    let table = [
        (r"\d", "\u{661}", false),
        (r"\D", "\u{661}", true),
        (r"\w", "é", false),
        (r"(?i)\w", "\u{212a}", true),
        (r"\s", "\u{b}", false),
        (r"[\d-]", "-", true),
        (r"a\bé", "aé", true),
        (r".\B.", "éé", true),
        ("[a&&b]", "a", true),
        ("[a&&b]", "&", true),
        ("[--/]", ".", true),
        ("[a~~b]", "~", true),
        ("[[a]", "[", true),
        ("[[:^digit:]]", "é", true),
        (r"\<\>", "<>", true),
        (r"\_\-", "_-", true),
        (r"\101\x41\x{41}\0", "AAA\0", true),
        (r"\Qa.b\E+", "a.bb", true),
        (r"\Qa.b\E+", "axb", false),
        (r"\Q[a", "[a", true),
        (r"\pL\p{Greek}\P{^Lu}", "éαÉ", true),
        (r"\pC", "\u{378}", false),
        ("(?i:K)", "k", true),
        ("(?)a", "a", true),
    ];
    for (pattern, text, matches) in table {
        assert_eq!(regex(pattern).is_match(text), matches, "{pattern} {text}");
    }
}

#[test]
fn what_go_refuses_is_refused_in_its_words() {
    let table = [
        ("(", "missing closing ): `(`"),
        ("a)b", "unexpected ): `a)b`"),
        ("[a", "missing closing ]: `[a`"),
        ("x[]a", "missing closing ]: `[]a`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[a--/]", "invalid character class range: `a--`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"\p{greek}", r"invalid character class range: `\p{greek}`"),
        (r"\p{Alphabetic}", r"invalid character class range: `\p{Alphabetic}`"),
        (r"\p{Old_italic}", r"invalid character class range: `\p{Old_italic}`"),
        (r"\p{Lu", r"invalid character class range: `\p{Lu`"),
        (r"[a-\d]", r"invalid escape sequence: `\d`"),
        (r"\1", r"invalid escape sequence: `\1`"),
        (r"\8", r"invalid escape sequence: `\8`"),
        (r"\Z", r"invalid escape sequence: `\Z`"),
        (r"\ä", r"invalid escape sequence: `\ä`"),
        (r"\x4g", r"invalid escape sequence: `\x4g`"),
        (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
        (r"\u0041", r"invalid escape sequence: `\u`"),
        ("a\\", "trailing backslash at end of expression: ``"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("a|+?", "missing argument to repetition operator: `+?`"),
        ("(?i)*", "missing argument to repetition operator: `*`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{99999999999}", "invalid repeat count: `{99999999999}`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ("(a{10}){101}", "invalid repeat count: `{101}`"),
        ("((a{10}){10}){11}", "invalid repeat count: `{11}`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?-)", "invalid or unsupported Perl syntax: `(?-)`"),
        ("(?", "invalid or unsupported Perl syntax: `(?`"),
        ("(?<=a)", "invalid named capture: `(?<=a)`"),
        ("(?P<n-x>a)", "invalid named capture: `(?P<n-x>`"),
        ("(?P<n", "invalid named capture: `(?P<n`"),
    ];
    for (pattern, error) in table {
        let got = Regex::anchored(pattern).unwrap_err().to_string();
        assert_eq!(got, format!("error parsing regexp: {error}"), "{pattern}");
    }
}

#[test]
fn a_pattern_of_a_few_texts_is_a_set() {
    let table: [(&str, &[&str]); 12] = [
        ("", &[""]),
        ("foo", &["foo"]),
        ("foo|bar|baz", &["bar", "baz", "foo"]),
        ("(?:foo|bar)", &["bar", "foo"]),
        ("(foo|bar)?", &["", "bar", "foo"]),
        (
            "api-(a|b|c)-v[12]",
            &["api-a-v1", "api-a-v2", "api-b-v1", "api-b-v2", "api-c-v1", "api-c-v2"],
        ),
        ("a|a|", &["", "a"]),
        ("[a-c]x", &["ax", "bx", "cx"]),
        ("a{2}", &["aa"]),
        (r"prom\.io", &["prom.io"]),
        (r"\Qa+\E", &["a+"]),
        ("é|日本", &["é", "日本"]),
    ];
    for (pattern, want) in table {
        let regex = regex(pattern);
        let got = regex.set_matches().map(|set| set.iter().map(|text| &**text).collect());
        assert_eq!(got, Some(want.to_vec()), "{pattern}");
        assert!(want.iter().all(|text| regex.is_match(text)));
        assert!(!regex.is_match("other"));
    }
    let none = [".*", "foo.*", r"foo\b", "^foo", "[^a]", r"\d{3}", "a+", "(?i)abcdefghi"];
    for pattern in none {
        assert!(regex(pattern).set_matches().is_none(), "{pattern}");
    }
    let many = |count: usize| (0..count).map(|i| format!("v{i}")).collect::<Vec<_>>().join("|");
    assert_eq!(regex(&many(256)).set_matches().unwrap().len(), 256);
    assert!(regex(&many(257)).set_matches().is_none());
    assert!(regex(&many(257)).is_match("v256"));
}

#[test]
fn the_text_that_all_matches_begin_with_is_known() {
    let table = [
        ("foo.*", Some("foo")),
        ("foo.+bar", Some("foo")),
        ("(foo|fob)x.*", Some("fo")),
        ("foo", Some("foo")),
        (r"\bfoo.*", Some("foo")),
        ("(?i)foo.*", None),
        (".*foo", None),
        ("a*b", None),
        ("[é日].*", None),
        ("", None),
    ];
    for (pattern, want) in table {
        assert_eq!(regex(pattern).prefix(), want, "{pattern}");
    }
}

#[test]
fn what_groups_captured_is_put_into_templates() {
    let table = [
        ("(.*)", "ab", "$1", "ab"),
        ("(a)(b)?", "a", "<$1|$2|$3|$0>", "<a|||a>"),
        ("(?P<x>a)(?<y>b)", "ab", "${y}${x}$y-$x", "bab-a"),
        ("(a)", "a", "$1x", ""),
        ("(a)", "a", "${1}x", "ax"),
        ("(a)", "a", "$$1 $ $- ${1 ${} $01 $", "$1 $ $- ${1 ${}  $"),
        ("(?:(?P<n>x)|(?P<n>y))", "y", "$n", "y"),
        ("foo|bar", "bar", "got $0", "got bar"),
        (".*", "any", "$0$1", "any"),
        ("a(.*)", "a\né", "$1", "\né"),
        ("(a)", "a", "$999999999999", ""),
        ("a", "a", "plain", "plain"),
    ];
    for (pattern, text, template, want) in table {
        let got = regex(pattern).replace(text, template);
        assert_eq!(got.as_deref(), Some(want), "{pattern} {template}");
    }
    let mut out = String::from("kept");
    assert!(!regex("(a)").expand("b", "$1", &mut out) && !regex("a").expand("b", "x", &mut out));
    assert_eq!(out, "kept");
}

#[test]
fn a_pattern_that_costs_too_much_is_refused() {
    let error = Regex::anchored(&"[aé]{1000}".repeat(400)).unwrap_err().to_string();
    assert!(error.contains("expression too large"), "{error}");
    let deep = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(regex(&deep(1000)).is_match("a"));
    let error = Regex::anchored(&deep(1001)).unwrap_err().to_string();
    assert!(error.contains("expression nests too deeply"), "{error}");
    assert!(Regex::anchored(&"(".repeat(100_000)).is_err());
}

/// A few signs that mean something, so that chance finds their neighbourhoods.
const SOUP: &str = r"([abé0.|()*+?\[\]^$\\{},:&~QEdwb<>P-]|\(\?|\[:alpha:\]|\\p\{Lu\}|\{2\}){0,10}";

proptest! {
    #[test]
    fn any_pattern_is_read_without_panic(pattern in "\\PC{0,12}", soup in SOUP) {
        let _ = Regex::anchored(&pattern);
        let _ = Regex::anchored(&soup);
    }

    #[test]
    fn sets_and_prefixes_agree_with_the_engine(soup in SOUP, text in "[abé0.&\n-]{0,3}") {
        let Ok(regex) = Regex::anchored(&soup) else { return Ok(()) };
        let engine = regex.0.engine().unwrap();
        prop_assert_eq!(regex.is_match(&text), engine.is_match(&text), "{}", soup);
        for member in regex.set_matches().unwrap_or_default() {
            prop_assert!(engine.is_match(&**member), "{} {}", soup, member);
        }
    }
}
