//! Numbers as Go's `strconv` writes and reads them, since every Prometheus text is made of those.
//!
//! | function                | Go                       | plain from | and below | else   |
//! |-------------------------|--------------------------|------------|-----------|--------|
//! | [`format_float`]        | `'f', -1`                | always     |           |        |
//! | [`format_float_g`]      | `'g', -1`, also `%v`     | 1e-4       | 1e6       | 1e+06  |
//! | [`format_json`]         | `'f'`, far out `'e'`     | 1e-6       | 1e21      | 1e+21  |
//! | [`format_open_metrics`] | `'g'`, with `.0` at least | 1e-4       | 1e6       | 1e+06  |
//!
//! All write the fewest digits that read back as the same number, an exponent of at least two
//! digits with its sign, and `NaN`, `+Inf`, `-Inf`.

use std::fmt;
use std::ops::Range;

/// Appends `value` without an exponent, whatever its size: Go's `FormatFloat(v, 'f', -1, 64)`.
#[inline]
pub fn format_float(out: &mut String, value: f64) {
    format_within(out, value, 0.0..f64::INFINITY);
}

/// Appends `value` as exposition pages show it: Go's `FormatFloat(v, 'g', -1, 64)`.
#[inline]
pub fn format_float_g(out: &mut String, value: f64) {
    format_within(out, value, 1e-4..1e6);
}

/// Appends `value` as the HTTP API does, without the quotes around it.
#[inline]
pub fn format_json(out: &mut String, value: f64) {
    format_within(out, value, 1e-6..1e21);
}

/// Appends `value` as labels `le` and `quantile` have it: like [`format_float_g`], with `.0`
/// behind what would look like an integer.
pub fn format_open_metrics(out: &mut String, value: f64) {
    let start = out.len();
    format_float_g(out, value);
    let written = out.get(start..).unwrap_or_default();
    if value.is_finite() && !written.contains(['.', 'e']) {
        out.push_str(".0");
    }
}

/// Writes without an exponent if the magnitude lies in `plain` (or is zero), else with one.
fn format_within(out: &mut String, value: f64, plain: Range<f64>) {
    if !value.is_finite() {
        out.push_str(match value {
            f64::INFINITY => "+Inf",
            f64::NEG_INFINITY => "-Inf",
            _ => "NaN",
        });
        return;
    }
    let mut buffer = zmij::Buffer::new();
    let shortest = buffer.format_finite(value);
    let is_plain = value == 0.0 || plain.contains(&value.abs());
    let has_exponent = shortest.contains('e');
    match (is_plain, has_exponent) {
        (true, false) => out.push_str(shortest.strip_suffix(".0").unwrap_or(shortest)),
        (true, true) => Decimal::parse(shortest).put_plain(out),
        (false, _) => Decimal::parse(shortest).put_exponent(out),
    }
}

/// Significant digits of a number and where its point stands: `0.DIGITS * 10^point`.
struct Decimal<'a> {
    negative: bool,
    /// Digits before and after the point of the text, without the zeros on both ends.
    whole: &'a str,
    fraction: &'a str,
    point: i32,
}

impl<'a> Decimal<'a> {
    fn parse(text: &'a str) -> Self {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = unsigned.split_once('e').unwrap_or((unsigned, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let fraction = fraction.trim_end_matches('0');
        let whole = whole.trim_start_matches('0');
        let mut point = exponent + whole.len() as i32;
        let mut cut = Self { negative: unsigned.len() < text.len(), whole, fraction, point };
        if whole.is_empty() {
            cut.fraction = fraction.trim_start_matches('0');
            point -= (fraction.len() - cut.fraction.len()) as i32;
        } else if fraction.is_empty() {
            cut.whole = whole.trim_end_matches('0');
        }
        cut.point = point;
        cut
    }

    fn digits(&self) -> impl Iterator<Item = char> {
        self.whole.chars().chain(self.fraction.chars())
    }

    fn put_sign(&self, out: &mut String) {
        if self.negative {
            out.push('-');
        }
    }

    fn put_plain(&self, out: &mut String) {
        self.put_sign(out);
        if self.point <= 0 {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', self.point.unsigned_abs() as usize));
            out.extend(self.digits());
            return;
        }
        let before = self.point as usize;
        let mut digits = self.digits();
        out.extend(digits.by_ref().take(before));
        let count = self.whole.len() + self.fraction.len();
        out.extend(std::iter::repeat_n('0', before.saturating_sub(count)));
        if count > before {
            out.push('.');
            out.extend(digits);
        }
    }

