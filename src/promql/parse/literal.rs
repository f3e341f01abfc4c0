//! The values of numbers and durations.

use crate::base::quote::quote;
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
            TokenKind::Duration => duration_ms(text).map(|ms| (seconds(ms), true)),
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

/// Upstream tries an integer of any base first, then a float.
fn number(text: &str) -> Result<f64, String> {
    let failed =
        |why| format!("error parsing number: strconv.ParseFloat: parsing {}: {why}", quote(text));
    let digits = without_underscores(text).ok_or_else(|| failed("invalid syntax"))?;
    if let Some(value) = integer(&digits) {
        return Ok(value);
    }
    let value: f64 = digits.parse().map_err(|_| failed("invalid syntax"))?;
    let is_written_out = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if value.is_infinite() && is_written_out {
        return Err(failed("value out of range"));
    }
    Ok(value)
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

/// Units from the largest on, in milliseconds. They must stand in this order.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Upstream counts in nanoseconds.
const LONGEST_MS: u64 = (i64::MAX / 1_000_000) as u64;

fn duration_ms(text: &str) -> Result<i64, String> {
    const OUT_OF_RANGE: &str = "duration out of range";
    let invalid = || format!("not a valid duration string: {}", quote(text));
    let (mut rest, mut units, mut total) = (text, UNITS.as_slice(), 0_u64);
    while !rest.is_empty() {
        let digits_end = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
        let (digits, behind) = rest.split_at(digits_end);
        let count: u64 = digits.parse().map_err(|_| invalid())?;
        let unit_end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (name, behind) = behind.split_at(unit_end);
        if !UNITS.iter().any(|unit| unit.0 == name) {
            let message = format!("unknown unit {} in duration {}", quote(name), quote(text));
            return Err(message);
        }
        let position = units.iter().position(|unit| unit.0 == name).ok_or_else(invalid)?;
        let (unit, smaller) =
            units.get(position..).and_then(<[_]>::split_first).ok_or_else(invalid)?;
        let sum = count.checked_mul(unit.1).and_then(|ms| ms.checked_add(total));
        total = sum.filter(|sum| *sum <= LONGEST_MS).ok_or(OUT_OF_RANGE)?;
        (rest, units) = (behind, smaller);
    }
    i64::try_from(total).map_err(|_| OUT_OF_RANGE.into())
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

    #[test]
    fn units_stand_in_order_and_once() {
        assert_eq!(duration_ms("1y2w3d4h5m6s7ms"), Ok(33_019_506_007));
        assert_eq!(duration_ms("5m1h"), Err(r#"not a valid duration string: "5m1h""#.into()));
        assert_eq!(duration_ms("5y1hs"), Err(r#"unknown unit "hs" in duration "5y1hs""#.into()));
        assert_eq!(duration_ms("300y"), Err("duration out of range".into()));
    }
}
