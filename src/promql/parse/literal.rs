//! The values of numbers and durations.

use crate::base::duration::parse_duration_ms;
use crate::base::gonum::{FloatError, parse_float};
use crate::base::quote::quoted;
use crate::promql::ast::BinaryOp;
use crate::promql::lex::TokenKind;

use super::{Parsed, Parser};

impl Parser<'_> {
    /// A number, or a duration in seconds; true for a duration.
    pub(super) fn number(&mut self) -> Parsed<(f64, bool)> {
        let token = self.peek();
        let text = self.text(token.span);
        let read = match token.kind {
            TokenKind::Number => number(text).map(|value| (value, false)),
            TokenKind::Duration => match parse_duration_ms(text) {
                Ok(ms) => Ok((seconds(ms), true)),
                Err(error) => Err(error.to_string()),
            },
            _ => return Err(self.unexpected(self.context)),
        };
        self.advance();
        read.map_err(|message| self.error(token.span, message))
    }

    /// A number or duration with or without a sign.
    pub(super) fn signed_number(&mut self) -> Parsed<f64> {
        let sign = match self.peek().kind {
            TokenKind::Operator(BinaryOp::Add) => Some(1.0),
            TokenKind::Operator(BinaryOp::Sub) => Some(-1.0),
            _ => None,
        };
        if sign.is_some() {
            self.advance();
        }
        let (value, _) = self.number()?;
        Ok(sign.unwrap_or(1.0) * value)
    }
}

/// The value of an unsigned number. Upstream tries an integer of any base first, then a float.
pub(crate) fn number(text: &str) -> Result<f64, String> {
    let failed =
        |why| format!("error parsing number: strconv.ParseFloat: parsing {}: {why}", quoted(text));
    let digits = without_underscores(text).ok_or_else(|| failed(FloatError::Syntax))?;
    match integer(&digits) {
        Some(value) => Ok(value),
        None => parse_float(&digits).map_err(failed),
    }
}

/// Go's rule: an underscore stands between digits or behind the prefix.
fn without_underscores(text: &str) -> Option<String> {
    let is_digit = |c: Option<&u8>| c.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    let is_hex = text.starts_with("0x") || text.starts_with("0X");
    let misplaced = |index: usize| {
        let before = index.checked_sub(1).and_then(|before| bytes.get(before));
        let behind_prefix = is_hex && index == 2;
        !(is_digit(before) || behind_prefix) || !is_digit(bytes.get(index + 1))
    };
    let wrong = text.match_indices('_').any(|(index, _)| misplaced(index));
    (!wrong).then(|| text.replace('_', ""))
}

fn integer(digits: &str) -> Option<f64> {
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (digits, base) = match (hex, digits.strip_prefix('0')) {
        (Some(hex), _) => (hex, 16),
        (None, Some(octal)) if !octal.is_empty() => (octal, 8),
        (None, _) => (digits, 10),
    };
    i64::from_str_radix(digits, base).ok().map(|value| value as f64)
}

/// Whole seconds and the rest are converted apart, as Go's `Duration.Seconds` does.
fn seconds(ms: i64) -> f64 {
    (ms / 1000) as f64 + (ms % 1000 * 1_000_000) as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_upstream_reads_them() {
        let cases = [
            ("0755", 493.0),
            ("08", 8.0),
            ("0", 0.0),
            ("1_000", 1000.0),
            ("0x1F", 31.0),
            ("0x_1f", 31.0),
            ("1_000.5", 1000.5),
            (".5", 0.5),
            ("2.", 2.0),
            ("1e3", 1000.0),
            ("9223372036854775808", 9_223_372_036_854_775_808.0),
            ("Inf", f64::INFINITY),
        ];
        for (text, want) in cases {
            assert_eq!(number(text), Ok(want), "{text}");
        }
        assert!(number("nan").unwrap().is_nan());
        for text in ["1_", "0x", "1.2.3", "0x8000000000000000"] {
            assert!(number(text).unwrap_err().ends_with("invalid syntax"), "{text}");
        }
        assert!(number("1e400").unwrap_err().ends_with("value out of range"));
    }
}
