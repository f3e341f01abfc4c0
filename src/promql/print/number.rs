//! Numbers and times as Go's `%g`, `'f'` and `RFC3339` write them.

use std::fmt::Write as _;

use crate::base::gonum::{format_float, format_float_g};

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
    let (year, month, day) = civil(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let mut out = String::new();
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60);
    out
}

/// Year, month and day of a number of days since 1970-01-01, by counting years from March in eras
/// of 400 years.
const fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let leaps = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
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
