//! Times as texts of RFC 3339, as Go writes them into JSON.

use crate::base::calendar::{date_of_day, day_of_date};

const DAY_MS: i64 = 86_400_000;
/// Go's name for no time.
pub(super) const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// `2026-01-02T03:04:05.123Z`; zeros at the end of the fraction are left out.
pub(super) fn format_ms(time_ms: i64) -> String {
    let (year, month, day) = date_of_day(i128::from(time_ms.div_euclid(DAY_MS)));
    let in_day_ms = time_ms.rem_euclid(DAY_MS);
    let (seconds, millis) = (in_day_ms / 1000, in_day_ms % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if millis > 0 {
        text.push_str(format!(".{millis:03}").trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// Milliseconds since the epoch; finer parts are cut off. `None` if it is no such text.
pub(super) fn parse_ms(text: &str) -> Option<i64> {
    let digits = |range: std::ops::Range<usize>| -> Option<i64> {
        let part = text.get(range)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    let is_marked = marks.iter().all(|(at, mark)| text.as_bytes().get(*at) == Some(mark));
    let is_time = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_marked || !is_time || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction_ms, zone) = fraction(text.get(19..)?)?;
    let day = day_of_date(i128::from(year), i128::from(month), i128::from(day));
    let seconds = hour * 3600 + minute * 60 + second;
    let time_ms = i64::try_from(day).ok()? * DAY_MS + seconds * 1000 + fraction_ms;
    Some(time_ms - zone_ms(zone)?)
}

/// Milliseconds behind the point, and what follows.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(rest) = text.strip_prefix('.') else { return Some((0, text)) };
    let count = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, zone) = rest.split_at(count);
    let millis: String = digits.chars().chain("000".chars()).take(3).collect();
    (count > 0).then(|| Some((millis.parse().ok()?, zone)))?
}

fn zone_ms(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = match zone.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_writes_them() {
        for (time_ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_767_323_045_123, "2026-01-02T03:04:05.123Z"),
            (1_767_323_045_120, "2026-01-02T03:04:05.12Z"),
            (-62_135_596_800_000, NO_TIME),
        ] {
            assert_eq!(format_ms(time_ms), text);
            assert_eq!(parse_ms(text), Some(time_ms));
        }
    }

    #[test]
    fn other_zones_and_finer_fractions_are_read() {
        assert_eq!(parse_ms("2026-01-02T03:04:05.123987654Z"), Some(1_767_323_045_123));
        assert_eq!(parse_ms("2026-01-02T05:34:05+02:30"), Some(1_767_323_045_000));
        assert_eq!(parse_ms("2026-01-01T23:04:05-04:00"), Some(1_767_323_045_000));
        for bad in ["", "2026-01-02", "2026-13-02T03:04:05Z", "2026-01-02T03:04:05", "é"] {
            assert_eq!(parse_ms(bad), None, "{bad:?}");
        }
        assert_eq!(parse_ms("2026-01-02T03:04:05.Z"), None);
        assert_eq!(parse_ms("2026-01-02T03:04:05+9Z"), None);
    }
}
