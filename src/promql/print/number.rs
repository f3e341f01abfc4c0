//! Numbers and times as Go's `%g`, `'f'` and `RFC3339` write them.

use std::fmt::Write as _;

use crate::base::gonum::{format_float, format_float_g};

use crate::base::calendar::date_of_day;

/// Go's `'f', -1`: the shortest digits that give the value back, without an exponent.
pub(crate) fn plain(value: f64) -> String {
    let mut out = String::new();
    format_float(&mut out, value);
    out
}

/// Go's `%g`: the same with an exponent for very small and for large values.
pub(crate) fn general(value: f64) -> String {
    let mut out = String::new();
    format_float_g(&mut out, value);
    out
}

/// Go's `%.Ng`: at most that many digits.
pub(crate) fn rounded(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return general(value);
    }
    let scientific = format!("{value:.*e}", digits.saturating_sub(1));
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let mantissa = match mantissa.contains('.') {
        true => mantissa.trim_end_matches('0').trim_end_matches('.'),
        false => mantissa,
    };
    if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let shown = mantissa.bytes().filter(u8::is_ascii_digit).count() as i32;
    let decimals = (shown - 1 - exponent).max(0) as usize;
    format!("{value:.decimals$}")
}

/// `2006-01-02T15:04:05Z`, cut to seconds.
pub(crate) fn date_time(timestamp_ms: i64) -> String {
    // Go divides towards zero here.
    let seconds = timestamp_ms / 1000;
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date_of_day(days.into());
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let mut out = String::new();
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounded_numbers_look_as_go_writes_them() {
        let cases = [
            (0.123, "0.12"),
            (1234.0, "1.2e+03"),
            (1.0, "1"),
            (10.0, "10"),
            (99.9, "1e+02"),
            (0.000_012_3, "1.2e-05"),
            (-0.5, "-0.5"),
            (0.0, "0"),
            (f64::INFINITY, "+Inf"),
        ];
        for (value, want) in cases {
            assert_eq!(rounded(value, 2), want);
        }
    }

    #[test]
    fn times_are_cut_to_seconds() {
        assert_eq!(date_time(0), "1970-01-01T00:00:00Z");
        assert_eq!(date_time(951_782_400_999), "2000-02-29T00:00:00Z");
        assert_eq!(date_time(-1_000), "1969-12-31T23:59:59Z");
    }
}