    fn put_exponent(&self, out: &mut String) {
        self.put_sign(out);
        let mut digits = self.digits();
        out.extend(digits.next());
        if self.whole.len() + self.fraction.len() > 1 {
            out.push('.');
            out.extend(digits);
        }
        let exponent = self.point - 1;
        out.push_str(if exponent < 0 { "e-" } else { "e+" });
        let size = exponent.unsigned_abs();
        if size >= 100 {
            out.push(digit(size / 100));
        }
        out.push(digit(size / 10 % 10));
        out.push(digit(size % 10));
    }
}

fn digit(value: u32) -> char {
    char::from_digit(value % 10, 10).unwrap_or('0')
}

/// Why a text is no number. Go says `strconv.ParseFloat: parsing "x": ` and then this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloatError {
    /// Not written like a number.
    Syntax,
    /// A finite number that is too large for a double.
    Range,
}

impl fmt::Display for FloatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "invalid syntax",
            Self::Range => "value out of range",
        })
    }
}

impl std::error::Error for FloatError {}

/// Reads what Go's `strconv.ParseFloat` reads, except hexadecimal floats and `_` between digits,
/// which no caller allows: decimal numbers, `inf`, `infinity` and `nan` in any case, a sign before
/// all but `nan`.
///
/// # Errors
/// See [`FloatError`].
#[inline]
pub fn parse_float(text: &str) -> Result<f64, FloatError> {
    if let Some(value) = small_integer(text.as_bytes()) {
        return Ok(value);
    }
    let value: f64 = text.parse().map_err(|_| FloatError::Syntax)?;
    if value.is_finite() {
        return Ok(value);
    }
    let signed = text.starts_with(['+', '-']);
    if value.is_nan() {
        return if signed { Err(FloatError::Syntax) } else { Ok(value) };
    }
    let digits = text.bytes().any(|byte| byte.is_ascii_digit());
    if digits { Err(FloatError::Range) } else { Ok(value) }
}

