//! Durations as Prometheus writes them: `1h30m`, units from large to small, each at most once.
//!
//! A year has 365 days, a week seven. Beside the units only `0` is a duration.

use std::fmt;
use std::fmt::Write as _;

const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Prometheus counts nanoseconds in 63 bits.
const LONGEST_MS: i64 = i64::MAX / 1_000_000;

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DurationError {
    /// No text.
    Empty,
    /// Not numbers with units, or units out of order.
    Malformed(String),
    /// A unit that does not exist, and the whole text.
    UnknownUnit(String, String),
    /// More than 292 years.
    OutOfRange,
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty duration string"),
            Self::Malformed(text) => write!(f, "not a valid duration string: {text:?}"),
            Self::UnknownUnit(unit, text) => {
                write!(f, "unknown unit {unit:?} in duration {text:?}")
            }
            Self::OutOfRange => f.write_str("duration out of range"),
        }
    }
}

impl std::error::Error for DurationError {}

/// Reads a duration in milliseconds. It has no sign and no fraction.
///
/// # Errors
/// See [`DurationError`].
pub fn parse_duration_ms(text: &str) -> Result<i64, DurationError> {
    match text {
        "0" => return Ok(0),
        "" => return Err(DurationError::Empty),
        _ => {}
    }
    let malformed = || DurationError::Malformed(text.to_owned());
    let mut total_ms = 0_i64;
    let mut units = UNITS.iter();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(malformed)?;
        let (number, tail) = rest.split_at(digits);
        let count: u64 = number.parse().map_err(|_| malformed())?;
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        if !UNITS.iter().any(|known| known.0 == unit) {
            return Err(DurationError::UnknownUnit(unit.to_owned(), text.to_owned()));
        }
        let (_, unit_ms) = units.find(|known| known.0 == unit).ok_or_else(malformed)?;
        let part_ms = i64::try_from(count).ok().and_then(|count| count.checked_mul(*unit_ms));
        let sum_ms = part_ms.and_then(|part_ms| total_ms.checked_add(part_ms));
        let in_range = sum_ms.filter(|sum_ms| *sum_ms <= LONGEST_MS);
        total_ms = in_range.ok_or(DurationError::OutOfRange)?;
        rest = tail;
    }
    Ok(total_ms)
}

/// Writes a duration given in milliseconds. Years and weeks are used only if nothing is left over,
/// since `90d` is easier to read than `12w6d`.
#[must_use]
pub fn format_duration(duration_ms: i64) -> String {
    if duration_ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::from(if duration_ms < 0 { "-" } else { "" });
    let mut left_ms = duration_ms.unsigned_abs();
    for (unit, unit_ms) in UNITS {
        let unit_ms = unit_ms.unsigned_abs();
        let only_exact = matches!(unit, "y" | "w");
        let count = left_ms / unit_ms;
        if count == 0 || (only_exact && !left_ms.is_multiple_of(unit_ms)) {
            continue;
        }
        left_ms %= unit_ms;
        // Writing to a string does not fail.
        let _ = write!(out, "{count}{unit}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_and_written_in_their_shortest_form() {
        let table = [
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("324ms", 324, "324ms"),
            ("3s", 3_000, "3s"),
            ("1500ms", 1_500, "1s500ms"),
            ("5m", 300_000, "5m"),
            ("1h30m5s7ms", 5_405_007, "1h30m5s7ms"),
            ("36h", 129_600_000, "1d12h"),
            ("14d", 1_209_600_000, "2w"),
            ("3w2d1h", 1_990_800_000, "23d1h"),
            ("1y1w", 32_140_800_000, "372d"),
            ("8760h", 31_536_000_000, "1y"),
            ("10y", 315_360_000_000, "10y"),
        ];
        for (text, ms, printed) in table {
            assert_eq!(parse_duration_ms(text), Ok(ms), "{text}");
            assert_eq!(format_duration(ms), printed);
        }
        assert_eq!(format_duration(-90_000), "-1m30s");
        assert_eq!(format_duration(i64::MIN), "-106751991167d7h12m55s808ms");
    }

    #[test]
    fn what_is_no_duration_is_refused_in_prometheus_words() {
        let table = [
            ("", "empty duration string"),
            ("1", r#"not a valid duration string: "1""#),
            ("-1m", r#"not a valid duration string: "-1m""#),
            ("5m1h", r#"not a valid duration string: "5m1h""#),
            ("1m1m", r#"not a valid duration string: "1m1m""#),
            ("1.5d", r#"unknown unit "." in duration "1.5d""#),
            ("5y1hs", r#"unknown unit "hs" in duration "5y1hs""#),
            ("1 h", r#"unknown unit " h" in duration "1 h""#),
            ("d", r#"not a valid duration string: "d""#),
            ("99999999999999999999s", r#"not a valid duration string: "99999999999999999999s""#),
            ("294y", "duration out of range"),
            ("292y200d", "duration out of range"),
            ("9223372036855ms", "duration out of range"),
        ];
        for (text, error) in table {
            assert_eq!(parse_duration_ms(text).unwrap_err().to_string(), error, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(ms in 0..=LONGEST_MS) {
            prop_assert_eq!(parse_duration_ms(&format_duration(ms)), Ok(ms));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "[0-9ywdhms.µ-]{0,12}") {
            if let Ok(ms) = parse_duration_ms(&text) {
                prop_assert!((0..=LONGEST_MS).contains(&ms));
            }
        }
    }
}
