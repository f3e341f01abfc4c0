//! Parts of a date in UTC.

use crate::base::calendar::{date_of_day, day_of_date};

/// A part of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DateFunction {
    Minute,
    Hour,
    DayOfWeek,
    DayOfMonth,
    DayOfYear,
    DaysInMonth,
    Month,
    Year,
}

const DAY_SECONDS: i128 = 86_400;
/// From the 1st of March of the year that Go counts from, 292 277 022 400 years before year 0, to
/// the Unix epoch.
const GO_EPOCH_SECONDS: u64 = 62_135_596_800 + (730_692_556 * 146_097 + 306) * 86_400;

impl DateFunction {
    /// The function with this name.
    pub(crate) fn find(name: &str) -> Option<Self> {
        Some(match name {
            "minute" => Self::Minute,
            "hour" => Self::Hour,
            "day_of_week" => Self::DayOfWeek,
            "day_of_month" => Self::DayOfMonth,
            "day_of_year" => Self::DayOfYear,
            "days_in_month" => Self::DaysInMonth,
            "month" => Self::Month,
            "year" => Self::Year,
            _ => return None,
        })
    }

    /// The part of the date that is `seconds` after the epoch; fractions are cut off.
    pub(crate) fn of(self, seconds: f64) -> f64 {
        self.of_whole(whole(seconds))
    }

    /// The part of the date that is `seconds` after the epoch.
    pub(crate) fn of_whole(self, seconds: i64) -> f64 {
        // Go counts from a year long ago, so that its seconds wrap around at the far end.
        let seconds = (seconds as u64).wrapping_add(GO_EPOCH_SECONDS);
        let seconds = i128::from(seconds) - i128::from(GO_EPOCH_SECONDS);
        let day = seconds.div_euclid(DAY_SECONDS);
        let second = seconds.rem_euclid(DAY_SECONDS);
        let (year, month, day_of_month) = date_of_day(day);
        let part = match self {
            Self::Minute => second / 60 % 60,
            Self::Hour => second / 3600,
            Self::DayOfWeek => (day + 4).rem_euclid(7),
            Self::DayOfMonth => day_of_month,
            Self::DayOfYear => day - day_of_date(year, 1, 1) + 1,
            Self::DaysInMonth => match month {
                12 => 31,
                _ => day_of_date(year, month + 1, 1) - day_of_date(year, month, 1),
            },
            Self::Month => month,
            Self::Year => year,
        };
        part as f64
    }
}

/// What Go's conversion gives on amd64: everything that does not fit is the smallest integer.
fn whole(seconds: f64) -> i64 {
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&seconds);
    if fits { seconds as i64 } else { i64::MIN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_their_parts() {
        // 2016-02-29 23:59:59, a Monday.
        let leap = 1_456_790_399.9;
        let parts = [
            (DateFunction::Year, 2016.0),
            (DateFunction::Month, 2.0),
            (DateFunction::DayOfMonth, 29.0),
            (DateFunction::DayOfWeek, 1.0),
            (DateFunction::DayOfYear, 60.0),
            (DateFunction::DaysInMonth, 29.0),
            (DateFunction::Hour, 23.0),
            (DateFunction::Minute, 59.0),
        ];
        for (function, part) in parts {
            assert_eq!(function.of(leap), part, "{function:?}");
        }
        assert_eq!(DateFunction::DayOfWeek.of(0.0), 4.0);
        assert_eq!(DateFunction::Year.of(-1.0), 1969.0);
        assert_eq!(DateFunction::DaysInMonth.of(-1.0), 31.0);
    }

    #[test]
    fn times_that_do_not_fit_wrap_around_as_in_go() {
        for seconds in [f64::NAN, f64::INFINITY, -1e300, 1e300] {
            let part = |function: DateFunction| function.of(seconds);
            assert_eq!(part(DateFunction::Year), 292_277_026_596.0);
            assert_eq!((part(DateFunction::Month), part(DateFunction::DayOfMonth)), (12.0, 4.0));
            assert_eq!(
                (part(DateFunction::DayOfWeek), part(DateFunction::DayOfYear)),
                (0.0, 339.0)
            );
            assert_eq!((part(DateFunction::Hour), part(DateFunction::Minute)), (15.0, 30.0));
        }
    }
}
