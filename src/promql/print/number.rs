//! Numbers and times as Go's `%g`, `'f'` and `RFC3339` write them.

use std::fmt::Write as _;

/// The shortest digits that give the value back, without an exponent.
pub(crate) fn plain(value: f64) -> String {
    special(value).map_or_else(|| format!("{value}"), str::to_owned)
}

/// Go's `%g`: the shortest digits that give the value back, or `digits` of them, with an exponent
/// for very small and for large values.
pub(crate) fn general(value: f64, digits: Option<usize>) -> String {
    if let Some(text) = special(value) {
        return text.to_owned();
    }
    let scientific = match digits {
        None => format!("{value:e}"),
        Some(digits) => format!("{value:.*e}", digits.saturating_sub(1)),
    };
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    // `%g` leaves out the zeros that a fixed number of digits would end with.
    let mantissa = match mantissa.contains('.') {
        true => mantissa.trim_end_matches('0').trim_end_matches('.'),
        false => mantissa,
    };
    let shown = mantissa.bytes().filter(u8::is_ascii_digit).count() as i32;
    let least = digits.unwrap_or(6) as i32;
    if exponent < -4 || exponent >= least {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let decimals = (shown - 1 - exponent).max(0) as usize;
    format!("{value:.decimals$}")
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value.is_infinite() {
        Some(if value > 0.0 { "+Inf" } else { "-Inf" })
    } else {
        None
    }
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

/// A length of time as Prometheus's `model.Duration` prints it: `1h30m`. Years and weeks are used
/// only if nothing remains.
pub(crate) fn duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".into();
    }
    let mut rest = ms.unsigned_abs();
    let mut out = String::from(if ms < 0 { "-" } else { "" });
    let units = [
        ("y", 365 * 86_400_000, true),
        ("w", 7 * 86_400_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1000, false),
        ("ms", 1, false),
    ];
    for (name, unit, exact) in units {
        if rest >= unit && (!exact || rest % unit == 0) {
            let _ = write!(out, "{}{name}", rest / unit);
            rest %= unit;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_go_writes_them() {
        let cases = [
            (2_349_209.324, "2.349209324e+06"),
            (123_400.0, "123400"),
            (1e6, "1e+06"),
            (0.0001, "0.0001"),
            (0.000_012, "1.2e-05"),
            (-0.5, "-0.5"),
            (1e100, "1e+100"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (value, want) in cases {
            assert_eq!(general(value, None), want);
        }
        let cases =
            [(0.123, "0.12"), (1234.0, "1.2e+03"), (1.0, "1"), (10.0, "10"), (99.9, "1e+02")];
        for (value, want) in cases {
            assert_eq!(general(value, Some(2)), want);
        }
        assert_eq!(
            (plain(1e21).as_str(), plain(f64::INFINITY).as_str()),
            ("1000000000000000000000", "+Inf")
        );
    }

    #[test]
    fn times_and_lengths() {
        assert_eq!(date_time(0), "1970-01-01T00:00:00Z");
        assert_eq!(date_time(951_782_400_999), "2000-02-29T00:00:00Z");
        assert_eq!(date_time(-1_000), "1969-12-31T23:59:59Z");
        assert_eq!(duration(5_400_000), "1h30m");
        assert_eq!(duration(90 * 86_400_000), "90d");
        assert_eq!(duration(-14 * 86_400_000), "-2w");
        assert_eq!(duration(86_400_001), "1d1ms");
    }
}
