use super::*;
use crate::promql::ast::{AggregateOp, BinaryOp, Span};
use TokenKind::{Duration, Identifier, MetricIdentifier, Number, Operator};

fn kinds(text: &str) -> Vec<TokenKind> {
    lex(text).tokens.into_iter().map(|token| token.kind).collect()
}

fn words(text: &str) -> Vec<&str> {
    let tokens = lex(text).tokens;
    let words = tokens.iter().map(|token| &text[token.span.start..token.span.end]);
    words.filter(|word| !word.is_empty()).collect()
}

#[test]
fn a_word_means_something_else_between_braces() {
    assert_eq!(kinds("sum"), [TokenKind::Aggregator(AggregateOp::Sum), TokenKind::End]);
    let inside = [TokenKind::LeftBrace, Identifier, TokenKind::RightBrace, TokenKind::End];
    assert_eq!(kinds("{sum}"), inside);
    assert_eq!(kinds("a:b")[0], MetricIdentifier);
    assert_eq!(kinds("{a:b}")[2], TokenKind::Failed);
}

#[test]
fn keywords_are_found_in_any_case() {
    assert_eq!(kinds("Offset")[0], TokenKind::Keyword(Keyword::Offset));
    assert_eq!(kinds("ATAN2")[0], Operator(BinaryOp::Atan2));
    assert_eq!(kinds("iNF")[0], Number);
    assert_eq!(kinds("fill_left"), [Identifier, TokenKind::End]);
    assert_eq!(kinds("fill_left \n(")[0], TokenKind::Keyword(Keyword::FillLeft));
}

#[test]
fn trims_are_read_before_divisions() {
    assert_eq!(kinds("a </ b")[1], Operator(BinaryOp::TrimUpper));
    assert_eq!(kinds("a < / b")[1..3], [Operator(BinaryOp::Lt), Operator(BinaryOp::Div)]);
}

#[test]
fn numbers_and_durations_are_told_apart() {
    for text in ["1", ".5", "2.", "1e3", "1E-3", "0x1f", "1_000", "0x1f1e", "010"] {
        assert_eq!(kinds(text), [Number, TokenKind::End], "{text}");
    }
    for text in ["5m", "1h30m", "5ms", "1y2w", "5m1h", "5y1hs"] {
        assert_eq!(kinds(text), [Duration, TokenKind::End], "{text}");
    }
    for text in ["1x", "1__0", "1.e", "0b1", "5m5", "5mm", "0xee"] {
        assert_eq!(kinds(text), [TokenKind::Failed], "{text}");
    }
}

#[test]
fn comments_and_spaces_are_nothing() {
    assert_eq!(words("a # b\n+\t\r\nc # d"), ["a", "+", "c"]);
    assert_eq!(words("{ # }\n a = 'b' }"), ["{", "a", "=", "'b'", "}"]);
    assert_eq!(words("a[ 5m # 6m\n ]"), ["a", "[", "5m", "]"]);
}

#[test]
fn reading_ends_at_the_first_error_and_says_where() {
    let lexed = lex("a + $ + \"");
    let failed = lexed.tokens.last().unwrap();
    assert_eq!((failed.kind, failed.span), (TokenKind::Failed, Span { start: 4, end: 5 }));
    assert_eq!(lexed.error.as_deref(), Some("unexpected character: '$'"));
    assert_eq!(lexed.tokens.len(), 3);
}

#[test]
fn escapes_become_bytes() {
    let cases: [(&str, &[u8]); 6] = [
        (r#""\a\b\f\n\r\t\v\\\"""#, b"\x07\x08\x0c\n\r\t\x0b\\\""),
        (r"'\''", b"'"),
        (r#""\xff\377\x41\101""#, b"\xff\xffAA"),
        (r#""\u00e9\U0001F600""#, "é😀".as_bytes()),
        ("`\\n\n`", b"\\n\n"),
        (r#""""#, b""),
    ];
    for (text, want) in cases {
        assert_eq!(kinds(text), [TokenKind::String, TokenKind::End], "{text}");
        assert_eq!(unquote(text), want, "{text}");
    }
}
