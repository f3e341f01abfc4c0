//! Instants as people write them in requests: seconds, or RFC 3339.

use crate::base::calendar::day_of_date;
use crate::base::gonum;

const SECOND_MS: i64 = 1000;
const DAY_SECONDS: i64 = 86_400;
/// What Prometheus takes for the beginning and the end of time, and how it writes them.
pub(super) const MIN_MS: i64 = (i64::MIN / 1000 + 62_135_596_801) * SECOND_MS;
pub(super) const MAX_MS: i64 = (i64::MAX / 1000 - 62_135_596_801) * SECOND_MS + 999;
const MIN_TEXT: &str = "-292273086-05-16T16:47:06Z";
const MAX_TEXT: &str = "292277025-08-18T07:12:54.999999999Z";

/// Milliseconds since the epoch; nothing if the text is no instant, or none that fits.
pub(super) fn parse(text: &str) -> Option<i64> {
    match text {
        MIN_TEXT => Some(MIN_MS),
        MAX_TEXT => Some(MAX_MS),
        _ => match gonum::parse_float(text) {
            Ok(seconds) => from_seconds(seconds),
            Err(_) => rfc3339(text),
        },
    }
}

/// Rounds to milliseconds in the same steps as Go's `parseTime`, so that the same one comes out.
fn from_seconds(seconds: f64) -> Option<i64> {
    let whole = seconds.trunc();
    if whole.is_nan() || whole.abs() >= (i64::MAX / SECOND_MS) as f64 {
        return None;
    }
    let nanos = ((seconds - whole) * 1000.0).round() / 1000.0 * 1e9;
    (whole as i64 * SECOND_MS).checked_add((nanos as i64).div_euclid(1_000_000))
}

/// `2006-01-02T15:04:05.999Z` or with `+01:00` in place of `Z`.
fn rfc3339(text: &str) -> Option<i64> {
    let year = number(text, 0..4)?;
    let month = number(text, 5..7)?;
    let day = number(text, 8..10)?;
    let (hour, minute, second) =
        (number(text, 11..13)?, number(text, 14..16)?, number(text, 17..19)?);
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    let bytes = text.as_bytes();
    let well_formed = marks.iter().all(|(place, mark)| bytes.get(*place) == Some(mark));
    let in_bounds = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !well_formed || !in_bounds {
        return None;
    }
    let (millis, zone) = fraction(text.get(19..)?)?;
    let day = i64::try_from(day_of_date(year.into(), month.into(), day.into())).ok()?;
    let seconds = day * DAY_SECONDS + hour * 3600 + minute * 60 + second - zone_seconds(zone)?;
    Some(seconds * SECOND_MS + millis)
}

fn number(text: &str, place: std::ops::Range<usize>) -> Option<i64> {
    let digits = text.get(place)?;
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// Milliseconds of `.123456`, and what follows.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(rest) = text.strip_prefix(['.', ',']) else { return Some((0, text)) };
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, zone) = rest.split_at_checked(length)?;
    if digits.is_empty() {
        return None;
    }
    let mut padded = digits.bytes().chain(std::iter::repeat(b'0'));
    let digit = || padded.next().map_or(0, |byte| i64::from(byte - b'0'));
    Some((std::iter::repeat_with(digit).take(3).fold(0, |sum, digit| sum * 10 + digit), zone))
}

fn zone_seconds(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = (number(zone, 1..3)?, number(zone, 4..6)?);
    let well_formed = zone.len() == 6 && zone.get(3..4) == Some(":");
    (well_formed && hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_rfc3339_are_read() {
        let rows = [
            ("0", 0),
            ("1700000060.0004", 1_700_000_060_000),
            ("1700000060.0006", 1_700_000_060_001),
            ("-1.5", -1_500),
            ("1e10", 10_000_000_000_000),
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59.5Z", -500),
            ("2000-02-29T12:00:00Z", 951_825_600_000),
            ("2023-11-14T22:14:20Z", 1_700_000_060_000),
            ("2023-11-14T22:14:20.5+01:00", 1_699_996_460_500),
            ("2023-11-14T22:14:20.123456789-00:30", 1_700_001_860_123),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000),
            (MIN_TEXT, MIN_MS),
            (MAX_TEXT, MAX_MS),
        ];
        for (text, want) in rows {
            assert_eq!(parse(text), Some(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        let rows = [
            "",
            "x",
            "1_000",
            "NaN",
            "Inf",
            "-Inf",
            "1e18",
            "0x10",
            "2023-11-14",
            "2023-11-14T22:14:20",
            "2023-11-14t22:14:20Z",
            "2023-11-14T22:14:20z",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-01-01T24:00:00Z",
            "2023-01-01T00:60:00Z",
            "2023-01-01T00:00:60Z",
            "2023-01-01T00:00:00.Z",
            "2023-01-01T00:00:00+1:00",
            "2023-01-01T00:00:00+01:00x",
            "2023-01-01T00:00:00é",
            "+023-01-01T00:00:00Z",
        ];
        for text in rows {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
