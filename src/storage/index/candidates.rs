//! Which label values a pattern can match at all, seen from its text alone.

use crate::model::{MatchOp, Matcher};

/// Values that a matcher's positive form (`=`, `=~`) can match, besides the empty one.
#[derive(Debug, PartialEq, Eq)]
pub enum Candidates {
    /// All of them.
    All,
    /// Exactly these.
    Values(Vec<String>),
    /// Some or all of those that start so; each must be tried.
    Prefix(String),
}

impl Candidates {
    /// What the text of the matcher alone tells.
    #[must_use]
    pub fn of(matcher: &Matcher) -> Self {
        let text = matcher.value();
        match matcher.op() {
            MatchOp::Equal | MatchOp::NotEqual => Self::Values(vec![text.to_owned()]),
            MatchOp::Regex | MatchOp::NotRegex => Self::of_pattern(text),
        }
    }

    fn of_pattern(pattern: &str) -> Self {
        if pattern == ".*" || pattern == ".+" {
            return Self::All;
        }
        literals(pattern).map_or_else(|| Self::Prefix(prefix(pattern)), Self::Values)
    }
}

/// A char of a pattern that stands for itself, or anything else.
enum Piece {
    Literal(char),
    Other(char),
}

fn pieces(pattern: &str) -> impl Iterator<Item = Piece> {
    let mut chars = pattern.chars();
    std::iter::from_fn(move || {
        let char = chars.next()?;
        if char != '\\' {
            let is_syntax = "|.+*?()[]{}^$".contains(char);
            return Some(if is_syntax { Piece::Other(char) } else { Piece::Literal(char) });
        }
        Some(match chars.next() {
            Some(escaped) if escaped.is_ascii_punctuation() => Piece::Literal(escaped),
            _ => Piece::Other('\\'),
        })
    })
}

/// The alternatives of `a|b|c` and `(a|b|c)`, if there is nothing else in the pattern.
fn literals(pattern: &str) -> Option<Vec<String>> {
    let inner = pattern.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let mut alternatives = vec![String::new()];
    for piece in pieces(inner.unwrap_or(pattern)) {
        match piece {
            Piece::Literal(char) => alternatives.last_mut()?.push(char),
            Piece::Other('|') => alternatives.push(String::new()),
            Piece::Other(_) => return None,
        }
    }
    alternatives.sort();
    alternatives.dedup();
    Some(alternatives)
}

/// A text that every match starts with.
fn prefix(pattern: &str) -> String {
    let mut start = String::new();
    if pattern.contains('|') {
        return start;
    }
    for piece in pieces(pattern) {
        match piece {
            Piece::Literal(char) => start.push(char),
            Piece::Other(syntax) => {
                // An escape may be an empty quotation with a repetition behind it.
                if "*?{\\".contains(syntax) {
                    start.pop();
                }
                break;
            }
        }
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternatives_of_plain_texts_are_looked_up() {
        let values = |values: &[&str]| {
            Candidates::Values(values.iter().map(|value| (*value).to_owned()).collect())
        };
        assert_eq!(Candidates::of_pattern("b|a|b"), values(&["a", "b"]));
        assert_eq!(Candidates::of_pattern(r"(10\.0\.0\.1:80|ü)"), values(&["10.0.0.1:80", "ü"]));
        assert_eq!(Candidates::of_pattern("a|"), values(&["", "a"]));
        assert_eq!(Candidates::of_pattern("plain"), values(&["plain"]));
    }

    #[test]
    fn any_value_needs_no_trying() {
        assert_eq!(Candidates::of_pattern(".*"), Candidates::All);
        assert_eq!(Candidates::of_pattern(".+"), Candidates::All);
    }

    #[test]
    fn other_patterns_give_what_every_match_starts_with() {
        let cases = [
            ("web-.*", "web-"),
            ("a.b", "a"),
            ("ab*", "a"),
            ("ab?c", "a"),
            ("ab{0,1}c", "a"),
            ("ab+", "ab"),
            (r"a\.b\d", "a."),
            ("a|b.", ""),
            ("(a)b", ""),
            ("(a|b)(c|d)", ""),
            ("(?i)abc", ""),
            ("(?i:abc)", ""),
            ("^abc", ""),
            ("abc$", "abc"),
            ("[a]b", ""),
            (r"a\Qb*\E", ""),
            (r"ab\Q\E*", "a"),
            (".*a", ""),
        ];
        for (pattern, prefix) in cases {
            assert_eq!(
                Candidates::of_pattern(pattern),
                Candidates::Prefix(prefix.to_owned()),
                "{pattern}"
            );
        }
    }
}
