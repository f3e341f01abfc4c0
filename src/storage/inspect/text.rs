//! Times, spans and sizes as `promtool` prints them, and its tables.

use std::fmt::Write as _;

use crate::base::calendar::date_of_day;

/// A column is at least this wide, with the space behind it.
const COLUMN_CHARS_MIN: usize = 13;
const COLUMN_GAP_CHARS: usize = 2;

/// `2026-01-05 00:00:00 +0000 UTC`, cut to seconds.
pub(super) fn time(time_ms: i64) -> String {
    // Cut towards zero, as the division of Go does.
    let seconds = time_ms / 1000;
    let (year, month, day) = date_of_day(i128::from(seconds.div_euclid(86_400)));
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} +0000 UTC")
}

/// `2h0m0s`, `1m0.5s`, `20ms`: Go's text of a duration.
pub(super) fn duration(span_ms: i64) -> String {
    let sign = if span_ms < 0 { "-" } else { "" };
    let all = span_ms.unsigned_abs();
    if (1..1000).contains(&all) {
        return format!("{sign}{all}ms");
    }
    let (hours, minutes) = (all / 3_600_000, all / 60_000 % 60);
    let mut text = sign.to_owned();
    if hours > 0 {
        let _ = write!(text, "{hours}h");
    }
    if hours > 0 || minutes > 0 {
        let _ = write!(text, "{minutes}m");
    }
    let seconds = format!("{}.{:03}", all / 1000 % 60, all % 1000);
    text.push_str(seconds.trim_end_matches('0').trim_end_matches('.'));
    text.push('s');
    text
}

/// `49KiB195B`.
pub(super) fn size(bytes: u64) -> String {
    let mut text = String::new();
    for (power, unit) in
        ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].into_iter().enumerate().rev()
    {
        let count = bytes >> (10 * power) & 0x3ff;
        if count > 0 {
            let _ = write!(text, "{count}{unit}");
        }
    }
    if text.is_empty() { "0B".to_owned() } else { text }
}

/// Rows with their cells below one another; the last cell of a row is as long as it is.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [COLUMN_CHARS_MIN; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count() + COLUMN_GAP_CHARS);
        }
    }
    let mut text = String::new();
    for row in rows {
        for (index, (width, cell)) in widths.iter().zip(row).enumerate() {
            let width = if index + 1 == N { 0 } else { *width };
            let _ = write!(text, "{cell:width$}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_promtool() {
        assert_eq!(time(1_767_571_200_999), "2026-01-05 00:00:00 +0000 UTC");
        assert_eq!(time(-1500), "1969-12-31 23:59:59 +0000 UTC");
        let spans = [0, 20, 60_500, 7_200_000, 3_600_001, -1000].map(duration);
        assert_eq!(spans, ["0s", "20ms", "1m0.5s", "2h0m0s", "1h0m0.001s", "-1s"]);
        let sizes = [0, 7397, 50371, 1 << 30, (5 << 20) + 1].map(size);
        assert_eq!(sizes, ["0B", "7KiB229B", "49KiB195B", "1GiB", "5MiB1B"]);
    }
}