/// Most values of a page are integers of a few digits, which need no general reader.
#[inline]
fn small_integer(text: &[u8]) -> Option<f64> {
    if text.is_empty() || text.len() > 15 {
        return None;
    }
    let mut value = 0_u64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    Some(value as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(format: fn(&mut String, f64), value: f64) -> String {
        let mut out = String::from(">");
        format(&mut out, value);
        out.split_off(1)
    }

    /// Value, then Go's `'f'`, `'g'`, the API's text, and the text of `le`.
    const TABLE: [(f64, &str, &str, &str, &str); 30] = [
        (0.0, "0", "0", "0", "0.0"),
        (-0.0, "-0", "-0", "-0", "-0.0"),
        (1.0, "1", "1", "1", "1.0"),
        (-1.0, "-1", "-1", "-1", "-1.0"),
        (0.1, "0.1", "0.1", "0.1", "0.1"),
        (-2.5, "-2.5", "-2.5", "-2.5", "-2.5"),
        (100.0, "100", "100", "100", "100.0"),
        (0.0001, "0.0001", "0.0001", "0.0001", "0.0001"),
        (0.00001, "0.00001", "1e-05", "0.00001", "1e-05"),
        (0.000012, "0.000012", "1.2e-05", "0.000012", "1.2e-05"),
        (1e-6, "0.000001", "1e-06", "0.000001", "1e-06"),
        (1e-7, "0.0000001", "1e-07", "1e-07", "1e-07"),
        (9.99e-7, "0.000000999", "9.99e-07", "9.99e-07", "9.99e-07"),
        (123456.0, "123456", "123456", "123456", "123456.0"),
        (999999.5, "999999.5", "999999.5", "999999.5", "999999.5"),
        (1e6, "1000000", "1e+06", "1000000", "1e+06"),
        (1234567.8, "1234567.8", "1.2345678e+06", "1234567.8", "1.2345678e+06"),
        (1.353755652e9, "1353755652", "1.353755652e+09", "1353755652", "1.353755652e+09"),
        (1e16, "10000000000000000", "1e+16", "10000000000000000", "1e+16"),
        (
            123456789012345680.0,
            "123456789012345680",
            "1.2345678901234568e+17",
            "123456789012345680",
            "1.2345678901234568e+17",
        ),
        (1e20, "100000000000000000000", "1e+20", "100000000000000000000", "1e+20"),
        (1e21, "1000000000000000000000", "1e+21", "1e+21", "1e+21"),
        (1.5e22, "15000000000000000000000", "1.5e+22", "1.5e+22", "1.5e+22"),
        (
            -1.5e100,
            "-15000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
            "-1.5e+100",
            "-1.5e+100",
            "-1.5e+100",
        ),
        (1.25e-10, "0.000000000125", "1.25e-10", "1.25e-10", "1.25e-10"),
        (
            std::f64::consts::PI,
            "3.141592653589793",
            "3.141592653589793",
            "3.141592653589793",
            "3.141592653589793",
        ),
        (
            9007199254740993.0,
            "9007199254740992",
            "9.007199254740992e+15",
            "9007199254740992",
            "9.007199254740992e+15",
        ),
        (f64::NAN, "NaN", "NaN", "NaN", "NaN"),
        (f64::INFINITY, "+Inf", "+Inf", "+Inf", "+Inf"),
        (f64::NEG_INFINITY, "-Inf", "-Inf", "-Inf", "-Inf"),
    ];

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        for (value, plain, general, json, open_metrics) in TABLE {
            assert_eq!(written(format_float, value), plain);
            assert_eq!(written(format_float_g, value), general);
            assert_eq!(written(format_json, value), json);
            assert_eq!(written(format_open_metrics, value), open_metrics);
        }
    }

    #[test]
    fn the_extremes_keep_their_digits() {
        assert_eq!(written(format_float_g, f64::MAX), "1.7976931348623157e+308");
        assert_eq!(written(format_json, 5e-324), "5e-324");
        assert_eq!(written(format_float, 5e-324).len(), 326);
        assert_eq!(written(format_float, f64::MAX).len(), 309);
    }

    /// Each row was printed by Prometheus 3.14.
    #[test]
    fn of_two_shortest_forms_the_even_one_is_written() {
        let table = [
            (2_100_344_449_292_171.0, 0.25, "2100344449292171.2"),
            (2_100_344_449_292_171.0, 0.75, "2100344449292171.8"),
            (1_000_000_000_000_000.0, 0.25, "1000000000000000.2"),
            (1_125_899_906_842_623.0, 0.375, "1125899906842623.4"),
            (1_125_899_906_842_624.0, 0.125, "1125899906842624"),
            (562_949_953_421_311.0, 0.0625, "562949953421311.06"),
        ];
        for (whole, fraction, text) in table {
            assert_eq!(written(format_float, whole + fraction), text);
        }
    }

    #[test]
    fn texts_are_read_as_go_reads_them() {
        let good = [
            ("0", 0.0),
            ("-0", -0.0),
            ("12", 12.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("+1e3", 1000.0),
            ("1E-3", 0.001),
            ("1.e2", 100.0),
            ("999999999999999999999", 1e21),
            ("1e-400", 0.0),
            ("iNf", f64::INFINITY),
            ("+Infinity", f64::INFINITY),
            ("-INF", f64::NEG_INFINITY),
        ];
        for (text, value) in good {
            let got = parse_float(text).unwrap();
            assert_eq!(got.to_bits(), f64::to_bits(value), "{text}");
        }
        assert!(parse_float("nAn").unwrap().is_nan());
    }

    #[test]
    fn what_go_refuses_is_refused() {
        let bad = ["", ".", "+", "e5", "1e", "1 ", " 1", "0x1p4", "0x10", "1_0", "+nan", "infin"];
        for text in bad.into_iter().chain(["-nan", "1.2.3", "--1", "\u{661}", "1e+", "nano"]) {
            assert_eq!(parse_float(text), Err(FloatError::Syntax), "{text}");
        }
        assert_eq!(parse_float("1e309"), Err(FloatError::Range));
        assert_eq!(parse_float("-1e309"), Err(FloatError::Range));
    }

    proptest! {
        #[test]
        fn every_form_reads_back_as_the_same_number(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            for format in [format_float, format_float_g, format_json, format_open_metrics] {
                let text = written(format, value);
                prop_assert_eq!(parse_float(&text).unwrap().to_bits(), bits, "{}", text);
            }
        }

        /// Of two shortest forms equally near, Go takes the even one and Rust the larger one.
        #[test]
        fn the_plain_form_is_as_short_as_can_be(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let text = written(format_float, value);
            prop_assert_eq!(text.len(), value.to_string().len(), "{}", text);
        }
    }
}
